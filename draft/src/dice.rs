//! Deterministic random choices: every choice of a picture is derived from the BLAKE3 digest of its request.

use super::Panel;

/// The digest of all inputs that make one draft differ from another.
#[derive(Debug, Clone, Copy)]
pub struct RequestDigest([u8; 32]);

impl RequestDigest {
    /// Hashes each field with its length before it, so that text moved from one field to the next gives another digest.
    pub fn of(panel: &Panel) -> Self {
        let mut hasher = blake3::Hasher::new();
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        for text in [&panel.prompt, &optional(&panel.negative_prompt), &optional(&panel.style)] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&panel.seed.to_le_bytes());
        hasher.update(&panel.sample.to_le_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Returns a separate random stream for one purpose. More choices for the clouds do not change the mountains.
    pub fn dice(&self, purpose: &str) -> Dice {
        let digest = blake3::keyed_hash(&self.0, purpose.as_bytes());
        let state = digest.as_bytes().iter().take(8).fold(0_u64, |state, byte| state << 8 | u64::from(*byte));
        Dice(state)
    }
}

/// A `SplitMix64` random number generator.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 up to, but not including, 1, evenly distributed.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Returns a number between the two, evenly distributed.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Returns a whole number from `low` to `high`, both included.
    pub fn count(&mut self, low: u32, high: u32) -> u32 {
        low + (self.next() % u64::from(high.saturating_sub(low) + 1)) as u32
    }

    /// Returns true with this probability (0 to 1).
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Returns −1 or 1.
    pub fn side(&mut self) -> f32 {
        if self.chance(0.5) { -1.0 } else { 1.0 }
    }

    /// Returns one of the choices.
    #[expect(clippy::indexing_slicing, reason = "a number modulo N is below N")]
    pub fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[(self.next() % N as u64) as usize]
    }
}

/// A smooth random curve for the outlines of hills and clouds.
#[derive(Debug, Clone)]
pub struct Contour([f32; 64]);

impl Contour {
    pub fn new(dice: &mut Dice) -> Self {
        Self(std::array::from_fn(|_| dice.unit()))
    }

    fn knot(&self, position: i32) -> f32 {
        self.0.get(position.rem_euclid(64) as usize).copied().unwrap_or_default()
    }

    /// Returns the height, 0 to 1, at a position along the curve. There is a knot at each whole number.
    pub fn at(&self, position: f32) -> f32 {
        let left = position.floor();
        let along = position - left;
        let eased = along * along * (3.0 - 2.0 * along);
        let (from, to) = (self.knot(left as i32), self.knot(left as i32 + 1));
        from + (to - from) * eased
    }

    /// Returns the height with two finer octaves added, still 0 to 1.
    pub fn rough(&self, position: f32) -> f32 {
        let finer = self.at(position * 2.3 + 11.0) * 0.28 + self.at(position * 5.1 + 29.0) * 0.14;
        self.at(position) * 0.58 + finer
    }
}
