//! What was used of late: those artifacts are not evicted, and their times of use are still to be written.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use reel_protocol::{Digest, Timestamp};
use tokio::time::Instant;

/// How long a use keeps an artifact from eviction. A task that was just answered with it names it only with its next commit; until then
/// nothing in the journal pins it. A commit takes milliseconds; a minute covers a machine that swaps.
pub const PROTECTED: Duration = Duration::from_mins(1);

/// Uses of late.
#[derive(Debug, Default)]
pub struct Recent {
    used: HashMap<Digest, Instant>,
    unwritten: HashMap<Digest, Timestamp>,
}

impl Recent {
    /// Notes a use that the journal knows of, such as that of a new artifact, whose row tells when it was made.
    pub fn protect(&mut self, digest: Digest, now: Instant) {
        self.used.insert(digest, now);
        self.unwritten.remove(&digest);
    }

    /// Notes a use: `now` for protection, `used` for the journal.
    pub fn touch(&mut self, digest: Digest, now: Instant, used: Timestamp) {
        self.used.insert(digest, now);
        self.unwritten.insert(digest, used);
    }

    /// Whether the artifact must not be evicted now.
    pub fn is_protected(&self, digest: &Digest, now: Instant) -> bool {
        self.used.get(digest).is_some_and(|used| now.duration_since(*used) < PROTECTED)
    }

    /// All that must not be evicted now.
    pub fn protected(&self, now: Instant) -> HashSet<Digest> {
        self.used.keys().filter(|digest| self.is_protected(digest, now)).copied().collect()
    }

    /// Forgets an artifact that is gone.
    pub fn remove(&mut self, digest: &Digest) {
        self.used.remove(digest);
        self.unwritten.remove(digest);
    }

    /// Forgets uses that protect no longer, and takes those that are to be written.
    pub fn take_unwritten(&mut self, now: Instant) -> Vec<(Digest, Timestamp)> {
        self.used.retain(|_, used| now.duration_since(*used) < PROTECTED);
        // A burst of new pictures leaves a table that the next minutes do not need.
        self.used.shrink_to_fit();
        std::mem::take(&mut self.unwritten).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_protects_for_a_minute_and_is_written_once() {
        let digest = Digest::from_bytes([1; 32]);
        let start = Instant::now();
        let mut recent = Recent::default();
        recent.touch(digest, start, Timestamp::from_unix_ms(7));
        recent.touch(digest, start, Timestamp::from_unix_ms(7));
        let late = start + PROTECTED;
        assert!(recent.is_protected(&digest, start) && !recent.is_protected(&digest, late));
        assert_eq!(recent.protected(start).len(), 1);
        assert_eq!(recent.take_unwritten(late), [(digest, Timestamp::from_unix_ms(7))]);
        assert!(recent.take_unwritten(late).is_empty());
        assert!(recent.used.is_empty());
        recent.protect(digest, late);
        assert!(recent.is_protected(&digest, late) && recent.take_unwritten(late).is_empty());
    }
}
