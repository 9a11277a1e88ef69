//! Where the shots of a project are in its film.

use super::model::{Change as FilmChange, Project, Shot, ShotChange};
use crate::timeline::{Change, Pace, ShotLength, Timeline, TimelineError, f64_samples, timeline};

impl Project {
    /// Places the shots one after the other, by the samples (48 kHz) of each one's speech; 0 for a silent shot.
    pub fn timeline(&self, speech: &[u64]) -> Result<Timeline, TimelineError> {
        let lengths: Vec<ShotLength> =
            self.shots.iter().zip(speech).map(|(shot, speech)| self.length(shot, *speech)).collect();
        let transition_frames = (self.video.transition_s * f64::from(self.video.fps)).round() as u32;
        timeline(&Pace { transition_frames, ..Pace::new(self.video.fps) }, &lengths)
    }

    fn length(&self, shot: &Shot, speech: u64) -> ShotLength {
        let change = match (shot.transition, self.video.transition) {
            (ShotChange::Cut, _) | (ShotChange::Usual, FilmChange::Cut) => Change::Cut,
            (ShotChange::Dissolve, _) | (ShotChange::Usual, FilmChange::Dissolve) => Change::Dissolve,
        };
        ShotLength { speech, least: f64_samples(shot.min_s), hold: f64_samples(shot.hold_s), change }
    }
}

impl Shot {
    /// What is spoken; empty for a silent shot.
    pub fn narration(&self) -> &str {
        if self.speak.is_empty() { &self.text } else { &self.speak }
    }

    /// What subtitles show.
    pub fn shown_text(&self) -> &str {
        if self.subtitle.is_empty() { &self.text } else { &self.subtitle }
    }

    /// Whether somebody speaks: the narration has a letter or a digit.
    pub fn is_spoken(&self) -> bool {
        self.narration().chars().any(char::is_alphanumeric)
    }
}
