//! `reel daemon stop`: asks the daemon to shut down and waits until it has ended. If the daemon does not answer on its socket, its process gets a
//! signal.

use std::time::Duration;

use reel_client::{Client, ClientError, Holder, Process};
use reel_protocol::{
    Seconds,
    methods::{DaemonShutdown, DaemonStatus, DaemonStatusResult, Empty, ShutdownParams},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, suspended},
    units,
};

/// Interval at which the process is checked for its end.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Interval at which a draining daemon is asked what it waits for.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Timeout of a request to the daemon.
const ANSWER: Duration = Duration::from_secs(10);

/// How long running tasks may take if neither `--drain` nor the daemon says so.
const DRAIN: Duration = Duration::from_secs(30);

/// How long the process may take after its drain, to stop tasks, close the journal and send its last answers.
const MARGIN: Duration = Duration::from_secs(10);

/// How long running tasks may take with `--force` and without `--drain`.
const GRACE: Duration = Duration::from_secs(10);

/// How long the system may take to end a killed process. A process inside a disk operation ends only after the operation.
const KILLED: Duration = Duration::from_secs(10);

/// How to stop the daemon.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long running tasks may take to end, such as 30s.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    drain: Option<Duration>,
    /// Kill the daemon if it does not end in time: --drain (or 10 s) plus 10 s.
    #[arg(long)]
    force: bool,
}

impl Args {
    /// Uses the drain of the configuration, and no force.
    pub const GENTLE: Self = Self { drain: None, force: false };
}

/// How the daemon ended, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Stopped {
    /// The process id; None if no daemon ran.
    pub pid: Option<u32>,
    /// Whether a daemon ran.
    pub was_running: bool,
    /// Whether it was killed. Tasks with a paid request in flight are then held.
    pub was_killed: bool,
}

/// Stops the daemon and prints the result.
pub async fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let stopped = stop(context, args, "stop").await?;
    context.output.document(&stopped)?;
    context.output.line(if stopped.was_running { "stopped" } else { "not running" })?;
    Ok(Exit::Done)
}

/// Stops the daemon for `reel daemon VERB`. Returns once the daemon has ended. Fails if it does not end in the time that its drain needs.
pub async fn stop(context: &Context, args: &Args, verb: &str) -> Result<Stopped, Failure> {
    let holder = Holder::find(context.locations());
    if let Some(holder) = holder.as_ref().filter(|holder| holder.process.is_suspended()) {
        if !args.force {
            let error = ClientError::Unresponsive {
                pid: Some(holder.pid()),
                is_suspended: true,
                waited: Duration::ZERO,
            };
            return Err(Failure::from(error).hint(suspended(Some(holder.pid()), verb)));
        }
        kill(context, &holder.process).await?;
        return Ok(Stopped { pid: Some(holder.pid()), was_running: true, was_killed: true });
    }
    let (client, told_pid) = match ask(context, args).await {
        Ok((client, pid)) => (Some(client), Some(pid)),
        Err(error) => match &holder {
            None if matches!(error, ClientError::NoDaemon) => {
                return Ok(Stopped { pid: None, was_running: false, was_killed: false });
            }
            None => return Err(error.into()),
            Some(holder) => (signal(context, holder, error)?, None),
        },
    };
    // With an explicit socket, another daemon than this home's may listen there. Its pid is not proven, so it gets no signal.
    let process =
        holder.map(|holder| holder.process).filter(|own| told_pid.is_none_or(|pid| pid == own.pid()));
    let pid = told_pid.or(process.as_ref().map(Process::pid));
    let limit = args.drain.unwrap_or(if args.force { GRACE } else { DRAIN }) + MARGIN;
    let is_gone = wait(context, process.as_ref(), client, limit, args.force).await;
    match process.filter(|_| args.force && !is_gone) {
        Some(process) => kill(context, &process).await?,
        None if is_gone => {}
        None => return Err(still_stopping(pid, limit)),
    }
    Ok(Stopped { pid, was_running: true, was_killed: !is_gone })
}

fn still_stopping(pid: Option<u32>, waited: Duration) -> Failure {
    let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let message = format!("the daemon{pid} was told to end, and still runs after {} s", waited.as_secs());
    Failure::new(Exit::TryLater, "still_stopping", message).hint(
        "it may wait for answers that were paid for: reel daemon stop waits again; reel daemon stop --force kills it, and \
         those tasks are held",
    )
}

/// Asks the daemon at the socket to shut down. Returns the connection, on which it answers until it ends, and its pid.
async fn ask(context: &Context, args: &Args) -> Result<(Client, u32), ClientError> {
    let client = context.running().await?;
    let pid = client.hello().await?.pid;
    let drain = args.drain.or(args.force.then_some(GRACE));
    match client.call_within::<DaemonShutdown>(&ShutdownParams { drain_s: drain.map(Seconds) }, ANSWER).await
    {
        Ok(Empty {}) => Ok((client, pid)),
        Err(error) if error.is_interruption() => Ok((client, pid)),
        Err(error) => Err(error),
    }
}

/// Sends SIGTERM to the process of this home's daemon, because its socket does not answer.
fn signal(context: &Context, holder: &Holder, error: ClientError) -> Result<Option<Client>, Failure> {
    let locations = context.locations();
    if locations.is_socket_given && holder.socket != locations.socket {
        // An explicit socket means the daemon at that socket, so no other daemon is signalled.
        let (pid, socket) = (holder.pid(), holder.socket.display());
        let hint = format!(
            "the daemon of this home (pid {pid}) listens on {socket}: reel --socket {socket} daemon stop"
        );
        return Err(Failure::from(error).hint(hint));
    }
    let pid = holder.pid();
    context.output.note(&format!("{error}; the daemon (pid {pid}) is told to end by a signal"));
    let failed = |error| Failure::io(&format!("cannot signal the daemon (pid {pid})"), &error);
    holder.process.terminate().map_err(failed)?;
    Ok(None)
}

/// Waits until the daemon has ended. Returns false if `limit` passes after its last answer. While it answers, it is draining, and limits that time
/// itself. With force, `limit` counts from the start.
async fn wait(
    context: &Context,
    process: Option<&Process>,
    mut client: Option<Client>,
    limit: Duration,
    is_forced: bool,
) -> bool {
    let mut heard = Instant::now();
    let mut asked: Option<Instant> = None;
    let mut said = String::new();
    let is_gone = |client: &Option<Client>| match process {
        Some(process) => process.is_over(),
        None => client.as_ref().is_none_or(Client::is_closed),
    };
    while !is_gone(&client) {
        if heard.elapsed() >= limit {
            return false;
        }
        sleep(POLL_INTERVAL).await;
        if let Some(draining) = client.as_ref().filter(|_| asked.is_none_or(|at| at.elapsed() >= ASK_EVERY)) {
            match draining.call_within::<DaemonStatus>(&Empty {}, ANSWER).await {
                Ok(status) => {
                    if !is_forced {
                        heard = Instant::now();
                    }
                    say_what_it_waits_for(context, &status, &mut said);
                }
                Err(_) if process.is_some() => client = None,
                Err(_) => {}
            }
            asked = Some(Instant::now());
        }
    }
    true
}

fn say_what_it_waits_for(context: &Context, status: &DaemonStatusResult, said: &mut String) {
    let running = status.tasks.get("running").copied().unwrap_or_default();
    let tasks = if running == 1 { "task" } else { "tasks" };
    let words = format!("waiting for {running} running {tasks}; the others continue at the next start");
    if running > 0 && words != *said {
        context.output.note(&words);
        *said = words;
    }
}

/// Kills the process, waits for its end, and prints what that means for tasks.
async fn kill(context: &Context, process: &Process) -> Result<(), Failure> {
    let pid = process.pid();
    let failed = |error| Failure::io(&format!("cannot kill the daemon (pid {pid})"), &error);
    process.kill().map_err(failed)?;
    let begun = Instant::now();
    while !process.is_over() {
        if begun.elapsed() >= KILLED {
            let message = format!("the daemon (pid {pid}) was killed, and the system has not ended it yet");
            return Err(Failure::new(Exit::TryLater, "still_stopping", message)
                .hint("it waits for a disk or a network file system: try again when that answers"));
        }
        sleep(POLL_INTERVAL).await;
    }
    context.output.warn(&format!(
        "killed the daemon (pid {pid}). What it accepted is kept. A task whose request to a paid provider was under way \
         is held at the next start: reel ls --state held"
    ));
    Ok(())
}
