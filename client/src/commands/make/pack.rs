//! Writes what shows a story without a film: the narration as one file, a player page, and a contact sheet.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use reel_protocol::{StepReport, StepState, StoryPart, StoryReport};
use reel_story::project::{NARRATOR, Project, Shot, Subject};

use super::{
    deliver::{self, Delivery},
    outline::{clock, count},
    page::{PageCast, PageNote, PageShot, Sheet, contact_sheet, player},
    state::State,
    story_paths::StoryPaths,
    wav,
};
use crate::{failure::Failure, naming, table, tasks};

/// Longest narration, in seconds. An hour takes 700 MB of samples in memory. A longer one is cut off.
const MOST_S: f64 = 3600.0;

/// The extensions of copies of clips and voices, the most common first.
const CLIP_ENDINGS: [&str; 3] = ["mp4", "webm", "mov"];
const VOICE_ENDINGS: [&str; 4] = ["wav", "mp3", "ogg", "flac"];

/// The files that replace a film which could not be joined.
#[derive(Debug)]
pub struct Pack {
    /// The page that plays the pictures with the narration.
    pub player: PathBuf,
    /// The narration, a WAV file.
    pub narration: PathBuf,
    /// Number of voices that are not in the narration, because they are no WAV files.
    pub unread: usize,
}

/// Writes the narration and the player page.
pub fn write_player(
    report: &StoryReport,
    project: &Project,
    delivery: &Delivery,
    paths: &StoryPaths,
    state: &mut State,
    is_forced: bool,
) -> Result<Pack, Failure> {
    deliver::check_copies(paths)?;
    let (narration, unread) = narration(report, delivery);
    let (player_path, narration_path) =
        (paths.copies.join("player.html"), paths.copies.join("narration.wav"));
    deliver::write_own(&narration_path, &wav::write(&narration), paths, state, is_forced)?;
    let size = project.video.size;
    let page = player(&title(paths), (size.width, size.height), &shots(report, project, delivery, paths));
    deliver::write_own(&player_path, page.as_bytes(), paths, state, is_forced)?;
    state.save(&paths.state)?;
    Ok(Pack { player: player_path, narration: narration_path, unread })
}

/// Writes a page with the shots of a storyboard, before its pictures are made.
pub fn write_storyboard(
    project: &Project,
    placed: &[(f64, f64)],
    paths: &StoryPaths,
    state: &mut State,
) -> Result<PathBuf, Failure> {
    let shots: Vec<PageShot> = project
        .shots
        .iter()
        .zip(placed)
        .map(|(shot, (start_s, duration_s))| {
            let copy = |endings: &[&str]| existing(&paths.copies, &shot.id, endings.iter().copied());
            PageShot {
                start_s: *start_s,
                duration_s: *duration_s,
                picture: existing(&paths.copies, &shot.id, naming::picture_endings()),
                clip: copy(&CLIP_ENDINGS),
                voice: copy(&VOICE_ENDINGS),
                ..words(project, shot)
            }
        })
        .collect();
    let length = placed.last().map_or(0.0, |(start_s, duration_s)| start_s + duration_s);
    let sheet = Sheet {
        title: title(paths),
        next_step: "These are the shots. Change them in the project file; the same command again makes their pictures and voices."
            .to_owned(),
        facts: vec![count(shots.len(), "shot"), format!("about {}", clock(length))],
        cast: cast(project, &BTreeMap::new()),
    };
    write_sheet(&sheet, &shots, paths, state)
}

/// Returns the name of the first file in a directory that has this stem and one of these extensions.
pub fn existing<'a>(
    directory: &Path,
    stem: &str,
    endings: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let mut names = endings.into_iter().map(|ending| format!("{stem}.{ending}"));
    names.find(|name| directory.join(name).is_file())
}

/// Writes a page with the shots, their pictures and voices, and what each cost. `prompts` has the prompts that were sent, by the ids of shots.
pub fn write_pictures(
    report: &StoryReport,
    project: &Project,
    delivery: &Delivery,
    prompts: &HashMap<String, String>,
    paths: &StoryPaths,
    state: &mut State,
) -> Result<PathBuf, Failure> {
    let next_step = if delivery.film.is_some() {
        "The film is made. Change a shot in the project file, or have a picture made anew with --redo ID:picture; the same command again makes what depends on it."
    } else {
        "Change a prompt in the project file, or have a picture made anew with --redo ID:picture; the same command again goes on from here."
    };
    let mut shots = shots(report, project, delivery, paths);
    for page in &mut shots {
        let Some(shot) = report.shots.iter().find(|shot| shot.id == page.id) else { continue };
        if let Some(prompt) = prompts.get(&shot.id) {
            page.prompt.clone_from(prompt);
        }
        let parts = [("voice", &shot.voice), ("picture", &shot.picture), ("clip", &shot.clip)];
        page.notes = parts.into_iter().filter_map(|(part, step)| note(part, step.as_ref()?)).collect();
    }
    let cost = report.cost.as_ref().map_or_else(
        || "the cost of a part is unknown".to_owned(),
        |cost| match cost.amount {
            0.0 => "this run cost nothing".to_owned(),
            _ => format!("this run cost {}", tasks::cost(cost)),
        },
    );
    let sheet = Sheet {
        title: title(paths),
        next_step: next_step.to_owned(),
        facts: vec![count(report.shots.len(), "shot"), clock(report.duration_s), cost],
        cast: cast(project, &delivery.sheets),
    };
    write_sheet(&sheet, &shots, paths, state)
}

/// Returns the line about a part of a shot; None if nothing was to be made.
fn note(part: &str, step: &StepReport) -> Option<PageNote> {
    let by = step.provider.as_deref().map(|name| format!(" by {name}")).unwrap_or_default();
    let cost =
        step.cost.as_ref().filter(|cost| cost.amount > 0.0).map(|cost| format!(", {}", tasks::cost(cost)));
    let why = step.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
    let (text, is_trouble) = match step.state {
        StepState::Made => (format!("{part} made{by}{}", cost.unwrap_or_default()), false),
        StepState::Cached => (format!("{part} from the cache{by}"), false),
        StepState::Supplied => (format!("{part}: your own file"), false),
        StepState::Failed => (format!("{part} failed{why}"), true),
        StepState::Held => (format!("{part} is held{why}"), true),
        StepState::Blocked => (format!("{part} waits for something that is missing"), true),
        StepState::Skipped | StepState::Unknown => return None,
    };
    Some(PageNote { text, is_trouble })
}

fn cast(project: &Project, sheets: &BTreeMap<String, PathBuf>) -> Vec<PageCast> {
    let name_of = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let line = |one: Subject<'_>| PageCast {
        name: if one.name() == one.id() {
            one.id().to_owned()
        } else {
            format!("{} ({})", one.name(), one.id())
        },
        look: one.look().to_owned(),
        picture: sheets.get(&one.step()).and_then(name_of),
    };
    project.all_subjects().map(line).collect()
}

fn write_sheet(
    sheet: &Sheet,
    shots: &[PageShot],
    paths: &StoryPaths,
    state: &mut State,
) -> Result<PathBuf, Failure> {
    deliver::check_copies(paths)?;
    let path = paths.copies.join("review.html");
    deliver::write_own(&path, contact_sheet(sheet, shots).as_bytes(), paths, state, true)?;
    state.save(&paths.state)?;
    Ok(path)
}

fn title(paths: &StoryPaths) -> String {
    paths.film.file_stem().map(|stem| table::path(Path::new(stem))).unwrap_or_default()
}

fn words(project: &Project, shot: &Shot) -> PageShot {
    PageShot {
        id: shot.id.clone(),
        text: shot.shown_text().to_owned(),
        prompt: project.picture_prompt(shot, true),
        speaker: if shot.speaker == NARRATOR { String::new() } else { shot.speaker.clone() },
        ..PageShot::default()
    }
}

/// Returns the shots of the film with their files. Those that this run did not make, as with `--only`, are the copies of earlier runs.
fn shots(report: &StoryReport, project: &Project, delivery: &Delivery, paths: &StoryPaths) -> Vec<PageShot> {
    let placed = report.shots.iter().filter_map(|placed| {
        let index = project.shots.iter().position(|shot| shot.id == placed.id)?;
        let shot = project.shots.get(index)?;
        let file = |stage| {
            let path = delivery.copies.get(&(placed.id.clone(), stage))?;
            path.file_name().map(|name| name.to_string_lossy().into_owned())
        };
        let is_skipped =
            |step: &Option<StepReport>| step.as_ref().is_some_and(|step| step.state == StepState::Skipped);
        let earlier = |step: &Option<StepReport>, endings: &[&str]| {
            existing(&paths.copies, &placed.id, endings.iter().copied()).filter(|_| is_skipped(step))
        };
        let pictures: Vec<&str> = naming::picture_endings().collect();
        Some(PageShot {
            start_s: placed.start_s,
            duration_s: placed.duration_s,
            speech_start_s: placed.speech_start_s,
            speech_s: placed.speech_s,
            opening: project.opening(index).map(|opening| opening.lines()).unwrap_or_default(),
            end_card: project.end_card(index).unwrap_or_default().to_owned(),
            title_s: project.video.title_s,
            picture: file(StoryPart::Picture).or_else(|| earlier(&placed.picture, &pictures)),
            clip: file(StoryPart::Clip),
            voice: file(StoryPart::Voice).or_else(|| earlier(&placed.voice, &VOICE_ENDINGS)),
            ..words(project, shot)
        })
    });
    placed.collect()
}

/// Mixes all voices at their times in the film. Returns the samples, and the number of voices that could not be read.
fn narration(report: &StoryReport, delivery: &Delivery) -> (Vec<f32>, usize) {
    let length = report.duration_s.clamp(0.0, MOST_S);
    let mut track = vec![0.0; (length * f64::from(wav::RATE)) as usize];
    let mut unread = 0;
    for shot in &report.shots {
        let Some(path) = delivery.copies.get(&(shot.id.clone(), StoryPart::Voice)) else { continue };
        match fs::read(path).ok().and_then(|file| wav::read(&file)) {
            Some(sound) => {
                sound.mix_into(&mut track, (shot.speech_start_s.max(0.0) * f64::from(wav::RATE)) as usize);
            }
            None => unread += 1,
        }
    }
    (track, unread)
}
