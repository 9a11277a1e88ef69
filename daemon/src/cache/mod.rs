//! The cache: results of earlier requests, in memory and on disk, and the artifacts that tasks name.

mod error;
mod messages;

pub use self::{
    error::CacheError,
    messages::{
        ClearCache, CountCoalesced, FindArtifact, GetCacheStats, KeepMade, Key, LookUp, Made, ReadArtifact,
        SetCacheLimits, VerifyCache,
    },
};
