//! The workflow of `story.make`, which turns a project into a film.
//!
//! Voices and pictures are made first. The length of a shot follows from the length of its voice. Each shot is placed and rendered as soon as these
//! lengths are known. Dissolves are clips of their own, the sound is one track, and the join of all parts is the film.

mod begin;
mod material;
mod outcome;
mod place;
mod progress;
mod sheets;
#[cfg(test)]
mod sheets_tests;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use reel_protocol::{Digest, Downgrade, Output, StoryStage};

pub use self::begin::StoryError;
use super::step::{Outcome, Step, StepEnds, Workflow};
use crate::service::StorySpec;

/// A story that is being made into a film.
#[derive(Debug)]
pub struct Story {
    spec: StorySpec,
    abilities: Abilities,
    /// The facts of the media that the project supplies.
    supplied: BTreeMap<Digest, Output>,
    /// The language of the narration, if it is known.
    language: Option<String>,
    /// The names of the steps that make sheets.
    sheets: BTreeSet<String>,
}

/// The abilities of the daemon for a story, and the choices that follow from them.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, found out for itself")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Abilities {
    /// Whether pictures are drafts, because no provider of pictures is configured.
    pub has_draft_pictures: bool,
    /// Whether voices are silence of the right length, because no provider of voices is configured.
    pub has_draft_voices: bool,
    /// Whether shots can be rendered.
    pub can_render: bool,
    /// Whether subtitles are drawn into the frames.
    pub burns_subtitles: bool,
    /// Whether titles are drawn into the frames.
    pub burns_titles: bool,
    /// Whether providers can be given the project's style by its name.
    pub has_known_style: bool,
    /// The most reference pictures that the provider of pictures takes; 0 if it takes none, or if pictures are drafts.
    pub max_references: usize,
    /// The respects in which the result is less than was requested.
    pub downgrades: Vec<Downgrade>,
}

impl Workflow for Story {
    fn ready(&self, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> Vec<Step> {
        self.steps(ends, is_known)
    }

    fn progress(&self, ends: &StepEnds, is_submitted: &dyn Fn(&str) -> bool) -> (f64, String) {
        self.progress_after(ends, is_submitted)
    }

    fn outcome(&self, ends: &StepEnds) -> Outcome {
        self.outcome_of(ends)
    }
}

impl Story {
    /// Returns the last stage that was requested.
    fn until(&self) -> StoryStage {
        self.spec.params.until.unwrap_or(StoryStage::Film)
    }

    /// Whether steps are made for this shot.
    fn is_selected(&self, id: &str) -> bool {
        is_selected(&self.spec, id)
    }

    /// Whether the film is rendered.
    fn makes_film(&self) -> bool {
        self.until() == StoryStage::Film && self.spec.params.only.is_none() && self.abilities.can_render
    }
}

/// Whether a task makes steps for this shot.
fn is_selected(spec: &StorySpec, id: &str) -> bool {
    spec.params.only.as_ref().is_none_or(|only| only.iter().any(|one| one == id))
}
