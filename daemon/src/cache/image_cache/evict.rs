//! Evicts the least recently used artifacts that no task names, to make room for new ones or to clear the cache.

use std::{collections::HashSet, io, sync::Arc};

use actix::{fut, prelude::*};
use futures_util::FutureExt as _;
use reel_protocol::{
    Digest, Timestamp,
    methods::{CacheClearResult, Topic},
};
use tokio::{sync::OwnedRwLockWriteGuard, time::Instant};
use tracing::info;

use super::{ImageCache, drop_apart};
use crate::{
    cache::{CacheError, cap::Granted, disk_tier::DiskTier},
    store::{self, ArtifactRow, Dropped, Store, StoreError},
};

/// Rows of one read or commit. It takes a few milliseconds, so that other requests are served in between.
const PAGE: u32 = 256;

/// The cap divided by this is freed beyond what is needed, if possible. Finding artifacts to evict passes over all pinned rows that were used before
/// them (120 ms at 100,000 rows, on the journal's one reader), so it must not happen for every picture.
const SLACK_PART: u64 = 64;

/// Evicts a page of the evictable artifacts and returns what was dropped. No dropped artifact means that none is left.
#[derive(Debug, Message)]
#[rtype(result = "Result<Dropped, CacheError>")]
pub struct EvictPage;

/// All entries were dropped. The field is their number.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EntriesDropped(pub u64);

impl ImageCache {
    /// Reserves room on disk, and evicts artifacts if needed. If eviction could not make enough room, it evicts nothing and returns
    /// [`CacheError::Full`].
    pub(super) fn make_room(
        &mut self,
        needed_bytes: u64,
    ) -> ResponseActFuture<Self, Result<Granted, CacheError>> {
        if let Ok(granted) = self.cap.grant(needed_bytes) {
            return Box::pin(fut::ready(Ok(granted)));
        }
        if needed_bytes > self.cap.limit_bytes() {
            return Box::pin(fut::ready(Err(self.cap.full(needed_bytes))));
        }
        let exclusive_lock = Arc::clone(&self.files_lock).write_owned().into_actor(self);
        Box::pin(
            exclusive_lock.then(move |exclusive_lock, actor, _| {
                actor.make_room_exclusively(needed_bytes, exclusive_lock)
            }),
        )
    }

    /// Calls itself after each eviction, because another request may have taken the room, or a task may have named a chosen artifact.
    #[expect(clippy::only_used_in_recursion, reason = "held until the room is granted")]
    fn make_room_exclusively(
        &mut self,
        needed_bytes: u64,
        exclusive_lock: OwnedRwLockWriteGuard<()>,
    ) -> ResponseActFuture<Self, Result<Granted, CacheError>> {
        let excess_bytes = match self.cap.grant(needed_bytes) {
            Ok(granted) => return Box::pin(fut::ready(Ok(granted))),
            Err(excess_bytes) => excess_bytes,
        };
        let protected = self.tables.recent.protected(Instant::now());
        let wanted_bytes = excess_bytes.saturating_add(self.cap.limit_bytes() / SLACK_PART);
        let chosen = choose(self.store.clone(), protected, wanted_bytes, usize::MAX).into_actor(self);
        Box::pin(chosen.then(move |chosen, actor, _| {
            let rows = match chosen {
                Ok(rows) if rows.iter().map(|row| row.size_bytes).sum::<u64>() >= excess_bytes => rows,
                Ok(_) => {
                    return Box::pin(fut::ready(Err(actor.cap.full(needed_bytes))))
                        as ResponseActFuture<Self, _>;
                }
                Err(error) => return Box::pin(fut::ready(Err(error.into()))),
            };
            Box::pin(actor.evict(rows).then(move |evicted, actor, _| match evicted {
                Ok(dropped) => {
                    info!(artifacts = dropped.artifacts, bytes = dropped.bytes, "cache evicted");
                    actor.stats.evictions += dropped.artifacts;
                    actor.events.plain(Topic::Cache, "evicted");
                    actor.make_room_exclusively(needed_bytes, exclusive_lock)
                }
                Err(error) => Box::pin(fut::ready(Err(error))),
            }))
        }))
    }

    pub(super) fn evict_page(&mut self) -> ResponseActFuture<Self, Result<Dropped, CacheError>> {
        let exclusive_lock = Arc::clone(&self.files_lock).write_owned();
        let (store, protected) = (self.store.clone(), self.tables.recent.protected(Instant::now()));
        let chosen = async move {
            let exclusive_lock = exclusive_lock.await;
            (choose(store, protected, u64::MAX, PAGE as usize).await, exclusive_lock)
        };
        Box::pin(chosen.into_actor(self).then(|(chosen, exclusive_lock), actor, _| match chosen {
            Ok(rows) => Box::pin(actor.evict(rows).map(move |dropped, _, _| {
                drop(exclusive_lock);
                dropped
            })) as ResponseActFuture<Self, _>,
            Err(error) => Box::pin(fut::ready(Err(error.into()))),
        }))
    }

    /// Removes these artifacts, however recently they were used, unless a task or a pin names them.
    pub(super) fn remove(
        &mut self,
        digests: Vec<Digest>,
    ) -> ResponseActFuture<Self, Result<Dropped, CacheError>> {
        let exclusive_lock = Arc::clone(&self.files_lock).write_owned();
        let rows = self.store.read(move |connection| {
            let rows = digests.into_iter().map(|digest| store::artifact(connection, digest));
            rows.collect::<Result<Vec<_>, _>>()
        });
        let found = async move { (exclusive_lock.await, rows.await) };
        Box::pin(found.into_actor(self).then(|(exclusive_lock, rows), actor, _| match rows {
            Ok(rows) => {
                let dropping = actor.drop_chosen(rows.into_iter().flatten().collect());
                Box::pin(dropping.map(move |dropped, _, _| {
                    drop(exclusive_lock);
                    dropped
                })) as ResponseActFuture<Self, _>
            }
            Err(error) => Box::pin(fut::ready(Err(error.into()))),
        }))
    }

    /// Drops the rows, then the files. The caller holds the lock of the files exclusively. Artifacts that were used or named by a task since they were chosen
    /// stay.
    fn evict(&mut self, mut rows: Vec<ArtifactRow>) -> ResponseActFuture<Self, Result<Dropped, CacheError>> {
        let now = Instant::now();
        rows.retain(|row| !self.tables.recent.is_protected(&row.digest, now));
        self.drop_chosen(rows)
    }

    fn drop_chosen(
        &mut self,
        rows: Vec<ArtifactRow>,
    ) -> ResponseActFuture<Self, Result<Dropped, CacheError>> {
        let chosen: Vec<Digest> = rows.iter().map(|row| row.digest).collect();
        // From here on no lookup returns them, although the commit has not happened yet.
        self.tables.being_evicted.extend(&chosen);
        let gone = drop_rows(self.store.clone(), self.disk.clone(), rows).into_actor(self);
        Box::pin(gone.map(move |(gone, dropped, outcome), actor, _| {
            actor.forget(&gone, dropped);
            for digest in &chosen {
                actor.tables.being_evicted.remove(digest);
            }
            outcome.map(|()| dropped)
        }))
    }

    pub(super) fn clear(
        &mut self,
        is_memory_only: bool,
        ctx: &mut Context<Self>,
    ) -> ActorResponse<Self, Result<CacheClearResult, CacheError>> {
        let dropped = drop_apart(self.memory.free(u64::MAX));
        if is_memory_only {
            let result = |freed_bytes| Ok(CacheClearResult { freed_bytes, ..CacheClearResult::default() });
            return ActorResponse::r#async(dropped.map(result).into_actor(self));
        }
        let (store, address) = (self.store.clone(), ctx.address());
        let work = async move {
            let mut result = CacheClearResult { freed_bytes: dropped.await, ..CacheClearResult::default() };
            result.entries = store.write(store::drop_entries).await?;
            // Both are sent as messages, since a future that calls itself for each page would grow with the number of pages.
            let _ = address.send(EntriesDropped(result.entries)).await;
            while let Ok(dropped) = address.send(EvictPage).await {
                let dropped = dropped?;
                if dropped.artifacts == 0 {
                    break;
                }
                result.artifacts += dropped.artifacts;
                result.freed_bytes += dropped.bytes;
            }
            Ok(result)
        };
        ActorResponse::r#async(work.into_actor(self).map(|result: Result<_, CacheError>, actor, _| {
            result.map(|result| CacheClearResult { pinned: actor.stats.artifacts, ..result })
        }))
    }
}

/// Chooses evictable artifacts, least recently used first, until they have `bytes` in all or are `count`. Returns fewer if there are no more.
async fn choose(
    store: Store,
    protected: HashSet<Digest>,
    bytes: u64,
    count: usize,
) -> Result<Vec<ArtifactRow>, StoreError> {
    let mut chosen = Vec::new();
    let (mut chosen_bytes, mut skip) = (0, 0);
    loop {
        let page =
            store.read(move |connection| store::evictable(connection, Timestamp::now(), skip, PAGE)).await?;
        skip += PAGE;
        let is_last = page.len() < PAGE as usize;
        for row in page.into_iter().filter(|row| !protected.contains(&row.digest)) {
            if chosen_bytes >= bytes || chosen.len() >= count {
                return Ok(chosen);
            }
            chosen_bytes += row.size_bytes;
            chosen.push(row);
        }
        if is_last {
            return Ok(chosen);
        }
    }
}

/// Drops the rows and then removes the files. A crash in between leaves a stray file, which a verification removes, and not a row without its file.
async fn drop_rows(
    store: Store,
    disk: DiskTier,
    rows: Vec<ArtifactRow>,
) -> (HashSet<Digest>, Dropped, Result<(), CacheError>) {
    let (mut gone, mut total) = (HashSet::new(), Dropped::default());
    for page in rows.chunks(PAGE as usize) {
        let page = page.to_vec();
        let committed = store.write(move |connection| {
            let mut total = Dropped::default();
            let mut dropped_rows = Vec::new();
            for row in &page {
                let dropped = store::drop_unpinned(connection, row.digest, Timestamp::now())?;
                total.add(dropped);
                if dropped.artifacts > 0 {
                    dropped_rows.push(row.clone());
                }
            }
            Ok((dropped_rows, total))
        });
        let (dropped_rows, dropped) = match committed.await {
            Ok(committed) => committed,
            Err(error) => return (gone, total, Err(error.into())),
        };
        total.add(dropped);
        gone.extend(dropped_rows.iter().map(|row| row.digest));
        let (disk, path) = (disk.clone(), disk.artifacts().to_owned());
        if let Err(error) = tokio::task::spawn_blocking(move || disk.remove(&dropped_rows)).await {
            let source = Arc::new(io::Error::other(error));
            return (gone, total, Err(CacheError::File { path, source }));
        }
    }
    (gone, total, Ok(()))
}
