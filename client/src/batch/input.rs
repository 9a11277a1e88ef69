//! The lines of a batch: prompts, or JSON objects with a prompt and more.

use reel_protocol::{ImageParams, limits::PROMPT_BYTES};
use serde_json::{Map, Value};

use super::{
    shape::{Misfit, misfit},
    text::{self, NotText},
};
use crate::{exit::Exit, failure::Failure, form::Form, naming, tasks};

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

/// How lines are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A line is a prompt or a JSON object; what looks like another kind of file is refused.
    Guarded,
    /// Every line is a prompt as it stands.
    Literal,
}

/// Reads the whole input; the first line that does not hold fails it, named by its number.
pub fn read_lines(bytes: &[u8], defaults: &Defaults, reading: Reading) -> Result<Vec<Line>, Failure> {
    let text = text::text_of(bytes).map_err(|error| not_text(&error))?;
    let lines: Vec<_> = text::lines(text).filter(|(_, line)| !tasks::is_blank(line)).collect();
    if reading == Reading::Guarded
        && let Some(Misfit { line, message, hint }) = misfit(lines.iter().copied())
    {
        return Err(bad(line, &message).hint(format!("{hint}; {FORCE}")));
    }
    lines
        .into_iter()
        .map(|(number, line)| {
            read_line(number, line, defaults, reading).map_err(|detail| bad(number, &detail))
        })
        .collect()
}

fn read_line(number: usize, text: &str, defaults: &Defaults, reading: Reading) -> Result<Line, String> {
    let object = if reading == Reading::Guarded { object_in(text)? } else { None };
    let mut line = if let Some(fields) = object {
        read_object(number, fields, defaults)?
    } else {
        let mut params = ImageParams::new(text);
        (params.width, params.height) = defaults.size.unwrap_or((params.width, params.height));
        Line { number, params, has_sample: false, name: None }
    };
    if line.params.style.is_none() {
        line.params.style.clone_from(&defaults.style);
    }
    if tasks::is_blank(&line.params.prompt) {
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

/// The fields of a line that is a JSON object; None for a prompt, which may begin with a brace, as `{red|blue} car` does.
fn object_in(text: &str) -> Result<Option<Map<String, Value>>, String> {
    if !text.starts_with('{') {
        return Ok(None);
    }
    match serde_json::from_str(text) {
        Ok(fields) => Ok(Some(fields)),
        Err(error) if resembles_object(text) => {
            let (detail, column) = (error.to_string(), error.column());
            let detail = detail.split(" at line ").next().unwrap_or_default();
            Err(format!("not a JSON object: {detail} at column {column}"))
        }
        Err(_) => Ok(None),
    }
}

/// Whether a text that is no JSON was meant to be: it begins with a key in quotes, or with one of our fields and a colon.
fn resembles_object(text: &str) -> bool {
    let inside = text.trim_start_matches('{').trim_start();
    let Some(quote) = inside.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        let key = inside.split(':').next().unwrap_or_default().trim();
        return key.len() < inside.len() && FIELDS.contains(&key);
    };
    match inside.get(1..).unwrap_or_default().split_once(quote) {
        Some((_, behind)) => behind.trim_start().starts_with(':'),
        None => quote == '"',
    }
}

/// Fields by which people begin an object.
const FIELDS: [&str; 8] = ["prompt", "negative_prompt", "name", "style", "width", "height", "seed", "model"];

fn read_object(number: usize, mut fields: Map<String, Value>, defaults: &Defaults) -> Result<Line, String> {
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

/// The way to have lines taken that are refused.
const FORCE: &str = "--literal takes every line as a prompt";

fn bad(number: usize, detail: &str) -> Failure {
    let hint =
        r#"a line is a prompt, or a JSON object such as {"prompt": "a lighthouse", "style": "watercolor"}"#;
    Failure::new(Exit::BadData, "bad_data", format!("line {number}: {detail}"))
        .hint(format!("{hint}; {FORCE}"))
}

fn not_text(error: &NotText) -> Failure {
    let convert = |encoding: &str| format!("iconv -f {encoding} -t UTF-8 FILE | reel batch -");
    match error {
        NotText::Wide(encoding) => {
            let message = format!("the text is {encoding}, and must be UTF-8");
            Failure::new(Exit::BadData, "bad_data", message).hint(convert(encoding))
        }
        NotText::Binary { line } => bad(*line, "zero bytes: this is no text file"),
        NotText::OtherEncoding { line, likely } => {
            bad(*line, &format!("not UTF-8, but most likely {likely}")).hint(convert(likely))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(text: &str) -> Vec<(usize, String)> {
        let lines = read_lines(text.as_bytes(), &Defaults::default(), Reading::Guarded).unwrap();
        lines.into_iter().map(|line| (line.number, line.params.prompt)).collect()
    }

    #[test]
    fn marks_line_ends_and_blank_lines_are_no_prompts() {
        let expected = [(1, "a".to_owned()), (4, "#b".to_owned()), (5, "c".to_owned()), (6, "d".to_owned())];
        assert_eq!(prompts("\u{feff}a\r\n\r\n \u{200b} \n\u{feff}#b \r\nc\rd"), expected);
        assert_eq!(prompts(""), []);
    }

    #[test]
    fn objects_take_every_field_and_options_fill_the_rest() {
        let defaults = Defaults { size: Some((640, 360)), style: Some("ink".to_owned()) };
        let text = "{\"prompt\":\"a\",\"name\":\"one\",\"width\":512,\"style\":\"oil\",\"sample\":3}\n{\"prompt\":\"b\"}\nc";
        let lines = read_lines(text.as_bytes(), &defaults, Reading::Guarded).unwrap();
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
    fn a_brace_may_begin_a_prompt_and_literal_lines_are_prompts_whatever_they_are() {
        for text in
            ["{red|blue} car", "{masterpiece}, {{best quality}}", "{\"a sign\"|none} door", "{'s}", "{a: b}"]
        {
            assert_eq!(prompts(text), [(1, text.to_owned())]);
        }
        for text in ["# a", "{\"prompt\":\"a\"}", "[\"a\"]", "prompt,style"] {
            let lines = read_lines(text.as_bytes(), &Defaults::default(), Reading::Literal).unwrap();
            assert_eq!(lines[0].params.prompt, text);
        }
    }

    #[test]
    fn a_line_that_does_not_hold_is_named() {
        for (text, expected) in [
            ("a\n\n{\"prompt\":", "line 3: not a JSON object"),
            ("{\"promt\":\"a\"}", "line 1: unknown field `promt`"),
            ("a\n{\"prompt\":\" \"}", "line 2: the prompt is empty"),
            ("{\"prompt\":\"a\",\"n\":2}", "line 1: `n` is 1"),
            ("{\"prompt\":\"\u{200b}\"}", "line 1: the prompt is empty"),
            ("{'prompt': 'a'}", "line 1: not a JSON object: key must be a string at column 2"),
            ("{prompt: \"a\"}", "line 1: not a JSON object"),
            ("{\"prompt\":\"a\",}", "line 1: not a JSON object"),
            ("a\n[\"b\"]", "line 2: this is a JSON array"),
            ("{\"prompt\":\"a\",\"name\":7}", "line 1: `name` is not"),
        ] {
            let failure = read_lines(text.as_bytes(), &Defaults::default(), Reading::Guarded).unwrap_err();
            assert_eq!(failure.exit, Exit::BadData);
            assert!(failure.error.message.starts_with(expected), "{}", failure.error.message);
        }
        let failure = read_lines(b"a\nb\xff\n", &Defaults::default(), Reading::Guarded).unwrap_err();
        assert_eq!(failure.error.message, "line 2: not UTF-8, but most likely WINDOWS-1252");
        assert!(failure.error.hint.unwrap().contains("iconv -f WINDOWS-1252 -t UTF-8"));
        let long = "x".repeat(PROMPT_BYTES + 1);
        assert!(read_lines(long.as_bytes(), &Defaults::default(), Reading::Guarded).is_err());
    }
}
