//! Builds the request for an answer. A conversation in the form of `OpenAI`'s API is converted to the server's own form. Pure.

use std::collections::BTreeMap;

use reel_protocol::{ChatParams, JsonText};
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::settings::{KeepAlive, OllamaSettings, Think};
use crate::provider::wire::Submission;

/// Fields of the request that this module sets, so that `extra` may not contain them.
pub(super) const OWN_FIELDS: &[&str] = &["model", "messages", "stream", "format", "tools"];

/// Options that `extra` may also have outside of its `options`, by the names that other services use (Ollama's `docs/modelfile.md`).
const OPTIONS: [&str; 12] = [
    "seed",
    "stop",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "num_ctx",
    "repeat_last_n",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "num_gpu",
];

/// The body of a request. The schema is sent unchanged: models write the fields of an answer in its order.
#[derive(Debug, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    messages: Vec<Value>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'a JsonText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a JsonText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<&'a Think>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<&'a KeepAlive>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    options: Map<String, Value>,
    #[serde(flatten)]
    extra: BTreeMap<String, Box<RawValue>>,
}

/// Builds the request. Values of `extra` take precedence over those of the configuration.
pub(super) fn request(params: &ChatParams, model: Option<&str>, settings: &OllamaSettings) -> Submission {
    let mut extra: BTreeMap<String, Box<RawValue>> =
        params.extra.as_ref().and_then(|extra| extra.decode().ok()).unwrap_or_default();
    let mut options = settings.options.clone();
    let given = extra.remove("options");
    let given = given.and_then(|given| serde_json::from_str::<Map<String, Value>>(given.get()).ok());
    options.extend(given.unwrap_or_default());
    for name in OPTIONS {
        let value = extra.remove(name).and_then(|value| serde_json::from_str(value.get()).ok());
        options.extend(value.map(|value| (name.to_owned(), value)));
    }
    if let Some(stop @ Value::String(_)) = options.get_mut("stop") {
        // Other services also take a single text, and this one only a list.
        *stop = json!([stop.take()]);
    }
    options.extend(params.temperature.map(|temperature| ("temperature".to_owned(), json!(temperature))));
    options.extend(params.max_tokens.map(|tokens| ("num_predict".to_owned(), json!(tokens))));
    let body = Body {
        model,
        messages: messages(params),
        stream: true,
        format: params.schema.as_ref(),
        tools: params.tools.as_ref(),
        think: settings.think.as_ref().filter(|_| !extra.contains_key("think")),
        keep_alive: settings.keep_alive.as_ref().filter(|_| !extra.contains_key("keep_alive")),
        options,
        extra,
    };
    // Serializing strings and JSON that was parsed before cannot fail.
    Submission::json("api/chat", serde_json::to_vec(&body).unwrap_or_default())
}

/// Builds the conversation: the system message, the given messages, then the prompt.
fn messages(params: &ChatParams) -> Vec<Value> {
    let said = |role: &str, content: &String| json!({ "role": role, "content": content });
    let mut given: Vec<Map<String, Value>> =
        params.messages.as_ref().and_then(|messages| messages.decode().ok()).unwrap_or_default();
    let mut names = BTreeMap::new();
    for message in &mut given {
        // An id names the latest call that has it: a service may count the calls of each answer from 0.
        names.extend(called_names(message));
        convert(message, &names);
    }
    let system = params.system.iter().map(|content| said("system", content));
    let prompt = params.prompt.iter().map(|content| said("user", content));
    system.chain(given.into_iter().map(Value::Object)).chain(prompt).collect()
}

/// Returns the names of the functions that a message calls, by the ids of the calls.
fn called_names(message: &Map<String, Value>) -> BTreeMap<String, String> {
    let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let named = calls.filter_map(|call| {
        let name = call.pointer("/function/name")?.as_str()?;
        Some((call.get("id")?.as_str()?.to_owned(), name.to_owned()))
    });
    named.collect()
}

/// Converts a message: content parts become a text and pictures, the arguments of calls become objects, and the result of a call gets the name of
/// its function.
fn convert(message: &mut Map<String, Value>, names: &BTreeMap<String, String>) {
    if let Some(Value::Array(parts)) = message.get("content") {
        let text: Vec<_> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
        let text = text.concat();
        let images: Vec<_> = parts.iter().filter_map(image_of).map(Value::from).collect();
        message.insert("content".to_owned(), json!(text));
        if !images.is_empty() {
            message.insert("images".to_owned(), Value::Array(images));
        }
    } else if message.get("content").is_some_and(Value::is_null) {
        message.insert("content".to_owned(), json!(""));
    }
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(arguments) = call.pointer_mut("/function/arguments")
            && let Some(Ok(object)) = arguments.as_str().map(serde_json::from_str::<Map<String, Value>>)
        {
            *arguments = Value::Object(object);
        }
    }
    let name = message.get("tool_call_id").and_then(Value::as_str).and_then(|id| names.get(id));
    if let Some(name) = name.filter(|_| !message.contains_key("tool_name")) {
        message.insert("tool_name".to_owned(), json!(name));
    }
}

/// Returns the base64 text of a picture that a content part contains as a data URL. The server fetches no addresses.
fn image_of(part: &Value) -> Option<String> {
    let image = part.get("image_url")?;
    let url = image.get("url").unwrap_or(image).as_str()?;
    let (_, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(data.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::kinds::ollama::settings::Level;

    fn settings() -> OllamaSettings {
        OllamaSettings { keep_alive: None, think: None, options: Map::new(), is_pulled: false }
    }

    fn sent(params: &str, settings: &OllamaSettings) -> Value {
        let params = JsonText::parse(params.to_owned()).unwrap().decode().unwrap();
        let submission = request(&params, Some("m"), settings);
        assert_eq!(submission.path, "api/chat");
        serde_json::from_slice(&submission.body).unwrap()
    }

    #[test]
    fn a_request_has_what_was_given_and_nothing_else() {
        let asked = json!([{ "role": "user", "content": "a" }]);
        for (params, expected) in [
            (r#"{"prompt":"a"}"#, json!({ "model": "m", "messages": asked, "stream": true })),
            (
                r#"{"prompt":"a","temperature":0,"max_tokens":7,"extra":{"seed":1,"stop":["x"],"options":{"num_ctx":9}}}"#,
                json!({
                    "model": "m", "messages": asked, "stream": true,
                    "options": { "temperature": 0.0, "num_predict": 7, "seed": 1, "stop": ["x"], "num_ctx": 9 },
                }),
            ),
            (
                r#"{"prompt":"a","extra":{"stop":"x"}}"#,
                json!({ "model": "m", "messages": asked, "stream": true, "options": { "stop": ["x"] } }),
            ),
            (
                r#"{"prompt":"a","schema":{"type":"object"},"tools":[{"type":"function"}],"extra":{"think":"high"}}"#,
                json!({
                    "model": "m", "messages": asked, "stream": true, "format": { "type": "object" },
                    "tools": [{ "type": "function" }], "think": "high",
                }),
            ),
        ] {
            assert_eq!(sent(params, &settings()), expected, "{params}");
        }
    }

    #[test]
    fn the_configuration_is_sent_and_extra_takes_precedence() {
        let configured = OllamaSettings {
            keep_alive: Some(KeepAlive::Text("10m".into())),
            think: Some(Think::Level(Level::Low)),
            options: Map::from_iter([("num_ctx".to_owned(), json!(8192))]),
            is_pulled: true,
        };
        let body = sent(r#"{"prompt":"a"}"#, &configured);
        assert_eq!(
            (&body["keep_alive"], &body["think"], &body["options"]),
            (&json!("10m"), &json!("low"), &json!({ "num_ctx": 8192 }))
        );
        let extra = r#"{"prompt":"a","extra":{"think":false,"keep_alive":-1,"options":{"num_ctx":1}}}"#;
        let body = sent(extra, &configured);
        assert_eq!(
            (&body["keep_alive"], &body["think"], &body["options"]),
            (&json!(-1), &json!(false), &json!({ "num_ctx": 1 }))
        );
    }

    #[test]
    fn a_result_gets_the_name_of_the_latest_call_with_its_id() {
        let call = |name: &str| json!({ "role": "assistant", "content": "", "tool_calls": [{ "id": "call_0", "function": { "name": name, "arguments": {} } }] });
        let result = json!({ "role": "tool", "tool_call_id": "call_0", "content": "7" });
        let params = json!({ "messages": [call("first"), result, call("second"), result] });
        let messages = sent(&params.to_string(), &settings())["messages"].clone();
        assert_eq!(
            (&messages[1]["tool_name"], &messages[3]["tool_name"]),
            (&json!("first"), &json!("second"))
        );
    }

    #[test]
    fn a_conversation_of_other_services_is_converted() {
        let params = r#"{"system":"s","messages":[
            {"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},
            {"role":"tool","tool_call_id":"1","content":"7"}]}"#;
        let messages = sent(params, &settings())["messages"].clone();
        assert_eq!(
            messages,
            json!([
                { "role": "system", "content": "s" },
                { "role": "user", "content": "look", "images": ["AAAA"] },
                {
                    "role": "assistant", "content": "",
                    "tool_calls": [{ "id": "1", "type": "function", "function": { "name": "f", "arguments": { "x": 1 } } }],
                },
                { "role": "tool", "tool_call_id": "1", "tool_name": "f", "content": "7" },
            ])
        );
    }
}
