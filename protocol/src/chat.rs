//! The params of `text.chat`.

use serde::{Deserialize, Serialize};

use crate::JsonText;

/// What a model is asked. Unknown fields are refused: a mistyped one would quietly get (and pay for) another answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatParams {
    /// The conversation so far, a list of objects with a `role` each, which is sent as it is. Either this or `prompt`.
    #[serde(default)]
    pub messages: Option<JsonText>,
    /// The one message of a user. Either this or `messages`.
    #[serde(default)]
    pub prompt: Option<String>,
    /// How the model shall answer; sent as the first message.
    #[serde(default)]
    pub system: Option<String>,
    /// The provider's model.
    #[serde(default)]
    pub model: Option<String>,
    /// How much chance is in the answer, 0 to 2; the provider's own if absent.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Most tokens of the answer; the provider's own limit if absent.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// A JSON Schema that the answer must fit; the result is then `application/json`.
    #[serde(default)]
    pub schema: Option<JsonText>,
    /// The functions that the model may call, a list of objects, sent as it is. A result with calls is `application/json`.
    #[serde(default)]
    pub tools: Option<JsonText>,
    /// Which of the tools the model shall call, sent as it is.
    #[serde(default)]
    pub tool_choice: Option<JsonText>,
    /// Tells equal requests apart that shall have different answers; part of the cache key, not sent.
    #[serde(default)]
    pub sample: u32,
    /// Provider-specific fields, an object.
    #[serde(default)]
    pub extra: Option<JsonText>,
}

impl ChatParams {
    /// The code of the error of a task whose answer does not fit its `schema`. The answer is among the outputs of the task.
    pub const SCHEMA_MISMATCH: &str = "schema_mismatch";

    /// Asks this, with everything else by default.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self { prompt: Some(prompt.into()), ..Self::default() }
    }
}
