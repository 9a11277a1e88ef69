//! `reel fetch`: a finished task's outputs as files.

use std::path::PathBuf;

use reel_protocol::{
    TaskId,
    methods::{TaskGet, TaskIdParams},
};
use serde::Serialize;

use crate::{
    commands::generate,
    context::Context,
    exit::Exit,
    failure::Failure,
    naming::Destination,
    save::{self, Existing},
};

/// Which task, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel fetch 17 -o lighthouse.png")]
pub struct Args {
    /// The task.
    id: TaskId,
    /// The file to write, or - for stdout [default: a name made from the prompt].
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
    if let (Destination::File(path), 1) = (&destination, task.outputs.len()) {
        save::check_creatable(path, existing)?;
    }
    let files = generate::deliver(context, &session, &task, &destination, existing).await?;
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    for file in &files {
        context.output.line(file)?;
    }
    context.output.document(&Document { files })?;
    Ok(Exit::Done)
}
