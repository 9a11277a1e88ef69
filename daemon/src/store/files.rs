//! Checks that the journal's files are still where they were opened: what is written into a file that was deleted, moved or replaced is lost.
//!
//! The writer's thread checks them around each commit, so that no commit into a lost file is acknowledged, and once a second while nothing is
//! written. A check is a `stat` of each file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::Connection;

use super::{StoreError, aside::with_suffix, origin::note_reserved};
use crate::disk::{self, identity};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing has its name any more: it, or a directory above it, was deleted or moved.
    Gone,
    /// Another file has its name.
    Replaced,
    /// It is shorter than it was.
    Truncated,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gone => "deleted or moved",
            Self::Replaced => "replaced by another file",
            Self::Truncated => "cut",
        })
    }
}

/// How often the writer asks whether another program's checkpoint emptied the log, while that program is still at it: a tenth of a second in all.
const CHECKPOINT_TRIES: u32 = 100;

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    identity: (u64, u64),
    /// It must not be shorter than this.
    least_bytes: u64,
}

/// The files of an open journal.
#[derive(Debug, Default)]
pub(super) struct Files {
    watched: Vec<Watched>,
    log: PathBuf,
    /// Ids that the file beside the database says are reserved.
    noted_ids: u64,
}

impl Files {
    /// Those of the database at `path`, which is open.
    pub fn of(path: &Path) -> Self {
        let log = with_suffix(path, "-wal");
        let watched = [path, &log].into_iter().filter_map(|path| {
            let identity = identity(&fs::metadata(path).ok()?);
            Some(Watched { path: path.to_owned(), identity, least_bytes: 0 })
        });
        let mut files = Self { watched: watched.collect(), log, noted_ids: 0 };
        files.note();
        files
    }

    /// The log's path.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether their disk has no room for us.
    pub fn is_disk_full(&self) -> bool {
        self.log.parent().is_some_and(disk::is_full)
    }

    /// The log's length.
    pub fn log_bytes(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// Fails where a file is not what it was, or is shorter than at the last [`Files::note`]. Must not be called inside a transaction.
    pub fn check(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let checked = self.watched.iter().try_for_each(|file| file.check(true));
        if matches!(&checked, Err(StoreError::Lost { path, lost: Lost::Truncated }) if *path == self.log)
            && self.log_bytes() == 0
            && has_empty_log(connection)
        {
            self.note();
            return self.watched.iter().try_for_each(|file| file.check(true));
        }
        checked
    }

    /// The same after writing, which may make the log shorter; then takes the lengths for what they must be from now on.
    pub fn check_and_note(&mut self) -> Result<(), StoreError> {
        self.watched.iter().try_for_each(|file| file.check(false))?;
        self.note();
        Ok(())
    }

    /// After a commit: has the ids that it reserved noted beside the database, before anybody is told of it.
    pub fn note_ids(&mut self, connection: &Connection) {
        self.noted_ids = note_reserved(connection, self.noted_ids);
    }

    /// Takes the lengths for what they must be from now on.
    pub fn note(&mut self) {
        for file in &mut self.watched {
            file.least_bytes = fs::metadata(&file.path).map_or(file.least_bytes, |metadata| metadata.len());
        }
    }
}

/// Whether `SQLite` knows of no frame in the log, although its file is empty: so it is after a checkpoint of another program, which wrote all of
/// the log into the database first. Where the file was cut, the index in shared memory still counts its frames.
///
/// This checkpoint finds nothing to write in an empty file.
fn has_empty_log(connection: &Connection) -> bool {
    let frames = || connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
    for _ in 0..CHECKPOINT_TRIES {
        match frames() {
            // The other program's checkpoint has not ended.
            Ok(-1) => thread::park_timeout(Duration::from_millis(1)),
            frames => return frames == Ok(0),
        }
    }
    false
}

impl Watched {
    fn check(&self, with_length: bool) -> Result<(), StoreError> {
        let lost = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Lost::Gone,
            Ok(metadata) if identity(&metadata) != self.identity => Lost::Replaced,
            Ok(metadata) if with_length && metadata.len() < self.least_bytes => Lost::Truncated,
            // A disk that answers nothing has lost nothing yet: a write says so, if it is so.
            Ok(_) | Err(_) => return Ok(()),
        };
        Err(StoreError::Lost { path: self.path.clone(), lost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_deleted_moved_replaced_or_cut_is_noticed_and_one_that_is_written_is_not() {
        type Change = fn(&Path);
        let table: [(Change, Option<Lost>); 6] = [
            (|path| fs::remove_file(path).unwrap(), Some(Lost::Gone)),
            (|path| fs::remove_dir_all(path.parent().unwrap()).unwrap(), Some(Lost::Gone)),
            (
                |path| {
                    fs::rename(path.parent().unwrap(), path.parent().unwrap().with_extension("x")).unwrap();
                },
                Some(Lost::Gone),
            ),
            (
                |path| {
                    fs::write(path.with_extension("new"), b"as long as it").unwrap();
                    fs::rename(path.with_extension("new"), path).unwrap();
                },
                Some(Lost::Replaced),
            ),
            (|path| fs::write(with_suffix(path, "-wal"), b"").unwrap(), Some(Lost::Truncated)),
            (|path| fs::write(path, b"longer than it was").unwrap(), None),
        ];
        for (number, (change, expected)) in table.into_iter().enumerate() {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("home/reel.db");
            fs::create_dir(root.path().join("home")).unwrap();
            fs::write(&path, b"database").unwrap();
            fs::write(with_suffix(&path, "-wal"), b"log").unwrap();
            let mut files = Files::of(&path);
            let connection = Connection::open_in_memory().unwrap();
            files.check(&connection).unwrap();
            change(&path);
            let found = match files.check(&connection) {
                Ok(()) => None,
                Err(StoreError::Lost { lost, .. }) => Some(lost),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found, expected, "{number}");
            assert_eq!(
                files.check_and_note().is_ok(),
                matches!(expected, None | Some(Lost::Truncated)),
                "{number}"
            );
        }
    }
}
