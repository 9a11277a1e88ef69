//! The open connections: their number, the time of the last activity, and which one is closed when the limit is reached.
//!
//! A program that leaks connections must not lock out the user. So at the limit a new connection closes the one that has been idle for the longest
//! time. It is refused only if none is idle. A client whose idle connection was closed connects again.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use reel_protocol::limits::CONNECTIONS;
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

/// The least idle time before a connection may be closed. A client that was active more recently may be about to send a request.
const IDLE: Duration = Duration::from_secs(1);

/// The least interval between two log messages about closed connections. A program that leaks connections opens hundreds of them per second.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The open connections of one daemon.
pub(super) struct OpenConnections {
    connections: RefCell<BTreeMap<u64, Rc<Usage>>>,
    last_number: Cell<u64>,
    last_activity: Cell<Instant>,
    warned: Cell<Option<Instant>>,
}

/// The state of one connection.
struct Usage {
    /// Whether nothing is pending: no request, no subscription, and no bytes to write.
    is_idle: Cell<bool>,
    /// The time of the last activity.
    last_used: Cell<Instant>,
    closing: Notify,
}

/// One open connection. Its drop removes it from the others.
pub(super) struct OpenConnection {
    all: Rc<OpenConnections>,
    usage: Rc<Usage>,
    /// The number of the connection. It is unique during the life of the daemon.
    pub(super) number: u64,
}

impl OpenConnections {
    /// Returns a set without connections.
    pub(super) fn new() -> Self {
        Self {
            connections: RefCell::default(),
            last_number: Cell::new(0),
            last_activity: Cell::new(Instant::now()),
            warned: Cell::new(None),
        }
    }

    /// Returns the number of open connections.
    pub(super) fn count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Returns the time at which a connection was last opened, sent a request or was closed.
    pub(super) fn last_activity(&self) -> Instant {
        self.last_activity.get()
    }

    /// Records that a connection sent a request.
    pub(super) fn note_activity(&self) {
        self.last_activity.set(Instant::now());
    }

    /// Opens a connection. None if the limit is reached and none of the others is idle.
    pub(super) fn open(self: &Rc<Self>) -> Option<OpenConnection> {
        if self.count() >= CONNECTIONS && !self.close_one() {
            return None;
        }
        self.note_activity();
        let number = self.last_number.get() + 1;
        self.last_number.set(number);
        let usage = Rc::new(Usage {
            is_idle: Cell::new(true),
            last_used: Cell::new(Instant::now()),
            closing: Notify::new(),
        });
        self.connections.borrow_mut().insert(number, Rc::clone(&usage));
        Some(OpenConnection { all: Rc::clone(self), usage, number })
    }

    /// Closes the connection that has been idle for the longest time. Returns false if none is idle.
    fn close_one(&self) -> bool {
        let mut connections = self.connections.borrow_mut();
        let idle = connections.iter().filter(|(_, usage)| usage.is_idle.get());
        let longest = idle.min_by_key(|(_, usage)| usage.last_used.get());
        let Some((&number, usage)) = longest.filter(|(_, usage)| usage.last_used.get().elapsed() >= IDLE)
        else {
            return false;
        };
        usage.closing.notify_one();
        connections.remove(&number);
        if self.warned.get().is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            warn!(
                connections = CONNECTIONS,
                "all connections are taken: those that are idle the longest are closed for new ones"
            );
            self.warned.set(Some(Instant::now()));
        }
        true
    }
}

impl OpenConnection {
    /// Records activity on the connection, and whether nothing is pending on it.
    pub(super) fn used(&self, is_idle: bool) {
        self.usage.is_idle.set(is_idle);
        self.usage.last_used.set(Instant::now());
    }

    /// Returns once the connection must be closed to make room for another one.
    pub(super) async fn closing(&self) {
        self.usage.closing.notified().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.all.connections.borrow_mut().remove(&self.number);
        self.all.note_activity();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_makes_room_and_a_busy_one_never_does() {
        let all = Rc::new(OpenConnections::new());
        let open: Vec<_> = (0..CONNECTIONS).map(|_| all.open().unwrap()).collect();
        assert!(all.open().is_none(), "all may just be about to ask");
        tokio::time::advance(IDLE).await;
        open[0].used(false);
        open[1].used(true);
        let new = all.open().unwrap();
        assert_eq!((all.count(), new.number), (CONNECTIONS, CONNECTIONS as u64 + 1));
        open[2].closing().await;
        for connection in &open {
            connection.used(false);
        }
        tokio::time::advance(IDLE).await;
        new.used(false);
        assert!(all.open().is_none(), "none is idle");
        drop((new, open));
        assert_eq!(all.count(), 0);
    }
}
