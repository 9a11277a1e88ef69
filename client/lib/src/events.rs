//! The stream of a subscription's events.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use reel_protocol::methods::{Event, SubscribeResult};
use tokio::sync::mpsc;

use crate::{Client, ClientError};

/// The most unread events before the subscription is given up. The daemon has the same limit.
pub(crate) const EVENTS_WAITING: usize = reel_protocol::limits::EVENTS_BEHIND;

/// A running subscription. Dropping it also ends it in the daemon.
#[derive(Debug)]
pub struct EventStream {
    pub(crate) client: Client,
    pub(crate) begun: SubscribeResult,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) missed: Arc<AtomicU64>,
}

impl EventStream {
    /// Waits for the next event. If events came too fast, it returns those that were kept and then fails with [`ClientError::EventsLost`]. If the
    /// connection closes, it fails with the reason.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        match self.events.recv().await {
            Some(event) => Ok(event),
            None => match self.missed.load(Ordering::Relaxed) {
                0 => Err(self.client.closed()),
                missed => Err(ClientError::EventsLost { missed }),
            },
        }
    }

    /// Returns the next event if it has already arrived.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Returns the daemon's response: the sequence number of the last event before this subscription, and the daemon's instance.
    pub fn begun(&self) -> &SubscribeResult {
        &self.begun
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.client.unsubscribe(self.begun.subscription);
    }
}
