//! What can be answered in the turn that asks: results in memory whose files were verified and stand as they stood then.
//!
//! The cache keeps it in step with the journal; who asks often looks for itself, as a message there and back costs more than the look. Both
//! are of one thread. Whatever is not had for sure is the cache's to answer.

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

/// The shelves; a clone is another door to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Shelves(Rc<RefCell<Contents>>);

/// What stands on them.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub index: Index,
    pub verified: Verified,
    pub recent: Recent,
    /// Chosen for eviction, and as good as gone while the commit is under way.
    pub leaving: HashSet<Digest>,
    /// Requests that were answered, since the start.
    pub hits: u64,
}

impl Shelves {
    /// The result of the first of a request's keys that has one, and counts the hit. None says nothing: ask with a [`LookUp`](super::LookUp).
    pub fn look_now<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Option<Arc<Made>> {
        let mut contents = self.open();
        let made = contents.find(keys)?;
        if !contents.has_files(&made) {
            return None;
        }
        contents.hit(&made);
        Some(made)
    }

    /// For one expression: nobody else can look meanwhile.
    pub(super) fn open(&self) -> RefMut<'_, Contents> {
        self.0.borrow_mut()
    }
}

impl Contents {
    /// Notes a use, which protects from eviction for a while.
    pub fn touch(&mut self, digest: Digest) {
        self.recent.touch(digest, Instant::now(), Timestamp::now());
    }

    /// Whether the file was verified in this daemon's life and did not change since. Looking at it here costs 2 µs with a warm inode cache,
    /// less than a twentieth of the way to another thread and back; and the answer must come in microseconds.
    pub fn is_verified(&mut self, digest: &Digest, path: &Path) -> bool {
        self.verified.is_verified(digest, DiskTier::stamp(path))
    }

    /// What the first of the keys has that has anything; None where that is not known.
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
