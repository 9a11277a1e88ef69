//! The tasks of the writer thread beside writing: it checks that the journal's files still exist, and writes the log back into the database when the
//! disk gets full.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{StoreError, files::Files, group::Write};
use crate::disk::FreeSpaceCache;

/// Interval at which the files are checked while nothing is written.
const EVERY: Duration = Duration::from_secs(1);

/// A log up to this length is not written back, as that would free next to nothing.
const SMALL_LOG_BYTES: u64 = 256 * 1024;

/// The log is written back before it takes the free room of the disk divided by this.
const LOG_SHARE: u64 = 4;

/// The files of an open journal, and whether they are lost.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub files: Files,
    free_room: FreeSpaceCache,
    lost: watch::Sender<Option<StoreError>>,
}

impl Upkeep {
    pub fn new(files: Files) -> Self {
        Self { files, free_room: FreeSpaceCache::default(), lost: watch::Sender::new(None) }
    }

    /// Returns a channel that has the reason once the files are lost.
    pub fn lost(&self) -> watch::Receiver<Option<StoreError>> {
        self.lost.subscribe()
    }

    /// Waits for the next write, and checks the files meanwhile. Returns None once the journal is closed and the queue is empty.
    pub fn next(
        &mut self,
        connection: &Connection,
        queue: &Receiver<Box<dyn Write>>,
    ) -> Option<Box<dyn Write>> {
        loop {
            match queue.recv_timeout(EVERY) {
                Ok(write) => return Some(write),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.check(connection),
            }
        }
    }

    /// Checks the files, and writes the log back if it takes too much of the disk. Called after each group, and every second without one.
    pub fn check(&mut self, connection: &Connection) {
        if let Err(error) = self.files.check(connection) {
            self.lost.send_if_modified(|known| {
                known.is_none() && {
                    *known = Some(error);
                    true
                }
            });
            return;
        }
        let log_bytes = self.files.log_bytes();
        if log_bytes > SMALL_LOG_BYTES
            && let Some(available_bytes) = self.free_room.available_bytes(self.files.log())
            && is_too_long(log_bytes, available_bytes)
        {
            // This fails if the disk has no room for the database either. The log then keeps its pages.
            let _ = fold(connection);
            self.files.note();
        }
    }
}

/// Runs a checkpoint: writes the log's pages into the database and empties the log.
pub(super) fn fold(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
}

const fn is_too_long(log_bytes: u64, available_bytes: u64) -> bool {
    log_bytes > SMALL_LOG_BYTES && log_bytes > available_bytes / LOG_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_folded_back_before_it_takes_what_the_disk_has_left() {
        const MIB: u64 = 1024 * 1024;
        let table = [
            (16 * MIB, 100 * MIB, false),
            (16 * MIB, 63 * MIB, true),
            (MIB, 5 * MIB, false),
            (MIB, 3 * MIB, true),
            (SMALL_LOG_BYTES, 0, false),
            (SMALL_LOG_BYTES + 1, 0, true),
        ];
        for (log_bytes, available_bytes, expected) in table {
            assert_eq!(is_too_long(log_bytes, available_bytes), expected, "{log_bytes} {available_bytes}");
        }
    }
}
