//! What is known of an artifact's file beside its bytes, whatever its media type is.

use std::borrow::Cow;

/// What is known of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Such as `image/png` or `audio/wav`.
    pub media_type: Cow<'static, str>,
    /// The extension of the file's name, such as `png`.
    pub extension: Cow<'static, str>,
    /// The size of a picture or a film. None for other media, and where the file could not be decoded.
    pub pixels: Option<Pixels>,
    /// How long speech, music or a film lasts, in seconds. None for other media, and where it is unknown.
    pub duration_s: Option<f64>,
    /// Samples of sound a second. None without sound, and where it is unknown.
    pub sample_rate: Option<u32>,
    /// Channels of sound. None without sound, and where it is unknown.
    pub channels: Option<u32>,
}

/// The size of a picture or a film, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels {
    /// The pixels of a row.
    pub width: u32,
    /// The rows.
    pub height: u32,
}

impl Facts {
    /// A file of this type, of which nothing else is known.
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

    /// The same file, whose size is known to be this one.
    #[must_use]
    pub fn with_pixels(self, width: u32, height: u32) -> Self {
        Self { pixels: Some(Pixels { width, height }), ..self }
    }
}
