//! `story.storyboard`: checks the params. Pure.

use std::collections::BTreeSet;

use reel_protocol::{JsonText, StoryCharacter, StoryPlace, StoryboardParams};
use reel_story::{
    director::{Director, Source},
    project::{Character, NARRATOR, Place},
};

use super::{BadParams, voice::is_language};

/// The kind of a task that makes the storyboard of a story.
pub const STORY_STORYBOARD: &str = "story.storyboard";

/// The fields of the params. The error for an unknown field suggests the nearest of them.
const FIELDS: &[&str] =
    &["text", "theme", "language", "shots", "style", "characters", "places", "provider", "budget_usd"];

/// Longest story, in bytes.
const MOST_TEXT_BYTES: usize = 512 * 1024;
/// Longest theme, in bytes.
const MOST_THEME_BYTES: usize = 8 * 1024;
/// Longest description of a character or a place, in bytes.
const MOST_LOOK_BYTES: usize = 4 * 1024;
/// Most characters, and most places.
const MOST_OF_EACH: usize = 40;
const MOST_SHOTS: u32 = 2_000;
/// The largest budget, in US dollars. A larger one is taken for a mistake.
const MOST_USD: f64 = 1e6;

/// Valid params of `story.storyboard`, and the work that they describe.
#[derive(Debug, Clone)]
pub struct StoryboardSpec {
    /// The params as the client sent them.
    pub params: StoryboardParams,
    /// The requests to the model, and the rules for its answers.
    pub director: Director,
}

impl StoryboardSpec {
    /// Reads the params of an accepted task again. The error is a message for people.
    pub fn accepted(params: &JsonText) -> Result<Self, String> {
        check(params).map_err(|bad| bad.message)
    }
}

/// Reads and checks the params.
pub(super) fn check(params: &JsonText) -> Result<StoryboardSpec, BadParams> {
    let params: StoryboardParams =
        params.decode().map_err(|error| BadParams::unreadable(STORY_STORYBOARD, FIELDS, params, &error))?;
    let source = source(&params)?;
    let language = params.language.clone();
    if let Some(language) = language.as_deref().filter(|language| !is_language(language)) {
        let message = format!("language {language:?} is no language tag");
        return Err(BadParams::new(message, "a tag is such as en, de, zh-TW or pt-BR"));
    }
    if let Some(shots) = params.shots.filter(|shots| !(1..=MOST_SHOTS).contains(shots)) {
        return Err(BadParams::new(
            format!("shots {shots} is not from 1 to {MOST_SHOTS}"),
            "leave it out, and the model decides",
        ));
    }
    if let Some(usd) = params.budget_usd.filter(|usd| !(0.0..=MOST_USD).contains(usd)) {
        return Err(BadParams::new(
            format!("budget_usd {usd} is not from 0 to {MOST_USD}"),
            "5 is five US dollars",
        ));
    }
    let mut ids = BTreeSet::new();
    let characters = characters(&params.characters, &mut ids)?;
    let places = places(&params.places, &mut ids)?;
    let language = language.or_else(|| match &source {
        Source::Text(text) => reel_story::language(text).map(str::to_owned),
        Source::Theme(_) => None,
    });
    let director = Director { source, language, shots: params.shots, characters, places };
    Ok(StoryboardSpec { params, director })
}

fn source(params: &StoryboardParams) -> Result<Source, BadParams> {
    let checked = |field: &str, text: &str, most: usize| {
        if text.trim().is_empty() {
            return Err(BadParams::new(format!("{field} is empty"), "send a story as text, or a theme"));
        }
        if text.len() > most {
            let message = format!("{field} has {} bytes; at most {most} are possible", text.len());
            return Err(BadParams::new(
                message,
                "split the story into several, such as one for each chapter",
            ));
        }
        Ok(text.to_owned())
    };
    match (&params.text, &params.theme) {
        (Some(text), None) => Ok(Source::Text(checked("text", text, MOST_TEXT_BYTES)?)),
        (None, Some(theme)) => Ok(Source::Theme(checked("theme", theme, MOST_THEME_BYTES)?)),
        _ => Err(BadParams::new(
            "either text or theme is needed, and not both",
            "send a story as text, or a theme",
        )),
    }
}

fn characters<'a>(
    given: &'a [StoryCharacter],
    ids: &mut BTreeSet<&'a str>,
) -> Result<Vec<Character>, BadParams> {
    check_count(given.len(), "characters")?;
    given
        .iter()
        .map(|StoryCharacter { id, name, look }| {
            check_subject(id, "character", name.len() + look.len(), ids)?;
            let (voice, sheet) = (String::new(), String::new());
            Ok(Character { id: id.clone(), name: name.clone(), look: look.clone(), voice, sheet })
        })
        .collect()
}

fn places<'a>(given: &'a [StoryPlace], ids: &mut BTreeSet<&'a str>) -> Result<Vec<Place>, BadParams> {
    check_count(given.len(), "places")?;
    given
        .iter()
        .map(|StoryPlace { id, look }| {
            check_subject(id, "place", look.len(), ids)?;
            Ok(Place { id: id.clone(), look: look.clone(), sheet: String::new() })
        })
        .collect()
}

fn check_count(count: usize, what: &str) -> Result<(), BadParams> {
    if count <= MOST_OF_EACH {
        return Ok(());
    }
    let message = format!("there are {count} {what}; at most {MOST_OF_EACH} are possible");
    Err(BadParams::new(message, "send those that matter"))
}

/// Checks the id and the size of a character or a place. `ids` has those before it.
fn check_subject<'a>(
    id: &'a str,
    what: &str,
    bytes: usize,
    ids: &mut BTreeSet<&'a str>,
) -> Result<(), BadParams> {
    let is_id = (1..=32).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_id || id == NARRATOR || !ids.insert(id) {
        let message = format!("the id {id:?} of a {what} is used twice, is narrator, or is no id");
        return Err(BadParams::new(message, "an id has 1 to 32 of the characters a-z, 0-9 and -"));
    }
    if bytes > MOST_LOOK_BYTES {
        return Err(BadParams::new(format!("the look of {id} is too long"), "describe it in a sentence"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let check = |json: &str| check(&JsonText::parse(json.to_owned()).unwrap());
        let spec = check(r#"{"text":"One.","characters":[{"id":"keeper","look":"old"}]}"#).unwrap();
        assert_eq!(spec.director.characters[0].look, "old");
        for (json, part) in [
            ("{}", "either text or theme"),
            (r#"{"text":"a","theme":"b"}"#, "either text or theme"),
            (r#"{"text":"  "}"#, "text is empty"),
            (r#"{"text":"a","shots":0}"#, "shots 0"),
            (r#"{"text":"a","budget_usd":-1}"#, "budget_usd -1"),
            (r#"{"text":"a","language":"x_y"}"#, "no language tag"),
            (r#"{"text":"a","characters":[{"id":"A"}]}"#, "the id \"A\""),
            (r#"{"text":"a","characters":[{"id":"a"},{"id":"a"}]}"#, "used twice"),
            (
                r#"{"text":"a","characters":[{"id":"a"}],"places":[{"id":"a"}]}"#,
                "the id \"a\" of a place is used twice",
            ),
            (r#"{"txt":"a"}"#, "do not fit story.storyboard"),
        ] {
            let bad = check(json).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
        }
    }
}
