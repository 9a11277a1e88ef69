//! What a request for an answer asks for: the words of its answer, and what is wrong with it.

use serde_json::{Value, json};

use super::prompt_of;

/// Returns the words of the answer: an object with the properties of the schema if one was given.
pub(super) fn answer_of(body: &Value) -> Vec<String> {
    let text = match body["format"]["properties"].as_object() {
        Some(properties) => {
            let object: serde_json::Map<_, _> =
                properties.keys().map(|name| (name.clone(), json!(format!("a {name}")))).collect();
            Value::Object(object).to_string()
        }
        None => format!("You asked: {}", prompt_of(body)),
    };
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// Returns the error of a request that the real server refuses because of a field's type or value.
pub(super) fn mistake(body: &Value) -> Option<String> {
    let options = &body["options"];
    let wrong = |name: &str, kind: &str| Some(format!("option \"{name}\" must be of type {kind}"));
    if !options["num_ctx"].is_null() && !options["num_ctx"].is_u64() {
        return wrong("num_ctx", "integer");
    }
    if !options["temperature"].is_null() && !options["temperature"].is_number() {
        return wrong("temperature", "float32");
    }
    let is_text = |message: &Value| message["content"].is_string() && message["role"].is_string();
    if !body["messages"].as_array().is_some_and(|messages| messages.iter().all(is_text)) {
        return Some(
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
                .to_owned(),
        );
    }
    match &body["keep_alive"] {
        Value::String(text) if !text.ends_with(['s', 'm', 'h']) => {
            Some(format!("time: invalid duration \"{text}\""))
        }
        _ => None,
    }
}
