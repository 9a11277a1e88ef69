//! One connection: requests in, answers and events out.
//!
//! A task with one loop rather than an actor: an actor's mailbox takes whatever comes, while this loop simply does not read as long as
//! enough is unanswered or unwritten, and the system's socket buffer then holds the peer back. Requests that were taken run inside the
//! loop's own set of futures, so that one costs no spawn, and all answers that are ready together leave in one write.

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

/// A peer that takes nothing of what waits for it for so long is gone, whatever the socket says.
const STALL: Duration = Duration::from_mins(1);
/// What answers may take once the daemon stops; a wait for a task is not among those that end in it.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// While nothing is read, how often to look whether the peer is still there.
const PROBE: Duration = Duration::from_millis(500);

/// Serves one connection until its peer leaves, or until `stop` turns true and its last answers are out.
///
/// Must run in a `LocalSet`, such as an actix arbiter's.
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

/// Says why in one line, to a peer that gets no session; whatever it would speak, it was not listened to.
async fn refuse(stream: impl AsyncRead + AsyncWrite) {
    let message =
        format!("the daemon has {CONNECTIONS} connections, as many as it serves, and all are in use");
    let error = RpcError::new(ErrorCode::TooManyConnections, message).hint(
        "end the program that holds them, as one carries many requests at once; reel daemon restart closes all and loses no task",
    );
    let (_, mut write) = tokio::io::split(stream);
    let answer = Answer::failure(Encoding::Json, None, &error);
    // The peer may be gone already, or never read: neither is worth a place.
    let _ = tokio::time::timeout(LAST_ANSWERS, write.write_all(&answer.message.bytes)).await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// More may come.
    Open,
    /// The peer said that no more comes; what it asked is still answered.
    Ended,
    /// The daemon stops: nothing more is taken, and at this time the connection closes.
    Stopped(Instant),
}

struct Session<S> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
    inbox: Inbox,
    /// Whole messages may be left in the inbox, for want of room among the requests or the answers.
    has_messages: bool,
    input: Input,
    pending: FuturesUnordered<LocalBoxFuture<'static, Answer>>,
    /// What the pending requests may answer, as far as that is much.
    expected_bytes: usize,
    outbox: Outbox,
    events: mpsc::Receiver<Vec<u8>>,
    connection: Connection,
    open: OpenConnection,
    router: Router,
}

/// What the loop waited for.
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
        // Once for the whole session: each turn of the loop would else enlist with the one who tells, and leave again.
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

    /// Takes requests out of the inbox while there is room for them.
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
            // A sender of many short messages must not keep this thread to itself.
            tokio::task::consume_budget().await;
        }
        self.has_messages = true;
    }

    /// Answers an error to a message whose id is not known.
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

    /// Whether closing the connection would take nothing from its peer but the need to connect again.
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
        // Events first: a client that reads of a task's end in an answer shall have been told of it already. Answers before writes, so that
        // those which are ready together go out together; reads last, as what was taken comes first.
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

    /// Writes what the socket takes: it mostly has room, and an answer then leaves without another turn of the loop.
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

    /// When the loop must look up even if nothing comes.
    fn due(&mut self) -> Option<Instant> {
        let limit = match self.input {
            Input::Stopped(limit) => Some(limit),
            Input::Open | Input::Ended => None,
        };
        // A peer that vanished is seen by reading and by writing; where neither is under way, only by asking.
        let is_blind = !self.reads() && self.outbox.is_empty();
        let probe = is_blind.then(|| Instant::now() + PROBE);
        [limit, self.stalls_at(), probe].into_iter().flatten().min()
    }

    /// When a peer that takes nothing is given up: what waits for it, answers or events, is memory.
    fn stalls_at(&mut self) -> Option<Instant> {
        self.outbox.stands_since().map(|since| since + STALL)
    }

    /// Fails if the peer has closed its end, rather than only said that it asks no more: a write of nothing tells the two apart.
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
        // Whoever would tell is gone: nobody will.
        std::future::pending::<()>().await;
    }
}

/// Returns at that time, if there is one.
async fn until(due: Option<Instant>) {
    match due {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
