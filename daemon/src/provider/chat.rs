//! Reads the answer of a chat while it arrives: one JSON value, a stream of server-sent events, or a JSON value on each line. Pure.
//!
//! Services send whitespace before the JSON, or comments between the events, to keep a connection open while a model is busy. Both are skipped.

use reel_protocol::JsonText;
use serde::Deserialize;
use serde_json::Value;

use super::wire::Wire;
use crate::{
    domain::Facts,
    json_schema::{JsonSchema, json_of},
};

/// Largest answer that is read, in bytes: the whole body if it is one JSON value; the text, the refusal and the tool calls if it is a stream. Models write a few hundred kilobytes at
/// most.
pub const MAX_ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// Largest line of a stream, and largest data of one event, in bytes.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// What one JSON value takes in memory beside its text, in bytes, rounded up.
const VALUE_BYTES: usize = 64;
/// The byte order mark of UTF-8, with which some services begin a body.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How many bytes of the beginning of a body are kept for an error message about it.
const BEGINNING_BYTES: usize = 64 * 1024;

/// The answer of a model, as far as the service has sent it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatAnswer {
    /// The text that the model wrote.
    pub text: String,
    /// The tool calls, as the JSON that the service sent.
    pub tool_calls: Vec<Value>,
    /// The model's own explanation if it refused to answer.
    pub refusal: Option<String>,
    /// The reason that the service gives for the end of the answer: `stop`, `length`, `tool_calls`, `content_filter` or another word of the service.
    pub finish_reason: Option<String>,
    /// The service's `usage` object, which counts the tokens.
    pub usage: Option<Value>,
    /// The error that the service reported instead of an answer, or in the middle of one.
    pub error: Option<Value>,
    /// Whether some part of an answer arrived.
    pub has_begun: bool,
    /// Whether the model wrote something: text, thoughts, or a call of a tool. If so, the call may have been paid, even if an error follows.
    pub has_written: bool,
}

impl ChatAnswer {
    /// Returns how much memory the parts take that grow with each piece of a stream.
    fn held_bytes(&self) -> usize {
        let calls: usize = self.tool_calls.iter().map(held_bytes_of).sum();
        self.text.len() + self.refusal.as_ref().map_or(0, String::len) + calls
    }
}

/// Returns about how much memory a JSON value takes.
fn held_bytes_of(value: &Value) -> usize {
    let inner = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(held_bytes_of).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + held_bytes_of(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    VALUE_BYTES + inner
}

/// How a service is asked for JSON that fits a schema. A later one asks less of the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StructuredOutput {
    /// The field `response_format` carries the schema.
    #[default]
    JsonSchema,
    /// `response_format` asks for any JSON, and the system message has the schema.
    JsonObject,
    /// Only the system message asks for JSON, and has the schema.
    Prompt,
}

impl StructuredOutput {
    /// Returns the name that is part of cache keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonSchema => "json_schema",
            Self::JsonObject => "json_object",
            Self::Prompt => "prompt",
        }
    }

    /// Returns the way that asks less of the service. None after the last.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::JsonSchema => Some(Self::JsonObject),
            Self::JsonObject => Some(Self::Prompt),
            Self::Prompt => None,
        }
    }
}

/// The text of an answer and the result of validating it against the requested schema.
#[derive(Debug, Clone)]
pub struct CheckedText {
    /// The text of the answer.
    pub text: String,
    /// The media type and the file extension of the text.
    pub facts: Facts,
    /// How the text violates its schema. None if it fits, or if it was not validated.
    pub violation: Option<String>,
}

impl CheckedText {
    /// Extracts the JSON from the text and validates it against the schema. A text that holds no JSON is kept whole, with a violation.
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

/// Parses the body of an answer piece by piece.
#[derive(Debug)]
pub struct ChatReader<'a> {
    wire: &'a dyn Wire,
    answer: ChatAnswer,
    form: Form,
    beginning: Vec<u8>,
    is_too_large: bool,
    /// Whether a line that should be a JSON object could not be parsed, so that a part of the answer is missing.
    is_damaged: bool,
}

/// The format of a body, as its first byte tells.
#[derive(Debug)]
enum Form {
    /// Only whitespace has arrived, and perhaps these first bytes of a byte order mark.
    Unknown(Vec<u8>),
    /// The body is one JSON value. It is parsed when the body is complete.
    Json(Vec<u8>),
    /// The body is a stream of server-sent events. Each event is parsed when it is complete.
    Events { line: Vec<u8>, data: String, is_done: bool },
    /// The body has a JSON value on each line. Each is parsed when its line is complete.
    Lines(Vec<u8>),
    /// The body is neither. Only its beginning is kept, for an error message.
    Other,
}

/// The result of reading a body to its end, or to where the connection broke off.
#[derive(Debug)]
pub struct ChatBody {
    /// The answer that was parsed from the body.
    pub answer: ChatAnswer,
    /// Whether the answer is complete. Where the format of the body does not tell, as for a web page, this is true, and `answer.has_begun` is false.
    pub is_whole: bool,
    /// Whether the answer exceeds [`MAX_ANSWER_BYTES`], or a line or an event of the stream is too large. The rest was not read.
    pub is_too_large: bool,
    /// The first bytes of the body, for an error message that quotes them.
    pub beginning: Vec<u8>,
}

impl<'a> ChatReader<'a> {
    /// Returns a reader that has the answer's JSON interpreted by this wire.
    pub fn new(wire: &'a dyn Wire) -> Self {
        let (answer, beginning) = (ChatAnswer::default(), Vec::new());
        let form = Form::Unknown(Vec::new());
        Self { wire, answer, form, beginning, is_too_large: false, is_damaged: false }
    }

    /// Parses the next bytes. Returns false once the answer is too large; the caller then stops reading.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let mut joined = Vec::new();
        let bytes = match &mut self.form {
            Form::Unknown(mark) => {
                joined.append(mark);
                joined.extend_from_slice(bytes);
                let rest = without_space(&joined);
                if BYTE_ORDER_MARK.starts_with(rest) {
                    mark.extend_from_slice(rest);
                    return true;
                }
                rest
            }
            _ => bytes,
        };
        let Some(first) = bytes.first() else { return true };
        let room = BEGINNING_BYTES.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if matches!(self.form, Form::Unknown(_)) {
            self.form = match first {
                _ if self.wire.is_in_lines() => Form::Lines(Vec::new()),
                b'{' | b'[' => Form::Json(Vec::new()),
                // The first letters of `data:`, `event:`, `id:`, `retry:`, and the colon of a comment.
                b'd' | b'e' | b'i' | b'r' | b':' => {
                    Form::Events { line: Vec::new(), data: String::new(), is_done: false }
                }
                _ => Form::Other,
            };
        }
        match &mut self.form {
            Form::Unknown(_) | Form::Other => {}
            Form::Json(body) => {
                self.is_too_large = body.len() + bytes.len() > MAX_ANSWER_BYTES;
                if !self.is_too_large {
                    body.extend_from_slice(bytes);
                }
            }
            Form::Events { .. } => self.push_events(bytes),
            Form::Lines(_) => self.push_lines(bytes),
        }
        !self.is_too_large
    }

    /// Returns the text that has arrived. It is empty until [`ChatReader::finish`] if the body is one JSON value.
    pub fn text(&self) -> &str {
        &self.answer.text
    }

    /// Ends the reading. Call it at the end of the body, and also when the connection broke off.
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
                // The blank line after the last event may be missing.
                self.push_events(b"\n\n");
                let is_done = matches!(self.form, Form::Events { is_done: true, .. });
                is_done || self.answer.finish_reason.is_some()
            }
            Form::Lines(_) => {
                // The line break after the last value may be missing.
                self.push_lines(b"\n");
                self.answer.finish_reason.is_some() && !self.is_damaged
            }
            Form::Unknown(_) | Form::Other => true,
        };
        let Self { answer, beginning, is_too_large, .. } = self;
        ChatBody { answer, is_whole, is_too_large, beginning }
    }

    fn push_lines(&mut self, bytes: &[u8]) {
        let Form::Lines(line) = &mut self.form else { return };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if line.len() > MAX_LINE_BYTES {
                self.is_too_large = true;
                return;
            }
            if piece.ends_with(b"\n") {
                if let Ok(value) = serde_json::from_slice::<Value>(line) {
                    self.wire.read_chat(&value, &mut self.answer);
                } else {
                    self.is_damaged |= line.trim_ascii_start().starts_with(b"{");
                }
                line.clear();
                self.is_too_large |= self.answer.held_bytes() > MAX_ANSWER_BYTES;
            }
        }
    }

    fn push_events(&mut self, bytes: &[u8]) {
        let Form::Events { line, data, is_done } = &mut self.form else { return };
        for byte in bytes {
            match byte {
                b'\n' => {}
                // Lines end with LF or CR LF.
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
                self.is_too_large |= self.answer.held_bytes() > MAX_ANSWER_BYTES;
            }
            line.clear();
        }
    }
}

/// Returns the bytes without leading whitespace and without a byte order mark.
fn without_space(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start()
}

#[cfg(test)]
mod tests;
