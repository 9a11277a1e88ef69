//! `text.chat`: checks the params, applies their defaults, and makes the request to a provider. Pure.

use std::ops::RangeInclusive;

use reel_protocol::{ChatParams, JsonText, JsonTextError, is_unprintable, limits::CHAT_BYTES};
use serde_json::{Map, Value};

use super::{BadParams, ProviderWork, Service, Work, key::KeyText};
use crate::{
    domain::{CacheKey, ProviderProfile, Quantity, ServiceRequest},
    json_schema::JsonSchema,
};

/// The temperatures that may be asked for; services take 0 to 1 or 0 to 2.
const TEMPERATURES: RangeInclusive<f64> = 0.0..=2.0;

/// Free bytes that the store must have before an answer is paid for. An answer has at most 2 MiB (`chat::MAX_ANSWER_BYTES`).
pub(super) const ROOM_BYTES: u64 = 4 * 1024 * 1024;

/// The estimated tokens of an answer before it is made: a page of text.
const ANSWER_TOKENS: u64 = 1_000;

/// The version of the cache key. Raise it when the meaning of what [`ProviderWork::key`] hashes changes.
const KEY_VERSION: &str = "reel chat key 1";

/// The fields of the params. The error for an unknown field suggests the nearest of them.
const FIELDS: &[&str] = &[
    "messages",
    "prompt",
    "system",
    "model",
    "temperature",
    "max_tokens",
    "schema",
    "tools",
    "tool_choice",
    "sample",
    "extra",
];

/// The service `text`: answers of language models.
#[derive(Debug)]
pub(super) struct Text;

impl Service for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn methods(&self) -> &'static [&'static str] {
        &["chat"]
    }

    fn check(&self, _: &str, params: &JsonText) -> Result<Work, BadParams> {
        check(params).map(|params| Work::AtProvider(Box::new(params)))
    }
}

impl ProviderWork for ChatParams {
    fn params(&self) -> Result<JsonText, JsonTextError> {
        JsonText::from_value(self)
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn fits(&self, provider: &ProviderProfile) -> Result<(), BadParams> {
        let given = [
            ("temperature", self.temperature.is_some()),
            ("max_tokens", self.max_tokens.is_some()),
            ("tools", self.tools.is_some()),
            ("tool_choice", self.tool_choice.is_some()),
            ("extra", self.extra.is_some()),
        ];
        let is_ignored =
            |(field, is_given): &(&str, bool)| *is_given && provider.chat.ignored.contains(field);
        if let Some((field, _)) = given.into_iter().find(is_ignored) {
            let message = format!("{} has no {field}", provider.name);
            return Err(BadParams::new(message, format!("leave {field} out, or name another provider")));
        }
        BadParams::of_extra(self.extra.as_ref(), provider.chat.own_fields, &provider.name)
    }

    fn key(&self, provider: &ProviderProfile) -> CacheKey {
        // Destructured without `..`: a new field does not compile until somebody decides whether it changes the answer.
        let Self {
            messages,
            prompt,
            system,
            model,
            temperature,
            max_tokens,
            schema,
            tools,
            tool_choice,
            sample,
            extra,
        } = self;
        let mut key = KeyText::new(KEY_VERSION, provider, model.as_deref().or(provider.model_for("text")));
        key.text("messages", messages.as_ref().map(JsonText::as_str));
        key.text("prompt", prompt.as_deref());
        key.text("system", system.as_deref());
        key.number("temperature", temperature.map(f64::to_bits));
        key.number("max_tokens", max_tokens.map(u64::from));
        key.text("schema", schema.as_ref().map(JsonText::as_str));
        key.text("structured output", schema.as_ref().map(|_| provider.chat.structured_output));
        key.text("tools", tools.as_ref().map(JsonText::as_str));
        key.text("tool_choice", tool_choice.as_ref().map(JsonText::as_str));
        key.number("sample", Some(u64::from(*sample)));
        key.text("extra", extra.as_ref().map(JsonText::as_str));
        key.hash()
    }

    fn room_bytes(&self) -> u64 {
        ROOM_BYTES
    }

    fn quantity(&self) -> Quantity {
        let texts =
            [self.messages.as_ref().map(JsonText::as_str), self.prompt.as_deref(), self.system.as_deref()];
        let read: u64 = texts.iter().flatten().map(|text| tokens(text)).sum();
        let written = self.max_tokens.map_or(ANSWER_TOKENS, |most| ANSWER_TOKENS.min(most.into()));
        Quantity { input_tokens: Some(read), output_tokens: Some(written), ..Quantity::default() }
    }

    fn into_request(self: Box<Self>, _: u64) -> ServiceRequest {
        ServiceRequest::Chat(*self)
    }
}

/// Estimates how many tokens a text has: one for four ASCII characters, and one for each other character.
pub(super) fn tokens(text: &str) -> u64 {
    let latin = text.bytes().filter(u8::is_ascii).count() as u64;
    let other = text.chars().filter(|character| !character.is_ascii()).count() as u64;
    latin.div_ceil(4) + other
}

/// Reads and checks the params of `text.chat`.
fn check(params: &JsonText) -> Result<ChatParams, BadParams> {
    let params: ChatParams =
        params.decode().map_err(|error| BadParams::unreadable("text.chat", FIELDS, params, &error))?;
    match (&params.messages, &params.prompt) {
        (None, None) => {
            let message = "there is nothing to ask: neither prompt nor messages is given";
            return Err(BadParams::new(message, "prompt is one text, messages is a conversation"));
        }
        (Some(_), Some(_)) => {
            return Err(BadParams::new(
                "both prompt and messages are given",
                "put the prompt into messages, as the last one",
            ));
        }
        (Some(messages), None) => check_messages(messages)?,
        (None, Some(prompt)) if is_blank(prompt) => {
            return Err(BadParams::new("the prompt is empty", "say what shall be answered"));
        }
        (None, Some(_)) => {}
    }
    let texts =
        [params.messages.as_ref().map(JsonText::as_str), params.prompt.as_deref(), params.system.as_deref()];
    let bytes: usize = texts.iter().flatten().map(|text| text.len()).sum();
    if bytes > CHAT_BYTES {
        let message = format!("the messages have {bytes} bytes, at most {CHAT_BYTES} are taken");
        return Err(BadParams::new(message, "ask about parts of it in several tasks"));
    }
    if let Some(temperature) = params.temperature.filter(|value| !TEMPERATURES.contains(value)) {
        let message = format!(
            "temperature {temperature} is not from {} to {}",
            TEMPERATURES.start(),
            TEMPERATURES.end()
        );
        return Err(BadParams::new(
            message,
            "0 has the least chance in it; leave it out for the provider's own",
        ));
    }
    if params.max_tokens == Some(0) {
        return Err(BadParams::new("max_tokens is 0", "leave it out for the provider's own limit"));
    }
    BadParams::of_name("model", params.model.as_deref())?;
    check_forms(&params)?;
    Ok(params)
}

/// Checks the fields that are passed on unchanged: they must be lists or objects where a service expects these, and the schema must be one
/// that can be checked.
fn check_forms(params: &ChatParams) -> Result<(), BadParams> {
    for (name, value) in [("schema", &params.schema), ("extra", &params.extra)] {
        if value.as_ref().is_some_and(|value| !value.is_object()) {
            return Err(BadParams::new(
                format!("{name} is not an object"),
                format!("leave {name} out, or send an object"),
            ));
        }
    }
    if let Some(schema) = params.schema.as_ref().and_then(|schema| schema.decode().ok()) {
        JsonSchema::new(schema)
            .map_err(|fault| BadParams::new(format!("the schema: {fault}"), &*fault.hint))?;
    }
    let tools = params.tools.as_ref().map(JsonText::decode::<Vec<Map<String, Value>>>);
    if let Some(tools) = &tools
        && tools.as_ref().map_or(true, Vec::is_empty)
    {
        let message = "tools is not a list of one or more objects";
        return Err(BadParams::new(message, r#"such as [{"type": "function", "function": {…}}]"#));
    }
    if params.tool_choice.is_some() && tools.is_none() {
        return Err(BadParams::new("tool_choice is given without tools", "send the tools as well"));
    }
    Ok(())
}

/// Checks that `messages` is a conversation: one message or more, each an object with a role.
fn check_messages(messages: &JsonText) -> Result<(), BadParams> {
    let hint = r#"such as [{"role": "user", "content": "…"}]"#;
    let messages: Vec<Map<String, Value>> = messages
        .decode()
        .map_err(|error| BadParams::new(format!("messages is not a list of objects: {error}"), hint))?;
    if messages.is_empty() {
        return Err(BadParams::new("messages is empty", hint));
    }
    let has_role = |message: &Map<String, Value>| {
        message.get("role").and_then(Value::as_str).is_some_and(|role| !role.is_empty())
    };
    match messages.iter().position(|message| !has_role(message)) {
        Some(index) => Err(BadParams::new(format!("messages[{index}] has no role"), hint)),
        None => Ok(()),
    }
}

/// Whether a text has no visible character.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || is_unprintable(character))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::ChatCapabilities;

    fn checked(json: &str) -> Result<ChatParams, BadParams> {
        check(&JsonText::parse(json.to_owned()).unwrap())
    }

    #[test]
    fn a_prompt_or_messages_have_to_be_given() {
        assert_eq!(checked(r#"{"prompt":"Hello."}"#).unwrap(), ChatParams::new("Hello."));
        let all = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}],"name":"n"}],"system":"s","model":"m","temperature":2,"max_tokens":1,"schema":{},"tools":[{}],"tool_choice":"none","sample":1,"extra":{}}"#;
        assert_eq!(checked(all).unwrap().max_tokens, Some(1));
    }

    #[test]
    fn each_bad_value_is_named_with_its_value_and_a_next_step() {
        for (json, part) in [
            (r"{}", "neither prompt nor messages"),
            (r#"{"prompt":"a","messages":[{"role":"user"}]}"#, "both prompt and messages"),
            (r#"{"prompt":" \n"}"#, "the prompt is empty"),
            (r#"{"messages":[]}"#, "messages is empty"),
            (r#"{"messages":"a"}"#, "messages is not a list of objects"),
            (r#"{"messages":[{"role":"user"},{"content":"a"}]}"#, "messages[1] has no role"),
            (r#"{"prompt":"a","temperature":2.1}"#, "temperature 2.1 is not from 0 to 2"),
            (r#"{"prompt":"a","max_tokens":0}"#, "max_tokens is 0"),
            (r#"{"prompt":"a","model":" "}"#, "model is empty"),
            (r#"{"prompt":"a","schema":[]}"#, "schema is not an object"),
            (
                r#"{"prompt":"a","schema":{"typ":"object"}}"#,
                "the schema: \"typ\" is no keyword of JSON Schema at /typ",
            ),
            (r#"{"prompt":"a","extra":1}"#, "extra is not an object"),
            (r#"{"prompt":"a","tools":[]}"#, "tools is not a list"),
            (r#"{"prompt":"a","tool_choice":"none"}"#, "tool_choice is given without tools"),
        ] {
            let bad = checked(json).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
            assert!(bad.hint.is_some(), "{json}");
        }
        let long = format!(r#"{{"prompt":"{}"}}"#, "a".repeat(CHAT_BYTES + 1));
        assert!(checked(&long).unwrap_err().message.contains("524289 bytes, at most 524288"));
        let bad = checked(r#"{"promt":"a"}"#).unwrap_err();
        assert_eq!(bad.hint.as_deref(), Some("did you mean prompt?"));
    }

    #[test]
    fn extra_does_not_overwrite_what_the_params_say() {
        let chat =
            ChatCapabilities { ignored: vec!["tools"], own_fields: &["messages"], structured_output: "" };
        let provider = ProviderProfile { name: "writer".into(), chat, ..ProviderProfile::default() };
        let bad = checked(r#"{"prompt":"a","extra":{"messages":[]}}"#).unwrap().fits(&provider).unwrap_err();
        assert!(bad.message.contains("extra.messages is not passed on"), "{}", bad.message);
        assert_eq!(checked(r#"{"prompt":"a","extra":{"top_p":1}}"#).unwrap().fits(&provider), Ok(()));
    }

    #[test]
    fn every_field_of_the_request_and_of_the_provider_changes_the_key() {
        type Change = fn(&mut ChatParams);
        let json = |text: &str| Some(JsonText::parse(text.to_owned()).unwrap());
        let changes: [Change; 9] = [
            |params| params.prompt = Some("Hello!".into()),
            |params| params.system = Some("s".into()),
            |params| params.model = Some("m".into()),
            |params| params.temperature = Some(0.0),
            |params| params.max_tokens = Some(1),
            |params| params.schema = Some(JsonText::empty_object()),
            |params| params.tools = Some(JsonText::empty_object()),
            |params| params.sample += 1,
            |params| params.extra = Some(JsonText::empty_object()),
        ];
        let (base, provider) = (ChatParams::new("Hello."), ProviderProfile::default());
        let mut keys = HashSet::from([base.key(&provider)]);
        for change in changes {
            let mut params = base.clone();
            change(&mut params);
            keys.insert(params.key(&provider));
        }
        let spoken = ChatParams { prompt: None, messages: json(r#"[{"role":"user"}]"#), ..base.clone() };
        keys.insert(spoken.key(&provider));
        keys.insert(ChatParams { tool_choice: json("\"none\""), ..base.clone() }.key(&provider));
        keys.insert(base.key(&ProviderProfile { kind: "draft".into(), ..ProviderProfile::default() }));
        assert_eq!(keys.len(), 4 + changes.len());
    }
}
