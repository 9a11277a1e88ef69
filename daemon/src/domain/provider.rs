//! The properties of a provider that other rooms use: how a task names it, and what selection and cache keys need.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use reel_protocol::SpeechFormat;

use super::Price;

/// The requested model. None means the provider's own choice.
pub type Model = Option<Arc<str>>;

/// The provider and model that an attempt requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The name of the provider's instance.
    pub provider: Arc<str>,
    /// The requested model.
    pub model: Model,
}

/// The properties of a provider that selection and cache keys use.
#[derive(Debug, Clone, Default)]
pub struct ProviderProfile {
    /// The name of the instance.
    pub name: String,
    /// The kind, such as `draft`.
    pub kind: String,
    /// The address of the provider. It is part of cache keys.
    pub address: String,
    /// The model for requests that name none.
    pub model: Option<String>,
    /// The models for services that have their own, by the name of the service. They take precedence over `model`.
    pub models: BTreeMap<String, String>,
    /// The version of the adapter. It changes when the adapter produces something else for the same request.
    pub adapter_version: String,
    /// Whether a second request may be charged again.
    pub is_paid: bool,
    /// Whether the provider is used only if a request names it, or if no other provider serves the service.
    pub is_fallback: bool,
    /// The prices of its results, if the configuration has them.
    pub price: Option<Arc<Price>>,
    /// Whether the provider is embedded: no section of the configuration names it.
    pub is_embedded: bool,
    /// The services that the provider serves, such as `image`.
    pub services: Vec<String>,
    /// The services for which it is chosen before others, whatever their rank.
    pub default_for: Vec<String>,
    /// The pictures that it can make.
    pub image: ImageCapabilities,
    /// The speech that it can make.
    pub speech: SpeechCapabilities,
    /// The params of chats that it can use.
    pub chat: ChatCapabilities,
    /// The videos that it can make.
    pub video: VideoCapabilities,
}

impl ProviderProfile {
    /// Whether it is chosen before others for this service.
    pub fn is_default_for(&self, service: &str) -> bool {
        self.default_for.iter().any(|name| name == service)
    }

    /// Whether it serves this service.
    pub fn serves(&self, service: &str) -> bool {
        self.services.iter().any(|name| name == service)
    }

    /// Returns the model for requests of this service that name none.
    pub fn model_for(&self, service: &str) -> Option<&str> {
        self.models.get(service).or(self.model.as_ref()).map(String::as_str)
    }
}

/// The pictures that a provider can make. Requests with params that it would ignore are refused, because the picture would not be the requested one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageCapabilities {
    /// The allowed widths and heights, in pixels.
    pub sides: RangeInclusive<u32>,
    /// The params that it would ignore, of `negative_prompt`, `seed`, `steps`, `guidance`, `input_images`, `mask`, `strength` and `extra`.
    pub ignored: Vec<&'static str>,
    /// The fields of the provider's request that are set from other params. `extra` must not contain them.
    pub own_fields: &'static [&'static str],
    /// The most input pictures of a request.
    pub max_inputs: usize,
}

impl ImageCapabilities {
    /// The widths and heights that any provider could make, in pixels.
    pub const SIDES: RangeInclusive<u32> = 16..=16_384;
}

impl Default for ImageCapabilities {
    fn default() -> Self {
        Self { sides: Self::SIDES, ignored: Vec::new(), own_fields: &[], max_inputs: usize::MAX }
    }
}

/// The speech that a provider can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechCapabilities {
    /// The file formats that it can make.
    pub formats: &'static [SpeechFormat],
    /// The voice for requests that name none, if the configuration or the kind sets one.
    pub voice: Option<String>,
    /// The params that it would ignore, of `voice`, `model` and `extra`.
    pub ignored: Vec<&'static str>,
    /// The fields of the provider's request that are set from other params. `extra` must not contain them.
    pub own_fields: &'static [&'static str],
}

impl Default for SpeechCapabilities {
    fn default() -> Self {
        Self {
            formats: &[SpeechFormat::Wav, SpeechFormat::Mp3],
            voice: None,
            ignored: Vec::new(),
            own_fields: &[],
        }
    }
}

/// The params of `text.chat` that a provider can use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatCapabilities {
    /// The params that it would ignore, of `temperature`, `max_tokens`, `tools`, `tool_choice` and `extra`.
    pub ignored: Vec<&'static str>,
    /// The fields of the provider's request that are set from other params. `extra` must not contain them.
    pub own_fields: &'static [&'static str],
    /// The method by which it is made to answer with JSON that fits a schema. It is part of cache keys.
    pub structured_output: &'static str,
}

/// The videos that a provider can make. Requests with params that it would ignore are refused, because the video would not be the requested one.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoCapabilities {
    /// The params that it would ignore, of `image`, `last_image`, `duration_s`, `width`, `height`, `fps`, `seed` and `extra`.
    pub ignored: Vec<&'static str>,
    /// What a user can do so that the provider does not ignore them, if anything.
    pub remedy: Option<&'static str>,
    /// Whether a duration can be requested only together with a frame rate.
    pub duration_needs_fps: bool,
    /// The fields of the provider's request that are set from other params. `extra` must not contain them.
    pub own_fields: &'static [&'static str],
    /// The allowed widths and heights, in pixels.
    pub sides: RangeInclusive<u32>,
    /// The duration of the longest video that it can make, in seconds, if that is known.
    pub longest_s: Option<f64>,
}

impl Default for VideoCapabilities {
    fn default() -> Self {
        let (remedy, duration_needs_fps) = (None, false);
        Self {
            ignored: Vec::new(),
            remedy,
            duration_needs_fps,
            own_fields: &[],
            sides: 1..=u32::MAX,
            longest_s: None,
        }
    }
}
