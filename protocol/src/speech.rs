//! The params of `voice.speak`.

use serde::{Deserialize, Serialize};

use crate::JsonText;

/// The params of `voice.speak`. Unknown fields are `invalid_params`, because a mistyped one would quietly make (and pay for) other speech. A
/// provider that would ignore `model`, `voice` or `extra` is not chosen if they are given; if there is no other, that is `invalid_params` too. The
/// provider `draft` is an exception: it ignores all fields but `text`, `language`, `speed` and `format`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SpeechParams {
    /// What to say; not empty, and at most 64 KiB.
    pub text: String,
    /// The name of one of the provider's voices, at most 256 bytes, as `provider.voices` lists them; the provider's default if absent.
    #[serde(default)]
    pub voice: Option<String>,
    /// The language of the text as a BCP 47 tag, such as `en` or `zh-TW`. `voice` wins over it: where a voice is named, it chooses no other one.
    /// Providers that detect the language of a text ignore it. The provider decides if absent.
    #[serde(default)]
    pub language: Option<String>,
    /// The speed, 0.25 to 4; 1, which is the voice's usual speed, if absent.
    #[serde(default = "usual_speed")]
    pub speed: f64,
    /// The format of the file; the provider's own if absent. One that no provider makes is `invalid_params`.
    #[serde(default)]
    pub format: Option<SpeechFormat>,
    /// The name of the model, at most 256 bytes; the provider's configured one if absent.
    #[serde(default)]
    pub model: Option<String>,
    /// A number that tells apart equal requests that shall have different speech; 0 if absent. It is a part of the cache key, and is not sent.
    #[serde(default)]
    pub sample: u32,
    /// Fields that the provider's API has beyond these, an object; none if absent. A field that the daemon sets itself is `invalid_params`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Object>"))]
    #[serde(default)]
    pub extra: Option<JsonText>,
}

/// A format of sound files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SpeechFormat {
    /// A WAV file, `audio/wav`.
    Wav,
    /// An MP3 file, `audio/mpeg`.
    Mp3,
}

impl SpeechParams {
    /// Returns params with this text and defaults for everything else.
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
    /// Returns the name on the wire, which is the extension of such files as well.
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
