//! What was used of late: those artifacts are not evicted, and their times of use are still to be written.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use lru::DefaultHasher;
use reel_protocol::{Digest, Timestamp};
use tokio::time::Instant;

/// How long a use keeps an artifact from eviction. A task that was just answered with it names it only with its next commit; until then
/// nothing in the journal pins it. A commit takes milliseconds; a minute covers a machine that swaps.
pub const PROTECTED: Duration = Duration::from_mins(1);

/// Uses of late.
#[derive(Debug, Default)]
pub struct Recent {
    /// With the hasher of the other tables that a hit looks into: the standard one takes three times as long.
    uses: HashMap<Digest, Use, DefaultHasher>,
}

#[derive(Debug)]
struct Use {
    at: Instant,
    unwritten: Option<Timestamp>,
}

impl Recent {
    /// Notes a use that the journal knows of, such as that of a new artifact, whose row tells when it was made.
    pub fn protect(&mut self, digest: Digest, now: Instant) {
        self.uses.insert(digest, Use { at: now, unwritten: None });
    }

    /// Notes a use: `now` for protection, `used` for the journal.
    pub fn touch(&mut self, digest: Digest, now: Instant, used: Timestamp) {
        self.uses.insert(digest, Use { at: now, unwritten: Some(used) });
    }

    /// Whether the artifact must not be evicted now.
    pub fn is_protected(&self, digest: &Digest, now: Instant) -> bool {
        self.uses.get(digest).is_some_and(|used| used.protects(now))
    }

    /// All that must not be evicted now.
    pub fn protected(&self, now: Instant) -> HashSet<Digest> {
        self.uses.iter().filter(|(_, used)| used.protects(now)).map(|(digest, _)| *digest).collect()
    }

    /// Forgets an artifact that is gone.
    pub fn remove(&mut self, digest: &Digest) {
        self.uses.remove(digest);
    }

    /// Forgets uses that protect no longer, and takes those that are to be written.
    pub fn take_unwritten(&mut self, now: Instant) -> Vec<(Digest, Timestamp)> {
        let mut unwritten = Vec::new();
        self.uses.retain(|digest, used| {
            unwritten.extend(used.unwritten.take().map(|at| (*digest, at)));
            used.protects(now)
        });
        // A burst of new pictures leaves a table that the next minutes do not need.
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
