//! The state of one connection that handlers can change: the client's name, the encoding and the subscriptions.

use reel_protocol::methods::{SubscribeParams, SubscribeResult};
use tokio::sync::mpsc;

use super::{
    Peer,
    encoding::Encoding,
    router::Router,
    subscriptions::{Source, Subscriptions},
};
use crate::tasks::Caller;

/// Capacity of the queue of encoded events between the subscriptions and the session. It is small because these events are in no reservation; when
/// the reader is slow, further events should be counted as missed.
const EVENT_LINES: usize = 2;

/// One connection, as its handlers see it.
pub(super) struct Connection {
    /// The client's name, as `hello` set it or else the name of its process, and the connection's number.
    pub(super) caller: Caller,
    /// The encoding of the connection's messages.
    pub(super) encoding: Encoding,
    /// The event subscriptions.
    pub(super) subscriptions: Subscriptions,
}

impl Connection {
    /// Returns a connection, and the receiver of its encoded events.
    pub(super) fn new(peer: &Peer, number: u64) -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (sender, lines) = mpsc::channel(EVENT_LINES);
        let caller = Caller { client: peer.name.as_str().into(), connection: number };
        let subscriptions = Subscriptions::new(sender);
        (Self { caller, encoding: Encoding::default(), subscriptions }, lines)
    }

    /// Begins a subscription.
    pub(super) fn subscribe(
        &mut self,
        router: &Router,
        params: SubscribeParams,
    ) -> Result<SubscribeResult, reel_protocol::RpcError> {
        let parts = router.parts();
        let source = Source { hub: &parts.events, budget: &parts.budget };
        let (subscription, seq) = self.subscriptions.begin(source, self.encoding, params)?;
        Ok(SubscribeResult { subscription, instance: parts.instance.to_string(), seq })
    }
}
