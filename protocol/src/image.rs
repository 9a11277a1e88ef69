//! The params of `image.generate`.

use serde::{Deserialize, Serialize};

use crate::{Digest, JsonText};

/// What picture is wanted. Unknown fields are refused: a mistyped one would quietly make (and pay for) another picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageParams {
    /// What to show; not empty.
    pub prompt: String,
    /// What not to show.
    #[serde(default)]
    pub negative_prompt: Option<String>,
    /// The side in pixels, 1024 if absent.
    #[serde(default = "default_side")]
    pub width: u32,
    /// The side in pixels, 1024 if absent.
    #[serde(default = "default_side")]
    pub height: u32,
    /// How many pictures, 1 to 16.
    #[serde(default = "default_count")]
    pub n: u32,
    /// Below 2^53; chosen by the provider if absent.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Tells equal requests apart that shall be different pictures; part of the cache key, not sent.
    #[serde(default)]
    pub sample: u32,
    /// Sampling steps, 1 to 500, where the provider has them.
    #[serde(default)]
    pub steps: Option<u32>,
    /// Guidance scale, 0 to 100, where the provider has it.
    #[serde(default)]
    pub guidance: Option<f64>,
    /// One of the daemon's styles.
    #[serde(default)]
    pub style: Option<String>,
    /// The provider's model.
    #[serde(default)]
    pub model: Option<String>,
    /// Pictures in the daemon's store to start from, at most 16: outputs of tasks, or what `artifact.put` has taken.
    #[serde(default)]
    pub input_images: Vec<Digest>,
    /// A picture of the size of the first input whose transparent pixels say where that one may change.
    #[serde(default)]
    pub mask: Option<Digest>,
    /// How far to leave the input picture, 0 to 1.
    #[serde(default)]
    pub strength: Option<f64>,
    /// Provider-specific fields, an object.
    #[serde(default)]
    pub extra: Option<JsonText>,
}

impl ImageParams {
    /// Everything by default but the prompt.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            negative_prompt: None,
            width: default_side(),
            height: default_side(),
            n: default_count(),
            seed: None,
            sample: 0,
            steps: None,
            guidance: None,
            style: None,
            model: None,
            input_images: Vec::new(),
            mask: None,
            strength: None,
            extra: None,
        }
    }
}

const fn default_side() -> u32 {
    1024
}

const fn default_count() -> u32 {
    1
}
