//! Which files were verified in this daemon's life: a file whose stamp is the one that was hashed needs no hashing again.

use std::num::NonZeroUsize;

use lru::LruCache;
use reel_protocol::Digest;

/// Files that are remembered: at 100 bytes each this stays under 7 MiB, and one that fell out is merely hashed again.
const FILES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// What tells that a file was not changed since. The time of the change of its inode is part of it because programs can set the other one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds since 1970.
    pub modified_ns: i128,
    /// Nanoseconds since 1970; zero where the system has none.
    pub changed_ns: i128,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Its number in the file system; zero where the system has none.
    pub inode: u64,
}

/// The stamps of verified files, bounded.
#[derive(Debug)]
pub struct Verified {
    stamps: LruCache<Digest, Stamp>,
}

impl Default for Verified {
    fn default() -> Self {
        Self { stamps: LruCache::sparse(FILES) }
    }
}

impl Verified {
    /// Remembers the stamp that a file had before it was hashed.
    pub fn put(&mut self, digest: Digest, stamp: Stamp) {
        self.stamps.put(digest, stamp);
    }

    /// Forgets a file.
    pub fn remove(&mut self, digest: &Digest) {
        self.stamps.pop(digest);
    }

    /// Whether a file that has this stamp now was verified.
    pub fn is_verified(&mut self, digest: &Digest, now: Option<Stamp>) -> bool {
        now.is_some() && self.stamps.get(digest).copied() == now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_the_stamp_asks_for_a_new_hash() {
        let digest = Digest::from_bytes([1; 32]);
        let stamp = Stamp { modified_ns: 5, changed_ns: 6, size_bytes: 7, inode: 8 };
        let mut verified = Verified::default();
        assert!(!verified.is_verified(&digest, Some(stamp)));
        verified.put(digest, stamp);
        assert!(verified.is_verified(&digest, Some(stamp)));
        for changed in [
            Stamp { modified_ns: 4, ..stamp },
            Stamp { changed_ns: 7, ..stamp },
            Stamp { size_bytes: 0, ..stamp },
            Stamp { inode: 9, ..stamp },
        ] {
            assert!(!verified.is_verified(&digest, Some(changed)), "{changed:?}");
        }
        assert!(!verified.is_verified(&digest, None));
        verified.remove(&digest);
        assert!(!verified.is_verified(&digest, Some(stamp)));
    }
}
