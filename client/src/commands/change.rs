//! `reel cancel`, `retry`, `hold`, `release`, `rm` and `priority`: what changes tasks that exist.

use reel_client::{Client, ClientError};
use reel_protocol::{
    TaskId, TaskView,
    methods::{
        SetPriorityParams, TaskCancel, TaskHold, TaskIdParams, TaskRelease, TaskRemove, TaskRetry,
        TaskSetPriority,
    },
};
use serde::Serialize;

use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Shown},
};

/// Which tasks.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<TaskId>,
}

/// Which task, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel priority 17 50")]
pub struct PriorityArgs {
    /// The task.
    id: TaskId,
    /// -100 to 100, higher first.
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-100..=100))]
    priority: i8,
}

#[derive(Serialize)]
struct Document {
    results: Vec<Changed>,
}

#[derive(Serialize)]
struct Changed {
    id: TaskId,
    task: Option<TaskView>,
    error: Option<Shown>,
}

/// `reel cancel`.
pub async fn cancel(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, async |client, id| {
        client.call::<TaskCancel>(&TaskIdParams { id }).await.map(Some)
    })
    .await
}

/// `reel retry`.
pub async fn retry(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, async |client, id| {
        client.call::<TaskRetry>(&TaskIdParams { id }).await.map(Some)
    })
    .await
}

/// `reel hold`.
pub async fn hold(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, async |client, id| client.call::<TaskHold>(&TaskIdParams { id }).await.map(Some))
        .await
}

/// `reel release`.
pub async fn release(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, async |client, id| {
        client.call::<TaskRelease>(&TaskIdParams { id }).await.map(Some)
    })
    .await
}

/// `reel rm`.
pub async fn remove(context: &Context, args: Args) -> Result<Exit, Failure> {
    each(context, &args.ids, async |client, id| {
        client.call::<TaskRemove>(&TaskIdParams { id }).await.map(|_| None)
    })
    .await
}

/// `reel priority`.
pub async fn priority(context: &Context, args: PriorityArgs) -> Result<Exit, Failure> {
    let priority = args.priority;
    let set = async |client: &Client, id| {
        client.call::<TaskSetPriority>(&SetPriorityParams { id, priority }).await.map(Some)
    };
    each(context, &[args.id], set).await
}

/// Changes one after another; a refusal does not stop the rest, and the first one decides the exit code. Never repeated after the
/// connection is lost: a second release might pay twice.
async fn each(
    context: &Context,
    ids: &[TaskId],
    change: impl AsyncFn(&Client, TaskId) -> Result<Option<TaskView>, ClientError>,
) -> Result<Exit, Failure> {
    let client = context.session().await?.client();
    let mut exit = Exit::Done;
    let mut results = Vec::with_capacity(ids.len());
    for &id in ids {
        match change(&client, id).await {
            Ok(task) => {
                let now = task.as_ref().map_or("removed", |task| task.state.name());
                context.output.line(&format!("{id} {now}"))?;
                results.push(Changed { id, task, error: None });
            }
            Err(error) => {
                let failure = Failure::from(error);
                context.output.warn(&format!("error: {}", failure.error.message));
                failure.error.hint.iter().for_each(|hint| context.output.warn(&format!("  hint: {hint}")));
                if exit == Exit::Done {
                    exit = failure.exit;
                }
                results.push(Changed { id, task: None, error: Some(failure.error) });
            }
        }
    }
    context.note_version(&client);
    context.output.document(&Document { results })?;
    Ok(exit)
}
