//! `reel ls`: lists tasks, newest first.

use reel_protocol::{
    BatchId, HoldReason, TaskId, TaskState, TaskView, Timestamp, WaitReason,
    limits::LIST_ROWS,
    methods::{TaskList, TaskListParams, TaskListResult},
};

use crate::{context::Context, exit::Exit, failure::Failure, table, tasks, why};

/// The filters of the list.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel ls --state failed --limit 50")]
pub struct Args {
    /// Only those that are waiting, queued, running, succeeded, failed, cancelled or held.
    #[arg(long, value_parser = parse_state)]
    state: Option<TaskState>,
    /// Only those of this batch.
    #[arg(long, value_name = "ID")]
    batch: Option<u64>,
    /// Only those that this program submitted.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Only those with this name.
    #[arg(long)]
    name: Option<String>,
    /// Also those that are steps of a film or another task.
    #[arg(long, conflicts_with = "parent")]
    steps: bool,
    /// Only the steps of this task.
    #[arg(long, value_name = "ID", value_parser = tasks::parse_id)]
    parent: Option<TaskId>,
    /// Most tasks to list.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Prints the list.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let (found, hidden) = list(context, &args).await?;
    context.output.document(&found)?;
    let say_hidden = || {
        let steps = if hidden == 1 { "1 step".to_owned() } else { format!("{hidden} steps") };
        if hidden > 0 {
            context.output.note(&format!("{steps} of tasks are not shown; reel ls --steps shows them"));
        }
    };
    if found.tasks.is_empty() {
        context.output.note("no tasks");
        say_hidden();
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let rows: Vec<_> = found.tasks.iter().map(|task| row(task, now)).collect();
    let header = ["ID", "STATE", "DETAIL", "AGE", "KIND", "COST", "WHAT"];
    context.output.data(&table::columns(header, &rows, context.output.width()))?;
    // Only reasons that stop the whole queue are noted. That tasks wait for each other is nothing new.
    let mut waits = found.tasks.iter().filter_map(|task| task.wait_reason);
    let own = |reason: &WaitReason| {
        matches!(reason, WaitReason::Paused | WaitReason::Stopping | WaitReason::Memory)
    };
    if let Some(reason) = waits.find(own) {
        context.output.note(&format!("no queued task starts: {}", reason.text()));
    }
    say_hidden();
    if found.next_cursor.is_some() {
        context.output.note(&format!(
            "there are more tasks; reel ls --limit {} shows them",
            args.limit.saturating_mul(2)
        ));
    }
    Ok(Exit::Done)
}

/// Reads as many pages as the limit needs. One response has at most [`LIST_ROWS`] tasks. Also returns the number of steps that were left out.
async fn list(context: &Context, args: &Args) -> Result<(TaskListResult, usize), Failure> {
    let session = context.session().await?;
    let mut found = TaskListResult { tasks: Vec::new(), next_cursor: None };
    let mut hidden = 0;
    loop {
        let missing = args.limit.saturating_sub(found.tasks.len() as u32);
        let mut params = TaskListParams {
            state: args.state,
            batch: args.batch.map(BatchId),
            name: args.name.clone(),
            client: args.client.clone(),
            parent: args.parent,
            // A film has hundreds of steps, so a page that may consist of steps is as large as possible.
            limit: Some(if args.steps { missing.min(LIST_ROWS) } else { LIST_ROWS }),
            cursor: found.next_cursor.take(),
        };
        let page = session.call::<TaskList>(&params).await?;
        found.next_cursor = page.next_cursor;
        // The newest tasks come first, and a step is newer than its workflow.
        if let Some(parent) = args.parent
            && page.tasks.last().is_some_and(|task| task.id <= parent)
        {
            found.next_cursor = None;
        }
        let is_empty = page.tasks.is_empty();
        for (read, task) in (0..).zip(page.tasks) {
            let is_shown = match args.parent {
                Some(parent) => task.parent == Some(parent),
                None => args.steps || task.parent.is_none(),
            };
            if is_shown && found.tasks.len() >= args.limit as usize {
                // The next page begins with this task. A page that ends before it has the cursor for that.
                params.limit = Some(read);
                found.next_cursor = session.call::<TaskList>(&params).await?.next_cursor;
                break;
            }
            hidden += usize::from(!is_shown && args.parent.is_none());
            found.tasks.extend(is_shown.then_some(task));
        }
        if is_empty || found.next_cursor.is_none() || found.tasks.len() >= args.limit as usize {
            context.note_version(&session.client());
            return Ok((found, hidden));
        }
    }
}

fn row(task: &TaskView, now: Timestamp) -> [String; 7] {
    let age = tasks::age(task.created_at, now);
    [
        task.id.to_string(),
        task.state.name().to_owned(),
        detail(task, now),
        age,
        task.kind.clone(),
        // The column stays empty for tasks that cost nothing.
        task.cost.as_ref().filter(|cost| cost.amount > 0.0).map_or_else(String::new, tasks::cost),
        tasks::title(task),
    ]
}

/// Describes a task's progress, or why it waits, is held or failed.
fn detail(task: &TaskView, now: Timestamp) -> String {
    match task.state {
        TaskState::Running => tasks::percent(task.progress.fraction),
        TaskState::Held => match task.hold_reason {
            Some(HoldReason::User) => "by hand".to_owned(),
            reason => reason.map_or("", HoldReason::name).replace('_', " "),
        },
        TaskState::Failed => {
            task.error.as_ref().map_or_else(String::new, |error| error.code.replace('_', " "))
        }
        _ => why::in_short(task, now).unwrap_or_default(),
    }
}

fn parse_state(text: &str) -> Result<TaskState, String> {
    TaskState::from_name(text)
        .ok_or_else(|| format!("the states are {}", TaskState::ALL.map(TaskState::name).join(", ")))
}
