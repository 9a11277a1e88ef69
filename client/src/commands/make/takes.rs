//! `reel make --takes ID=N`: makes several pictures of one shot, from which the user chooses with `--take`.
//!
//! Each take is a story of its own for the daemon: the same project with another `sample`, up to the picture of this shot. So the take that is chosen
//! is the picture that the next run finds in the cache.

use std::path::{Path, PathBuf};

use reel_client::{Session, new_request_id};
use reel_protocol::{Cost, JsonText, StepReport, StepState, StoryMakeParams, TaskId, TaskSpec};
use reel_story::project::{Project, Shot};
use serde::Serialize;

use super::{
    Args, again, args::Stage, deliver, downgrades::say_downgrades, film::Work, media, pack::existing,
    report::Results, shot_flags::no_shot, stages::Stages, state::State, story_paths::StoryPaths, submit,
    summary::cost_words, watch::watch,
};
use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    naming,
    output::Output,
    signals::Interrupts,
    table,
    waiting::{deliver_unless_interrupted, unless_interrupted},
};

/// A take of a shot.
struct Take<'a> {
    shot: &'a str,
    sample: u64,
}

#[derive(Serialize)]
struct Document {
    takes: Vec<TakeDocument>,
    cost: Option<Cost>,
    kept: Vec<String>,
}

#[derive(Serialize)]
struct TakeDocument {
    shot: String,
    sample: u64,
    file: Option<String>,
    #[serde(flatten)]
    picture: StepReport,
}

/// Fails if `--takes` names a shot whose picture is not made, or `--take` a take that was not made. Take 0 is the picture without takes.
pub fn check(args: &Args, project: &Project, paths: &StoryPaths) -> Result<(), Failure> {
    for (id, sample) in args.take.iter().filter(|(_, sample)| *sample > 0) {
        let stem = format!("{id}-take-{sample}");
        if existing(&paths.copies, &stem, naming::picture_endings()).is_none() {
            return Err(Failure::usage(format!("{id} has no take {sample}"))
                .hint(format!("--takes {id}={} makes the takes 0 to {sample}", sample + 1)));
        }
    }

    for (id, _) in &args.takes {
        let shot = project.shots.iter().find(|shot| shot.id == *id).ok_or_else(|| no_shot(id, project))?;
        if !shot.picture_file.is_empty() || !shot.clip_file.is_empty() {
            return Err(Failure::usage(format!("--takes {id}: the shot shows a file of your own")));
        }
    }
    Ok(())
}

/// Makes the takes, copies them next to the story, and says how to choose one.
pub async fn make(context: &Context, work: &Work<'_>, state: &mut State) -> Result<Exit, Failure> {
    let (output, args) = (context.output, work.args);
    let session = context.session().await?;
    let mut interrupts = Interrupts::listen();
    let project = &work.storyboard.project;
    let silent = silenced(project);
    say_downgrades(output, &session, &silent, Some(Stage::Pictures)).await?;
    let takes = takes(args);
    let submitting = async {
        let named = media::put(&session, &silent, work.paths.directory()).await?;
        let mut ids = Vec::with_capacity(takes.len());
        for take in &takes {
            ids.push(submit_take(&session, args, &named, take, takes.len()).await?);
        }
        Ok(ids)
    };
    let ids = unless_interrupted(&mut interrupts, submitting).await?;
    let mut made = Vec::with_capacity(takes.len());
    let (mut costs, mut failure) = (Vec::new(), None);
    for (take, id) in takes.iter().zip(ids) {
        let only = [take.shot.to_owned()];
        let stages = Stages::of(&silent, &only, Some(Stage::Pictures));
        let task = watch(output, &session, id, stages, &mut interrupts).await?;
        let results = Results::read(&session, &task).await?;
        failure = failure.or_else(|| Failure::of_task(&task));
        let Some(results) = results else { continue };
        costs.push(results.report.cost.clone());
        let shots = results.report.shots.into_iter().filter(|shot| shot.id == take.shot);
        made.extend(shots.filter_map(|shot| Some((take, shot.picture?))));
    }
    let named: Vec<(String, &StepReport)> =
        made.iter().map(|(take, picture)| (format!("{}-take-{}", take.shot, take.sample), picture)).collect();
    let own = media::own_paths(project, work.paths.directory());
    let delivering = deliver::deliver_pictures(&session, &named, work.paths, state, &own, args.force);
    let (files, kept) = deliver_unless_interrupted(&mut interrupts, delivering, &again::command()).await?;
    state.save(&work.paths.state)?;
    say(output, args, &made, &files, &kept, total(&costs).as_ref())?;
    failure.map_or(Ok(Exit::Done), Err)
}

/// Prints the takes, their files and cost, and how to choose one.
fn say(
    output: Output,
    args: &Args,
    made: &[(&Take<'_>, StepReport)],
    files: &[Option<PathBuf>],
    kept: &[PathBuf],
    cost: Option<&Cost>,
) -> Result<(), Failure> {
    output.document(&Document {
        takes: made
            .iter()
            .zip(files)
            .map(|((take, picture), file)| TakeDocument {
                shot: take.shot.to_owned(),
                sample: take.sample,
                file: file.as_ref().map(|file| table::path(file)),
                picture: picture.clone(),
            })
            .collect(),
        cost: cost.cloned(),
        kept: kept.iter().map(|path| table::path(path)).collect(),
    })?;
    for (take, picture) in made {
        output.note(&words(take, picture));
    }
    if let Some(words) = deliver::kept_words(kept) {
        output.warn(&words);
    }
    output.note(&cost_words(cost));
    output.paths(&files.iter().flatten().map(PathBuf::as_path).collect::<Vec<&Path>>())?;
    for (id, count) in args.takes.iter().filter(|_| files.iter().any(Option::is_some)) {
        let last = count.saturating_sub(1);
        output.note(&format!(
            "look at the takes of {id}, and choose one: {}, with K from 0 to {last}",
            again::command_to_take(id)
        ));
    }
    Ok(())
}

fn takes(args: &Args) -> Vec<Take<'_>> {
    args.takes.iter().flat_map(|(shot, count)| (0..*count).map(move |sample| Take { shot, sample })).collect()
}

/// Returns the project without speech, because only pictures are made from it. The prompts of its pictures stay the same.
fn silenced(project: &Project) -> Project {
    let shots = project.shots.iter().map(|shot| {
        let picture =
            if shot.picture.trim().is_empty() { shot.text.replace('\n', " ") } else { shot.picture.clone() };
        Shot { text: String::new(), speak: String::new(), voice_file: String::new(), picture, ..shot.clone() }
    });
    Project { shots: shots.collect(), ..project.clone() }
}

/// Submits the story that makes one take. Each may cost its share of the budget.
async fn submit_take(
    session: &Session,
    args: &Args,
    project: &Project,
    take: &Take<'_>,
    count: usize,
) -> Result<TaskId, Failure> {
    let internal = |error: String| Failure::new(Exit::Internal, "internal", error);
    let mut project = project.clone();
    for shot in project.shots.iter_mut().filter(|shot| shot.id == take.shot) {
        shot.sample = take.sample;
    }
    let params = StoryMakeParams {
        only: Some(vec![take.shot.to_owned()]),
        redo: Vec::new(),
        budget_usd: args.budget.map(|budget| budget / count.max(1) as f64),
        ..submit::params(args, &project, Some(Stage::Pictures))?
    };
    submit::fits(&params)?;
    let spec = TaskSpec {
        kind: "story.make".to_owned(),
        params: JsonText::from_value(&params).map_err(|error| internal(error.to_string()))?,
        request_id: Some(new_request_id()),
        name: Some(format!("take {} of {}", take.sample, take.shot)),
        ..TaskSpec::default()
    };
    Ok(session.submit(&spec).await?.id)
}

/// Returns the sum of the costs; None if one is not known.
fn total(costs: &[Option<Cost>]) -> Option<Cost> {
    let mut costs = costs.iter().cloned();
    let first = costs.next()??;
    costs.try_fold(first, |sum, cost| {
        let cost = cost?;
        Some(Cost {
            amount: sum.amount + cost.amount,
            is_estimate: sum.is_estimate || cost.is_estimate,
            currency: sum.currency,
        })
    })
}

/// Describes a take, such as `a3, take 2: made by studio`.
fn words(take: &Take<'_>, picture: &StepReport) -> String {
    let how = match (picture.state, &picture.provider, &picture.error) {
        (StepState::Made, Some(provider), _) => format!("made by {provider}"),
        (StepState::Cached, ..) => "from the cache".to_owned(),
        (_, _, Some(error)) => format!("failed: {}", error.message),
        _ => "not made".to_owned(),
    };
    format!("{}, take {}: {how}", take.shot, take.sample)
}
