//! `cache.*`.

use serde::{Deserialize, Serialize};

/// What the cache holds and how it did since the daemon started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheStatsResult {
    /// Requests that were answered from it.
    pub hits: u64,
    /// Requests that were not.
    pub misses: u64,
    /// Requests that joined an equal one under way.
    pub coalesced: u64,
    /// Entries whose file was missing or damaged, and so counted as misses.
    pub corrupt: u64,
    /// Keys that have a result.
    pub entries: u64,
    /// Files in the disk tier.
    pub artifacts: u64,
    /// How many bytes the artifacts have on disk.
    pub disk_bytes: u64,
    /// `cache.disk_mb` in bytes.
    pub disk_limit_bytes: u64,
    /// Bytes of pictures held in memory.
    pub memory_bytes: u64,
    /// `cache.memory_mb` in bytes.
    pub memory_limit_bytes: u64,
    /// Files dropped for room.
    pub evictions: u64,
}

/// What to drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheClearParams {
    /// Only the memory tier; files and keys stay.
    #[serde(default)]
    pub memory_only: bool,
}

/// What was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheClearResult {
    /// How many cache entries were dropped.
    pub entries: u64,
    /// How many files were removed.
    pub artifacts: u64,
    /// Bytes on disk and in memory.
    pub freed_bytes: u64,
    /// Files that stayed: a task in the history names them, or they were used within the last minute.
    pub pinned: u64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheVerifyResult {
    /// How many files were read.
    pub checked: u64,
    /// How many bytes were read.
    pub checked_bytes: u64,
    /// Files that were damaged, and set aside.
    pub corrupt: u64,
    /// Files that were gone.
    pub missing: u64,
    /// Files in the store that nothing named, and that were removed.
    pub strays: u64,
}
