//! The open connections: how many there are, when one was last used, and which one makes room when there are as many as are served.
//!
//! A program that leaks connections must not lock the person out. So a new connection closes the one that has been idle the longest; only
//! where none is idle is it refused. A client that finds its idle connection closed connects again.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use reel_protocol::limits::CONNECTIONS;
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

/// Idle for less than this, a connection may just be about to send its request.
const IDLE: Duration = Duration::from_secs(1);

/// How often it is logged that connections are closed to make room: a program that leaks them opens hundreds a second.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// The connections of one daemon.
pub(super) struct OpenConnections {
    connections: RefCell<BTreeMap<u64, Rc<Usage>>>,
    last_number: Cell<u64>,
    last_activity: Cell<Instant>,
    warned: Cell<Option<Instant>>,
}

/// How one connection is used.
struct Usage {
    /// Whether it waits for nothing: no answer, no event, nothing to be written.
    is_idle: Cell<bool>,
    /// When it last did anything.
    last_used: Cell<Instant>,
    closing: Notify,
}

/// One connection among them; leaves when dropped.
pub(super) struct OpenConnection {
    all: Rc<OpenConnections>,
    usage: Rc<Usage>,
    /// Never the same twice in one instance.
    pub(super) number: u64,
}

impl OpenConnections {
    /// None are open.
    pub(super) fn new() -> Self {
        Self {
            connections: RefCell::default(),
            last_number: Cell::new(0),
            last_activity: Cell::new(Instant::now()),
            warned: Cell::new(None),
        }
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// When a connection last came, asked or left.
    pub(super) fn last_activity(&self) -> Instant {
        self.last_activity.get()
    }

    /// A connection asked something.
    pub(super) fn note_activity(&self) {
        self.last_activity.set(Instant::now());
    }

    /// Takes one more connection; None if there are as many as are served, and none of them is idle.
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

    /// Closes the connection that has been idle the longest; false if none is.
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
    /// Notes that something happened on the connection, and whether it now waits for nothing.
    pub(super) fn used(&self, is_idle: bool) {
        self.usage.is_idle.set(is_idle);
        self.usage.last_used.set(Instant::now());
    }

    /// Returns once the connection has to be closed for another one.
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
