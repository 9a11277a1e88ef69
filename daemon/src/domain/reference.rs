//! References to outputs of other tasks. In params, `{"$output": 7, "index": 0}` stands for the digest of an output that task 7 will have. Pure.

use reel_protocol::{Digest, JsonText, MAX_ID, TaskId};
use serde_json::{Map, Value};

/// The field that turns an object into a reference.
const FIELD: &str = "$output";
/// The most references in the params of one task.
const MOST: usize = 64;

/// A reference to an output of another task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The task that produces the output.
    pub task: TaskId,
    /// The index of the output among those of the task, from 0.
    pub index: usize,
}

/// The reason why references in params are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// An object has the field `$output` but is not a valid reference.
    #[error("{0} is no reference to an output")]
    Shape(String),
    /// The params contain too many references.
    #[error("{0} references to outputs are more than {MOST}")]
    TooMany(usize),
}

/// Returns the references in params, in the order in which they occur.
pub fn references(params: &JsonText) -> Result<Vec<Reference>, BadReference> {
    let mut found = Vec::new();
    let mut note = |reference| {
        found.push(reference);
        None
    };
    if let Some(mut value) = with_references(params) {
        replace(&mut value, &mut note)?;
    }
    if found.len() > MOST { Err(BadReference::TooMany(found.len())) } else { Ok(found) }
}

/// Returns the same params with the digests of `outputs` in place of their references, in the same order. None if there are too few digests, or if
/// the params contain no reference.
pub fn resolve(params: &JsonText, outputs: impl IntoIterator<Item = Digest>) -> Option<JsonText> {
    let mut value = with_references(params)?;
    let mut outputs = outputs.into_iter();
    let mut is_whole = true;
    let mut next = |_| {
        let digest = outputs.next();
        is_whole &= digest.is_some();
        digest.map(|digest| Value::String(digest.to_string()))
    };
    replace(&mut value, &mut next).ok()?;
    JsonText::from_value(&value).ok().filter(|_| is_whole)
}

/// Parses the params if they may contain a reference. Most do not, and are not parsed.
fn with_references(params: &JsonText) -> Option<Value> {
    // The dollar sign may be written as an escape sequence, as any character may.
    let text = params.as_str();
    let may_have = text.contains(FIELD) || text.contains("\\u0024");
    may_have.then(|| params.decode().ok()).flatten()
}

fn replace(value: &mut Value, with: &mut impl FnMut(Reference) -> Option<Value>) -> Result<(), BadReference> {
    match value {
        Value::Object(fields) if fields.contains_key(FIELD) => {
            let reference = reference(fields).ok_or_else(|| BadReference::Shape(value.to_string()))?;
            if let Some(new) = with(reference) {
                *value = new;
            }
            Ok(())
        }
        Value::Object(fields) => fields.values_mut().try_for_each(|value| replace(value, with)),
        Value::Array(values) => values.iter_mut().try_for_each(|value| replace(value, with)),
        _ => Ok(()),
    }
}

fn reference(fields: &Map<String, Value>) -> Option<Reference> {
    let task = fields.get(FIELD)?.as_u64().filter(|task| *task <= MAX_ID)?;
    let index = fields.get("index").map_or(Some(0), Value::as_u64)?;
    let is_known = |name: &String| name == FIELD || name == "index";
    let index = usize::try_from(index).ok().filter(|_| fields.keys().all(is_known))?;
    Some(Reference { task: TaskId(task), index })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> JsonText {
        JsonText::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn references_are_found_wherever_they_stand_and_replaced_in_their_order() {
        let params = json(
            r#"{"prompt":"a $output","input_images":[{"$output":7},"00",{"index":1,"\u0024output":9}],"mask":{"$output":7}}"#,
        );
        let found: Vec<_> = references(&params).unwrap().iter().map(|one| (one.task.0, one.index)).collect();
        assert_eq!(found, [(7, 0), (9, 1), (7, 0)]);
        let digests = [1, 2, 3].map(|byte| Digest::from_bytes([byte; 32]));
        let resolved = resolve(&params, digests).unwrap();
        assert_eq!(references(&resolved), Ok(Vec::new()));
        let value: Value = resolved.decode().unwrap();
        assert_eq!(value["input_images"][2], digests[1].to_string());
        assert_eq!(value["mask"], digests[2].to_string());
        assert_eq!(resolve(&params, digests.into_iter().take(2)), None);
        assert_eq!(references(&json(r#"{"prompt":"$output"}"#)), Ok(Vec::new()));
    }

    #[test]
    fn what_only_looks_like_a_reference_is_named() {
        for text in [
            r#"{"mask":{"$output":"7"}}"#,
            r#"{"mask":{"$output":-7}}"#,
            r#"{"mask":{"$output":7,"index":"0"}}"#,
            r#"{"mask":{"$output":7,"indx":0}}"#,
        ] {
            assert!(matches!(references(&json(text)), Err(BadReference::Shape(_))), "{text}");
        }
        let many = format!(r#"{{"input_images":[{}]}}"#, vec![r#"{"$output":1}"#; 65].join(","));
        assert_eq!(references(&json(&many)), Err(BadReference::TooMany(65)));
    }
}
