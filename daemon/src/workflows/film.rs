//! The steps that turn shots into a film: the frames of each shot, the dissolves between them, the sound, and the join of all parts. Pure.

use std::ops::Range;

use reel_protocol::{
    AudioMixParams, BurntCue, BurntStyle, BurntTitle, CameraMove, Digest, FilmFormat, FilmedVisual,
    JoinedClip, RenderJoinParams, RenderShotParams, RenderTransitionParams, SubtitleTrack,
};
use reel_story::{
    Cue,
    timeline::{PlacedShot, SAMPLE_RATE, samples_at},
};

use super::{
    run::cache_mode,
    step::{Step, StepEnds},
};

/// The name of the step that makes the sound. `JOIN` is that of the step that joins the film.
const MIX: &str = "mix";
const JOIN: &str = "join";

/// The parts of a film that are known so far.
#[derive(Debug)]
pub(super) struct FilmPlan {
    pub format: FilmFormat,
    /// The appearance of the subtitles that are drawn into frames. None for the usual one.
    pub style: Option<BurntStyle>,
    pub shots: Vec<FilmShot>,
    /// The sound. None until the length of every shot is known.
    pub sound: Option<AudioMixParams>,
    /// The subtitle track, if the film has one.
    pub track: Option<SubtitleTrack>,
}

/// A shot of a film.
#[derive(Debug)]
pub(super) struct FilmShot {
    pub id: String,
    /// The picture or clip of the shot. None until it exists.
    pub shown: Option<Shown>,
    pub placed: PlacedShot,
    /// Whether the length of the shot is final and not an estimate.
    pub is_exact: bool,
    /// The subtitles that are drawn into its frames.
    pub cues: Vec<BurntCue>,
    /// The titles that are drawn into its frames.
    pub titles: Vec<BurntTitle>,
    /// Whether its clip is rendered again, without the cache.
    pub is_redone: bool,
}

/// The picture or clip of a shot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub visual: Digest,
    pub camera: CameraMove,
    /// Whether it is a clip. A clip is fitted to the length of its shot.
    pub is_clip: bool,
    /// The number of frames for which a clip stays at its first frame.
    pub still_frames: u64,
}

/// Converts samples of the film to frames of a shot that starts at a sample: the first frame, and at least one frame in all.
pub(super) fn frames_of(samples: &Range<u64>, shot_start: u64, fps: u32) -> (u64, u64) {
    let frame = |sample: u64| sample.saturating_sub(shot_start) * u64::from(fps) / u64::from(SAMPLE_RATE);
    let first = frame(samples.start);
    (first, frame(samples.end).saturating_sub(first).max(1))
}

/// Converts the times of subtitles in the film to frames of their shot.
pub(super) fn burnt_cues(cues: Vec<Cue>, placed: &PlacedShot, fps: u32) -> Vec<BurntCue> {
    let start = samples_at(placed.start_frame, fps);
    let burnt = |cue: Cue| {
        let (first_frame, frames) = frames_of(&cue.samples, start, fps);
        BurntCue { first_frame, frames, lines: cue.lines }
    };
    cues.into_iter().map(burnt).collect()
}

impl FilmShot {
    fn from(&self, shown: Shown, first_frame: u64) -> FilmedVisual {
        let shot_frames = shown.is_clip.then_some(self.placed.drawn_frames);
        FilmedVisual {
            visual: shown.visual,
            camera: shown.camera,
            first_frame,
            shot_frames,
            still_frames: shown.still_frames,
        }
    }

    /// Returns the frames of the shot that a dissolve uses. None if the shot has nothing to show yet, or if it is a clip whose shot has no final
    /// length.
    fn dissolving(&self, first_frame: u64) -> Option<FilmedVisual> {
        let shown = self.shown.filter(|shown| self.is_exact || !shown.is_clip)?;
        Some(self.from(shown, first_frame))
    }

    /// Returns the name of the step that renders the frames of the shot.
    fn render(&self) -> String {
        format!("render/{}", self.id)
    }

    /// Returns the name of the dissolve from the previous shot to this one.
    fn transition(&self) -> String {
        format!("transition/{}", self.id)
    }
}

impl FilmPlan {
    /// Returns the steps that can be carried out.
    pub(super) fn steps(&self, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> Vec<Step> {
        let mut steps = Vec::new();
        let next = self.shots.iter().skip(1).map(Some).chain([None]);
        for (shot, next) in self.shots.iter().zip(next) {
            if !is_known(&shot.render()) {
                steps.extend(self.render_step(shot));
            }
            if let Some(next) = next.filter(|next| !is_known(&next.transition())) {
                steps.extend(self.transition_step(shot, next));
            }
        }
        if let Some(sound) = &self.sound {
            if !is_known(MIX) {
                steps.push(Step::new(MIX.to_owned(), "audio.mix", sound));
            }
            if !is_known(JOIN) {
                steps.extend(self.join_step(ends));
            }
        }
        steps
    }

    fn render_step(&self, shot: &FilmShot) -> Option<Step> {
        let body = &shot.placed.body;
        let params = RenderShotParams {
            format: self.format,
            show: shot.from(shot.shown.filter(|_| shot.is_exact)?, body.start),
            frames: body.end - body.start,
            subtitles: shot.cues.clone(),
            subtitle_style: self.style.filter(|_| !shot.cues.is_empty()),
            titles: shot.titles.clone(),
        };
        let mut step = Step::new(shot.render(), "render.shot", &params);
        step.spec.cache = cache_mode(shot.is_redone);
        Some(step)
    }

    fn transition_step(&self, shot: &FilmShot, next: &FilmShot) -> Option<Step> {
        let frames = shot.placed.transition_frames;
        if frames == 0 || !shot.is_exact {
            return None;
        }
        let params = RenderTransitionParams {
            format: self.format,
            from: shot.dissolving(shot.placed.frames)?,
            to: next.dissolving(0)?,
            frames,
        };
        Some(Step::new(next.transition(), "render.transition", &params))
    }

    /// Returns the step that joins the film. None until all parts exist.
    fn join_step(&self, ends: &StepEnds) -> Option<Step> {
        let part = |name: String, frames: u64| {
            let output = ends.get(&name)?.output.as_ref()?;
            Some(JoinedClip { clip: output.digest, frames })
        };
        let mut clips = Vec::new();
        let next = self.shots.iter().skip(1).map(Some).chain([None]);
        for (shot, next) in self.shots.iter().zip(next) {
            clips.push(part(shot.render(), shot.placed.body.end - shot.placed.body.start)?);
            if let Some(next) = next.filter(|_| shot.placed.transition_frames > 0) {
                clips.push(part(next.transition(), shot.placed.transition_frames)?);
            }
        }
        let audio = ends.get(MIX)?.output.as_ref()?.digest;
        let (format, subtitles) = (self.format, self.track.clone());
        let params = RenderJoinParams { format, clips, audio: Some(audio), subtitles };
        Some(Step::new(JOIN.to_owned(), "render.join", &params))
    }
}
