//! One reclaim: asks the reclaimers in their order until enough memory was freed, then the heap.

use std::time::Duration;

use actix::prelude::*;
use tracing::warn;

use super::{os, supervisor::Reclaim};

/// Longest wait for a reclaimer. One that takes longer is busy or stuck, and the next one may free memory at once.
const RECLAIMER_DEADLINE: Duration = Duration::from_secs(10);
/// The name of the allocator among the reclaimers. It is the most expensive one, because it blocks every thread that allocates.
const HEAP: &str = "heap";

/// What one reclaimer freed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reclaimed {
    pub name: &'static str,
    /// The bytes that it freed. For the heap, the bytes by which the process became smaller.
    pub freed_bytes: u64,
}

/// Returns the names of all reclaimers that [`run`] can ask, cheapest first.
pub(super) fn names(reclaimers: &[(&'static str, Recipient<Reclaim>)]) -> impl Iterator<Item = &'static str> {
    reclaimers.iter().map(|(name, _)| *name).chain(os::can_return_free_heap().then_some(HEAP))
}

/// Frees `wanted_bytes` in all, and with `with_heap` also returns the heap's free pages to the system.
pub(super) async fn run(
    reclaimers: Vec<(&'static str, Recipient<Reclaim>)>,
    wanted_bytes: u64,
    with_heap: bool,
) -> Vec<Reclaimed> {
    let mut reclaimed = Vec::new();
    let mut missing_bytes = wanted_bytes;
    for (name, recipient) in reclaimers {
        if missing_bytes == 0 {
            break;
        }
        let freed_bytes = ask(name, &recipient, missing_bytes).await;
        missing_bytes = missing_bytes.saturating_sub(freed_bytes);
        reclaimed.push(Reclaimed { name, freed_bytes });
    }
    if with_heap && os::can_return_free_heap() {
        // If the thread panics, 0 bytes are reported.
        let freed_bytes = return_heap().await;
        reclaimed.push(Reclaimed { name: HEAP, freed_bytes });
    }
    reclaimed
}

/// Returns only the heap's free pages to the system. No cached data is lost by it.
async fn return_heap() -> u64 {
    tokio::task::spawn_blocking(os::return_free_heap).await.unwrap_or_default()
}

async fn ask(name: &'static str, recipient: &Recipient<Reclaim>, bytes: u64) -> u64 {
    match tokio::time::timeout(RECLAIMER_DEADLINE, recipient.send(Reclaim { bytes })).await {
        Ok(Ok(freed_bytes)) => freed_bytes,
        Ok(Err(error)) => {
            warn!(reclaimer = name, %error, "a reclaimer did not answer");
            0
        }
        Err(_) => {
            warn!(reclaimer = name, "a reclaimer takes too long");
            0
        }
    }
}
