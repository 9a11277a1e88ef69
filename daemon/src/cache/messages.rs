//! The messages to the cache, and the types of its answers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use actix::{Message, Recipient};
use reel_protocol::{
    Digest, Output, TaskError, TaskNote, Timestamp,
    methods::{ArtifactReadResult, CacheClearResult, CacheStatsResult, CacheVerifyResult},
};

use crate::{
    cache::{CacheError, Kept, NewArtifact},
    domain::InputFile,
    store::{Dropped, Entry},
};

pub use crate::domain::CacheKey as Key;

/// A result: one that the cache has, or one that was just made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The output files, in order.
    pub outputs: Vec<Output>,
    /// The name of the provider's instance that made them.
    pub provider: String,
    /// The model that made them, if it is known.
    pub model: Option<String>,
    /// When they were made.
    pub made: Timestamp,
    /// Notes for the user about them.
    pub notes: Vec<TaskNote>,
    /// Why they are not what was requested. The task then fails but keeps them. Such results have no key, so no later request finds them.
    pub flaw: Option<TaskError>,
}

impl Made {
    /// Builds the result from the rows of a cache entry. `artifacts` is the directory of the files.
    pub(super) fn of(entry: &Entry, artifacts: &Path) -> Self {
        let outputs = entry.artifacts.iter().map(|row| row.output(artifacts)).collect();
        Self {
            outputs,
            provider: entry.provider.clone(),
            model: entry.model.clone(),
            made: entry.made,
            notes: entry.notes.clone(),
            flaw: None,
        }
    }
}

/// Looks up several requests at once, and returns one result for each of them in the same order. Each request has its keys in the order of the
/// providers' selection, and its result is that of the first key with a hit. A missing, damaged or unreadable file makes a miss.
#[derive(Debug, Message)]
#[rtype(result = "Vec<Option<Arc<Made>>>")]
pub struct LookUp {
    /// The keys of each request. A request without keys is always a miss.
    pub requests: Vec<Vec<Key>>,
    /// Whether hits and misses count in the statistics. False for a second lookup of a request that was counted before.
    pub is_counted: bool,
}

/// Stores the files that a provider made. They are synced before the answer, which holds the rows that the caller must still commit.
#[derive(Debug, Message)]
#[rtype(result = "Result<Kept, CacheError>")]
pub struct KeepMade {
    /// The cache key under which equal requests find the result; None keeps only the files (`cache: off`).
    pub key: Option<Key>,
    /// The name of the provider's instance that made them.
    pub provider: String,
    /// The model that made them, if it is known.
    pub model: Option<String>,
    /// The files that were made, in the order of the outputs.
    pub artifacts: Vec<NewArtifact>,
    /// Notes for the user about them.
    pub notes: Vec<TaskNote>,
    /// Prunes the history when its tasks name every artifact that could be evicted. None if the history must stay.
    pub make_room: Option<Recipient<MakeRoom>>,
}

/// Checks whether so many bytes can be stored, and evicts artifacts if the disk tier is at its cap. It is sent before a paid request leaves. It
/// reserves nothing.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), CacheError>")]
pub struct FindRoom {
    /// The size of the expected files, in bytes.
    pub bytes: u64,
    /// Prunes the history, as in [`KeepMade`].
    pub make_room: Option<Recipient<MakeRoom>>,
}

/// Drops the oldest finished tasks until no remaining task names so many bytes of artifacts. Returns the bytes that became free for eviction; 0 if
/// none could.
#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub struct MakeRoom {
    /// The bytes that must become free for eviction.
    pub bytes: u64,
}

/// Reads a part of an artifact. The whole file is verified before its first byte is returned.
#[derive(Debug, Message)]
#[rtype(result = "Result<ArtifactReadResult, CacheError>")]
pub struct ReadArtifact {
    /// The artifact's digest.
    pub digest: Digest,
    /// Offset of the first byte.
    pub offset: u64,
    /// Most bytes to return, at most 4 MiB. Fewer are returned at the end of the file.
    pub length: u64,
}

/// Returns the path of an artifact's file, which was verified.
#[derive(Debug, Message)]
#[rtype(result = "Result<PathBuf, CacheError>")]
pub struct FindArtifact(pub Digest);

/// Returns the path, type and size of an artifact that a task starts from. The file was verified.
#[derive(Debug, Message)]
#[rtype(result = "Result<InputFile, CacheError>")]
pub struct FindInput(pub Digest);

/// Removes these artifacts, except those that a task or a pin names. Returns what was removed.
#[derive(Debug, Message)]
#[rtype(result = "Result<Dropped, CacheError>")]
pub struct RemoveArtifacts(pub Vec<Digest>);

/// Counts requests that joined an equal request in flight.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CountCoalesced(pub u64);

/// Returns the sizes, limits and counters of the cache.
#[derive(Debug, Message)]
#[rtype(result = "CacheStatsResult")]
pub struct GetCacheStats;

/// Drops all entries of the memory tier or of the whole cache. Artifacts that tasks name stay on disk.
#[derive(Debug, Message)]
#[rtype(result = "Result<CacheClearResult, CacheError>")]
pub struct ClearCache {
    /// Whether only the memory tier is emptied.
    pub is_memory_only: bool,
}

/// Reads every artifact back and verifies it. Drops the damaged ones and removes stray files.
#[derive(Debug, Message)]
#[rtype(result = "Result<CacheVerifyResult, CacheError>")]
pub struct VerifyCache;

/// Sets new limits, in bytes.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SetCacheLimits {
    /// Largest size of the memory tier.
    pub memory_bytes: u64,
    /// Largest size of one item in the memory tier.
    pub max_item_bytes: u64,
    /// Largest size of the disk tier.
    pub disk_bytes: u64,
}
