//! Verifies the whole cache: reads every file back, one after the other, and removes files that no row names.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix::prelude::*;
use reel_protocol::{Digest, methods::CacheVerifyResult};
use tokio::sync::RwLock;
use tracing::{info, warn};

use super::{
    ImageCache,
    check::{CheckFile, Verdict},
};
use crate::{
    cache::{CacheError, disk_tier::DiskTier},
    memory::Holder,
    store::{self, Store, StoreError},
};

/// Rows that are read from the journal at once.
const PAGE: u32 = 256;
/// Memory of a verification: a page of rows, a listed directory, and the 64 KiB buffer through which a file is read.
const BUFFER_BYTES: u64 = 512 * 1024;
/// Age from which a file without a row is a stray. A file gets its name before its row is committed, and a slow disk may take long for the commit.
const STRAY_AGE: Duration = Duration::from_mins(1);

/// What a verification takes from the actor.
struct Sweep {
    store: Store,
    disk: DiskTier,
    files_lock: Arc<RwLock<()>>,
    check: Recipient<CheckFile>,
}

impl ImageCache {
    pub(super) fn verify(
        &self,
        ctx: &mut Context<Self>,
    ) -> ResponseFuture<Result<CacheVerifyResult, CacheError>> {
        let reservation = self.budget.reserve(Holder::Decode, BUFFER_BYTES);
        let sweep = Sweep {
            store: self.store.clone(),
            disk: self.disk.clone(),
            files_lock: Arc::clone(&self.files_lock),
            check: ctx.address().recipient(),
        };
        Box::pin(async move {
            let _held = reservation.map_err(|_| CacheError::OverMemory)?;
            let mut result = CacheVerifyResult::default();
            sweep.check_rows(&mut result).await?;
            sweep.remove_strays(&mut result).await?;
            info!(
                checked = result.checked,
                checked_bytes = result.checked_bytes,
                corrupt = result.corrupt,
                missing = result.missing,
                strays = result.strays,
                "cache verified"
            );
            Ok(result)
        })
    }
}

impl Sweep {
    async fn check_rows(&self, result: &mut CacheVerifyResult) -> Result<(), CacheError> {
        let mut after = None;
        loop {
            let page =
                self.store.read(move |connection| store::artifacts_after(connection, after, PAGE)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.digest);
            for row in page {
                let size_bytes = row.size_bytes;
                // The actor verifies it, together with other requests for the same file. Sending fails only when the actor stops.
                let Ok(verdict) = self.check.send(CheckFile(row)).await else { return Ok(()) };
                match verdict {
                    Verdict::Good => {
                        result.checked += 1;
                        result.checked_bytes += size_bytes;
                    }
                    Verdict::Damaged => {
                        result.checked += 1;
                        result.checked_bytes += size_bytes;
                        result.corrupt += 1;
                    }
                    Verdict::Missing => result.missing += 1,
                    // The error is in the log. The file may be good, so it counts as neither.
                    Verdict::Unreadable(_) => {}
                }
            }
        }
    }

    async fn remove_strays(&self, result: &mut CacheVerifyResult) -> Result<(), CacheError> {
        let before = SystemTime::now().checked_sub(STRAY_AGE).unwrap_or(UNIX_EPOCH);
        let born = self.store.read(store::born).await?;
        // An older file may be named by a journal that was lost, and may be the only copy of a paid result.
        let born = UNIX_EPOCH.checked_add(Duration::from_millis(born.unix_ms())).unwrap_or(before);
        for first_byte in 0..=u8::MAX {
            let disk = self.disk.clone();
            let listed =
                tokio::task::spawn_blocking(move || disk.named_files(first_byte, born, before)).await;
            let strays = self.without_row(listed.unwrap_or_default()).await?;
            if strays.is_empty() {
                continue;
            }
            let _exclusive_lock = self.files_lock.write().await;
            // Checked again under the exclusive lock: nobody is about to commit a row for a file that has none now.
            let strays = self.without_row(strays).await?;
            let removed = tokio::task::spawn_blocking(move || remove(strays)).await;
            result.strays += removed.unwrap_or_default();
        }
        Ok(())
    }

    async fn without_row(&self, files: Vec<(Digest, PathBuf)>) -> Result<Vec<(Digest, PathBuf)>, StoreError> {
        if files.is_empty() {
            return Ok(files);
        }
        let artifacts = self.disk.artifacts().to_owned();
        let read = self.store.read(move |connection| {
            let mut strays = Vec::new();
            for (digest, path) in files {
                let row = store::artifact(connection, digest)?;
                if row.is_none_or(|row| row.path(&artifacts) != path) {
                    strays.push((digest, path));
                }
            }
            Ok(strays)
        });
        read.await
    }
}

fn remove(strays: Vec<(Digest, PathBuf)>) -> u64 {
    let mut removed = 0;
    for (_, path) in strays {
        match std::fs::remove_file(&path) {
            Ok(()) => removed += 1,
            Err(error) => warn!(path = %path.display(), %error, "cannot remove a stray file"),
        }
    }
    removed
}
