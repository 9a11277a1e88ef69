//! The answer of a chat as it arrives: one JSON value, or a stream of server-sent events, told apart by the bytes. Pure.
//!
//! Whitespace before the JSON and comments between the events keep a connection open while a model is busy, and are passed over.

use reel_protocol::JsonText;
use serde_json::Value;

use super::wire::Wire;
use crate::{
    domain::Facts,
    json_schema::{JsonSchema, json_of},
};

/// Most bytes that are held of an answer: the whole body where it is one value, the text where it is a stream. Models write a few hundred
/// kilobytes at most.
pub const MAX_ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// Most bytes of one line of a stream.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// What is kept of the beginning of a body for whoever must say what is wrong with it.
const BEGINNING_BYTES: usize = 64 * 1024;

/// What a model answered, as far as its service told it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatAnswer {
    /// The text that the model wrote.
    pub text: String,
    /// The calls of tools, as the service sends them.
    pub tool_calls: Vec<Value>,
    /// Why the model declines to answer, in its own words.
    pub refusal: Option<String>,
    /// Why the answer ends: `stop`, `length`, `tool_calls`, `content_filter` or a word of the service's own.
    pub finish_reason: Option<String>,
    /// The tokens that were used, as the service counts them.
    pub usage: Option<Value>,
    /// What the service reports instead of an answer, or in the middle of it.
    pub error: Option<Value>,
    /// Whether the service began to answer, so that the call may have been paid.
    pub has_begun: bool,
}

/// An answer that was held against the schema that was asked for.
#[derive(Debug, Clone)]
pub struct CheckedText {
    /// The text of the answer.
    pub text: String,
    /// The media type of the text.
    pub facts: Facts,
    /// How the text breaks its schema, if it does.
    pub violation: Option<String>,
}

impl CheckedText {
    /// Takes the JSON out of a text that is to fit a schema, and holds the JSON against the schema. Of a text without JSON, all is kept.
    pub fn against(self, schema: &JsonText) -> Self {
        let text = json_of(&self.text);
        let violation = match serde_json::from_str(text) {
            Ok(value) => schema
                .decode()
                .ok()
                .and_then(|schema| JsonSchema::new(schema).ok())
                .and_then(|schema| schema.validate(&value).err())
                .map(|violation| violation.to_string()),
            Err(error) => return Self { violation: Some(format!("it is no JSON: {error}")), ..self },
        };
        Self { text: text.to_owned(), facts: Facts::new("application/json", "json"), violation }
    }
}

/// Reads the body of an answer.
#[derive(Debug)]
pub struct ChatReader<'a> {
    wire: &'a dyn Wire,
    answer: ChatAnswer,
    form: Form,
    beginning: Vec<u8>,
    is_too_large: bool,
}

/// What a body is, as far as its first bytes tell.
#[derive(Debug)]
enum Form {
    /// Only whitespace came so far.
    Unknown,
    /// The body is one JSON value, which is read when it is whole.
    Json(Vec<u8>),
    /// The body is a stream of server-sent events, each of which is read when it is complete.
    Events { line: Vec<u8>, data: String, is_done: bool },
    /// Neither: what it says is in its beginning.
    Other,
}

/// A body that was read to its end, or as far as it came.
#[derive(Debug)]
pub struct ChatBody {
    /// What is understood of it.
    pub answer: ChatAnswer,
    /// Whether it is an answer to its end.
    pub is_whole: bool,
    /// Whether more came than is read of an answer.
    pub is_too_large: bool,
    /// The first bytes of the body, for an error that has to say what came.
    pub beginning: Vec<u8>,
}

impl<'a> ChatReader<'a> {
    /// Reads for a service of this kind.
    pub fn new(wire: &'a dyn Wire) -> Self {
        let (answer, beginning) = (ChatAnswer::default(), Vec::new());
        Self { wire, answer, form: Form::Unknown, beginning, is_too_large: false }
    }

    /// Takes the next bytes. Returns whether more may come: an answer that is too large is not read further.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let bytes = match self.form {
            Form::Unknown => without_space(bytes),
            _ => bytes,
        };
        let Some(first) = bytes.first() else { return true };
        let room = BEGINNING_BYTES.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if matches!(self.form, Form::Unknown) {
            self.form = match first {
                b'{' | b'[' => Form::Json(Vec::new()),
                // `data:`, `event:`, `id:`, `retry:`, and comments.
                b'd' | b'e' | b'i' | b'r' | b':' => {
                    Form::Events { line: Vec::new(), data: String::new(), is_done: false }
                }
                _ => Form::Other,
            };
        }
        match &mut self.form {
            Form::Unknown | Form::Other => {}
            Form::Json(body) => {
                self.is_too_large = body.len() + bytes.len() > MAX_ANSWER_BYTES;
                if !self.is_too_large {
                    body.extend_from_slice(bytes);
                }
            }
            Form::Events { .. } => self.push_events(bytes),
        }
        !self.is_too_large
    }

    /// The text so far; of a body that is one value, it comes with the end.
    pub fn text(&self) -> &str {
        &self.answer.text
    }

    /// The body has ended, in good order or not.
    pub fn finish(mut self) -> ChatBody {
        let is_whole = match &mut self.form {
            Form::Json(body) => {
                let value = serde_json::from_slice::<Value>(body);
                if let Ok(value) = &value {
                    self.wire.read_chat(value, &mut self.answer);
                }
                value.is_ok()
            }
            Form::Events { .. } => {
                // The last event may lack the blank line behind it.
                self.push_events(b"\n\n");
                let is_done = matches!(self.form, Form::Events { is_done: true, .. });
                is_done || self.answer.finish_reason.is_some()
            }
            Form::Unknown | Form::Other => true,
        };
        let Self { answer, beginning, is_too_large, .. } = self;
        ChatBody { answer, is_whole, is_too_large, beginning }
    }

    fn push_events(&mut self, bytes: &[u8]) {
        let Form::Events { line, data, is_done } = &mut self.form else { return };
        for byte in bytes {
            match byte {
                b'\n' => {}
                // A line ends in a line feed, after a carriage return or not.
                b'\r' => continue,
                byte if line.len() < MAX_LINE_BYTES => {
                    line.push(*byte);
                    continue;
                }
                _ => {
                    self.is_too_large = true;
                    return;
                }
            }
            let text = String::from_utf8_lossy(line);
            if let Some(part) = text.strip_prefix("data:") {
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(part.strip_prefix(' ').unwrap_or(part));
                self.is_too_large |= data.len() > MAX_LINE_BYTES;
            } else if text.is_empty() && !data.is_empty() {
                let event = std::mem::take(data);
                if event.trim() == "[DONE]" {
                    *is_done = true;
                } else if let Ok(value) = serde_json::from_str::<Value>(&event) {
                    self.wire.read_chat(&value, &mut self.answer);
                }
                self.is_too_large |= self.answer.text.len() > MAX_ANSWER_BYTES;
            }
            line.clear();
        }
    }
}

/// The bytes behind whitespace and a byte order mark.
fn without_space(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start()
}

#[cfg(test)]
mod tests;
