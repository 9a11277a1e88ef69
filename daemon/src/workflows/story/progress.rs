//! The progress of a story, weighted by the durations of its steps. A stage is weighted by the measured durations if there are any, else by usual
//! ones.

use reel_protocol::{StepState, StoryStage};
use reel_story::project::Shot;

use super::Story;
use crate::workflows::step::{StepEnd, StepEnds};

/// The steps of one stage.
#[derive(Debug, Default, Clone, Copy)]
struct Stage {
    done: usize,
    total: usize,
    /// The usual duration of the steps that ran, in seconds. `usual_total_s` is that of these steps and of those that are not done. Results of the
    /// cache are in neither.
    usual_done_s: f64,
    usual_total_s: f64,
    /// The measured duration of the steps that ran, in seconds.
    measured_s: f64,
}

impl Stage {
    fn count(&mut self, usual_s: f64, end: Option<&StepEnd>) {
        self.total += 1;
        self.done += usize::from(end.is_some());
        if end.is_some_and(|end| end.state == StepState::Cached) {
            return;
        }
        self.usual_total_s += usual_s;
        if let Some(end) = end {
            self.usual_done_s += usual_s;
            self.measured_s += end.seconds;
        }
    }

    /// Returns the estimated seconds of the steps that are done, and of all.
    fn seconds(&self) -> (f64, f64) {
        let pace = if self.measured_s > 0.0 { self.measured_s / self.usual_done_s.max(0.001) } else { 1.0 };
        (self.usual_done_s * pace, self.usual_total_s * pace)
    }
}

impl Story {
    pub(super) fn progress_after(&self, ends: &StepEnds) -> (f64, String) {
        let stages = self.stages(ends);
        let (done, total) = stages
            .iter()
            .map(|(_, stage)| stage.seconds())
            .fold((0.0, 0.0), |sum, stage| (sum.0 + stage.0, sum.1 + stage.1));
        let words = stages.iter().filter(|(_, stage)| stage.total > 0);
        let words: Vec<_> =
            words.map(|(name, stage)| format!("{name} {}/{}", stage.done, stage.total)).collect();
        let fraction = if total > 0.0 { (done / total).min(0.999) } else { 0.0 };
        (fraction, words.join(", "))
    }

    fn stages(&self, ends: &StepEnds) -> [(&'static str, Stage); 4] {
        let mut stages = [
            ("voices", Stage::default()),
            ("pictures", Stage::default()),
            ("clips", Stage::default()),
            ("frames", Stage::default()),
        ];
        let [(_, voices), (_, pictures), (_, clips), (_, frames)] = &mut stages;
        let end = |name: String| ends.get(&name);
        let (voice_s, picture_s) = (
            if self.abilities.has_draft_voices { 0.01 } else { 0.4 },
            if self.abilities.has_draft_pictures { 0.3 } else { 10.0 },
        );
        let until = self.until();
        for subject in self.made_sheets() {
            pictures.count(picture_s, end(subject.step()));
        }
        for shot in self.spec.project.shots.iter().filter(|shot| self.is_selected(&shot.id)) {
            if until >= StoryStage::Voices && shot.voice_file.is_empty() && shot.is_spoken() {
                voices.count(voice_s, end(format!("voice/{}", shot.id)));
            }
            if until >= StoryStage::Pictures && shot.picture_file.is_empty() && shot.clip_file.is_empty() {
                pictures.count(picture_s, end(format!("picture/{}", shot.id)));
            }
            if self.makes_clip(shot) {
                clips.count(60.0, end(format!("clip/{}", shot.id)));
            }
        }
        if self.makes_film() {
            self.count_frames(frames, ends);
        }
        stages
    }

    fn count_frames(&self, frames: &mut Stage, ends: &StepEnds) {
        let Some(placement) = self.place(ends) else { return };
        let video = &self.spec.project.video;
        let pixels = f64::from(video.size.width) * f64::from(video.size.height);
        // A second of film takes about 0.8 s at 1080p and 30 frames per second. Each run of the program takes about 0.1 s to start.
        let usual = |count: u64| 0.1 + count as f64 / f64::from(video.fps) * 0.8 * pixels / (1920.0 * 1080.0);
        let end = |name: String| ends.get(&name);
        let next = self.spec.project.shots.iter().skip(1).map(Some).chain([None]);
        let shots = self.spec.project.shots.iter().zip(&placement.timeline.shots).zip(next);
        for ((shot, placed), next) in shots {
            frames.count(usual(placed.body.end - placed.body.start), end(format!("render/{}", shot.id)));
            if let Some(Shot { id, .. }) = next.filter(|_| placed.transition_frames > 0) {
                frames.count(usual(placed.transition_frames), end(format!("transition/{id}")));
            }
        }
        let sound_s = 1.0 + placement.timeline.samples as f64 / 48_000.0 * 0.02;
        frames.count(sound_s, end("mix".to_owned()));
        frames.count(sound_s, end("join".to_owned()));
    }
}
