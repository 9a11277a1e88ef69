//! A subscription's events, one after another.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use reel_protocol::methods::{Event, SubscribeResult};
use tokio::sync::mpsc;

use crate::{Client, ClientError};

/// Events that may wait to be taken before the subscription is given up; the daemon's own limit is the same.
pub(crate) const EVENTS_WAITING: usize = reel_protocol::limits::EVENTS_BEHIND;

/// A running subscription; dropping it ends it at the daemon too.
#[derive(Debug)]
pub struct EventStream {
    pub(crate) client: Client,
    pub(crate) begun: SubscribeResult,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) missed: Arc<AtomicU64>,
}

impl EventStream {
    /// The next event. Fails with [`ClientError::EventsLost`] after the last one that was kept when events came too fast, and with
    /// the reason when the connection ends.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        match self.events.recv().await {
            Some(event) => Ok(event),
            None => match self.missed.load(Ordering::Relaxed) {
                0 => Err(self.client.closed()),
                missed => Err(ClientError::EventsLost { missed }),
            },
        }
    }

    /// An event that already waits.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// The last event before this subscription, and the daemon's instance.
    pub fn begun(&self) -> &SubscribeResult {
        &self.begun
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.client.unsubscribe(self.begun.subscription);
    }
}
