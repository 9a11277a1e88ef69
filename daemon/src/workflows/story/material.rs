//! The picture, clip and voice of a shot: supplied by the project, or made by steps.

use reel_protocol::{Digest, Output, StoryStage};
use reel_story::{project::Shot, speaking_time, timeline::f64_samples};

use super::Story;
use crate::workflows::step::StepEnds;

/// The voice of a shot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Voice<'a> {
    /// The shot has no speech.
    Silent,
    /// The voice exists. The number is its length in samples.
    Known(&'a Output, u64),
    /// The step that makes it has not ended.
    Pending,
    /// The step that makes it failed, or its result has no length.
    Missing,
}

/// The picture or clip that a shot shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Visual<'a> {
    /// A picture, over which the camera moves.
    Picture(&'a Output),
    /// A video, which is fitted to the length of the shot.
    Clip(&'a Output),
    /// The step that makes it has not ended.
    Pending,
    /// The step that makes it failed.
    Missing,
}

impl Story {
    /// Returns the facts of a medium that the project supplies. `text` is its digest.
    pub(super) fn supplied(&self, text: &str) -> Option<&Output> {
        text.parse::<Digest>().ok().and_then(|digest| self.supplied.get(&digest))
    }

    pub(super) fn voice<'a>(&'a self, shot: &Shot, ends: &'a StepEnds) -> Voice<'a> {
        if let Some(own) = self.supplied(&shot.voice_file) {
            return known(own);
        }
        if !shot.is_spoken() {
            return Voice::Silent;
        }
        match ends.get(&format!("voice/{}", shot.id)) {
            None => Voice::Pending,
            Some(end) => end.output.as_ref().map_or(Voice::Missing, known),
        }
    }

    pub(super) fn visual<'a>(&'a self, shot: &Shot, ends: &'a StepEnds) -> Visual<'a> {
        if let Some(own) = self.supplied(&shot.clip_file) {
            return Visual::Clip(own);
        }
        if self.makes_clip(shot) {
            match ends.get(&format!("clip/{}", shot.id)) {
                Some(end) => match &end.output {
                    Some(output) => return Visual::Clip(output),
                    // The picture is shown in place of the clip.
                    None if self.spec.params.allow_missing => {}
                    None => return Visual::Missing,
                },
                None if matches!(self.picture(shot, ends), Visual::Missing) => {}
                None => return Visual::Pending,
            }
        }
        match (self.picture(shot, ends), self.spec.params.allow_missing) {
            (Visual::Missing, true) => match ends.get(&format!("card/{}", shot.id)) {
                None => Visual::Pending,
                Some(end) => end.output.as_ref().map_or(Visual::Missing, Visual::Picture),
            },
            (picture, _) => picture,
        }
    }

    /// Returns the picture of the shot, which is either shown or the first frame of a clip.
    pub(super) fn picture<'a>(&'a self, shot: &Shot, ends: &'a StepEnds) -> Visual<'a> {
        if let Some(own) = self.supplied(&shot.picture_file) {
            return Visual::Picture(own);
        }
        match ends.get(&format!("picture/{}", shot.id)) {
            None => Visual::Pending,
            Some(end) => end.output.as_ref().map_or(Visual::Missing, Visual::Picture),
        }
    }

    /// Whether a clip is generated from the shot's picture.
    pub(super) fn makes_clip(&self, shot: &Shot) -> bool {
        shot.clip && shot.clip_file.is_empty() && self.until() >= StoryStage::Clips
    }

    /// Returns the estimated length of the shot's voice, in samples.
    pub(super) fn estimated_samples(&self, shot: &Shot) -> u64 {
        if shot.is_spoken() {
            f64_samples(speaking_time(shot.narration(), self.language.as_deref()).as_secs_f64())
        } else {
            0
        }
    }

    /// Returns the prompt of the picture. It describes the style if providers do not know the style by its name.
    pub(super) fn prompt(&self, shot: &Shot) -> String {
        self.spec.project.picture_prompt(shot, !self.abilities.has_known_style)
    }
}

fn known(output: &Output) -> Voice<'_> {
    match output.duration_s {
        Some(seconds) if seconds > 0.0 => Voice::Known(output, f64_samples(seconds)),
        // A sound without a length cannot be placed.
        _ => Voice::Missing,
    }
}
