//! The cache. It holds the results of earlier requests, in memory and on disk, and the artifacts that tasks name.

mod cap;
mod disk_tier;
mod error;
mod hit_tables;
mod image_cache;
mod index;
mod kept;
mod memory_tier;
mod messages;
mod new_artifact;
mod os;
mod recent;
mod spool;
mod verified;
mod write_files;

pub use self::{
    error::CacheError,
    image_cache::{CacheParts, ImageCache},
    kept::{Kept, Rows, Settle, Written},
    messages::{
        ClearCache, CountCoalesced, FindArtifact, FindInput, FindRoom, GetCacheStats, KeepMade, Key, LookUp,
        Made, MakeRoom, ReadArtifact, RemoveArtifacts, SetCacheLimits, VerifyCache,
    },
    new_artifact::NewArtifact,
    spool::{Body, Preview, ReadSeek, SPOOL_BYTES, Spool, Spooled, Spools},
};
