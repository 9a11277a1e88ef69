//! `reel fetch`: writes the outputs of a finished task to files.

use std::path::PathBuf;

use reel_protocol::{
    TaskId, TaskState,
    methods::{TaskGet, TaskIdParams},
};
use serde::Serialize;

use crate::{
    context::Context,
    creatable,
    deliver::{deliver, names_of_file},
    exit::Exit,
    failure::Failure,
    naming::Destination,
    save::Existing,
    signals::Interrupts,
    table, tasks,
};

/// The task, and where to write its outputs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel fetch 17 -o lighthouse.png")]
pub struct Args {
    /// The task's id, which `reel ls` shows.
    #[arg(value_parser = tasks::parse_id)]
    id: TaskId,
    /// The file to write, or - for stdout; a picture is converted to the format of its extension [default: a name made from the prompt].
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Document {
    files: Vec<String>,
}

/// Fetches the outputs and writes the files.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let destination = Destination::parse(args.output.as_deref());
    if destination == Destination::Stdout && context.output.is_json {
        return Err(Failure::usage("-o - and --json cannot be used together, because both print to stdout"));
    }
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let session = context.session().await?;
    let task = session.call::<TaskGet>(&TaskIdParams { id: args.id }).await?;
    context.note_version(&session.client());
    match Failure::of_task(&task) {
        // A failed task may still have outputs, such as an answer that does not fit its schema.
        Some(failure) if task.state == TaskState::Failed && !task.outputs.is_empty() => {
            context.output.warn(&format!("the task failed, but it has a result: {}", failure.error.message));
        }
        Some(failure) => return Err(failure),
        None => {}
    }
    if let Destination::File(path) = &destination {
        for path in names_of_file(path, task.outputs.len()) {
            creatable::check_file(&path, existing)?;
        }
    }
    let files = deliver(
        context,
        &session,
        &task,
        (&destination, task.outputs.len()),
        existing,
        &mut Interrupts::listen(),
    )
    .await?;
    context.output.paths(&files)?;
    context.output.document(&Document { files: files.iter().map(|file| table::path(file)).collect() })?;
    Ok(Exit::Done)
}
