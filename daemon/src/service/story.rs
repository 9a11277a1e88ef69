//! `story.make` and `story.storyboard`: checks a project and the other params. Pure. The room `workflows` carries the requests out.

use std::collections::BTreeSet;

use reel_protocol::{Digest, JsonText, StoryMakeParams};
use reel_story::project::{Project, check_decoded};

use super::{BadParams, Service, Work, storyboard, voice::is_language};
use crate::{domain::Inputs, nearest::nearest};

/// The kind of a task that makes a film of a story.
pub const STORY_MAKE: &str = "story.make";

/// The fields of the params. The error for an unknown field suggests the nearest of them.
const FIELDS: &[&str] =
    &["project", "language", "until", "only", "redo", "allow_missing", "budget_usd", "allow_unburnt"];

/// The largest budget, in US dollars. A larger one is taken for a mistake.
const MOST_USD: f64 = 1e6;

/// The service `story`: films of stories, as workflows.
#[derive(Debug)]
pub(super) struct Story;

/// Valid params of `story.make`, with their project.
#[derive(Debug, Clone)]
pub struct StorySpec {
    /// The params as the client sent them.
    pub params: StoryMakeParams,
    /// The project of the params. Each of its shots has an id.
    pub project: Project,
}

impl Service for Story {
    fn name(&self) -> &'static str {
        "story"
    }

    fn methods(&self) -> &'static [&'static str] {
        &["make", "storyboard"]
    }

    fn check(&self, method: &str, params: &JsonText) -> Result<Work, BadParams> {
        if method == "storyboard" {
            storyboard::check(params)?;
            return Ok(Work::Workflow(Inputs::default()));
        }
        let spec = StorySpec::check(params)?;
        let files = spec.media().filter_map(|medium| medium.text.parse().ok()).collect();
        Ok(Work::Workflow(Inputs { files, ..Inputs::default() }))
    }
}

impl StorySpec {
    /// Reads and checks the params of `story.make`.
    pub(super) fn check(params: &JsonText) -> Result<Self, BadParams> {
        let params: StoryMakeParams =
            params.decode().map_err(|error| BadParams::unreadable(STORY_MAKE, FIELDS, params, &error))?;
        let decoded = params.project.decode().map_err(|error| (error.path, error.message));
        let mut project = check_decoded(decoded).map_err(|error| {
            BadParams::new(
                format!("the project does not hold: {error}"),
                "mend the project, then send it again",
            )
        })?;
        project.assign_ids();
        let spec = Self { params, project };
        spec.check_media()?;
        spec.check_ids()?;
        spec.check_values()?;
        Ok(spec)
    }

    /// Reads the params of an accepted task again. The error is a message for people.
    pub fn accepted(params: &JsonText) -> Result<Self, String> {
        Self::check(params).map_err(|bad| bad.message)
    }

    /// The media files that the project supplies, each with the field that names it. Empty fields are left out.
    pub fn media(&self) -> impl Iterator<Item = OwnMedium<'_>> {
        let shots = self.project.shots.iter().flat_map(|shot| {
            [
                OwnMedium {
                    owner: &shot.id,
                    field: "picture_file",
                    text: &shot.picture_file,
                    media: "image/",
                },
                OwnMedium { owner: &shot.id, field: "voice_file", text: &shot.voice_file, media: "audio/" },
                OwnMedium { owner: &shot.id, field: "clip_file", text: &shot.clip_file, media: "video/" },
            ]
        });
        let sheets = self.project.all_subjects().map(|one| OwnMedium {
            owner: one.id(),
            field: "sheet",
            text: one.sheet(),
            media: "image/",
        });
        let music =
            OwnMedium { owner: "video", field: "music", text: &self.project.video.music, media: "audio/" };
        shots.chain(sheets).chain([music]).filter(|medium| !medium.text.is_empty())
    }

    fn check_media(&self) -> Result<(), BadParams> {
        match self.media().find(|medium| medium.text.parse::<Digest>().is_err()) {
            Some(OwnMedium { owner, field, text, .. }) => {
                let message = format!("{field} of {owner} is {text:?}, which is no digest of the store");
                Err(BadParams::new(message, "put the file with artifact.put, and name its digest"))
            }
            None => Ok(()),
        }
    }

    fn check_ids(&self) -> Result<(), BadParams> {
        let ids: BTreeSet<&str> = self.project.shots.iter().map(|shot| shot.id.as_str()).collect();
        let only = self.params.only.iter().flatten().map(|id| ("only", id));
        let redo = self.params.redo.iter().map(|redo| ("redo", &redo.id));
        for (field, id) in only.chain(redo) {
            if !ids.contains(id.as_str()) {
                let hint = nearest(id, ids.iter().copied()).map_or_else(
                    || "the ids are in the project".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                return Err(BadParams::new(
                    format!("{field} names the shot {id:?}, which the project does not have"),
                    hint,
                ));
            }
        }
        if self.params.only.as_ref().is_some_and(Vec::is_empty) {
            return Err(BadParams::new("only names no shot", "leave only out for all shots"));
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), BadParams> {
        if let Some(language) = self.params.language.as_deref().filter(|language| !is_language(language)) {
            let message = format!("language {language:?} is no language tag");
            return Err(BadParams::new(message, "a tag is such as en, de, zh-TW or pt-BR"));
        }
        match self.params.budget_usd {
            Some(usd) if !(0.0..=MOST_USD).contains(&usd) => Err(BadParams::new(
                format!("budget_usd {usd} is not from 0 to {MOST_USD}"),
                "5 is five US dollars",
            )),
            _ => Ok(()),
        }
    }
}

/// A media file that the project supplies, such as the picture of a shot.
#[derive(Debug, Clone, Copy)]
pub struct OwnMedium<'a> {
    /// The id of the shot or character, or `video`.
    pub owner: &'a str,
    /// The name of the field that holds the digest of the file.
    pub field: &'static str,
    /// The value of the field, which is checked to be a digest.
    pub text: &'a str,
    /// What the media type of the file must begin with, such as `image/`.
    pub media: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<StorySpec, BadParams> {
        StorySpec::check(&JsonText::parse(json.to_owned()).unwrap())
    }

    #[test]
    fn shots_are_given_ids_and_mistakes_are_named() {
        let spec = checked(
            r#"{"project":{"version":1,"shots":[{"text":"One."},{"id":"a7","scene":"","text":"Two."}]}}"#,
        );
        let spec = spec.unwrap();
        let ids: Vec<_> = spec.project.shots.iter().map(|shot| shot.id.as_str()).collect();
        assert_eq!(ids, ["s1", "a7"]);
        let digest = "00".repeat(32);
        for (json, part, hint) in [
            (r#"{"projekt":{}}"#.to_owned(), "do not fit story.make", Some("did you mean project?")),
            (r#"{"project":{"version":1,"shots":[]}}"#.to_owned(), "does not hold", None),
            (r#"{"project":{"version":1,"shots":[{"txt":"a"}]}}"#.to_owned(), "txt", None),
            (
                r#"{"project":{"version":1,"shots":[{"text":"a","picture_file":"a.png"}]}}"#.to_owned(),
                "picture_file of s1 is \"a.png\"",
                None,
            ),
            (
                r#"{"project":{"version":1,"shots":[{"id":"a1","text":"a"}]},"only":["a2"]}"#.to_owned(),
                "only names the shot \"a2\"",
                Some("did you mean a1?"),
            ),
            (
                r#"{"project":{"version":1,"shots":[{"text":"a"}]},"budget_usd":-1}"#.to_owned(),
                "budget_usd -1",
                None,
            ),
            (
                format!(
                    r#"{{"project":{{"version":1,"shots":[{{"text":"a","voice_file":"{digest}"}}]}},"language":"x_y"}}"#
                ),
                "no language tag",
                None,
            ),
        ] {
            let bad = checked(&json).unwrap_err();
            assert!(bad.message.contains(part), "{json}: {}", bad.message);
            assert!(hint.is_none() || bad.hint.as_deref() == hint, "{json}: {:?}", bad.hint);
        }
    }
}
