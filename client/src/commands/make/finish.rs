//! Prints the summary of a run and returns its exit code.

use std::{path::Path, time::Instant};

use reel_protocol::{Cost, Downgrade, ShotReport, StoryMakeParams, TaskId, TaskView};
use serde::Serialize;

use super::{
    again,
    args::Stage,
    deliver::{Delivery, kept_words},
    outline::{clock, count},
    pack::Pack,
    report::Results,
    stale::stages,
    story_paths::StoryPaths,
    summary::{Counts, Replaced, StaleShot, cost_words, stale_lines},
    trouble::{Trouble, decision_words, missing_words, trouble_lines, troubles},
};
use crate::{
    exit::Exit,
    failure::{ErrorBody, Failure},
    output::Output,
    table, units,
};

/// The downgrades that `say_downgrades` prints before the work begins.
const SAID_BEFORE: [&str; 3] = ["draft_pictures", "draft_voices", "no_renderer"];

/// A finished run.
#[derive(Debug)]
pub struct Run<'a> {
    /// The task that made the film.
    pub task: &'a TaskView,
    /// The results of the task.
    pub results: &'a Results<'a>,
    /// The files that were written.
    pub delivery: Delivery,
    /// The shots of which a stage was made again, and why.
    pub stale: Vec<StaleShot>,
    /// The files that replace a film which could not be joined.
    pub pack: Option<Pack>,
    /// The page for the review, with `--review`.
    pub review: Option<std::path::PathBuf>,
    /// Tasks that were cancelled because they were held only for another held task.
    pub followers: Vec<TaskId>,
    /// The last stage; None for the whole film.
    pub until: Option<Stage>,
    /// Number of the shots that `--only` names; 0 without it.
    pub only: usize,
    /// When the command began.
    pub begun: Instant,
}

#[derive(Serialize)]
struct Document<'a> {
    film: Option<String>,
    subtitles: Option<String>,
    project: String,
    directory: String,
    player: Option<String>,
    narration: Option<String>,
    review: Option<String>,
    task: TaskId,
    duration_s: f64,
    frames: u64,
    size_bytes: Option<u64>,
    counts: &'a Counts,
    stale: &'a [StaleShot],
    downgrades: &'a [Downgrade],
    cost: Option<&'a Cost>,
    kept: Vec<String>,
    cards: &'a [&'a str],
    silent: &'a [&'a str],
    shots: Vec<ShotDocument<'a>>,
    troubles: &'a [Trouble],
    error: Option<&'a ErrorBody>,
}

#[derive(Serialize)]
struct ShotDocument<'a> {
    #[serde(flatten)]
    report: &'a ShotReport,
    files: Vec<String>,
}

/// Prints the summary, and the error if there is no film. Returns the exit code.
pub fn finish(output: Output, paths: &StoryPaths, run: &Run<'_>) -> Result<Exit, Failure> {
    let report = &run.results.report;
    let counts = Counts::of(report);
    let troubles = troubles(report, &run.followers);
    let failure = failure(run, paths, &troubles);
    let has_film = run.delivery.film.is_some();
    let replaced = if has_film { Replaced::of(report) } else { Replaced::default() };
    output.document(&document(paths, run, &counts, &replaced, &troubles, failure.as_ref()))?;
    for line in trouble_lines(&troubles) {
        output.warn(&line);
    }
    for line in stale_lines(&run.stale).iter().chain(&counts.lines()) {
        output.note(line);
    }
    // The others were printed before the work began.
    for downgrade in report.downgrades.iter().filter(|downgrade| !SAID_BEFORE.contains(&&*downgrade.code)) {
        output.warn(&downgrade.message);
    }
    if run.delivery.removed > 0 {
        output.note(&format!("removed {} of shots that are gone", count(run.delivery.removed, "file")));
    }
    if let Some(words) = kept_words(&run.delivery.kept) {
        output.warn(&words);
    }
    for line in replaced.lines(report.shots.len()) {
        output.warn(&line);
    }
    if let Some(unread) = run.pack.as_ref().map(|pack| pack.unread).filter(|unread| *unread > 0) {
        output.warn(&format!("{} not in narration.wav, as it is no WAV file", count(unread, "voice")));
    }
    output.note(&length_words(run, troubles.iter().any(|trouble| trouble.is_held)));
    if let Some(words) = parts_words(run, paths) {
        output.note(&words);
    }
    let paths: Vec<&Path> = run
        .delivery
        .film
        .iter()
        .map(|(film, _)| film.as_path())
        .chain(run.pack.iter().map(|pack| pack.player.as_path()))
        .chain(run.review.as_deref())
        .collect();
    output.paths(&paths)?;
    let Some(failure) = failure else { return Ok(Exit::Done) };
    output.warn(&format!("error: {}", failure.error.message));
    if let Some(hint) = &failure.error.hint {
        output.warn(&format!("  hint: {hint}"));
    }
    Ok(failure.exit)
}

/// Whether the run was to make parts of the film only.
const fn is_partial(run: &Run<'_>) -> bool {
    run.until.is_some() || run.only > 0
}

/// Says where the parts of a film are if the run was to join none; None if it was to join one.
fn parts_words(run: &Run<'_>, paths: &StoryPaths) -> Option<String> {
    let why = match (run.until, run.only) {
        (None, 0) => return None,
        (None, _) => "--only was given",
        (Some(_), _) => "the run stopped before it",
    };
    let directory = table::path(&paths.copies);
    Some(format!("the files are in {directory}/; no film was joined, as {why}"))
}

/// Describes the run, such as `28 shots, 0:58, 12 MB; cost: nothing; in 35 s`.
fn length_words(run: &Run<'_>, is_held: bool) -> String {
    let report = &run.results.report;
    if is_partial(run) {
        let shots = count(if run.only == 0 { report.shots.len() } else { run.only }, "shot");
        let held = if is_held { ", without what is held" } else { "" };
        let took = units::span(run.begun.elapsed());
        return format!("{shots}; {}{held}; in {took}", cost_words(report.cost.as_ref()));
    }
    let about = if report.is_estimate { "about " } else { "" };
    let shots = count(report.shots.len(), "shot");
    let size = run.delivery.film.as_ref().map(|(_, bytes)| format!(", {}", units::bytes(*bytes)));
    let took = units::span(run.begun.elapsed());
    let held = if is_held { ", without what is held" } else { "" };
    format!(
        "{shots}, {about}{}{}; {}{held}; in {took}",
        clock(report.duration_s),
        size.unwrap_or_default(),
        cost_words(report.cost.as_ref())
    )
}

/// Returns why the run did not reach its goal, with a message and hint for stories; None if it did.
fn failure(run: &Run<'_>, paths: &StoryPaths, troubles: &[Trouble]) -> Option<Failure> {
    let mut failure = Failure::of_task(run.task)?;
    let again = format!("{} makes only what is missing", again::command());
    let project = table::path(&paths.project);
    match failure.error.code.as_str() {
        StoryMakeParams::SHOTS_MISSING => {
            let report = &run.results.report;
            let missing = decision_words(troubles, report).unwrap_or_else(|| missing_words(troubles, report));
            let is_film = run.until.is_none();
            let film = if is_film { ", so no film was joined" } else { "" };
            let cards =
                if is_film { "; --allow-missing joins a film with cards in their places" } else { "" };
            failure.error.message = format!("{missing}{film}; everything else is kept");
            let is_held = !troubles.is_empty() && troubles.iter().all(|trouble| trouble.is_held);
            let is_lasting = !troubles.is_empty() && troubles.iter().all(|trouble| trouble.is_lasting);
            let decide = match (is_held, is_lasting) {
                (true, _) => "release or cancel what is held, then ",
                (_, true) => "the same would fail again: change what the hints above name, then ",
                _ => "",
            };
            failure.error.hint = Some(format!("{decide}{again}{cards}"));
        }
        StoryMakeParams::NO_RENDERER => {
            let player = run.pack.as_ref().map(|pack| table::path(&pack.player)).unwrap_or_default();
            failure.error.message =
                format!("no film was joined, as ffmpeg is not installed; look at {player}");
            failure.error.hint = Some(format!("install ffmpeg (Debian: apt install ffmpeg), then {again}"));
        }
        StoryMakeParams::OVER_BUDGET => {
            failure.error.hint = Some(format!("{again}; a larger --budget, or own pictures in {project}"));
        }
        _ => {}
    }
    Some(failure)
}

fn document<'a>(
    paths: &StoryPaths,
    run: &'a Run<'_>,
    counts: &'a Counts,
    replaced: &'a Replaced<'a>,
    troubles: &'a [Trouble],
    failure: Option<&'a Failure>,
) -> Document<'a> {
    let report = &run.results.report;
    let delivery = &run.delivery;
    let shots = report.shots.iter().map(|shot| ShotDocument {
        report: shot,
        files: stages(shot)
            .filter_map(|(stage, ..)| delivery.copies.get(&(shot.id.clone(), stage)))
            .map(|path| table::path(path))
            .collect(),
    });
    Document {
        film: delivery.film.as_ref().map(|(path, _)| table::path(path)),
        subtitles: delivery.subtitles.as_deref().map(table::path),
        project: table::path(&paths.project),
        directory: table::path(&paths.copies),
        player: run.pack.as_ref().map(|pack| table::path(&pack.player)),
        narration: run.pack.as_ref().map(|pack| table::path(&pack.narration)),
        review: run.review.as_deref().map(table::path),
        task: run.task.id,
        duration_s: report.duration_s,
        frames: report.frames,
        size_bytes: delivery.film.as_ref().map(|(_, bytes)| *bytes),
        counts,
        stale: &run.stale,
        downgrades: &report.downgrades,
        cost: report.cost.as_ref(),
        kept: delivery.kept.iter().map(|path| table::path(path)).collect(),
        cards: &replaced.cards,
        silent: &replaced.silent,
        shots: shots.collect(),
        troubles,
        error: failure.map(|failure| &failure.error),
    }
}
