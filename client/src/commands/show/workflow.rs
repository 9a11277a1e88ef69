//! Describes a task that consists of steps, such as a film: counts of its steps, the steps that a person must see, and the film's outline.

use std::collections::BTreeMap;

use reel_client::{ClientError, Session};
use reel_protocol::{
    Cost, JsonText, Source, TaskId, TaskState, TaskView,
    limits::LIST_ROWS,
    methods::{TaskList, TaskListParams},
};
use serde::Deserialize;

use crate::tasks;

/// Most failed or held steps that are named.
const NAMED: usize = 5;

/// Reads all steps of a workflow, newest first.
pub async fn read_steps(session: &Session, workflow: TaskId) -> Result<Vec<TaskView>, ClientError> {
    let mut wanted =
        TaskListParams { parent: Some(workflow), limit: Some(LIST_ROWS), ..TaskListParams::default() };
    let mut steps = Vec::new();
    loop {
        let page = session.call::<TaskList>(&wanted).await?;
        steps.extend(page.tasks);
        if page.next_cursor.is_none() {
            return Ok(steps);
        }
        wanted.cursor = page.next_cursor;
    }
}

/// The steps of one kind, by what became of them.
#[derive(Debug, Default)]
struct Counts {
    made: usize,
    from_before: usize,
    others: BTreeMap<&'static str, usize>,
}

/// Returns a line for each kind of step, such as `voices: 8 of 8 done, 7 of them from before`.
pub fn counted(steps: &[TaskView]) -> String {
    // The keys sort the kinds in the order of the work.
    let mut kinds: BTreeMap<(usize, &'static str), Counts> = BTreeMap::new();
    for step in steps {
        let counts = kinds.entry(kind_of(step)).or_default();
        match (step.state, step.source) {
            (TaskState::Succeeded, Some(Source::Cache | Source::Shared)) => counts.from_before += 1,
            (TaskState::Succeeded, _) => counts.made += 1,
            (state, _) => *counts.others.entry(state.name()).or_default() += 1,
        }
    }
    let line = |((_, kind), counts): (&(usize, &'static str), &Counts)| {
        let done = counts.made + counts.from_before;
        let all = done + counts.others.values().sum::<usize>();
        let before = match counts.from_before {
            0 => String::new(),
            before if before == done => ", from before".to_owned(),
            before => format!(", {before} of them from before"),
        };
        let others = counts.others.iter().map(|(state, count)| format!("{count} {state}"));
        let parts: Vec<String> =
            std::iter::once(format!("{kind}: {done} of {all} done{before}")).chain(others).collect();
        parts.join(", ")
    };
    kinds.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the kind of a step in words, with its place in the order of the work.
fn kind_of(step: &TaskView) -> (usize, &'static str) {
    match step.step.as_deref().unwrap_or_default().split('/').next().unwrap_or_default() {
        "storyboard" | "chunk" | "outline" => (0, "storyboard"),
        "voice" => (1, "voices"),
        "sheet" | "place" => (2, "sheets of characters and places"),
        "picture" | "card" => (3, "pictures"),
        "clip" => (4, "clips"),
        "render" => (5, "shots rendered"),
        _ => (6, "other parts"),
    }
}

/// Names the steps that failed or are held, oldest first, with the commands that show them.
pub fn to_decide(steps: &[TaskView]) -> String {
    let is_named = |step: &&TaskView| matches!(step.state, TaskState::Failed | TaskState::Held);
    let found: Vec<&TaskView> = steps.iter().rev().filter(is_named).collect();
    let mut lines: Vec<String> = found
        .iter()
        .take(NAMED)
        .map(|step| {
            let name = step.step.as_deref().unwrap_or("a step");
            let why = step.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.message));
            format!("{name} {}{why} (reel show {})", step.state.name(), step.id)
        })
        .collect();
    if found.len() > NAMED {
        lines.push(format!("{} more", found.len() - NAMED));
    }
    lines.join("\n")
}

/// Returns what the steps have cost so far, such as `about 0.12 USD`, and how many have an unknown cost.
pub fn cost(steps: &[TaskView]) -> String {
    let known = steps.iter().filter_map(|step| step.cost.as_ref());
    let amount = known.clone().map(|cost| (cost.amount * 1e6).round()).sum::<f64>() / 1e6;
    let is_estimate = known.clone().any(|cost| cost.is_estimate);
    let unknown =
        steps.iter().filter(|step| step.state == TaskState::Succeeded && step.cost.is_none()).count();
    let words = match known.map(|cost| cost.currency.clone()).next() {
        Some(currency) if amount > 0.0 => tasks::cost(&Cost { amount, currency, is_estimate }),
        Some(_) => "nothing".to_owned(),
        None => String::new(),
    };
    match unknown {
        0 => words,
        unknown => format!("{words}; {unknown} of its steps have an unknown cost")
            .trim_start_matches("; ")
            .to_owned(),
    }
}

/// The paths that `reel make` stores with its task.
#[derive(Debug, Deserialize)]
pub struct MadeFrom {
    /// The story, or its project file.
    pub story: Option<String>,
    /// The film.
    pub film: Option<String>,
    /// The command that continues the film.
    pub command: Option<String>,
}

impl MadeFrom {
    /// Returns the paths; None if another program submitted the task.
    pub fn of(task: &TaskView) -> Option<Self> {
        task.metadata.as_ref()?.decode::<Self>().ok().filter(|made| made.command.is_some())
    }
}

/// Describes a film in one line, such as `The Last Oil: 8 shots in 2 scenes, 1920x1080, style cinematic`. Empty for other workflows.
pub fn outline(params: &JsonText) -> String {
    #[derive(Deserialize)]
    struct Params {
        project: Project,
    }
    #[derive(Deserialize)]
    struct Project {
        #[serde(default)]
        video: Video,
        #[serde(default)]
        scenes: Vec<serde_json::Value>,
        #[serde(default)]
        shots: Vec<serde_json::Value>,
    }
    #[derive(Default, Deserialize)]
    struct Video {
        size: Option<String>,
        style: Option<String>,
    }
    let Ok(Params { project: Project { video, scenes, shots } }) = params.decode::<Params>() else {
        return String::new();
    };
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let scenes =
        if scenes.is_empty() { String::new() } else { format!(" in {}", count(scenes.len(), "scene")) };
    let size = video.size.map_or_else(String::new, |size| format!(", {size}"));
    let style = video.style.filter(|style| !style.is_empty()).map(|style| format!(", style {style}"));
    format!("{}{scenes}{size}{}", count(shots.len(), "shot"), style.unwrap_or_default())
}

/// Returns the next step for a workflow that did not fail.
pub fn next_step(task: &TaskView, made: Option<&MadeFrom>) -> String {
    let id = task.id;
    let again = made.and_then(|made| made.command.as_deref());
    match task.state {
        TaskState::Succeeded => again.map_or_else(
            || format!("reel fetch {id} writes the files"),
            |again| format!("{again} writes them again, or makes what was changed"),
        ),
        TaskState::Running | TaskState::Queued | TaskState::Waiting => {
            format!(
                "reel wait {id} waits for it, reel ls --parent {id} lists its steps, reel cancel {id} cancels it"
            )
        }
        _ => again.map_or_else(
            || format!("reel ls --parent {id} lists its steps"),
            |again| format!("{again} continues it, reel ls --parent {id} lists its steps"),
        ),
    }
}
