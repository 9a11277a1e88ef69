//! Reads a project from TOML or JSON. An error has the position, what is wrong, and the most similar valid name.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use toml_edit::{Document, Item};

use super::{
    check::{Problem, Step, check},
    model::{Character, Place, Project, Scene, Shot},
};
use crate::nearest::nearest;

/// Why a text cannot be read as a project.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{at}{message}")]
pub struct ProjectError {
    at: String,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The line and the column, both from 1 and the column in characters. None in JSON.
    pub position: Option<(usize, usize)>,
}

/// What messages say about a TOML file, and what they say about JSON instead.
const IN_JSON: [(&str, &str); 6] = [
    ("each is a table under [[shots]] with a text", "`shots` is a list of objects with a `text`"),
    ("text = \"\"", "\"text\": \"\""),
    ("[voices] or [[characters]]", "`voices` or `characters`"),
    ("[[characters]]", "`characters`"),
    ("[[places]]", "`places`"),
    ("[[scenes]]", "`scenes`"),
];

impl ProjectError {
    fn in_toml(text: &str, span: Option<Range<usize>>, message: String) -> Self {
        let position = span.map(|span| position(text, span.start));
        let at = position.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default();
        Self { at, message, position }
    }

    /// Converts an error of the TOML parser.
    pub(super) fn of_document(text: &str, error: &toml_edit::TomlError) -> Self {
        Self::in_toml(text, error.span(), plain(error.message()))
    }

    fn in_json(path: &str, message: String) -> Self {
        let message = IN_JSON.iter().fold(message, |message, (toml, json)| message.replace(toml, json));
        let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
        Self { at, message, position: None }
    }
}

/// Reads and checks a project in TOML, as in a project file.
pub fn read_toml(text: &str) -> Result<Project, ProjectError> {
    let project: Project = toml::from_str(text)
        .map_err(|error| ProjectError::in_toml(text, error.span(), plain(error.message())))?;
    check(&project).map_err(|Problem { path, message, other }| {
        let document = Document::parse(text).ok();
        let span = |path: &[Step]| document.as_ref().and_then(|document| span(document.as_item(), path));
        let earlier = other.and_then(|other| span(&other)).map(|span| position(text, span.start).0);
        let message = match earlier {
            Some(line) => format!("{message} (the first is in line {line})"),
            None => message,
        };
        ProjectError::in_toml(text, span(&path), message)
    })?;
    Ok(project)
}

/// Reads and checks a project in JSON, as an output of `story.storyboard`.
pub fn read_json(value: &Value) -> Result<Project, ProjectError> {
    check_in_json(Project::deserialize_from(value)?)
}

/// Checks a project that was decoded from JSON, as in the params of `story.make`. An error is the path of the value that is wrong, such as
/// `video.music`, and the message of the decoder.
pub fn check_decoded(decoded: Result<Project, (String, String)>) -> Result<Project, ProjectError> {
    check_in_json(decoded.map_err(|(path, message)| ProjectError::in_json(&path, plain(&message)))?)
}

fn check_in_json(project: Project) -> Result<Project, ProjectError> {
    check(&project).map_err(|problem| ProjectError::in_json(&shown(&problem.path), problem.message))?;
    Ok(project)
}

impl Project {
    fn deserialize_from(value: &Value) -> Result<Self, ProjectError> {
        serde_json::from_value(value.clone()).map_err(|error| {
            // The error of `serde_json` does not say which element of a list is wrong.
            let place = first_wrong::<Shot>(value, "shots")
                .or_else(|| first_wrong::<Character>(value, "characters"))
                .or_else(|| first_wrong::<Place>(value, "places"))
                .or_else(|| first_wrong::<Scene>(value, "scenes"));
            ProjectError::in_json(&place.unwrap_or_default(), plain(&error.to_string()))
        })
    }
}

/// Returns the path of the first element of a list that cannot be read as `T`.
fn first_wrong<T: DeserializeOwned>(value: &Value, list: &str) -> Option<String> {
    let elements = value.get(list)?.as_array()?;
    let index = elements.iter().position(|element| serde_json::from_value::<T>(element.clone()).is_err())?;
    Some(format!("{list}[{index}]"))
}

/// Returns the byte range of the field at a path. If the field is missing, the range is that of its table.
fn span(item: &Item, path: &[Step]) -> Option<Range<usize>> {
    let here = item.span();
    let Some((first, rest)) = path.split_first() else { return here };
    let deeper = match first {
        Step::Key(key) => item.get(key).and_then(|item| span(item, rest)),
        Step::Index(index) => match item {
            Item::ArrayOfTables(tables) => tables.get(*index).and_then(|table| {
                let field = match rest {
                    [Step::Key(key)] => table.get(key).and_then(Item::span),
                    _ => None,
                };
                field.or_else(|| table.span())
            }),
            other => other.get(index).and_then(|item| span(item, rest)),
        },
    };
    deeper.or(here)
}

/// Returns the line and the column of a byte position, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

fn shown(path: &[Step]) -> String {
    let mut shown = String::new();
    for step in path {
        match step {
            Step::Key(key) if shown.is_empty() => shown.push_str(key),
            Step::Key(key) => shown.extend([".", key]),
            Step::Index(index) => shown.extend(["[", &index.to_string(), "]"]),
        }
    }
    shown
}

/// Rewrites an error of a parser in plain words. It suggests the most similar one of the names that the error lists.
fn plain(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join(", ");
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((wrong, right)) = names.split_first() else { return message };
    let near = nearest(wrong, right.iter().copied().filter(|name| !name.is_empty()));
    if message.starts_with("missing field `text`") {
        return "the shot has no text: write text = \"\" if nothing is spoken".to_owned();
    }
    let what = if message.starts_with("unknown field") {
        "there is no field"
    } else if message.starts_with("unknown variant") {
        "there is no value"
    } else {
        return message;
    };
    match near {
        Some(near) => format!("{what} `{wrong}`: did you mean `{near}`?"),
        None => format!(
            "{what} `{wrong}`: use one of {}",
            right.iter().filter(|name| !name.is_empty()).copied().collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const WHOLE: &str = r#"# A comment.
version = 1
story = { file = "story.txt", digest = "b3:00" }

[video]
size = "9:16"
subtitles = ["track"]

[voices]
narrator = "en-1"

[[characters]]
id = "giant"
name = "the Giant"

[[scenes]]
id = "a"
title = "CHAPTER I"

[[shots]]
id = "a1"
scene = "a"
text = "Every afternoon."
speaker = "giant"
characters = ["giant"]
camera = "left"
transition = "cut"

[[shots]]
text = ""
"#;

    /// For each mistake: a part of the file, its replacement, and the error.
    const MISTAKES: [(&str, &str, &str); 19] = [
        (
            "camera = \"left\"",
            "camra = \"left\"",
            "line 26, column 1: there is no field `camra`: did you mean `camera`?",
        ),
        (
            "camera = \"left\"",
            "camera = \"lft\"",
            "line 26, column 10: there is no value `lft`: did you mean `left`?",
        ),
        (
            "camera = \"left\"",
            "camera = \"blue\"",
            "line 26, column 10: there is no value `blue`: use one of still, in, out, left, right, up, down",
        ),
        (
            "text = \"\"\n",
            "id = \"a2\"\n",
            "line 29, column 1: the shot has no text: write text = \"\" if nothing is spoken",
        ),
        (
            "text = \"\"\n",
            "text = \"\"\nid = \"a1\"\n",
            "line 31, column 6: two shots have the id `a1`: give one of them another id (the first is in line 21)",
        ),
        (
            "id = \"a1\"",
            "id = \"A 1\"",
            "line 21, column 6: the id `A 1` is not possible: use 1 to 32 of the characters a-z, 0-9 and -",
        ),
        ("scene = \"a\"", "scene = \"b\"", "line 22, column 9: there is no scene `b`: did you mean `a`?"),
        (
            "[\"giant\"]",
            "[\"gaint\"]",
            "line 25, column 14: there is no character `gaint`: did you mean `giant`?",
        ),
        (
            "speaker = \"giant\"",
            "speaker = \"queen\"",
            "line 24, column 11: there is no speaker `queen`: add it to [voices] or [[characters]]",
        ),
        (
            "9:16",
            "9:17",
            "line 6, column 8: the size `9:17` is none: write WIDTHxHEIGHT such as \"1920x1080\", or 16:9, 9:16 or 1:1",
        ),
        (
            "9:16",
            "1919x1080",
            "line 6, column 8: the size `1919x1080` is not possible: both sides must be even, and from 64 to 4096 pixels",
        ),
        ("[\"track\"]", "[\"srt\"]\nfps = 0", "line 8, column 7: fps = 0 is not possible: use 1 to 120"),
        (
            "[\"track\"]",
            "[\"burned\"]",
            "line 7, column 14: there is no value `burned`: did you mean `burn`?",
        ),
        (
            "[\"track\"]",
            "[]\nsubtitle_size = \"big\"",
            "line 8, column 17: the size `big` is none: write small, medium, large, or a share of the frame's height from 2% to 10%",
        ),
        (
            "[\"track\"]",
            "[]\nsubtitle_position = \"botom\"",
            "line 8, column 21: there is no value `botom`: did you mean `bottom`?",
        ),
        (
            "[\"track\"]",
            "[]\nsubtitle_outlin = \"box\"",
            "line 8, column 1: there is no field `subtitle_outlin`: did you mean `subtitle_outline`?",
        ),
        ("[\"track\"]", "[]\ntitle_s = 0", "line 8, column 11: title_s = 0 is not possible: use 0.5 to 60"),
        (
            "version = 1",
            "version = 2",
            "line 2, column 11: version 2 is not known: this program reads version 1",
        ),
        (
            "transition = \"cut\"",
            "hold_s = nan",
            "line 27, column 10: hold_s = NaN is not possible: use 0 to 600",
        ),
    ];

    #[test]
    fn a_file_is_read_with_its_defaults_and_equals_its_json() {
        let project = read_toml(WHOLE).unwrap();
        assert_eq!(project.video.size.to_string(), "1080x1920");
        assert_eq!((project.shots[1].speaker.as_str(), project.video.fps), ("narrator", 30));
        let json = serde_json::to_value(&project).unwrap();
        assert_eq!(read_json(&json).unwrap(), project);
    }

    #[test]
    fn each_mistake_is_told_with_its_place_and_the_next_step() {
        for (from, to, error) in MISTAKES {
            let text = WHOLE.replacen(from, to, 1);
            assert_eq!(read_toml(&text).unwrap_err().to_string(), error);
        }
        let unfinished = read_toml("version = 1\n[video\n").unwrap_err();
        assert_eq!(unfinished.position.map(|(line, _)| line), Some(2), "{unfinished}");
        assert!(read_toml("version = 1\n").unwrap_err().to_string().contains("no shots"));
    }

    #[test]
    fn mistakes_in_json_are_told_with_their_path() {
        for (shot, error) in [
            (
                json!({ "text": "", "camra": "in" }),
                "shots[1]: there is no field `camra`: did you mean `camera`?",
            ),
            (
                json!({ "id": "a2" }),
                "shots[1]: the shot has no text: write \"text\": \"\" if nothing is spoken",
            ),
            (
                json!({ "text": "", "id": "a1" }),
                "shots[1].id: two shots have the id `a1`: give one of them another id",
            ),
            (
                json!({ "text": "", "min_s": 1000 }),
                "shots[1].min_s: min_s = 1000 is not possible: use 0 to 600",
            ),
        ] {
            let project = json!({ "version": 1, "shots": [{ "id": "a1", "text": "One." }, shot] });
            assert_eq!(read_json(&project).unwrap_err().to_string(), error);
        }
    }
}
