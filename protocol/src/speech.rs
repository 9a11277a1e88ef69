//! The params of `voice.speak`.

use serde::{Deserialize, Serialize};

use crate::JsonText;

/// What is to be spoken. Unknown fields are refused: a mistyped one would quietly make (and pay for) other speech.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechParams {
    /// What to say; not empty.
    pub text: String,
    /// One of the provider's voices; chosen by the provider if absent.
    #[serde(default)]
    pub voice: Option<String>,
    /// The language of the text (BCP 47), such as `en` or `zh-TW`. Providers that tell it from the text do not need it.
    #[serde(default)]
    pub language: Option<String>,
    /// How fast, 0.25 to 4; 1 is the voice's usual speed.
    #[serde(default = "usual_speed")]
    pub speed: f64,
    /// The form of the file; chosen by the provider if absent.
    #[serde(default)]
    pub format: Option<SpeechFormat>,
    /// The provider's model.
    #[serde(default)]
    pub model: Option<String>,
    /// Tells equal requests apart that shall be different speech; part of the cache key, not sent.
    #[serde(default)]
    pub sample: u32,
    /// Provider-specific fields, an object.
    #[serde(default)]
    pub extra: Option<JsonText>,
}

/// A form of speech files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechFormat {
    /// `audio/wav`.
    Wav,
    /// `audio/mpeg`.
    Mp3,
}

impl SpeechParams {
    /// Everything by default but the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            voice: None,
            language: None,
            speed: usual_speed(),
            format: None,
            model: None,
            sample: 0,
            extra: None,
        }
    }
}

impl SpeechFormat {
    /// As the wire has it, and as files of this form end.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
        }
    }
}

const fn usual_speed() -> f64 {
    1.0
}
