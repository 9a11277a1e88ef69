//! `reel fetch`: a finished task's outputs as files.

use std::path::PathBuf;

use reel_protocol::{
    TaskId,
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
    table, tasks,
};

/// Which task, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel fetch 17 -o lighthouse.png")]
pub struct Args {
    /// The task.
    #[arg(value_parser = tasks::parse_id)]
    id: TaskId,
    /// The file to write, or - for stdout; a picture is converted to what its ending says [default: a name made from the prompt].
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

/// Fetches them.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let destination = Destination::parse(args.output.as_deref());
    if destination == Destination::Stdout && context.output.is_json {
        return Err(Failure::usage("-o - and --json both want stdout"));
    }
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let session = context.session().await?;
    let task = session.call::<TaskGet>(&TaskIdParams { id: args.id }).await?;
    context.note_version(&session.client());
    if let Some(failure) = Failure::of_task(&task) {
        return Err(failure);
    }
    if let Destination::File(path) = &destination {
        for path in names_of_file(path, task.outputs.len()) {
            creatable::check_file(&path, existing)?;
        }
    }
    let files = deliver(context, &session, &task, &destination, task.outputs.len(), existing).await?;
    context.output.paths(&files)?;
    context.output.document(&Document { files: files.iter().map(|file| table::path(file)).collect() })?;
    Ok(Exit::Done)
}
