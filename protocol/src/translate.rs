//! The params of `translate.text`.

use serde::{Deserialize, Serialize};

/// The params of `translate.text`. Unknown fields are `invalid_params`, because a mistyped one would quietly give (and pay for) another translation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TranslateParams {
    /// The text to translate; not empty, and at most 64 KiB.
    pub text: String,
    /// The language to translate into as a BCP 47 tag, such as `de` or `zh-TW`.
    pub to: String,
    /// The language of the text as a BCP 47 tag; the model detects it if absent.
    #[serde(default)]
    pub from: Option<String>,
    /// The name of the model, at most 256 bytes; the provider's configured one for `text` if absent.
    #[serde(default)]
    pub model: Option<String>,
    /// A number that tells apart equal requests that shall have different translations; 0 if absent. It is a part of the cache key, and is not sent.
    #[serde(default)]
    pub sample: u32,
}

impl TranslateParams {
    /// Returns params with this text, this language to translate into, and defaults for everything else.
    pub fn new(text: impl Into<String>, to: impl Into<String>) -> Self {
        Self { text: text.into(), to: to.into(), from: None, model: None, sample: 0 }
    }
}
