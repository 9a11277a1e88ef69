//! When the heap's free pages are worth giving back without being asked: after a flood, once it is quiet. Pure.

/// So much more than there was is worth the milliseconds that walking over the heap takes.
const WORTH_BYTES: u64 = 16 * 1024 * 1024;
/// What trembles from look to look.
const STILL_BYTES: u64 = 1024 * 1024;

/// Resident memory that nobody reserved, over time.
#[derive(Debug, Clone, Copy)]
pub struct Loose {
    /// The least since the heap was last given back.
    least_bytes: u64,
    /// At the last look.
    last_bytes: u64,
}

impl Default for Loose {
    fn default() -> Self {
        Self { least_bytes: u64::MAX, last_bytes: 0 }
    }
}

impl Loose {
    /// Notes a look; true if the heap is worth giving back: it grew, and it grows no more.
    pub fn look(&mut self, resident_bytes: u64, reserved_bytes: u64) -> bool {
        let loose_bytes = resident_bytes.saturating_sub(reserved_bytes);
        let is_quiet = loose_bytes <= self.last_bytes.saturating_add(STILL_BYTES);
        self.last_bytes = loose_bytes;
        self.least_bytes = self.least_bytes.min(loose_bytes);
        is_quiet && loose_bytes - self.least_bytes >= WORTH_BYTES
    }

    /// The heap was given back: what is left is in use, and only more than that is worth another walk.
    pub fn returned(&mut self, resident_bytes: u64, reserved_bytes: u64) {
        let loose_bytes = resident_bytes.saturating_sub(reserved_bytes);
        *self = Self { least_bytes: loose_bytes, last_bytes: loose_bytes };
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
        for (resident, expected) in [(40, false), (45, false), (55, false), (57, false), (57, true)] {
            assert_eq!(loose.look(resident * MIB, 0), expected, "{resident}");
        }
    }

    #[test]
    fn what_is_reserved_is_not_loose() {
        let mut loose = Loose::default();
        for held in [0, 100, 200, 200, 200] {
            assert!(!loose.look((20 + held) * MIB, held * MIB));
        }
    }
}
