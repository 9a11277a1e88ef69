//! What other rooms know of a provider: how a task names it, and what selection and cache keys take of it.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use reel_protocol::SpeechFormat;

use super::Price;

/// The model that is asked for; None for the provider's own choice.
pub type Model = Option<Arc<str>>;

/// What an attempt asks for: a provider, and one of its models.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The instance's name.
    pub provider: Arc<str>,
    /// The model that is asked for.
    pub model: Model,
}

/// A provider as selection and cache keys see it.
#[derive(Debug, Clone, Default)]
pub struct ProviderProfile {
    /// The instance's name.
    pub name: String,
    /// The kind, such as `draft`.
    pub kind: String,
    /// Where the provider is reached.
    pub address: String,
    /// The model that is used where a request names none.
    pub model: Option<String>,
    /// The same for a service that has a model of its own.
    pub models: BTreeMap<String, String>,
    /// Changes when the adapter makes something else of the same request.
    pub adapter_version: String,
    /// Whether asking twice may pay twice.
    pub is_paid: bool,
    /// Whether it is asked only by its name, or where there is no other provider.
    pub is_fallback: bool,
    /// What its results cost, where the configuration says so.
    pub price: Option<Arc<Price>>,
    /// Whether no section of the configuration names it.
    pub is_embedded: bool,
    /// The services that it is asked for, such as `image`.
    pub services: Vec<String>,
    /// Those of them for which it is asked before others, whatever their rank.
    pub default_for: Vec<String>,
    /// What it makes of pictures.
    pub image: ImageCapabilities,
    /// What it makes of speech.
    pub speech: SpeechCapabilities,
    /// What it makes of the params of chats.
    pub chat: ChatCapabilities,
    /// What it makes of videos.
    pub video: VideoCapabilities,
}

impl ProviderProfile {
    /// Whether it is asked before others for this service.
    pub fn is_default_for(&self, service: &str) -> bool {
        self.default_for.iter().any(|name| name == service)
    }

    /// Whether it is asked for this service.
    pub fn serves(&self, service: &str) -> bool {
        self.services.iter().any(|name| name == service)
    }

    /// The model that is used where a request of this service names none.
    pub fn model_for(&self, service: &str) -> Option<&str> {
        self.models.get(service).or(self.model.as_ref()).map(String::as_str)
    }
}

/// What a provider makes of pictures. A param that it would ignore is refused, as the picture would not be the one that was asked
/// for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageCapabilities {
    /// The sides that it makes, in pixels.
    pub sides: RangeInclusive<u32>,
    /// Params that it would ignore, of `negative_prompt`, `seed`, `steps`, `guidance`, `input_images`, `mask`, `strength` and `extra`.
    pub ignored: Vec<&'static str>,
    /// Fields that it makes of other params, and that `extra` must not hold.
    pub own_fields: &'static [&'static str],
    /// Pictures that it can start from at once.
    pub max_inputs: usize,
}

impl ImageCapabilities {
    /// Sides that any provider could make, in pixels.
    pub const SIDES: RangeInclusive<u32> = 16..=16_384;
}

impl Default for ImageCapabilities {
    fn default() -> Self {
        Self { sides: Self::SIDES, ignored: Vec::new(), own_fields: &[], max_inputs: usize::MAX }
    }
}

/// What a provider makes of speech.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechCapabilities {
    /// The forms of files that it makes.
    pub formats: &'static [SpeechFormat],
    /// The voice that is used where a request names none, if the configuration or the kind says so.
    pub voice: Option<String>,
    /// Fields that it makes of other params, and that `extra` must not hold.
    pub own_fields: &'static [&'static str],
}

impl Default for SpeechCapabilities {
    fn default() -> Self {
        Self { formats: &[SpeechFormat::Wav, SpeechFormat::Mp3], voice: None, own_fields: &[] }
    }
}

/// What a provider makes of the params of `text.chat`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatCapabilities {
    /// Params that it would ignore, of `temperature`, `max_tokens`, `tools`, `tool_choice` and `extra`.
    pub ignored: Vec<&'static str>,
    /// Fields that it makes of other params, and that `extra` must not hold.
    pub own_fields: &'static [&'static str],
    /// How it is made to answer with JSON that fits a schema, for cache keys.
    pub structured_output: &'static str,
}

/// What a provider makes of videos. A param that it would ignore is refused, as the video would not be the one that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoCapabilities {
    /// Params that it would ignore, of `image`, `last_image`, `fps`, `seed` and `extra`.
    pub ignored: Vec<&'static str>,
    /// Fields that it makes of other params, and that `extra` must not hold.
    pub own_fields: &'static [&'static str],
    /// The sides that it makes, in pixels.
    pub sides: RangeInclusive<u32>,
    /// The longest video that it makes, in seconds, where that is known.
    pub longest_s: Option<f64>,
}

impl Default for VideoCapabilities {
    fn default() -> Self {
        Self { ignored: Vec::new(), own_fields: &[], sides: 1..=u32::MAX, longest_s: None }
    }
}
