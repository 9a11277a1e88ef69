//! Writes what shows a story without a film: the narration as one file, a player page, and a contact sheet.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reel_protocol::{StoryPart, StoryReport};
use reel_story::project::{Project, Shot};

use super::{
    deliver::{self, Delivery},
    page::{PageShot, contact_sheet, player},
    state::State,
    story_paths::StoryPaths,
    wav,
};
use crate::{failure::Failure, table};

/// Longest narration, in seconds. An hour takes 700 MB of samples in memory. A longer one is cut off.
const MOST_S: f64 = 3600.0;

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
    let page = player(&title(paths), (size.width, size.height), &shots(report, project, delivery));
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
        .map(|(shot, (start_s, duration_s))| PageShot {
            start_s: *start_s,
            duration_s: *duration_s,
            ..words(shot)
        })
        .collect();
    let next = "These are the shots. Change them in the project file; the same command again makes their pictures and voices.";
    write_sheet(&shots, next, paths, state)
}

/// Writes a page with the shots, their pictures and voices.
pub fn write_pictures(
    report: &StoryReport,
    project: &Project,
    delivery: &Delivery,
    paths: &StoryPaths,
    state: &mut State,
) -> Result<PathBuf, Failure> {
    let next = "These are the pictures and voices. Change a prompt in the project file, or have one made anew with --redo ID:picture; \
         the same command again makes the film.";
    write_sheet(&shots(report, project, delivery), next, paths, state)
}

fn write_sheet(
    shots: &[PageShot],
    next: &str,
    paths: &StoryPaths,
    state: &mut State,
) -> Result<PathBuf, Failure> {
    deliver::check_copies(paths)?;
    let path = paths.copies.join("review.html");
    deliver::write_own(&path, contact_sheet(&title(paths), next, shots).as_bytes(), paths, state, true)?;
    state.save(&paths.state)?;
    Ok(path)
}

fn title(paths: &StoryPaths) -> String {
    paths.film.file_stem().map(|stem| table::path(Path::new(stem))).unwrap_or_default()
}

fn words(shot: &Shot) -> PageShot {
    PageShot {
        id: shot.id.clone(),
        text: shot.shown_text().to_owned(),
        prompt: shot.picture.clone(),
        ..PageShot::default()
    }
}

fn shots(report: &StoryReport, project: &Project, delivery: &Delivery) -> Vec<PageShot> {
    let placed = report.shots.iter().filter_map(|placed| {
        let shot = project.shots.iter().find(|shot| shot.id == placed.id)?;
        let file = |stage| {
            let path = delivery.copies.get(&(placed.id.clone(), stage))?;
            path.file_name().map(|name| name.to_string_lossy().into_owned())
        };
        Some(PageShot {
            start_s: placed.start_s,
            duration_s: placed.duration_s,
            speech_start_s: placed.speech_start_s,
            speech_s: placed.speech_s,
            picture: file(StoryPart::Picture),
            clip: file(StoryPart::Clip),
            voice: file(StoryPart::Voice),
            ..words(shot)
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
