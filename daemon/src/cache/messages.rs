//! What the cache is asked, and what it answers.

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
    cache::{CacheError, Fresh, Kept},
    domain::InputFile,
    store::{Dropped, Entry},
};

pub use crate::domain::CacheKey as Key;

/// What the cache has, or what was just made: the same shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The results, in order.
    pub outputs: Vec<Output>,
    /// The instance that made them.
    pub provider: String,
    /// Its model.
    pub model: Option<String>,
    /// When.
    pub made: Timestamp,
    /// What is to be said about them.
    pub notes: Vec<TaskNote>,
    /// Why they are not what was asked for, though they were made: the task fails, and has them all the same. Such results have no key.
    pub flaw: Option<TaskError>,
}

impl Made {
    /// As an entry's rows tell it.
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

/// Look up several requests at once: for each one its keys in the order of the providers' selection; the first that is had counts.
/// A missing or damaged file makes a miss. `is_counted` is false for a second look at a request that was counted already.
#[derive(Debug, Message)]
#[rtype(result = "Vec<Option<Arc<Made>>>")]
pub struct LookUp {
    /// Each request's keys; none always misses.
    pub requests: Vec<Vec<Key>>,
    /// Whether hits and misses count.
    pub is_counted: bool,
}

/// Keep what a provider made: its files are synced before the answer, which brings the rows that are still to be committed.
#[derive(Debug, Message)]
#[rtype(result = "Result<Kept, CacheError>")]
pub struct KeepMade {
    /// What equal requests will ask for; None keeps the files only (`cache: off`).
    pub key: Option<Key>,
    /// The instance that made them.
    pub provider: String,
    /// Its model.
    pub model: Option<String>,
    /// In the order of the outputs.
    pub pictures: Fresh,
    /// What is to be said about them.
    pub notes: Vec<TaskNote>,
    /// Asked to let the oldest tasks go where those in the history name all that could be evicted.
    pub make_room: Option<Recipient<MakeRoom>>,
}

/// Say whether so many bytes could be kept, and make the room for them where the disk tier is at its cap: asked before anything is paid for.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), CacheError>")]
pub struct FindRoom {
    /// Wanted.
    pub bytes: u64,
    /// Asked as in [`KeepMade`].
    pub make_room: Option<Recipient<MakeRoom>>,
}

/// Drop the oldest finished tasks until so many bytes of artifacts are named by no task any more; answers how many bytes that are, 0 if
/// none can be.
#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub struct MakeRoom {
    /// Wanted.
    pub bytes: u64,
}

/// Read a part of an artifact; the whole is verified once before its first byte leaves.
#[derive(Debug, Message)]
#[rtype(result = "Result<ArtifactReadResult, CacheError>")]
pub struct ReadArtifact {
    /// Which.
    pub digest: Digest,
    /// First byte.
    pub offset: u64,
    /// At most 4 MiB.
    pub length: u64,
}

/// Answer where an artifact lies.
#[derive(Debug, Message)]
#[rtype(result = "Result<PathBuf, CacheError>")]
pub struct FindArtifact(pub Digest);

/// Answer where an artifact lies, and what it is, for a task to start from. Its file was verified.
#[derive(Debug, Message)]
#[rtype(result = "Result<InputFile, CacheError>")]
pub struct FindInput(pub Digest);

/// Remove these artifacts, but for those that a task or a pin names.
#[derive(Debug, Message)]
#[rtype(result = "Result<Dropped, CacheError>")]
pub struct RemoveArtifacts(pub Vec<Digest>);

/// Count requests that joined an equal one under way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CountCoalesced(pub u64);

/// Answer what the cache holds.
#[derive(Debug, Message)]
#[rtype(result = "CacheStatsResult")]
pub struct GetCacheStats;

/// Drop entries.
#[derive(Debug, Message)]
#[rtype(result = "Result<CacheClearResult, CacheError>")]
pub struct ClearCache {
    /// Only the memory tier.
    pub is_memory_only: bool,
}

/// Read every artifact back.
#[derive(Debug, Message)]
#[rtype(result = "Result<CacheVerifyResult, CacheError>")]
pub struct VerifyCache;

/// Take new limits, in bytes.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SetCacheLimits {
    /// Of the memory tier.
    pub memory_bytes: u64,
    /// Of one item in the memory tier.
    pub max_item_bytes: u64,
    /// Of the disk tier.
    pub disk_bytes: u64,
}
