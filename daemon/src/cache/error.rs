//! The errors of the cache.

use std::{io, path::PathBuf, sync::Arc};

use reel_protocol::Digest;

use crate::store::StoreError;

/// Why a request to the cache failed. Each variant is something that a caller handles differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// No artifact has the digest, or its file was damaged or missing and the artifact was dropped.
    #[error("no artifact {0}")]
    NotFound(Digest),
    /// The requested range is longer than one read may be, or begins behind the end.
    #[error("cannot read {length} bytes from {offset} of an artifact of {size} bytes")]
    Range {
        /// Offset of the first byte.
        offset: u64,
        /// Requested length, in bytes.
        length: u64,
        /// Size of the artifact, in bytes.
        size: u64,
    },
    /// The disk tier is at its cap, and too little of it may be evicted.
    #[error(
        "the store holds {held_bytes} of {limit_bytes} bytes and needs {needed_bytes} more, and tasks in the history name all of it"
    )]
    Full {
        /// Bytes that are stored or reserved.
        held_bytes: u64,
        /// The limit `cache.disk_mb`, in bytes.
        limit_bytes: u64,
        /// Bytes that were requested.
        needed_bytes: u64,
    },
    /// The memory budget refused the buffer.
    #[error("there is not enough memory to read the artifact now")]
    OverMemory,
    /// The disk is full.
    #[error("the disk is full: cannot write {}", path.display())]
    DiskFull {
        /// The path of the file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Arc<io::Error>,
    },
    /// The journal failed.
    #[error("the journal failed")]
    Store(#[from] StoreError),
}
