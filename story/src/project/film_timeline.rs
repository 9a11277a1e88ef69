//! The timeline of a project's film, and the texts of its shots.

use super::model::{Project, Shot, ShotTransition};
use crate::timeline::{Pace, ShotLength, Timeline, TimelineError, Transition, f64_samples, timeline};

impl Project {
    /// Computes the timeline of the film. `speech` has the length of each shot's narration in samples (48 kHz), 0 for a silent shot.
    pub fn timeline(&self, speech: &[u64]) -> Result<Timeline, TimelineError> {
        let shots = self.shots.iter().zip(speech).enumerate();
        let lengths: Vec<ShotLength> =
            shots.map(|(index, (shot, speech))| self.length(index, shot, *speech)).collect();
        let transition_frames = (self.video.transition_s * f64::from(self.video.fps)).round() as u32;
        timeline(&Pace { transition_frames, ..Pace::new(self.video.fps) }, &lengths)
    }

    fn length(&self, index: usize, shot: &Shot, speech: u64) -> ShotLength {
        let transition = match shot.transition {
            ShotTransition::Usual => self.video.transition,
            ShotTransition::Cut => Transition::Cut,
            ShotTransition::Dissolve => Transition::Dissolve,
        };
        let shown = |is_shown: bool| if is_shown { f64_samples(self.video.title_s) } else { 0 };
        ShotLength {
            speech,
            least: f64_samples(shot.min_s),
            hold: f64_samples(shot.hold_s),
            title: shown(self.opening(index).is_some()),
            end_card: shown(self.end_card(index).is_some()),
            transition,
        }
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
