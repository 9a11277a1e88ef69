//! The chat API: builds requests, and reads responses, complete or as events of a stream. Pure.
//!
//! Source: openai-openapi `openapi.yaml` (`CreateChatCompletionRequest`, `CreateChatCompletionResponse`, `CreateChatCompletionStreamResponse`).

use std::{borrow::Cow, collections::BTreeMap};

use reel_protocol::{ChatParams, JsonText};
use reqwest::Url;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    config::Section,
    provider::{
        chat::{ChatAnswer, StructuredOutput},
        wire::Submission,
    },
};

/// Fields of the request that this module sets, so that `extra` may not contain them.
pub(super) const OWN_FIELDS: &[&str] = &[
    "model",
    "messages",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "response_format",
    "tools",
    "tool_choice",
    "stream",
    "stream_options",
    "n",
];

/// Host of a service that has a JSON mode, and accepts no JSON schema.
const DEEPSEEK_HOST: &str = "api.deepseek.com";

/// Host of the service that renamed `max_tokens` to `max_completion_tokens`. Its newer models refuse the old name, and all other servers know only
/// that.
const OPENAI_HOST: &str = "api.openai.com";

/// Settings of a provider for its chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChatSettings {
    pub structured: StructuredOutput,
    /// Whether the response is requested as a stream.
    pub is_streamed: bool,
}

impl Default for ChatSettings {
    fn default() -> Self {
        Self { structured: StructuredOutput::default(), is_streamed: true }
    }
}

impl ChatSettings {
    /// Reads the settings from the provider's section. The default of `structured_output` depends on the host of the base URL.
    pub(super) fn read(section: &mut Section<'_>, base: Option<&Url>) -> Self {
        let structured = structured_output(section, base);
        Self { structured, is_streamed: section.shaped("stream", "true or false").unwrap_or(true) }
    }

    /// Returns the settings with the way of asking for JSON that asks less of the service: the configured one or this one.
    pub(super) fn at_most(self, structured: StructuredOutput) -> Self {
        Self { structured: self.structured.max(structured), ..self }
    }
}

/// Reads `structured_output` from the provider's section. The default is `json_object` for api.deepseek.com, and `json_schema` for all others.
fn structured_output(section: &mut Section<'_>, base: Option<&Url>) -> StructuredOutput {
    let given = section.shaped("structured_output", "json_schema, json_object or prompt");
    let is_deepseek = base.and_then(Url::host_str) == Some(DEEPSEEK_HOST);
    let default = if is_deepseek { StructuredOutput::JsonObject } else { StructuredOutput::JsonSchema };
    given.unwrap_or(default)
}

/// Whether a service refuses `response_format` as such, and not only this schema. Observed words: `DeepSeek` `This response_format type is unavailable
/// now`, `OpenAI` `'response_format' of type 'json_schema' is not supported with this model`, Groq `does not support response format`, LM Studio
/// `'response_format.type' must be 'json_schema' or 'text'`, and `FastAPI` servers `Input should be 'text' or 'json_object'`.
pub(super) fn refuses_response_format(words: &str) -> bool {
    let words = words.to_lowercase();
    let names_it = ["response_format", "response format", "json_schema", "json_object"];
    names_it.iter().any(|name| words.contains(name)) && !words.contains("schema for")
}

/// The body of a request. JSON that the user gave is sent unchanged: models write the fields of an answer in the order of their schema.
#[derive(Debug, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a JsonText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'a JsonText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    extra: BTreeMap<String, Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Message<'a> {
    Given(Box<RawValue>),
    Said { role: &'static str, content: Cow<'a, str> },
}

#[derive(Debug, Serialize)]
struct ResponseFormat<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<NamedSchema<'a>>,
}

#[derive(Debug, Serialize)]
struct NamedSchema<'a> {
    name: &'static str,
    schema: &'a JsonText,
    strict: bool,
}

/// Builds the request for an answer.
pub(super) fn request(
    params: &ChatParams,
    model: Option<&str>,
    base: &Url,
    settings: ChatSettings,
) -> Submission {
    let ChatSettings { structured, is_streamed } = settings;
    // Streamed tool calls would have to be reassembled, and nobody reads them while they arrive.
    let stream = (is_streamed && params.tools.is_none()).then_some(true);
    let is_openai = base.host_str() == Some(OPENAI_HOST);
    let response_format = params.schema.as_ref().filter(|_| structured != StructuredOutput::Prompt);
    let response_format = response_format.map(|schema| {
        let has_schema = structured == StructuredOutput::JsonSchema;
        let json_schema = has_schema.then_some(NamedSchema { name: "answer", schema, strict: true });
        ResponseFormat { r#type: structured.name(), json_schema }
    });
    let body = Body {
        model,
        messages: messages(params, structured),
        temperature: params.temperature,
        max_tokens: params.max_tokens.filter(|_| !is_openai),
        max_completion_tokens: params.max_tokens.filter(|_| is_openai),
        response_format,
        tools: params.tools.as_ref(),
        tool_choice: params.tool_choice.as_ref(),
        stream,
        stream_options: stream.map(|_| StreamOptions { include_usage: true }),
        extra: params.extra.as_ref().and_then(|extra| extra.decode().ok()).unwrap_or_default(),
    };
    // Serializing strings and JSON that was parsed before cannot fail.
    Submission::json("chat/completions", serde_json::to_vec(&body).unwrap_or_default())
}

/// Builds the conversation: the system message, the given messages, then the prompt.
fn messages(params: &ChatParams, structured: StructuredOutput) -> Vec<Message<'_>> {
    let said = |role, content| Message::Said { role, content };
    let schema = params.schema.as_ref().filter(|_| structured != StructuredOutput::JsonSchema);
    let asks = schema.map(|schema| {
        format!("Answer with JSON that fits this JSON Schema, and with nothing else:\n{}", schema.as_str())
    });
    let system = match (params.system.as_deref(), asks) {
        (Some(system), Some(asks)) => Some(Cow::Owned(format!("{system}\n\n{asks}"))),
        (Some(system), None) => Some(Cow::Borrowed(system)),
        (None, asks) => asks.map(Cow::Owned),
    };
    let system = system.into_iter().map(|content| said("system", content));
    let prompt = params.prompt.iter().map(|content| said("user", Cow::Borrowed(content)));
    let given: Vec<Box<RawValue>> =
        params.messages.as_ref().and_then(|messages| messages.decode().ok()).unwrap_or_default();
    system.chain(given.into_iter().map(Message::Given)).chain(prompt).collect()
}

/// Adds a JSON value to an answer: the whole response, or one event of a stream.
pub(super) fn read(value: &Value, answer: &mut ChatAnswer) {
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        answer.error = Some(error.clone());
        return;
    }
    if let Some(usage) = value.get("usage").filter(|usage| usage.is_object()) {
        answer.usage = Some(usage.clone());
    }
    let Some(choice) = value.pointer("/choices/0") else { return };
    answer.has_begun = true;
    if let Some(message) = choice.get("message").or_else(|| choice.get("delta")) {
        answer.has_written |= has_written(message);
        add_content(message.get("content"), &mut answer.text);
        if let Some(refusal) = message.get("refusal").and_then(Value::as_str) {
            answer.refusal.get_or_insert_default().push_str(refusal);
        }
        if let Some(calls) = message.get("tool_calls").and_then(Value::as_array) {
            answer.tool_calls.extend(calls.iter().cloned());
        }
    }
    if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
        answer.finish_reason = Some(reason.to_owned());
    }
}

/// Whether a message has something that the model wrote. Reasoning models first send their thoughts, which are charged.
fn has_written(message: &Value) -> bool {
    let is_something = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        Value::Object(_) => true,
        _ => false,
    };
    ["content", "reasoning_content", "reasoning", "tool_calls", "refusal"]
        .iter()
        .filter_map(|field| message.get(*field))
        .any(is_something)
}

/// Appends the content of a message. It is a string, or a list of parts of which some have a text.
fn add_content(content: Option<&Value>, text: &mut String) {
    match content {
        Some(Value::String(content)) => text.push_str(content),
        Some(Value::Array(parts)) => {
            for part in parts {
                text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: ChatSettings = ChatSettings { structured: StructuredOutput::JsonSchema, is_streamed: false };

    fn sent(json: &str, base: &str) -> Value {
        let params = JsonText::parse(json.to_owned()).unwrap().decode().unwrap();
        let submission = request(&params, Some("m"), &Url::parse(base).unwrap(), PLAIN);
        assert_eq!(submission.path, "chat/completions");
        serde_json::from_slice(&submission.body).unwrap()
    }

    #[test]
    fn a_request_has_what_was_given_and_nothing_else() {
        let base = "http://127.0.0.1:11434/v1";
        for (params, body) in [
            (r#"{"prompt":"a"}"#, json!({ "model": "m", "messages": [{ "role": "user", "content": "a" }] })),
            (
                r#"{"prompt":"a","system":"s","temperature":0,"max_tokens":7}"#,
                json!({
                    "model": "m", "temperature": 0.0, "max_tokens": 7,
                    "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": "a" }],
                }),
            ),
            (
                r#"{"messages":[{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"b"}],"x":null}],
                    "tools":[{"type":"function"}],"tool_choice":"auto","extra":{"top_p":0.5}}"#,
                json!({
                    "model": "m", "tools": [{ "type": "function" }], "tool_choice": "auto", "top_p": 0.5,
                    "messages": [{
                        "role": "tool", "tool_call_id": "1", "content": [{ "type": "text", "text": "b" }], "x": null,
                    }],
                }),
            ),
            (
                r#"{"prompt":"a","schema":{"type":"object"}}"#,
                json!({
                    "model": "m", "messages": [{ "role": "user", "content": "a" }],
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": { "name": "answer", "schema": { "type": "object" }, "strict": true },
                    },
                }),
            ),
        ] {
            assert_eq!(sent(params, base), body, "{params}");
        }
        let ordered = r#"{"prompt":"a","schema":{"z":{"y":1,"x":2}},"extra":{"b":{"d":1,"c":2}}}"#;
        let params = JsonText::parse(ordered.to_owned()).unwrap().decode().unwrap();
        let base = Url::parse(base).unwrap();
        let body = request(&params, None, &base, PLAIN).body;
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(r#"{"z":{"y":1,"x":2}}"#) && body.contains(r#"{"d":1,"c":2}"#), "{body}");
        let openai = sent(r#"{"prompt":"a","max_tokens":7}"#, "https://api.openai.com/v1");
        assert_eq!((&openai["max_completion_tokens"], &openai["max_tokens"]), (&json!(7), &Value::Null));
    }

    #[test]
    fn an_answer_is_asked_for_as_a_stream_unless_tools_may_be_called() {
        let base = Url::parse("http://127.0.0.1/v1").unwrap();
        let tools = JsonText::parse(r#"[{"type":"function"}]"#.into()).unwrap();
        for (tools, stream) in [(None, json!(true)), (Some(tools), Value::Null)] {
            let params = ChatParams { tools, ..ChatParams::new("a") };
            let body = request(&params, None, &base, ChatSettings::default()).body;
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["stream"], stream);
            assert_eq!(body["stream_options"]["include_usage"], stream);
        }
    }

    #[test]
    fn a_service_without_schemas_is_asked_in_words() {
        let params = ChatParams {
            system: Some("s".into()),
            schema: Some(JsonText::parse(r#"{"type":"object"}"#.into()).unwrap()),
            ..ChatParams::new("a")
        };
        let base = Url::parse("http://127.0.0.1/v1").unwrap();
        for (structured, format) in [
            (StructuredOutput::JsonObject, json!({ "type": "json_object" })),
            (StructuredOutput::Prompt, Value::Null),
        ] {
            let body: Value = serde_json::from_slice(
                &request(&params, None, &base, ChatSettings { structured, ..PLAIN }).body,
            )
            .unwrap();
            assert_eq!(body["response_format"], format);
            let system = body["messages"][0]["content"].as_str().unwrap();
            assert!(
                system.starts_with("s\n\nAnswer with JSON") && system.ends_with(r#"{"type":"object"}"#),
                "{system}"
            );
            assert_eq!(body["messages"][1], json!({ "role": "user", "content": "a" }));
        }
    }

    #[test]
    fn an_answer_is_read_whole_or_in_pieces() {
        let read_all = |values: &[Value]| {
            let mut answer = ChatAnswer::default();
            for value in values {
                read(value, &mut answer);
            }
            answer
        };
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2 });
        let whole = json!({
            "choices": [{ "message": { "role": "assistant", "content": "Hi there.", "refusal": null }, "finish_reason": "stop" }],
            "usage": usage,
        });
        let pieces = [
            json!({ "choices": [{ "delta": { "role": "assistant", "content": "" }, "finish_reason": null }] }),
            json!({ "choices": [{ "delta": { "content": "Hi " } }] }),
            json!({ "choices": [{ "delta": { "content": [{ "type": "text", "text": "there." }] } }] }),
            json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }], "usage": null }),
            json!({ "choices": [], "usage": usage }),
        ];
        let expected = ChatAnswer {
            text: "Hi there.".into(),
            finish_reason: Some("stop".into()),
            usage: Some(usage.clone()),
            has_begun: true,
            has_written: true,
            ..ChatAnswer::default()
        };
        assert_eq!(read_all(&[whole]), expected);
        assert_eq!(read_all(&pieces), expected);
        let refused = json!({ "choices": [{ "message": { "content": null, "refusal": "I cannot." } }] });
        assert_eq!(read_all(&[refused]).refusal.as_deref(), Some("I cannot."));
        assert_eq!(
            read_all(&[json!({ "error": { "message": "m" } })]).error,
            Some(json!({ "message": "m" }))
        );
        assert_eq!(read_all(&[json!({ "error": null, "choices": [] })]), ChatAnswer::default());
    }
}
