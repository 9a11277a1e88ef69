//! A colour for mixing: red, green and blue from 0 to 1.

/// Red, green and blue as the picture stores them (sRGB, not linear).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    pub red: f32,
    pub green: f32,
    pub blue: f32,
}

/// Returns the tone of a colour code `0xRRGGBB`.
pub const fn hex(code: u32) -> Tone {
    Tone {
        red: ((code >> 16) & 0xFF) as f32 / 255.0,
        green: ((code >> 8) & 0xFF) as f32 / 255.0,
        blue: (code & 0xFF) as f32 / 255.0,
    }
}

pub const WHITE: Tone = hex(0xFF_FF_FF);
pub const BLACK: Tone = hex(0);

impl Tone {
    fn each(self, other: Self, join: impl Fn(f32, f32) -> f32) -> Self {
        Self {
            red: join(self.red, other.red).clamp(0.0, 1.0),
            green: join(self.green, other.green).clamp(0.0, 1.0),
            blue: join(self.blue, other.blue).clamp(0.0, 1.0),
        }
    }

    /// Mixes `amount` (0 to 1) of the other tone into this one.
    pub fn mix(self, other: Self, amount: f32) -> Self {
        self.each(other, |mine, theirs| mine + (theirs - mine) * amount)
    }

    /// Returns how this colour looks under light of another colour.
    pub fn under(self, light: Self) -> Self {
        self.each(light, |mine, theirs| mine * theirs)
    }

    pub fn lighter(self, amount: f32) -> Self {
        self.mix(WHITE, amount)
    }

    pub fn darker(self, amount: f32) -> Self {
        self.mix(BLACK, amount)
    }

    /// Returns the perceived brightness, 0 to 1.
    pub fn luma(self) -> f32 {
        self.red * 0.299 + self.green * 0.587 + self.blue * 0.114
    }

    /// Changes the saturation: a factor above 1 increases it, and one below 1 reduces it.
    pub fn saturated(self, factor: f32) -> Self {
        let grey = self.luma();
        self.each(self, |mine, _| grey + (mine - grey) * factor)
    }

    pub fn bytes(self) -> [u8; 3] {
        [self.red, self.green, self.blue].map(|light| (light * 255.0 + 0.5) as u8)
    }

    /// Converts to a colour for `tiny_skia`, with an opacity from 0 to 1.
    pub fn paint(self, opacity: f32) -> tiny_skia::Color {
        let [red, green, blue] = self.bytes();
        let alpha = (opacity.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        tiny_skia::Color::from_rgba8(red, green, blue, alpha)
    }
}
