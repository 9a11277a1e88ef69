//! Files that are no list of prompts: recognised before each of their lines is paid for as a prompt. Pure.

use serde_json::Value;

/// Why a line, or the whole file, is not taken for prompts, and how to give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The line's number from 1.
    pub line: usize,
    /// What it looks like.
    pub message: String,
    /// What to do instead.
    pub hint: String,
}

/// The first line that belongs to another kind of file than a list of prompts.
pub fn misfit<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Option<Misfit> {
    let mut is_first = true;
    for (line, text) in lines {
        let found = if is_first && is_csv_header(text) { Some(CSV) } else { kind_of(text) };
        if let Some((message, hint)) = found {
            return Some(Misfit { line, message: message.to_owned(), hint: hint.to_owned() });
        }
        is_first = false;
    }
    None
}

/// A message and a hint.
type Kind = (&'static str, &'static str);

const CSV: Kind = (
    "the file begins with a header, as a table does",
    r#"write a prompt alone on each line, or JSON objects such as {"prompt": "a lighthouse", "style": "watercolor"}"#,
);
const ARRAY: Kind = ("this is a JSON array, and a line is one prompt", "jq -c '.[]' FILE | reel batch -");
const PART: Kind = (
    "this is a part of a JSON text, and a line is one prompt or one whole object",
    "jq -c . FILE | reel batch - writes an object to a line; jq -c '.[]' where FILE is an array",
);
const FENCE: Kind = ("this is a fence of Markdown", "remove the lines that begin with ``` or ~~~");
const COMMENT: Kind = (
    "this is a comment or a heading",
    r##"remove it; a prompt that begins so is written {"prompt": "# ..."}"##,
);
const OPTIONS: Kind = (
    "this is a line of options",
    r#"write {"prompt": "a lighthouse", "negative_prompt": "people", "width": 1024, "height": 768}"#,
);

fn kind_of(text: &str) -> Option<Kind> {
    if text.starts_with("```") || text.starts_with("~~~") {
        return Some(FENCE);
    }
    if is_comment(text) {
        return Some(COMMENT);
    }
    if is_options(text) {
        return Some(OPTIONS);
    }
    if text.starts_with('[') && is_array(text) {
        return Some(ARRAY);
    }
    is_part_of_json(text).then_some(PART)
}

/// `# words`, `## words` or only `#`; a hash before a letter is a hashtag, with which a prompt may begin.
fn is_comment(text: &str) -> bool {
    let rest = text.trim_start_matches('#');
    rest.len() < text.len() && (rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// `--prompt "a lighthouse" --steps 20`.
fn is_options(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()))
}

/// An array of texts or objects. `[masterpiece] a lighthouse` is a prompt, and so is `[1]`.
fn is_array(text: &str) -> bool {
    serde_json::from_str::<Vec<Value>>(text.trim_end_matches(','))
        .is_ok_and(|values| values.iter().all(|value| value.is_string() || value.is_object()))
}

/// Only brackets and commas, `"key": …`, or `"text",` as a line of an array has it.
fn is_part_of_json(text: &str) -> bool {
    if text.chars().all(|character| "[]{},".contains(character)) {
        return true;
    }
    let Some(rest) = text.strip_prefix('"') else { return false };
    let mut quoted = rest.splitn(2, '"').skip(1).map(str::trim);
    quoted.next().is_some_and(|behind| {
        behind == "," || behind.strip_prefix(':').is_some_and(|value| is_value(value.trim()))
    })
}

/// `"text",`, `7`, `{`: what follows a key in JSON. `"Home": a painting` is a prompt.
fn is_value(text: &str) -> bool {
    let text = text.trim_end_matches(',').trim_end();
    matches!(text, "" | "{" | "[") || serde_json::from_str::<Value>(text).is_ok()
}

/// At least two short names, one of them `prompt`; or that name alone.
fn is_csv_header(text: &str) -> bool {
    let cells: Vec<String> = text
        .split([',', ';', '\t'])
        .map(|cell| cell.trim().trim_matches(['"', '\'']).to_lowercase())
        .collect();
    let is_name = |cell: &String| cell.len() <= 24 && cell.split(['_', ' ', '-']).all(is_word);
    cells.iter().all(is_name) && cells.iter().any(|cell| matches!(cell.as_str(), "prompt" | "prompts"))
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(usize, String)> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        misfit(lines.filter(|(_, line)| !line.is_empty())).map(|misfit| (misfit.line, misfit.message))
    }

    #[test]
    fn what_tools_write_that_make_no_list_of_prompts_is_recognised() {
        for (text, line, (message, _)) in [
            ("[\"a lighthouse\",\"a harbour\"]", 1, ARRAY),
            ("[{\"prompt\":\"a\"}]", 1, ARRAY),
            ("[\n  \"a lighthouse\",\n  \"a harbour\"\n]", 1, PART),
            ("a\n\"a lighthouse\",", 2, PART),
            ("{\n  \"prompt\": \"a\"\n}", 1, PART),
            ("a\n\"prompt\": \"a lighthouse\",", 2, PART),
            ("a\n\"width\": 7", 2, PART),
            ("```json\n{\"prompt\":\"a\"}\n```", 1, FENCE),
            ("a\n~~~", 2, FENCE),
            ("prompt,style\na lighthouse,ink", 1, CSV),
            ("\"id\";\"Prompt\";\"negative_prompt\"", 1, CSV),
            ("Prompt\na lighthouse", 1, CSV),
            ("a\n# harbours", 2, COMMENT),
            ("## Shots", 1, COMMENT),
            ("#", 1, COMMENT),
            ("--prompt \"a lighthouse\" --steps 20", 1, OPTIONS),
        ] {
            assert_eq!(found(text), Some((line, message.to_owned())), "{text}");
        }
    }

    #[test]
    fn prompts_of_every_dialect_are_prompts() {
        for text in [
            "a lighthouse, dusk, 35mm",
            "[masterpiece] a lighthouse",
            "[1]",
            "(masterpiece:1.2), a lighthouse <lora:x:0.8>",
            "#sunset at the beach",
            "#1 fan poster",
            "\"Hope\", painted on a wall",
            "\"Home\": a painting",
            "\"a lighthouse\"",
            "-- a dash",
            "1. a lighthouse",
            "- a lighthouse",
            "a prompt, written on paper",
            "prompt service at a restaurant",
            "灯台,夕暮れ",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
