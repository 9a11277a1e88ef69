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
    line::{Line, LineDecoder},
    methods::{
        EventsSubscribe, EventsUnsubscribe, Hello, HelloParams, HelloResult, Method, SubmitResult,
        SubscribeParams, TaskSubmit, TaskWait, TaskWaitParams, TaskWaitResult, UnsubscribeParams,
    },
    rpc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use crate::{
    ClientError, ConnectOptions, EventStream, discover,
    events::EVENTS_WAITING,
    route::{Answer, Feed, Routes, Waiter},
};

/// Lines that may wait to be written before a caller waits too.
const LINES_WAITING: usize = 64;

/// Bytes of lines that are joined into one write.
const WRITE_BYTES: usize = 64 * 1024;

/// The smallest read; an answer of a status or a task fits.
const READ_BYTES: usize = 16 * 1024;

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
    lines: mpsc::Sender<Vec<u8>>,
    next_id: AtomicU64,
    reader: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Client {
    /// Finds the daemon, or starts one where the options allow, and says hello without waiting for the answer.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, ClientError> {
        let stream = discover::open(options).await?;
        Self::over(stream, &options.client_name)
    }

    fn over(stream: Stream, client_name: &str) -> Result<Self, ClientError> {
        let stream = Arc::new(stream);
        let routes = Arc::new(Routes::default());
        let (lines, waiting) = mpsc::channel(LINES_WAITING);
        routes.expect(HELLO_ID, Waiter::Hello)?;
        let hello = HelloParams { client: client_name.to_owned(), capabilities: Vec::new() };
        let hello = rpc::request_line(HELLO_ID, Hello::NAME, &hello).map_err(ClientError::protocol)?;
        // The channel is new and empty.
        let _ = lines.try_send(hello);
        tokio::spawn(write_lines(Arc::clone(&stream), waiting));
        let reader = tokio::spawn(read_lines(stream, Arc::clone(&routes))).abort_handle();
        let next_id = AtomicU64::new(HELLO_ID + 1);
        Ok(Self { link: Arc::new(Link { routes, lines, next_id, reader }) })
    }

    /// Asks and waits for the answer, however long it takes. Dropping the future forgets the answer, not the request.
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        let (caller, answer) = oneshot::channel();
        let answer = self.ask::<M>(params, Waiter::Call(caller), answer).await?;
        serde_json::from_str(answer.get()).map_err(ClientError::protocol)
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
        let begun = serde_json::from_str(answer.get()).map_err(ClientError::protocol)?;
        Ok(EventStream { client: self.clone(), begun, events: taken, missed })
    }

    /// Who answers.
    pub async fn hello(&self) -> Result<HelloResult, ClientError> {
        let mut hello = self.link.routes.hello();
        loop {
            if let Some(greeting) = hello.borrow_and_update().clone() {
                return Ok(greeting);
            }
            if let Some(error) = self.link.routes.closed() {
                return Err(error);
            }
            hello.changed().await.map_err(|_| ClientError::Disconnected)?;
        }
    }

    /// Who answers, if the greeting has come.
    pub fn known_hello(&self) -> Option<HelloResult> {
        self.link.routes.hello().borrow().clone()
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
        if let Ok(line) = rpc::request_line(id, EventsUnsubscribe::NAME, &UnsubscribeParams { subscription })
        {
            // Nobody waits for the answer; where the line finds no room, the daemon drops the subscription in its own time.
            let _ = self.link.lines.try_send(line);
        }
    }

    async fn ask<M: Method>(
        &self,
        params: &M::Params,
        waiter: Waiter,
        answer: oneshot::Receiver<Answer>,
    ) -> Answer {
        let id = self.link.next_id.fetch_add(1, Ordering::Relaxed);
        let line = rpc::request_line(id, M::NAME, params).map_err(ClientError::protocol)?;
        let limit = rpc::line_limit(M::NAME);
        if line.len() > limit {
            return Err(rpc::too_large(limit).into());
        }
        self.link.routes.expect(id, waiter)?;
        let _forget = ForgetOnDrop { routes: &self.link.routes, id };
        if self.link.lines.send(line).await.is_err() {
            // The writer ended; what the daemon last said (a refusal, perhaps) may still be on its way to the reader.
            return answer.await.unwrap_or_else(|_| Err(self.closed()));
        }
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

async fn write_lines(stream: Arc<Stream>, mut lines: mpsc::Receiver<Vec<u8>>) {
    let mut stream = &*stream;
    while let Some(mut bytes) = lines.recv().await {
        while bytes.len() < WRITE_BYTES
            && let Ok(more) = lines.try_recv()
        {
            bytes.extend_from_slice(&more);
        }
        // The reader sees the end of a broken connection and tells everybody.
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read_lines(stream: Arc<Stream>, routes: Arc<Routes>) {
    let reason = read_until_closed(&stream, &routes).await.err();
    routes.close(reason);
}

async fn read_until_closed(stream: &Stream, routes: &Routes) -> Result<(), String> {
    let mut stream = stream;
    let mut decoder = LineDecoder::default();
    loop {
        let buffer = decoder.buffer_mut();
        buffer.reserve(READ_BYTES);
        // A reset means the same as an end: the daemon is gone.
        let Ok(read) = stream.read_buf(buffer).await else { return Ok(()) };
        while let Some(line) = decoder.next_line() {
            match line {
                Line::Text(text) => routes.deliver(text)?,
                Line::TooLong => return Err("a line is longer than the protocol allows".to_owned()),
            }
        }
        if read == 0 {
            return Ok(());
        }
    }
}
