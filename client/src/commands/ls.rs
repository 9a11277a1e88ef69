//! `reel ls`: lists tasks, newest first.

use reel_protocol::{
    BatchId, HoldReason, TaskId, TaskState, TaskView, Timestamp, WaitReason,
    limits::LIST_ROWS,
    methods::{DaemonStatus, Empty, TaskList, TaskListParams, TaskListResult},
};

use crate::{context::Context, exit::Exit, failure::Failure, steps::has_steps, table, tasks, why};

/// The filters of the list.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: reel ls --state failed --limit 50\n\nA task is one line, which ends where the terminal does, or after 120 columns where there is none.\nreel show ID has the whole text of a task, and --json that of all."
)]
pub struct Args {
    /// Only those that are waiting, queued, running, succeeded, failed, cancelled or held.
    #[arg(long, value_parser = parse_state)]
    state: Option<TaskState>,
    /// Only those of this batch.
    #[arg(long, value_name = "N")]
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
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = parse_limit)]
    limit: u32,
}

/// Prints the list.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let found = list(context, &args).await?;
    context.output.document(&found)?;
    if found.tasks.is_empty() {
        context.output.note("no tasks");
        note_steps(context, &args).await;
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let rows: Vec<_> = found.tasks.iter().map(|task| row(task, now)).collect();
    let header = ["ID", "STATE", "DETAIL", "AGE", "KIND", "BATCH", "COST", "WHAT"];
    context.output.data(&table::columns(header, &rows, Some(context.output.line_width())))?;
    // Only reasons that stop the whole queue are noted. That tasks wait for each other is nothing new.
    let mut waits = found.tasks.iter().filter_map(|task| task.wait_reason);
    let own = |reason: &WaitReason| {
        matches!(reason, WaitReason::Paused | WaitReason::Stopping | WaitReason::Memory)
    };
    if let Some(reason) = waits.find(own) {
        context.output.note(&format!("no queued task starts: {}", reason.text()));
    }
    let film = found.tasks.iter().find(|task| has_steps(&task.kind));
    if let Some(film) = film.filter(|_| !args.steps && args.parent.is_none()) {
        context.output.note(&format!("reel ls --parent {} shows the steps of that task", film.id));
    }
    if found.next_cursor.is_some() {
        context.output.note(&format!("there are more tasks; {} shows them", longer(&args)));
    }
    note_steps(context, &args).await;
    Ok(Exit::Done)
}

/// Notes how many steps of films are held or failed, if a list of those tasks leaves the steps out.
async fn note_steps(context: &Context, args: &Args) {
    let is_narrower = args.batch.is_some() || args.client.is_some() || args.name.is_some();
    let state = args.state.filter(|state| matches!(state, TaskState::Held | TaskState::Failed));
    let Some(state) = state.filter(|_| !args.steps && args.parent.is_none() && !is_narrower) else { return };
    // The note is an extra: the list is right without it.
    let Ok(session) = context.session().await else { return };
    let Ok(status) = session.call::<DaemonStatus>(&Empty {}).await else { return };
    let name = state.name();
    let count = status.steps.get(name).copied().unwrap_or(0);
    if count > 0 {
        let noun = if count == 1 { "step" } else { "steps" };
        context.output.note(&format!("{count} {name} {noun} of films: reel ls --state {name} --steps"));
    }
}

/// Reads as many pages as the limit needs. One response has at most [`LIST_ROWS`] tasks.
async fn list(context: &Context, args: &Args) -> Result<TaskListResult, Failure> {
    let session = context.session().await?;
    let mut found = TaskListResult { tasks: Vec::new(), next_cursor: None };
    loop {
        let missing = args.limit.saturating_sub(found.tasks.len() as u32);
        let params = TaskListParams {
            state: args.state,
            batch: args.batch.map(BatchId),
            name: args.name.clone(),
            client: args.client.clone(),
            parent: args.parent,
            steps: (!args.steps && args.parent.is_none()).then_some(false),
            limit: Some(missing.min(LIST_ROWS)),
            cursor: found.next_cursor.take(),
        };
        let page = session.call::<TaskList>(&params).await?;
        let is_empty = page.tasks.is_empty();
        found.tasks.extend(page.tasks);
        found.next_cursor = page.next_cursor;
        if is_empty || found.next_cursor.is_none() || found.tasks.len() >= args.limit as usize {
            break;
        }
    }
    if let Some(batch) = args.batch.filter(|_| found.tasks.is_empty()) {
        let any = TaskListParams { batch: Some(BatchId(batch)), limit: Some(1), ..TaskListParams::default() };
        if session.call::<TaskList>(&any).await?.tasks.is_empty() {
            return Err(Failure::no_batch(batch));
        }
    }
    context.note_version(&session.client());
    Ok(found)
}

/// Returns the command that lists twice as many tasks with the same filters.
fn longer(args: &Args) -> String {
    let mut words = vec!["reel ls".to_owned()];
    words.extend(args.state.map(|state| format!("--state {}", state.name())));
    words.extend(args.batch.map(|batch| format!("--batch {batch}")));
    words.extend(args.client.as_ref().map(|client| format!("--client {}", table::word(client.as_ref()))));
    words.extend(args.name.as_ref().map(|name| format!("--name {}", table::word(name.as_ref()))));
    words.extend(args.parent.map(|parent| format!("--parent {parent}")));
    words.extend(args.steps.then(|| "--steps".to_owned()));
    words.push(format!("--limit {}", args.limit.saturating_mul(2)));
    words.join(" ")
}

fn row(task: &TaskView, now: Timestamp) -> [String; 8] {
    let age = tasks::age(task.created_at, now);
    [
        task.id.to_string(),
        task.state.name().to_owned(),
        detail(task, now),
        age,
        task.kind.clone(),
        task.batch.map_or_else(String::new, |batch| batch.to_string()),
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
            Some(HoldReason::User) => "by you".to_owned(),
            reason => reason.map_or("", HoldReason::name).replace('_', " "),
        },
        TaskState::Failed => {
            task.error.as_ref().map_or_else(String::new, |error| error.code.replace('_', " "))
        }
        _ => why::in_short(task, now).unwrap_or_default(),
    }
}

fn parse_limit(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "a limit is a whole number from 1".to_owned())
}

fn parse_state(text: &str) -> Result<TaskState, String> {
    TaskState::from_name(text)
        .ok_or_else(|| format!("the states are {}", TaskState::ALL.map(TaskState::name).join(", ")))
}
