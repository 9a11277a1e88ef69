//! One connection to the daemon, with many calls in flight. Responses are matched to calls by id, events to subscriptions.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use interprocess::local_socket::tokio::Stream;
use reel_protocol::{
    Seconds, TaskId, TaskSpec,
    endpoint::Locations,
    line::LineDecoder,
    methods::{
        EventsSubscribe, EventsUnsubscribe, Hello, HelloParams, HelloResult, Method, SubmitResult,
        SubscribeParams, TaskSubmit, TaskWait, TaskWaitParams, TaskWaitResult, UnsubscribeParams,
    },
    rpc,
};
use tokio::{
    io::{ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinHandle},
    time::timeout,
};

use crate::{
    ClientError, ConnectOptions, Encoding, EventStream, discover,
    encoding::{Decoder, agree},
    events::EVENTS_WAITING,
    outgoing::Outgoing,
    route::{Answer, CloseReason, Routes, SubscriptionSink, Waiter},
};

/// The id of the first `hello`. Ids of calls start at 1.
const HELLO_ID: u64 = 0;

/// The id of the `hello` that is sent as a liveness probe: the largest integer that JSON numbers hold exactly, so that no call has it.
const LIFE_ID: u64 = (1 << 53) - 1;

/// How long the daemon may send nothing while a call or a subscription waits, before the client sends a liveness probe. The work itself may take any
/// time.
const PROBE_AFTER: Duration = Duration::from_secs(15);

/// How long the daemon may take to answer a request that it answers from memory. It needs a millisecond, or a second on a machine that swaps.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A connection. Clones share it, and it is closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    link: Arc<Link>,
}

#[derive(Debug)]
struct Link {
    routes: Arc<Routes>,
    outgoing: Arc<Outgoing<WriteHalf<Stream>>>,
    next_id: AtomicU64,
    reader: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
        self.outgoing.close();
    }
}

impl Client {
    /// Finds the daemon, or starts one if the options allow it. Returns without waiting for the response to `hello`.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, ClientError> {
        let stream = discover::open(options).await?;
        let routes = Arc::new(Routes::default());
        routes.expect(HELLO_ID, Waiter::Hello)?;
        let decoder = (options.encoding == Encoding::Json).then(|| Decoder::Lines(LineDecoder::default()));
        let outgoing = Arc::default();
        let name = options.client_name.clone();
        let locations = options.locations.clone();
        let reader = ConnectionReader {
            routes: Arc::clone(&routes),
            outgoing: Arc::clone(&outgoing),
            name,
            locations,
        };
        if decoder.is_some() {
            reader.greet(Encoding::Json).map_err(ClientError::protocol)?;
        }
        let reader = tokio::spawn(reader.run(stream, decoder)).abort_handle();
        let next_id = AtomicU64::new(HELLO_ID + 1);
        Ok(Self { link: Arc::new(Link { routes, outgoing, next_id, reader }) })
    }

    /// Sends a request and waits for the response without a time limit. If the future is dropped, the daemon may still carry out the request.
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        let (caller, answer) = oneshot::channel();
        let answer = self.ask::<M>(params, Waiter::Call(caller), answer).await?;
        answer.read::<M>()
    }

    /// Like [`Client::call`], but fails with [`ClientError::Timeout`] after `limit`. The daemon may still carry out the request.
    pub async fn call_within<M: Method>(
        &self,
        params: &M::Params,
        limit: Duration,
    ) -> Result<M::Result, ClientError> {
        timeout(limit, self.call::<M>(params)).await.unwrap_or(Err(ClientError::Timeout { limit }))
    }

    /// Submits one task. Returns after the daemon has committed the task to disk.
    pub async fn submit(&self, spec: &TaskSpec) -> Result<SubmitResult, ClientError> {
        self.call::<TaskSubmit>(spec).await
    }

    /// Waits until all tasks are finished or held. A timeout is not an error: the result then has `timed_out` set.
    pub async fn wait(
        &self,
        ids: &[TaskId],
        timeout: Option<Duration>,
    ) -> Result<TaskWaitResult, ClientError> {
        let params = TaskWaitParams {
            ids: ids.to_vec(),
            timeout_s: timeout.map(Seconds),
            ..TaskWaitParams::default()
        };
        self.call::<TaskWait>(&params).await
    }

    /// Subscribes to events. Responses to later calls are at least as new as the start of the subscription.
    pub async fn subscribe(&self, params: &SubscribeParams) -> Result<EventStream, ClientError> {
        self.begin_subscription(params).stream().await
    }

    /// Subscribes in a task of its own, which is not dropped with the caller's future. If nobody takes the stream, the task drops it, which ends the
    /// subscription in the daemon too.
    pub(crate) fn begin_subscription(&self, params: &SubscribeParams) -> BegunSubscription {
        let (client, params) = (self.clone(), params.clone());
        BegunSubscription(tokio::spawn(async move { client.request_subscription(&params).await }))
    }

    async fn request_subscription(&self, params: &SubscribeParams) -> Result<EventStream, ClientError> {
        let (caller, answer) = oneshot::channel();
        let (events, taken) = mpsc::channel(EVENTS_WAITING);
        let missed = Arc::new(AtomicU64::new(0));
        let sink = SubscriptionSink { events: Some(events), missed: Arc::clone(&missed) };
        let answer = self.ask::<EventsSubscribe>(params, Waiter::Subscribe(caller, sink), answer).await?;
        let begun = answer.read::<EventsSubscribe>()?;
        Ok(EventStream { client: self.clone(), begun, events: taken, missed })
    }

    /// Returns the daemon's response to `hello`; waits until it arrives.
    pub async fn hello(&self) -> Result<HelloResult, ClientError> {
        self.link.routes.hello().await
    }

    /// Returns the daemon's response to `hello`; None until it arrived.
    pub fn known_hello(&self) -> Option<HelloResult> {
        self.link.routes.known_hello()
    }

    /// Returns the encoding of the connection; waits until it is negotiated.
    pub async fn encoding(&self) -> Result<Encoding, ClientError> {
        self.link.routes.encoding().await
    }

    /// Whether the connection is closed.
    pub fn is_closed(&self) -> bool {
        self.link.routes.closed().is_some()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.link, &other.link)
    }

    pub(crate) fn closed(&self) -> ClientError {
        self.link.routes.closed().unwrap_or(ClientError::Disconnected)
    }

    pub(crate) fn unsubscribe(&self, subscription: u64) {
        self.link.routes.forget_sink(subscription);
        let id = self.link.next_id.fetch_add(1, Ordering::Relaxed);
        let params = UnsubscribeParams { subscription };
        if let Some(encoding) = self.link.routes.known_encoding()
            && let Ok(message) = encoding.request(id, EventsUnsubscribe::NAME, &params)
        {
            // Nobody waits for the response. If the send buffer is full, the request is dropped; the daemon drops the subscription once it falls
            // behind.
            let _ = self.link.outgoing.try_send(message);
        }
    }

    async fn ask<M: Method>(
        &self,
        params: &M::Params,
        waiter: Waiter,
        answer: oneshot::Receiver<Answer>,
    ) -> Answer {
        let id = self.link.next_id.fetch_add(1, Ordering::Relaxed);
        let encoding = self.link.routes.encoding().await?;
        let message = encoding.request(id, M::NAME, params)?;
        let limit = rpc::line_limit(M::NAME);
        if message.len() > limit {
            return Err(rpc::too_large(limit).into());
        }
        self.link.routes.expect(id, waiter)?;
        let _forget = ForgetOnDrop { routes: &self.link.routes, id };
        self.link.outgoing.send(message).await;
        answer.await.unwrap_or_else(|_| Err(self.closed()))
    }
}

/// A subscription whose response may not have arrived yet. If it is dropped, the subscription ends once the response is here.
#[derive(Debug)]
pub(crate) struct BegunSubscription(JoinHandle<Result<EventStream, ClientError>>);

impl BegunSubscription {
    /// Waits for the response. The future may be dropped and the method called again.
    pub(crate) async fn stream(&mut self) -> Result<EventStream, ClientError> {
        (&mut self.0).await.unwrap_or(Err(ClientError::Disconnected))
    }
}

/// Removes the waiter when the call's future is dropped.
struct ForgetOnDrop<'a> {
    routes: &'a Routes,
    id: u64,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.routes.forget(self.id);
    }
}

/// The state of the task that reads from a connection. It also starts the task that writes.
struct ConnectionReader {
    routes: Arc<Routes>,
    outgoing: Arc<Outgoing<WriteHalf<Stream>>>,
    name: String,
    locations: Locations,
}

impl ConnectionReader {
    /// Negotiates an encoding unless there is a decoder already, and routes messages until the connection closes.
    async fn run(self, stream: Stream, decoder: Option<Decoder>) {
        let server = discover::server_pid(&stream);
        let closed = match self.until_closed(stream, decoder).await {
            Ok(never) => match never {},
            Err(Stop::Closed(closed)) => closed,
            Err(Stop::Silent(waited)) => discover::silence(&self.locations, server, waited),
        };
        self.routes.close(&closed);
    }

    /// Queues `hello` before all other messages.
    fn greet(&self, encoding: Encoding) -> Result<(), String> {
        self.outgoing.greet(self.hello(encoding, HELLO_ID)?);
        self.routes.agreed(encoding);
        Ok(())
    }

    fn hello(&self, encoding: Encoding, id: u64) -> Result<Vec<u8>, String> {
        let hello = HelloParams { client: self.name.clone(), capabilities: Vec::new() };
        encoding.request(id, Hello::NAME, &hello).map_err(|error| error.to_string())
    }

    async fn until_closed(&self, stream: Stream, decoder: Option<Decoder>) -> Result<Infallible, Stop> {
        let mut decoder = if let Some(decoder) = decoder {
            decoder
        } else {
            let decoder =
                timeout(ANSWER_LIMIT, agree(&stream)).await.map_err(|_| Stop::Silent(ANSWER_LIMIT))??;
            self.greet(decoder.encoding())?;
            decoder
        };
        // Only the owned halves remember after one read that the socket has no more bytes.
        let (mut read, write) = tokio::io::split(stream);
        self.outgoing.begin(write);
        let outgoing = Arc::clone(&self.outgoing);
        tokio::spawn(async move { outgoing.write().await });
        loop {
            while let Some(message) = decoder.next().map_err(CloseReason::Protocol)? {
                self.routes.deliver(message)?;
            }
            self.read(&mut decoder, &mut read).await?;
        }
    }

    /// Reads once. If the daemon sends nothing for [`PROBE_AFTER`] while a call or subscription waits, a liveness probe is sent. The connection is closed
    /// if nothing arrives within [`ANSWER_LIMIT`] after it.
    async fn read(&self, decoder: &mut Decoder, stream: &mut ReadHalf<Stream>) -> Result<(), Stop> {
        let encoding = decoder.encoding();
        let mut reading = pin!(decoder.read_from(stream));
        let is_greeted = self.routes.known_hello().is_some();
        let mut is_asked = false;
        loop {
            let limit = if is_greeted && !is_asked { PROBE_AFTER } else { ANSWER_LIMIT };
            match timeout(limit, &mut reading).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(CloseReason::Disconnected.into()),
                Err(_) if !is_greeted => return Err(Stop::Silent(ANSWER_LIMIT)),
                Err(_) if is_asked => return Err(Stop::Silent(PROBE_AFTER + ANSWER_LIMIT)),
                Err(_) if self.routes.is_waiting() => {
                    // The probe is not sent if the send buffer is full. The daemon then does not read, so it is not alive either.
                    let _ = self.outgoing.try_send(self.hello(encoding, LIFE_ID)?);
                    is_asked = true;
                }
                Err(_) => {}
            }
        }
    }
}

/// Why the reading task stops.
enum Stop {
    Closed(CloseReason),
    /// The daemon sent nothing for this long.
    Silent(Duration),
}

impl<T: Into<CloseReason>> From<T> for Stop {
    fn from(reason: T) -> Self {
        Self::Closed(reason.into())
    }
}
