//! Who waits for which message of the daemon: answers go by id to their caller, events to their subscription.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reel_protocol::{
    ErrorCode, PROTOCOL, RpcError,
    limits::IN_FLIGHT,
    methods::{Event, EventsSubscribe, Hello, HelloResult},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    ClientError, Encoding,
    encoding::{Incoming, Raw},
};

/// What an answer is, before its type is known.
pub(crate) type Answer = Result<Raw, ClientError>;

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// The connection itself, for the answer to `hello`.
    Hello,
    /// A call.
    Call(oneshot::Sender<Answer>),
    /// A subscription: its events may follow the answer at once, so the feed is set up before the next message is read.
    Subscribe(oneshot::Sender<Answer>, Feed),
}

/// Where a subscription's events go.
#[derive(Debug)]
pub(crate) struct Feed {
    /// None once an event found no room: those after it are only counted.
    pub(crate) events: Option<mpsc::Sender<Event>>,
    /// Events that were dropped because nobody took them.
    pub(crate) missed: Arc<AtomicU64>,
}

/// Why no message will come any more.
#[derive(Debug, Clone)]
pub(crate) enum Closed {
    /// The daemon closed the connection or died.
    Disconnected,
    /// It broke the rules, or speaks another protocol.
    Protocol(String),
    /// It does not serve this connection.
    Refused(RpcError),
    /// It says nothing.
    Unresponsive { pid: Option<u32>, is_suspended: bool, waited: Duration },
    /// Nobody serves the socket yet.
    NotReady { pid: Option<u32>, waited: Duration },
}

impl From<String> for Closed {
    fn from(detail: String) -> Self {
        Self::Protocol(detail)
    }
}

impl Closed {
    fn error(&self) -> ClientError {
        match self {
            Self::Disconnected => ClientError::Disconnected,
            Self::Protocol(detail) => ClientError::protocol(detail),
            Self::Refused(error) => ClientError::Rpc(error.clone()),
            Self::Unresponsive { pid, is_suspended, waited } => {
                ClientError::Unresponsive { pid: *pid, is_suspended: *is_suspended, waited: *waited }
            }
            Self::NotReady { pid, waited } => ClientError::NotReady { pid: *pid, waited: *waited },
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    waiters: HashMap<u64, Waiter>,
    feeds: HashMap<u64, Feed>,
    closed: Option<Closed>,
}

/// The routes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: Mutex<Table>,
    encoding: watch::Sender<Option<Encoding>>,
    hello: watch::Sender<Option<HelloResult>>,
}

impl Routes {
    /// Notes who waits for the answer to `id`; fails where none can come any more.
    pub(crate) fn expect(&self, id: u64, waiter: Waiter) -> Result<(), ClientError> {
        let mut table = self.table();
        if let Some(closed) = &table.closed {
            return Err(closed.error());
        }
        table.waiters.insert(id, waiter);
        Ok(())
    }

    /// Nobody waits for `id` any more.
    pub(crate) fn forget(&self, id: u64) {
        self.table().waiters.remove(&id);
    }

    /// Nobody reads the subscription any more.
    pub(crate) fn forget_feed(&self, subscription: u64) {
        self.table().feeds.remove(&subscription);
    }

    /// The daemon's greeting, if it came.
    pub(crate) fn known_hello(&self) -> Option<HelloResult> {
        self.hello.borrow().clone()
    }

    /// The daemon's greeting.
    pub(crate) async fn hello(&self) -> Result<HelloResult, ClientError> {
        self.told(&self.hello).await
    }

    /// What was agreed on.
    pub(crate) fn known_encoding(&self) -> Option<Encoding> {
        *self.encoding.borrow()
    }

    /// What both sides agree on.
    pub(crate) async fn encoding(&self) -> Result<Encoding, ClientError> {
        match self.known_encoding() {
            Some(encoding) => Ok(encoding),
            None => self.told(&self.encoding).await,
        }
    }

    /// Both sides have agreed.
    pub(crate) fn agreed(&self, encoding: Encoding) {
        self.encoding.send_replace(Some(encoding));
    }

    /// Waits until it is there, or never will be.
    async fn told<T: Clone>(&self, sender: &watch::Sender<Option<T>>) -> Result<T, ClientError> {
        let mut receiver = sender.subscribe();
        loop {
            if let Some(value) = receiver.borrow_and_update().clone() {
                return Ok(value);
            }
            if let Some(error) = self.closed() {
                return Err(error);
            }
            receiver.changed().await.map_err(|_| ClientError::Disconnected)?;
        }
    }

    /// Why the connection is over, if it is.
    pub(crate) fn closed(&self) -> Option<ClientError> {
        self.table().closed.as_ref().map(Closed::error)
    }

    /// Whether somebody waits for the daemon, and it reads: with more requests unanswered than it takes, its silence says nothing.
    pub(crate) fn is_waiting(&self) -> bool {
        let table = self.table();
        table.waiters.len() < IN_FLIGHT && !(table.waiters.is_empty() && table.feeds.is_empty())
    }

    /// Takes one message; fails where the connection cannot go on.
    pub(crate) fn deliver(&self, message: Incoming) -> Result<(), Closed> {
        match message {
            Incoming::Answer { id: Some(id), outcome } => self.answer(id, outcome).map_err(Closed::from),
            Incoming::Answer { id: None, outcome } => {
                outcome.map_or_else(|error| Err(refused(error)), |_| Ok(()))
            }
            Incoming::Event(event) => {
                self.event(*event);
                Ok(())
            }
            Incoming::Other => Ok(()),
        }
    }

    /// Ends everything that waits.
    pub(crate) fn close(&self, closed: &Closed) {
        let (waiters, feeds) = {
            let mut table = self.table();
            table.closed.get_or_insert_with(|| closed.clone());
            (std::mem::take(&mut table.waiters), std::mem::take(&mut table.feeds))
        };
        drop(feeds);
        for waiter in waiters.into_values() {
            if let Waiter::Call(caller) | Waiter::Subscribe(caller, _) = waiter {
                // A caller that went away is none of our business.
                let _ = caller.send(Err(closed.error()));
            }
        }
        self.encoding.send_modify(|_| {});
        self.hello.send_modify(|_| {});
    }

    fn answer(&self, id: u64, outcome: Result<Raw, RpcError>) -> Result<(), String> {
        let waiter = self.table().waiters.remove(&id);
        let outcome = outcome.map_err(ClientError::Rpc);
        match waiter {
            None => Ok(()),
            Some(Waiter::Hello) => self.greet(outcome),
            Some(Waiter::Call(caller)) => {
                let _ = caller.send(outcome);
                Ok(())
            }
            Some(Waiter::Subscribe(caller, feed)) => {
                if let Ok(raw) = &outcome
                    && let Ok(result) = raw.read::<EventsSubscribe>()
                {
                    self.table().feeds.insert(result.subscription, feed);
                }
                let _ = caller.send(outcome);
                Ok(())
            }
        }
    }

    fn greet(&self, outcome: Answer) -> Result<(), String> {
        let hello = outcome.and_then(|raw| raw.read::<Hello>()).map_err(|error| error.to_string())?;
        if hello.protocol != PROTOCOL {
            return Err(format!("it speaks protocol {}, this client {PROTOCOL}", hello.protocol));
        }
        self.hello.send_replace(Some(hello));
        Ok(())
    }

    fn event(&self, event: Event) {
        let mut table = self.table();
        let subscription = event.subscription;
        let Some(feed) = table.feeds.get_mut(&subscription) else { return };
        if event.event == "subscription_dropped" {
            feed.missed.fetch_add(event.missed.unwrap_or(1).max(1), Ordering::Relaxed);
            table.feeds.remove(&subscription);
        } else if feed.events.as_ref().is_none_or(|events| events.try_send(event).is_err()) {
            feed.missed.fetch_add(1, Ordering::Relaxed);
            feed.events = None;
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // The table is whole between any two statements, so a panic elsewhere cannot have torn it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error without an id says of the connection: it is not served, or the daemon could not read one of our messages.
pub(crate) fn refused(error: RpcError) -> Closed {
    match error.known() {
        Some(ErrorCode::TooManyConnections) => Closed::Refused(error),
        _ => Closed::Protocol(error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::read_line;

    impl Routes {
        fn take(&self, line: &[u8]) -> Result<(), Closed> {
            self.deliver(read_line(line)?)
        }
    }

    /// A method that answers a number.
    enum Number {}

    impl reel_protocol::Method for Number {
        const NAME: &'static str = "number";
        type Params = u64;
        type Result = u64;
    }

    fn event_line(subscription: u64, event: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","method":"event","params":{{"subscription":{subscription},"seq":1,"topic":"task","event":"{event}"}}}}"#
        )
    }

    #[test]
    fn answers_reach_their_callers_in_any_order_and_strangers_are_ignored() {
        let routes = Routes::default();
        let (first, mut first_answer) = oneshot::channel();
        let (second, mut second_answer) = oneshot::channel();
        routes.expect(1, Waiter::Call(first)).unwrap();
        routes.expect(2, Waiter::Call(second)).unwrap();
        routes.take(br#"{"jsonrpc":"2.0","id":2,"result":22,"news":true}"#).unwrap();
        routes.take(br#"{"jsonrpc":"2.0","id":9,"result":0}"#).unwrap();
        routes.take(br#"{"jsonrpc":"2.0","id":1,"error":{"code":2,"message":"gone"}}"#).unwrap();
        routes.take(br#"{"jsonrpc":"2.0","method":"of.tomorrow"}"#).unwrap();
        assert_eq!(second_answer.try_recv().unwrap().unwrap().read::<Number>().unwrap(), 22);
        assert!(
            matches!(first_answer.try_recv().unwrap(), Err(ClientError::Rpc(error)) if error.message == "gone")
        );
        assert!(routes.take(b"garbage").is_err());
    }

    #[test]
    fn events_right_behind_the_answer_are_kept_and_too_many_end_the_feed() {
        let routes = Routes::default();
        let (caller, _answer) = oneshot::channel();
        let (events, mut taken) = mpsc::channel(1);
        let missed = Arc::new(AtomicU64::new(0));
        let feed = Feed { events: Some(events), missed: Arc::clone(&missed) };
        routes.expect(3, Waiter::Subscribe(caller, feed)).unwrap();
        routes.take(br#"{"id":3,"result":{"subscription":7,"instance":"a","seq":0}}"#).unwrap();
        routes.take(event_line(7, "changed").as_bytes()).unwrap();
        routes.take(event_line(8, "changed").as_bytes()).unwrap();
        assert_eq!(missed.load(Ordering::Relaxed), 0);
        routes.take(event_line(7, "changed").as_bytes()).unwrap();
        routes.take(event_line(7, "changed").as_bytes()).unwrap();
        assert_eq!(missed.load(Ordering::Relaxed), 2);
        let dropped = event_line(7, "subscription_dropped").replace("\"seq\"", "\"missed\":40,\"seq\"");
        routes.take(dropped.as_bytes()).unwrap();
        assert_eq!(missed.load(Ordering::Relaxed), 42);
        assert_eq!(taken.try_recv().unwrap().subscription, 7);
        assert!(taken.try_recv().is_err());
    }

    #[test]
    fn a_closed_connection_answers_everybody_with_why() {
        let routes = Routes::default();
        let (caller, mut answer) = oneshot::channel();
        routes.expect(1, Waiter::Call(caller)).unwrap();
        routes.expect(0, Waiter::Hello).unwrap();
        let other = br#"{"id":0,"result":{"daemon":"reeld","version":"9.0.0","protocol":9,"capabilities":[],"pid":1,"instance":"x"}}"#;
        let refusal = routes.take(other).unwrap_err();
        routes.close(&refusal);
        assert!(matches!(answer.try_recv().unwrap(), Err(ClientError::Protocol { .. })));
        let (late, _) = oneshot::channel();
        assert!(matches!(routes.expect(2, Waiter::Call(late)), Err(ClientError::Protocol { .. })));
    }
}
