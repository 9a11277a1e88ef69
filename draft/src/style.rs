//! The seven looks, and the plain one of a request without a style.

/// The look of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Cinematic,
    Anime,
    Ghibli,
    Cyberpunk,
    Watercolor,
    PixelArt,
    Photorealistic,
}

impl Style {
    /// A name that nobody knows draws plainly: refusing it is not this room's business.
    pub fn named(name: Option<&str>) -> Self {
        match name.unwrap_or_default() {
            "cinematic" => Self::Cinematic,
            "anime" => Self::Anime,
            "ghibli" => Self::Ghibli,
            "cyberpunk" => Self::Cyberpunk,
            "watercolor" => Self::Watercolor,
            "pixel-art" => Self::PixelArt,
            "photorealistic" => Self::Photorealistic,
            _ => Self::Plain,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Cinematic => "cinematic",
            Self::Anime => "anime",
            Self::Ghibli => "ghibli",
            Self::Cyberpunk => "cyberpunk",
            Self::Watercolor => "watercolor",
            Self::PixelArt => "pixel-art",
            Self::Photorealistic => "photorealistic",
        }
    }

    /// Real pixels for each pixel that is drawn, given the shorter side of the picture.
    pub fn block(self, short_side: u32) -> u32 {
        if self == Self::PixelArt { (short_side / 144).clamp(2, 14) } else { 1 }
    }

    /// How many flat steps the sky has; none blends it smoothly.
    pub fn sky_bands(self) -> Option<u32> {
        match self {
            Self::Anime => Some(9),
            Self::PixelArt => Some(12),
            _ => None,
        }
    }
}
