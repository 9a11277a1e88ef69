//! Routes each message of the daemon to its receiver: responses to the caller with their id, events to their subscription.

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

/// A response whose result is not decoded yet.
pub(crate) type Answer = Result<Raw, ClientError>;

/// The receiver of a response.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// The connection itself waits for the response to `hello`.
    Hello,
    /// A call waits for the response.
    Call(oneshot::Sender<Answer>),
    /// A subscription waits for the response. Its events may follow at once, so the sink is registered before the next message is read.
    Subscribe(oneshot::Sender<Answer>, SubscriptionSink),
}

/// The receiving end of a subscription.
#[derive(Debug)]
pub(crate) struct SubscriptionSink {
    /// The queue of events. None after an event found it full; later events are only counted.
    pub(crate) events: Option<mpsc::Sender<Event>>,
    /// Number of events that are lost: the queue was full, or the daemon dropped them.
    pub(crate) missed: Arc<AtomicU64>,
}

/// The reason why the connection is closed.
#[derive(Debug, Clone)]
pub(crate) enum CloseReason {
    /// The daemon closed the connection or died.
    Disconnected,
    /// The daemon violated the protocol, or speaks another version of it.
    Protocol(String),
    /// The daemon refused to serve this connection.
    Refused(RpcError),
    /// The daemon sent nothing for too long.
    Unresponsive { pid: Option<u32>, is_suspended: bool, waited: Duration },
    /// The socket accepts connections, but no daemon serves them yet.
    NotReady { pid: Option<u32>, waited: Duration },
}

impl From<String> for CloseReason {
    fn from(detail: String) -> Self {
        Self::Protocol(detail)
    }
}

impl CloseReason {
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
    sinks: HashMap<u64, SubscriptionSink>,
    closed: Option<CloseReason>,
}

/// The routing table of one connection.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: Mutex<Table>,
    encoding: watch::Sender<Option<Encoding>>,
    hello: watch::Sender<Option<HelloResult>>,
}

impl Routes {
    /// Registers the waiter for the response to `id`. Fails if the connection is closed.
    pub(crate) fn expect(&self, id: u64, waiter: Waiter) -> Result<(), ClientError> {
        let mut table = self.table();
        if let Some(closed) = &table.closed {
            return Err(closed.error());
        }
        table.waiters.insert(id, waiter);
        Ok(())
    }

    /// Removes the waiter for `id`.
    pub(crate) fn forget(&self, id: u64) {
        self.table().waiters.remove(&id);
    }

    /// Removes the sink of a subscription that is not read any more.
    pub(crate) fn forget_sink(&self, subscription: u64) {
        self.table().sinks.remove(&subscription);
    }

    /// Returns the daemon's response to `hello`; None until it arrived.
    pub(crate) fn known_hello(&self) -> Option<HelloResult> {
        self.hello.borrow().clone()
    }

    /// Waits for the daemon's response to `hello`.
    pub(crate) async fn hello(&self) -> Result<HelloResult, ClientError> {
        self.wait_for_value(&self.hello).await
    }

    /// Returns the negotiated encoding; None during the negotiation.
    pub(crate) fn known_encoding(&self) -> Option<Encoding> {
        *self.encoding.borrow()
    }

    /// Waits until the encoding is negotiated, and returns it.
    pub(crate) async fn encoding(&self) -> Result<Encoding, ClientError> {
        match self.known_encoding() {
            Some(encoding) => Ok(encoding),
            None => self.wait_for_value(&self.encoding).await,
        }
    }

    /// Records the negotiated encoding and wakes whoever waits for it.
    pub(crate) fn agreed(&self, encoding: Encoding) {
        self.encoding.send_replace(Some(encoding));
    }

    /// Waits until the value is set. Fails if the connection closes before.
    async fn wait_for_value<T: Clone>(&self, sender: &watch::Sender<Option<T>>) -> Result<T, ClientError> {
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

    /// Returns why the connection is closed; None while it is open.
    pub(crate) fn closed(&self) -> Option<ClientError> {
        self.table().closed.as_ref().map(CloseReason::error)
    }

    /// Whether the daemon owes a message: a call or a subscription waits. False with [`IN_FLIGHT`] or more unanswered requests, because the daemon
    /// then reads no more of them and its silence means nothing.
    pub(crate) fn is_waiting(&self) -> bool {
        let table = self.table();
        table.waiters.len() < IN_FLIGHT && !(table.waiters.is_empty() && table.sinks.is_empty())
    }

    /// Routes one message. An error means that the connection must be closed.
    pub(crate) fn deliver(&self, message: Incoming) -> Result<(), CloseReason> {
        match message {
            Incoming::Answer { id: Some(id), outcome } => self.answer(id, outcome).map_err(CloseReason::from),
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

    /// Records why the connection is closed, fails all waiting calls with that reason and ends all subscriptions.
    pub(crate) fn close(&self, closed: &CloseReason) {
        let (waiters, sinks) = {
            let mut table = self.table();
            table.closed.get_or_insert_with(|| closed.clone());
            (std::mem::take(&mut table.waiters), std::mem::take(&mut table.sinks))
        };
        drop(sinks);
        for waiter in waiters.into_values() {
            if let Waiter::Call(caller) | Waiter::Subscribe(caller, _) = waiter {
                // Sending fails if the caller dropped its future, and then nobody needs the error.
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
            Some(Waiter::Subscribe(caller, sink)) => {
                if let Ok(raw) = &outcome
                    && let Ok(result) = raw.read::<EventsSubscribe>()
                {
                    self.table().sinks.insert(result.subscription, sink);
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
        let Some(sink) = table.sinks.get_mut(&subscription) else { return };
        if event.event == "subscription_dropped" {
            sink.missed.fetch_add(event.missed.unwrap_or(1).max(1), Ordering::Relaxed);
            table.sinks.remove(&subscription);
        } else if sink.events.as_ref().is_none_or(|events| events.try_send(event).is_err()) {
            sink.missed.fetch_add(1, Ordering::Relaxed);
            sink.events = None;
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // Each statement leaves the table consistent, so it is usable although another thread panicked with the lock held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Converts an error without an id, which concerns the connection: the daemon does not serve it, or could not read one of the client's messages.
pub(crate) fn refused(error: RpcError) -> CloseReason {
    match error.known() {
        Some(ErrorCode::TooManyConnections) => CloseReason::Refused(error),
        _ => CloseReason::Protocol(error.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::read_line;

    impl Routes {
        fn take(&self, line: &[u8]) -> Result<(), CloseReason> {
            self.deliver(read_line(line)?)
        }
    }

    /// A method whose result is a number.
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
    fn events_right_behind_the_answer_are_kept_and_too_many_end_the_sink() {
        let routes = Routes::default();
        let (caller, _answer) = oneshot::channel();
        let (events, mut taken) = mpsc::channel(1);
        let missed = Arc::new(AtomicU64::new(0));
        let sink = SubscriptionSink { events: Some(events), missed: Arc::clone(&missed) };
        routes.expect(3, Waiter::Subscribe(caller, sink)).unwrap();
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
