//! `reel show`: shows everything about one task.

use reel_protocol::{
    JsonText, Output, TaskId, TaskView, Timestamp,
    methods::{TaskGet, TaskIdParams},
};

use crate::{context::Context, exit::Exit, failure::Failure, table, tasks, units};

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
    let task = context.ask::<TaskGet>(&TaskIdParams { id: args.id }).await?;
    context.output.document(&task)?;
    context.output.data(&layout(&task, Timestamp::now()))?;
    Ok(Exit::Done)
}

fn layout(task: &TaskView, now: Timestamp) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let time = |time: Option<Timestamp>| {
        time.map_or_else(String::new, |time| format!("{time} ({} ago)", tasks::age(time, now)))
    };
    let later =
        task.not_before.map_or_else(String::new, |time| format!("{time} (in {})", tasks::age(now, time)));
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
        ("hint", Failure::of_task(task).and_then(|failure| failure.error.hint).unwrap_or_default()),
        ("outputs", outputs.join("\n")),
        ("notes", task.notes.iter().map(|note| note.message.as_str()).collect::<Vec<_>>().join("\n")),
        ("source", task.source.map_or_else(String::new, source)),
        ("provider", text(&task.provider)),
        ("model", text(&task.model)),
        ("cost", task.cost.as_ref().map_or_else(String::new, tasks::cost)),
        ("attempts", task.attempts.to_string()),
        ("priority", task.priority.to_string()),
        ("client", task.client.clone()),
        ("batch", task.batch.map_or_else(String::new, |batch| batch.to_string())),
        ("after", after.join(" ")),
        ("created", time(Some(task.created_at))),
        ("not before", later),
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
