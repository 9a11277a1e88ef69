//! `reel cancel`, `retry`, `hold`, `release`, `rm` and `priority`: the commands that change existing tasks.

use std::{
    cell::RefCell,
    io::{BufRead as _, IsTerminal as _, Write as _},
};

use reel_client::{Client, ClientError};
use reel_protocol::{
    Digest, ErrorCode, RpcError, TaskId, TaskState, TaskView,
    limits::NAMED_TASKS,
    methods::{
        ArtifactRemove, ArtifactRemoveParams, ArtifactRemoveResult, SetPriorityParams, TaskCancel, TaskGet,
        TaskHold, TaskIdParams, TaskRelease, TaskRemove, TaskRetry, TaskSetPriority,
    },
};
use serde::Serialize;

use crate::{
    context::Context,
    exit::Exit,
    failure::{ErrorBody, Failure},
    tasks, units,
};

/// The tasks to change.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ids of the tasks, which `reel ls` shows.
    #[arg(required = true, value_name = "ID", value_parser = tasks::parse_id)]
    ids: Vec<TaskId>,
}

/// The tasks to remove, and whether to remove their files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  reel rm 17 18\n  reel rm 17 --with-files --yes")]
pub struct RemoveArgs {
    /// The ids of the tasks, which `reel ls` shows.
    #[arg(required = true, value_name = "ID", value_parser = tasks::parse_id)]
    ids: Vec<TaskId>,
    /// Also remove their results from the daemon's store, unless another task has them too; saved files are kept.
    #[arg(long)]
    with_files: bool,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
}

/// The task, and its new priority.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel priority 17 50")]
pub struct PriorityArgs {
    /// The task's id, which `reel ls` shows.
    #[arg(value_parser = tasks::parse_id)]
    id: TaskId,
    /// The new priority, -100 to 100, higher first.
    #[arg(allow_negative_numbers = true, value_parser = tasks::parse_priority)]
    priority: i8,
}

#[derive(Serialize)]
struct Document {
    results: Vec<Changed>,
    /// The removed files; None unless `--with-files` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<RemovedFiles>,
}

#[derive(Default, Serialize)]
struct RemovedFiles {
    removed: u64,
    freed_bytes: u64,
    kept: u64,
    /// Why not all files were removed.
    error: Option<ErrorBody>,
}

#[derive(Serialize)]
struct Changed {
    id: TaskId,
    task: Option<TaskView>,
    error: Option<ErrorBody>,
}

/// Runs `reel cancel`.
pub async fn cancel(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, plainly, async |client, id| {
        client.call::<TaskCancel>(&TaskIdParams { id }).await.map(Some)
    })
    .await
}

/// Runs `reel retry`. A refusal for a task that succeeded says how to get its result.
pub async fn retry(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, tried_again, async |client, id| {
        let retried = client.call::<TaskRetry>(&TaskIdParams { id }).await.map(Some);
        match retried {
            Err(ClientError::Rpc(error)) => Err(explain_refusal(client, id, error).await.into()),
            retried => retried,
        }
    })
    .await
}

/// Returns the line for a retried task. It names no state, because the task may have changed its state before the line is read.
fn tried_again(id: TaskId, _task: Option<&TaskView>) -> String {
    format!("{id} is queued again; reel wait {id} waits until it is done")
}

/// Adds a hint to the refusal to retry a task that succeeded: how to fetch its result, or how to make another one.
async fn explain_refusal(client: &Client, id: TaskId, mut error: RpcError) -> RpcError {
    if error.known() == Some(ErrorCode::IllegalState)
        && let Ok(task) = client.call::<TaskGet>(&TaskIdParams { id }).await
        && task.state == TaskState::Succeeded
    {
        let fetch = format!("reel fetch {id} writes its result");
        error.data.hint = Some(format!("{fetch}; the same command with --fresh makes another one"));
    }
    error
}

/// Runs `reel hold`.
pub async fn hold(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, plainly, async |client, id| {
        client.call::<TaskHold>(&TaskIdParams { id }).await.map(Some)
    })
    .await
}

/// Runs `reel release`.
pub async fn release(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, released, async |client, id| {
        client.call::<TaskRelease>(&TaskIdParams { id }).await.map(Some)
    })
    .await
}

/// Returns the line for a released task. The command that submitted it has ended, so the line says how to get the result.
fn released(id: TaskId, task: Option<&TaskView>) -> String {
    let is_picture = task.is_some_and(|task| task.kind.starts_with("image."));
    let next = if is_picture {
        format!("reel fetch {id} -o FILE saves its picture when it is done")
    } else {
        format!("reel wait {id} waits until it is done")
    };
    format!("{id} is released; {next}")
}

/// Returns the task's id and new state.
fn plainly(id: TaskId, task: Option<&TaskView>) -> String {
    format!("{id} {}", state_name(task))
}

fn state_name(task: Option<&TaskView>) -> &'static str {
    task.map_or("removed", |task| task.state.name())
}

/// Runs `reel rm`. With `--with-files` it also removes the tasks' artifacts from the daemon's store.
pub async fn remove(context: &Context, args: RemoveArgs) -> Result<Exit, Failure> {
    if args.with_files && !args.yes {
        confirm(&args.ids)?;
    }
    let digests = RefCell::new(Vec::new());
    let (mut exit, results) = change_each(context, &args.ids, plainly, async |client, id| {
        let outputs = if args.with_files {
            client.call::<TaskGet>(&TaskIdParams { id }).await?.outputs
        } else {
            Vec::new()
        };
        client.call::<TaskRemove>(&TaskIdParams { id }).await?;
        digests.borrow_mut().extend(outputs.iter().map(|output| output.digest));
        Ok(None)
    })
    .await?;
    let mut files = None;
    if args.with_files {
        let all = files.insert(RemovedFiles::default());
        // The tasks are gone, so a failure must not hide the results.
        if let Err(failure) = remove_files(context, &digests.into_inner(), all).await {
            say(context, &failure);
            exit = if exit == Exit::Done { failure.exit } else { exit };
            all.error = Some(failure.error);
        }
        context.output.note(&removed(all));
    }
    context.output.document(&Document { results, files })?;
    Ok(exit)
}

/// Removes artifacts from the daemon's store, and adds to `all` what was removed.
async fn remove_files(context: &Context, digests: &[Digest], all: &mut RemovedFiles) -> Result<(), Failure> {
    let client = context.session().await?.client();
    for digests in digests.chunks(NAMED_TASKS) {
        let params = ArtifactRemoveParams { digests: digests.to_vec() };
        let ArtifactRemoveResult { removed, freed_bytes, kept } =
            client.call::<ArtifactRemove>(&params).await?;
        all.removed += removed;
        all.freed_bytes += freed_bytes;
        all.kept += kept;
    }
    Ok(())
}

/// Describes how many files were removed and how many were kept.
fn removed(all: &RemovedFiles) -> String {
    let files = if all.removed == 1 { "file" } else { "files" };
    let gone = format!("{} {files} removed, {}", all.removed, units::bytes(all.freed_bytes));
    match all.kept {
        0 => gone,
        1 => format!("{gone}; 1 is kept, because another task has it too"),
        kept => format!("{gone}; {kept} are kept, because other tasks have them too"),
    }
}

/// Asks for confirmation on the terminal. Without a terminal it fails, because nobody can answer.
fn confirm(ids: &[TaskId]) -> Result<(), Failure> {
    let (input, error) = (std::io::stdin(), std::io::stderr());
    if !(input.is_terminal() && error.is_terminal()) {
        let failure = Failure::usage(
            "--with-files removes results for ever, and there is no terminal to ask for confirmation",
        );
        return Err(failure.hint("--yes removes them without asking"));
    }
    let tasks = if ids.len() == 1 { "task and its files" } else { "tasks and their files" };
    let _ = write!(std::io::stderr(), "Remove {} {tasks} from the daemon's store? [y/N] ", ids.len());
    let mut answer = String::new();
    let read = input.lock().read_line(&mut answer);
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Interrupted, "not_confirmed", "nothing was removed")),
    }
}

/// Runs `reel priority`.
pub async fn priority(context: &Context, args: PriorityArgs) -> Result<Exit, Failure> {
    let priority = args.priority;
    let set = async |client: &Client, id| {
        client.call::<TaskSetPriority>(&SetPriorityParams { id, priority }).await.map(Some)
    };
    let say = |id, task: Option<&TaskView>| {
        let when = match task.map(|task| task.state) {
            Some(TaskState::Running) => ", which counts if it is queued again",
            _ => "",
        };
        format!("{id} has priority {priority} now{when}")
    };
    each(context, &[args.id], say, set).await
}

/// Changes the tasks and prints the document of `--json`.
async fn each(
    context: &Context,
    ids: &[TaskId],
    say: impl Fn(TaskId, Option<&TaskView>) -> String,
    change: impl AsyncFn(&Client, TaskId) -> Result<Option<TaskView>, ClientError>,
) -> Result<Exit, Failure> {
    let (exit, results) = change_each(context, ids, say, change).await?;
    context.output.document(&Document { results, files: None })?;
    Ok(exit)
}

/// Prints an error that does not end the command.
fn say(context: &Context, failure: &Failure) {
    context.output.warn(&format!("error: {}", failure.error.message));
    failure.error.hint.iter().for_each(|hint| context.output.warn(&format!("  hint: {hint}")));
}

/// Changes the tasks one after another. A refusal does not stop the others, and the first one decides the exit code. A request is never repeated
/// after a lost connection, because a second release might pay twice.
async fn change_each(
    context: &Context,
    ids: &[TaskId],
    line: impl Fn(TaskId, Option<&TaskView>) -> String,
    change: impl AsyncFn(&Client, TaskId) -> Result<Option<TaskView>, ClientError>,
) -> Result<(Exit, Vec<Changed>), Failure> {
    let client = context.session().await?.client();
    let mut exit = Exit::Done;
    let mut results = Vec::with_capacity(ids.len());
    for &id in ids {
        match change(&client, id).await {
            Ok(task) => {
                context.output.line(&line(id, task.as_ref()))?;
                results.push(Changed { id, task, error: None });
            }
            Err(error) => {
                let failure = Failure::from(error);
                say(context, &failure);
                if exit == Exit::Done {
                    exit = failure.exit;
                }
                results.push(Changed { id, task: None, error: Some(failure.error) });
            }
        }
    }
    context.note_version(&client);
    Ok((exit, results))
}
