//! The tables in memory that the cache answers hits from: results whose files were verified and have not changed since. They follow the journal.

use std::{collections::HashSet, path::Path};

use reel_protocol::{Digest, Timestamp};
use tokio::time::Instant;

use super::{disk_tier::DiskTier, index::Index, recent::Recent, verified::Verified};

/// What the cache knows without asking the journal. All of it is lost at a restart and learnt again.
#[derive(Debug, Default)]
pub(super) struct HitTables {
    pub index: Index,
    pub verified: Verified,
    pub recent: Recent,
    /// Artifacts that were chosen for eviction. They count as removed while the commit is in flight.
    pub being_evicted: HashSet<Digest>,
    /// Cache hits since the start.
    pub hits: u64,
}

impl HitTables {
    /// Records a use, which protects the artifact from eviction for a minute.
    pub fn touch(&mut self, digest: Digest) {
        self.recent.touch(digest, Instant::now(), Timestamp::now());
    }

    /// Returns whether the file was verified since the daemon started and has not changed since. It calls `stat` here, which takes 2 µs with a warm
    /// inode cache. That is less than a twentieth of the way to another thread and back, and a hit must be answered in microseconds.
    pub fn is_verified(&mut self, digest: &Digest, path: &Path) -> bool {
        self.verified.is_verified(digest, DiskTier::stamp(path))
    }
}
