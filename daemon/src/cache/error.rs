//! Why the cache could not do what it was asked.

use std::{io, path::PathBuf, sync::Arc};

use reel_protocol::Digest;

use crate::store::StoreError;

/// A variant for each thing that a caller would do differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// No artifact has the digest, or its file was damaged and dropped.
    #[error("no artifact {0}")]
    NotFound(Digest),
    /// More than may be read at once, or from behind the end.
    #[error("cannot read {length} bytes from {offset} of an artifact of {size} bytes")]
    Range {
        /// First byte.
        offset: u64,
        /// How many.
        length: u64,
        /// How many there are.
        size: u64,
    },
    /// The disk tier is at its cap and nothing in it may be evicted.
    #[error(
        "the store holds {held_bytes} of {limit_bytes} bytes and needs {needed_bytes} more, and tasks in the history name all of it"
    )]
    Full {
        /// Held now.
        held_bytes: u64,
        /// `cache.disk_mb`.
        limit_bytes: u64,
        /// Wanted.
        needed_bytes: u64,
    },
    /// The memory budget refused the buffer.
    #[error("no memory to read the artifact now")]
    OverMemory,
    /// The disk has no room.
    #[error("the disk is full: cannot write {}", path.display())]
    DiskFull {
        /// Which file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The journal failed.
    #[error("the journal failed")]
    Store(#[from] StoreError),
}
