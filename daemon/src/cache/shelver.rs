//! Writes the files of a result on the thread that made them. Waking another thread for it, and waiting for that thread, takes longer than most of
//! these writes.
//!
//! This is done only if nothing has to be waited for. Otherwise the pictures go unwritten to the cache, which makes room first.

use std::sync::Arc;

use actix::Recipient;
use reel_protocol::Digest;
use tokio::sync::RwLock;

use super::{
    CacheError, NewArtifact, Settle, WrittenFiles,
    cap::Cap,
    disk_tier::DiskTier,
    kept::{Unsettled, WrittenFile},
};
use crate::{domain::Facts, store::ArtifactRow};

/// The files that a provider made, as they are handed to the cache.
#[derive(Debug)]
pub enum Fresh {
    /// They are not in the store yet.
    Pictures(Vec<NewArtifact>),
    /// They are written and synced. Only their rows are missing.
    Written(WrittenFiles),
    /// They could not be written, for this reason.
    Failed(CacheError),
}

/// Writes artifacts for providers, on threads that may block. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shelver {
    pub(super) disk: DiskTier,
    pub(super) cap: Cap,
    pub(super) files_lock: Arc<RwLock<()>>,
    pub(super) cache: Recipient<Settle>,
}

/// The outcome of writing several pictures one after the other.
pub(super) struct WriteOutcome {
    pub written_files: Vec<WrittenFile>,
    /// The rows of all files that may exist, also of one whose write failed.
    pub files: Vec<ArtifactRow>,
    /// The error of the first picture that could not be written. The pictures after it were not tried.
    pub error: Option<CacheError>,
}

impl From<Vec<NewArtifact>> for Fresh {
    fn from(pictures: Vec<NewArtifact>) -> Self {
        Self::Pictures(pictures)
    }
}

impl Shelver {
    /// Returns whether so many bytes fit below the cap without eviction.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.cap.grant(bytes).is_ok()
    }

    /// Writes the pictures of one result. If there is no room, or files are being removed, it returns them unwritten instead of waiting. Blocks on
    /// the disk.
    pub fn shelve_now(&self, pictures: Vec<NewArtifact>) -> Fresh {
        let bytes = pictures.iter().map(|picture| picture.body.size_bytes()).sum();
        let Ok(shared_lock) = Arc::clone(&self.files_lock).try_read_owned() else { return pictures.into() };
        let Ok(granted) = self.cap.grant(bytes) else { return pictures.into() };
        let WriteOutcome { written_files, files, error } = write_all(&self.disk, pictures);
        let written = WrittenFiles::new(
            Unsettled { written_files, files, granted, key: None, shared_lock },
            self.cache.clone(),
        );
        // After an error `written` is dropped, so the cache removes the files that were written.
        error.map_or(Fresh::Written(written), Fresh::Failed)
    }
}

/// Writes and syncs the files in order, and stops at the first error.
pub(super) fn write_all(disk: &DiskTier, pictures: Vec<NewArtifact>) -> WriteOutcome {
    let mut outcome = WriteOutcome { written_files: Vec::new(), files: Vec::new(), error: None };
    for picture in pictures {
        let (digest, size_bytes) = picture.body.identity();
        let row = new_row(digest, size_bytes, &picture.facts);
        outcome.files.push(row.clone());
        let (stamp, bytes) = match disk.write(&row, picture.body) {
            Ok(written) => written,
            Err(error) => {
                outcome.error = Some(error);
                break;
            }
        };
        let held = bytes.map(|mut bytes| {
            bytes.shrink_to_fit();
            (bytes, picture.reservation)
        });
        outcome.written_files.push(WrittenFile { row, stamp, held });
    }
    outcome
}

fn new_row(digest: Digest, size_bytes: u64, facts: &Facts) -> ArtifactRow {
    ArtifactRow {
        digest,
        media_type: facts.media_type.to_string(),
        extension: facts.extension.to_string(),
        size_bytes,
        width: facts.pixels.map(|pixels| pixels.width),
        height: facts.pixels.map(|pixels| pixels.height),
        duration_s: facts.duration_s,
    }
}
