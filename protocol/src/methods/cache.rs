//! The params and results of `cache.*`.

use serde::{Deserialize, Serialize};

/// The result of `cache.stats`. Counts begin at zero when the daemon starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CacheStatsResult {
    /// Requests that were answered from the cache.
    pub hits: u64,
    /// Requests that looked for a result in the cache and found none.
    pub misses: u64,
    /// Requests that joined an equal request in flight.
    pub coalesced: u64,
    /// Artifacts whose file was found to be missing or damaged. The cache entries that named them were dropped.
    pub corrupt: u64,
    /// Cache entries: the keys that have a result.
    pub entries: u64,
    /// Artifacts in the disk tier. Each is a file.
    pub artifacts: u64,
    /// Bytes of these artifacts.
    pub disk_bytes: u64,
    /// The configured `cache.disk_mb`, in bytes.
    pub disk_limit_bytes: u64,
    /// Bytes of artifacts in the memory tier.
    pub memory_bytes: u64,
    /// The configured `cache.memory_mb`, in bytes.
    pub memory_limit_bytes: u64,
    /// Artifacts that were evicted to make room for others.
    pub evictions: u64,
}

/// The params of `cache.clear`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CacheClearParams {
    /// Whether only the memory tier is cleared, so that files and entries stay; false if absent.
    #[serde(default)]
    pub memory_only: bool,
}

/// The result of `cache.clear`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CacheClearResult {
    /// Cache entries that were dropped; 0 with `memory_only`.
    pub entries: u64,
    /// Artifacts whose files were removed; 0 with `memory_only`.
    pub artifacts: u64,
    /// Bytes that were freed, on disk and in memory together.
    pub freed_bytes: u64,
    /// Artifacts that stay in the store: a task in the history names them, an unfinished task starts from them, they were put within the last day, or
    /// they were used within the last minute. 0 with `memory_only`.
    pub pinned: u64,
}

/// The result of `cache.verify`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CacheVerifyResult {
    /// Files that were read, damaged ones included.
    pub checked: u64,
    /// Bytes of these files.
    pub checked_bytes: u64,
    /// Files that were damaged. They are set aside, and the cache entries that named them are dropped.
    pub corrupt: u64,
    /// Artifacts whose file was missing. The cache entries that named them are dropped.
    pub missing: u64,
    /// Files in the store that belonged to no artifact. They were removed.
    pub strays: u64,
}
