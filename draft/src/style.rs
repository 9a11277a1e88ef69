//! The seven styles, and the plain style for a request without one.

/// The style of a picture.
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
    /// Returns the style with this name, and the plain style for an unknown name. Refusing unknown names is left to the caller.
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

    /// Returns the pixels of the sheet per pixel that is drawn, given the shorter side of the picture.
    pub fn block(self, short_side: u32) -> u32 {
        if self == Self::PixelArt { (short_side / 144).clamp(2, 14) } else { 1 }
    }

    /// Returns the number of flat colour steps of the sky. None for a smooth sky.
    pub fn sky_bands(self) -> Option<u32> {
        match self {
            Self::Anime => Some(9),
            Self::PixelArt => Some(12),
            _ => None,
        }
    }
}
