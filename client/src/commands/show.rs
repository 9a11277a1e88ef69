//! `reel show`: shows everything about one task.

use reel_protocol::{
    JsonText, Output, TaskId, TaskState, TaskView, Timestamp,
    methods::{TaskGet, TaskIdParams},
};

use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    steps::{FailedStep, Obstacles, has_steps, obstacles},
    table, tasks, units,
    why::Why,
};

/// The task to show.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel show 17")]
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
    let found = if task.state == TaskState::Running && has_steps(&task.kind) {
        obstacles(&session.client(), task.id, None).await?
    } else {
        Obstacles::default()
    };
    context.output.data(&layout(&task, &found, Timestamp::now()))?;
    Ok(Exit::Done)
}

/// Describes the steps that failed and those that wait, one in each line.
fn steps(found: &Obstacles) -> (String, String) {
    let failed = found
        .failed
        .iter()
        .map(|FailedStep { id, step, message, .. }| format!("{step} failed: {message} (reel show {id})"));
    let waiting = found.waiting.iter().map(|step| step.line.clone());
    (failed.collect::<Vec<_>>().join("\n"), waiting.collect::<Vec<_>>().join("\n"))
}

/// Returns the next step. A task that waits because its last attempt failed has the hint of that failure.
fn hint(task: &TaskView, now: Timestamp) -> String {
    let of_error = task.error.as_ref().and_then(|error| error.hint.clone());
    let of_wait = of_error.filter(|_| Why::of(task, None, now).is_some());
    let of_state = || Failure::of_task(task).and_then(|failure| failure.error.hint);
    of_wait.or_else(of_state).unwrap_or_default()
}

/// Counts the attempts. While the task waits, the text says which of them use up none of the attempts that the task may make.
fn attempts(task: &TaskView) -> String {
    let error = task.error.as_ref().filter(|_| task.state == TaskState::Queued);
    let uncounted = match error.map(|error| (error.code.as_str(), error.provider_status)) {
        Some(("provider_unavailable", None)) => " (those that did not reach the provider do not count)",
        Some(("rate_limited", _)) => " (those that were refused by a rate limit do not count)",
        _ => "",
    };
    format!("{}{uncounted}", task.attempts)
}

fn layout(task: &TaskView, found: &Obstacles, now: Timestamp) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let time = |time: Option<Timestamp>| {
        time.map_or_else(String::new, |time| format!("{time} ({} ago)", tasks::age(time, now)))
    };
    let next_try = task.not_before.filter(|_| !task.state.is_finished());
    let next_try = next_try.map_or_else(String::new, |time| {
        if time <= now { "now".to_owned() } else { format!("in {} ({time})", tasks::age(now, time)) }
    });
    let (failed_steps, waiting_steps) = steps(found);
    let after: Vec<String> = task.after.iter().map(ToString::to_string).collect();
    let outputs: Vec<String> = task.outputs.iter().map(output).collect();
    table::fields(&[
        ("id", task.id.to_string()),
        ("kind", task.kind.clone()),
        ("name", text(&task.name)),
        ("state", state(task)),
        (
            "error",
            task.error
                .as_ref()
                .map_or_else(String::new, |error| format!("{} ({})", error.message, error.code)),
        ),
        ("failed", failed_steps),
        ("waits", waiting_steps),
        ("hint", hint(task, now)),
        ("outputs", outputs.join("\n")),
        ("notes", task.notes.iter().map(|note| note.message.as_str()).collect::<Vec<_>>().join("\n")),
        ("source", task.source.map_or_else(String::new, source)),
        ("provider", text(&task.provider)),
        ("model", text(&task.model)),
        ("cost", task.cost.as_ref().map_or_else(String::new, tasks::cost)),
        ("attempts", attempts(task)),
        ("priority", task.priority.to_string()),
        ("client", task.client.clone()),
        ("batch", task.batch.map_or_else(String::new, |batch| batch.to_string())),
        ("after", after.join(" ")),
        ("created", time(Some(task.created_at))),
        ("next try", next_try),
        ("started", time(task.started_at)),
        ("finished", time(task.finished_at)),
        ("took", tasks::run_time(task).map_or_else(String::new, units::span)),
        ("params", given(&task.params)),
        ("metadata", task.metadata.as_ref().map_or_else(String::new, |json| json.as_str().to_owned())),
    ])
}

/// Returns the params without nulls and empty lists.
fn given(params: &JsonText) -> String {
    let Ok(mut fields) = params.decode::<serde_json::Map<String, serde_json::Value>>() else {
        return params.as_str().to_owned();
    };
    fields.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|values| !values.is_empty()));
    serde_json::Value::Object(fields).to_string()
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

fn output(output: &Output) -> String {
    let pixels = output
        .width
        .zip(output.height)
        .map_or_else(String::new, |(width, height)| format!(", {width}x{height}"));
    let length = output.duration_s.map_or_else(String::new, |seconds| format!(", {seconds:.1} s"));
    let text = output.text.as_ref().map_or_else(String::new, |text| format!("\n{}", text.trim_end()));
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
