//! Finds the JSON object in a model's answer: behind its thoughts, in code fences, and between words.

use serde_json::{Map, Value};

/// Most places at which an object may begin that are tried.
const MOST_STARTS: usize = 200;

/// Why an answer has no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoObject {
    /// It ends inside an object, so it was probably cut.
    Cut,
    /// It has none.
    Missing,
}

/// Returns the first object of the answer that has the field `wanted`. Thoughts between `<think>` and `</think>` do not count.
pub(super) fn object(answer: &str, wanted: &str) -> Result<Map<String, Value>, NoObject> {
    let answer = without_thoughts(answer);
    let mut is_cut = false;
    let starts = answer.char_indices().filter(|(_, character)| *character == '{').map(|(at, _)| at);
    let mut after = 0;
    for at in starts.take(MOST_STARTS) {
        // Objects inside one that was read are parts of it.
        if at < after {
            continue;
        }
        let mut values =
            serde_json::Deserializer::from_str(answer.get(at..).unwrap_or_default()).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(object))) if object.contains_key(wanted) => return Ok(object),
            Some(Ok(_)) => after = at + values.byte_offset(),
            Some(Err(error)) => is_cut |= error.is_eof() && names(answer.get(at..), wanted),
            None => {}
        }
    }
    Err(if is_cut { NoObject::Cut } else { NoObject::Missing })
}

fn names(text: Option<&str>, wanted: &str) -> bool {
    text.is_some_and(|text| text.contains(&format!("\"{wanted}\"")))
}

/// Returns the text behind the last thought. A thought that does not end leaves nothing.
pub(super) fn without_thoughts(answer: &str) -> &str {
    let rest = answer.rsplit_once("</think>").map_or(answer, |(_, rest)| rest);
    rest.split_once("<think>").map_or(rest, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_in_what_models_write_around_it() {
        let good = r#"{"shots":[{"from":1}]}"#;
        for answer in [
            good.to_owned(),
            format!("<think>let me {{plan}} {{\"shots\": 1}}</think>\n{good}"),
            format!("```json\n{good}\n```\nI hope that helps!"),
            format!("Here is {{what}} you asked for: {good}"),
            format!("{{\"note\": {{\"a\": 1}}}} {good}"),
        ] {
            assert_eq!(Value::Object(object(&answer, "shots").unwrap()).to_string(), good, "{answer}");
        }
        for (answer, why) in [
            ("", NoObject::Missing),
            ("I cannot do that.", NoObject::Missing),
            ("{\"other\": 1}", NoObject::Missing),
            ("<think>{\"shots\":[]}", NoObject::Missing),
            ("{\"shots\":[{\"from\":1,\"to\":", NoObject::Cut),
            ("{\"shots\":[{\"from\":1},, ]}", NoObject::Missing),
        ] {
            assert_eq!(object(answer, "shots"), Err(why), "{answer}");
        }
    }
}
