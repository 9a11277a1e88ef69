//! `reel show`: shows everything about one task. Of a film it shows one screen, without the story.

mod workflow;

use reel_protocol::{
    JsonText, Output, TaskId, TaskState, TaskView, Timestamp, WaitReason,
    methods::{TaskGet, TaskIdParams},
};

use self::workflow::MadeFrom;
use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    steps::{WaitingStep, has_steps, obstacles},
    table, tasks, units,
    why::Why,
};

/// The task to show.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: reel show 17\n\nOf a film it shows what became of its steps; --json has the whole story and the report."
)]
pub struct Args {
    /// The task's id, which `reel ls` shows.
    #[arg(value_parser = tasks::parse_id)]
    id: TaskId,
}

/// Prints the task.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let session = context.session().await?;
    let task = session.call::<TaskGet>(&TaskIdParams { id: args.id }).await?;
    context.note_version(&session.client());
    context.output.document(&task)?;
    if context.output.is_json {
        return Ok(Exit::Done);
    }
    let steps =
        if has_steps(&task.kind) { Some(workflow::read_steps(&session, task.id).await?) } else { None };
    let waiting = if steps.is_some() && task.state == TaskState::Running {
        obstacles(&session.client(), task.id, None).await?.waiting
    } else {
        Vec::new()
    };
    context.output.data(&layout(&task, steps.as_deref(), &waiting, Timestamp::now()))?;
    Ok(Exit::Done)
}

/// Returns the next step. A task that waits because its last attempt failed has the hint of that failure.
fn hint(task: &TaskView, now: Timestamp) -> String {
    let of_error = task.error.as_ref().and_then(|error| error.hint.clone());
    let of_wait = of_error.filter(|_| Why::of(task, None, now).is_some());
    let of_state = || match (task.state, task.wait_reason) {
        (_, Some(WaitReason::Paused)) => Some("reel resume lets queued tasks start again".to_owned()),
        (TaskState::Waiting | TaskState::Queued | TaskState::Running, _) => None,
        _ => Failure::of_task(task).and_then(|failure| failure.error.hint),
    };
    of_wait.or_else(of_state).unwrap_or_default()
}

/// Counts the attempts. While the task waits, the text says which of them use up none of the attempts that the task may make.
fn attempts(task: &TaskView) -> String {
    let uncounted = match task.wait_reason {
        Some(WaitReason::ProviderUnreachable) => " (those that did not reach the provider do not count)",
        Some(WaitReason::ProviderLoading) => " (those that found the provider loading do not count)",
        Some(WaitReason::ProviderPause) => " (those that were refused by a rate limit do not count)",
        _ => "",
    };
    format!("{}{uncounted}", task.attempts)
}

/// Lays out a task. `steps` are those of a workflow, of which neither the story nor the report is shown.
fn layout(task: &TaskView, steps: Option<&[TaskView]>, waiting: &[WaitingStep], now: Timestamp) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let made = steps.and_then(|_| MadeFrom::of(task));
    let mut fields =
        vec![("id", task.id.to_string()), ("kind", task.kind.clone()), ("name", text(&task.name))];
    if let Some(made) = &made {
        fields.push(("story", text(&made.story)));
        fields.push(("film", text(&made.film)));
    }
    fields.push(("what", steps.map_or_else(String::new, |_| workflow::outline(&task.params))));
    fields.push(("state", state(task)));
    if let Some(steps) = steps {
        fields.push(("steps", workflow::counted(steps)));
        fields.push(("failed", workflow::to_decide(steps)));
        fields.push(("waits", waiting.iter().map(|step| &*step.line).collect::<Vec<_>>().join("\n")));
    }
    let error = task.error.as_ref();
    let outputs: Vec<String> = task
        .outputs
        .iter()
        .filter(|one| is_file(one, steps))
        .map(|one| output(one, steps.is_none()))
        .collect();
    let next = steps.map_or_else(String::new, |_| workflow::next_step(task, made.as_ref()));
    fields.extend([
        ("error", error.map_or_else(String::new, |error| format!("{} ({})", error.message, error.code))),
        ("hint", if steps.is_none() || task.state.is_settled() { hint(task, now) } else { String::new() }),
        (if steps.is_some() { "files" } else { "outputs" }, outputs.join("\n")),
        ("notes", task.notes.iter().map(|note| note.message.as_str()).collect::<Vec<_>>().join("\n")),
        ("source", task.source.filter(|_| steps.is_none()).map_or_else(String::new, source)),
        ("provider", text(&task.provider)),
        ("model", text(&task.model)),
        (
            "cost",
            match steps {
                Some(steps) => workflow::cost(steps),
                None => task.cost.as_ref().map_or_else(String::new, tasks::cost),
            },
        ),
        ("attempts", if steps.is_some() { String::new() } else { attempts(task) }),
        ("priority", task.priority.to_string()),
        ("client", task.client.clone()),
        ("batch", task.batch.map_or_else(String::new, |batch| batch.to_string())),
        ("part of", part_of(task)),
        ("request id", text(&task.request_id)),
        ("after", task.after.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    ]);
    fields.extend(times(task, now));
    fields.push(("next step", next));
    if steps.is_none() {
        fields.push(("prompt", tasks::prompt(&task.params).unwrap_or_default()));
        fields.push(("params", given(&task.params)));
    }
    if made.is_none() {
        fields.push((
            "metadata",
            task.metadata.as_ref().map_or_else(String::new, |json| json.as_str().to_owned()),
        ));
    }
    table::fields(&fields)
}

fn times(task: &TaskView, now: Timestamp) -> [(&'static str, String); 5] {
    let time = |time: Option<Timestamp>| {
        time.map_or_else(String::new, |time| format!("{time} ({} ago)", tasks::age(time, now)))
    };
    let next_try = task.not_before.filter(|_| !task.state.is_finished());
    let next_try = next_try.map_or_else(String::new, |time| {
        if time <= now { "now".to_owned() } else { format!("in {} ({time})", tasks::age(now, time)) }
    });
    [
        ("created", time(Some(task.created_at))),
        ("next try", next_try),
        ("started", time(task.started_at)),
        ("finished", time(task.finished_at)),
        ("took", tasks::run_time(task).map_or_else(String::new, units::span)),
    ]
}

/// Whether an output is a file for a person. The report of a workflow is for programs.
fn is_file(output: &Output, steps: Option<&[TaskView]>) -> bool {
    steps.is_none() || output.media_type != "application/json"
}

/// Names the workflow of which the task is a step.
fn part_of(task: &TaskView) -> String {
    let Some(parent) = task.parent else { return String::new() };
    let step = task.step.as_ref().map_or_else(String::new, |step| format!(", as its step {step}"));
    format!("task {parent}{step}")
}

/// Returns the params without the prompt, nulls and empty lists. Empty if nothing remains.
fn given(params: &JsonText) -> String {
    let Ok(mut fields) = params.decode::<serde_json::Map<String, serde_json::Value>>() else {
        return params.as_str().to_owned();
    };
    if let Some(shown) = tasks::prompt(params) {
        fields.retain(|name, value| !(matches!(&**name, "prompt" | "text") && *value == *shown));
    }
    fields.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|values| !values.is_empty()));
    if fields.is_empty() { String::new() } else { serde_json::Value::Object(fields).to_string() }
}

fn state(task: &TaskView) -> String {
    let mut parts = vec![task.state.name().to_owned()];
    parts.extend(task.hold_reason.map(|reason| reason.name().replace('_', " ")));
    parts.extend(task.wait_reason.map(|reason| reason.text().to_owned()));
    if !task.state.is_finished() && task.progress.fraction > 0.0 {
        parts.push(tasks::percent(task.progress.fraction));
    }
    if !task.state.is_finished() && !task.progress.message.is_empty() {
        parts.push(task.progress.message.clone());
    }
    parts.join(", ")
}

fn output(output: &Output, has_text: bool) -> String {
    let pixels = output
        .width
        .zip(output.height)
        .map_or_else(String::new, |(width, height)| format!(", {width}x{height}"));
    let length = output.duration_s.map_or_else(String::new, |seconds| format!(", {seconds:.1} s"));
    let text = output
        .text
        .as_ref()
        .filter(|_| has_text)
        .map_or_else(String::new, |text| format!("\n{}", text.trim_end()));
    let size = units::bytes(output.size_bytes);
    format!("{}\n{}{pixels}{length}, {size}{text}", output.path, output.media_type)
}

fn source(source: reel_protocol::Source) -> String {
    match source {
        reel_protocol::Source::Made => "made",
        reel_protocol::Source::Cache => "from the cache",
        reel_protocol::Source::Shared => "made for an equal request at the same time",
        reel_protocol::Source::Unknown => "unknown",
    }
    .to_owned()
}
