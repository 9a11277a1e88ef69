//! What was made and has its files, on its way to its rows: whoever journals what follows from it writes them in the same commit.

use std::{fmt, sync::Arc};

use actix::{Message, Recipient};
use rusqlite::Connection;
use tokio::sync::OwnedRwLockReadGuard;

use super::{Key, Made, cap::Granted, verified::Stamp};
use crate::{
    memory::Reservation,
    store::{self, ArtifactRow, Entry, StoreError},
};

/// Results whose files outlast a power loss once their rows do. Dropped without being settled, they are given up.
#[derive(Debug)]
pub struct Kept {
    /// As an answer shows them.
    pub made: Made,
    /// To be written where the results are journaled.
    pub rows: Rows,
    placed: Placed,
}

/// Files that have their names, which nobody was told yet. Dropped without being settled, they are given up.
#[derive(Debug)]
pub struct Placed {
    pub(super) open: Option<Open>,
    cache: Recipient<Settle>,
}

/// What the cache waits to hear about.
#[derive(Debug)]
pub(super) struct Open {
    pub shelves: Vec<Shelf>,
    /// The files, with one that may be there though it could not be written.
    pub files: Vec<ArtifactRow>,
    /// Held until the files are counted.
    pub granted: Granted,
    pub key: Option<Key>,
    /// Held until the cache has followed, so that nobody removes the files in between.
    pub together: OwnedRwLockReadGuard<()>,
}

/// A picture that has its file.
pub(super) struct Shelf {
    pub row: ArtifactRow,
    pub stamp: Stamp,
    /// What is still in memory of it, and its share of the budget.
    pub held: Option<(Vec<u8>, Option<Reservation>)>,
}

/// The rows of results; cheap to clone, so that a write can be repeated.
#[derive(Debug, Clone)]
pub struct Rows(Arc<Content>);

#[derive(Debug)]
struct Content {
    key: Option<Key>,
    entry: Entry,
}

/// What the journal has once the rows are in it.
#[derive(Debug)]
pub struct Written {
    /// With the artifacts as they stand there: what was there before stays as it is, since other tasks show it so.
    pub(super) entry: Entry,
    pub(super) added: Added,
}

/// What rows added.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub artifacts: u64,
    pub bytes: u64,
    pub entries: u64,
}

/// The rows of kept results were committed, or never will be.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Settle {
    pub(super) open: Open,
    pub(super) written: Option<Written>,
}

impl Kept {
    pub(super) fn new(made: Made, key: Option<Key>, entry: Entry, mut placed: Placed) -> Self {
        if let Some(open) = &mut placed.open {
            open.key = key;
        }
        Self { made, rows: Rows(Arc::new(Content { key, entry })), placed }
    }

    /// Tells the cache that the rows were committed: what is asked of it from now on finds them.
    pub fn settle(mut self, written: Written) {
        self.placed.tell(Some(written));
    }
}

impl Placed {
    pub(super) const fn new(open: Open, cache: Recipient<Settle>) -> Self {
        Self { open: Some(open), cache }
    }

    /// The rows of the files, in their order.
    pub(super) fn artifacts(&self) -> Vec<ArtifactRow> {
        self.shelves().map(|shelf| shelf.row.clone()).collect()
    }

    fn shelves(&self) -> impl Iterator<Item = &Shelf> {
        self.open.iter().flat_map(|open| &open.shelves)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "one for each attempt, and their number is bounded by the slots"
    )]
    fn tell(&mut self, written: Option<Written>) {
        if let Some(open) = self.open.take() {
            self.cache.do_send(Settle { open, written });
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.tell(None);
    }
}

impl Rows {
    /// Names the files, and what was asked for them.
    pub fn write(&self, connection: &Connection) -> Result<Written, StoreError> {
        let Content { key, entry } = &*self.0;
        let mut added = Added::default();
        let mut artifacts = Vec::with_capacity(entry.artifacts.len());
        for row in &entry.artifacts {
            let known = store::artifact(connection, row.digest)?;
            if known.is_none() {
                added.artifacts += 1;
                added.bytes += row.size_bytes;
            }
            store::insert_artifact(connection, row, entry.made)?;
            artifacts.push(known.unwrap_or_else(|| row.clone()));
        }
        let entry = Entry { artifacts, ..entry.clone() };
        if let Some(key) = key {
            added.entries = u64::from(store::insert_entry(connection, key, &entry)?);
        }
        Ok(Written { entry, added })
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("row", &self.row).finish_non_exhaustive()
    }
}
