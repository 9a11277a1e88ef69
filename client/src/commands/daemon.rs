//! `reel daemon`: starting, stopping and looking after it.

use std::{path::Path, time::Duration};

use reel_client::{Client, ClientError, is_home_locked};
use reel_protocol::{
    Seconds,
    methods::{DaemonReload, DaemonShutdown, DaemonStatus, Empty, HelloResult, ReloadResult, ShutdownParams},
};
use serde::Serialize;
use tokio::time::sleep;

use crate::{context::Context, exit::Exit, failure::Failure, table, units};

mod definition;
mod install;
mod logs;

/// Between two looks at a daemon that stops.
const LOOK: Duration = Duration::from_millis(20);

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel daemon restart")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Start it in the background.
    #[command(after_help = "Example: reel daemon start")]
    Start,
    /// Stop it and wait until it is gone; unfinished tasks go on at the next start.
    #[command(after_help = "Example: reel daemon stop --drain 30s")]
    Stop(Drain),
    /// Stop it and start it again.
    #[command(after_help = "Example: reel daemon restart")]
    Restart(Drain),
    /// Read the configuration file again.
    #[command(after_help = "Example: reel daemon reload")]
    Reload,
    /// Print the newest lines of its log.
    #[command(after_help = "Example: reel daemon logs -f")]
    Logs(logs::Args),
    /// Hand it to the user's service manager, which then starts it when it is needed.
    #[command(after_help = "Example: reel daemon install")]
    Install,
    /// Stop it and take it from the service manager again.
    #[command(after_help = "Example: reel daemon uninstall")]
    Uninstall,
}

#[derive(Debug, clap::Args)]
struct Drain {
    /// How long running tasks may take to end, such as 30s.
    #[arg(long, value_name = "SPAN", value_parser = units::parse_span)]
    drain: Option<Duration>,
}

#[derive(Serialize)]
struct Started {
    pid: u32,
    version: String,
    was_running: bool,
}

#[derive(Serialize)]
struct Stopped {
    pid: Option<u32>,
    was_running: bool,
}

/// Does it.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    match args.action {
        Action::Start => start(context).await,
        Action::Stop(drain) => {
            let stopped = stop(context, &drain).await?;
            context.output.document(&stopped)?;
            context.output.line(if stopped.was_running { "stopped" } else { "not running" })?;
            Ok(Exit::Done)
        }
        Action::Restart(drain) => {
            stop(context, &drain).await?;
            start(context).await
        }
        Action::Reload => reload(context).await,
        Action::Logs(args) => logs::run(context, &args).await,
        Action::Install => install::install(context).await,
        Action::Uninstall => install::uninstall(context).await,
    }
}

async fn start(context: &Context) -> Result<Exit, Failure> {
    let (hello, was_running) = match running(context).await? {
        Some((_, hello)) => (hello, true),
        None => (context.session().await?.client().hello().await?, false),
    };
    let so = if was_running { "already running" } else { "started" };
    context.output.line(&format!("{so}: reeld {}, pid {}", hello.version, hello.pid))?;
    context.output.document(&Started { pid: hello.pid, version: hello.version, was_running })?;
    Ok(Exit::Done)
}

/// A daemon that really answers; None where none runs.
async fn running(context: &Context) -> Result<Option<(Client, HelloResult)>, Failure> {
    let client = match context.running().await {
        Err(ClientError::NoDaemon) => return Ok(None),
        connected => connected?,
    };
    match client.hello().await {
        Ok(hello) => Ok(Some((client, hello))),
        // It was on its way out.
        Err(error) if error.is_interruption() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn stop(context: &Context, drain: &Drain) -> Result<Stopped, Failure> {
    let found = match context.running().await {
        Err(ClientError::NoDaemon) => None,
        connected => Some(connected?),
    };
    let Some(client) = found else {
        wait_until_gone(context).await;
        return Ok(Stopped { pid: None, was_running: false });
    };
    // A daemon of another protocol cannot say hello to us, but it can still be told to go.
    let pid = client.hello().await.ok().map(|hello| hello.pid);
    say_what_it_waits_for(context, &client).await;
    match client.call::<DaemonShutdown>(&ShutdownParams { drain_s: drain.drain.map(Seconds) }).await {
        Ok(Empty {}) => {}
        Err(error) if error.is_interruption() => {}
        Err(error) => return Err(error.into()),
    }
    drop(client);
    wait_until_gone(context).await;
    Ok(Stopped { pid, was_running: true })
}

async fn say_what_it_waits_for(context: &Context, client: &Client) {
    let Ok(status) = client.call::<DaemonStatus>(&Empty {}).await else { return };
    if let Some(running) = status.tasks.get("running").filter(|running| **running > 0) {
        context
            .output
            .note(&format!("{running} running; they may end first, the rest goes on at the next start"));
    }
}

/// A process that stops listening may still be draining; only the lock says that it is gone.
async fn wait_until_gone(context: &Context) {
    while is_home_locked(context.locations()) {
        sleep(LOOK).await;
    }
}

async fn reload(context: &Context) -> Result<Exit, Failure> {
    let client = context.running().await?;
    let reloaded = client.call::<DaemonReload>(&Empty {}).await?;
    context.note_version(&client);
    context.output.document(&reloaded)?;
    context.output.data(&reload_layout(&reloaded, &context.locations().config))?;
    Ok(Exit::Done)
}

fn reload_layout(reloaded: &ReloadResult, config: &Path) -> String {
    if reloaded.changed.is_empty() && reloaded.needs_restart.is_empty() {
        return format!("nothing changed in {}\n", config.display());
    }
    table::fields(&[
        ("in force", reloaded.changed.join(", ")),
        ("after a restart", reloaded.needs_restart.join(", ")),
    ])
}
