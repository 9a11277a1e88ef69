//! Small files that are named before they are synced: their bytes are in the commit that names them, which is synced anyway, and leave the
//! journal once the files are.
//!
//! So whoever waits for a small result waits for one sync instead of two. What the disk did not have at a power loss is written again at the
//! next start, before anything is looked up.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use super::{Body, CacheError, disk_tier::DiskTier};
use crate::{
    chain::chain,
    store::{self, Store, StoreError, Unsynced},
};

/// Most bytes of such a file. The journal's log takes them twice, as frames and as pages of the database, so a large one is synced at once.
const FILE_BYTES: u64 = 16 * 1024;

/// Most such files: what a start after a power loss may have to write.
const FILES: usize = 64;

/// What the journal may need for all of them, in its log and in the database, beside the files themselves. With less room none is taken.
pub(super) const JOURNAL_BYTES: u64 = 4 * FILES as u64 * FILE_BYTES;

/// So long they wait for each other, and whoever asks next for the disk.
pub(super) const CALM: Duration = Duration::from_millis(20);

/// The places for such files; a clone has the same ones.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Semaphore>);

/// The bytes of one on their way to the journal.
#[derive(Debug)]
pub(super) struct Carried {
    pub bytes: Bytes,
    place: OwnedSemaphorePermit,
}

/// One whose bytes the journal has.
#[derive(Debug)]
pub(super) struct InJournal {
    number: i64,
    path: PathBuf,
    place: OwnedSemaphorePermit,
}

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(FILES)))
    }
}

impl Places {
    /// A copy of the body, if it is small and there is a place.
    pub fn carry(&self, body: &Body) -> Option<Carried> {
        let bytes = body.in_memory().filter(|bytes| bytes.len() as u64 <= FILE_BYTES)?;
        let place = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(Carried { bytes: Bytes::copy_from_slice(bytes), place })
    }
}

impl Carried {
    /// The journal has it under this number, and the file lies there.
    pub fn committed(self, number: i64, path: PathBuf) -> InJournal {
        InJournal { number, path, place: self.place }
    }
}

impl InJournal {
    /// It stays in the journal, and its place is taken until the next start, so that no more stay there than can be written then.
    fn stay(self) {
        self.place.forget();
    }
}

/// Syncs files, after which the journal need not have them. One that cannot be synced stays there, and is written anew at the next start, as
/// the system may have forgotten what it could not write.
pub(super) async fn sync(store: Store, disk: DiskTier, files: Vec<InJournal>) {
    let sync = move || {
        let (mut synced, mut numbers) = (Vec::new(), Vec::new());
        for file in files {
            match disk.sync(&file.path) {
                Ok(()) => {
                    numbers.push(file.number);
                    synced.push(file);
                }
                Err(error) => {
                    warn!(path = %file.path.display(), error = chain(&error), "cannot sync a file; the next start writes it anew");
                    file.stay();
                }
            }
        }
        (synced, numbers)
    };
    // Lost only with the runtime.
    let Ok((synced, numbers)) = tokio::task::spawn_blocking(sync).await else { return };
    if let Err(error) = store.write(move |connection| store::delete_unsynced(connection, &numbers)).await {
        warn!(error = chain(&error), "the journal keeps files that are synced");
        synced.into_iter().for_each(InJournal::stay);
    }
}

/// Writes what a former daemon had not synced, whatever its files have now. Nothing may be looked up before it is over.
pub(super) async fn restore(store: Store, disk: DiskTier, places: Places) -> Result<(), StoreError> {
    let (mut after, mut done) = (0, Vec::new());
    while let Some(file) = store.read(move |connection| store::next_unsynced(connection, after)).await? {
        after = file.number;
        let disk = disk.clone();
        let error = match tokio::task::spawn_blocking(move || write_anew(&disk, file)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(chain(&error)),
        };
        match error {
            None => done.push(after),
            Some(error) => {
                warn!(error, "cannot write a file that was not synced; the next start tries again");
                places.0.forget_permits(1);
            }
        }
    }
    if done.is_empty() {
        return Ok(());
    }
    let files = done.len();
    info!(files, "wrote what was not synced");
    let gone = store.write(move |connection| store::delete_unsynced(connection, &done)).await;
    if gone.is_err() {
        // They stay there until the next start.
        places.0.forget_permits(files);
    }
    gone
}

fn write_anew(disk: &DiskTier, file: Unsynced) -> Result<(), CacheError> {
    let Unsynced { artifact: Some(row), bytes, .. } = file else { return Ok(()) };
    disk.write_anew(&row, bytes)
}
