//! One connection to the daemon: many calls in flight, answers by id, events by subscription.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use interprocess::local_socket::tokio::Stream;
use reel_protocol::{
    Seconds, TaskId, TaskSpec,
    line::LineDecoder,
    methods::{
        EventsSubscribe, EventsUnsubscribe, Hello, HelloParams, HelloResult, Method, SubmitResult,
        SubscribeParams, TaskSubmit, TaskWait, TaskWaitParams, TaskWaitResult, UnsubscribeParams,
    },
    rpc,
};
use tokio::{
    io::WriteHalf,
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use crate::{
    ClientError, ConnectOptions, Encoding, EventStream, discover,
    encoding::{Decoder, agree},
    events::EVENTS_WAITING,
    outgoing::Outgoing,
    route::{Answer, Feed, Routes, Waiter},
};

/// The id of `hello`; calls count from 1.
const HELLO_ID: u64 = 0;

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
        let talk = Talk { routes: Arc::clone(&routes), outgoing: Arc::clone(&outgoing), name };
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
        tokio::time::timeout(limit, self.call::<M>(params))
            .await
            .unwrap_or(Err(ClientError::Timeout { limit }))
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
}

impl Talk {
    /// Agrees on an encoding unless there is one, and delivers what comes until the connection is over.
    async fn run(self, stream: Stream, decoder: Option<Decoder>) {
        let reason = self.until_closed(stream, decoder).await.err();
        self.routes.close(reason);
    }

    /// Says hello before everything else.
    fn greet(&self, encoding: Encoding) -> Result<(), String> {
        let hello = HelloParams { client: self.name.clone(), capabilities: Vec::new() };
        let hello = encoding.request(HELLO_ID, Hello::NAME, &hello).map_err(|error| error.to_string())?;
        self.outgoing.greet(hello);
        self.routes.agreed(encoding);
        Ok(())
    }

    async fn until_closed(&self, stream: Stream, decoder: Option<Decoder>) -> Result<(), String> {
        let mut decoder = if let Some(decoder) = decoder {
            decoder
        } else {
            let Some(decoder) = agree(&stream).await? else { return Ok(()) };
            self.greet(decoder.encoding())?;
            decoder
        };
        // In two halves that are owned: only those know after one read that nothing is left.
        let (mut read, write) = tokio::io::split(stream);
        self.outgoing.begin(write);
        let outgoing = Arc::clone(&self.outgoing);
        tokio::spawn(async move { outgoing.write().await });
        loop {
            while let Some(message) = decoder.next()? {
                self.routes.deliver(message)?;
            }
            if !decoder.read_from(&mut read).await {
                return Ok(());
            }
        }
    }
}
