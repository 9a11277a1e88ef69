//! The params of `text.chat`.

use serde::{Deserialize, Serialize};

use crate::JsonText;

/// The params of `text.chat`. Unknown fields are `invalid_params`, because a mistyped one would quietly get (and pay for) another answer. A provider
/// that would ignore a field that is given is not chosen; if there is no other, that is `invalid_params` too.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChatParams {
    /// The conversation so far: a list of one or more objects with a `role` each. It is sent unchanged. Either this or `prompt`; both or neither are
    /// `invalid_params`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Objects>"))]
    #[serde(default)]
    pub messages: Option<JsonText>,
    /// The one message of a user; not empty. Either this or `messages`. With `system` at most 512 KiB.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The instructions to the model, which are sent as the first message; none if absent.
    #[serde(default)]
    pub system: Option<String>,
    /// The name of the model, at most 256 bytes; the provider's configured one if absent.
    #[serde(default)]
    pub model: Option<String>,
    /// The sampling temperature, 0 to 2; the provider's own if absent.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Most tokens of the answer, at least 1; the provider's own limit if absent. An answer that ends there has the note `truncated`.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// A JSON Schema, an object, that the answer must fit; none if absent. The result is then `application/json`, and an answer that does not fit
    /// fails the task with `schema_mismatch`. A schema that the daemon cannot check is `invalid_params`:
    /// one with `pattern`, conditions, or references to other documents.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Object>"))]
    #[serde(default)]
    pub schema: Option<JsonText>,
    /// The functions that the model may call: a list of one or more objects, which is sent unchanged. None if absent. An answer with calls is
    /// `application/json`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Objects>"))]
    #[serde(default)]
    pub tools: Option<JsonText>,
    /// Which of the `tools` the model shall call, sent unchanged; the provider decides if absent. Without `tools` it is `invalid_params`.
    #[serde(default)]
    pub tool_choice: Option<JsonText>,
    /// A number that tells apart equal requests that shall have different answers; 0 if absent. It is a part of the cache key, and is not sent.
    #[serde(default)]
    pub sample: u32,
    /// Fields that the provider's API has beyond these, an object; none if absent. A field that the daemon sets itself is `invalid_params`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Object>"))]
    #[serde(default)]
    pub extra: Option<JsonText>,
}

impl ChatParams {
    /// The error code of a task whose answer does not fit its `schema`. The answer is among the outputs of the task.
    pub const SCHEMA_MISMATCH: &str = "schema_mismatch";

    /// Returns params with this prompt and defaults for everything else.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self { prompt: Some(prompt.into()), ..Self::default() }
    }
}
