//! The steps that can be carried out: what each needs is there.

use std::ops::RangeInclusive;

use reel_protocol::{
    AudioMixParams, CameraMove, FilmFormat, FilmedVisual, ImageParams, JoinedClip, Music, Output,
    PlacedVoice, RenderJoinParams, RenderShotParams, RenderTransitionParams, SpeechParams, StoryPart,
    StoryStage, SubtitleTrack, TaskSpec, VideoParams,
};
use reel_story::{
    camera::Camera,
    project::{Shot, Subtitles},
    srt,
    timeline::PlacedShot,
};
use serde::Serialize;
use serde_json::json;

use super::{
    Story,
    look::{Visual, Voice},
    place::Placement,
};
use crate::workflows::{
    doors::params_of,
    run::cache_mode,
    step::{Step, StepEnds},
};

/// The name of the embedded provider of drafts.
const DRAFT: &str = "draft";
/// The sides of its pictures, in pixels.
const DRAFT_SIDES: RangeInclusive<u32> = reel_draft::MIN_SIDE..=reel_draft::MAX_SIDE;

impl Story {
    pub(super) fn steps(&self, ends: &StepEnds) -> Vec<Step> {
        let mut steps = Vec::new();
        for shot in self.spec.project.shots.iter().filter(|shot| self.is_selected(&shot.id)) {
            self.add_material(shot, ends, &mut steps);
        }
        if self.makes_film()
            && let Some(placement) = self.place(ends)
        {
            self.add_film(&placement, ends, &mut steps);
        }
        steps
    }

    /// The voice, the picture and the clip of a shot.
    fn add_material(&self, shot: &Shot, ends: &StepEnds, steps: &mut Vec<Step>) {
        let until = self.until();
        if until >= StoryStage::Voices && shot.voice_file.is_empty() && shot.is_spoken() {
            steps.push(self.voice_step(shot));
        }
        if until < StoryStage::Pictures || !shot.clip_file.is_empty() {
            return;
        }
        if shot.picture_file.is_empty() {
            steps.push(self.picture_step(shot));
        }
        if self.makes_clip(shot)
            && let Visual::Picture(picture) = self.picture(shot, ends)
        {
            steps.extend(self.clip_step(shot, picture, ends));
        }
        let needs_card = until == StoryStage::Film
            && self.spec.params.allow_missing
            && matches!(self.picture(shot, ends), Visual::Missing);
        if needs_card {
            steps.push(self.card_step(shot));
        }
    }

    fn voice_step(&self, shot: &Shot) -> Step {
        let is_draft = self.setting.has_draft_voices;
        let params = SpeechParams {
            voice: self.spec.project.voice_name(shot).filter(|_| !is_draft).map(str::to_owned),
            language: self.language.clone(),
            sample: sample(shot),
            ..SpeechParams::new(shot.narration())
        };
        let step = self.step("voice", shot, "voice.speak", &params, Some(StoryPart::Voice));
        provided(step, is_draft.then_some(DRAFT))
    }

    fn picture_step(&self, shot: &Shot) -> Step {
        let (width, height) = self.spec.project.picture_size(self.setting.has_draft_pictures);
        let style = &self.spec.project.video.style;
        let params = ImageParams {
            width,
            height,
            sample: sample(shot),
            style: (self.setting.has_known_style && !style.is_empty()).then(|| style.clone()),
            // The words are spoken and subtitled: below the picture they would be there twice.
            extra: self.setting.has_draft_pictures.then(|| params_of(&json!({ "caption": false }))),
            ..ImageParams::new(self.prompt(shot))
        };
        self.step("picture", shot, "image.generate", &params, Some(StoryPart::Picture))
    }

    /// A clip is asked for once the length of its shot is known.
    fn clip_step(&self, shot: &Shot, picture: &Output, ends: &StepEnds) -> Option<Step> {
        let index = self.spec.project.shots.iter().position(|one| one.id == shot.id)?;
        let placement = self.place(ends)?;
        let placed =
            placement.timeline.shots.get(index).filter(|_| placement.exact.get(index) == Some(&true))?;
        let seconds = placed.drawn_frames as f64 / f64::from(placement.timeline.fps);
        let motion = if shot.motion.trim().is_empty() { self.prompt(shot) } else { shot.motion.clone() };
        let params = VideoParams {
            image: Some(picture.digest),
            duration_s: Some(seconds.ceil()),
            sample: sample(shot),
            ..VideoParams::new(motion)
        };
        Some(self.step("clip", shot, "video.generate", &params, Some(StoryPart::Clip)))
    }

    /// A draft in place of a picture that could not be made.
    fn card_step(&self, shot: &Shot) -> Step {
        let within = |side: u32| side.clamp(*DRAFT_SIDES.start(), *DRAFT_SIDES.end());
        let size = self.spec.project.video.size;
        let params = ImageParams {
            width: within(size.width),
            height: within(size.height),
            ..ImageParams::new(self.prompt(shot))
        };
        provided(self.step("card", shot, "image.generate", &params, None), Some(DRAFT))
    }

    fn step<P: Serialize>(
        &self,
        stage: &str,
        shot: &Shot,
        kind: &str,
        params: &P,
        part: Option<StoryPart>,
    ) -> Step {
        let is_redone =
            self.spec.params.redo.iter().any(|redo| redo.id == shot.id && Some(redo.stage) == part);
        let name = format!("{stage}/{}", shot.id);
        let mut step = step(name, kind, params);
        step.spec.cache = cache_mode(is_redone);
        step
    }

    fn format(&self) -> FilmFormat {
        let video = &self.spec.project.video;
        FilmFormat { width: video.size.width, height: video.size.height, fps: video.fps }
    }

    /// Everything from the shots' frames to the film.
    fn add_film(&self, placement: &Placement, ends: &StepEnds, steps: &mut Vec<Step>) {
        let shots = &self.spec.project.shots;
        let seen: Vec<Option<Seen>> = shots
            .iter()
            .zip(&placement.timeline.shots)
            .map(|(shot, placed)| Seen::of(shot, &self.visual(shot, ends), placed))
            .collect();
        for (index, (shot, placed)) in shots.iter().zip(&placement.timeline.shots).enumerate() {
            let Some(Some(this)) = seen.get(index).filter(|_| placement.exact.get(index) == Some(&true))
            else {
                continue;
            };
            steps.push(self.render_step(index, shot, placed, this));
            let next = shots.get(index + 1).zip(seen.get(index + 1).and_then(Option::as_ref));
            // A clip is fitted to its shot, so its length must be known too.
            let is_known = next.is_some_and(|(_, next)| {
                next.shot_frames.is_none() || placement.exact.get(index + 1) == Some(&true)
            });
            if let Some((next_shot, next)) = next.filter(|_| placed.transition_frames > 0 && is_known) {
                let params = RenderTransitionParams {
                    format: self.format(),
                    from: this.from(placed.frames),
                    to: next.from(0),
                    frames: placed.transition_frames,
                };
                steps.push(step(format!("transition/{}", next_shot.id), "render.transition", &params));
            }
        }
        if placement.is_exact() {
            steps.push(self.mix_step(placement, ends));
            steps.extend(self.join_step(placement, ends));
        }
    }

    fn render_step(&self, index: usize, shot: &Shot, placed: &PlacedShot, seen: &Seen) -> Step {
        let params = RenderShotParams {
            format: self.format(),
            show: seen.from(placed.body.start),
            frames: placed.body.end - placed.body.start,
            subtitles: self.burnt_cues(index, placed, self.spec.project.video.fps),
        };
        self.step("render", shot, "render.shot", &params, Some(StoryPart::Render))
    }

    fn mix_step(&self, placement: &Placement, ends: &StepEnds) -> Step {
        let video = &self.spec.project.video;
        let voices = self.spec.project.shots.iter().zip(&placement.timeline.shots);
        let voices = voices.filter_map(|(shot, placed)| match self.voice(shot, ends) {
            Voice::Known(output, _) => {
                Some(PlacedVoice { voice: output.digest, at_sample: placed.speech_start, samples: None })
            }
            _ => None,
        });
        let params = AudioMixParams {
            samples: placement.timeline.samples,
            voices: voices.collect(),
            music: self
                .supplied(&video.music)
                .map(|music| Music { digest: music.digest, db: video.music_db }),
            loudness: video.loudness,
        };
        step("mix".to_owned(), "audio.mix", &params)
    }

    /// The film, once all of its parts are there.
    fn join_step(&self, placement: &Placement, ends: &StepEnds) -> Option<Step> {
        let part = |name: String, frames: u64| {
            let output = ends.get(&name)?.output.as_ref()?;
            Some(JoinedClip { clip: output.digest, frames })
        };
        let mut clips = Vec::new();
        let shots = &self.spec.project.shots;
        for (index, (shot, placed)) in shots.iter().zip(&placement.timeline.shots).enumerate() {
            clips.push(part(format!("render/{}", shot.id), placed.body.end - placed.body.start)?);
            if let Some(next) = shots.get(index + 1).filter(|_| placed.transition_frames > 0) {
                clips.push(part(format!("transition/{}", next.id), placed.transition_frames)?);
            }
        }
        let audio = ends.get("mix")?.output.as_ref()?.digest;
        let srt = self.srt(placement);
        let has_track = self.spec.project.video.subtitles.contains(&Subtitles::Track);
        let track =
            (has_track && !srt.is_empty()).then(|| SubtitleTrack { srt, language: self.language.clone() });
        let params = RenderJoinParams { format: self.format(), clips, audio: Some(audio), subtitles: track };
        Some(step("join".to_owned(), "render.join", &params))
    }

    /// The film's subtitles as SRT; empty where nothing is spoken.
    pub(super) fn srt(&self, placement: &Placement) -> String {
        let shots = placement.timeline.shots.iter().enumerate();
        let cues: Vec<_> = shots.flat_map(|(index, placed)| self.cues(index, placed)).collect();
        srt(&cues)
    }
}

/// What a shot shows, as its frames name it.
#[derive(Debug)]
struct Seen {
    visual: reel_protocol::Digest,
    camera: CameraMove,
    /// Of a clip, which is fitted to its shot.
    shot_frames: Option<u64>,
}

impl Seen {
    fn of(shot: &Shot, visual: &Visual<'_>, placed: &PlacedShot) -> Option<Self> {
        let (output, shot_frames) = match visual {
            Visual::Picture(output) => (output, None),
            Visual::Clip(output) => (output, Some(placed.drawn_frames)),
            Visual::Open | Visual::Missing => return None,
        };
        Some(Self { visual: output.digest, camera: camera_move(shot.camera), shot_frames })
    }

    const fn from(&self, first_frame: u64) -> FilmedVisual {
        FilmedVisual { visual: self.visual, camera: self.camera, first_frame, shot_frames: self.shot_frames }
    }
}

const fn camera_move(camera: Camera) -> CameraMove {
    match camera {
        Camera::Still => CameraMove::Still,
        Camera::In => CameraMove::In,
        Camera::Out => CameraMove::Out,
        Camera::Left => CameraMove::Left,
        Camera::Right => CameraMove::Right,
        Camera::Up => CameraMove::Up,
        Camera::Down => CameraMove::Down,
    }
}

fn sample(shot: &Shot) -> u32 {
    u32::try_from(shot.sample).unwrap_or(u32::MAX)
}

fn step<P: Serialize>(name: String, kind: &str, params: &P) -> Step {
    let spec = TaskSpec {
        kind: kind.to_owned(),
        params: params_of(params),
        name: Some(name.clone()),
        ..TaskSpec::default()
    };
    Step { name, spec }
}

fn provided(mut step: Step, provider: Option<&str>) -> Step {
    step.spec.provider = provider.map(str::to_owned);
    step
}
