//! Verifies a file, once for all concurrent requests for it, and drops its row if the file is damaged or missing.

use std::{collections::HashSet, io, sync::Arc};

use actix::prelude::*;
use reel_protocol::{Digest, methods::Topic};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, Semaphore, oneshot};
use tracing::{error, warn};

use super::ImageCache;
use crate::{
    cache::{
        disk_tier::{Checked, DiskTier},
        memory_tier::Item,
    },
    chain::chain,
    memory::Reservation,
    store::{self, ArtifactRow, Dropped, Store, StoreError},
};

/// Verifies a file again, even if it was verified before.
#[derive(Debug, Message)]
#[rtype(result = "Verdict")]
pub struct CheckFile(pub ArtifactRow);

/// The result of a verification.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// The file has the right bytes.
    Good,
    /// The file had other bytes, and was moved to the directory of damaged files.
    Damaged,
    /// The file was missing.
    Missing,
    /// The file could not be read. Nothing was dropped.
    Unreadable(Arc<io::Error>),
}

/// What a verification takes from the actor.
struct Verification {
    row: ArtifactRow,
    wants_bytes: bool,
    disk: DiskTier,
    store: Store,
    hashing: Arc<Semaphore>,
    files_lock: Arc<RwLock<()>>,
}

/// The outcome of a verification.
struct VerificationOutcome {
    checked: Checked,
    /// What was dropped from the journal, if the file was damaged or missing.
    dropped: Dropped,
    /// The exclusive lock. It is held until the actor has updated its tables, so that nobody writes the file again before that.
    exclusive_lock: Option<OwnedRwLockWriteGuard<()>>,
}

impl ImageCache {
    /// Verifies a file, together with all requests for it that come meanwhile. With a reservation the bytes are put into the memory tier, unless a
    /// verification without one is already running.
    pub(super) fn check_file(
        &mut self,
        row: &ArtifactRow,
        reservation: Option<Reservation>,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Verdict> + use<> {
        let (tx, rx) = oneshot::channel();
        let waiters = self.verifications.entry(row.digest).or_default();
        waiters.push(tx);
        if waiters.len() == 1 {
            let verification = Verification {
                row: row.clone(),
                wants_bytes: reservation.is_some(),
                disk: self.disk.clone(),
                store: self.store.clone(),
                hashing: Arc::clone(&self.hashing),
                files_lock: Arc::clone(&self.files_lock),
            };
            let row = row.clone();
            let outcome = run_verification(verification).into_actor(self);
            ctx.spawn(
                outcome.map(move |outcome, actor, _| actor.finish_verification(&row, outcome, reservation)),
            );
        }
        // The sender is dropped only when the actor stops.
        async { rx.await.unwrap_or(Verdict::Missing) }
    }

    fn finish_verification(
        &mut self,
        row: &ArtifactRow,
        outcome: VerificationOutcome,
        reservation: Option<Reservation>,
    ) {
        let VerificationOutcome { checked, dropped, exclusive_lock } = outcome;
        let verdict = match checked {
            Checked::Good(stamp, bytes) => {
                self.tables.verified.put(row.digest, stamp);
                if let (Some(bytes), Some(reservation)) = (bytes, reservation) {
                    let item =
                        Item { bytes: Arc::new(bytes), media_type: row.media_type.clone(), reservation };
                    self.memory.insert(row.digest, item);
                }
                Verdict::Good
            }
            Checked::Damaged => Verdict::Damaged,
            Checked::Missing => Verdict::Missing,
            Checked::Unreadable(error) => {
                warn!(digest = %row.digest, error = chain(&error), "cannot read an artifact");
                Verdict::Unreadable(error)
            }
        };
        if matches!(verdict, Verdict::Damaged | Verdict::Missing) {
            self.forget(&HashSet::from([row.digest]), dropped);
            // If no row was dropped, the artifact had just been evicted, so nothing is damaged.
            if dropped.artifacts > 0 {
                let is_missing = matches!(verdict, Verdict::Missing);
                warn!(digest = %row.digest, is_missing, "an artifact is lost; its requests are misses now");
                self.stats.corrupt += 1;
                self.events.plain(Topic::Cache, "corrupt");
            }
        }
        drop(exclusive_lock);
        for waiter in self.verifications.remove(&row.digest).into_iter().flatten() {
            // Sending fails if the request was given up, and then nobody needs the answer.
            let _ = waiter.send(verdict.clone());
        }
    }
}

async fn run_verification(verification: Verification) -> VerificationOutcome {
    let checked = {
        // The semaphore is never closed, so this always succeeds.
        let _permit = verification.hashing.acquire().await;
        check(&verification, false).await
    };
    if !matches!(checked, Checked::Damaged | Checked::Missing) {
        return VerificationOutcome { checked, dropped: Dropped::default(), exclusive_lock: None };
    }
    let exclusive_lock = Arc::clone(&verification.files_lock).write_owned().await;
    // Another task may have written the file again while this one waited for the lock.
    let checked = check(&verification, true).await;
    let dropped = if matches!(checked, Checked::Damaged | Checked::Missing) {
        drop_row(&verification.store, verification.row.digest).await
    } else {
        Dropped::default()
    };
    VerificationOutcome { checked, dropped, exclusive_lock: Some(exclusive_lock) }
}

async fn check(verification: &Verification, sets_aside: bool) -> Checked {
    let (disk, row, wants_bytes) =
        (verification.disk.clone(), verification.row.clone(), verification.wants_bytes);
    let work = move || {
        let checked = disk.check(&row, wants_bytes);
        if sets_aside
            && matches!(checked, Checked::Damaged)
            && let Err(error) = disk.set_aside(&row)
        {
            error!(digest = %row.digest, error = chain(&error), "cannot set a damaged artifact aside");
        }
        checked
    };
    let lost = |error| Checked::Unreadable(Arc::new(io::Error::other(error)));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(lost)
}

async fn drop_row(store: &Store, digest: Digest) -> Dropped {
    let dropped: Result<Dropped, StoreError> =
        store.write(move |connection| store::drop_artifact(connection, digest)).await;
    dropped.unwrap_or_else(|error| {
        // Requests for it stay misses all the same, because the file is missing.
        error!(%digest, error = chain(&error), "cannot drop a lost artifact");
        Dropped::default()
    })
}
