//! Results whose files are written and whose rows are not committed yet. The caller commits the rows together with its own writes.

use std::{fmt, sync::Arc};

use actix::{Message, Recipient};
use rusqlite::Connection;
use tokio::sync::OwnedRwLockReadGuard;

use super::{Key, Made, cap::Granted, verified::Stamp};
use crate::{
    memory::Reservation,
    store::{self, ArtifactRow, Entry, StoreError},
};

/// Results whose files are synced, and survive a power loss once their rows are committed. If it is dropped without [`Kept::settle`], the cache
/// removes the files.
#[derive(Debug)]
pub struct Kept {
    /// The results as they are answered to clients.
    pub made: Made,
    /// The rows, which the caller must write in the transaction that journals the results.
    pub rows: Rows,
    /// None once the cache was told the outcome.
    unsettled: Option<Unsettled>,
    cache: Recipient<Settle>,
}

/// The state that the cache needs when the rows are committed or given up.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub written_files: Vec<WrittenFile>,
    /// The rows of all files that may exist, also of one whose write failed.
    pub files: Vec<ArtifactRow>,
    /// The reserved room below the cap. It is held until the files are counted as stored.
    pub granted: Granted,
    pub key: Option<Key>,
    /// The shared lock of the files. It is held until the cache has recorded the rows, so that nobody removes the files before that.
    pub shared_lock: OwnedRwLockReadGuard<()>,
}

/// An artifact whose file is written.
pub(super) struct WrittenFile {
    pub row: ArtifactRow,
    pub stamp: Stamp,
    /// The bytes, if they are still in memory, with their share of the memory budget.
    pub held: Option<(Vec<u8>, Option<Reservation>)>,
}

/// The rows of results. Cheap to clone, so that a write can be repeated.
#[derive(Debug, Clone)]
pub struct Rows(Arc<Content>);

#[derive(Debug)]
struct Content {
    key: Option<Key>,
    entry: Entry,
}

/// The rows as they are in the journal after [`Rows::write`].
#[derive(Debug)]
pub struct Written {
    /// The entry with the artifact rows of the journal. A row that existed before is not changed, because other tasks show it.
    pub(super) entry: Entry,
    pub(super) added: Added,
}

/// The numbers of rows and bytes that were new to the journal.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub artifacts: u64,
    pub bytes: u64,
    pub entries: u64,
}

/// Tells the cache that the rows of results were committed, or that they will never be (`written` is None).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Settle {
    pub(super) unsettled: Unsettled,
    pub(super) written: Option<Written>,
}

impl Kept {
    pub(super) fn new(made: Made, entry: Entry, unsettled: Unsettled, cache: Recipient<Settle>) -> Self {
        let rows = Rows(Arc::new(Content { key: unsettled.key, entry }));
        Self { made, rows, unsettled: Some(unsettled), cache }
    }

    /// Tells the cache that the rows were committed. Messages that are sent to the cache later find the results.
    pub fn settle(mut self, written: Written) {
        self.send_settle(Some(written));
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "one for each attempt, and their number is bounded by the slots"
    )]
    fn send_settle(&mut self, written: Option<Written>) {
        if let Some(unsettled) = self.unsettled.take() {
            self.cache.do_send(Settle { unsettled, written });
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.send_settle(None);
    }
}

impl Rows {
    /// Inserts the rows of the files and, if there is a key, replaces the cache entry of the key.
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

impl fmt::Debug for WrittenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrittenFile").field("row", &self.row).finish_non_exhaustive()
    }
}
