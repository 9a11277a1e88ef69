//! The recent uses of artifacts. These artifacts are not evicted, and the times of use still have to be written to the journal.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use lru::DefaultHasher;
use reel_protocol::{Digest, Timestamp};
use tokio::time::Instant;

/// How long a use protects an artifact from eviction. A task that was just answered with the artifact names it only with its next commit, and until
/// then nothing in the journal pins it. A commit takes milliseconds. A minute is enough for a machine that swaps.
pub const PROTECTED: Duration = Duration::from_mins(1);

/// The recent uses, by artifact.
#[derive(Debug, Default)]
pub struct Recent {
    /// Uses the hasher of the other tables of a cache hit. The standard hasher takes three times as long.
    uses: HashMap<Digest, Use, DefaultHasher>,
}

#[derive(Debug)]
struct Use {
    at: Instant,
    unwritten: Option<Timestamp>,
}

impl Recent {
    /// Records a use that needs no write to the journal, such as that of a new artifact, whose row has the time at which it was made.
    pub fn protect(&mut self, digest: Digest, now: Instant) {
        self.uses.insert(digest, Use { at: now, unwritten: None });
    }

    /// Records a use. `now` counts for the protection, and `used` is written to the journal.
    pub fn touch(&mut self, digest: Digest, now: Instant, used: Timestamp) {
        self.uses.insert(digest, Use { at: now, unwritten: Some(used) });
    }

    /// Returns whether the artifact must not be evicted at `now`.
    pub fn is_protected(&self, digest: &Digest, now: Instant) -> bool {
        self.uses.get(digest).is_some_and(|used| used.protects(now))
    }

    /// Returns all artifacts that must not be evicted at `now`.
    pub fn protected(&self, now: Instant) -> HashSet<Digest> {
        self.uses.iter().filter(|(_, used)| used.protects(now)).map(|(digest, _)| *digest).collect()
    }

    /// Forgets an artifact that was removed.
    pub fn remove(&mut self, digest: &Digest) {
        self.uses.remove(digest);
    }

    /// Forgets expired uses, and returns the times of use that the caller must write to the journal.
    pub fn take_unwritten(&mut self, now: Instant) -> Vec<(Digest, Timestamp)> {
        let mut unwritten = Vec::new();
        self.uses.retain(|digest, used| {
            unwritten.extend(used.unwritten.take().map(|at| (*digest, at)));
            used.protects(now)
        });
        // After a burst of new pictures the table is larger than needed.
        self.uses.shrink_to_fit();
        unwritten
    }
}

impl Use {
    fn protects(&self, now: Instant) -> bool {
        now.duration_since(self.at) < PROTECTED
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
        assert!(recent.uses.is_empty());
        recent.protect(digest, late);
        assert!(recent.is_protected(&digest, late) && recent.take_unwritten(late).is_empty());
    }
}
