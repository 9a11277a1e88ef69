//! When the heap's free pages are worth giving back without being asked: after a flood, once it is quiet. Pure.

/// So much more than there was is worth the milliseconds that walking over the heap takes.
const WORTH_BYTES: u64 = 8 * 1024 * 1024;
/// What trembles from look to look.
const STILL_BYTES: u64 = 1024 * 1024;
/// So much is worth it where nothing else is going on.
const WORTH_AT_REST_BYTES: u64 = 2 * 1024 * 1024;
/// What a daemon at rest does not even tremble by.
const RESTING_BYTES: u64 = 64 * 1024;
/// Looks in a row that must find it so before it counts as resting.
const RESTING_LOOKS: u32 = 10;

/// Resident memory that nobody reserved, over time.
#[derive(Debug, Clone, Copy)]
pub struct Loose {
    /// The least since the heap was last given back.
    least_bytes: u64,
    /// At the last look.
    last_bytes: u64,
    /// Looks in a row that saw nothing change.
    resting_looks: u32,
}

impl Default for Loose {
    fn default() -> Self {
        Self { least_bytes: u64::MAX, last_bytes: 0, resting_looks: 0 }
    }
}

impl Loose {
    /// Notes a look; true if the heap is worth giving back: it grew, and it grows no more.
    pub fn look(&mut self, resident_bytes: u64, reserved_bytes: u64) -> bool {
        let loose_bytes = resident_bytes.saturating_sub(reserved_bytes);
        let is_quiet = loose_bytes <= self.last_bytes.saturating_add(STILL_BYTES);
        let is_resting = loose_bytes.abs_diff(self.last_bytes) <= RESTING_BYTES;
        self.resting_looks = if is_resting { self.resting_looks.saturating_add(1) } else { 0 };
        self.last_bytes = loose_bytes;
        self.least_bytes = self.least_bytes.min(loose_bytes);
        let worth_bytes = if self.resting_looks >= RESTING_LOOKS { WORTH_AT_REST_BYTES } else { WORTH_BYTES };
        is_quiet && loose_bytes - self.least_bytes >= worth_bytes
    }

    /// The heap was given back: what is left is in use, and only more than that is worth another walk.
    pub fn returned(&mut self, resident_bytes: u64, reserved_bytes: u64) {
        let loose_bytes = resident_bytes.saturating_sub(reserved_bytes);
        *self = Self { least_bytes: loose_bytes, last_bytes: loose_bytes, resting_looks: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_flood_is_given_back_once_after_it_ended() {
        let mut loose = Loose::default();
        // Resident, reserved, whether it is worth it.
        let looks = [(13, 0, false), (60, 50, false), (95, 102, false), (96, 0, false), (96, 0, true)];
        for (resident, reserved, expected) in looks {
            assert_eq!(loose.look(resident * MIB, reserved * MIB), expected, "{resident} {reserved}");
        }
        loose.returned(40 * MIB, 0);
        for (resident, expected) in [(40, false), (45, false), (49, false), (49, true)] {
            assert_eq!(loose.look(resident * MIB, 0), expected, "{resident}");
        }
    }

    #[test]
    fn a_little_is_given_back_once_nothing_has_moved_for_a_while() {
        let mut loose = Loose::default();
        assert!(!loose.look(20 * MIB, 0));
        // Work goes on: it rises and falls by less than a flood.
        for resident in (0..50).map(|look| 24 * MIB + look % 2 * 128 * 1024) {
            assert!(!loose.look(resident, 0), "{resident}");
        }
        let looks: Vec<bool> = (0..12).map(|_| loose.look(24 * MIB, 0)).collect();
        let first = looks.iter().position(|is_worth_it| *is_worth_it);
        assert_eq!(first, Some(RESTING_LOOKS as usize), "{looks:?}");
        loose.returned(23 * MIB, 0);
        assert!((0..50).all(|_| !loose.look(23 * MIB, 0)), "what is in use is not asked for again");
    }

    #[test]
    fn what_is_reserved_is_not_loose() {
        let mut loose = Loose::default();
        for held in [0, 100, 200, 200, 200] {
            assert!(!loose.look((20 + held) * MIB, held * MIB));
        }
    }
}
