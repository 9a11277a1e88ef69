//! Checks the rules of a project that the types of its fields cannot express.

use std::collections::{BTreeSet, HashMap};

use super::{
    ids::is_id,
    model::{NARRATOR, Project, VERSION},
};
use crate::nearest::nearest;

/// The most characters of a text that is shown over a shot.
pub const MOST_TITLE_CHARACTERS: usize = 200;

/// One element of the path to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(&'static str),
    Index(usize),
}

/// A violated rule, and the path to its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) path: Vec<Step>,
    pub(super) message: String,
    /// The path to the other field that it conflicts with.
    pub(super) other: Option<Vec<Step>>,
}

/// Checks the project. Returns the first problem: version and settings are checked first, then ids, then the references of scenes and shots.
pub(super) fn check(project: &Project) -> Result<(), Problem> {
    if project.version != VERSION {
        let message =
            format!("version {} is not known: this program reads version {VERSION}", project.version);
        return problem(&[Step::Key("version")], message);
    }
    video(project)?;
    ids("characters", project.characters.iter().map(|character| character.id.as_str()), false)?;
    ids("places", project.places.iter().map(|place| place.id.as_str()), false)?;
    ids("scenes", project.scenes.iter().map(|scene| scene.id.as_str()), false)?;
    ids("shots", project.shots.iter().map(|shot| shot.id.as_str()), true)?;
    let places: BTreeSet<&str> = project.places.iter().map(|place| place.id.as_str()).collect();
    for (index, scene) in project.scenes.iter().enumerate() {
        known(&["scenes", "place"], index, &scene.place, &places, "place", "[[places]]")?;
    }
    shots(project)
}

fn video(project: &Project) -> Result<(), Problem> {
    let video = &project.video;
    for (key, value, least, most) in [
        ("fps", f64::from(video.fps), 1.0, 120.0),
        ("transition_s", video.transition_s, 0.0, 5.0),
        ("music_db", video.music_db, -60.0, 0.0),
        ("loudness", video.loudness, -30.0, -9.0),
        ("title_s", video.title_s, 0.5, 60.0),
    ] {
        between(&[Step::Key("video"), Step::Key(key)], key, value, least, most)?;
    }
    for (key, text) in [("title", &video.title), ("end_card", &video.end_card)] {
        is_shown(&[Step::Key("video"), Step::Key(key)], key, text)?;
    }
    for (index, scene) in project.scenes.iter().enumerate().filter(|_| video.chapter_titles) {
        let path = [Step::Key("scenes"), Step::Index(index), Step::Key("title")];
        is_shown(&path, "title", &scene.title)?;
    }
    Ok(())
}

/// Checks that a text is short enough to be read over a shot.
fn is_shown(path: &[Step], key: &str, text: &str) -> Result<(), Problem> {
    let count = text.chars().count();
    if count <= MOST_TITLE_CHARACTERS {
        return Ok(());
    }
    problem(path, format!("{key} has {count} characters: use {MOST_TITLE_CHARACTERS} at most"))
}

fn shots(project: &Project) -> Result<(), Problem> {
    if project.shots.is_empty() {
        return problem(
            &[],
            "the project has no shots: each is a table under [[shots]] with a text".to_owned(),
        );
    }
    let characters: BTreeSet<&str> =
        project.characters.iter().map(|character| character.id.as_str()).collect();
    let scenes: BTreeSet<&str> = project.scenes.iter().map(|scene| scene.id.as_str()).collect();
    let voices = project.voices.keys().map(String::as_str);
    let speakers: BTreeSet<&str> = voices.chain(characters.iter().copied()).chain([NARRATOR]).collect();
    for (index, shot) in project.shots.iter().enumerate() {
        known(&["shots", "scene"], index, &shot.scene, &scenes, "scene", "[[scenes]]")?;
        known(
            &["shots", "speaker"],
            index,
            &shot.speaker,
            &speakers,
            "speaker",
            "[voices] or [[characters]]",
        )?;
        for character in &shot.characters {
            known(&["shots", "characters"], index, character, &characters, "character", "[[characters]]")?;
        }
        if !shot.last_picture.is_empty() && project.last_picture(index).is_none() {
            let path = [Step::Key("shots"), Step::Index(index), Step::Key("last_picture")];
            let message = format!(
                "last_picture is `{}`, which is no other shot: write `next` or the id of a shot",
                shot.last_picture
            );
            return problem(&path, message);
        }
        for (key, value) in [("min_s", shot.min_s), ("hold_s", shot.hold_s)] {
            between(&[Step::Key("shots"), Step::Index(index), Step::Key(key)], key, value, 0.0, 600.0)?;
        }
    }
    Ok(())
}

/// Checks that ids are well formed and unique.
fn ids<'a>(
    list: &'static str,
    ids: impl Iterator<Item = &'a str>,
    may_be_absent: bool,
) -> Result<(), Problem> {
    let mut first = HashMap::new();
    let path = |index| vec![Step::Key(list), Step::Index(index), Step::Key("id")];
    for (index, id) in ids.enumerate() {
        if id.is_empty() && may_be_absent {
            continue;
        }
        if !is_id(id) {
            let message =
                format!("the id `{id}` is not possible: use 1 to 32 of the characters a-z, 0-9 and -");
            return problem(&path(index), message);
        }
        if let Some(earlier) = first.insert(id, index) {
            let message = format!("two {list} have the id `{id}`: give one of them another id");
            return Err(Problem { path: path(index), message, other: Some(path(earlier)) });
        }
    }
    Ok(())
}

/// Checks that a name is empty or one of the known ones.
fn known(
    [list, key]: &[&'static str; 2],
    index: usize,
    name: &str,
    names: &BTreeSet<&str>,
    what: &str,
    section: &str,
) -> Result<(), Problem> {
    if name.is_empty() || names.contains(name) {
        return Ok(());
    }
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add it to {section}"),
    };
    problem(
        &[Step::Key(list), Step::Index(index), Step::Key(key)],
        format!("there is no {what} `{name}`: {hint}"),
    )
}

fn between(path: &[Step], key: &str, value: f64, least: f64, most: f64) -> Result<(), Problem> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    problem(path, format!("{key} = {value} is not possible: use {least} to {most}"))
}

fn problem<T>(path: &[Step], message: String) -> Result<T, Problem> {
    Err(Problem { path: path.to_vec(), message, other: None })
}
