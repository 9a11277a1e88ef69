//! `render.*` and `audio.mix`, the steps that assemble a film: checks the params, and makes the request to the renderer. Pure.

use std::ops::RangeInclusive;

use reel_protocol::{
    AudioMixParams, Digest, FilmFormat, FilmedVisual, JsonText, JsonTextError, RenderJoinParams,
    RenderShotParams, RenderTransitionParams,
};
use serde::de::DeserializeOwned;

use super::{
    BadParams, ProviderWork, Service, Work,
    key::KeyText,
    titles::{check_style, check_titles},
};
use crate::domain::{CacheKey, Inputs, ProviderProfile, RenderRequest, RenderWork, ServiceRequest};

/// The service whose providers carry out both `render` and `audio`.
const RENDER: &str = "render";
/// The sides of a film, in pixels.
const SIDES: RangeInclusive<u32> = 64..=4_096;
/// The frame rates of a film, in frames per second.
const RATES: RangeInclusive<u32> = 1..=120;
/// The longest clip, in seconds.
const LONGEST_S: u64 = 3_600;
/// The most samples of a film's sound: four hours.
const MOST_SAMPLES: u64 = 48_000 * 4 * 3_600;
/// The most clips of a film, and voices of its sound.
const MOST_PARTS: usize = 4_000;
/// The most subtitles of a shot, and the most bytes of one.
const MOST_CUES: usize = 500;
const CUE_BYTES: usize = 2_000;
/// Free bytes that the store must have for a result.
const ROOM_BYTES: u64 = 64 * 1024 * 1024;
/// The version of the cache key. Raise it when the meaning of what [`ProviderWork::key`] hashes changes.
const KEY_VERSION: &str = "reel render key 1";

/// The service `render`: clips and films, made from pictures, clips and sound.
#[derive(Debug)]
pub(super) struct Render;

/// The service `audio`: the sound of films.
#[derive(Debug)]
pub(super) struct Audio;

impl Service for Render {
    fn name(&self) -> &'static str {
        RENDER
    }

    fn methods(&self) -> &'static [&'static str] {
        &["shot", "transition", "join"]
    }

    fn check(&self, method: &str, params: &JsonText) -> Result<Work, BadParams> {
        let work = match method {
            "shot" => RenderWork::Shot(checked_shot(read("render.shot", SHOT, params)?)?),
            "transition" => {
                RenderWork::Transition(checked_transition(read("render.transition", TRANSITION, params)?)?)
            }
            _ => RenderWork::Join(checked_join(read("render.join", JOIN, params)?)?),
        };
        Ok(Work::AtProvider(Box::new(work)))
    }
}

impl Service for Audio {
    fn name(&self) -> &'static str {
        "audio"
    }

    fn methods(&self) -> &'static [&'static str] {
        &["mix"]
    }

    fn provided_by(&self) -> &'static str {
        RENDER
    }

    fn check(&self, _: &str, params: &JsonText) -> Result<Work, BadParams> {
        let params = checked_mix(read("audio.mix", MIX, params)?)?;
        Ok(Work::AtProvider(Box::new(RenderWork::Mix(params))))
    }
}

/// The fields of the params of each method. The error for an unknown field suggests the nearest of them.
const SHOT: &[&str] = &["format", "show", "frames", "subtitles", "subtitle_style", "titles"];
const TRANSITION: &[&str] = &["format", "from", "to", "frames"];
const JOIN: &[&str] = &["format", "clips", "audio", "subtitles"];
const MIX: &[&str] = &["samples", "voices", "music", "loudness"];

impl ProviderWork for RenderWork {
    fn params(&self) -> Result<JsonText, JsonTextError> {
        match self {
            Self::Shot(params) => JsonText::from_value(params),
            Self::Transition(params) => JsonText::from_value(params),
            Self::Mix(params) => JsonText::from_value(params),
            Self::Join(params) => JsonText::from_value(params),
        }
    }

    fn model(&self) -> Option<&str> {
        None
    }

    fn fits(&self, _: &ProviderProfile) -> Result<(), BadParams> {
        Ok(())
    }

    fn key(&self, provider: &ProviderProfile) -> CacheKey {
        let mut key = KeyText::new(KEY_VERSION, provider, None);
        let method = match self {
            Self::Shot(_) => "shot",
            Self::Transition(_) => "transition",
            Self::Mix(_) => "mix",
            Self::Join(_) => "join",
        };
        key.text("method", Some(method));
        // All of the params change the result, and so will any new one.
        key.text("params", self.params().ok().as_ref().map(JsonText::as_str));
        key.hash()
    }

    fn inputs(&self) -> Inputs {
        Inputs { files: self.files(), ..Inputs::default() }
    }

    fn room_bytes(&self) -> u64 {
        ROOM_BYTES
    }

    fn into_request(self: Box<Self>, _: u64) -> ServiceRequest {
        ServiceRequest::Render(RenderRequest { work: *self, inputs: Vec::new() })
    }
}

impl RenderWork {
    /// The artifacts that the params name, in their order, each as often as it is named.
    fn files(&self) -> Vec<Digest> {
        match self {
            Self::Shot(params) => vec![params.show.visual],
            Self::Transition(params) => vec![params.from.visual, params.to.visual],
            Self::Mix(params) => {
                let voices = params.voices.iter().map(|voice| voice.voice);
                voices.chain(params.music.map(|music| music.digest)).collect()
            }
            Self::Join(params) => params.clips.iter().map(|clip| clip.clip).chain(params.audio).collect(),
        }
    }
}

fn read<T: DeserializeOwned>(kind: &str, fields: &[&str], params: &JsonText) -> Result<T, BadParams> {
    params.decode().map_err(|error| BadParams::unreadable(kind, fields, params, &error))
}

pub(super) fn check_format(format: &FilmFormat) -> Result<(), BadParams> {
    let FilmFormat { width, height, fps } = format;
    for (name, side) in [("width", width), ("height", height)] {
        if !SIDES.contains(side) || !side.is_multiple_of(2) {
            let message = format!(
                "format.{name} {side} is not even and from {} to {} pixels",
                SIDES.start(),
                SIDES.end()
            );
            return Err(BadParams::new(message, "1920x1080 and 1280x720 are usual"));
        }
    }
    if RATES.contains(fps) {
        Ok(())
    } else {
        let message = format!("format.fps {fps} is not from {} to {}", RATES.start(), RATES.end());
        Err(BadParams::new(message, "30 is usual"))
    }
}

/// Checks a run of frames: it has at least one frame, lasts an hour at the most, and begins within the first hour.
fn check_frames(what: &str, first: u64, frames: u64, format: &FilmFormat) -> Result<(), BadParams> {
    let most = LONGEST_S * u64::from(format.fps);
    if frames == 0 || first > most || frames > most {
        let message = format!("{what}: {frames} frames from frame {first} on are not 1 to {most}");
        return Err(BadParams::new(message, "a clip has a frame at least, and lasts an hour at the most"));
    }
    Ok(())
}

fn checked_shot(params: RenderShotParams) -> Result<RenderShotParams, BadParams> {
    let RenderShotParams { format, show, frames, subtitles, subtitle_style, titles } = &params;
    check_format(format)?;
    check_frames("show", show.first_frame, *frames, format)?;
    check_fit(show, *frames, format)?;
    check_style(subtitle_style.as_ref(), format)?;
    if subtitles.len() > MOST_CUES {
        let message = format!("a shot with {} subtitles has more than {MOST_CUES}", subtitles.len());
        return Err(BadParams::new(message, "split the shot"));
    }
    for cue in subtitles {
        let bytes: usize = cue.lines.iter().map(String::len).sum();
        if bytes > CUE_BYTES || cue.lines.is_empty() {
            let message = format!("a subtitle of {} lines and {bytes} bytes", cue.lines.len());
            return Err(BadParams::new(
                message,
                format!("a subtitle has a line, and {CUE_BYTES} bytes at the most"),
            ));
        }
        check_frames("a subtitle", cue.first_frame, cue.frames, format)?;
    }
    check_titles("a shot", titles.iter().map(|title| [&title.title, &title.chapter]))?;
    for title in titles {
        check_frames("a title", title.first_frame, title.frames, format)?;
    }
    Ok(params)
}

/// Checks that the frames are within the shot, if its length is given: a clip is fitted to its whole shot.
fn check_fit(show: &FilmedVisual, frames: u64, format: &FilmFormat) -> Result<(), BadParams> {
    if show.still_frames > LONGEST_S * u64::from(format.fps) {
        let message = format!("still_frames {} are more than an hour", show.still_frames);
        return Err(BadParams::new(message, "they are frames at the beginning of the shot"));
    }
    match show.shot_frames {
        Some(all) if show.first_frame + frames > all => {
            let message = format!(
                "frames {} to {} are not within the shot's {all}",
                show.first_frame,
                show.first_frame + frames
            );
            Err(BadParams::new(
                message,
                "shot_frames counts all frames of the shot, with those of the transition behind it",
            ))
        }
        _ => Ok(()),
    }
}

fn checked_transition(params: RenderTransitionParams) -> Result<RenderTransitionParams, BadParams> {
    let RenderTransitionParams { format, from, to, frames } = &params;
    check_format(format)?;
    for (what, show) in [("from", from), ("to", to)] {
        check_frames(what, show.first_frame, *frames, format)?;
        check_fit(show, *frames, format)?;
    }
    Ok(params)
}

fn checked_mix(params: AudioMixParams) -> Result<AudioMixParams, BadParams> {
    let AudioMixParams { samples, voices, music, loudness } = &params;
    if !(1..=MOST_SAMPLES).contains(samples) {
        let message = format!("samples {samples} is not from 1 to {MOST_SAMPLES}");
        return Err(BadParams::new(message, "48000 samples are a second"));
    }
    if voices.len() > MOST_PARTS {
        let message = format!("{} voices are more than {MOST_PARTS}", voices.len());
        return Err(BadParams::new(message, "mix a film in parts"));
    }
    if let Some(voice) = voices.iter().find(|voice| voice.at_sample >= *samples) {
        let message = format!("a voice begins at sample {}, and the sound has {samples}", voice.at_sample);
        return Err(BadParams::new(message, "samples counts the whole film"));
    }
    if voices.iter().zip(voices.iter().skip(1)).any(|(one, next)| one.at_sample > next.at_sample) {
        return Err(BadParams::new(
            "the voices are not in the order of their places",
            "sort them by at_sample",
        ));
    }
    if let Some(db) = music.map(|music| music.db).filter(|db| !(-60.0..=0.0).contains(db)) {
        return Err(BadParams::new(format!("music.db {db} is not from -60 to 0"), "-18 is usual"));
    }
    if !(-40.0..=-5.0).contains(loudness) {
        return Err(BadParams::new(
            format!("loudness {loudness} is not from -40 to -5 LUFS"),
            "-14 is usual",
        ));
    }
    Ok(params)
}

fn checked_join(params: RenderJoinParams) -> Result<RenderJoinParams, BadParams> {
    let RenderJoinParams { format, clips, audio: _, subtitles: _ } = &params;
    check_format(format)?;
    if clips.is_empty() || clips.len() > MOST_PARTS {
        let message = format!("{} clips are not from 1 to {MOST_PARTS}", clips.len());
        return Err(BadParams::new(message, "a film has a clip at least"));
    }
    for clip in clips {
        check_frames("a clip", 0, clip.frames, format)?;
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(service: &dyn Service, method: &str, json: &str) -> Option<BadParams> {
        service.check(method, &JsonText::parse(json.to_owned()).unwrap()).err()
    }

    #[test]
    fn what_no_film_can_be_made_of_is_refused_with_its_value() {
        let digest = "00".repeat(32);
        let shot = |format: &str, rest: &str| {
            format!(r#"{{"format":{{{format}}},"show":{{"visual":"{digest}"}},{rest}}}"#)
        };
        let fine = r#""width":320,"height":180,"fps":30"#;
        let clips = format!(r#"{{"format":{{{fine}}},"clips":[]}}"#);
        assert!(refusal(&Render, "shot", &shot(fine, r#""frames":5"#)).is_none());
        for (service, method, json, part) in [
            (
                &Render as &dyn Service,
                "shot",
                shot(r#""width":321,"height":180,"fps":30"#, r#""frames":5"#),
                "width 321",
            ),
            (&Render, "shot", shot(r#""width":320,"height":180,"fps":0"#, r#""frames":5"#), "fps 0"),
            (&Render, "shot", shot(fine, r#""frames":0"#), "0 frames"),
            (&Render, "shot", shot(fine, r#""frames":5,"subtitel":[]"#), "do not fit render.shot"),
            (
                &Render,
                "shot",
                shot(fine, r#""frames":5,"subtitles":[{"first_frame":0,"frames":5,"lines":[]}]"#),
                "0 lines",
            ),
            (
                &Render,
                "shot",
                shot(fine, r#""frames":5,"subtitle_style":{"size":37}"#),
                "subtitle_style.size 37 is not from 8 to 18",
            ),
            (
                &Render,
                "shot",
                format!(
                    r#"{{"format":{{{fine}}},"show":{{"visual":"{digest}","still_frames":200000}},"frames":5}}"#
                ),
                "still_frames 200000",
            ),
            (
                &Render,
                "shot",
                shot(fine, r#""frames":5,"titles":[{"first_frame":0,"frames":5}]"#),
                "a title without a text",
            ),
            (
                &Render,
                "shot",
                shot(fine, r#""frames":5,"titles":[{"first_frame":0,"frames":0,"title":"The Lamp"}]"#),
                "a title: 0 frames",
            ),
            (
                &Render,
                "shot",
                shot(fine, r#""frames":5,"titles":[{"first_frame":0,"frames":5,"title":" "}]"#),
                "a title of 1 bytes",
            ),
            (&Render, "join", clips, "0 clips"),
            (&Audio, "mix", r#"{"samples":0}"#.to_owned(), "samples 0"),
            (
                &Audio,
                "mix",
                format!(r#"{{"samples":5,"voices":[{{"voice":"{digest}","at_sample":5}}]}}"#),
                "at sample 5",
            ),
            (&Audio, "mix", r#"{"samples":5,"loudness":0}"#.to_owned(), "loudness 0"),
        ] {
            let bad = refusal(service, method, &json).unwrap_or_else(|| panic!("{json} is taken"));
            assert!(bad.message.contains(part) && bad.hint.is_some(), "{json}: {}", bad.message);
        }
    }
}
