//! The numbers of tasks and batches, which share one sequence: reserved on disk in steps, before they are given out. Pure.

use std::cell::Cell;

/// Ids that are reserved on disk ahead of use, so that an answer from the cache need not wait for a commit to have one: as many as one busy
/// client is answered while the rows of those before are written.
const AHEAD: u64 = 1_024;

/// The sequence; whoever gives out ids of it has the same one.
#[derive(Debug)]
pub(super) struct Ids {
    next: Cell<u64>,
    /// Ids below this are reserved on disk: a restart begins at or above it.
    on_disk: Cell<u64>,
}

impl Default for Ids {
    fn default() -> Self {
        Self { next: Cell::new(1), on_disk: Cell::new(0) }
    }
}

impl Ids {
    /// Goes on where the journal says that nothing was given out yet.
    pub fn begin_at(&self, id: u64) {
        self.next.set(id);
        self.on_disk.set(id);
    }

    /// The first of so many.
    pub fn take(&self, count: u64) -> u64 {
        self.next.replace(self.next.get() + count)
    }

    /// The first that was not given out.
    pub fn next(&self) -> u64 {
        self.next.get()
    }

    /// Whether the next one may be shown before anything is written.
    pub fn is_reserved(&self) -> bool {
        self.next.get() < self.on_disk.get()
    }

    /// What the journal shall reserve: whole steps, so that most commits leave the number alone.
    pub fn to_reserve(&self) -> u64 {
        (self.next.get() / AHEAD + 2) * AHEAD
    }

    /// The journal has reserved all below.
    pub fn reserved(&self, below: u64) {
        self.on_disk.set(self.on_disk.get().max(below));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_shown_early_only_below_what_is_reserved_and_never_twice() {
        let ids = Ids::default();
        assert!(!ids.is_reserved());
        ids.begin_at(300);
        assert!(!ids.is_reserved());
        assert_eq!((ids.take(3), ids.take(1), ids.next()), (300, 303, 304));
        let below = ids.to_reserve();
        assert!(below % AHEAD == 0 && below >= 304 + AHEAD, "{below}");
        ids.reserved(below);
        ids.reserved(5);
        assert!(ids.is_reserved());
        ids.take(below - 304);
        assert!(!ids.is_reserved());
    }
}
