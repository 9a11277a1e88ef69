//! What can go wrong in the journal.

use std::{path::PathBuf, sync::Arc};

use super::files::Lost;

/// A variant for each thing that a caller would do differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room: nothing was written, it may work again later.
    #[error("the disk that holds the journal is full")]
    Full(#[source] Arc<rusqlite::Error>),
    /// More writes are waiting than the queue holds.
    #[error("the journal has too many writes waiting")]
    Busy,
    /// The database's content does not hold.
    #[error("the journal is damaged")]
    Damaged(#[source] Arc<rusqlite::Error>),
    /// Tables or rows that a journal has are not there.
    #[error("it is not a whole journal: a part of it is missing")]
    Incomplete,
    /// The database was made by another program.
    #[error("it is a database of another program")]
    Foreign,
    /// A file of the open journal is not there any more: nothing can be kept.
    #[error("the journal was lost while the daemon ran: {} was {lost}", path.display())]
    Lost {
        /// Which file.
        path: PathBuf,
        /// What became of it.
        lost: Lost,
    },
    /// Any other failure of the database.
    #[error("the journal failed")]
    Failed(#[source] Arc<rusqlite::Error>),
    /// The task has left the history.
    #[error("the journal has no task {0}")]
    NoTask(reel_protocol::TaskId),
    /// The rows that a write builds on are not there.
    #[error("the journal has no rows of what was made")]
    NoRows,
    /// A row holds what this version cannot read.
    #[error("the journal holds a value that cannot be read: {0}")]
    Unreadable(String),
    /// The store's threads have ended.
    #[error("the journal is closed")]
    Closed,
    /// The database was made by a newer version.
    #[error("{} was made by a newer version (schema {found}, this one knows {known})", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A file beside the database could not be handled.
    #[error("{}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
}

impl StoreError {
    /// The next step for a person, where the journal cannot be opened or was lost.
    pub const fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Full(_) => "make room on the disk that holds reel's home",
            Self::Foreign => "move that file away, or set REEL_HOME to another directory",
            Self::Newer { .. } => "use the newer version of reel, or set REEL_HOME to another directory",
            Self::Lost { .. } => {
                "this daemon ends; put the files back if they were moved, and run any reel command to start a daemon on what is there"
            }
            _ => return None,
        })
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let code = error.sqlite_error_code();
        let error = Arc::new(error);
        match code {
            Some(Code::DiskFull) => Self::Full(error),
            // A value of a column that this version cannot read; it has no code, as SQLite itself could.
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
