//! Reads the input of a batch: a list of prompts, JSON objects with a prompt and other fields, or a table.

use reel_protocol::{ImageParams, limits::PROMPT_BYTES};
use serde_json::{Map, Value};

use super::{
    delimited, document,
    entry::{Content, Entry, Misfit},
    fields,
    other::{Other, PICTURE},
    shape::misfit,
    text::{self, NotText},
};
use crate::{exit::Exit, failure::Failure, naming, picture_format::PictureFormat, tasks};

/// One result that the input asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The line of the file that it starts at, counted from 1 and including blank lines.
    pub number: usize,
    /// The picture to make. It is unused if the line asks another service.
    pub params: ImageParams,
    /// The request to another service than that of pictures.
    pub other: Option<Other>,
    /// Whether the line itself sets `sample`.
    pub has_sample: bool,
    /// The label of the task, if the line has one.
    pub name: Option<String>,
}

/// Values for lines that do not set them.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// Width and height, in pixels.
    pub size: Option<(u32, u32)>,
    /// The name of a style of the daemon.
    pub style: Option<String>,
}

/// How a file is interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// As a list of prompts, as JSON, or as a table whose columns are clear. A file that looks like anything else is refused.
    Guarded,
    /// As a table. The field names the column of prompts, if the user named one.
    Table(Option<String>),
    /// As a list of prompts, in which every line is taken unchanged.
    Literal,
}

/// The result of reading the input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The requested results, in their order.
    pub lines: Vec<Line>,
    /// A line for people that says how the file was read; None if it was read line by line.
    pub note: Option<String>,
}

impl Input {
    /// Reads the whole file. The first invalid line fails it, with the line's number.
    pub fn read(bytes: &[u8], defaults: &Defaults, reading: &Reading) -> Result<Self, Failure> {
        let text = text::text_of(bytes).map_err(|error| not_text(&error))?;
        let (entries, note) = match reading {
            Reading::Literal => (literal(text), None),
            Reading::Guarded => guarded(text)?,
            Reading::Table(column) => {
                let table = delimited::read(text, column.as_deref()).map_err(refused)?;
                (table.entries, Some(table.note))
            }
        };
        let lines = entries.into_iter().map(|entry| {
            let (line, place) = (entry.line, entry.place);
            read_entry(entry, defaults).map_err(|detail| match place {
                Some(place) => bad(line, &format!("entry {place}: {detail}")),
                None => bad(line, &detail),
            })
        });
        Ok(Self { lines: lines.collect::<Result<_, _>>()?, note })
    }
}

fn visible(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text::lines(text).filter(|(_, line)| !tasks::is_blank(line))
}

fn literal(text: &str) -> Vec<Entry> {
    visible(text).map(|(line, text)| prompt(line, text)).collect()
}

fn prompt(line: usize, text: &str) -> Entry {
    Entry { line, place: None, content: Content::Prompt(text.to_owned()) }
}

fn guarded(text: &str) -> Result<(Vec<Entry>, Option<String>), Failure> {
    if let Some(entries) = document::entries(text) {
        return Ok((entries, None));
    }
    let lines: Vec<_> = visible(text).collect();
    let misfit = misfit(&lines);
    // Rows below a table's header may look like anything, so only a misfit in the first line counts here.
    let is_first =
        misfit.as_ref().is_some_and(|misfit| lines.first().is_some_and(|(line, _)| misfit.line == *line));
    if !is_first && let Some(table) = delimited::guess(text).map_err(refused)? {
        // Lines below a header with a single name are checked like all others.
        let has_cells = table.entries.iter().any(|entry| matches!(entry.content, Content::Fields(_)));
        if has_cells || misfit.is_none() {
            return Ok((table.entries, Some(table.note)));
        }
    }
    if let Some(misfit) = misfit {
        return Err(refused(misfit));
    }
    let entries = lines.into_iter().map(|(line, text)| match object_in(text) {
        Ok(Some(fields)) => Ok(Entry { line, place: None, content: Content::Fields(fields) }),
        Ok(None) => Ok(prompt(line, text)),
        Err(detail) => Err(bad(line, &detail)),
    });
    Ok((entries.collect::<Result<_, _>>()?, None))
}

fn refused(Misfit { line, message, hint }: Misfit) -> Failure {
    bad(line, &message).hint(format!("{hint}; {FORCE}"))
}

fn read_entry(entry: Entry, defaults: &Defaults) -> Result<Line, String> {
    let number = entry.line;
    let mut line = match entry.content {
        Content::Fields(fields) => read_object(number, fields, defaults)?,
        Content::Prompt(text) => {
            let mut params = ImageParams::new(text);
            (params.width, params.height) = defaults.size.unwrap_or((params.width, params.height));
            Line { number, params, other: None, has_sample: false, name: None }
        }
    };
    if line.other.is_some() {
        return Ok(line);
    }
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

/// Parses a line that is a JSON object. None for a prompt, which may itself start with a brace, such as `{red|blue} car`.
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

/// Whether a line that is no valid JSON was meant as an object. It then starts with a quoted key, or with one of the known fields and a colon.
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

/// Fields that people often start an object with.
const FIELDS: [&str; 10] =
    ["kind", "text", "prompt", "negative_prompt", "name", "style", "width", "height", "seed", "model"];

fn read_object(number: usize, mut fields: Map<String, Value>, defaults: &Defaults) -> Result<Line, String> {
    let has_sample = fields.contains_key("sample");
    let given_name = fields.get("name").cloned();
    if let Some(other) = Other::take(&mut fields)? {
        let name = match given_name {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err("`name` is not a string".to_owned()),
        };
        fields::check(&other.kind, &other.params)?;
        let params = ImageParams::new(String::new());
        return Ok(Line { number, params, other: Some(other), has_sample, name });
    }
    let name = match fields.remove("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if naming::is_unwritable_picture(&name) => {
            return Err(format!(
                "`{name}` ends in a format that cannot be written; pictures end in {}",
                PictureFormat::ENDINGS
            ));
        }
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err("`name` is not a string".to_owned()),
    };
    let (has_width, has_height) = (fields.contains_key("width"), fields.contains_key("height"));
    fields::check(PICTURE, &fields)?;
    let mut params: ImageParams =
        serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    if let Some((width, height)) = defaults.size {
        params.width = if has_width { params.width } else { width };
        params.height = if has_height { params.height } else { height };
    }
    Ok(Line { number, params, other: None, has_sample, name })
}

/// The hint for refused lines.
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

    fn read_lines(bytes: &[u8], defaults: &Defaults, reading: &Reading) -> Result<Vec<Line>, Failure> {
        Input::read(bytes, defaults, reading).map(|input| input.lines)
    }

    fn prompts(text: &str) -> Vec<(usize, String)> {
        let lines = read_lines(text.as_bytes(), &Defaults::default(), &Reading::Guarded).unwrap();
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
        let lines = read_lines(text.as_bytes(), &defaults, &Reading::Guarded).unwrap();
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
        for text in ["# a", "{\"prompt\":\"a\"}", "[\"a\"]", "prompt,style", "---", "prompts:"] {
            let lines = read_lines(text.as_bytes(), &Defaults::default(), &Reading::Literal).unwrap();
            assert_eq!(lines[0].params.prompt, text);
        }
    }

    #[test]
    fn a_line_that_does_not_hold_is_named() {
        for (text, expected) in [
            ("{\"kind\":\"voice.speak\",\"name\":7}", "line 1: `name` is not"),
            ("{\"kind\":7}", "line 1: `kind` is not"),
            ("a\n\n{\"prompt\":", "line 3: not a JSON object"),
            ("{\"promt\":\"a\"}", "line 1: unknown field `promt`"),
            ("a\n{\"prompt\":\" \"}", "line 2: the prompt is empty"),
            ("{\"prompt\":\"a\",\"n\":2}", "line 1: `n` is 1"),
            ("{\"prompt\":\"\u{200b}\"}", "line 1: the prompt is empty"),
            ("{'prompt': 'a'}", "line 1: not a JSON object: key must be a string at column 2"),
            ("{prompt: \"a\"}", "line 1: not a JSON object"),
            ("{\"prompt\":\"a\",}", "line 1: not a JSON object"),
            ("a\n[\"b\"]", "line 2: this is a JSON array"),
            ("[\"a\",\"b\",\" \"]", "line 1: entry 3: the prompt is empty"),
            ("prompt,style\na,ink\n,oil", "line 3: the prompt is empty"),
            ("prompt,n\na,2", "line 2: `n` is 1"),
            ("prompt\na\n# b", "line 3: this is a comment"),
            ("{\"prompt\":\"a\",\"name\":7}", "line 1: `name` is not"),
        ] {
            let failure = read_lines(text.as_bytes(), &Defaults::default(), &Reading::Guarded).unwrap_err();
            assert_eq!(failure.exit, Exit::BadData);
            assert!(failure.error.message.starts_with(expected), "{}", failure.error.message);
        }
        let failure = read_lines(b"a\nb\xff\n", &Defaults::default(), &Reading::Guarded).unwrap_err();
        assert_eq!(failure.error.message, "line 2: not UTF-8, but most likely WINDOWS-1252");
        assert!(failure.error.hint.unwrap().contains("iconv -f WINDOWS-1252 -t UTF-8"));
        let long = "x".repeat(PROMPT_BYTES + 1);
        assert!(read_lines(long.as_bytes(), &Defaults::default(), &Reading::Guarded).is_err());
    }
}
