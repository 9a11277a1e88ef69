//! Pseudorandom numbers that a seed reproduces.

use std::time::{SystemTime, UNIX_EPOCH};

/// A `SplitMix64` generator. It is good enough to choose times and sizes, and gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Returns the generator for a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the seed from `REEL_TEST_SEED`, or one from the clock. The caller prints it, so that a failure can be reproduced.
    pub fn seed_from_env() -> u64 {
        let given = std::env::var("REEL_TEST_SEED").ok().and_then(|text| text.parse().ok());
        given.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(since.subsec_nanos()) % 1_000_000
        })
    }

    /// Returns the next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`, which must not be zero.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }
}
