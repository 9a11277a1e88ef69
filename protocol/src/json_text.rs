//! Free-form JSON that is carried, not understood: itself inside JSON, a string in binary encodings.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::limits::JSON_DEPTH;

/// A JSON document, checked to be well-formed and nested at most [`JSON_DEPTH`] deep.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JsonText(String);

/// Why a text was not taken as free-form JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonTextError {
    /// Not JSON at all.
    #[error("not valid JSON")]
    Malformed(#[source] serde_json::Error),
    /// Deeper than other languages' parsers bear.
    #[error("nested deeper than {JSON_DEPTH} levels")]
    TooDeep,
}

impl JsonText {
    /// Checks `text` and keeps it as it stands.
    pub fn parse(text: String) -> Result<Self, JsonTextError> {
        serde_json::from_str::<&RawValue>(&text).map_err(JsonTextError::Malformed)?;
        Self::well_formed(text)
    }

    /// Keeps a text that is known to be JSON.
    fn well_formed(text: String) -> Result<Self, JsonTextError> {
        if depth(&text) > JSON_DEPTH {
            return Err(JsonTextError::TooDeep);
        }
        // Surrounding space (a newline would break the line framing) is dropped; inside, JSON strings hold no raw newline.
        let trimmed = text.trim();
        if trimmed.contains(['\n', '\r']) {
            return Ok(Self(trimmed.replace(['\n', '\r'], " ")));
        }
        Ok(Self(if trimmed.len() == text.len() { text } else { trimmed.to_owned() }))
    }

    /// Encodes any serde value.
    pub fn from_value<T: Serialize>(value: &T) -> Result<Self, JsonTextError> {
        Self::well_formed(serde_json::to_string(value).map_err(JsonTextError::Malformed)?)
    }

    /// Decodes into a type.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The JSON, on one line.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The empty object.
    pub fn empty_object() -> Self {
        Self("{}".to_owned())
    }

    /// Whether the document is an object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }
}

impl Default for JsonText {
    fn default() -> Self {
        Self::empty_object()
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The deepest nesting of a text that is known to be JSON.
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
            let raw: &RawValue = serde_json::from_str(&self.0).map_err(ser::Error::custom)?;
            raw.serialize(serializer)
        } else {
            serializer.serialize_str(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            // The reader has just checked it: another pass over a megabyte of params would buy nothing.
            let raw = Box::<RawValue>::deserialize(deserializer)?;
            Self::well_formed(Box::<str>::from(raw).into_string()).map_err(de::Error::custom)
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
    fn too_deep_and_malformed_are_refused_and_newlines_are_folded() {
        let deep = "[".repeat(JSON_DEPTH + 1) + &"]".repeat(JSON_DEPTH + 1);
        assert!(matches!(JsonText::parse(deep), Err(JsonTextError::TooDeep)));
        assert!(matches!(JsonText::parse("[".repeat(100_000)), Err(JsonTextError::Malformed(_))));
        assert_eq!(JsonText::parse(" {\n\"a\": 1\n}\n".into()).unwrap().as_str(), r#"{ "a": 1 }"#);
    }
}
