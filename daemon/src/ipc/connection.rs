//! What one connection is known by and listens to.

use reel_protocol::methods::{SubscribeParams, SubscribeResult};
use tokio::sync::mpsc;

use super::{
    Peer,
    encoding::Encoding,
    router::Router,
    subscriptions::{Source, Subscriptions},
};
use crate::tasks::Caller;

/// Event lines that may wait for the session, in no reservation yet. Few: what waits longer is better counted as missed.
const EVENT_LINES: usize = 2;

/// One connection, as its handlers see it.
pub(super) struct Connection {
    /// Its name, by `hello` or by its process.
    pub(super) caller: Caller,
    /// How its messages are written.
    pub(super) encoding: Encoding,
    /// Its events.
    pub(super) subscriptions: Subscriptions,
}

impl Connection {
    /// A connection, and where its event lines come out.
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
