//! The cache's actor. It owns the memory tier, the index of the disk tier, and the cap of the disk tier.
//!
//! It promises: a hit has the same shape as a new result; a missing or damaged file is a miss, never an error; a result that was answered as kept
//! survives a power loss; nothing outside the artifacts' directory is deleted, and nothing in it that a task names or is about to name. The task
//! tracker, the sessions and the memory supervisor send messages to it.

mod check;
mod evict;
mod keep;
mod look_up;
mod read;
mod verify;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use reel_protocol::{
    Digest,
    methods::{ArtifactReadResult, CacheClearResult, CacheStatsResult, CacheVerifyResult},
};
use tokio::{
    sync::{RwLock, Semaphore, oneshot},
    time::Instant,
};
use tracing::{error, warn};

use self::check::{CheckFile, Verdict};
use super::{
    CacheError, ClearCache, CountCoalesced, FindArtifact, FindInput, FindRoom, GetCacheStats, KeepMade, Kept,
    LookUp, Made, ReadArtifact, RemoveArtifacts, SetCacheLimits, Settle, VerifyCache,
    cap::Cap,
    disk_tier::DiskTier,
    hit_tables::HitTables,
    memory_tier::{Evicted, MemoryTier},
};
use crate::{
    chain::chain,
    domain::InputFile,
    events::EventHub,
    memory::{Budget, Reclaim},
    store::{self, ArtifactRow, Dropped, Store},
};

/// Capacity of the mailbox. Every running task and every session sends one message at a time.
const MAILBOX: usize = 1_024;
/// Interval at which times of use are written. A cache hit must not cost a commit, and eviction spares what was used in the last minute anyway.
const WRITE_USES: Duration = Duration::from_secs(30);
/// Most files that are hashed at once. More would only make the disk seek.
const HASHED_AT_ONCE: usize = 4;

/// What the cache is built from.
#[derive(Debug)]
pub struct CacheParts {
    /// The journal, which has the rows of artifacts and cache entries.
    pub store: Store,
    /// The directory of the files, `<home>/artifacts`.
    pub artifacts: PathBuf,
    /// The memory budget.
    pub budget: Budget,
    /// Receives the events about evictions and damaged files.
    pub events: EventHub,
    /// The limits of the tiers.
    pub limits: SetCacheLimits,
}

/// The cache's actor.
#[derive(Debug)]
pub struct ImageCache {
    store: Store,
    disk: DiskTier,
    budget: Budget,
    events: EventHub,
    cap: Cap,
    memory: MemoryTier,
    tables: HitTables,
    /// The requests that wait for a file that is being verified, by digest.
    verifications: HashMap<Digest, Vec<oneshot::Sender<Verdict>>>,
    hashing: Arc<Semaphore>,
    /// Guards the files. Writers hold it shared, from writing a file until its row is committed or given up. Whoever removes files holds it
    /// exclusively. So nobody removes a file that a writer has just found to exist.
    files_lock: Arc<RwLock<()>>,
    /// The counters. The numbers that [`GetCacheStats`] computes are not up to date in it.
    stats: CacheStatsResult,
}

impl ImageCache {
    /// Creates the cache. It counts the existing artifacts when the actor starts.
    pub fn new(parts: CacheParts) -> Self {
        let SetCacheLimits { memory_bytes, max_item_bytes, disk_bytes } = parts.limits;
        Self {
            store: parts.store,
            disk: DiskTier::new(parts.artifacts),
            budget: parts.budget,
            events: parts.events,
            cap: Cap::new(disk_bytes),
            memory: MemoryTier::new(memory_bytes, max_item_bytes),
            tables: HitTables::default(),
            verifications: HashMap::new(),
            hashing: Arc::new(Semaphore::new(HASHED_AT_ONCE)),
            files_lock: Arc::default(),
            stats: CacheStatsResult::default(),
        }
    }
}

impl Actor for ImageCache {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(WRITE_USES, |actor, _| actor.write_uses());
        let totals = self.store.read(store::totals);
        let disk = self.disk.clone();
        let prepare = async move {
            // This fails only if the runtime ends.
            let _ = tokio::task::spawn_blocking(move || disk.remove_temporary()).await;
            totals.await
        };
        // No message is handled before the totals are known. A change that came earlier would be counted twice.
        ctx.wait(prepare.into_actor(self).map(|totals, actor, _| {
            let (entries, artifacts, disk_bytes) = totals.unwrap_or_else(|error| {
                error!(error = chain(&error), "cannot count what the cache holds");
                (0, 0, 0)
            });
            actor.stats = CacheStatsResult { entries, artifacts, ..actor.stats };
            actor.cap.count(disk_bytes);
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.write_uses();
    }
}

impl Handler<LookUp> for ImageCache {
    type Result = ActorResponse<Self, Vec<Option<Arc<Made>>>>;

    fn handle(&mut self, msg: LookUp, ctx: &mut Self::Context) -> Self::Result {
        self.look_up(msg, ctx)
    }
}

impl Handler<KeepMade> for ImageCache {
    type Result = ResponseActFuture<Self, Result<Kept, CacheError>>;

    fn handle(&mut self, msg: KeepMade, ctx: &mut Self::Context) -> Self::Result {
        self.keep(msg, ctx)
    }
}

impl Handler<Settle> for ImageCache {
    type Result = ();

    fn handle(&mut self, msg: Settle, _: &mut Self::Context) {
        self.settle(msg);
    }
}

impl Handler<FindRoom> for ImageCache {
    type Result = ResponseActFuture<Self, Result<(), CacheError>>;

    fn handle(&mut self, msg: FindRoom, _: &mut Self::Context) -> Self::Result {
        self.find_room(msg)
    }
}

impl Handler<ReadArtifact> for ImageCache {
    type Result = ActorResponse<Self, Result<ArtifactReadResult, CacheError>>;

    fn handle(&mut self, msg: ReadArtifact, _: &mut Self::Context) -> Self::Result {
        self.read(msg)
    }
}

impl Handler<FindArtifact> for ImageCache {
    type Result = ResponseActFuture<Self, Result<PathBuf, CacheError>>;

    fn handle(&mut self, FindArtifact(digest): FindArtifact, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.find(digest, false).map(|row, actor, _| row.map(|row| actor.disk.path(&row))))
    }
}

impl Handler<FindInput> for ImageCache {
    type Result = ResponseActFuture<Self, Result<InputFile, CacheError>>;

    fn handle(&mut self, FindInput(digest): FindInput, _: &mut Self::Context) -> Self::Result {
        let input = |row: ArtifactRow, path| {
            let ArtifactRow { media_type, extension, size_bytes, .. } = row;
            InputFile { path, media_type, extension, size_bytes }
        };
        Box::pin(self.find(digest, false).map(move |row, actor, _| {
            row.map(|row| {
                let path = actor.disk.path(&row);
                input(row, path)
            })
        }))
    }
}

impl Handler<RemoveArtifacts> for ImageCache {
    type Result = ResponseActFuture<Self, Result<Dropped, CacheError>>;

    fn handle(&mut self, RemoveArtifacts(digests): RemoveArtifacts, _: &mut Self::Context) -> Self::Result {
        self.remove(digests)
    }
}

impl Handler<CountCoalesced> for ImageCache {
    type Result = ();

    fn handle(&mut self, CountCoalesced(requests): CountCoalesced, _: &mut Self::Context) {
        self.stats.coalesced += requests;
    }
}

impl Handler<GetCacheStats> for ImageCache {
    type Result = MessageResult<GetCacheStats>;

    fn handle(&mut self, _: GetCacheStats, _: &mut Self::Context) -> Self::Result {
        MessageResult(CacheStatsResult {
            disk_bytes: self.cap.held_bytes(),
            disk_limit_bytes: self.cap.limit_bytes(),
            memory_bytes: self.memory.held_bytes(),
            memory_limit_bytes: self.memory.limit_bytes(),
            hits: self.tables.hits,
            ..self.stats
        })
    }
}

impl Handler<ClearCache> for ImageCache {
    type Result = ActorResponse<Self, Result<CacheClearResult, CacheError>>;

    fn handle(&mut self, ClearCache { is_memory_only }: ClearCache, ctx: &mut Self::Context) -> Self::Result {
        self.clear(is_memory_only, ctx)
    }
}

impl Handler<VerifyCache> for ImageCache {
    type Result = ResponseFuture<Result<CacheVerifyResult, CacheError>>;

    fn handle(&mut self, _: VerifyCache, ctx: &mut Self::Context) -> Self::Result {
        self.verify(ctx)
    }
}

impl Handler<SetCacheLimits> for ImageCache {
    type Result = ();

    fn handle(&mut self, msg: SetCacheLimits, _: &mut Self::Context) {
        let evicted = self.memory.set_limits(msg.memory_bytes, msg.max_item_bytes);
        // Nobody needs to wait until the memory is freed.
        drop(tokio::task::spawn_blocking(move || drop(evicted)));
        // Files are removed only when a new one needs their room, so a mistyped cap does not delete paid results.
        self.cap.set_limit(msg.disk_bytes);
    }
}

impl Handler<Reclaim> for ImageCache {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, Reclaim { bytes }: Reclaim, _: &mut Self::Context) -> Self::Result {
        Box::pin(drop_apart(self.memory.free(bytes)))
    }
}

impl Handler<CheckFile> for ImageCache {
    type Result = ResponseFuture<Verdict>;

    fn handle(&mut self, CheckFile(row): CheckFile, ctx: &mut Self::Context) -> Self::Result {
        Box::pin(self.check_file(&row, None, ctx))
    }
}

impl Handler<evict::EvictPage> for ImageCache {
    type Result = ResponseActFuture<Self, Result<Dropped, CacheError>>;

    fn handle(&mut self, _: evict::EvictPage, _: &mut Self::Context) -> Self::Result {
        self.evict_page()
    }
}

impl Handler<evict::EntriesDropped> for ImageCache {
    type Result = ();

    fn handle(&mut self, msg: evict::EntriesDropped, _: &mut Self::Context) {
        self.tables.index.clear();
        self.stats.entries = self.stats.entries.saturating_sub(msg.0);
    }
}

impl ImageCache {
    /// Records a use, which protects the artifact from eviction for a minute.
    fn touch(&mut self, digest: Digest) {
        self.tables.touch(digest);
    }

    /// Writes the times of use to the journal. If a crash loses some, eviction only becomes a little less fair.
    fn write_uses(&mut self) {
        let uses = self.tables.recent.take_unwritten(Instant::now());
        if !uses.is_empty() {
            self.store.write_then(
                move |connection| store::touch(connection, &uses),
                |written| {
                    if let Err(error) = written {
                        warn!(error = chain(&error), "cannot write when artifacts were used");
                    }
                },
            );
        }
    }

    /// Removes dropped artifacts from memory and from the counters, after the commit that dropped them.
    fn forget(&mut self, digests: &HashSet<Digest>, dropped: Dropped) {
        let tables = &mut self.tables;
        tables.index.forget(digests);
        for digest in digests {
            tables.verified.remove(digest);
            self.memory.remove(digest);
            tables.recent.remove(digest);
        }
        let stats = &mut self.stats;
        stats.entries = stats.entries.saturating_sub(dropped.entries);
        stats.artifacts = stats.artifacts.saturating_sub(dropped.artifacts);
        self.cap.subtract(dropped.bytes);
    }
}

/// Frees the memory on another thread, and returns the freed bytes after it. The caller measures the process right after the answer.
async fn drop_apart(evicted: Evicted) -> u64 {
    let freed_bytes = evicted.weight_bytes();
    if !evicted.is_empty() {
        // This fails only if the runtime ends, and then the items are dropped all the same.
        let _ = tokio::task::spawn_blocking(move || drop(evicted)).await;
    }
    freed_bytes
}
