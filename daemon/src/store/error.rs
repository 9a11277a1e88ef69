//! The errors of the journal.

use std::{path::PathBuf, sync::Arc};

use rusqlite::ffi;

use super::files::Lost;
use crate::chain::chain;

/// Why the journal failed. Each variant is something that a caller handles differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. Nothing was written, and a later write may succeed.
    #[error("the disk that holds the journal is full")]
    Full(#[source] Arc<rusqlite::Error>),
    /// `SQLite` finds the database corrupt.
    #[error("the journal is damaged")]
    Damaged(#[source] Arc<rusqlite::Error>),
    /// Tables or rows that every journal has are missing.
    #[error("it is not a whole journal: a part of it is missing")]
    Incomplete,
    /// The database was made by another program.
    #[error("it is a database of another program")]
    Foreign,
    /// A file of the open journal was lost. From then on nothing can be written.
    #[error("the journal was lost while the daemon ran: {} was {lost}", path.display())]
    Lost {
        /// The path of the file that cannot be used.
        path: PathBuf,
        /// How it was lost.
        lost: Lost,
    },
    /// Any other failure of the database.
    #[error("the journal failed")]
    Failed(#[source] Arc<rusqlite::Error>),
    /// The task has left the history, or has another revision than the write expects.
    #[error("the journal has no task {0}")]
    NoTask(reel_protocol::TaskId),
    /// The rows on which a write builds do not exist.
    #[error("the journal has no rows of what was made")]
    NoRows,
    /// A row holds a value that this version cannot decode.
    #[error("the journal holds a value that cannot be read: {0}")]
    Unreadable(String),
    /// The threads of the journal have ended.
    #[error("the journal is closed")]
    Closed,
    /// A picture that only the journal holds could not be written to its file. The journal keeps the picture, and its old schema.
    #[error("cannot write a picture that only the journal holds to its file {}", path.display())]
    Unwritten {
        /// The file, or the directory of all files.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The database was made by a newer version.
    #[error("{} was made by a newer version (schema {found}, this one knows {known})", path.display())]
    Newer {
        /// The path of the database.
        path: PathBuf,
        /// The schema of the database.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// A file beside the database could not be handled.
    #[error("{}", path.display())]
    File {
        /// The path of the file that cannot be used.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Arc<std::io::Error>,
    },
}

impl StoreError {
    /// Returns the error with its causes and the hint, for a person who sees nothing else.
    pub fn explained(&self) -> String {
        let hint = self.hint().map_or_else(String::new, |hint| format!("; {hint}"));
        format!("{}{hint}", chain(self))
    }

    /// Returns what a person can do, if the journal cannot be opened or was lost.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Failed(error) => return hint_of_code(error.sqlite_error()?.extended_code),
            Self::Full(_) => "make room on the disk that holds reel's home",
            Self::Unwritten { .. } => {
                "make room on the disk, or let reel write there; the next start goes on, and nothing is lost meanwhile"
            }
            Self::Foreign => "move that file away, or set REEL_HOME to another directory",
            Self::Newer { .. } => "use the newer version of reel, or set REEL_HOME to another directory",
            Self::Lost { .. } => {
                "this daemon ends; put the files back if they were moved, and run any reel command to start a daemon on what is there"
            }
            _ => return None,
        })
    }
}

impl StoreError {
    /// Returns [`StoreError::Full`] instead if writing failed and `is_full` returns true. `SQLite` reports a used-up quota like any other write
    /// error.
    #[must_use]
    pub fn with_quota(self, is_full: impl FnOnce() -> bool) -> Self {
        match self {
            Self::Failed(error)
                if error.sqlite_error().is_some_and(|cause| WRITING.contains(&cause.extended_code))
                    && is_full() =>
            {
                Self::Full(error)
            }
            other => other,
        }
    }
}

/// The extended codes of failed writes: `IOERR_WRITE`, `IOERR_FSYNC`, `IOERR_TRUNCATE`, `IOERR_SHMSIZE`.
const WRITING: [i32; 4] =
    [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_TRUNCATE, ffi::SQLITE_IOERR_SHMSIZE];

fn hint_of_code(extended_code: i32) -> Option<&'static str> {
    Some(match extended_code {
        ffi::SQLITE_BUSY => {
            "another program holds it, or the file system locks no files, as some network file systems do not: then set REEL_HOME to a local disk"
        }
        ffi::SQLITE_IOERR_LOCK
        | ffi::SQLITE_IOERR_UNLOCK
        | ffi::SQLITE_IOERR_RDLOCK
        | ffi::SQLITE_IOERR_CHECKRESERVEDLOCK
        | ffi::SQLITE_IOERR_SHMOPEN
        | ffi::SQLITE_IOERR_SHMLOCK
        | ffi::SQLITE_IOERR_SHMMAP => {
            "the file system does not lock or map files as a database needs it, as some network file systems do not: set REEL_HOME to a directory on a local disk"
        }
        _ => return None,
    })
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let code = error.sqlite_error_code();
        let error = Arc::new(error);
        match code {
            Some(Code::DiskFull) => Self::Full(error),
            // This version cannot decode the value of a column. `SQLite` could read it, so there is no code.
            None if matches!(
                &*error,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnType(..)
            ) =>
            {
                Self::Unreadable(error.to_string())
            }
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Damaged(error),
            _ => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(extended_code: i32) -> StoreError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended_code), None).into()
    }

    #[test]
    fn a_quota_that_is_used_up_is_a_full_disk_and_no_other_failure_is() {
        assert!(matches!(failed(ffi::SQLITE_FULL), StoreError::Full(_)));
        for (code, is_full, expected) in [
            (ffi::SQLITE_IOERR_WRITE, true, true),
            (ffi::SQLITE_IOERR_FSYNC, true, true),
            (ffi::SQLITE_IOERR_WRITE, false, false),
            (ffi::SQLITE_IOERR_READ, true, false),
        ] {
            let error = failed(code).with_quota(|| is_full);
            assert_eq!(matches!(error, StoreError::Full(_)), expected, "{code} {is_full}");
        }
    }

    #[test]
    fn a_file_system_without_locks_is_told_with_the_way_out() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_IOERR_LOCK, ffi::SQLITE_IOERR_SHMMAP] {
            assert!(failed(code).hint().unwrap().contains("REEL_HOME"), "{code}");
        }
        assert_eq!(failed(ffi::SQLITE_IOERR_READ).hint(), None);
    }
}
