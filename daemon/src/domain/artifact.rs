//! The facts about an artifact's file besides its bytes, for every media type.

use std::borrow::Cow;

/// The facts about a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The media type, such as `image/png` or `audio/wav`.
    pub media_type: Cow<'static, str>,
    /// The extension of the file's name, such as `png`.
    pub extension: Cow<'static, str>,
    /// The size of a picture or a film. None for other media, and if the file could not be decoded.
    pub pixels: Option<Pixels>,
    /// The duration of speech, music or a film, in seconds. None for other media, and if it is unknown.
    pub duration_s: Option<f64>,
    /// The sample rate of the sound, in Hz. None without sound, and if it is unknown.
    pub sample_rate: Option<u32>,
    /// The number of sound channels. None without sound, and if it is unknown.
    pub channels: Option<u32>,
}

/// The size of a picture or a film, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels {
    /// The number of pixels in a row.
    pub width: u32,
    /// The number of rows.
    pub height: u32,
}

impl Facts {
    /// Returns the facts of a file of this type about which nothing else is known.
    pub fn new(media_type: impl Into<Cow<'static, str>>, extension: impl Into<Cow<'static, str>>) -> Self {
        Self {
            media_type: media_type.into(),
            extension: extension.into(),
            pixels: None,
            duration_s: None,
            sample_rate: None,
            channels: None,
        }
    }

    /// Returns the same facts with this size.
    #[must_use]
    pub fn with_pixels(self, width: u32, height: u32) -> Self {
        Self { pixels: Some(Pixels { width, height }), ..self }
    }
}
