//! The timeline of a project's film, and the texts of its shots.

use super::model::{Project, Shot, ShotTransition};
use crate::timeline::{Pace, ShotLength, Timeline, TimelineError, Transition, f64_samples, timeline};

impl Project {
    /// Computes the timeline of the film. `speech` has the length of each shot's narration in samples (48 kHz), 0 for a silent shot.
    pub fn timeline(&self, speech: &[u64]) -> Result<Timeline, TimelineError> {
        let lengths: Vec<ShotLength> =
            self.shots.iter().zip(speech).map(|(shot, speech)| self.length(shot, *speech)).collect();
        let transition_frames = (self.video.transition_s * f64::from(self.video.fps)).round() as u32;
        timeline(&Pace { transition_frames, ..Pace::new(self.video.fps) }, &lengths)
    }

    fn length(&self, shot: &Shot, speech: u64) -> ShotLength {
        let transition = match shot.transition {
            ShotTransition::Usual => self.video.transition,
            ShotTransition::Cut => Transition::Cut,
            ShotTransition::Dissolve => Transition::Dissolve,
        };
        ShotLength { speech, least: f64_samples(shot.min_s), hold: f64_samples(shot.hold_s), transition }
    }
}

impl Shot {
    /// Returns the text that is spoken; empty for a silent shot.
    pub fn narration(&self) -> &str {
        if self.speak.is_empty() { &self.text } else { &self.speak }
    }

    /// Returns the text that subtitles show.
    pub fn shown_text(&self) -> &str {
        if self.subtitle.is_empty() { &self.text } else { &self.subtitle }
    }

    /// Whether the shot has speech: its narration has a letter or a digit.
    pub fn is_spoken(&self) -> bool {
        self.narration().chars().any(char::is_alphanumeric)
    }
}
