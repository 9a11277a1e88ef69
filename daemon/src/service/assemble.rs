//! `video.assemble`: checks a timeline, and computes the place of each shot. Pure. The room `workflows` carries the request out.

use std::collections::BTreeSet;

use reel_protocol::{AssembleParams, AssembleTimeline, AssembledShot, Digest, JsonText};
use reel_story::timeline::PlacedShot;

use super::{
    BadParams,
    render::check_format,
    titles::{check_style, check_titles},
};

/// The kind of a task that assembles a film from a timeline.
pub const VIDEO_ASSEMBLE: &str = "video.assemble";
/// The fields of the params. The error for an unknown field suggests the nearest of them.
const FIELDS: &[&str] = &["timeline"];
/// The most shots of a film.
const MOST_SHOTS: usize = 2_000;
/// The longest shot, in seconds.
const LONGEST_S: u64 = 3_600;
/// The longest subtitle, in bytes.
const SUBTITLE_BYTES: usize = 10_000;

/// A valid timeline, with the place of each shot.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The timeline as the client sent it.
    pub asked: AssembleTimeline,
    /// The places of the shots, in their order. The length of speech is not known here, so `speech` is 0. It begins where the voice file does.
    pub placed: Vec<PlacedShot>,
    /// The id of each shot: the one that the client gave it, else `s` and its number, from `s1`.
    pub ids: Vec<String>,
}

impl Timeline {
    /// The digests of all artifacts that the timeline names.
    pub(super) fn files(&self) -> impl Iterator<Item = Digest> {
        let shots = self.asked.shots.iter().flat_map(|shot| [Some(shot.visual), shot.voice]);
        shots.chain([self.asked.music.map(|music| music.digest)]).flatten()
    }

    /// Reads the params of an accepted task again. The error is a message for people.
    pub fn accepted(params: &JsonText) -> Result<Self, String> {
        checked_timeline(params).map_err(|bad| bad.message)
    }

    /// How many samples the sound of the whole film has, at 48 kHz.
    pub fn samples(&self) -> u64 {
        let frames: u64 = self.asked.shots.iter().map(|shot| shot.frames).sum();
        reel_story::timeline::samples_at(frames, self.asked.format.fps)
    }
}

/// Reads and checks the params of `video.assemble`.
pub(super) fn checked_timeline(params: &JsonText) -> Result<Timeline, BadParams> {
    let AssembleParams { timeline } =
        params.decode().map_err(|error| BadParams::unreadable(VIDEO_ASSEMBLE, FIELDS, params, &error))?;
    check_format(&timeline.format)?;
    check_style(timeline.subtitle_style.as_ref(), &timeline.format)?;
    if timeline.shots.is_empty() || timeline.shots.len() > MOST_SHOTS {
        let message = format!("{} shots are not from 1 to {MOST_SHOTS}", timeline.shots.len());
        return Err(BadParams::new(message, "a film has a shot at least"));
    }
    if !(0.0..=5.0).contains(&timeline.transition_s) {
        let message = format!("transition_s {} is not from 0 to 5", timeline.transition_s);
        return Err(BadParams::new(message, "0.4 is usual, and 0 is a cut"));
    }
    if !(-40.0..=-5.0).contains(&timeline.loudness) {
        let message = format!("loudness {} is not from -40 to -5 LUFS", timeline.loudness);
        return Err(BadParams::new(message, "-14 is usual"));
    }
    if let Some(db) = timeline.music.map(|music| music.db).filter(|db| !(-60.0..=0.0).contains(db)) {
        return Err(BadParams::new(format!("music.db {db} is not from -60 to 0"), "-18 is usual"));
    }
    let transition = (timeline.transition_s * f64::from(timeline.format.fps)).round() as u64;
    let mut ids = Vec::with_capacity(timeline.shots.len());
    for (index, shot) in timeline.shots.iter().enumerate() {
        ids.push(shot.id.clone().unwrap_or_else(|| format!("s{}", index + 1)));
        check_shot(index + 1, shot, transition, timeline.format.fps)?;
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = ids.iter().find(|id| !seen.insert(id.as_str())) {
        return Err(BadParams::new(
            format!("two shots have the id {twice:?}"),
            "leave the ids out, or give each its own",
        ));
    }
    let placed = place(&timeline, transition);
    Ok(Timeline { asked: timeline, placed, ids })
}

fn check_shot(number: usize, shot: &AssembledShot, transition: u64, fps: u32) -> Result<(), BadParams> {
    let most = LONGEST_S * u64::from(fps);
    if shot.frames <= transition || shot.frames > most {
        let message = format!(
            "shot {number} has {} frames, and {} to {most} are possible",
            shot.frames,
            transition + 1
        );
        return Err(BadParams::new(message, "a shot lasts longer than the dissolve behind it"));
    }
    let length_s = shot.frames as f64 / f64::from(fps);
    if !(0.0..=length_s).contains(&shot.voice_at_s) {
        let message =
            format!("shot {number}: voice_at_s {} is not within its {length_s:.2} s", shot.voice_at_s);
        return Err(BadParams::new(message, "it counts from the beginning of the shot"));
    }
    let is_id =
        |id: &String| !id.is_empty() && id.len() <= 64 && !id.contains(|c: char| c.is_control() || c == '/');
    if shot.id.as_ref().is_some_and(|id| !is_id(id)) {
        return Err(BadParams::new(
            format!("shot {number} has an id that is none"),
            "up to 64 letters without a slash",
        ));
    }
    check_titles(&format!("shot {number}"), shot.titles.iter().map(|title| [&title.title, &title.chapter]))?;
    for title in &shot.titles {
        let rest = length_s - title.at_s;
        if !(0.0..length_s).contains(&title.at_s)
            || title.seconds.is_some_and(|seconds| !(0.0..=rest).contains(&seconds))
        {
            let message = format!("shot {number}: a title is not within its {length_s:.2} s");
            return Err(BadParams::new(
                message,
                "at_s counts from the beginning of the shot; leave seconds out to show it to the end",
            ));
        }
    }
    if shot.subtitle.as_ref().is_some_and(|text| text.len() > SUBTITLE_BYTES) {
        return Err(BadParams::new(
            format!("shot {number}: its subtitle is longer than {SUBTITLE_BYTES} bytes"),
            "split the shot",
        ));
    }
    Ok(())
}

fn place(timeline: &AssembleTimeline, transition: u64) -> Vec<PlacedShot> {
    let fps = timeline.format.fps;
    let mut start_frame = 0;
    let last = timeline.shots.len() - 1;
    let place = |(index, shot): (usize, &AssembledShot)| {
        let before = if index == 0 { 0 } else { transition };
        let behind = if index == last { 0 } else { transition };
        let start = reel_story::timeline::samples_at(start_frame, fps);
        let placed = PlacedShot {
            start_frame,
            frames: shot.frames,
            drawn_frames: shot.frames + behind,
            untitled_frames: shot.frames + behind,
            body: before..shot.frames,
            transition_frames: behind,
            speech_start: start + reel_story::timeline::f64_samples(shot.voice_at_s),
            speech: 0,
            title: 0..0,
            end_card: 0..0,
        };
        start_frame += shot.frames;
        placed
    };
    timeline.shots.iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(shots: &str, more: &str) -> Result<Timeline, BadParams> {
        let format = r#""format":{"width":320,"height":180,"fps":30}"#;
        let json = format!(r#"{{"timeline":{{{format},"shots":[{shots}]{more}}}}}"#);
        checked_timeline(&JsonText::parse(json).unwrap())
    }

    #[test]
    fn shots_are_placed_one_after_the_other_and_mistakes_are_named() {
        let digest = "00".repeat(32);
        let shot = |frames: u64, more: &str| format!(r#"{{"visual":"{digest}","frames":{frames}{more}}}"#);
        let timeline =
            checked(&format!("{},{}", shot(60, ""), shot(30, r#","voice_at_s":0.5"#)), "").unwrap();
        let places: Vec<_> = timeline
            .placed
            .iter()
            .map(|it| (it.body.clone(), it.transition_frames, it.speech_start))
            .collect();
        assert_eq!(places, [(0..60, 12, 0), (12..30, 0, 2 * 48_000 + 24_000)]);
        assert_eq!((timeline.samples(), timeline.ids), (144_000, vec!["s1".to_owned(), "s2".to_owned()]));
        for (shots, more, part) in [
            (String::new(), "", "0 shots"),
            (shot(12, ""), "", "shot 1 has 12 frames, and 13 to 108000"),
            (shot(60, r#","voice_at_s":3"#), "", "voice_at_s 3"),
            (
                format!("{},{}", shot(60, r#","id":"a""#), shot(60, r#","id":"a""#)),
                "",
                "two shots have the id",
            ),
            (shot(60, r#","titles":[{"title":"A","at_s":2}]"#), "", "a title is not within its 2.00 s"),
            (shot(60, r#","titles":[{"title":"A","at_s":1,"seconds":1.5}]"#), "", "a title is not within"),
            (shot(60, r#","titles":[{"at_s":1}]"#), "", "shot 1 has a title without a text"),
            (shot(60, ""), r#","transition_s":6"#, "transition_s 6"),
            (shot(60, ""), r#","loudness":0"#, "loudness 0"),
            (shot(60, ""), r#","tempo":1"#, "tempo"),
        ] {
            let bad = checked(&shots, more).unwrap_err();
            assert!(bad.message.contains(part) && bad.hint.is_some(), "{shots}{more}: {}", bad.message);
        }
    }
}
