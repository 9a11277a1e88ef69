//! Chat answers by a program. The conversation becomes one text that the program reads, and the text that it writes is the answer.

use std::fs;

use reel_protocol::{ChatParams, JsonText, TaskError};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::CommandProvider;
use crate::{
    cache::{Body, NewArtifact},
    domain::{CancelSignal, ChatCapabilities, Class, Facts, Failure},
    memory::Holder,
    provider::{
        GenerateError, Generated,
        chat::{CheckedText, MAX_ANSWER_BYTES},
        command::{CommandDefinition, CommandError, Placeholder, Values},
    },
};

/// Params of a chat, each with the placeholder that passes it to the program. A definition without the placeholder does not support the param.
const PARAMS: [(&str, Placeholder); 2] =
    [("temperature", Placeholder::Temperature), ("max_tokens", Placeholder::MaxTokens)];

/// Returns which params of chats a program with this definition supports.
pub(super) fn capabilities(definition: &CommandDefinition) -> ChatCapabilities {
    let untold = PARAMS.iter().filter(|(_, placeholder)| !definition.honours(*placeholder));
    let ignored = untold.map(|(name, _)| *name).chain(["tools", "tool_choice", "extra"]).collect();
    ChatCapabilities { ignored, own_fields: &[], structured_output: "prompt" }
}

impl CommandProvider {
    /// Runs the program once, and returns its answer. An answer that does not fit the schema is returned with the error.
    pub(super) async fn answer(
        &self,
        params: &ChatParams,
        cancel: CancelSignal,
    ) -> Result<Generated, GenerateError> {
        let (_nobody, never) = watch::channel(false);
        let cancel = if self.config.is_paid { never } else { cancel };
        let failed = |failure| GenerateError::Failed(failure);
        let definition = &self.definition;
        let values = values(definition, params).map_err(|part| {
            let message = format!("{} reads texts, and a message has {part}", self.config.name);
            failed(Failure::new(Class::Invalid, message, "leave it out, or ask another provider"))
        })?;
        // Three copies: the program's output, its text, and the JSON that is extracted from the text.
        let reservation = self.equipment.budget.reserve(Holder::Body, 3 * MAX_ANSWER_BYTES as u64);
        let mut reservation = reservation.map_err(|over| failed(self.over_memory(&over.to_string())))?;
        let bytes = self.text_of_run(values, cancel).await?;
        let wrong = |what: &str| {
            let message = format!("{} exited with 0 and {what}", definition.program);
            let hint = "run it by hand: its arguments may not fit its version";
            failed(Failure::new(self.class(Class::Unknown), message, hint))
        };
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(wrong(&format!("wrote more than {MAX_ANSWER_BYTES} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong("wrote a text that is not UTF-8"))?;
        let text = text.trim_matches(['\n', '\r']);
        if text.trim().is_empty() {
            return Err(wrong("wrote nothing"));
        }
        let plain =
            CheckedText { text: text.to_owned(), facts: Facts::new("text/plain", "txt"), violation: None };
        let CheckedText { text, facts, violation } = match &params.schema {
            Some(schema) => plain.against(schema),
            None => plain,
        };
        let reservation = Some(reservation.split(text.len() as u64));
        let artifact = NewArtifact { body: Body::Held(text.into_bytes()), reservation, facts };
        let generated = Generated { artifacts: vec![artifact], notes: Vec::new(), cost_microusd: None };
        match violation {
            None => Ok(generated),
            Some(violation) => Err(GenerateError::Flawed(Box::new(generated), self.mismatch(&violation))),
        }
    }

    /// Returns what the program wrote: its file if the definition has `{output}`, else its standard output. If that is too long, the result is one
    /// byte longer than `MAX_ANSWER_BYTES`.
    async fn text_of_run(&self, values: Values, cancel: CancelSignal) -> Result<Vec<u8>, GenerateError> {
        let (definition, name) = (&self.definition, &self.config.name);
        let error = |error| match error {
            CommandError::Stopped => GenerateError::Stopped,
            CommandError::Failed(failure) => GenerateError::Failed(failure),
        };
        if !definition.honours(Placeholder::Output) {
            // One byte more than the limit distinguishes a text that is too long from one that just fits.
            let most_bytes = MAX_ANSWER_BYTES + 1;
            let commands = &self.equipment.commands;
            return commands
                .standard_output(name, definition, values, most_bytes, cancel)
                .await
                .map_err(error);
        }
        let made = self.equipment.commands.make(name, definition, values, cancel).await.map_err(error)?;
        if made.size_bytes > MAX_ANSWER_BYTES as u64 {
            return Ok(vec![0; MAX_ANSWER_BYTES + 1]);
        }
        let reading = tokio::task::spawn_blocking(move || fs::read(&made.path)).await;
        let read = reading.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        read.map_err(|error| {
            let message = format!("what {} wrote could not be read: {error}", definition.program);
            GenerateError::Failed(Failure::new(
                self.class(Class::Transient(None)),
                message,
                "reel daemon logs shows the cause",
            ))
        })
    }

    /// Returns the error of an answer that does not fit its schema.
    fn mismatch(&self, violation: &str) -> TaskError {
        let name = &self.config.name;
        TaskError {
            code: ChatParams::SCHEMA_MISMATCH.to_owned(),
            message: format!("{name} answered, and the answer does not fit the schema: {violation}"),
            hint: Some(
                "the answer is kept with the task, reel show prints it, reel fetch writes it to a file; reel retry asks again".to_owned(),
            ),
            retryable: true,
            provider_status: None,
        }
    }
}

/// Returns the values of the placeholders for a conversation. The error names the part of it that is not text.
fn values(definition: &CommandDefinition, params: &ChatParams) -> Result<Values, String> {
    let asks = params.schema.as_ref().map(|schema| {
        format!("Answer with JSON that fits this JSON Schema, and with nothing else:\n{}", schema.as_str())
    });
    let system: Vec<_> = params.system.iter().cloned().chain(asks).collect();
    let system = system.join("\n\n");
    let mut prompt = match &params.messages {
        Some(messages) => conversation(messages)?,
        None => params.prompt.clone().unwrap_or_default(),
    };
    let mut values = Values::default();
    if definition.honours(Placeholder::System) {
        if !system.is_empty() {
            values.set(Placeholder::System, system);
        }
    } else if !system.is_empty() {
        prompt = format!("{system}\n\n{prompt}");
    }
    values.set(Placeholder::Prompt, prompt);
    let given = [
        (Placeholder::Temperature, params.temperature.map(|temperature| temperature.to_string())),
        (Placeholder::MaxTokens, params.max_tokens.map(|tokens| tokens.to_string())),
        (Placeholder::Model, params.model.clone().or_else(|| definition.model.clone())),
    ];
    for (placeholder, value) in given {
        if let Some(value) = value {
            values.set(placeholder, value);
        }
    }
    Ok(values)
}

/// Returns a conversation as one text. A single message of the user stays as it is; of several, each follows the name of its role.
fn conversation(messages: &JsonText) -> Result<String, String> {
    let messages: Vec<Map<String, Value>> = messages.decode().unwrap_or_default();
    let mut texts = Vec::new();
    for message in &messages {
        texts.push((message.get("role").and_then(Value::as_str).unwrap_or("user"), content(message)?));
    }
    if let [("user", text)] = texts.as_slice() {
        return Ok(text.clone());
    }
    let texts: Vec<_> = texts.iter().map(|(role, text)| format!("{role}: {text}")).collect();
    Ok(texts.join("\n\n"))
}

/// Returns the text of a message. The error names the part of it that is not text.
fn content(message: &Map<String, Value>) -> Result<String, String> {
    if message.contains_key("tool_calls") {
        return Err("calls of tools".to_owned());
    }
    match message.get("content") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let part = |part: &Value| match part.get("text").and_then(Value::as_str) {
                Some(text) => Ok(text.to_owned()),
                None => Err(format!("a part of the type {}", part.get("type").unwrap_or(&Value::Null))),
            };
            parts.iter().map(part).collect::<Result<Vec<_>, _>>().map(|texts| texts.concat())
        }
        _ => Err("no content".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::command::CommandSettings;

    fn told(argv: &str, params: &str) -> Result<(String, String), String> {
        let settings: CommandSettings =
            toml::from_str(&format!("services = ['text']\nprogram = 'sh'\nargv = {argv}")).unwrap();
        let definition = CommandDefinition::check(&settings).unwrap();
        let values = values(&definition, &serde_json::from_str(params).unwrap())?;
        let of = |placeholder| values.get(placeholder).unwrap_or_default().to_owned();
        Ok((of(Placeholder::Prompt), of(Placeholder::System)))
    }

    #[test]
    fn a_program_reads_the_whole_conversation() {
        let (with, without) = ("['{prompt}', ['{system}']]", "['{prompt}']");
        let is = |argv, params: &str, prompt: &str, system: &str| {
            assert_eq!(told(argv, params).unwrap(), (prompt.to_owned(), system.to_owned()), "{params}");
        };
        is(with, r#"{"prompt":"Why?"}"#, "Why?", "");
        is(with, r#"{"prompt":"Why?","system":"Be brief."}"#, "Why?", "Be brief.");
        is(without, r#"{"prompt":"Why?","system":"Be brief."}"#, "Be brief.\n\nWhy?", "");
        is(with, r#"{"messages":[{"role":"user","content":"Why?"}]}"#, "Why?", "");
        let messages = r#"{"messages":[{"role":"user","content":"Hi."},{"role":"assistant","content":"Hello."},{"role":"user","content":[{"type":"text","text":"Why?"}]}]}"#;
        is(with, messages, "user: Hi.\n\nassistant: Hello.\n\nuser: Why?", "");
        let (prompt, _) = told(without, r#"{"prompt":"Why?","schema":{"type":"object"}}"#).unwrap();
        assert!(prompt.contains(r#"{"type":"object"}"#) && prompt.ends_with("\n\nWhy?"), "{prompt}");
        for (message, reason) in [
            (r#"{"role":"user","content":[{"type":"image_url"}]}"#, "a part of the type \"image_url\""),
            (r#"{"role":"assistant","content":"a","tool_calls":[]}"#, "calls of tools"),
            (r#"{"role":"user"}"#, "no content"),
        ] {
            assert_eq!(told(with, &format!(r#"{{"messages":[{message}]}}"#)).unwrap_err(), reason);
        }
    }
}
