//! One connection to the daemon: many calls in flight, answers by id, events by subscription.

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
    task::AbortHandle,
    time::timeout,
};

use crate::{
    ClientError, ConnectOptions, Encoding, EventStream, discover,
    encoding::{Decoder, agree},
    events::EVENTS_WAITING,
    outgoing::Outgoing,
    route::{Answer, Closed, Feed, Routes, Waiter},
};

/// The id of `hello`; calls count from 1.
const HELLO_ID: u64 = 0;

/// The id of the `hello` that is sent again as a sign of life: the largest that JSON holds, so that no call has it.
const LIFE_ID: u64 = (1 << 53) - 1;

/// How long the daemon may be silent while somebody waits, before it is asked for a sign of life. The work itself may take any time.
const QUIET: Duration = Duration::from_secs(15);

/// How long the daemon may take to answer what it answers from memory. It does so in a millisecond; on a machine that swaps, in a second.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection. Clones share it; it ends with the last one.
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
    /// Finds the daemon, or starts one where the options allow, and says hello without waiting for any answer.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, ClientError> {
        let stream = discover::open(options).await?;
        let routes = Arc::new(Routes::default());
        routes.expect(HELLO_ID, Waiter::Hello)?;
        let decoder = (options.encoding == Encoding::Json).then(|| Decoder::Lines(LineDecoder::default()));
        let outgoing = Arc::default();
        let name = options.client_name.clone();
        let locations = options.locations.clone();
        let talk = Talk { routes: Arc::clone(&routes), outgoing: Arc::clone(&outgoing), name, locations };
        if decoder.is_some() {
            talk.greet(Encoding::Json).map_err(ClientError::protocol)?;
        }
        let reader = tokio::spawn(talk.run(stream, decoder)).abort_handle();
        let next_id = AtomicU64::new(HELLO_ID + 1);
        Ok(Self { link: Arc::new(Link { routes, outgoing, next_id, reader }) })
    }

    /// Asks and waits for the answer, however long it takes. Dropping the future forgets the answer, not the request.
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        let (caller, answer) = oneshot::channel();
        let answer = self.ask::<M>(params, Waiter::Call(caller), answer).await?;
        answer.read::<M>()
    }

    /// The same with a limit; the daemon may still do what was asked.
    pub async fn call_within<M: Method>(
        &self,
        params: &M::Params,
        limit: Duration,
    ) -> Result<M::Result, ClientError> {
        timeout(limit, self.call::<M>(params)).await.unwrap_or(Err(ClientError::Timeout { limit }))
    }

    /// Submits one task; answered once it is on disk.
    pub async fn submit(&self, spec: &TaskSpec) -> Result<SubmitResult, ClientError> {
        self.call::<TaskSubmit>(spec).await
    }

    /// Waits until all the tasks are over or held, or until the timeout, which is an answer too (`timed_out`).
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

    /// Starts events. What other methods answer after this is at least as new as the subscription.
    pub async fn subscribe(&self, params: &SubscribeParams) -> Result<EventStream, ClientError> {
        let (caller, answer) = oneshot::channel();
        let (events, taken) = mpsc::channel(EVENTS_WAITING);
        let missed = Arc::new(AtomicU64::new(0));
        let feed = Feed { events: Some(events), missed: Arc::clone(&missed) };
        let answer = self.ask::<EventsSubscribe>(params, Waiter::Subscribe(caller, feed), answer).await?;
        let begun = answer.read::<EventsSubscribe>()?;
        Ok(EventStream { client: self.clone(), begun, events: taken, missed })
    }

    /// Who answers.
    pub async fn hello(&self) -> Result<HelloResult, ClientError> {
        self.link.routes.hello().await
    }

    /// Who answers, if the greeting has come.
    pub fn known_hello(&self) -> Option<HelloResult> {
        self.link.routes.known_hello()
    }

    /// How the two sides speak, once they have agreed.
    pub async fn encoding(&self) -> Result<Encoding, ClientError> {
        self.link.routes.encoding().await
    }

    /// Whether the connection is over.
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
        self.link.routes.forget_feed(subscription);
        let id = self.link.next_id.fetch_add(1, Ordering::Relaxed);
        let params = UnsubscribeParams { subscription };
        if let Some(encoding) = self.link.routes.known_encoding()
            && let Ok(message) = encoding.request(id, EventsUnsubscribe::NAME, &params)
        {
            // Nobody waits for the answer; where it finds no room, the daemon drops the subscription in its own time.
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

/// Takes the waiter back when its call is dropped.
struct ForgetOnDrop<'a> {
    routes: &'a Routes,
    id: u64,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.routes.forget(self.id);
    }
}

/// What a connection's two tasks need.
struct Talk {
    routes: Arc<Routes>,
    outgoing: Arc<Outgoing<WriteHalf<Stream>>>,
    name: String,
    locations: Locations,
}

impl Talk {
    /// Agrees on an encoding unless there is one, and delivers what comes until the connection is over.
    async fn run(self, stream: Stream, decoder: Option<Decoder>) {
        let server = discover::server_pid(&stream);
        let closed = match self.until_closed(stream, decoder).await {
            Ok(never) => match never {},
            Err(Stop::Closed(closed)) => closed,
            Err(Stop::Silent(waited)) => discover::silence(&self.locations, server, waited),
        };
        self.routes.close(&closed);
    }

    /// Says hello before everything else.
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
            let decoder = timeout(ANSWER, agree(&stream)).await.map_err(|_| Stop::Silent(ANSWER))??;
            self.greet(decoder.encoding())?;
            decoder
        };
        // In two halves that are owned: only those know after one read that nothing is left.
        let (mut read, write) = tokio::io::split(stream);
        self.outgoing.begin(write);
        let outgoing = Arc::clone(&self.outgoing);
        tokio::spawn(async move { outgoing.write().await });
        loop {
            while let Some(message) = decoder.next().map_err(Closed::Protocol)? {
                self.routes.deliver(message)?;
            }
            self.read(&mut decoder, &mut read).await?;
        }
    }

    /// Reads once. A daemon that is silent for long while somebody waits is asked for a sign of life, and given up without one.
    async fn read(&self, decoder: &mut Decoder, stream: &mut ReadHalf<Stream>) -> Result<(), Stop> {
        let encoding = decoder.encoding();
        let mut reading = pin!(decoder.read_from(stream));
        let is_greeted = self.routes.known_hello().is_some();
        let mut is_asked = false;
        loop {
            let limit = if is_greeted && !is_asked { QUIET } else { ANSWER };
            match timeout(limit, &mut reading).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Closed::Disconnected.into()),
                Err(_) if !is_greeted => return Err(Stop::Silent(ANSWER)),
                Err(_) if is_asked => return Err(Stop::Silent(QUIET + ANSWER)),
                Err(_) if self.routes.is_waiting() => {
                    // Where it finds no room, the daemon does not read, which is no sign of life either.
                    let _ = self.outgoing.try_send(self.hello(encoding, LIFE_ID)?);
                    is_asked = true;
                }
                Err(_) => {}
            }
        }
    }
}

/// Why a connection ends.
enum Stop {
    Closed(Closed),
    /// The daemon said nothing for so long.
    Silent(Duration),
}

impl<T: Into<Closed>> From<T> for Stop {
    fn from(reason: T) -> Self {
        Self::Closed(reason.into())
    }
}
