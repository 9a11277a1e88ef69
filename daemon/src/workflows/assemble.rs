//! The workflow of `video.assemble`, which makes a film of artifacts in the store. Pure, except for reading the facts of these artifacts.

use std::collections::BTreeMap;

use reel_protocol::{
    AssembledShot, AssembledSubtitles, AssembledTitle, AudioMixParams, BurntTitle, Digest, ErrorCode, Output,
    PlacedVoice, SubtitleTrack, TaskError,
};
use reel_story::{
    Cue, cues, language, srt,
    timeline::{PlacedShot, f64_samples, samples_at},
};

use super::{
    film::{FilmPlan, FilmShot, Shown, burnt_cues},
    handles::Handles,
    run::task_error,
    step::{Outcome, Step, StepEnds, Workflow},
};
use crate::service::Timeline;

/// A film that is being assembled.
#[derive(Debug)]
pub(super) struct Assembly {
    plan: FilmPlan,
}

impl Assembly {
    /// Begins the film of a timeline: it reads the facts of the artifacts that the timeline names.
    pub(super) async fn begin(handles: &Handles, timeline: Timeline) -> Result<Self, TaskError> {
        let shots = timeline.asked.shots.iter().flat_map(|shot| [Some(shot.visual), shot.voice]);
        let digests = shots.chain([timeline.asked.music.map(|music| music.digest)]).flatten().collect();
        let found = handles.artifacts(digests).await.map_err(|error| {
            let message = format!("the media could not be looked up: {error}");
            task_error(ErrorCode::StorageFailed.name(), message, "reel daemon logs shows the cause", true)
        })?;
        Self::new(&timeline, &found)
    }

    fn new(timeline: &Timeline, found: &BTreeMap<Digest, Output>) -> Result<Self, TaskError> {
        let format = timeline.asked.format;
        let (mut shots, mut voices, mut all_cues) = (Vec::new(), Vec::new(), Vec::new());
        let told = timeline.asked.shots.iter().filter_map(|shot| shot.subtitle.as_deref());
        let language = language(&told.collect::<Vec<_>>().join("\n"));
        for ((shot, placed), id) in timeline.asked.shots.iter().zip(&timeline.placed).zip(&timeline.ids) {
            let visual = medium(found, shot.visual, id, &["image/", "video/"])?;
            let voice = shot.voice.map(|digest| medium(found, digest, id, &["audio/"])).transpose()?;
            if let Some(voice) = voice {
                voices.push(PlacedVoice {
                    voice: voice.digest,
                    at_sample: placed.speech_start,
                    samples: None,
                });
            }
            let shown = cues_of(shot, placed, voice, language, format.fps);
            let is_burnt = timeline.asked.subtitles == AssembledSubtitles::Burn;
            shots.push(FilmShot {
                id: id.clone(),
                shown: Some(Shown {
                    visual: visual.digest,
                    camera: shot.camera,
                    is_clip: visual.media_type.starts_with("video/"),
                    still_frames: 0,
                }),
                placed: placed.clone(),
                is_exact: true,
                titles: burnt_titles(shot, placed, format.fps),
                cues: if is_burnt { burnt_cues(shown.clone(), placed, format.fps) } else { Vec::new() },
                is_redone: false,
            });
            all_cues.extend(shown);
        }
        if let Some(music) = timeline.asked.music {
            medium(found, music.digest, "music", &["audio/"])?;
        }
        let sound = AudioMixParams {
            samples: timeline.samples(),
            voices,
            music: timeline.asked.music,
            loudness: timeline.asked.loudness,
        };
        let has_track = timeline.asked.subtitles == AssembledSubtitles::Track && !all_cues.is_empty();
        let track =
            has_track.then(|| SubtitleTrack { srt: srt(&all_cues), language: language.map(str::to_owned) });
        Ok(Self {
            plan: FilmPlan { format, style: timeline.asked.subtitle_style, shots, sound: Some(sound), track },
        })
    }
}

/// Finds the artifact with this digest. It is an error if the store does not have it, or if it has none of these media types.
fn medium<'a>(
    found: &'a BTreeMap<Digest, Output>,
    digest: Digest,
    whose: &str,
    types: &[&str],
) -> Result<&'a Output, TaskError> {
    let hint = "put the file with artifact.put, and name its digest";
    let output = found.get(&digest).ok_or_else(|| {
        let message = format!("{whose}: the store has no artifact {digest}");
        task_error(ErrorCode::ArtifactNotFound.name(), message, hint, false)
    })?;
    if types.iter().any(|wanted| output.media_type.starts_with(wanted)) {
        return Ok(output);
    }
    let wanted = types.iter().map(|wanted| wanted.trim_end_matches('/')).collect::<Vec<_>>().join(" or ");
    let message = format!("{whose}: the artifact is {}, and {wanted} is needed", output.media_type);
    Err(task_error(ErrorCode::InvalidParams.name(), message, hint, false))
}

/// Returns the subtitles of a shot. They are shown while its voice speaks. If the duration of the voice is unknown, or there is none, they are shown
/// from the end of the transition into the shot to the end of the shot.
fn cues_of(
    shot: &AssembledShot,
    placed: &PlacedShot,
    voice: Option<&Output>,
    language: Option<&str>,
    fps: u32,
) -> Vec<Cue> {
    let Some(text) = &shot.subtitle else { return Vec::new() };
    let start = samples_at(placed.start_frame, fps);
    let end = samples_at(placed.start_frame + placed.frames, fps);
    let body = samples_at(placed.start_frame + placed.body.start, fps);
    let spoken = match voice.and_then(|voice| voice.duration_s) {
        Some(seconds) => placed.speech_start..(placed.speech_start + f64_samples(seconds)).min(end),
        None => body.max(start)..end,
    };
    cues(text, spoken, language)
}

/// Converts the times of titles to frames of their shot. A title is not shown during the transition into the shot.
fn burnt_titles(shot: &AssembledShot, placed: &PlacedShot, fps: u32) -> Vec<BurntTitle> {
    let frame = |seconds: f64| (seconds * f64::from(fps)).round() as u64;
    let title = |title: &AssembledTitle| {
        let first_frame = frame(title.at_s).max(placed.body.start);
        let end = title.seconds.map_or(placed.frames, |seconds| frame(title.at_s + seconds));
        let frames = end.min(placed.frames).checked_sub(first_frame).filter(|frames| *frames > 0)?;
        Some(BurntTitle { first_frame, frames, title: title.title.clone(), chapter: title.chapter.clone() })
    };
    shot.titles.iter().filter_map(title).collect()
}

impl Workflow for Assembly {
    fn ready(&self, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> Vec<Step> {
        self.plan.steps(ends, is_known)
    }

    fn progress(&self, ends: &StepEnds, _: &dyn Fn(&str) -> bool) -> (f64, String) {
        let dissolves = self.plan.shots.iter().filter(|shot| shot.placed.transition_frames > 0).count();
        // The sound and the join are steps too.
        let all = self.plan.shots.len() + dissolves + 2;
        (ends.len() as f64 / (all + 1) as f64, format!("frames {}/{all}", ends.len()))
    }

    fn outcome(&self, ends: &StepEnds) -> Outcome {
        let film = ends.get("join").and_then(|end| end.output.clone());
        let failed = ends.iter().find_map(|(name, end)| Some((name, end.error.as_ref()?)));
        let flaw = match (&film, failed) {
            (Some(_), _) => None,
            (None, Some((name, error))) => {
                Some(TaskError { message: format!("{name} failed: {}", error.message), ..error.clone() })
            }
            (None, None) => {
                let message = "the film has no parts".to_owned();
                Some(task_error(
                    ErrorCode::Internal.name(),
                    message,
                    "reel daemon logs shows the cause",
                    true,
                ))
            }
        };
        Outcome { outputs: film.into_iter().collect(), files: Vec::new(), flaw }
    }
}
