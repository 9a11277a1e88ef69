//! Reads files that are JSON as a whole: an array of prompts or objects, or a sequence of objects that may span several lines. Pure.

use serde_json::{Deserializer, Map, Value, value::RawValue};

use super::{
    entry::{Content, Entry},
    text::LineCounter,
};

/// Returns the entries of a JSON text. None for any other text, and for JSON with values that are neither prompts nor objects.
pub fn entries(text: &str) -> Option<Vec<Entry>> {
    let start =
        text.trim_start_matches(|character: char| character.is_whitespace() || character == '\u{feff}');
    if !start.starts_with(['[', '{']) {
        return None;
    }
    let values: Vec<&RawValue> = Deserializer::from_str(start).into_iter().collect::<Result<_, _>>().ok()?;
    let elements = match values.as_slice() {
        [only] => elements_of(only),
        _ => None,
    };
    // Only a single array is expanded. Several arrays would be rows of a table, and not all their cells are prompts.
    let contents: Vec<(&RawValue, Content)> = elements
        .unwrap_or(values)
        .into_iter()
        .map(|raw| Some((raw, content(raw)?)))
        .collect::<Option<_>>()?;
    if contents.is_empty() {
        return None;
    }
    let mut counter = LineCounter::new(text);
    let begin = text.as_ptr().addr();
    let lines: Vec<usize> = contents
        .iter()
        .map(|(raw, _)| counter.line_of(raw.get().as_ptr().addr().saturating_sub(begin)))
        .collect();
    // An entry's number is given only if some line has several entries. Otherwise the line identifies the entry.
    let is_shared = lines.windows(2).any(|pair| matches!(pair, [first, second] if first == second));
    let located = lines.into_iter().zip(contents).enumerate().map(|(index, (line, (_, content)))| Entry {
        line,
        place: is_shared.then_some(index + 1),
        content,
    });
    Some(located.collect())
}

/// Returns the elements of an array, or of the array in an object whose only field is `prompts`.
fn elements_of(value: &RawValue) -> Option<Vec<&RawValue>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Prompts<'a> {
        #[serde(borrow)]
        prompts: Vec<&'a RawValue>,
    }
    serde_json::from_str::<Vec<&RawValue>>(value.get())
        .ok()
        .or_else(|| serde_json::from_str::<Prompts<'_>>(value.get()).ok().map(|object| object.prompts))
}

fn content(raw: &RawValue) -> Option<Content> {
    if raw.get().starts_with('{') {
        return serde_json::from_str::<Map<String, Value>>(raw.get()).ok().map(Content::Fields);
    }
    serde_json::from_str(raw.get()).ok().map(Content::Prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Vec<(usize, String)>> {
        let shown = |content| match content {
            Content::Prompt(prompt) => prompt,
            Content::Fields(fields) => Value::Object(fields).to_string(),
        };
        Some(entries(text)?.into_iter().map(|entry| (entry.line, shown(entry.content))).collect())
    }

    #[test]
    fn arrays_and_objects_are_read_wherever_their_lines_end() {
        for (text, expected) in [
            (r#"["a lighthouse", "a harbour, dusk"]"#, &[(1, "a lighthouse"), (1, "a harbour, dusk")][..]),
            ("\u{feff}\n[\r\n  \"a\",\r\n  \"b\"\r\n]\r\n", &[(3, "a"), (4, "b")]),
            (r#"[{"prompt":"a"},"b"]"#, &[(1, r#"{"prompt":"a"}"#), (1, "b")]),
            ("{\n \"prompts\": [\"a\",\n\"b\"]}", &[(2, "a"), (3, "b")]),
            (
                "{\n \"prompt\": \"a\"\n}\n{\n \"prompt\": \"b\"\n}",
                &[(1, r#"{"prompt":"a"}"#), (4, r#"{"prompt":"b"}"#)],
            ),
        ] {
            let expected: Vec<_> = expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_json_as_a_whole() {
        for text in [
            "",
            "a lighthouse",
            "\"a lighthouse\"",
            "[]",
            "[1]",
            "[[\"a\"]]",
            "[\"a\", \"ink\"]\n[\"b\", \"oil\"]",
            "[\"a\",]",
            "[masterpiece] a lighthouse",
            "{red|blue} car",
            "{\"prompt\":\"a\"}\na harbour",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
