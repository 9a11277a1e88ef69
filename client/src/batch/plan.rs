//! Plans a batch: the file and the request of each line, and whether the file exists already. Pure.

use std::collections::HashMap;

use reel_protocol::{Digest, JsonText};
use serde_json::Value;

use super::{
    input::Line,
    other::{Other, PICTURE, media_type},
    record::Entry,
};
use crate::{naming, picture_format::PictureFormat, slug::slug_or};

/// One line of the input, with its request and its file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The number of the line in the input.
    pub line: usize,
    /// The kind of the task, `service.method`.
    pub kind: String,
    /// The file's name without its extension, such as `003-a-lighthouse`.
    pub stem: String,
    /// The extension that the line asks for. None if it follows the format of the received picture.
    pub ending: Option<String>,
    /// The title that the bar shows.
    pub title: String,
    /// The label of the task, if the line has one.
    pub name: Option<String>,
    /// The params of its kind, without empty fields.
    pub params: JsonText,
    /// The digest of the kind, the params and the provider. Equal requests have the same digest.
    pub request: Digest,
}

impl Item {
    /// Returns the name of the file for a result of this media type.
    pub fn file(&self, media_type: &str) -> String {
        self.with_ending(self.ending.as_deref().unwrap_or_else(|| naming::extension(media_type)))
    }

    /// Returns the most likely name of the file, before the media type of the result is known.
    pub fn expected_file(&self) -> String {
        self.file(media_type(&self.kind))
    }

    /// Returns every name that the file may have. A picture that cannot be converted has the extension of its own format.
    pub fn candidates(&self) -> Vec<String> {
        let wanted = self.ending.as_deref();
        let others = naming::endings().filter(|ending| wanted != Some(ending));
        let named = wanted.map(|ending| self.with_ending(ending));
        named.into_iter().chain(others.map(|ending| self.with_ending(ending))).collect()
    }

    /// Whether a file with this extension can answer the item.
    pub fn takes(&self, ending: &str) -> bool {
        self.ending
            .as_ref()
            .is_none_or(|wanted| PictureFormat::of_ending(wanted) == PictureFormat::of_ending(ending))
    }

    fn with_ending(&self, ending: &str) -> String {
        format!("{}.{ending}", self.stem)
    }
}

/// An existing file with one of the names of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// The file's entry in the record; None if no batch wrote the file, or if it was changed.
    pub entry: Option<&'a Entry>,
}

/// What to do for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Do nothing. A batch wrote this file for the same request.
    Keep(String),
    /// Make it. Its name is free.
    Make,
    /// Make it and replace the existing files. The field is the one of them that a batch wrote, if any.
    Replace(Option<String>),
    /// Fail the line, because this file exists and no batch wrote it.
    Refuse(String),
}

/// Makes the items of the lines, in their order.
pub fn plan(lines: Vec<Line>, provider: Option<&str>) -> Result<Vec<Item>, serde_json::Error> {
    let digits = lines.len().to_string().len().max(3);
    let mut samples: HashMap<Digest, u32> = HashMap::new();
    lines
        .into_iter()
        .enumerate()
        .map(|(index, mut line)| {
            // Equal lines get different pictures: the second one gets sample 1, and so on.
            let stem_name = line.name.clone().map(|name| {
                if let Some(other) = &mut line.other {
                    return (other.take_ending(&name).to_owned(), None);
                }
                let (stem, ending) = naming::split_picture_ending(&name);
                (stem.to_owned(), ending)
            });
            let kind = line.other.as_ref().map_or(PICTURE, |other| &other.kind).to_owned();
            if !line.has_sample {
                let sample = samples.entry(request_of(&kind, &canonical(&line)?, provider)).or_insert(0);
                line.set_sample(*sample);
                *sample += 1;
            }
            let params = canonical(&line)?;
            let words = line.other.as_ref().map_or_else(|| line.params.prompt.clone(), Other::title);
            let (title, ending) = stem_name.unwrap_or_else(|| (words.clone(), None));
            Ok(Item {
                line: line.number,
                stem: format!(
                    "{:0digits$}-{}",
                    index + 1,
                    slug_or(&title, naming::plain_name(naming::extension(media_type(&kind))))
                ),
                ending,
                request: request_of(&kind, &params, provider),
                kind,
                params,
                title: line.name.clone().unwrap_or(words),
                name: line.name,
            })
        })
        .collect()
}

/// Decides what to do for an item. `present` are the existing files with one of its names. A recorded file that answers the request is kept, whatever
/// other files exist.
pub fn step(item: &Item, present: &[Present<'_>], is_forced: bool, is_fresh: bool) -> Step {
    let ours = present.iter().find(|file| file.entry.is_some_and(|entry| entry.request == item.request));
    if let (Some(ours), false) = (ours, is_fresh) {
        return Step::Keep(ours.file.to_owned());
    }
    if let (Some(stranger), false) = (present.iter().find(|file| file.entry.is_none()), is_forced) {
        return Step::Refuse(stranger.file.to_owned());
    }
    let ours = ours.or_else(|| present.iter().find(|file| file.entry.is_some()));
    if present.is_empty() { Step::Make } else { Step::Replace(ours.map(|file| file.file.to_owned())) }
}

impl Line {
    /// Sets the sample number, so that equal lines get different results. The first one keeps its request unchanged.
    fn set_sample(&mut self, sample: u32) {
        match &mut self.other {
            Some(other) if sample > 0 => drop(other.params.insert("sample".to_owned(), sample.into())),
            Some(_) => {}
            None => self.params.sample = sample,
        }
    }
}

/// Serializes the params without nulls and empty lists. So a field that a later version adds does not change the digests of requests without it.
fn canonical(line: &Line) -> Result<JsonText, serde_json::Error> {
    let mut value = match &line.other {
        Some(other) => Value::Object(other.params.clone()),
        None => serde_json::to_value(&line.params)?,
    };
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null() && !field.as_array().is_some_and(Vec::is_empty));
    }
    JsonText::from_value(&value).map_err(serde::ser::Error::custom)
}

fn request_of(kind: &str, params: &JsonText, provider: Option<&str>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    // For pictures the kind is left out, as in the records of earlier versions, which have only pictures.
    if kind != PICTURE {
        hasher.update(kind.as_bytes());
        hasher.update(b"\0");
    }
    hasher.update(params.as_str().as_bytes());
    // No JSON text contains a zero byte, so it separates the two parts unambiguously.
    hasher.update(b"\0");
    hasher.update(provider.unwrap_or_default().as_bytes());
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Defaults, Input, Reading};

    fn planned(text: &str, provider: Option<&str>) -> Vec<Item> {
        plan(Input::read(text.as_bytes(), &Defaults::default(), &Reading::Guarded).unwrap().lines, provider)
            .unwrap()
    }

    #[test]
    fn files_follow_the_lines_and_grow_digits_when_there_are_many() {
        let items = planned("A lighthouse\n\n灯台\n{\"prompt\":\"x\",\"name\":\"Shot 3\"}", None);
        let files: Vec<_> = items.iter().map(|item| (item.line, item.expected_file())).collect();
        let expected = [(1, "001-a-lighthouse.png"), (3, "002-灯台.png"), (4, "003-shot-3.png")];
        assert_eq!(files, expected.map(|(line, file)| (line, file.to_owned())));
        let many = planned(&"x\n".repeat(1000), None);
        assert_eq!(many.last().unwrap().stem, "1000-x");
        assert_eq!(many.first().unwrap().stem, "0001-x");
    }

    #[test]
    fn the_ending_follows_the_picture_unless_the_line_names_one() {
        let items = planned("a harbour.png\n{\"prompt\":\"x\",\"name\":\"Shot 3.JPEG\"}", None);
        assert_eq!(items[0].file("image/jpeg"), "001-a-harbour-png.jpg");
        assert_eq!(items[1].file("image/png"), "002-shot-3.jpeg");
        assert!(items[0].takes("webp") && items[1].takes("jpg") && !items[1].takes("png"));
        assert_eq!(items[1].candidates().first().unwrap(), "002-shot-3.jpeg");
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
        let digest = Digest::from_bytes([1; 32]);
        let entry = |request| Entry { request, digest, lines: None };
        let (same, older) = (entry(item.request), entry(Digest::from_bytes([2; 32])));
        let (png, jpg) = ("001-a.png", "001-a.jpg");
        let keep = |file: &str| Step::Keep(file.to_owned());
        let replace = |file: &str| Step::Replace(Some(file.to_owned()));
        let refuse = |file: &str| Step::Refuse(file.to_owned());
        for (present, is_forced, is_fresh, expected) in [
            (vec![], false, false, Step::Make),
            (vec![(png, Some(&same))], false, false, keep(png)),
            (vec![(png, Some(&same))], true, false, keep(png)),
            (vec![(png, Some(&same))], false, true, replace(png)),
            (vec![(png, Some(&older))], false, false, replace(png)),
            (vec![(jpg, Some(&same))], false, false, keep(jpg)),
            (vec![(jpg, Some(&older))], false, false, replace(jpg)),
            (vec![(png, None)], false, false, refuse(png)),
            (vec![(png, None)], true, false, Step::Replace(None)),
            (vec![(png, None)], false, true, refuse(png)),
            (vec![(png, None), (jpg, Some(&same))], false, false, keep(jpg)),
            (vec![(png, None), (jpg, Some(&older))], false, false, refuse(png)),
            (vec![(png, None), (jpg, Some(&older))], true, false, replace(jpg)),
        ] {
            let present: Vec<_> = present.into_iter().map(|(file, entry)| Present { file, entry }).collect();
            assert_eq!(step(item, &present, is_forced, is_fresh), expected, "{present:?}");
        }
    }
}
