//! The positions of the shots in the film. They follow from the lengths of the voices that exist, and from estimates of the others.

use std::ops::Range;

use reel_protocol::{BurntCue, BurntTitle};
use reel_story::{
    Cue, cues,
    timeline::{PlacedShot, Timeline, samples_at},
};

use super::{Story, material::Voice};
use crate::workflows::{
    film::{self, frames_of},
    step::StepEnds,
};

/// The positions of the shots, as far as they are known.
#[derive(Debug)]
pub(super) struct Placement {
    pub timeline: Timeline,
    /// For each shot, whether its length is final and not an estimate.
    pub exact: Vec<bool>,
}

impl Placement {
    /// Returns the number of frames of a clip for a shot, if the length of the shot is final.
    pub(super) fn final_clip_frames(&self, index: usize) -> Option<u64> {
        let placed = self.timeline.shots.get(index)?;
        (self.exact.get(index) == Some(&true)).then_some(placed.untitled_frames)
    }

    /// Whether the length of every shot is final.
    pub(super) fn is_exact(&self) -> bool {
        self.exact.iter().all(|is_exact| *is_exact)
    }
}

impl Story {
    /// Places the shots. None if they make no film, such as when a voice is longer than an hour.
    pub(super) fn place(&self, ends: &StepEnds) -> Option<Placement> {
        let allow_missing = self.spec.params.allow_missing;
        let lengths = self.spec.project.shots.iter().map(|shot| match self.voice(shot, ends) {
            Voice::Silent => (0, true),
            Voice::Known(_, samples) => (samples, true),
            Voice::Pending => (self.estimated_samples(shot), false),
            // With `allow_missing`, silence of the estimated length replaces the voice.
            Voice::Missing => (self.estimated_samples(shot), allow_missing),
        });
        let (speech, exact): (Vec<u64>, Vec<bool>) = lengths.unzip();
        let timeline = self.spec.project.timeline(&speech).ok()?;
        Some(Placement { timeline, exact })
    }

    /// Returns the subtitles of a shot, with their times in the film.
    pub(super) fn cues(&self, index: usize, placed: &PlacedShot) -> Vec<Cue> {
        let Some(shot) = self.spec.project.shots.get(index) else { return Vec::new() };
        let shown = match placed.speech {
            // A shot without speech may have a subtitle of its own, but its text is what would have been spoken.
            0 if shot.subtitle.trim().is_empty() => return Vec::new(),
            0 => placed.speech_start..placed.end_card.start,
            speech => placed.speech_start..placed.speech_start + speech,
        };
        cues(shot.shown_text(), shown, self.language.as_deref())
    }

    /// Returns the subtitles that are drawn into a shot, with their frames in the shot.
    pub(super) fn burnt_cues(&self, index: usize, placed: &PlacedShot, fps: u32) -> Vec<BurntCue> {
        if !self.abilities.burns_subtitles {
            return Vec::new();
        }
        film::burnt_cues(self.cues(index, placed), placed, fps)
    }

    /// Returns the titles that are drawn into a shot, with their frames in the shot.
    pub(super) fn burnt_titles(&self, index: usize, placed: &PlacedShot, fps: u32) -> Vec<BurntTitle> {
        let start = samples_at(placed.start_frame, fps);
        let project = &self.spec.project;
        let burnt = |samples: &Range<u64>, title: &str, chapter: &str| {
            let (first_frame, frames) = frames_of(samples, start, fps);
            let [title, chapter] =
                [title, chapter].map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
            BurntTitle { first_frame, frames, title, chapter }
        };
        let opening =
            project.opening(index).map(|opening| burnt(&placed.title, opening.title, opening.chapter));
        let end = project.end_card(index).map(|text| burnt(&placed.end_card, text, ""));
        opening.into_iter().chain(end).collect()
    }
}
