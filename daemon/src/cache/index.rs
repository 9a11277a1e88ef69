//! The index: what requests have a result, for as many of them as were asked for last. It is a copy of rows; one that is missing here is read.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use reel_protocol::Digest;

use super::{Key, Made, keys::Keys};

/// Entries in memory: at about 600 bytes each they stay under 3 MiB. One that fell out is read from the journal again.
const ENTRIES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Requests without a result, at about 100 bytes each, where [`Keys`] does not say so: a batch is looked up when it comes and again task by
/// task when these begin.
const MISSING: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// What the index knows of a key.
#[derive(Debug)]
pub enum Known {
    /// It has a result, to be answered once its files were looked at.
    Entry(Arc<Made>),
    /// It has none.
    Nothing,
}

/// The index.
#[derive(Debug)]
pub struct Index {
    entries: LruCache<Key, Arc<Made>>,
    /// Keys that had nothing when they were read, and were not written since.
    missing: LruCache<Key, ()>,
    keys: Keys,
    epoch: u64,
}

impl Default for Index {
    fn default() -> Self {
        let (entries, missing) = (LruCache::sparse(ENTRIES), LruCache::sparse(MISSING));
        Self { entries, missing, keys: Keys::default(), epoch: 0 }
    }
}

impl Index {
    /// Grows with every change of the journal's entries. What was read at an older epoch may be outdated and is not kept.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes what the journal had before anything was asked of the index.
    pub fn start_with(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// What is known for a key; None where the journal must be asked.
    pub fn get(&mut self, key: &Key) -> Option<Known> {
        if let Some(entry) = self.entries.get(key) {
            return Some(Known::Entry(Arc::clone(entry)));
        }
        (self.keys.lacks(key) || self.missing.get(key).is_some()).then_some(Known::Nothing)
    }

    /// Keeps what was read at an epoch, if it is not outdated.
    pub fn put_read(&mut self, key: Key, entry: Option<Arc<Made>>, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        match entry {
            Some(entry) => drop(self.entries.put(key, entry)),
            None => drop(self.missing.put(key, ())),
        }
    }

    /// Keeps what was written.
    pub fn put_written(&mut self, key: Key, entry: Arc<Made>) {
        self.epoch += 1;
        self.missing.pop(&key);
        self.keys.add(&key);
        self.entries.put(key, entry);
    }

    /// Forgets every entry that names one of the artifacts.
    pub fn forget(&mut self, digests: &HashSet<Digest>) {
        self.epoch += 1;
        self.entries.retain(|_, entry| !entry.outputs.iter().any(|output| digests.contains(&output.digest)));
    }

    /// Forgets everything.
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
        Arc::new(Made { outputs: Vec::new(), provider: "draft".into(), model: None, made, notes: Vec::new() })
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

    #[test]
    fn what_the_journal_cannot_have_is_not_read_there() {
        let mut index = Index::default();
        index.start_with(Keys::new(&[[1; 32]]));
        assert!(index.get(&[1; 32]).is_none());
        assert!(matches!(index.get(&[2; 32]), Some(Known::Nothing)));
        index.put_written([2; 32], entry());
        index.clear();
        assert!(index.get(&[2; 32]).is_none(), "it was written since, and may be again");
    }
}
