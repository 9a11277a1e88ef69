//! Records what each stage of a shot is made from, and finds out why a stage was made again. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use reel_protocol::{ShotReport, StepReport, StepState, StoryPart, StoryRedo};
use reel_story::project::{Project, Shot, Subtitles};

use super::state::{ShotRecord, StageRecord};

/// The digest of each input of a stage, by a name that people understand.
pub type Inputs = BTreeMap<String, String>;

/// The stages of a shot in order, with the names of their results.
const STAGES: [(StoryPart, &str); 4] = [
    (StoryPart::Voice, "voice"),
    (StoryPart::Picture, "picture"),
    (StoryPart::Clip, "clip"),
    (StoryPart::Render, "frames"),
];

/// A stage of a shot that was made again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stale {
    /// The name of the result: `voice`, `picture`, `clip` or `frames`.
    pub stage: &'static str,
    /// The reason; None if an earlier stage of the shot is the reason.
    pub why: Option<String>,
}

fn inputs<const N: usize>(named: [(&str, String); N]) -> Inputs {
    let short = |text: &str| blake3::hash(text.as_bytes()).to_hex().chars().take(16).collect();
    named.into_iter().map(|(name, text)| (name.to_owned(), short(&text))).collect()
}

/// Returns the inputs of a stage of a shot. Own media files are named by their digests.
fn inputs_of(project: &Project, shot: &Shot, stage: StoryPart, report: &ShotReport) -> Inputs {
    let video = &project.video;
    match stage {
        StoryPart::Voice => voice_inputs(project, shot),
        StoryPart::Picture => inputs([
            ("prompt", shot.picture.clone()),
            ("style", video.style.clone()),
            ("looks", looks(project, shot)),
            ("size", video.size.to_string()),
            ("sample", shot.sample.to_string()),
            ("own file", shot.picture_file.clone()),
        ]),
        StoryPart::Clip => inputs([
            ("motion", shot.motion.clone()),
            ("last picture", shot.last_picture.clone()),
            ("length", format!("{:.0}", report.duration_s.ceil())),
            ("picture", digest_of(report.picture.as_ref())),
            ("size", video.size.to_string()),
            ("own file", shot.clip_file.clone()),
        ]),
        StoryPart::Render => {
            let (picture, clip) = (digest_of(report.picture.as_ref()), digest_of(report.clip.as_ref()));
            render_inputs(project, shot, (picture, clip), report.duration_s)
        }
    }
}

fn subtitle_style(project: &Project) -> String {
    let video = &project.video;
    format!("{} {:?} {:?}", video.subtitle_size, video.subtitle_position, video.subtitle_outline)
}

fn voice_inputs(project: &Project, shot: &Shot) -> Inputs {
    inputs([
        ("text", shot.narration().to_owned()),
        ("voice", project.voice_name(shot).unwrap_or_default().to_owned()),
        ("language", project.video.language.clone()),
        ("own file", shot.voice_file.clone()),
    ])
}

/// Returns the inputs of the frames of a shot, which shows the picture or the clip with these digests.
fn render_inputs(
    project: &Project,
    shot: &Shot,
    (picture, clip): (String, String),
    duration_s: f64,
) -> Inputs {
    let video = &project.video;
    let is_burnt = video.subtitles.contains(&Subtitles::Burn);
    inputs([
        ("picture", picture),
        ("clip", clip),
        ("length", format!("{duration_s:.4}")),
        ("camera", format!("{:?}", shot.camera)),
        ("subtitles", if is_burnt { shot.shown_text().to_owned() } else { String::new() }),
        ("subtitle style", if is_burnt { subtitle_style(project) } else { String::new() }),
        ("title", titles(project, shot)),
        ("size", video.size.to_string()),
        ("frame rate", video.fps.to_string()),
        ("transition", format!("{:?} {:?} {}", shot.transition, video.transition, video.transition_s)),
        ("silence", format!("{} {}", shot.min_s, shot.hold_s)),
    ])
}

/// Returns the texts that are shown over the shot, and for how long; empty without any.
fn titles(project: &Project, shot: &Shot) -> String {
    let index = project.shots.iter().position(|one| one.id == shot.id);
    let texts = index.map(|index| project.titles(index)).unwrap_or_default();
    if texts.is_empty() { texts } else { format!("{} {texts}", project.video.title_s) }
}

/// Returns the looks of the characters in the picture and of the place.
fn looks(project: &Project, shot: &Shot) -> String {
    let mut looks = String::new();
    for character in project.characters.iter().filter(|character| shot.characters.contains(&character.id)) {
        let _ = writeln!(looks, "{}\n{}", character.look, character.sheet);
    }
    let place = project.place(shot);
    if let Some(place) = place.filter(|place| !place.sheet.is_empty()) {
        let _ = writeln!(looks, "{}", place.sheet);
    }
    looks + place.map_or("", |place| &place.look)
}

fn digest_of(step: Option<&StepReport>) -> String {
    step.and_then(|step| step.digest).map(|digest| digest.to_string()).unwrap_or_default()
}

/// Returns the step of a stage; None if the stage had none.
pub fn step_of(report: &ShotReport, stage: StoryPart) -> Option<&StepReport> {
    match stage {
        StoryPart::Voice => report.voice.as_ref(),
        StoryPart::Picture => report.picture.as_ref(),
        StoryPart::Clip => report.clip.as_ref(),
        StoryPart::Render => report.render.as_ref(),
    }
}

/// Returns every stage of a shot that has a step, with the name of its result.
pub fn stages(report: &ShotReport) -> impl Iterator<Item = (StoryPart, &'static str, &StepReport)> {
    STAGES.into_iter().filter_map(|(stage, word)| Some((stage, word, step_of(report, stage)?)))
}

fn record_of(record: &ShotRecord, stage: StoryPart) -> Option<&StageRecord> {
    match stage {
        StoryPart::Voice => record.voice.as_ref(),
        StoryPart::Picture => record.picture.as_ref(),
        StoryPart::Clip => record.clip.as_ref(),
        StoryPart::Render => record.render.as_ref(),
    }
}

/// Makes the record of a shot after a run. A stage that was not requested or failed keeps its former record.
pub fn record(
    project: &Project,
    shot: &Shot,
    report: &ShotReport,
    former: Option<&ShotRecord>,
) -> ShotRecord {
    let stage = |stage| {
        let step = step_of(report, stage);
        let Some(digest) = step.and_then(|step| step.digest) else {
            return former.and_then(|former| record_of(former, stage)).cloned();
        };
        Some(StageRecord {
            digest: Some(digest),
            task: step.and_then(|step| step.task),
            provider: step.and_then(|step| step.provider.clone()),
            inputs: inputs_of(project, shot, stage, report),
        })
    };
    ShotRecord {
        voice: stage(StoryPart::Voice),
        picture: stage(StoryPart::Picture),
        clip: stage(StoryPart::Clip),
        render: stage(StoryPart::Render),
        duration_s: report.duration_s,
        speech_s: Some(report.speech_s),
    }
}

/// Returns the length of a shot's voice in seconds, if an earlier run made it from the same inputs.
pub fn known_speech_s(project: &Project, shot: &Shot, record: &ShotRecord) -> Option<f64> {
    let voice = record.voice.as_ref().filter(|_| shot.voice_file.is_empty())?;
    record.speech_s.filter(|_| changed(&voice.inputs, &voice_inputs(project, shot)).is_empty())
}

/// Whether an earlier run rendered the frames of a shot from the same inputs. `has_same_visual` says whether its picture and its clip are as they were.
pub fn has_known_frames(project: &Project, shot: &Shot, record: &ShotRecord, has_same_visual: bool) -> bool {
    let is_same_voice = !shot.is_spoken() || known_speech_s(project, shot, record).is_some();
    let Some(render) = record.render.as_ref().filter(|_| is_same_voice && has_same_visual) else {
        return false;
    };
    let digest = |stage: &Option<StageRecord>| {
        stage.as_ref().and_then(|stage| stage.digest).map(|digest| digest.to_string()).unwrap_or_default()
    };
    let visual = (digest(&record.picture), digest(&record.clip));
    changed(&render.inputs, &render_inputs(project, shot, visual, record.duration_s)).is_empty()
}

/// Returns the stages of a shot that were made before and again in this run, and why.
pub fn stale(
    project: &Project,
    shot: &Shot,
    report: &ShotReport,
    former: &ShotRecord,
    redo: &[StoryRedo],
) -> Vec<Stale> {
    let mut found = Vec::new();
    for (stage, word, step) in stages(report) {
        let Some(former) = record_of(former, stage) else { continue };
        let Some(digest) = step.digest else { continue };
        let is_made = step.state == StepState::Made;
        if !is_made && former.digest == Some(digest) {
            continue;
        }
        let is_asked = redo.iter().any(|redo| redo.id == shot.id && redo.stage == stage);
        let changed = changed(&former.inputs, &inputs_of(project, shot, stage, report));
        found.push(Stale { stage: word, why: why(stage, is_asked, &changed, step, former) });
    }
    found
}

fn why(
    stage: StoryPart,
    is_asked: bool,
    changed: &[&str],
    step: &StepReport,
    former: &StageRecord,
) -> Option<String> {
    if is_asked {
        return Some("asked for".to_owned());
    }
    // Earlier stages of the shot are reported themselves.
    let is_consequence = |input: &&&str| match stage {
        StoryPart::Render => matches!(**input, "picture" | "clip" | "length"),
        StoryPart::Clip => matches!(**input, "picture" | "length"),
        StoryPart::Voice | StoryPart::Picture => false,
    };
    let own: Vec<&str> = changed.iter().filter(|input| !is_consequence(input)).copied().collect();
    if !own.is_empty() {
        return Some(format!("{} changed", own.join(", ")));
    }
    if !changed.is_empty() {
        return None;
    }
    match (&former.provider, &step.provider) {
        (Some(before), Some(now)) if before != now => Some(format!("by {now} now, by {before} before")),
        _ if stage == StoryPart::Render => None,
        _ => Some("no longer in the cache".to_owned()),
    }
}

/// Returns the names of the inputs that differ. An input that one of the records lacks, because another version wrote it, does not count.
fn changed<'a>(former: &'a Inputs, now: &Inputs) -> Vec<&'a str> {
    let is_changed =
        |(name, digest): &(&'a String, &String)| now.get(*name).is_some_and(|now| now != *digest);
    former.iter().filter(is_changed).map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use reel_story::{
        camera::Camera,
        project::{StoryFile, Video},
        split,
    };

    use super::*;
    use reel_protocol::Digest;

    fn project() -> Project {
        let story = split("The keeper climbed the stairs every evening and lit the lamp.", None).unwrap();
        Project::of_story(&story, StoryFile::default(), Video::default())
    }

    fn step(name: &str, state: StepState, digest: u8) -> StepReport {
        StepReport {
            cost: None,
            step: name.to_owned(),
            state,
            task: None,
            digest: Some(Digest::from_bytes([digest; 32])),
            media_type: None,
            path: None,
            provider: Some("draft".to_owned()),
            error: None,
        }
    }

    fn report(duration_s: f64, voice: StepReport, picture: StepReport, render: StepReport) -> ShotReport {
        ShotReport {
            id: "a1".to_owned(),
            start_s: 0.0,
            duration_s,
            speech_start_s: 0.4,
            speech_s: 1.0,
            voice: Some(voice),
            picture: Some(picture),
            clip: None,
            render: Some(render),
        }
    }

    /// Returns the words for a shot that was made once, then changed, and has these digests of voice, picture and frames afterwards. A digest of 0
    /// means that the step was made again with the same bytes.
    fn words(change: fn(&mut Project), made: [u8; 3], redo: &[StoryRedo]) -> String {
        let former = project();
        let mut project = former.clone();
        change(&mut project);
        let first = |project: &Project| project.shots.first().cloned().unwrap();
        let report_of = |digests: [u8; 3], duration_s| {
            let [voice, picture, render] =
                [("voice", 1), ("picture", 2), ("render", 3)].map(|(name, usual)| {
                    let digest = digests.get(usual - 1).copied().unwrap();
                    let state =
                        if usize::from(digest) == usual { StepState::Cached } else { StepState::Made };
                    step(name, state, if digest == 0 { usual as u8 } else { digest })
                });
            report(duration_s, voice, picture, render)
        };
        let record = record(&former, &first(&former), &report_of([1, 2, 3], 4.0), None);
        let now = report_of(made, if made.first() == Some(&1) { 4.0 } else { 3.0 });
        super::super::summary::stale_words(&stale(&project, &first(&project), &now, &record, redo))
    }

    /// A change, the digests after it, the parts of `--redo`, and the expected words.
    type Case<'a> = (fn(&mut Project), [u8; 3], &'a [StoryRedo], &'a str);

    fn each(project: &mut Project, change: fn(&mut Shot)) {
        project.shots.iter_mut().for_each(change);
    }

    #[test]
    fn what_was_made_anew_is_told_with_its_reason() {
        let restyle = |project: &mut Project| {
            project.video.style = "ink".to_owned();
            project.voices.insert("narrator".to_owned(), "en".to_owned());
        };
        let redo = [StoryRedo { id: "a1".to_owned(), stage: StoryPart::Picture }];
        let cases: [Case<'_>; 11] = [
            (|_| {}, [1, 2, 3], &[], ""),
            (
                |project| each(project, |shot| shot.text = "Other words.".to_owned()),
                [7, 2, 8],
                &[],
                "voice (text changed), frames (subtitles changed)",
            ),
            (
                |project| each(project, |shot| shot.speak = "Other sounds.".to_owned()),
                [7, 2, 8],
                &[],
                "voice (text changed), frames",
            ),
            (restyle, [7, 6, 8], &[], "voice (voice changed), picture (style changed), frames"),
            (
                |project| each(project, |shot| shot.camera = Camera::Still),
                [1, 2, 8],
                &[],
                "frames (camera changed)",
            ),
            (|project| project.video.title = "The Lamp".to_owned(), [1, 2, 8], &[], "frames (title changed)"),
            (|project| project.video.fps = 25, [1, 2, 8], &[], "frames (frame rate changed)"),
            (|project| project.video.transition_s = 0.2, [1, 2, 8], &[], "frames (transition changed)"),
            (|project| each(project, |shot| shot.hold_s = 1.0), [1, 2, 8], &[], "frames (silence changed)"),
            (|_| {}, [0, 7, 8], &redo, "voice (no longer in the cache), picture (asked for), frames"),
            (|_| {}, [1, 2, 0], &[], "frames"),
        ];
        for (change, made, redo, expected) in cases {
            assert_eq!(words(change, made, redo), expected);
        }
    }

    #[test]
    fn another_provider_is_a_reason() {
        let (project, made) = (project(), |provider: &str| StepReport {
            provider: Some(provider.to_owned()),
            ..step("picture/a1", StepState::Made, if provider == "draft" { 2 } else { 7 })
        });
        let shot = project.shots.first().cloned().unwrap();
        let with = |provider| {
            report(4.0, step("v", StepState::Cached, 1), made(provider), step("r", StepState::Cached, 3))
        };
        let known = record(&project, &shot, &with("draft"), None);
        let found = stale(&project, &shot, &with("studio"), &known, &[]);
        let why = Some("by studio now, by draft before".to_owned());
        assert_eq!(found, [Stale { stage: "picture", why }]);
    }

    #[test]
    fn a_failed_stage_keeps_what_was_known() {
        let project = project();
        let shot = project.shots.first().cloned().unwrap();
        let made = |state| step("x", state, 1);
        let before = report(4.0, made(StepState::Made), made(StepState::Made), made(StepState::Made));
        let known = record(&project, &shot, &before, None);
        let failed = StepReport { digest: None, ..made(StepState::Failed) };
        let now = report(4.0, made(StepState::Cached), failed, made(StepState::Cached));
        assert_eq!(record(&project, &shot, &now, Some(&known)).picture, known.picture);
        assert_eq!(stale(&project, &shot, &now, &known, &[]), []);
    }
}
