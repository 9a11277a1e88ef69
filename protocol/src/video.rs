//! The params of `video.generate`.

use serde::{Deserialize, Serialize};

use crate::{Digest, JsonText};

/// The params of `video.generate`. Unknown fields are `invalid_params`, because a mistyped one would quietly make (and pay for) another video. A
/// provider that would ignore a field that is given is not chosen; if there is no other, that is `invalid_params` too. The provider `draft` is an
/// exception: it ignores `model`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VideoParams {
    /// What the video shall show; not empty, and at most 64 KiB.
    pub prompt: String,
    /// The digest of the picture in the store that the video begins with; none if absent.
    #[serde(default)]
    pub image: Option<Digest>,
    /// The digest of the picture in the store that the video ends with; none if absent.
    #[serde(default)]
    pub last_image: Option<Digest>,
    /// The duration in seconds, 0.1 to 600; the provider's own if absent.
    #[serde(default)]
    pub duration_s: Option<f64>,
    /// The width in pixels, 16 to 8,192. It is given together with `height`; the provider's own if both are absent.
    #[serde(default)]
    pub width: Option<u32>,
    /// The height in pixels, 16 to 8,192. It is given together with `width`; the provider's own if both are absent.
    #[serde(default)]
    pub height: Option<u32>,
    /// Frames per second, 1 to 240; the provider's own if absent.
    #[serde(default)]
    pub fps: Option<u32>,
    /// The seed, below 2^53, with which a provider that takes seeds makes the same video again. If absent, the daemon derives one from the request.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The name of the model, at most 256 bytes; the provider's configured one if absent.
    #[serde(default)]
    pub model: Option<String>,
    /// A number that tells apart equal requests that shall have different videos; 0 if absent. It is a part of the cache key, and is not sent.
    #[serde(default)]
    pub sample: u32,
    /// Fields that the provider's API has beyond these, an object; none if absent. A field that the daemon sets itself is `invalid_params`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Object>"))]
    #[serde(default)]
    pub extra: Option<JsonText>,
}

impl VideoParams {
    /// Returns params with this prompt and defaults for everything else.
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

    /// Returns the width and the height in pixels; None unless both are given.
    pub fn size(&self) -> Option<(u32, u32)> {
        self.width.zip(self.height)
    }
}
