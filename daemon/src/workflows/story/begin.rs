//! The beginning of a story: it finds out what the daemon can make for it, and checks the media that its project supplies. No step is submitted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use reel_protocol::{
    AudioMixParams, Digest, Downgrade, ErrorCode, ImageParams, Output, SpeechParams, StoryMakeParams,
    StoryStage, TaskError, TaskSpec,
};
use reel_story::{
    language,
    project::{MAX_REFERENCES, Shot, Subject, Subtitles, Video},
};
use serde::Serialize;

use super::{Abilities, Story, is_selected};
use crate::{
    domain::{Plan, RenderRequest},
    fonts::{FontError, Fonts},
    memory::Holder,
    service::{OwnMedium, StorySpec},
    workflows::{
        handles::{CannotContinue, Handles},
        run::task_error,
        step::params_of,
    },
};

/// The name of the embedded provider of drafts.
const DRAFT: &str = "draft";

/// The media types of pictures that a camera can move over.
const FILMABLE: [&str; 5] = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];

/// Longest voice of one shot, in seconds.
const LONGEST_VOICE_S: f64 = 3600.0;

/// The reason why a story cannot begin.
#[derive(Debug)]
pub struct StoryError(pub TaskError);

impl Story {
    /// Begins a story. The spec was accepted with the task.
    pub(in crate::workflows) async fn begin(
        handles: &Handles,
        mut spec: StorySpec,
    ) -> Result<Result<Self, StoryError>, CannotContinue> {
        let digests: Vec<Digest> = spec.media().filter_map(|medium| medium.text.parse().ok()).collect();
        let supplied = match handles.artifacts(digests).await {
            Ok(found) => found,
            Err(error) => {
                let message = format!("the project's own media could not be looked up: {error}");
                let error = task_error(
                    ErrorCode::StorageFailed.name(),
                    message,
                    "reel daemon logs shows the cause",
                    true,
                );
                return Ok(Err(StoryError(error)));
            }
        };
        if let Some(error) = spec.media().find_map(|medium| bad_medium(&medium, &supplied)) {
            return Ok(Err(StoryError(error)));
        }
        let abilities = match find_abilities(handles, &spec).await? {
            Ok(abilities) => abilities,
            Err(error) => return Ok(Err(error)),
        };
        if !abilities.burns_titles {
            // Without its titles, the film has no pauses for them either.
            spec.project.remove_titles();
        }
        Ok(Ok(Self::new(spec, abilities, supplied)))
    }

    /// Returns a story that is made with these abilities. `supplied` has the facts of the media that its project supplies.
    pub fn new(spec: StorySpec, abilities: Abilities, supplied: BTreeMap<Digest, Output>) -> Self {
        let of_project = || Some(spec.project.video.language.clone()).filter(|language| !language.is_empty());
        let told = spec.params.language.clone().or_else(of_project);
        let text = || spec.project.shots.iter().map(Shot::narration).collect::<Vec<_>>().join("\n");
        let language = told.or_else(|| language(&text()).map(str::to_owned));
        let sheets = made_sheets(&spec, &abilities);
        Self { spec, abilities, supplied, language, sheets }
    }
}

/// Returns the names of the steps that make sheets.
fn made_sheets(spec: &StorySpec, abilities: &Abilities) -> BTreeSet<String> {
    let until = spec.params.until.unwrap_or(StoryStage::Film);
    if until < StoryStage::Pictures || abilities.max_references == 0 {
        return BTreeSet::new();
    }
    let shots: Vec<&Shot> = spec.project.shots.iter().filter(|shot| is_selected(spec, &shot.id)).collect();
    spec.project.made_sheets(&shots).into_iter().map(Subject::step).collect()
}

/// Whether a step makes the picture of this shot, if pictures are requested.
fn needs_picture(spec: &StorySpec, shot: &Shot) -> bool {
    is_selected(spec, &shot.id) && shot.picture_file.is_empty() && shot.clip_file.is_empty()
}

/// Whether a step makes the voice of this shot, if voices are requested.
fn needs_voice(spec: &StorySpec, shot: &Shot) -> bool {
    is_selected(spec, &shot.id) && shot.voice_file.is_empty() && shot.is_spoken()
}

fn bad_medium(medium: &OwnMedium<'_>, supplied: &BTreeMap<Digest, Output>) -> Option<TaskError> {
    let OwnMedium { owner, field, text, media } = medium;
    let found = text.parse::<Digest>().ok().and_then(|digest| supplied.get(&digest));
    let (code, message) = match found {
        None => {
            (ErrorCode::ArtifactNotFound, format!("{field} of {owner}: the store has no artifact {text}"))
        }
        Some(output) if !output.media_type.starts_with(media) => {
            let wanted = media.trim_end_matches('/');
            let message =
                format!("{field} of {owner}: the artifact is {}, and {wanted} is needed", output.media_type);
            (ErrorCode::InvalidParams, message)
        }
        Some(output) if *field == "picture_file" && !FILMABLE.contains(&&*output.media_type) => (
            ErrorCode::InvalidParams,
            format!(
                "{field} of {owner}: the picture is {}, and PNG, JPEG, WebP, GIF or BMP is needed",
                output.media_type
            ),
        ),
        Some(output) if *media == "audio/" && output.duration_s.is_none() => (
            ErrorCode::InvalidParams,
            format!("{field} of {owner}: how long the sound lasts could not be found out"),
        ),
        Some(output) if *field == "voice_file" && output.duration_s > Some(LONGEST_VOICE_S) => (
            ErrorCode::InvalidParams,
            format!("{field} of {owner}: the voice lasts more than an hour; split the shot into several"),
        ),
        Some(_) => return None,
    };
    let hint = match found {
        None => "put the file with artifact.put, and name its digest",
        Some(_) => "put another file with artifact.put, and name its digest",
    };
    Some(task_error(code.name(), message, hint, false))
}

async fn find_abilities(
    handles: &Handles,
    spec: &StorySpec,
) -> Result<Result<Abilities, StoryError>, CannotContinue> {
    let mut abilities = Abilities::default();
    let video = &spec.project.video;
    let until = spec.params.until.unwrap_or(StoryStage::Film);
    let mut told = |code: &str, message: &str| {
        abilities.downgrades.push(Downgrade { code: code.to_owned(), message: message.to_owned() });
    };
    if until >= StoryStage::Pictures {
        let picture = ImageParams { width: 512, height: 512, ..ImageParams::new("a picture") };
        let plan = plan(handles, "image.generate", &picture).await?;
        abilities.has_draft_pictures = plan.as_ref().is_none_or(is_draft);
        if abilities.has_draft_pictures && spec.project.shots.iter().any(|shot| needs_picture(spec, shot)) {
            told(
                "draft_pictures",
                "pictures are drafts: no provider of pictures is configured (reel providers add)",
            );
        }
        if !abilities.has_draft_pictures && video.sheets {
            let provider = plan.as_ref().and_then(Plan::provider);
            abilities.max_references = max_references(handles, &picture, provider).await?;
        }
        let styled = ImageParams { style: Some(video.style.clone()), ..picture };
        abilities.has_known_style =
            !video.style.is_empty() && self::plan(handles, "image.generate", &styled).await?.is_some();
    }
    if until >= StoryStage::Voices && spec.project.shots.iter().any(|shot| needs_voice(spec, shot)) {
        let plan = plan(handles, "voice.speak", &SpeechParams::new("a voice")).await?;
        abilities.has_draft_voices = plan.as_ref().is_none_or(is_draft);
        if abilities.has_draft_voices {
            told(
                "draft_voices",
                "voices are timed silence: nobody can speak here (apt install espeak-ng, or reel providers add)",
            );
        }
    }
    if until == StoryStage::Film {
        let mix = AudioMixParams { samples: 1, voices: Vec::new(), music: None, loudness: video.loudness };
        abilities.can_render = plan(handles, "audio.mix", &mix).await?.is_some();
        if !abilities.can_render {
            told(
                "no_renderer",
                "no film is rendered: ffmpeg is not installed (apt install ffmpeg, or brew install ffmpeg)",
            );
        } else if let Some(error) = over_memory(handles.budget.limit_bytes(), video) {
            return Ok(Err(StoryError(error)));
        }
    }
    abilities.burns_subtitles = video.subtitles.contains(&Subtitles::Burn);
    abilities.burns_titles = true;
    Ok(check_fonts(spec, abilities).await)
}

/// Returns the most reference pictures that this provider of pictures takes, at most [`MAX_REFERENCES`].
async fn max_references(
    handles: &Handles,
    picture: &ImageParams,
    provider: Option<&Arc<str>>,
) -> Result<usize, CannotContinue> {
    for count in (1..=MAX_REFERENCES).rev() {
        // Nothing is submitted, so the pictures need not exist.
        let input_images = vec![Digest::from_bytes([0; 32]); count];
        let with_inputs = ImageParams { input_images, ..picture.clone() };
        let plan = plan(handles, "image.generate", &with_inputs).await?;
        if plan.as_ref().is_some_and(|plan| plan.provider() == provider) {
            return Ok(count);
        }
    }
    Ok(0)
}

/// The error of a film whose frames are too large to be rendered within the memory budget. It is found before anything is paid for.
fn over_memory(limit_bytes: u64, video: &Video) -> Option<TaskError> {
    let size = video.size;
    let needed_bytes = RenderRequest::memory_bytes(u64::from(size.width) * u64::from(size.height));
    if needed_bytes <= Holder::Command.share_bytes(limit_bytes) {
        return None;
    }
    let message = format!(
        "ffmpeg may hold {} MiB to render frames of {}x{}, for which the memory budget has no room",
        needed_bytes.div_ceil(1024 * 1024),
        size.width,
        size.height
    );
    let limit_mib = Holder::Command.limit_mib_for(needed_bytes);
    let hint = format!("set memory.limit_mb to {limit_mib} or more, or make a smaller film (--size)");
    Some(task_error(ErrorCode::OverMemory.name(), message, &hint, true))
}

/// Leaves subtitles or titles out of the frames if no font has all their letters and the params allow it. If they do not, this is an error.
async fn check_fonts(spec: &StorySpec, mut abilities: Abilities) -> Result<Abilities, StoryError> {
    if !abilities.can_render {
        return Ok(abilities);
    }
    let shots = &spec.project.shots;
    if abilities.burns_subtitles {
        let text = shots.iter().map(Shot::shown_text).collect();
        let hint = "take \"burn\" out of the project's subtitles";
        let lacking = missing_font(spec, "subtitles", hint, text).await?;
        abilities.burns_subtitles = lacking.is_none();
        abilities.downgrades.extend(lacking);
    }
    let titles = (0..shots.len()).map(|index| spec.project.titles(index)).collect();
    let lacking = missing_font(spec, "titles", "remove them from the project", titles).await?;
    abilities.burns_titles = lacking.is_none();
    abilities.downgrades.extend(lacking);
    Ok(abilities)
}

/// Returns the downgrade of a film that shows none of these texts, because no font has all their letters. None if there is a font.
async fn missing_font(
    spec: &StorySpec,
    what: &str,
    remedy: &str,
    text: String,
) -> Result<Option<Downgrade>, StoryError> {
    let looking = tokio::task::spawn_blocking(move || Fonts::of_the_system().covering(&text));
    // If the search panics, the steps search again and report an error themselves.
    let Ok(Err(error)) = looking.await else { return Ok(None) };
    let install = FontError::INSTALL;
    if !spec.params.allow_unburnt {
        let hint = format!("{install}, or {remedy}");
        return Err(StoryError(task_error(StoryMakeParams::NO_FONT, error.to_string(), &hint, true)));
    }
    let message = format!("{what} are not in the pictures: {error} ({install})");
    Ok(Some(Downgrade { code: StoryMakeParams::NO_FONT.to_owned(), message }))
}

/// Plans a task. None if no plan is possible.
async fn plan<P: Serialize>(
    handles: &Handles,
    kind: &str,
    params: &P,
) -> Result<Option<Plan>, CannotContinue> {
    let spec = TaskSpec { kind: kind.to_owned(), params: params_of(params), ..TaskSpec::default() };
    Ok(handles.trial(spec).await?.ok().map(|trial| trial.plan))
}

fn is_draft(plan: &Plan) -> bool {
    plan.candidates.first().is_none_or(|first| &*first.provider == DRAFT)
}
