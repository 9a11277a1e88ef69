//! One connection: it reads requests, and writes responses and events.
//!
//! It is a task with one loop instead of an actor. An actor's mailbox accepts all messages, but this loop stops reading while too many requests are
//! in flight or too many bytes wait to be written. The socket buffer then fills and blocks the peer. In-flight requests run inside the loop's own set
//! of futures, so a request needs no spawn, and all responses that are ready together are sent in one write.

use std::{
    io,
    pin::{Pin, pin},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use reel_protocol::{
    ErrorCode, RpcError, binary,
    limits::{CONNECTIONS, IN_FLIGHT, LARGE_LINE_BYTES},
    preface::{self, SCHEMA},
    rpc,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::{Instrument, debug, debug_span};

use super::{
    Peer,
    call::{Answer, Reply},
    connection::Connection,
    encoding::Encoding,
    errors,
    inbox::{Inbox, Next},
    open_connections::OpenConnection,
    outbox::Outbox,
    router::Router,
};

/// A peer that reads nothing for this long although bytes wait for it is disconnected.
const STALL: Duration = Duration::from_mins(1);
/// The time that in-flight requests have to be answered when the daemon stops. It is too short for most waits for tasks.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// The interval in which the session checks whether the peer still exists while it reads nothing from it.
const PROBE: Duration = Duration::from_millis(500);

/// Serves one connection until its peer closes it, or until `stop` turns true and the last responses are sent.
///
/// Must run in a `LocalSet`, such as that of an actix arbiter.
pub async fn serve<S>(stream: S, peer: Peer, router: Router, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite,
{
    let Some(open) = router.open() else { return refuse(stream).await };
    let span = debug_span!("session", connection = open.number, peer = %peer.name, pid = peer.pid);
    async {
        debug!("connection opened");
        match Session::new(stream, &peer, router, open).run(stop).await {
            Ok(()) => debug!("connection closed"),
            Err(error) => debug!(%error, "connection lost"),
        }
    }
    .instrument(span)
    .await;
}

/// Refuses a connection with an error in one line. The line is JSON because nothing was read that could select another encoding.
async fn refuse(stream: impl AsyncRead + AsyncWrite) {
    let message =
        format!("the daemon has {CONNECTIONS} connections, as many as it serves, and all are in use");
    let error = RpcError::new(ErrorCode::TooManyConnections, message).hint(
        "end the program that holds them, as one carries many requests at once; reel daemon restart closes all and loses no task",
    );
    let (_, mut write) = tokio::io::split(stream);
    let answer = Answer::failure(Encoding::Json, None, &error);
    // The peer may be gone, or may never read. Neither may hold up the session for longer.
    let _ = tokio::time::timeout(LAST_ANSWERS, write.write_all(&answer.message.bytes)).await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// More requests may arrive.
    Open,
    /// The peer closed its sending side. Its requests are still answered.
    Ended,
    /// The daemon stops. No request is accepted, and the connection closes at this time.
    Stopped(Instant),
}

struct Session<S> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
    inbox: Inbox,
    /// Whether whole messages may be left in the inbox because there was no room for more requests or responses.
    has_messages: bool,
    input: Input,
    pending: FuturesUnordered<LocalBoxFuture<'static, Answer>>,
    /// The sum of the expected sizes of large responses of in-flight requests, in bytes.
    expected_bytes: usize,
    outbox: Outbox,
    events: mpsc::Receiver<Vec<u8>>,
    connection: Connection,
    open: OpenConnection,
    router: Router,
}

/// The event that the loop waited for.
enum Step {
    Stop,
    MakeRoom,
    Answered(Answer),
    Event(Vec<u8>),
    Wrote(usize),
    Read(usize),
    Due,
}

impl<S: AsyncRead + AsyncWrite> Session<S> {
    fn new(stream: S, peer: &Peer, router: Router, open: OpenConnection) -> Self {
        let (read, write) = tokio::io::split(stream);
        let (connection, events) = Connection::new(peer, open.number);
        let outbox = Outbox::new(router.budget());
        Self {
            read,
            write,
            inbox: Inbox::default(),
            has_messages: false,
            input: Input::Open,
            pending: FuturesUnordered::new(),
            expected_bytes: 0,
            outbox,
            events,
            connection,
            open,
            router,
        }
    }

    async fn run(mut self, stop: watch::Receiver<bool>) -> io::Result<()> {
        // The future exists for the whole session. Otherwise each turn of the loop would subscribe to the watch channel and unsubscribe again.
        let mut told = pin!(told(stop));
        loop {
            self.take_requests().await;
            self.write_at_once()?;
            if self.is_over() {
                return Ok(());
            }
            self.open.used(self.is_idle());
            let happened = self.next_step(told.as_mut()).await?;
            self.apply(happened)?;
        }
    }

    /// Accepts requests from the inbox while there is room for them.
    async fn take_requests(&mut self) {
        while self.has_room() {
            let encoding = self.connection.encoding;
            match self.inbox.next() {
                None => {
                    self.has_messages = false;
                    return;
                }
                Some(Next::Preface { schema }) => {
                    if schema == SCHEMA {
                        self.connection.encoding = Encoding::Binary;
                    }
                    self.outbox.push(Answer::bytes(preface::reply(schema).to_vec()));
                }
                Some(Next::TooLong) => self.refuse_unread(&rpc::too_large(LARGE_LINE_BYTES)),
                Some(Next::Cut) => self.refuse_unread(&binary::cut()),
                Some(Next::Message(message)) => {
                    self.router.note_activity();
                    let reply = match encoding.request(message) {
                        Ok(request) => self.router.dispatch(&mut self.connection, request),
                        Err(bad) => Reply::Now(Answer::failure(encoding, bad.id.as_ref(), &bad.error)),
                    };
                    self.take(reply);
                }
            }
            // Yields to other tasks from time to time, so that a sender of many short messages does not occupy this thread alone.
            tokio::task::consume_budget().await;
        }
        self.has_messages = true;
    }

    /// Answers a message whose id is unknown with an error.
    fn refuse_unread(&mut self, error: &RpcError) {
        self.outbox.push(Answer::failure(self.connection.encoding, None, error));
    }

    fn take(&mut self, reply: Reply) {
        match reply {
            Reply::Now(answer) => self.outbox.push(answer),
            Reply::Later { work, expected_bytes } => {
                self.expected_bytes += expected_bytes;
                self.outbox.expect_answer();
                self.pending.push(if expected_bytes == 0 {
                    work
                } else {
                    work.map(move |answer| Answer { expected_bytes, ..answer }).boxed_local()
                });
            }
        }
    }

    fn has_room(&self) -> bool {
        !matches!(self.input, Input::Stopped(_))
            && self.pending.len() < IN_FLIGHT
            && self.outbox.has_room_for_answers(self.expected_bytes)
    }

    fn reads(&self) -> bool {
        self.input == Input::Open && !self.has_messages && self.has_room()
    }

    fn is_over(&self) -> bool {
        let is_answered = self.pending.is_empty() && self.outbox.is_empty();
        match self.input {
            Input::Open => false,
            Input::Ended => is_answered && !self.has_messages,
            Input::Stopped(limit) => is_answered || Instant::now() >= limit,
        }
    }

    /// Whether closing the connection would only cost its peer a new connection.
    fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.outbox.is_empty() && self.connection.subscriptions.is_empty()
    }

    async fn next_step(&mut self, told: Pin<&mut impl Future<Output = ()>>) -> io::Result<Step> {
        let (reads, due) = (self.reads(), self.due());
        let is_stopping = matches!(self.input, Input::Stopped(_));
        if reads && let Err(refusal) = self.inbox.make_room(self.router.budget()) {
            self.refuse_unread(&errors::over_budget(refusal));
        }
        let Self { read, write, inbox, pending, outbox, events, open, .. } = self;
        // Events come first: when a response shows that a task has ended, its client shall have received the event already. Responses come before
        // writes, so that those that are ready together are sent together. Reads come last, because accepted requests have priority.
        let happened = tokio::select! { biased;
            () = told, if !is_stopping => Step::Stop,
            () = open.closing() => Step::MakeRoom,
            Some(line) = events.recv(), if outbox.has_room_for_events() => Step::Event(line),
            Some(answer) = pending.next() => Step::Answered(answer),
            written = write.write(outbox.front()), if !outbox.is_empty() => Step::Wrote(written?),
            count = inbox.read_from(read), if reads => Step::Read(count?),
            () = until(due), if due.is_some() => Step::Due,
        };
        Ok(happened)
    }

    fn apply(&mut self, happened: Step) -> io::Result<()> {
        match happened {
            Step::MakeRoom => {
                return Err(io::Error::other("it was idle, and made room for another connection"));
            }
            Step::Stop => self.input = Input::Stopped(Instant::now() + LAST_ANSWERS),
            Step::Answered(answer) => {
                self.answer(answer);
                while let Some(Some(answer)) = self.pending.next().now_or_never() {
                    self.answer(answer);
                }
                self.write_at_once()?;
            }
            Step::Event(message) => self.outbox.push_event(message),
            Step::Wrote(bytes) => self.wrote(bytes)?,
            Step::Read(0) => {
                self.input = Input::Ended;
                self.probe()?;
            }
            Step::Read(_) => {}
            Step::Due => {
                if self.stalls_at().is_some_and(|at| at <= Instant::now()) {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read"));
                }
                self.probe()?;
            }
        }
        Ok(())
    }

    /// Writes what the socket accepts without blocking. It mostly has room, so a response is sent without another turn of the loop.
    fn write_at_once(&mut self) -> io::Result<()> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        match self.write.write(self.outbox.front()).now_or_never() {
            Some(written) => self.wrote(written?),
            None => Ok(()),
        }
    }

    fn wrote(&mut self, bytes: usize) -> io::Result<()> {
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.outbox.advance(bytes);
        Ok(())
    }

    fn answer(&mut self, answer: Answer) {
        self.expected_bytes -= answer.expected_bytes;
        self.outbox.push_expected(answer);
    }

    /// Returns when the loop must wake up even if nothing happens.
    fn due(&mut self) -> Option<Instant> {
        let limit = match self.input {
            Input::Stopped(limit) => Some(limit),
            Input::Open | Input::Ended => None,
        };
        // A lost peer is noticed by a read or a write. If neither is under way, the session must probe.
        let is_blind = !self.reads() && self.outbox.is_empty();
        let probe = is_blind.then(|| Instant::now() + PROBE);
        [limit, self.stalls_at(), probe].into_iter().flatten().min()
    }

    /// Returns when a peer that reads nothing is disconnected, because the messages that wait for it use memory.
    fn stalls_at(&mut self) -> Option<Instant> {
        self.outbox.stands_since().map(|since| since + STALL)
    }

    /// Fails if the peer has closed the connection. A write of zero bytes tells this apart from a peer that only closed its sending side.
    fn probe(&mut self) -> io::Result<()> {
        if !self.outbox.is_empty() {
            return Ok(());
        }
        self.write.write(&[]).now_or_never().unwrap_or(Ok(0)).map(drop)
    }
}

/// Returns once the daemon stops.
async fn told(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|is_stopping| *is_stopping).await.is_err() {
        // The sender is gone, so the stop will never be announced.
        std::future::pending::<()>().await;
    }
}

/// Returns at that time. Never returns if there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
