//! Reads JSON of programs in other languages: a whole number may be written as `360.0`, and an error names the field and says what is expected
//! without the terms of Rust. Decision 156 says why no crate does it.

mod tracked;

use std::{cell::RefCell, fmt};

use serde::Deserialize;

use self::tracked::Tracked;

/// The most characters of a value that an error repeats.
const SHOWN_CHARS: usize = 100;

/// Reads a JSON text as a `T`.
pub fn read_json<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, JsonError> {
    // Most texts fit as they are. The slower way reads whole numbers with a fraction, and finds the place of an error.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let trail = RefCell::new(Vec::new());
    let mut json = serde_json::Deserializer::from_str(text);
    let read = T::deserialize(Tracked::new(&mut json, &trail));
    read.and_then(|value| json.end().map(|()| value)).map_err(|error| JsonError::new(&trail.take(), &error))
}

/// Why a JSON text cannot be read as the type that is needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct JsonError {
    /// The path of the value that is wrong, such as `shots[1].text`. Empty for the whole text.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl JsonError {
    /// `trail` has the steps of the path from the innermost value outwards.
    fn new(trail: &[Step], error: &serde_json::Error) -> Self {
        let mut path = String::new();
        for step in trail.iter().rev() {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.extend([".", name]),
                Step::Element(index) => path.extend(["[", &index.to_string(), "]"]),
            }
        }
        let message = error.to_string();
        // The client may not have sent the text like this, so the position in it says nothing.
        let position = format!(" at line {} column {}", error.line(), error.column());
        Self { path, message: plain(message.strip_suffix(&position).unwrap_or(&message)) }
    }
}

/// A step on the way from the whole text to a value in it.
#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Element(usize),
}

/// Rewrites a message of `serde` in the terms of JSON.
fn plain(message: &str) -> String {
    let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|message| message.rsplit_once(", expected "))
    else {
        // The parser says this of a value that names a variant, if the value is no string.
        return if message == "expected value" { "expected a string, one of its names" } else { message }
            .to_owned();
    };
    format!("{}, expected {}", plain_found(found), plain_expected(expected))
}

/// Returns a value that does not fit, as JSON shows it.
fn plain_found(found: &str) -> String {
    for prefix in ["integer `", "floating point `", "boolean `"] {
        if let Some(value) = found.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('`')) {
            return value.to_owned();
        }
    }
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        _ => match found.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("{}…", found.get(..end).unwrap_or_default()),
            None => found.to_owned(),
        },
    }
}

/// Returns the name of a type in the terms of JSON.
fn plain_expected(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{ImageParams, JsonText, TaskSpec, methods::SubmitBatchParams};

    fn refusal<T: for<'de> Deserialize<'de>>(json: &str) -> String {
        read_json::<T>(json).err().unwrap_or_else(|| panic!("it was read: {json}")).to_string()
    }

    #[test]
    fn a_whole_number_may_have_a_fraction_of_zero_and_free_json_is_kept_as_it_came() {
        let params: ImageParams =
            read_json(r#"{"prompt":"a","width":640.0,"seed":9e2,"n":2,"strength":1,"extra":{"width":1.0}}"#)
                .unwrap();
        assert_eq!((params.width, params.seed, params.n, params.strength), (640, Some(900), 2, Some(1.0)));
        assert_eq!(params.extra.as_ref().map(JsonText::as_str), Some(r#"{"width":1.0}"#));
        let spec: TaskSpec = read_json(
            r#"{"kind":"a.b","priority":-5.0,"after":[7.0],"metadata":{"a":[1.0,"b"]},"deadline_s":2}"#,
        )
        .unwrap();
        assert_eq!((spec.priority, spec.after[0].0), (-5, 7));
        assert_eq!(spec.metadata.as_ref().map(JsonText::as_str), Some(r#"{"a":[1.0,"b"]}"#));
        let numbers: BTreeMap<u64, i64> = read_json(r#"{"1":-2.0}"#).unwrap();
        assert_eq!(numbers, BTreeMap::from([(1, -2)]));
    }

    #[test]
    fn an_error_names_the_field_and_what_is_expected() {
        for (json, message) in [
            (r#"{"prompt":"a","width":360.5}"#, "width: 360.5, expected a whole number from 0 to 4294967295"),
            (r#"{"prompt":"a","width":-5}"#, "width: -5, expected a whole number from 0 to 4294967295"),
            (r#"{"prompt":"a","width":-5.0}"#, "width: -5, expected a whole number from 0 to 4294967295"),
            (
                r#"{"prompt":"a","width":1e300}"#,
                "width: 1e+300, expected a whole number from 0 to 4294967295",
            ),
            (r#"{"prompt":null}"#, "prompt: null, expected a string"),
            (r#"{"prompt":["a"]}"#, "prompt: a list, expected a string"),
            (r#"{"prompt":"a","strength":"high"}"#, "strength: string \"high\", expected a number"),
            (r#"{"prompt":"a","input_images":{}}"#, "input_images: an object, expected a list"),
            (r#"{"prompt":"a","input_images":["x"]}"#, "input_images[0]: a digest is 64 hex characters"),
            (r#"{"width":1}"#, "missing field `prompt`"),
        ] {
            assert_eq!(refusal::<ImageParams>(json), message);
        }
        for (json, message) in [
            (r#"{"tasks":[{"kind":"a"},{"params":{}}]}"#, "tasks[1]: missing field `kind`"),
            (
                r#"{"tasks":[{"kind":"a","priority":500}]}"#,
                "tasks[0].priority: 500, expected a whole number from -100 to 100",
            ),
            (r#"{"tasks":[{"kind":"a","cache":7}]}"#, "tasks[0].cache: expected a string, one of its names"),
            (r#"{"tasks":[7]}"#, "tasks[0]: 7, expected an object"),
            (
                r#"{"tasks":[{"kind":"a","after":[1,-1]}]}"#,
                "tasks[0].after[1]: -1, expected a whole number below 2^53",
            ),
        ] {
            assert_eq!(refusal::<SubmitBatchParams>(json), message);
        }
        let long = refusal::<ImageParams>(&format!(r#"{{"prompt":"a","width":"{}"}}"#, "é".repeat(5000)));
        assert!(long.chars().count() < 200 && long.contains("é…, expected a whole number"), "{long}");
        assert!(refusal::<ImageParams>(r#"{"prompt":"a"} x"#).starts_with("trailing characters"));
    }
}
