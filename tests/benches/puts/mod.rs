//! A cache in this process. Pictures are put into it as the services put what a provider made, but without a provider.
//!
//! As in a service, the cache is asked to keep the picture, and then its rows are written to the journal.

use std::{fs, time::Instant};

use actix::{Actor, Addr, System, SystemRunner};
use reel_tests::{Sandbox, bench};
use reeld::{
    cache::{CacheParts, ImageCache, KeepMade, NewArtifact, SetCacheLimits},
    domain::Facts,
    events::EventHub,
    memory::Budget,
    store::{self, Store},
};

const MIB: u64 = 1024 * 1024;

/// The cache, and the system that runs its actor.
pub struct Puts {
    system: SystemRunner,
    cache: Addr<ImageCache>,
    store: Store,
    next: u64,
    _home: Sandbox,
}

/// Returns bytes that differ for each number.
pub fn fresh(number: u64, bytes: usize) -> Vec<u8> {
    let mut fresh = vec![0x5a; bytes];
    fresh[..8].copy_from_slice(&number.to_le_bytes());
    fresh
}

impl Puts {
    /// Makes an empty cache on the real disk, with the daemon's default limits.
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
        let cache = system.block_on(async move { ImageCache::new(parts).start() });
        Self { system, cache, store, next: 0, _home: home }
    }

    /// Puts a picture of this size. Afterwards it is in the memory tier and synced on disk. Returns the seconds that this took, not counting the
    /// making of the bytes.
    pub fn put(&mut self, bytes: usize) -> f64 {
        self.next += 1;
        let number = self.next;
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        let picture = || NewArtifact {
            body: reeld::cache::Body::Held(fresh(number, bytes)),
            reservation: None,
            facts: Facts::new("image/png", "png").with_pixels(1, 1),
        };
        let (cache, store) = (self.cache.clone(), self.store.clone());
        self.system.block_on(async move {
            let artifacts = vec![picture()];
            let made = Instant::now();
            let (key, provider) = (Some(key), "bench".to_owned());
            let keep = KeepMade { key, provider, model: None, artifacts, notes: Vec::new(), make_room: None };
            let kept = cache.send(keep).await.unwrap().unwrap();
            let rows = kept.rows.clone();
            kept.settle(store.write(move |connection| rows.write(connection)).await.unwrap());
            made.elapsed().as_secs_f64()
        })
    }
}
