//! A cache of its own in this process: pictures are put as the services put what a provider made, without a provider.
//!
//! What was made is on a thread that may block, and is written there; then the cache is asked to keep it, and the journal has its rows.

use std::{
    fs,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, System, SystemRunner};
use reel_tests::{Sandbox, bench};
use reeld::{
    cache::{CacheParts, ImageCache, KeepMade, NewArtifact, SetCacheLimits, Shelver},
    domain::Facts,
    events::EventHub,
    memory::Budget,
    store::{self, Store},
};

const MIB: u64 = 1024 * 1024;

/// How long the journal may take for its room.
const PATIENCE: Duration = Duration::from_secs(5);

/// The cache, and the system that its actor runs in.
pub struct Puts {
    system: SystemRunner,
    cache: Addr<ImageCache>,
    shelver: Shelver,
    store: Store,
    next: u64,
    _home: Sandbox,
}

/// Bytes that no other number has.
pub fn fresh(number: u64, bytes: usize) -> Vec<u8> {
    let mut fresh = vec![0x5a; bytes];
    fresh[..8].copy_from_slice(&number.to_le_bytes());
    fresh
}

impl Puts {
    /// An empty one on the real disk, with the daemon's default limits, whose journal has stood for a moment: it has made room for itself.
    pub fn new() -> Self {
        let home = bench::sandbox();
        let artifacts = home.home().join("artifacts");
        fs::create_dir_all(&artifacts).unwrap();
        let store = store::open(&home.home().join("reel.db")).unwrap().store;
        let limits =
            SetCacheLimits { memory_bytes: 200 * MIB, max_item_bytes: 50 * MIB, disk_bytes: 10_240 * MIB };
        let (budget, events) = (Budget::new(2_048 * MIB), EventHub::default());
        let system = System::new();
        let parts = CacheParts { store: store.clone(), artifacts, budget, events, limits };
        let log = home.home().join("reel.db-wal");
        let (cache, shelver) = system.block_on(async move {
            let has_room = async {
                while fs::metadata(&log).unwrap().len() < 16 * MIB {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            // On a disk with little left there never is.
            let _ = tokio::time::timeout(PATIENCE, has_room).await;
            let cache = ImageCache::new(parts);
            let shelver = cache.shelver();
            let cache = cache.start();
            (cache.clone(), shelver(cache.recipient()))
        });
        Self { system, cache, shelver, store, next: 0, _home: home }
    }

    /// Puts one of so many bytes; it is in the memory tier and synced on disk afterwards. Answers how long that took, in seconds, from when
    /// it was made.
    pub fn put(&mut self, bytes: usize) -> f64 {
        self.next += 1;
        let number = self.next;
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        let picture = move || NewArtifact {
            body: reeld::cache::Body::Held(fresh(number, bytes)),
            reservation: None,
            facts: Facts::new("image/png", "png").with_pixels(1, 1),
        };
        let (cache, shelver, store) = (self.cache.clone(), self.shelver.clone(), self.store.clone());
        self.system.block_on(async move {
            let make = move || {
                let pictures = vec![picture()];
                (Instant::now(), shelver.shelve_now(pictures))
            };
            let (made, pictures) = tokio::task::spawn_blocking(make).await.unwrap();
            let (key, provider) = (Some(key), "bench".to_owned());
            let keep = KeepMade { key, provider, model: None, pictures, notes: Vec::new(), make_room: None };
            let kept = cache.send(keep).await.unwrap().unwrap();
            let rows = kept.rows.clone();
            kept.settle(store.write(move |connection| rows.write(connection)).await.unwrap());
            made.elapsed().as_secs_f64()
        })
    }
}
