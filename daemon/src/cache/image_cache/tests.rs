//! Tests of the cache with a real journal and real files.

mod damage;
mod room;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::*;
use crate::{cache::NewArtifact, domain::Facts, memory::Holder, store::StoreError};

const MIB: u64 = 1 << 20;

/// A home directory in which one cache after the other is started.
struct Home {
    directory: tempfile::TempDir,
    store: Store,
    budget: Budget,
    events: EventHub,
    hashed: Arc<AtomicU64>,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = store::open(&directory.path().join("reel.db")).unwrap().store;
        let (budget, events) = (Budget::new(64 * MIB), EventHub::default());
        let hashed = Arc::default();
        Self { directory, store, budget, events, hashed }
    }

    /// Makes the journal older than any file.
    async fn was_born_long_ago(&self) {
        let sql = "UPDATE meta SET value = 0 WHERE key = 'born_ms'";
        let write = self.store.write(move |connection| Ok(connection.execute(sql, [])?));
        assert_eq!(write.await.unwrap(), 1);
    }

    fn artifacts(&self) -> PathBuf {
        self.directory.path().join("artifacts")
    }

    fn start(&mut self, limits: SetCacheLimits) -> Addr<ImageCache> {
        let cache = ImageCache::new(CacheParts {
            store: self.store.clone(),
            artifacts: self.artifacts(),
            budget: self.budget.clone(),
            events: self.events.clone(),
            limits,
        });
        self.hashed = Arc::clone(&cache.disk.hashed);
        cache.start()
    }

    fn start_wide(&mut self) -> Addr<ImageCache> {
        self.start(SetCacheLimits { memory_bytes: 8 * MIB, max_item_bytes: MIB, disk_bytes: 64 * MIB })
    }

    /// Pins an artifact as an output of task 1.
    async fn pin(&self, digest: Digest) {
        let pin = self.store.write(move |connection| {
            let sql = "INSERT INTO outputs (task, position, digest) VALUES (1, 0, ?)";
            connection.execute(sql, [digest.as_bytes()]).map_err(StoreError::from)
        });
        pin.await.unwrap();
    }

    fn strays(&self, name: &str) -> usize {
        std::fs::read_dir(self.artifacts().join(name)).map_or(0, Iterator::count)
    }
}

fn picture(fill: u8, size: usize) -> NewArtifact {
    let bytes = vec![fill; size];
    NewArtifact {
        body: crate::cache::Body::Held(bytes),
        reservation: None,
        facts: Facts::new("image/png", "png").with_pixels(4, 3),
    }
}

fn keep_all(key: Option<u8>, pictures: Vec<NewArtifact>) -> KeepMade {
    let key = key.map(|key| [key; 32]);
    let (provider, model) = ("draft".into(), Some("m".into()));
    KeepMade { key, provider, model, artifacts: pictures, notes: Vec::new(), make_room: None }
}

impl Home {
    async fn keep(&self, cache: &Addr<ImageCache>, key: u8, size: usize) -> Result<Made, CacheError> {
        self.keep_this(cache, keep_all(Some(key), vec![picture(key, size)])).await
    }

    /// Stores results like a task: commits the rows, and then tells the cache.
    async fn keep_this(&self, cache: &Addr<ImageCache>, message: KeepMade) -> Result<Made, CacheError> {
        let kept = cache.send(message).await.unwrap()?;
        let (made, rows) = (kept.made.clone(), kept.rows.clone());
        kept.settle(self.store.write(move |connection| rows.write(connection)).await.unwrap());
        // The cache is told by a message, and it answers this later request only after that message.
        stats(cache).await;
        Ok(made)
    }

    /// Stores pictures of 300 bytes, each used later than the one before. Times of use have a resolution of a millisecond.
    async fn keep_in_turn(&self, cache: &Addr<ImageCache>, keys: std::ops::RangeInclusive<u8>) -> Vec<Made> {
        let mut made = Vec::new();
        for key in keys {
            made.push(self.keep(cache, key, 300).await.unwrap());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        made
    }
}

/// Advances the clock so far that no artifact is protected by its last use.
async fn a_minute_later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
}

fn exists(made: &Made) -> bool {
    Path::new(&made.outputs[0].path).exists()
}

async fn look_up(cache: &Addr<ImageCache>, key: u8) -> Option<Made> {
    let msg = LookUp { requests: vec![vec![[key; 32]]], is_counted: true };
    cache.send(msg).await.unwrap().pop().unwrap().map(Arc::unwrap_or_clone)
}

async fn read(
    cache: &Addr<ImageCache>,
    digest: Digest,
    offset: u64,
    length: u64,
) -> Result<ArtifactReadResult, CacheError> {
    cache.send(ReadArtifact { digest, offset, length }).await.unwrap()
}

async fn stats(cache: &Addr<ImageCache>) -> CacheStatsResult {
    cache.send(GetCacheStats).await.unwrap()
}

async fn stop(cache: Addr<ImageCache>) {
    let (tx, rx) = oneshot::channel::<()>();
    cache.send(Stop(tx)).await.unwrap();
    // The sender is dropped when the actor is.
    rx.await.unwrap_err();
}

/// Stops the actor. The sender is dropped together with the actor's last future.
#[derive(Message)]
#[rtype(result = "()")]
struct Stop(oneshot::Sender<()>);

impl Handler<Stop> for ImageCache {
    type Result = ();

    fn handle(&mut self, Stop(tx): Stop, ctx: &mut Self::Context) {
        ctx.spawn(
            async move {
                let _held = tx;
                std::future::pending::<()>().await;
            }
            .into_actor(self),
        );
        ctx.stop();
    }
}

#[actix::test]
async fn what_was_kept_is_a_hit_of_the_same_shape() {
    let mut home = Home::new();
    let cache = home.start_wide();
    assert_eq!(look_up(&cache, 1).await, None);
    let made =
        home.keep_this(&cache, keep_all(Some(1), vec![picture(1, 100), picture(2, 200)])).await.unwrap();
    assert_eq!(made.outputs.len(), 2);
    assert_eq!((made.outputs[1].size_bytes, made.outputs[1].width), (200, Some(4)));
    assert_eq!(std::fs::read(&made.outputs[1].path).unwrap(), [2; 200]);
    assert_eq!(look_up(&cache, 1).await, Some(made.clone()));
    let stats = stats(&cache).await;
    assert_eq!((stats.hits, stats.misses, stats.entries, stats.artifacts), (1, 1, 1, 2));
    assert_eq!((stats.disk_bytes, home.hashed.load(Relaxed)), (300, 0), "what was written here is verified");
    assert_eq!(home.budget.reserved_bytes(), stats.memory_bytes);
    assert_eq!(home.strays("tmp"), 0);
}

#[actix::test]
async fn the_first_key_that_is_had_counts_and_many_requests_are_one_message() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let (first, second) = (home.keep(&cache, 1, 10).await.unwrap(), home.keep(&cache, 2, 20).await.unwrap());
    let (a, b, none) = ([1; 32], [2; 32], [9; 32]);
    let requests = vec![vec![none, b, a], vec![a, b], vec![none], vec![]];
    let found = cache.send(LookUp { requests, is_counted: false }).await.unwrap();
    assert_eq!(found, [Some(second.into()), Some(first.into()), None, None]);
    assert_eq!(stats(&cache).await.hits, 0);
}

#[actix::test]
async fn a_new_actor_on_the_same_home_has_everything_and_hashes_once() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made = home.keep(&cache, 1, 100).await.unwrap();
    stop(cache).await;
    std::fs::write(home.artifacts().join("tmp").join("artifact-left"), b"half").unwrap();
    let cache = home.start_wide();
    let lookups: Vec<_> = (0..10).map(|_| look_up(&cache, 1)).collect();
    for found in futures_join(lookups).await {
        assert_eq!(found.unwrap(), made);
    }
    assert_eq!(home.hashed.load(Relaxed), 1);
    assert_eq!(look_up(&cache, 1).await.unwrap(), made);
    assert_eq!((home.hashed.load(Relaxed), home.strays("tmp")), (1, 0));
    assert_eq!((stats(&cache).await.entries, stats(&cache).await.disk_bytes), (1, 100));
}

/// Runs all futures concurrently.
async fn futures_join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            return std::task::Poll::Ready(done.iter_mut().filter_map(Option::take).collect());
        }
        std::task::Poll::Pending
    })
    .await
}

#[actix::test]
async fn files_without_a_key_are_kept_and_found() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made = home.keep_this(&cache, keep_all(None, vec![picture(7, 70)])).await.unwrap();
    let digest = made.outputs[0].digest;
    let path = cache.send(FindArtifact(digest)).await.unwrap().unwrap();
    assert_eq!(path.to_string_lossy(), made.outputs[0].path);
    assert_eq!(stats(&cache).await.entries, 0);
    let unknown = Digest::from_bytes([0; 32]);
    assert!(matches!(cache.send(FindArtifact(unknown)).await.unwrap(), Err(CacheError::NotFound(_))));
}

#[actix::test]
async fn a_fresh_result_replaces_the_one_of_its_key() {
    let mut home = Home::new();
    let cache = home.start_wide();
    home.keep(&cache, 1, 100).await.unwrap();
    let fresh = home.keep_this(&cache, keep_all(Some(1), vec![picture(2, 50)])).await.unwrap();
    assert_eq!(look_up(&cache, 1).await, Some(fresh));
    assert_eq!((stats(&cache).await.entries, stats(&cache).await.artifacts), (1, 2));
}

#[actix::test]
async fn equal_pictures_kept_at_once_are_one_artifact() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let keeps: Vec<_> = (0..8)
        .map(|key| home.keep_this(&cache, keep_all(Some(key), vec![picture(1, 500), picture(1, 500)])))
        .collect();
    for made in futures_join(keeps).await {
        assert_eq!(made.unwrap().outputs.len(), 2);
    }
    let stats = stats(&cache).await;
    assert_eq!((stats.entries, stats.artifacts, stats.disk_bytes), (8, 1, 500));
}

#[actix::test]
async fn reads_come_from_memory_or_disk_alike() {
    let mut home = Home::new();
    let small = SetCacheLimits { memory_bytes: MIB, max_item_bytes: 1_000, disk_bytes: 64 * MIB };
    let cache = home.start(small);
    for size in [900, 5_000_u64] {
        let digest = home.keep(&cache, (size / 100) as u8, size as usize).await.unwrap().outputs[0].digest;
        let part = read(&cache, digest, size - 10, 4 * MIB).await.unwrap();
        assert_eq!((part.data.0.len(), part.size_bytes, part.media_type.as_str()), (10, size, "image/png"));
        assert_eq!(read(&cache, digest, size, 1).await.unwrap().data.0[..], [0; 0]);
        for (offset, length) in [(size + 1, 1), (0, 4 * MIB + 1), (u64::MAX, u64::MAX)] {
            let refused = read(&cache, digest, offset, length).await;
            assert!(matches!(refused, Err(CacheError::Range { .. })), "{size} {offset}");
        }
    }
    let held = stats(&cache).await.memory_bytes;
    assert!((900..5_000).contains(&held), "{held}: the one over the cap is not in memory");
}

#[actix::test]
async fn memory_is_given_back_when_asked_and_filled_by_reading() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let digest = home.keep(&cache, 1, 1_000).await.unwrap().outputs[0].digest;
    let freed = cache.send(Reclaim { bytes: 1 }).await.unwrap();
    assert!(freed >= 1_000);
    assert_eq!((stats(&cache).await.memory_bytes, home.budget.reserved_bytes()), (0, 0));
    let reads: Vec<_> = (0..10).map(|_| read(&cache, digest, 0, 5)).collect();
    for part in futures_join(reads).await {
        assert_eq!(part.unwrap().data.0[..], [1; 5]);
    }
    assert_eq!(stats(&cache).await.memory_bytes, freed);
    assert_eq!(home.hashed.load(Relaxed), 1);
    let none = SetCacheLimits { memory_bytes: 0, max_item_bytes: MIB, disk_bytes: 64 * MIB };
    cache.send(none).await.unwrap();
    // Items that new limits evict are dropped on another thread, and no answer waits for that.
    let given_back = async {
        while home.budget.reserved_bytes() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), given_back).await.unwrap();
    assert_eq!(read(&cache, digest, 990, 20).await.unwrap().data.0[..], [1; 10]);
}

#[actix::test]
async fn a_budget_that_others_fill_costs_only_the_memory_tier() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let mut others = home.budget.reserve(Holder::Drawing, 64 * MIB).unwrap();
    let made = home.keep(&cache, 1, 1_000).await.unwrap();
    assert_eq!(stats(&cache).await.memory_bytes, 0);
    let digest = made.outputs[0].digest;
    assert!(matches!(read(&cache, digest, 0, 1).await, Err(CacheError::OverMemory)));
    assert_eq!(look_up(&cache, 1).await, Some(made));
    assert!(matches!(cache.send(VerifyCache).await.unwrap(), Err(CacheError::OverMemory)));
    others.shrink(500);
    assert_eq!(read(&cache, digest, 0, 500).await.unwrap().data.0[..], [1; 500]);
    assert_eq!(home.budget.reserved_bytes(), others.bytes());
}

#[actix::test]
async fn coalesced_requests_are_counted() {
    let mut home = Home::new();
    let cache = home.start_wide();
    cache.send(CountCoalesced(3)).await.unwrap();
    assert_eq!(stats(&cache).await.coalesced, 3);
}
