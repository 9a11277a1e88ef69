//! Gives files their names on the thread that made them: waking another one for it, and waiting for it, takes longer than most of what it does.
//!
//! Only where nothing has to be waited for. Otherwise the pictures go to the cache as they are, which makes room first.

use std::sync::Arc;

use actix::Recipient;
use reel_protocol::Digest;
use tokio::sync::RwLock;

use super::{
    CacheError, NewArtifact, Placed, Settle,
    cap::Cap,
    disk_tier::DiskTier,
    kept::{Open, Shelf},
};
use crate::{domain::Facts, store::ArtifactRow};

/// What was made, on its way to the cache.
#[derive(Debug)]
pub enum Fresh {
    /// Still to be written or named.
    Pictures(Vec<NewArtifact>),
    /// Written and synced.
    Placed(Placed),
    /// They could not be written.
    Failed(CacheError),
}

/// For who makes pictures on threads that may block; cheap to clone.
#[derive(Debug, Clone)]
pub struct Shelver {
    pub(super) disk: DiskTier,
    pub(super) cap: Cap,
    pub(super) gate: Arc<RwLock<()>>,
    pub(super) cache: Recipient<Settle>,
}

/// What became of pictures that were written one after the other.
pub(super) struct Shelving {
    pub shelves: Vec<Shelf>,
    /// Those that may be there, whatever came of it.
    pub files: Vec<ArtifactRow>,
    /// Of the first that could not be written; those behind it were not tried.
    pub error: Option<CacheError>,
}

impl From<Vec<NewArtifact>> for Fresh {
    fn from(pictures: Vec<NewArtifact>) -> Self {
        Self::Pictures(pictures)
    }
}

impl Shelver {
    /// Whether files of so many bytes could be kept as things are, with nobody making room for them.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.cap.grant(bytes).is_ok()
    }

    /// Writes the pictures of one result, unless something is to be waited for: room, or those who remove files. Blocks on the disk.
    pub fn shelve_now(&self, pictures: Vec<NewArtifact>) -> Fresh {
        let bytes = pictures.iter().map(|picture| picture.body.size_bytes()).sum();
        let Ok(together) = Arc::clone(&self.gate).try_read_owned() else { return pictures.into() };
        let Ok(granted) = self.cap.grant(bytes) else { return pictures.into() };
        let Shelving { shelves, files, error } = shelve_all(&self.disk, pictures);
        let placed = Placed::new(Open { shelves, files, granted, key: None, together }, self.cache.clone());
        // Dropped where it failed, and the cache removes what is there.
        error.map_or(Fresh::Placed(placed), Fresh::Failed)
    }
}

/// Writes and syncs files.
pub(super) fn shelve_all(disk: &DiskTier, pictures: Vec<NewArtifact>) -> Shelving {
    let mut shelving = Shelving { shelves: Vec::new(), files: Vec::new(), error: None };
    for picture in pictures {
        let (digest, size_bytes) = picture.body.identity();
        let row = new_row(digest, size_bytes, &picture.facts);
        shelving.files.push(row.clone());
        let (stamp, bytes) = match disk.write(&row, picture.body) {
            Ok(written) => written,
            Err(error) => {
                shelving.error = Some(error);
                break;
            }
        };
        let held = bytes.map(|mut bytes| {
            bytes.shrink_to_fit();
            (bytes, picture.reservation)
        });
        shelving.shelves.push(Shelf { row, stamp, held });
    }
    shelving
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
