//! What a batch has to do: the file and the request of each line, and whether the file is already there. Pure.

use std::collections::HashMap;

use reel_protocol::{Digest, JsonText};
use serde_json::Value;

use super::{
    input::Line,
    other::{Other, PICTURE, media_type},
    record::Entry,
};
use crate::{form::Form, naming, slug::slug_or};

/// One line, as it will be asked for and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its number in the input.
    pub line: usize,
    /// `service.method`.
    pub kind: String,
    /// Its file's name without an ending, such as `003-a-lighthouse`.
    pub stem: String,
    /// The ending that the line asks for; None where it follows the form of the picture that the provider sends.
    pub ending: Option<String>,
    /// What people call it.
    pub title: String,
    /// Its label, if the line gives one.
    pub name: Option<String>,
    /// The params of its kind, without what is absent.
    pub params: JsonText,
    /// A digest of everything that is asked: the same request has the same.
    pub request: Digest,
}

impl Item {
    /// The name of its file for a picture of this media type.
    pub fn file(&self, media_type: &str) -> String {
        self.with_ending(self.ending.as_deref().unwrap_or_else(|| naming::extension(media_type)))
    }

    /// Its file's name while the form of its picture is not known.
    pub fn expected_file(&self) -> String {
        self.file(media_type(&self.kind))
    }

    /// Every name that its file may have: a picture that cannot be converted has the ending of its own form.
    pub fn candidates(&self) -> Vec<String> {
        let wanted = self.ending.as_deref();
        let others = naming::endings().filter(|ending| wanted != Some(ending));
        let named = wanted.map(|ending| self.with_ending(ending));
        named.into_iter().chain(others.map(|ending| self.with_ending(ending))).collect()
    }

    /// Whether a file with this name may become its file under its stem.
    pub fn takes(&self, ending: &str) -> bool {
        self.ending.as_ref().is_none_or(|wanted| Form::of_ending(wanted) == Form::of_ending(ending))
    }

    fn with_ending(&self, ending: &str) -> String {
        format!("{}.{ending}", self.stem)
    }
}

/// A file that has one of the names of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present<'a> {
    /// Its name.
    pub file: &'a str,
    /// What the record knows of it: None where no batch made it, or where it was changed.
    pub entry: Option<&'a Entry>,
}

/// What is to be done for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: this file is there, and ours.
    Keep(String),
    /// Have it made, to a name that is free.
    Make,
    /// Have it made in place of what is there; of that, this file is ours.
    Replace(Option<String>),
    /// Fail it: this file is there and not ours.
    Refuse(String),
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

/// What to do about one item, of whose names `present` are taken. A file of ours that answers the request is kept, whatever lies beside.
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
    /// Asks for another one of several equal results. The first one is asked for as it is.
    fn set_sample(&mut self, sample: u32) {
        match &mut self.other {
            Some(other) if sample > 0 => drop(other.params.insert("sample".to_owned(), sample.into())),
            Some(_) => {}
            None => self.params.sample = sample,
        }
    }
}

/// The params without nulls and empty lists: a field that a later version adds does not change the requests that lack it.
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
    // The records of earlier versions know pictures alone.
    if kind != PICTURE {
        hasher.update(kind.as_bytes());
        hasher.update(b"\0");
    }
    hasher.update(params.as_str().as_bytes());
    // No JSON text holds a zero byte, so the two parts cannot run into each other.
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
