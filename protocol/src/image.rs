//! The params of `image.generate`.

use serde::{Deserialize, Serialize};

use crate::{Digest, JsonText};

/// The params of `image.generate`. Unknown fields are `invalid_params`, because a mistyped one would quietly make (and pay for) another picture. A
/// provider that would ignore a field that is given, such as `seed`, is not chosen; if there is no other, that is `invalid_params` too. The provider
/// `draft` is an exception: it ignores `steps`, `guidance`, `model`, and all of `extra` but `caption` and `card`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ImageParams {
    /// What the picture shall show; not empty, and at most 64 KiB.
    pub prompt: String,
    /// What the picture shall not show, at most 64 KiB; nothing if absent.
    #[serde(default)]
    pub negative_prompt: Option<String>,
    /// The width in pixels, 16 to 16,384; 1024 if absent. Most providers accept fewer sizes.
    #[serde(default = "default_side")]
    pub width: u32,
    /// The height in pixels, 16 to 16,384; 1024 if absent. Most providers accept fewer sizes.
    #[serde(default = "default_side")]
    pub height: u32,
    /// The number of pictures, 1 to 16; 1 if absent.
    #[serde(default = "default_count")]
    pub n: u32,
    /// The seed, below 2^53. If absent, the daemon derives one from the request, so that equal requests have equal seeds; with `cache` as `fresh`,
    /// each request has another one.
    #[serde(default)]
    pub seed: Option<u64>,
    /// A number that tells apart equal requests that shall have different pictures; 0 if absent. It is a part of the cache key, and is sent to no
    /// service.
    #[serde(default)]
    pub sample: u32,
    /// Sampling steps, 1 to 500; the provider's own if absent.
    #[serde(default)]
    pub steps: Option<u32>,
    /// Guidance scale, 0 to 100; the provider's own if absent.
    #[serde(default)]
    pub guidance: Option<f64>,
    /// The name of a style, as `service.status` lists them; an unknown one is `unknown_style`. No style if absent.
    #[serde(default)]
    pub style: Option<String>,
    /// The name of the model; the provider's configured one if absent.
    #[serde(default)]
    pub model: Option<String>,
    /// Digests of pictures in the daemon's store to start from, at most 16 and with sides of at most 16,384 pixels: outputs of tasks, or what
    /// `artifact.put` has taken. None if absent.
    #[serde(default)]
    pub input_images: Vec<Digest>,
    /// The digest of a picture of the size of the first of `input_images`, which it needs. That picture may change where the mask is transparent. No
    /// mask if absent.
    #[serde(default)]
    pub mask: Option<Digest>,
    /// How far the result may depart from `input_images`, which it needs: 0 to 1. The provider's own if absent.
    #[serde(default)]
    pub strength: Option<f64>,
    /// Fields that the provider's API has beyond these, an object; none if absent. A field that the daemon sets itself is `invalid_params`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Object>"))]
    #[serde(default)]
    pub extra: Option<JsonText>,
}

impl ImageParams {
    /// Returns params with this prompt and defaults for everything else.
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
