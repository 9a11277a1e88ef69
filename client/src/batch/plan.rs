//! What a batch has to do: the file and the request of each line, and whether the file is already there.

use std::collections::HashMap;

use reel_protocol::{Digest, JsonText};
use serde_json::Value;

use super::{input::Line, record::Entry};
use crate::slug::slug;

/// One line, as it will be asked for and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number in the input.
    pub line: usize,
    /// Its file's name.
    pub file: String,
    /// What people call it.
    pub title: String,
    /// Its label, if the line gives one.
    pub name: Option<String>,
    /// The params of `image.generate`, without what is absent.
    pub params: JsonText,
    /// A digest of everything that is asked: the same request has the same.
    pub request: Digest,
}

/// What is to be done for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: its file is there, and ours.
    Keep,
    /// Have it made, to a name that is free.
    Make,
    /// Have it made in place of what is there.
    Replace,
    /// Fail it: what is there is not ours.
    Refuse,
}

/// The items of the lines, in their order.
pub fn plan(lines: Vec<Line>, provider: Option<&str>) -> Result<Vec<Item>, serde_json::Error> {
    let digits = lines.len().to_string().len().max(3);
    let mut samples: HashMap<Digest, u32> = HashMap::new();
    lines
        .into_iter()
        .enumerate()
        .map(|(index, mut line)| {
            // Equal lines shall be different pictures: the second gets sample 1, and so on.
            if !line.has_sample {
                let sample = samples.entry(request_of(&canonical(&line)?, provider)).or_insert(0);
                line.params.sample = *sample;
                *sample += 1;
            }
            let params = canonical(&line)?;
            let title = line.name.clone().unwrap_or_else(|| line.params.prompt.clone());
            Ok(Item {
                line: line.number,
                file: format!("{:0digits$}-{}.png", index + 1, slug(&title)),
                request: request_of(&params, provider),
                params,
                title,
                name: line.name,
            })
        })
        .collect()
}

/// What to do about one item: `entry` is what the record says of its file, `found` the digest of what is there.
pub fn step(
    item: &Item,
    entry: Option<&Entry>,
    found: Option<Digest>,
    is_forced: bool,
    is_fresh: bool,
) -> Step {
    let Some(found) = found else { return Step::Make };
    match entry.filter(|entry| entry.digest == found) {
        Some(entry) if entry.request == item.request && !is_fresh => Step::Keep,
        Some(_) => Step::Replace,
        None if is_forced => Step::Replace,
        None => Step::Refuse,
    }
}

/// The params without nulls and empty lists: a field that a later version adds does not change the requests that lack it.
fn canonical(line: &Line) -> Result<JsonText, serde_json::Error> {
    let mut value = serde_json::to_value(&line.params)?;
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null() && !field.as_array().is_some_and(Vec::is_empty));
    }
    JsonText::from_value(&value).map_err(serde::ser::Error::custom)
}

fn request_of(params: &JsonText, provider: Option<&str>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(params.as_str().as_bytes());
    // No JSON text holds a zero byte, so the two parts cannot run into each other.
    hasher.update(b"\0");
    hasher.update(provider.unwrap_or_default().as_bytes());
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Defaults, read_lines};

    fn planned(text: &str, provider: Option<&str>) -> Vec<Item> {
        plan(read_lines(text.as_bytes(), &Defaults::default()).unwrap(), provider).unwrap()
    }

    #[test]
    fn files_follow_the_lines_and_grow_digits_when_there_are_many() {
        let items = planned("A lighthouse\n\n灯台\n{\"prompt\":\"x\",\"name\":\"Shot 3\"}", None);
        let files: Vec<_> = items.iter().map(|item| (item.line, item.file.as_str())).collect();
        assert_eq!(files, [(1, "001-a-lighthouse.png"), (3, "002-灯台.png"), (4, "003-shot-3.png")]);
        let many = planned(&"x\n".repeat(1000), None);
        assert_eq!(many.last().unwrap().file, "1000-x.png");
        assert_eq!(many.first().unwrap().file, "0001-x.png");
    }

    #[test]
    fn equal_lines_are_different_pictures_and_equal_runs_the_same() {
        let items = planned("a\nb\na\n{\"prompt\":\"a\"}\n{\"prompt\":\"a\",\"sample\":1}", None);
        let samples: Vec<u64> = items
            .iter()
            .map(|item| item.params.decode::<Value>().unwrap()["sample"].as_u64().unwrap())
            .collect();
        assert_eq!(samples, [0, 0, 1, 2, 1]);
        assert_eq!(items[2].request, items[4].request);
        assert_ne!(items[0].request, items[2].request);
        assert_eq!(items, planned("a\nb\na\n{\"prompt\":\"a\"}\n{\"prompt\":\"a\",\"sample\":1}", None));
        assert_ne!(items[0].request, planned("a", Some("studio"))[0].request);
    }

    #[test]
    fn only_what_is_ours_and_unchanged_is_kept() {
        let item = &planned("a", None)[0];
        let (ours, other) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let same = Entry { request: item.request, digest: ours };
        let older = Entry { request: other, digest: ours };
        for (entry, found, is_forced, is_fresh, expected) in [
            (None, None, false, false, Step::Make),
            (Some(&same), None, false, false, Step::Make),
            (Some(&same), Some(ours), false, false, Step::Keep),
            (Some(&same), Some(ours), true, false, Step::Keep),
            (Some(&same), Some(ours), false, true, Step::Replace),
            (Some(&older), Some(ours), false, false, Step::Replace),
            (Some(&same), Some(other), false, false, Step::Refuse),
            (Some(&same), Some(other), true, false, Step::Replace),
            (None, Some(ours), false, true, Step::Refuse),
            (None, Some(ours), true, false, Step::Replace),
        ] {
            assert_eq!(step(item, entry, found, is_forced, is_fresh), expected, "{entry:?} {found:?}");
        }
    }
}
