//! The steps of a story that can be carried out, because everything that they need exists.

use std::ops::RangeInclusive;

use reel_protocol::{
    AudioMixParams, BurntOutline, BurntPosition, BurntStyle, CameraMove, FilmFormat, ImageParams, JsonText,
    Music, Output, PlacedVoice, SpeechParams, StoryPart, StoryStage, SubtitleTrack, VideoParams,
};
use reel_story::{
    SubtitleOutline, SubtitlePosition, SubtitleSize,
    camera::Camera,
    project::{Project, Shot, Subtitles, Video},
    srt,
    timeline::{PlacedShot, SAMPLE_RATE},
};
use serde::Serialize;

use super::{
    Story,
    material::{Visual, Voice},
    place::Placement,
};
use crate::workflows::{
    film::{FilmPlan, FilmShot, Shown},
    run::cache_mode,
    step::{Step, StepEnds},
};

/// The name of the embedded provider of drafts.
const DRAFT: &str = "draft";
/// The fields with which it writes a text on a plain ground.
const CARD: &str = r#"{"card":true}"#;
/// The widths and heights of the pictures that it makes, in pixels.
const DRAFT_SIDES: RangeInclusive<u32> = reel_draft::MIN_SIDE..=reel_draft::MAX_SIDE;

impl Story {
    pub(super) fn steps(&self, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> Vec<Step> {
        let mut steps = self.sheet_steps(is_known);
        let placement = self.place(ends);
        for (index, shot) in self.spec.project.shots.iter().enumerate() {
            if !self.is_selected(&shot.id) {
                continue;
            }
            self.add_material(shot, ends, is_known, &mut steps);
            if !is_known(&format!("clip/{}", shot.id))
                && let Some(frames) =
                    placement.as_ref().and_then(|placement| placement.final_clip_frames(index))
            {
                steps.extend(self.clip_step(index, frames, ends));
            }
        }
        if let Some(placement) = placement.filter(|_| self.makes_film()) {
            steps.extend(self.film(&placement, ends, is_known).steps(ends, is_known));
        }
        steps
    }

    /// Adds the steps for the voice and the picture of a shot.
    fn add_material(
        &self,
        shot: &Shot,
        ends: &StepEnds,
        is_known: &dyn Fn(&str) -> bool,
        steps: &mut Vec<Step>,
    ) {
        let is_open = |stage: &str| !is_known(&format!("{stage}/{}", shot.id));
        let until = self.until();
        let is_spoken = shot.voice_file.is_empty() && shot.is_spoken();
        if until >= StoryStage::Voices && is_spoken && is_open("voice") {
            steps.push(self.voice_step(shot));
        }
        if until < StoryStage::Pictures || !shot.clip_file.is_empty() {
            return;
        }
        if shot.picture_file.is_empty() && is_open("picture") {
            steps.extend(self.picture_step(shot, ends));
        }
        let needs_card = until == StoryStage::Film
            && self.spec.params.allow_missing
            && matches!(self.picture(shot, ends), Visual::Missing);
        if needs_card && is_open("card") {
            steps.push(self.card_step(shot));
        }
    }

    fn voice_step(&self, shot: &Shot) -> Step {
        let is_draft = self.abilities.has_draft_voices;
        let params = SpeechParams {
            voice: self.spec.project.voice_name(shot).filter(|_| !is_draft).map(str::to_owned),
            language: self.language.clone(),
            ..SpeechParams::new(shot.narration())
        };
        let step = self.step("voice", shot, "voice.speak", &params, Some(StoryPart::Voice));
        provided(step, is_draft.then_some(DRAFT))
    }

    /// Returns the step that makes a picture. None while a sheet of one of its characters is being made.
    fn picture_step(&self, shot: &Shot, ends: &StepEnds) -> Option<Step> {
        let (prompt, input_images) = self.prompt_and_inputs(shot, ends)?;
        let (width, height) = self.spec.project.picture_size(self.abilities.has_draft_pictures);
        let style = &self.spec.project.video.style;
        let params = ImageParams {
            width,
            height,
            sample: sample(shot),
            style: (self.abilities.has_known_style && !style.is_empty()).then(|| style.clone()),
            extra: Project::picture_extra(self.abilities.has_draft_pictures)
                .and_then(|extra| JsonText::parse(extra.to_owned()).ok()),
            input_images,
            ..ImageParams::new(prompt)
        };
        Some(self.step("picture", shot, "image.generate", &params, Some(StoryPart::Picture)))
    }

    /// Returns the step that generates a clip of a shot whose length in frames is final. None if the shot has no clip, or no picture yet.
    fn clip_step(&self, index: usize, frames: u64, ends: &StepEnds) -> Option<Step> {
        let shot = self.spec.project.shots.get(index).filter(|shot| self.makes_clip(shot))?;
        let Visual::Picture(picture) = self.picture(shot, ends) else { return None };
        let last_image = match self.spec.project.last_picture(index) {
            Some(other) => match self.picture(other, ends) {
                Visual::Picture(last) => Some(last.digest),
                // The other shot is not complete either, and this clip ends as the provider likes.
                Visual::Missing => None,
                Visual::Clip(_) | Visual::Pending => return None,
            },
            None => None,
        };
        let seconds = frames as f64 / f64::from(self.spec.project.video.fps);
        let motion = if shot.motion.trim().is_empty() { self.prompt(shot) } else { shot.motion.clone() };
        let params = VideoParams {
            image: Some(picture.digest),
            last_image,
            duration_s: Some(seconds.ceil()),
            sample: sample(shot),
            ..VideoParams::new(motion)
        };
        Some(self.step("clip", shot, "video.generate", &params, Some(StoryPart::Clip)))
    }

    /// Returns the step that makes a card in place of a picture that could not be made. The card names the shot.
    fn card_step(&self, shot: &Shot) -> Step {
        let within = |side: u32| side.clamp(*DRAFT_SIDES.start(), *DRAFT_SIDES.end());
        let size = self.spec.project.video.size;
        let params = ImageParams {
            width: within(size.width),
            height: within(size.height),
            extra: JsonText::parse(CARD.to_owned()).ok(),
            ..ImageParams::new(format!("The picture of shot {} is missing", shot.id))
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
        let is_redone = part.is_some_and(|part| self.is_redone(shot, part));
        let name = format!("{stage}/{}", shot.id);
        let mut step = Step::new(name, kind, params);
        step.spec.cache = cache_mode(is_redone);
        step
    }

    fn is_redone(&self, shot: &Shot, part: StoryPart) -> bool {
        self.spec.params.redo.iter().any(|redo| redo.id == shot.id && redo.stage == part)
    }

    /// Returns the film, as far as its parts are known.
    fn film(&self, placement: &Placement, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> FilmPlan {
        let video = &self.spec.project.video;
        let format = FilmFormat { width: video.size.width, height: video.size.height, fps: video.fps };
        let placed = placement.timeline.shots.iter().zip(&placement.exact);
        let shots = self.spec.project.shots.iter().zip(placed).enumerate();
        let film_shot =
            |(index, (shot, (placed, is_exact))): (usize, (&Shot, (&PlacedShot, &bool)))| FilmShot {
                id: shot.id.clone(),
                shown: shown(shot, &self.visual(shot, ends), placed, format.fps),
                placed: placed.clone(),
                is_exact: *is_exact,
                cues: if is_known(&format!("render/{}", shot.id)) {
                    Vec::new()
                } else {
                    self.burnt_cues(index, placed, format.fps)
                },
                titles: self.burnt_titles(index, placed, format.fps),
                is_redone: self.is_redone(shot, StoryPart::Render),
            };
        let has_track = video.subtitles.contains(&Subtitles::Track) && placement.is_exact();
        let srt = if has_track { self.srt(placement) } else { String::new() };
        FilmPlan {
            format,
            style: subtitle_style(video),
            shots: shots.map(film_shot).collect(),
            sound: placement.is_exact().then(|| self.sound(placement, ends)),
            track: (!srt.is_empty()).then(|| SubtitleTrack { srt, language: self.language.clone() }),
        }
    }

    fn sound(&self, placement: &Placement, ends: &StepEnds) -> AudioMixParams {
        let video = &self.spec.project.video;
        let voices = self.spec.project.shots.iter().zip(&placement.timeline.shots);
        let voices = voices.filter_map(|(shot, placed)| match self.voice(shot, ends) {
            Voice::Known(output, _) => {
                Some(PlacedVoice { voice: output.digest, at_sample: placed.speech_start, samples: None })
            }
            _ => None,
        });
        AudioMixParams {
            samples: placement.timeline.samples,
            voices: voices.collect(),
            music: self
                .supplied(&video.music)
                .map(|music| Music { digest: music.digest, db: video.music_db }),
            loudness: video.loudness,
        }
    }

    /// Returns the film's subtitles as SRT. Empty if nothing is spoken.
    pub(super) fn srt(&self, placement: &Placement) -> String {
        let shots = placement.timeline.shots.iter().enumerate();
        let cues: Vec<_> = shots.flat_map(|(index, placed)| self.cues(index, placed)).collect();
        srt(&cues)
    }
}

/// Returns the appearance of the subtitles that the project sets; None for the usual one.
fn subtitle_style(video: &Video) -> Option<BurntStyle> {
    let size = Some(video.subtitle_size).filter(|size| *size != SubtitleSize::Medium);
    let style = BurntStyle {
        size: size.map(|size| size.pixels((video.size.width, video.size.height))),
        position: match video.subtitle_position {
            SubtitlePosition::Bottom => BurntPosition::Bottom,
            SubtitlePosition::Middle => BurntPosition::Middle,
            SubtitlePosition::Top => BurntPosition::Top,
        },
        outline: match video.subtitle_outline {
            SubtitleOutline::On => BurntOutline::On,
            SubtitleOutline::Box => BurntOutline::Box,
            SubtitleOutline::None => BurntOutline::None,
        },
    };
    Some(style).filter(|style| *style != BurntStyle::default())
}

/// Returns the picture or clip for the frames of a shot. None if it does not exist yet.
fn shown(shot: &Shot, visual: &Visual<'_>, placed: &PlacedShot, fps: u32) -> Option<Shown> {
    let (output, is_clip) = match visual {
        Visual::Picture(output) => (output, false),
        Visual::Clip(output) => (output, true),
        Visual::Pending | Visual::Missing => return None,
    };
    let still_frames = if is_clip { still_frames(output, placed, fps) } else { 0 };
    Some(Shown { visual: output.digest, camera: camera_move(shot.camera), is_clip, still_frames })
}

/// Returns the number of frames for which a clip stays at its first frame: while a title is shown, as far as the clip is too short for the shot. A
/// clip is generated without time for titles, and would otherwise stand still during the narration.
fn still_frames(clip: &Output, placed: &PlacedShot, fps: u32) -> u64 {
    let Some(seconds) = clip.duration_s else { return 0 };
    let lacking = placed.drawn_frames.saturating_sub((seconds * f64::from(fps)).round() as u64);
    let title = (placed.title.end - placed.title.start) * u64::from(fps) / u64::from(SAMPLE_RATE);
    title.min(lacking)
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

fn provided(mut step: Step, provider: Option<&str>) -> Step {
    step.spec.provider = provider.map(str::to_owned);
    step
}
