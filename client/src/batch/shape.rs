//! Recognises files that are no list of prompts, before each of their lines is paid for as a prompt. Pure.

use serde_json::Value;

use super::entry::Misfit;

/// Finds the first line that does not belong to a list of prompts.
pub fn misfit(lines: &[(usize, &str)]) -> Option<Misfit> {
    let is_labelled = lines.iter().any(|(_, text)| label(text) == Some("prompt"))
        && lines.iter().any(|(_, text)| label(text).is_some_and(|label| label != "prompt"));
    lines.iter().enumerate().find_map(|(index, &(line, text))| {
        let next = lines.get(index + 1).map(|(_, next)| *next);
        let kind = kind_of(text).or_else(|| {
            if is_heading(text, index == 0, next) {
                Some(HEADING)
            } else {
                (is_labelled && label(text).is_some()).then_some(LABELLED)
            }
        });
        kind.map(|(message, hint)| Misfit::new(line, message, hint))
    })
}

/// The message and the hint for a kind of line.
type Kind = (&'static str, &'static str);

/// A predicate that recognises a kind of line, and its message and hint.
type Check = (fn(&str) -> bool, Kind);

const HEADING: Kind = (
    "this is a heading, or the key of a list as in YAML",
    "remove the line; sed -n 's/^ *- //p' FILE | reel batch - takes the items of a list without their dashes",
);
const LABELLED: Kind = ("this line is one of several that describe one picture", OBJECT);
const PARAMETERS: Kind = ("this line holds the parameters of a picture", OBJECT);
const SEPARATOR: Kind = ("this line only separates parts of a document", "remove the line");
const MARKDOWN_TABLE: Kind = (
    "this is a Markdown table",
    "write a prompt alone on each line, or save the table as CSV with a column `prompt`",
);
const MARKUP: Kind =
    ("this is a document and not plain text", "save it as plain text, a prompt on each line");
const ASSIGNMENT: Kind = ("this is a line of a program or a configuration file", OBJECT);
const OBJECT: &str =
    r#"write one object a line: {"prompt": "a lighthouse", "negative_prompt": "people", "style": "ink"}"#;
const ARRAY: Kind = ("this is a JSON array, and a line is one prompt", "jq -c '.[]' FILE | reel batch -");
const PART: Kind = (
    "this is a part of a JSON text, and a line is one prompt or one whole object",
    "jq -c . FILE | reel batch - writes an object to a line; jq -c '.[]' where FILE is an array",
);
const SUBTITLE: Kind = (
    "this is a line of subtitles",
    "grep -vE -e '-->|^[0-9[:space:]]*$|^WEBVTT' FILE | reel batch - takes their texts without the numbers and times",
);
const FENCE: Kind =
    ("this line begins or ends a Markdown code block", "remove the lines that begin with ``` or ~~~");
const COMMENT: Kind = (
    "this is a comment or a heading",
    r##"remove it; a prompt that begins so is written {"prompt": "# ..."}"##,
);
const OPTIONS: Kind = (
    "this line has options of a command",
    r#"write {"prompt": "a lighthouse", "negative_prompt": "people", "width": 1024, "height": 768}"#,
);

fn kind_of(text: &str) -> Option<Kind> {
    if text.starts_with("```") || text.starts_with("~~~") {
        return Some(FENCE);
    }
    let checks: [Check; 8] = [
        (is_subtitle_time, SUBTITLE),
        (is_comment, COMMENT),
        (is_options, OPTIONS),
        (is_separator, SEPARATOR),
        (is_markdown_row, MARKDOWN_TABLE),
        (is_markup, MARKUP),
        (is_parameters, PARAMETERS),
        (is_assignment, ASSIGNMENT),
    ];
    if let Some((_, kind)) = checks.iter().find(|(is_of, _)| is_of(text)) {
        return Some(*kind);
    }
    if text.starts_with('[') && is_array(text) {
        return Some(ARRAY);
    }
    is_part_of_json(text).then_some(PART)
}

/// Whether a line is a comment or a heading: `# words`, `## words`, `#` alone, or `// words`. A hash before a letter is a hashtag, which a prompt may
/// start with.
fn is_comment(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix("//") {
        return rest.is_empty() || rest.starts_with(char::is_whitespace);
    }
    let rest = text.trim_start_matches('#');
    rest.len() < text.len() && (rest.is_empty() || rest.starts_with(char::is_whitespace))
}

/// Whether a line is the time of a subtitle, such as `00:00:01,000 --> 00:00:04,000`.
fn is_subtitle_time(text: &str) -> bool {
    let is_time = |part: &str| {
        let time = part.split_whitespace().next().unwrap_or_default();
        time.contains(':') && time.chars().all(|letter| letter.is_ascii_digit() || ":,.".contains(letter))
    };
    text.split_once("-->").is_some_and(|(from, upto)| is_time(from) && is_time(upto))
}

/// Whether a line is a list of options, such as `--prompt "a lighthouse" --steps 20`.
fn is_options(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()))
}

/// Whether a line is a separator, such as `---`, `***` or `====`.
fn is_separator(text: &str) -> bool {
    let first = text.chars().next().unwrap_or_default();
    text.len() >= 3 && "-*=_~.+".contains(first) && text.chars().all(|letter| letter == first)
}

/// Whether a line is a row of a Markdown table, such as `| prompt | style |`.
fn is_markdown_row(text: &str) -> bool {
    text.len() > 2 && text.starts_with('|') && text.ends_with('|')
}

/// Whether a line is HTML, XML or RTF. `<lora:x:0.8>` is not, as it is a part of a prompt.
fn is_markup(text: &str) -> bool {
    let lower = text.get(..text.len().min(16)).unwrap_or(text).to_ascii_lowercase();
    if ["<?xml", "<!doctype", "<html", "{\\rtf"].iter().any(|begin| lower.starts_with(begin)) {
        return true;
    }
    let tag = text.strip_prefix('<').and_then(|rest| rest.split(['>', ' ']).next()).unwrap_or_default();
    let is_tag =
        tag.trim_matches('/').chars().all(|letter| letter.is_ascii_alphanumeric()) && !tag.is_empty();
    is_tag
        && text.ends_with('>')
        && (tag.starts_with('/') || text.contains("</") || text.len() == tag.len() + 2)
}

/// Whether a line has parameters as other tools write them below a prompt, such as `Negative prompt: people` or `Steps: 20, Sampler: Euler`.
fn is_parameters(text: &str) -> bool {
    let is_steps =
        text.strip_prefix("Steps: ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    is_steps || label(text) == Some("negative_prompt") || text.strip_prefix("- ").is_some_and(is_item)
}

/// Whether a text starts like an item of a YAML list, such as `prompt: a lighthouse`.
fn is_item(text: &str) -> bool {
    ["prompt:", "name:", "negative_prompt:"].iter().any(|key| text.starts_with(key))
}

/// Whether a line is an assignment, such as `prompts = [` or `prompt = "a lighthouse"`.
fn is_assignment(text: &str) -> bool {
    let text = ["const ", "let ", "var "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
    text.split_once('=').is_some_and(|(name, value)| {
        let name = name.trim();
        let is_name =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        is_name && value.trim_start().starts_with(['"', '\'', '[', '{'])
    })
}

/// Whether a line ends with a colon and is the first line, such as `Here are ten prompts:`, or is followed by an item of a list.
fn is_heading(text: &str, is_first: bool, next: Option<&str>) -> bool {
    let Some(next) = next.filter(|_| text.ends_with([':', '：'])) else { return false };
    let digits = next.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let is_numbered = digits.len() < next.len() && digits.starts_with(['.', ')']);
    is_first || is_numbered || ["- ", "* ", "• "].iter().any(|mark| next.starts_with(mark))
}

/// Returns the field that a line of the form `field: value` names.
fn label(text: &str) -> Option<&'static str> {
    const LABELS: [&str; 8] =
        ["prompt", "negative_prompt", "style", "width", "height", "seed", "steps", "size"];
    let (name, value) = text.split_once(':')?;
    let name = name.trim().to_ascii_lowercase().replace(' ', "_");
    LABELS.into_iter().find(|label| *label == name && !value.trim().is_empty())
}

/// Whether a line is an array of strings or objects. `[masterpiece] a lighthouse` is a prompt, and so is `[1]`.
fn is_array(text: &str) -> bool {
    serde_json::from_str::<Vec<Value>>(text.trim_end_matches(','))
        .is_ok_and(|values| values.iter().all(|value| value.is_string() || value.is_object()))
}

/// Whether a line is a part of a JSON text: only brackets and commas, `"key": …`, or an array element such as `"text",` or `'text',`.
fn is_part_of_json(text: &str) -> bool {
    if text.len() > 3 && text.starts_with('\'') && text.ends_with("',") {
        return true;
    }
    if text.chars().all(|character| "[]{},".contains(character)) {
        return true;
    }
    let Some(rest) = text.strip_prefix('"') else { return false };
    let mut quoted = rest.splitn(2, '"').skip(1).map(str::trim);
    quoted.next().is_some_and(|behind| {
        behind == "," || behind.strip_prefix(':').is_some_and(|value| is_value(value.trim()))
    })
}

/// Whether a text can follow a key in JSON, such as `"text",`, `7` or `{`. In the prompt `"Home": a painting`, the rest cannot.
fn is_value(text: &str) -> bool {
    let text = text.trim_end_matches(',').trim_end();
    matches!(text, "" | "{" | "[") || serde_json::from_str::<Value>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(usize, String)> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let lines: Vec<_> = lines.filter(|(_, line)| !line.is_empty()).collect();
        misfit(&lines).map(|misfit| (misfit.line, misfit.message))
    }

    #[test]
    fn what_tools_write_that_make_no_list_of_prompts_is_recognised() {
        for (text, line, (message, _)) in [
            ("[\"a lighthouse\",\"ink\"]\n[\"a harbour\",\"oil\"]", 1, ARRAY),
            ("a\n[{\"prompt\":\"a\"}]", 2, ARRAY),
            ("[\n  \"a lighthouse\",\n  \"a harbour\",\n]", 1, PART),
            ("a\n\"a lighthouse\",", 2, PART),
            ("a\n'a lighthouse',\n'b',", 2, PART),
            ("{\n  \"prompt\": \"a\",\n}", 1, PART),
            ("a\n\"prompt\": \"a lighthouse\",", 2, PART),
            ("a\n\"width\": 7", 2, PART),
            ("```json\n{\"prompt\":\"a\"}\n```", 1, FENCE),
            ("a\n~~~", 2, FENCE),
            ("a\n# harbours", 2, COMMENT),
            ("## Shots", 1, COMMENT),
            ("#", 1, COMMENT),
            ("1\n00:00:01,000 --> 00:00:04,000\nThe lamp.", 2, SUBTITLE),
            ("WEBVTT\n\n00:01.000 --> 00:04.000 align:start\nThe lamp.", 3, SUBTITLE),
            ("// the first scene\na", 1, COMMENT),
            ("--prompt \"a lighthouse\" --steps 20", 1, OPTIONS),
            ("prompts:\n  - a cat\n  - a dog", 1, HEADING),
            ("a\nScene 2:\n* a cat", 2, HEADING),
            ("Here are ten prompts:\n\n1. A lighthouse\n2. A harbour", 1, HEADING),
            ("以下是提示词：\n灯塔\n港口", 1, HEADING),
            ("- prompt: a cat\n  style: ink", 1, PARAMETERS),
            ("prompt: a cat\nstyle: ink\n", 1, LABELLED),
            ("a cat\nNegative prompt: people\nSteps: 20, Sampler: Euler a, Size: 512x512", 2, PARAMETERS),
            ("a cat\nSteps: 20, Sampler: Euler a, Size: 512x512", 2, PARAMETERS),
            ("---\na cat", 1, SEPARATOR),
            ("a cat\n***\na dog", 2, SEPARATOR),
            ("| prompt | style |\n|---|---|\n| a cat | ink |", 1, MARKDOWN_TABLE),
            ("<?xml version=\"1.0\"?>\n<prompts>", 1, MARKUP),
            ("<!DOCTYPE html>", 1, MARKUP),
            ("a\n<li>a cat</li>", 2, MARKUP),
            ("<ul>\n<li>a cat</li>", 1, MARKUP),
            ("{\\rtf1\\ansi a cat}", 1, MARKUP),
            ("prompts = [\n\"a cat\",\n]", 1, ASSIGNMENT),
            ("prompt = \"a cat\"", 1, ASSIGNMENT),
            ("const prompts = ['a cat']", 1, ASSIGNMENT),
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
            "<lora:x:0.8> a lighthouse",
            "<lora:x:0.8>",
            "<3 hearts, a valentine's card",
            "#sunset at the beach",
            "#1 fan poster",
            "\"Hope\", painted on a wall",
            "\"Home\": a painting",
            "\"a lighthouse\"",
            "'Hope', painted on a wall",
            "-- a dash",
            "1. a lighthouse\n2. a harbour",
            "- a lighthouse\n- a harbour",
            "* a lighthouse\n* a harbour",
            "a lighthouse - dusk - rain",
            "Title: The Sea; a book's cover",
            "Scene 1: a lighthouse at dusk\nScene 2: a harbour",
            "Style: watercolor, a lighthouse\nStyle: oil, a harbour",
            "Prompt: a lighthouse\nPrompt: a harbour",
            "model: a woman in a red dress",
            "a clock that shows 12:30\nanother one",
            "a lighthouse\na sign that reads:",
            "a lighthouse\na sign that reads:\na harbour",
            "morning --> night, a time lapse",
            "E = mc² on a blackboard\nx = 7, chalk",
            "a|b",
            "...and then the rain, oil on canvas",
            "— a dash in front",
            "https://example.org/cat.png as a painting",
            "steps: a staircase in Lisbon",
            "灯台,夕暮れ\n「灯台」：夕暮れ",
            "🌊🌊🌊",
            "???",
            "c:\\windows in neon",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
