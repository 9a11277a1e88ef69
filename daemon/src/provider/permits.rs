//! Permits: how many attempts a provider instance may have under way.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of all providers; cheap to clone. The one place that counts attempts under way.
#[derive(Debug, Clone, Default)]
pub struct Permits {
    pools: Arc<BTreeMap<Arc<str>, Pool>>,
}

#[derive(Debug)]
struct Pool {
    semaphore: Arc<Semaphore>,
    size: u32,
}

/// The right to have one attempt under way; given back when dropped.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Permits {
    /// Pools of the given sizes.
    pub fn new(sizes: impl IntoIterator<Item = (Arc<str>, u32)>) -> Self {
        let pool = |size: u32| Pool { semaphore: Arc::new(Semaphore::new(size as usize)), size };
        Self { pools: Arc::new(sizes.into_iter().map(|(name, size)| (name, pool(size))).collect()) }
    }

    /// Whether a permit could be had now.
    pub fn is_free(&self, provider: &str) -> bool {
        self.pools.get(provider).is_some_and(|pool| pool.semaphore.available_permits() > 0)
    }

    /// A permit, if one is free.
    pub fn try_acquire(&self, provider: &str) -> Option<Permit> {
        let pool = self.pools.get(provider)?;
        Arc::clone(&pool.semaphore).try_acquire_owned().ok().map(Permit)
    }

    /// Permits in use, and in all.
    pub fn usage(&self, provider: &str) -> (u32, u32) {
        self.pools.get(provider).map_or((0, 0), |pool| {
            (pool.size.saturating_sub(pool.semaphore.available_permits() as u32), pool.size)
        })
    }
}
