//! The files that were verified since the daemon started. A file that still has the stamp with which it was hashed is not hashed again.

use std::num::NonZeroUsize;

use lru::LruCache;
use reel_protocol::Digest;

/// Most files that are remembered. At 100 bytes each they take under 7 MiB. A file that was forgotten is hashed again.
const FILES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Detects changes of a file. It has the inode's time of change because programs can set the time of modification back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Time of modification, in nanoseconds since 1970.
    pub modified_ns: i128,
    /// Time of the inode's last change, in nanoseconds since 1970; zero where the system has none.
    pub changed_ns: i128,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Inode number; zero where the system has none.
    pub inode: u64,
}

/// The stamps of the files that were verified last.
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
    /// Records a verified file with the stamp that it had before it was hashed.
    pub fn put(&mut self, digest: Digest, stamp: Stamp) {
        self.stamps.put(digest, stamp);
    }

    /// Removes the stamp of a file.
    pub fn remove(&mut self, digest: &Digest) {
        self.stamps.pop(digest);
    }

    /// Returns whether the file was verified with the stamp `now`.
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
