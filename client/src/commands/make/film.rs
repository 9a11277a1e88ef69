//! Makes a film from a storyboard: submits the task, follows it, and writes its results.

use std::{collections::HashMap, time::Instant};

use reel_client::Session;
use reel_protocol::{StoryMakeParams, StoryReport, TaskId, TaskState, TaskView};
use reel_story::project::Project;

use super::{
    Args, again,
    args::Stage,
    deliver::{self, Delivery},
    downgrades::say_downgrades,
    finish::{Run, finish},
    gone,
    held::give_up_followers,
    media, pack,
    report::Results,
    stages::Stages,
    stale,
    state::{FilmRecord, Reviewed, State},
    story_paths::StoryPaths,
    storyboard::Storyboard,
    submit,
    summary::StaleShot,
    watch::watch,
};
use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    signals::Interrupts,
    table,
    waiting::{deliver_unless_interrupted, unless_interrupted},
};

/// A story, and the stage at which to stop.
#[derive(Debug)]
pub struct Work<'a> {
    /// The options of the command line.
    pub args: &'a Args,
    /// The paths of the story's files.
    pub paths: &'a StoryPaths,
    /// The project, as it was read or made from the story.
    pub storyboard: &'a Storyboard,
    /// The last stage; None for the whole film.
    pub until: Option<Stage>,
}

/// Makes the film, or everything up to the last stage.
pub async fn make(context: &Context, work: &Work<'_>, state: &mut State) -> Result<Exit, Failure> {
    let (begun, output) = (Instant::now(), context.output);
    let session = context.session().await?;
    let mut interrupts = Interrupts::listen();
    context.note_version(&session.client());
    let project = &work.storyboard.project;
    say_downgrades(context.output, &session, project, work.until).await?;
    let handing_in = async {
        let named = media::put(&session, project, work.paths.directory()).await?;
        let params = submit::params(work.args, &named, work.until)?;
        let submitted = submit::submit(&session, &params, work.paths, state).await?;
        Ok((named, submitted))
    };
    let (named, submitted) = unless_interrupted(&mut interrupts, handing_in).await?;
    if submitted.is_earlier {
        output.note(&format!("continuing task {} of an earlier run", submitted.id));
    }
    if let Some(former) = submitted.former {
        output.warn(&format!(
            "task {former} still works on the earlier version of the story; reel cancel {former} cancels it"
        ));
    }
    let stages = Stages::of(project, &work.args.only, work.until);
    let task = watch(output, &session, submitted.id, stages, &mut interrupts).await?;
    let Some(results) = Results::read(&session, &task).await? else {
        forget(work, state, &task)?;
        return Err(Failure::of_task(&task).unwrap_or_else(|| {
            Failure::new(Exit::Internal, "internal", format!("task {} made no report", task.id))
        }));
    };
    let delivering = conclude(&session, work, &named, &task, &results, state, begun);
    let run = deliver_unless_interrupted(&mut interrupts, delivering, &again::command()).await?;
    finish(output, work.paths, &run)
}

/// Writes the results to files and saves the state.
async fn conclude<'a>(
    session: &Session,
    work: &Work<'_>,
    named: &Project,
    task: &'a TaskView,
    results: &'a Results<'a>,
    state: &mut State,
    begun: Instant,
) -> Result<Run<'a>, Failure> {
    let (paths, is_forced) = (work.paths, work.args.force);
    let report = &results.report;
    let project = &work.storyboard.project;
    let own = media::own_paths(project, paths.directory());
    let mut delivery = deliver::deliver(session, results, paths, state, &own, is_forced).await?;
    let has_no_renderer = task.error.as_ref().is_some_and(|error| error.code == StoryMakeParams::NO_RENDERER);
    let pack = if has_no_renderer {
        Some(pack::write_player(report, project, &delivery, paths, state, is_forced)?)
    } else {
        None
    };
    let is_reviewed =
        work.args.review && work.until == Some(Stage::Pictures) && task.state == TaskState::Succeeded;
    if is_reviewed {
        state.reviewed = Some(Reviewed { project: work.storyboard.digest(), has_pictures: true });
    }
    let prompts = sent_prompts(session, report).await;
    let page = pack::write_pictures(report, project, &delivery, &prompts, paths, state);
    // Where nobody asked for the page, a full disk must not hide what was made.
    let review = if is_reviewed { Some(page?) } else { None };
    let followers = give_up_followers(session, report).await;
    let stale = note_shots(work, named, results, state);
    note_film(results, &delivery, task, state);
    delivery.removed = gone::remove_copies(paths, state, project, &own);
    forget(work, state, task)?;
    let (until, only) = (work.until, work.args.only.len());
    Ok(Run { task, results, delivery, stale, pack, review, followers, until, only, begun })
}

/// Returns the prompts that were sent for pictures, by the ids of their shots. A task that has left the history is missing, and so are all if the daemon
/// cannot be asked: the page then shows the prompts of the project.
async fn sent_prompts(session: &Session, report: &StoryReport) -> HashMap<String, String> {
    let tasks = report.shots.iter().filter_map(|shot| Some((shot.picture.as_ref()?.task?, shot.id.clone())));
    let shots: HashMap<TaskId, String> = tasks.collect();
    let ids: Vec<TaskId> = shots.keys().copied().collect();
    let Ok(read) = session.read_tasks(&ids).await else { return HashMap::new() };
    let prompts = read.tasks.iter().filter_map(|task| {
        let params = task.params.decode::<serde_json::Value>().ok()?;
        let style =
            params.get("style").and_then(serde_json::Value::as_str).map(|style| format!(" [style: {style}]"));
        let prompt = params.get("prompt")?.as_str()?;
        Some((shots.get(&task.id)?.clone(), format!("{prompt}{}", style.unwrap_or_default())))
    });
    prompts.collect()
}

/// Records what each shot was made from. Returns the shots that were made again.
fn note_shots(work: &Work<'_>, named: &Project, results: &Results<'_>, state: &mut State) -> Vec<StaleShot> {
    let mut found = Vec::new();
    for report in &results.report.shots {
        let Some(shot) = named.shots.iter().find(|shot| shot.id == report.id) else { continue };
        let former = state.shots.get(&report.id);
        if let Some(former) = former {
            let stages = stale::stale(named, shot, report, former, &work.args.redo);
            if !stages.is_empty() {
                found.push(StaleShot { shot: report.id.clone(), stages });
            }
        }
        let record = stale::record(named, shot, report, former);
        state.shots.insert(report.id.clone(), record);
    }
    found
}

fn note_film(results: &Results<'_>, delivery: &Delivery, task: &TaskView, state: &mut State) {
    if let (Some(film), Some((path, _))) = (results.film, &delivery.film) {
        state.film = Some(FilmRecord {
            path: table::path(path),
            digest: film.digest,
            duration_s: results.report.duration_s,
            task: Some(task.id),
        });
    }
}

/// Forgets the running task once it has finished, so that the next run submits another one. Saves the state.
fn forget(work: &Work<'_>, state: &mut State, task: &TaskView) -> Result<(), Failure> {
    if task.state.is_finished() {
        state.running = None;
        state.storyboard_usd = 0.0;
    }
    state.save(&work.paths.state)
}
