//! The index in memory: the results of the requests that were looked up last. It is a copy of rows of the journal. A key that the index does not know
//! is looked up in the journal.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use reel_protocol::Digest;

use super::{Key, Made};

/// Most entries in memory. At about 600 bytes each they take under 3 MiB. An entry that was dropped is read from the journal again.
const ENTRIES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Most keys that are known to have no result, at about 100 bytes each. The tracker looks a batch up when it is submitted, and each task again when
/// it begins.
const MISSING: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// What the index knows about a key.
#[derive(Debug)]
pub enum Known {
    /// The key has a result, which may be returned once its files are verified.
    Entry(Arc<Made>),
    /// The key has no result in the journal.
    Nothing,
}

/// The results and the missing keys that were used last.
#[derive(Debug)]
pub struct Index {
    entries: LruCache<Key, Arc<Made>>,
    /// Keys that had no entry when the journal was read, and have got none since.
    missing: LruCache<Key, ()>,
    epoch: u64,
}

impl Default for Index {
    fn default() -> Self {
        let (entries, missing) = (LruCache::sparse(ENTRIES), LruCache::sparse(MISSING));
        Self { entries, missing, epoch: 0 }
    }
}

impl Index {
    /// Returns the epoch, which grows with every change of the journal's entries. What was read at an older epoch may be outdated, and is not added.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns what is known about a key. None means that the journal must be read.
    pub fn get(&mut self, key: &Key) -> Option<Known> {
        if let Some(entry) = self.entries.get(key) {
            return Some(Known::Entry(Arc::clone(entry)));
        }
        self.missing.get(key).map(|()| Known::Nothing)
    }

    /// Adds what was read from the journal at `epoch`, unless the journal has changed since.
    pub fn put_read(&mut self, key: Key, entry: Option<Arc<Made>>, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        match entry {
            Some(entry) => drop(self.entries.put(key, entry)),
            None => drop(self.missing.put(key, ())),
        }
    }

    /// Adds an entry that was just committed.
    pub fn put_written(&mut self, key: Key, entry: Arc<Made>) {
        self.epoch += 1;
        self.missing.pop(&key);
        self.entries.put(key, entry);
    }

    /// Drops every entry that names one of the artifacts.
    pub fn forget(&mut self, digests: &HashSet<Digest>) {
        self.epoch += 1;
        self.entries.retain(|_, entry| !entry.outputs.iter().any(|output| digests.contains(&output.digest)));
    }

    /// Drops all entries.
    pub fn clear(&mut self) {
        self.epoch += 1;
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Arc<Made> {
        let made = reel_protocol::Timestamp::now();
        Arc::new(Made {
            outputs: Vec::new(),
            provider: "draft".into(),
            model: None,
            made,
            notes: Vec::new(),
            flaw: None,
        })
    }

    #[test]
    fn a_key_that_had_nothing_is_known_until_it_is_written() {
        let (mut index, key) = (Index::default(), [1; 32]);
        assert!(index.get(&key).is_none());
        let outdated = index.epoch();
        index.put_read(key, None, outdated);
        assert!(matches!(index.get(&key), Some(Known::Nothing)));
        index.put_written(key, entry());
        assert!(matches!(index.get(&key), Some(Known::Entry(_))));
        index.clear();
        index.put_read(key, None, outdated);
        assert!(index.get(&key).is_none(), "it was read before it was written");
    }
}
