//! The tables that answer a cache hit at once: results in memory whose files were verified and have not changed since.
//!
//! The cache keeps the tables in step with the journal. A caller on the cache's thread can use [`Shelves::look_now`] instead of a message, which
//! takes longer than the lookup. What these tables do not know for sure must be asked with a [`LookUp`](super::LookUp).

use std::{
    cell::{RefCell, RefMut},
    collections::HashSet,
    path::Path,
    rc::Rc,
    sync::Arc,
};

use reel_protocol::{Digest, Timestamp};
use tokio::time::Instant;

use super::{
    Key, Made,
    disk_tier::DiskTier,
    index::{Index, Known},
    recent::Recent,
    verified::Verified,
};

/// A handle to the tables. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Shelves(Rc<RefCell<Contents>>);

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub index: Index,
    pub verified: Verified,
    pub recent: Recent,
    /// Artifacts that were chosen for eviction. They count as removed while the commit is in flight.
    pub leaving: HashSet<Digest>,
    /// Cache hits since the start.
    pub hits: u64,
}

impl Shelves {
    /// Returns the result of the first of the keys that has one, and counts the hit. None does not mean a miss: then send a
    /// [`LookUp`](super::LookUp).
    pub fn look_now<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Option<Arc<Made>> {
        let mut contents = self.open();
        let made = contents.find(keys)?;
        if !contents.has_files(&made) {
            return None;
        }
        contents.hit(&made);
        Some(made)
    }

    /// Borrows the tables. The borrow must end with the expression, since a second borrow meanwhile panics.
    pub(super) fn open(&self) -> RefMut<'_, Contents> {
        self.0.borrow_mut()
    }
}

impl Contents {
    /// Records a use, which protects the artifact from eviction for a minute.
    pub fn touch(&mut self, digest: Digest) {
        self.recent.touch(digest, Instant::now(), Timestamp::now());
    }

    /// Returns whether the file was verified since the daemon started and has not changed since. It calls `stat` here, which takes 2 µs with a warm
    /// inode cache. That is less than a twentieth of the way to another thread and back, and a hit must be answered in microseconds.
    pub fn is_verified(&mut self, digest: &Digest, path: &Path) -> bool {
        self.verified.is_verified(digest, DiskTier::stamp(path))
    }

    /// Returns the result of the first key that has one. None if no key has one, or if that is not known.
    fn find<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) -> Option<Arc<Made>> {
        for key in keys {
            if let Known::Entry(made) = self.index.get(key)? {
                return Some(made);
            }
        }
        None
    }

    fn hit(&mut self, made: &Made) {
        made.outputs.iter().for_each(|output| self.touch(output.digest));
        self.hits += 1;
    }

    fn has_files(&mut self, entry: &Made) -> bool {
        entry.outputs.iter().all(|output| {
            let digest = &output.digest;
            !self.leaving.contains(digest) && self.is_verified(digest, Path::new(&output.path))
        })
    }
}
