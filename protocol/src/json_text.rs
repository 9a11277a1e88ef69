//! Free-form JSON, which is passed on without being interpreted: a value in JSON, and a string in binary encodings.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use crate::{JsonError, limits::JSON_DEPTH, read_json};

/// A JSON document that is well-formed and nested at most [`JSON_DEPTH`] deep.
///
/// It is kept as a `RawValue`, which the JSON writer copies. A `String` would be parsed again whenever it is written.
#[derive(Clone)]
pub struct JsonText(Box<RawValue>);

/// Why a text is not accepted as free-form JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonTextError {
    /// The text is not JSON.
    #[error("not valid JSON")]
    Malformed(#[source] serde_json::Error),
    /// The text is nested more deeply than the parsers of other languages can read.
    #[error("nested deeper than {JSON_DEPTH} levels")]
    TooDeep,
}

impl JsonText {
    /// Checks a text and keeps it. White space around it is removed, and newlines become spaces.
    pub fn parse(text: String) -> Result<Self, JsonTextError> {
        // This parser removes the white space around the text. A newline would break the framing in lines.
        Self::well_formed(RawValue::from_string(text).map_err(JsonTextError::Malformed)?)
    }

    /// Checks the nesting of a text that is known to be JSON without white space around it.
    fn well_formed(json: Box<RawValue>) -> Result<Self, JsonTextError> {
        let text = json.get();
        // Most texts have fewer brackets than may be nested, and counting them is far cheaper than following them.
        if count(text, |byte| matches!(byte, b'[' | b'{')) > JSON_DEPTH && depth(text) > JSON_DEPTH {
            return Err(JsonTextError::TooDeep);
        }
        if count(text, |byte| matches!(byte, b'\n' | b'\r')) > 0 {
            // The newlines are between tokens, because JSON strings contain no raw newline.
            let folded = text.replace(['\n', '\r'], " ");
            return RawValue::from_string(folded).map(Self).map_err(JsonTextError::Malformed);
        }
        Ok(Self(json))
    }

    /// Encodes a value.
    pub fn from_value<T: Serialize>(value: &T) -> Result<Self, JsonTextError> {
        Self::well_formed(serde_json::value::to_raw_value(value).map_err(JsonTextError::Malformed)?)
    }

    /// Decodes the document as a `T`. Whole numbers may be written as `7.0`.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        read_json(self.as_str())
    }

    /// Returns the JSON, which is on one line.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Returns the empty object, `{}`.
    #[expect(clippy::expect_used, reason = "two brackets are JSON")]
    pub fn empty_object() -> Self {
        Self(RawValue::from_string("{}".to_owned()).expect("two brackets are JSON"))
    }

    /// Whether the document is an object.
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }
}

impl Default for JsonText {
    fn default() -> Self {
        Self::empty_object()
    }
}

/// Documents are equal if their texts are.
impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for JsonText {}

impl Hash for JsonText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn count(text: &str, is_counted: impl Fn(u8) -> bool) -> usize {
    // Counts in blocks whose count fits into a byte, so that the processor compares and adds many bytes at once.
    let of_block =
        |block: &[u8]| usize::from(block.iter().map(|byte| u8::from(is_counted(*byte))).sum::<u8>());
    text.as_bytes().chunks(usize::from(u8::MAX)).map(of_block).sum()
}

/// Returns the deepest nesting in a text that is known to be JSON.
fn depth(text: &str) -> usize {
    let (mut now, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            serializer.serialize_str(self.as_str())
        }
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            // The parser has just checked it. Another pass over a megabyte of params would gain nothing.
            Self::well_formed(Box::<RawValue>::deserialize(deserializer)?).map_err(de::Error::custom)
        } else {
            Self::parse(String::deserialize(deserializer)?).map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        for (text, expected) in [("1", 0), ("[]", 1), (r#"{"a":[1,{"b":2}]}"#, 3), (r#"["[[[\"[[["]"#, 1)] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn many_brackets_are_all_counted() {
        for length in [0, 1, 254, 255, 256, 510, 100_003] {
            assert_eq!(count(&"[".repeat(length), |byte| byte == b'['), length);
            assert_eq!(count(&"x[".repeat(length), |byte| byte == b'['), length);
        }
    }

    #[test]
    fn too_deep_and_malformed_are_refused_and_newlines_are_folded() {
        let deep = "[".repeat(JSON_DEPTH + 1) + &"]".repeat(JSON_DEPTH + 1);
        assert!(matches!(JsonText::parse(deep), Err(JsonTextError::TooDeep)));
        assert!(matches!(JsonText::parse("[".repeat(100_000)), Err(JsonTextError::Malformed(_))));
        assert_eq!(JsonText::parse(" {\n\"a\": 1\n}\n".into()).unwrap().as_str(), r#"{ "a": 1 }"#);
    }
}
