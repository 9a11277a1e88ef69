//! `reel wait`: waits until tasks are done.

use std::time::Duration;

use reel_protocol::{TaskId, TaskState, Timestamp, limits::WAIT_IDS, methods::Until};

use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    signals::Interrupts,
    tasks, units,
    waiting::{self, Wait},
    why::why_it_waits,
};

/// The tasks to wait for, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel wait 17 18 --timeout 60s")]
pub struct Args {
    /// The ids of the tasks, which `reel ls` shows.
    #[arg(required = true, value_name = "ID", value_parser = tasks::parse_id)]
    ids: Vec<TaskId>,
    /// Wait until one of them is done, not all.
    #[arg(long)]
    any: bool,
    /// Wait at most this long, such as 90s or 5min; the tasks continue.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    timeout: Option<Duration>,
}

/// Waits for the tasks and prints the final state of each.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    if args.ids.len() > WAIT_IDS {
        return Err(Failure::usage(format!("one wait takes at most {WAIT_IDS} tasks")));
    }
    let until = if args.any { Until::Any } else { Until::All };
    let session = context.session().await?;
    let wait = Wait { until, timeout: args.timeout, is_onlooker: true, ..Wait::for_all(&args.ids) };
    let ended = waiting::wait(context.output, &session, &wait, &mut Interrupts::listen()).await?;
    context.note_version(&session.client());
    context.output.document(&ended)?;
    let mut exit = Exit::Done;
    for task in ended.tasks.iter().filter(|task| task.state.is_settled()) {
        context.output.line(&format!("{} {}", task.id, task.state.name()))?;
        if task.state != TaskState::Succeeded {
            exit = Exit::WorkFailed;
        }
        if let Some(failure) = Failure::of_task(task) {
            context.output.warn(&failure.error.message);
            failure.error.hint.iter().for_each(|hint| context.output.warn(&format!("  hint: {hint}")));
        }
    }
    if ended.timed_out {
        for why in ended.tasks.iter().filter_map(|task| why_it_waits(task, Timestamp::now())) {
            context.output.note(&why);
        }
        context.output.warn("the timeout passed, and the tasks continue");
        exit = Exit::TimedOut;
    }
    Ok(exit)
}
