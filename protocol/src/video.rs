//! The params of `video.generate`.

use serde::{Deserialize, Serialize};

use crate::{Digest, JsonText};

/// The video that shall be made. Unknown fields are refused: a mistyped one would quietly make (and pay for) another video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoParams {
    /// What the video shall show; not empty.
    pub prompt: String,
    /// The picture that the video begins with.
    #[serde(default)]
    pub image: Option<Digest>,
    /// The picture that the video ends with.
    #[serde(default)]
    pub last_image: Option<Digest>,
    /// How long the video shall be, in seconds; chosen by the provider if absent.
    #[serde(default)]
    pub duration_s: Option<f64>,
    /// Pixels of a row; given together with `height`, or chosen by the provider.
    #[serde(default)]
    pub width: Option<u32>,
    /// Rows of pixels; given together with `width`, or chosen by the provider.
    #[serde(default)]
    pub height: Option<u32>,
    /// Pictures a second; chosen by the provider if absent.
    #[serde(default)]
    pub fps: Option<u32>,
    /// Makes the same video again where the provider supports it.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The provider's model.
    #[serde(default)]
    pub model: Option<String>,
    /// Tells equal requests apart that shall be different videos; part of the cache key, not sent.
    #[serde(default)]
    pub sample: u32,
    /// Provider-specific fields, an object.
    #[serde(default)]
    pub extra: Option<JsonText>,
}

impl VideoParams {
    /// Everything by default but the prompt.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            image: None,
            last_image: None,
            duration_s: None,
            width: None,
            height: None,
            fps: None,
            seed: None,
            model: None,
            sample: 0,
            extra: None,
        }
    }

    /// The size of the pictures, where it was asked for: the pixels of a row, and the rows.
    pub fn size(&self) -> Option<(u32, u32)> {
        self.width.zip(self.height)
    }
}
