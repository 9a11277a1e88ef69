//! The progress of a story, weighted by the durations of its steps. A stage is weighted by the measured durations if there are any, else by usual
//! ones.

use reel_protocol::{StepState, StoryStage};
use reel_story::project::Shot;

use super::Story;
use crate::workflows::step::{StepEnd, StepEnds};

/// The highest progress of a film that is not finished.
const MOST: f64 = 0.999;

/// The steps of one stage that are made now. Results of the cache are not counted.
#[derive(Debug, Default, Clone, Copy)]
struct Stage {
    done: usize,
    total: usize,
    /// The usual duration of the steps that ran, in seconds. `usual_total_s` is that of these steps and of those that are not done.
    usual_done_s: f64,
    usual_total_s: f64,
    /// The measured duration of the steps that ran, in seconds.
    measured_s: f64,
}

/// A step to count.
struct Counted<'a> {
    usual_s: f64,
    end: Option<&'a StepEnd>,
    /// Whether the step was not submitted yet, and the cache probably has its result, because it had everything that the step is made from.
    is_expected: bool,
}

impl Stage {
    fn count(&mut self, Counted { usual_s, end, is_expected }: Counted<'_>) {
        if is_expected || end.is_some_and(|end| end.state == StepState::Cached) {
            return;
        }
        self.total += 1;
        self.done += usize::from(end.is_some());
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

/// What is known about the steps.
struct Known<'a> {
    ends: &'a StepEnds,
    is_submitted: &'a dyn Fn(&str) -> bool,
}

impl<'a> Known<'a> {
    fn step(&self, name: &str, usual_s: f64, has_cached_inputs: bool) -> Counted<'a> {
        let is_expected = has_cached_inputs && !(self.is_submitted)(name);
        Counted { usual_s, end: self.ends.get(name), is_expected }
    }

    fn is_cached(&self, name: &str) -> bool {
        self.ends.get(name).is_some_and(|end| end.state == StepState::Cached)
    }
}

impl Story {
    /// Returns the part of the work of this run that is done, and the counts of its steps.
    pub(super) fn progress_after(
        &self,
        ends: &StepEnds,
        is_submitted: &dyn Fn(&str) -> bool,
    ) -> (f64, String) {
        let stages = self.stages(&Known { ends, is_submitted });
        let (done, total) = stages
            .iter()
            .map(|(_, stage)| stage.seconds())
            .fold((0.0, 0.0), |sum, stage| (sum.0 + stage.0, sum.1 + stage.1));
        let words = stages.iter().filter(|(_, stage)| stage.total > 0);
        let words: Vec<_> =
            words.map(|(name, stage)| format!("{name} {}/{}", stage.done, stage.total)).collect();
        if words.is_empty() {
            return (if ends.is_empty() { 0.0 } else { MOST }, "everything was made before".to_owned());
        }
        let fraction = if total > 0.0 { (done / total).min(MOST) } else { 0.0 };
        (fraction, words.join(", "))
    }

    fn stages(&self, known: &Known<'_>) -> [(&'static str, Stage); 4] {
        let mut stages = [
            ("voices", Stage::default()),
            ("pictures", Stage::default()),
            ("clips", Stage::default()),
            ("frames", Stage::default()),
        ];
        let [(_, voices), (_, pictures), (_, clips), (_, frames)] = &mut stages;
        let (voice_s, picture_s) = (
            if self.abilities.has_draft_voices { 0.01 } else { 0.4 },
            if self.abilities.has_draft_pictures { 0.3 } else { 10.0 },
        );
        let until = self.until();
        for subject in self.made_sheets() {
            pictures.count(known.step(&subject.step(), picture_s, false));
        }
        for shot in self.spec.project.shots.iter().filter(|shot| self.is_selected(&shot.id)) {
            if until >= StoryStage::Voices && shot.voice_file.is_empty() && shot.is_spoken() {
                voices.count(known.step(&format!("voice/{}", shot.id), voice_s, false));
            }
            if until >= StoryStage::Pictures && shot.picture_file.is_empty() && shot.clip_file.is_empty() {
                pictures.count(known.step(&format!("picture/{}", shot.id), picture_s, false));
            }
            if self.makes_clip(shot) {
                let picture = format!("picture/{}", shot.id);
                clips.count(known.step(&format!("clip/{}", shot.id), 60.0, known.is_cached(&picture)));
            }
        }
        if self.makes_film() {
            self.count_frames(frames, known);
        }
        stages
    }

    /// Whether the cache had everything that a shot shows, and everything that it says.
    fn has_cached_inputs(&self, shot: &Shot, known: &Known<'_>) -> (bool, bool) {
        let cached = |stage: &str| known.is_cached(&format!("{stage}/{}", shot.id));
        let has_visual = if self.makes_clip(shot) {
            cached("clip")
        } else {
            !shot.clip_file.is_empty() || !shot.picture_file.is_empty() || cached("picture")
        };
        (has_visual, !shot.voice_file.is_empty() || !shot.is_spoken() || cached("voice"))
    }

    fn count_frames(&self, frames: &mut Stage, known: &Known<'_>) {
        let Some(placement) = self.place(known.ends) else { return };
        let video = &self.spec.project.video;
        let pixels = f64::from(video.size.width) * f64::from(video.size.height);
        // A second of film takes about 0.8 s at 1080p and 30 frames per second. Each run of the program takes about 0.1 s to start.
        let usual = |count: u64| 0.1 + count as f64 / f64::from(video.fps) * 0.8 * pixels / (1920.0 * 1080.0);
        let next = self.spec.project.shots.iter().skip(1).map(Some).chain([None]);
        let shots = self.spec.project.shots.iter().zip(&placement.timeline.shots).zip(next);
        let (mut has_all_visuals, mut has_all_voices) = (true, true);
        for ((shot, placed), next) in shots {
            let (has_visual, has_voice) = self.has_cached_inputs(shot, known);
            let is_same = has_visual && has_voice;
            let body = usual(placed.body.end - placed.body.start);
            frames.count(known.step(&format!("render/{}", shot.id), body, is_same));
            if let Some(next) = next.filter(|_| placed.transition_frames > 0) {
                let is_same = is_same && self.has_cached_inputs(next, known) == (true, true);
                let name = format!("transition/{}", next.id);
                frames.count(known.step(&name, usual(placed.transition_frames), is_same));
            }
            has_all_visuals &= has_visual;
            has_all_voices &= has_voice;
        }
        let sound_s = 1.0 + placement.timeline.samples as f64 / 48_000.0 * 0.02;
        frames.count(known.step("mix", sound_s, has_all_voices));
        // Whether the film was joined of the same parts is known once they have ended.
        let is_same = has_all_visuals && has_all_voices && frames.total == 0;
        frames.count(known.step("join", sound_s, is_same));
    }
}
