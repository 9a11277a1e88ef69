//! Checks that the journal's files are still where they were opened. Writes into a file that was deleted, moved or replaced are lost.
//!
//! The writer thread checks them around each commit, so that no commit into a lost file is acknowledged, and once a second while it is idle. A check
//! is one `stat` per file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::Connection;

use super::{StoreError, aside::with_suffix, origin::note_reserved};
use crate::disk::{self, identity};

/// How a file was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// There is no file at its path: it, or a directory above it, was deleted or moved.
    Gone,
    /// Another file is at its path.
    Replaced,
    /// The file is shorter than it was.
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

/// Most checks whether another program's checkpoint has emptied the log, while that checkpoint runs. They are 1 ms apart, a tenth of a second in all.
const CHECKPOINT_TRIES: u32 = 100;

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    identity: (u64, u64),
    /// Least length in bytes. A shorter file was cut.
    least_bytes: u64,
}

/// The files of an open journal.
#[derive(Debug, Default)]
pub(super) struct Files {
    watched: Vec<Watched>,
    log: PathBuf,
    /// The number in the file beside the database: ids below it are reserved.
    noted_ids: u64,
}

impl Files {
    /// Returns the files of the open database at `path`.
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

    /// Returns the path of the log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns whether the disk of the files is full.
    pub fn is_disk_full(&self) -> bool {
        self.log.parent().is_some_and(disk::is_full)
    }

    /// Returns the length of the log in bytes; 0 if it cannot be read.
    pub fn log_bytes(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// Fails if a file was replaced or is missing, or is shorter than at the last [`Files::note`]. A log that another program's checkpoint emptied is
    /// not an error. Must not be called inside a transaction.
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

    /// Like [`Files::check`] but after a write, which may shorten the log. Ignores the lengths, and then records them.
    pub fn check_and_note(&mut self) -> Result<(), StoreError> {
        self.watched.iter().try_for_each(|file| file.check(false))?;
        self.note();
        Ok(())
    }

    /// Writes the ids that a commit reserved into the file beside the database. Called after the commit and before its writes are answered.
    pub fn note_ids(&mut self, connection: &Connection) {
        self.noted_ids = note_reserved(connection, self.noted_ids);
    }

    /// Records the lengths. The files must not get shorter than that.
    pub fn note(&mut self) {
        for file in &mut self.watched {
            file.least_bytes = fs::metadata(&file.path).map_or(file.least_bytes, |metadata| metadata.len());
        }
    }
}

/// Returns whether `SQLite` counts no frame in the log, whose file is empty. That is so after a checkpoint of another program, which wrote the whole
/// log into the database first. If the file was cut, the index in shared memory still counts its frames.
///
/// The checkpoint that it runs finds nothing to write in an empty file.
fn has_empty_log(connection: &Connection) -> bool {
    let frames = || connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
    for _ in 0..CHECKPOINT_TRIES {
        match frames() {
            // The other program's checkpoint is still running.
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
            // An error of the disk does not mean that the file is lost. If it is, a write will fail.
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
