//! Which keys the journal may have a result for: most requests are new, and to read that there, on another thread, takes longer than all
//! else until they are accepted.

use std::collections::HashSet;

use super::Key;

/// Keys that are told apart: at about 16 bytes each they stay under 2 MiB. A journal that has more is asked.
pub const MOST: usize = 65_536;

/// Keys by their first bytes, which are as good as chance.
#[derive(Debug, Default)]
pub struct Keys {
    /// Some of them may have lost their results. None where they are too many.
    known: Option<HashSet<u64>>,
}

impl Keys {
    /// All that the journal has.
    pub fn new(keys: &[Key]) -> Self {
        Self { known: (keys.len() <= MOST).then(|| keys.iter().map(mark).collect()) }
    }

    /// Whether the journal has nothing for this key. False says nothing.
    pub fn lacks(&self, key: &Key) -> bool {
        self.known.as_ref().is_some_and(|known| !known.contains(&mark(key)))
    }

    /// This one has a result now.
    pub fn add(&mut self, key: &Key) {
        if let Some(known) = &mut self.known {
            known.insert(mark(key));
            if known.len() > MOST {
                self.known = None;
            }
        }
    }
}

fn mark(key: &Key) -> u64 {
    key.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    #[test]
    fn what_is_not_known_is_not_lacked() {
        assert!(!Keys::default().lacks(&key(1)), "nobody has read the journal");
        let mut keys = Keys::new(&[key(1)]);
        assert_eq!([1, 2].map(|number| keys.lacks(&key(number))), [false, true]);
        keys.add(&key(2));
        assert!(!keys.lacks(&key(2)));
    }

    #[test]
    fn where_there_are_too_many_the_journal_is_asked() {
        let many: Vec<_> = (0..=MOST).map(key).collect();
        assert!(!Keys::new(&many).lacks(&key(MOST + 1)));
        let mut keys = Keys::new(&many[..MOST]);
        assert!(keys.lacks(&key(MOST)));
        keys.add(&key(MOST));
        assert!(!keys.lacks(&key(MOST + 1)));
    }
}
