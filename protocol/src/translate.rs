//! The params of `translate.text`.

use serde::{Deserialize, Serialize};

/// What is to be translated. Unknown fields are refused: a mistyped one would quietly give (and pay for) another translation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranslateParams {
    /// The text; not empty.
    pub text: String,
    /// The language to translate into (BCP 47), such as `de` or `zh-TW`.
    pub to: String,
    /// The language of the text; told from the text if absent.
    #[serde(default)]
    pub from: Option<String>,
    /// The provider's model.
    #[serde(default)]
    pub model: Option<String>,
    /// Tells equal requests apart that shall be different translations; part of the cache key, not sent.
    #[serde(default)]
    pub sample: u32,
}

impl TranslateParams {
    /// Everything by default but the text and its new language.
    pub fn new(text: impl Into<String>, to: impl Into<String>) -> Self {
        Self { text: text.into(), to: to.into(), from: None, model: None, sample: 0 }
    }
}
