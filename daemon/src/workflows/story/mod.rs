//! `story.make`: from a project to its film.
//!
//! Voices are spoken and pictures made first. What a voice lasts says how long its shot is, so the shots are placed by the true lengths, and each
//! is rendered as soon as it is known. Dissolves are clips of their own, the sound is one track, and the film is all of these, joined.

mod begin;
mod look;
mod outcome;
mod place;
mod progress;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use reel_protocol::{Digest, Downgrade, Output, StoryStage};

pub use self::begin::StoryError;
use super::step::{Outcome, Step, StepEnds, Workflow};
use crate::service::StorySpec;

/// A story on its way to a film.
#[derive(Debug)]
pub struct Story {
    spec: StorySpec,
    setting: Setting,
    /// The facts of the project's own media.
    supplied: BTreeMap<Digest, Output>,
    /// The language of the narration, where it is known.
    language: Option<String>,
}

/// What the daemon can do for a story now.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, found out for itself")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Setting {
    /// Whether pictures are drafts, as no provider is configured for them.
    pub has_draft_pictures: bool,
    /// Whether voices are timed silence, as nobody can speak.
    pub has_draft_voices: bool,
    /// Whether shots can be rendered.
    pub can_render: bool,
    /// Whether subtitles are drawn into the frames.
    pub burns_subtitles: bool,
    /// Whether the project's style is one that providers are told by its name.
    pub has_known_style: bool,
    /// What is less than was asked for.
    pub downgrades: Vec<Downgrade>,
}

impl Workflow for Story {
    fn ready(&self, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> Vec<Step> {
        self.steps(ends, is_known)
    }

    fn progress(&self, ends: &StepEnds) -> (f64, String) {
        self.progress_after(ends)
    }

    fn outcome(&self, ends: &StepEnds) -> Outcome {
        self.outcome_of(ends)
    }
}

impl Story {
    /// The last stage that was asked for.
    fn until(&self) -> StoryStage {
        self.spec.params.until.unwrap_or(StoryStage::Film)
    }

    /// Whether the shot is worked on.
    fn is_selected(&self, id: &str) -> bool {
        self.spec.params.only.as_ref().is_none_or(|only| only.iter().any(|one| one == id))
    }

    /// Whether a film is to be rendered.
    fn makes_film(&self) -> bool {
        self.until() == StoryStage::Film && self.spec.params.only.is_none() && self.setting.can_render
    }
}
