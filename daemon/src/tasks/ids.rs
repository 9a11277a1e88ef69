//! Assigns the ids of tasks and batches, which share one sequence. Ids are reserved on disk in steps, before they are assigned. Pure.

use std::cell::Cell;

/// Size of a step of reserved ids. A cache hit needs a reserved id, so that its answer need not wait for a commit. The step is as large as the number
/// of hits that one busy client gets while the rows of earlier ones are written.
const AHEAD: u64 = 1_024;

/// The id sequence. All callers that assign ids of the same sequence share one value of this type.
#[derive(Debug)]
pub(super) struct Ids {
    next: Cell<u64>,
    /// Ids below this are reserved on disk. After a restart the sequence begins at this id or above it.
    on_disk: Cell<u64>,
}

impl Default for Ids {
    fn default() -> Self {
        Self { next: Cell::new(1), on_disk: Cell::new(0) }
    }
}

impl Ids {
    /// Sets the first id, as recovered from the journal. No id at or above it has been assigned.
    pub fn begin_at(&self, id: u64) {
        self.next.set(id);
        self.on_disk.set(id);
    }

    /// Assigns `count` ids and returns the first of them.
    pub fn take(&self, count: u64) -> u64 {
        self.next.replace(self.next.get() + count)
    }

    /// Returns the first id that has not been assigned.
    pub fn next(&self) -> u64 {
        self.next.get()
    }

    /// Whether the next id may be shown to a client before anything is written.
    pub fn is_reserved(&self) -> bool {
        self.next.get() < self.on_disk.get()
    }

    /// Returns the id below which the journal should reserve all ids. It is rounded to whole steps, so that most commits do not change it.
    pub fn to_reserve(&self) -> u64 {
        (self.next.get() / AHEAD + 2) * AHEAD
    }

    /// Records that the journal has reserved all ids below this one.
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
