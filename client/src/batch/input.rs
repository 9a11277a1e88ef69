//! The lines of a batch: prompts, or JSON objects with a prompt and more.

use std::str;

use reel_protocol::{ImageParams, limits::PROMPT_BYTES};
use serde_json::{Map, Value};

use crate::{exit::Exit, failure::Failure, form::Form, naming};

/// One line that is not blank.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number in the file, from 1, blank ones counted.
    pub number: usize,
    /// What is asked.
    pub params: ImageParams,
    /// Whether the line itself says which sample it wants.
    pub has_sample: bool,
    /// Its label, if the line gives one.
    pub name: Option<String>,
}

/// What holds for lines that do not say otherwise.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// Pixels.
    pub size: Option<(u32, u32)>,
    /// One of the daemon's styles.
    pub style: Option<String>,
}

const BOM: &str = "\u{feff}";

/// Reads the whole input; the first line that does not hold fails it, named by its number.
pub fn read_lines(bytes: &[u8], defaults: &Defaults) -> Result<Vec<Line>, Failure> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        bad(before.split(|byte| *byte == b'\n').count(), "not UTF-8")
    })?;
    let text = text.strip_prefix(BOM).unwrap_or(text);
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    numbered
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| read_line(number, line, defaults).map_err(|detail| bad(number, &detail)))
        .collect()
}

fn read_line(number: usize, text: &str, defaults: &Defaults) -> Result<Line, String> {
    let mut line = if text.starts_with('{') {
        read_object(number, text, defaults)?
    } else {
        let mut params = ImageParams::new(text);
        (params.width, params.height) = defaults.size.unwrap_or((params.width, params.height));
        Line { number, params, has_sample: false, name: None }
    };
    if line.params.style.is_none() {
        line.params.style.clone_from(&defaults.style);
    }
    if line.params.prompt.trim().is_empty() {
        return Err("the prompt is empty".to_owned());
    }
    if line.params.prompt.len() > PROMPT_BYTES {
        return Err(format!("the prompt is longer than {PROMPT_BYTES} bytes"));
    }
    if line.params.n != 1 {
        return Err("`n` is 1 in a batch: repeat the line for more pictures".to_owned());
    }
    Ok(line)
}

fn read_object(number: usize, text: &str, defaults: &Defaults) -> Result<Line, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
    let name = match fields.remove("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if naming::is_unwritable_picture(&name) => {
            return Err(format!(
                "`{name}` names a form that is not written: pictures end in {}",
                Form::ENDINGS
            ));
        }
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err("`name` is not a string".to_owned()),
    };
    let has_sample = fields.contains_key("sample");
    let (has_width, has_height) = (fields.contains_key("width"), fields.contains_key("height"));
    let mut params: ImageParams =
        serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    if let Some((width, height)) = defaults.size {
        params.width = if has_width { params.width } else { width };
        params.height = if has_height { params.height } else { height };
    }
    Ok(Line { number, params, has_sample, name })
}

fn bad(number: usize, detail: &str) -> Failure {
    Failure::new(Exit::BadData, "bad_data", format!("line {number}: {detail}"))
        .hint("a line is a prompt, or a JSON object such as {\"prompt\": \"a lighthouse\", \"style\": \"watercolor\"}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(text: &str) -> Vec<(usize, String)> {
        let lines = read_lines(text.as_bytes(), &Defaults::default()).unwrap();
        lines.into_iter().map(|line| (line.number, line.params.prompt)).collect()
    }

    #[test]
    fn marks_line_ends_and_blank_lines_are_no_prompts() {
        let expected = [(1, "a".to_owned()), (4, "# b".to_owned()), (5, "c".to_owned())];
        assert_eq!(prompts("\u{feff}a\r\n\r\n  \n# b \r\nc"), expected);
        assert_eq!(prompts(""), []);
    }

    #[test]
    fn objects_take_every_field_and_options_fill_the_rest() {
        let defaults = Defaults { size: Some((640, 360)), style: Some("ink".to_owned()) };
        let text = "{\"prompt\":\"a\",\"name\":\"one\",\"width\":512,\"style\":\"oil\",\"sample\":3}\n{\"prompt\":\"b\"}\nc";
        let lines = read_lines(text.as_bytes(), &defaults).unwrap();
        let seen: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line.params.width,
                    line.params.height,
                    line.params.style.as_deref(),
                    line.name.as_deref(),
                    line.has_sample,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (512, 360, Some("oil"), Some("one"), true),
                (640, 360, Some("ink"), None, false),
                (640, 360, Some("ink"), None, false)
            ]
        );
    }

    #[test]
    fn a_line_that_does_not_hold_is_named() {
        for (text, expected) in [
            ("a\n\n{\"prompt\":", "line 3: not a JSON object"),
            ("{\"promt\":\"a\"}", "line 1: unknown field `promt`"),
            ("a\n{\"prompt\":\" \"}", "line 2: the prompt is empty"),
            ("{\"prompt\":\"a\",\"n\":2}", "line 1: `n` is 1"),
            ("{\"prompt\":\"a\",\"name\":7}", "line 1: `name` is not"),
        ] {
            let failure = read_lines(text.as_bytes(), &Defaults::default()).unwrap_err();
            assert_eq!(failure.exit, Exit::BadData);
            assert!(failure.error.message.starts_with(expected), "{}", failure.error.message);
        }
        let failure = read_lines(b"a\nb\xff\n", &Defaults::default()).unwrap_err();
        assert_eq!(failure.error.message, "line 2: not UTF-8");
        let long = "x".repeat(PROMPT_BYTES + 1);
        assert!(read_lines(long.as_bytes(), &Defaults::default()).is_err());
    }
}
