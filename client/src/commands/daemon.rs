//! `reel daemon`: starts, stops, inspects and installs the daemon.

use std::path::Path;

use reel_client::{Client, ClientError, daemon_program};
use reel_protocol::methods::{DaemonReload, Empty, HelloResult, ReloadResult};
use serde::Serialize;

use crate::{config_file, context::Context, exit::Exit, failure::Failure, table};

mod definition;
mod install;
mod logs;
mod stop;

/// The arguments of `reel daemon`: what to do with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel daemon restart")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Start the daemon in the background.
    #[command(after_help = "Example: reel daemon start")]
    Start,
    /// Stop the daemon and wait until it has ended; unfinished tasks continue at the next start.
    #[command(after_help = "Example: reel daemon stop --drain 30s")]
    Stop(stop::Args),
    /// Stop the daemon and start it again.
    #[command(after_help = "Example: reel daemon restart")]
    Restart(stop::Args),
    /// Show the daemon's state; the same as `reel status`.
    #[command(after_help = "Example: reel daemon status --json")]
    Status,
    /// Reload the configuration file.
    #[command(after_help = "Example: reel daemon reload")]
    Reload,
    /// Print the newest lines of the daemon's log.
    #[command(after_help = "Example: reel daemon logs -f")]
    Logs(logs::Args),
    /// Install the daemon as a user service, which starts it when it is needed.
    #[command(after_help = "Example: reel daemon install")]
    Install,
    /// Stop the daemon and remove the user service.
    #[command(after_help = "Example: reel daemon uninstall")]
    Uninstall,
}

#[derive(Serialize)]
struct Started {
    pid: u32,
    version: String,
    was_running: bool,
}

/// Runs the action.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    match args.action {
        Action::Start => start(context).await,
        Action::Stop(args) => stop::run(context, &args).await,
        Action::Restart(args) => {
            check_config(context)?;
            stop::stop(context, &args, "restart").await?;
            start(context).await
        }
        Action::Status => super::status::run(context).await,
        Action::Reload => reload(context).await,
        Action::Logs(args) => logs::run(context, &args).await,
        Action::Install => install::install(context).await,
        Action::Uninstall => install::uninstall(context).await,
    }
}

/// Refuses to stop a daemon that could not start again because of an error in the configuration file.
fn check_config(context: &Context) -> Result<(), Failure> {
    match config_file::check(&context.locations().config) {
        Err(failure) if failure.exit == Exit::Config => {
            Err(failure.hint("the daemon was not stopped; correct the file with reel config edit first"))
        }
        // If the file cannot be checked here, the start of the daemon reports what is wrong.
        _ => Ok(()),
    }
}

async fn start(context: &Context) -> Result<Exit, Failure> {
    let (hello, was_running) = match running(context).await? {
        Some((_, hello)) => (hello, true),
        None => (context.session().await?.client().hello().await.map_err(of_start)?, false),
    };
    let so = if was_running { "already running" } else { "started" };
    context.output.line(&format!("{so}: reeld {}, pid {}", hello.version, hello.pid))?;
    context.output.document(&Started { pid: hello.pid, version: hello.version, was_running })?;
    Ok(Exit::Done)
}

/// Connects to a running daemon that answers. None if no daemon runs.
async fn running(context: &Context) -> Result<Option<(Client, HelloResult)>, Failure> {
    let client = match context.running().await {
        Err(ClientError::NoDaemon) => return Ok(None),
        connected => connected?,
    };
    match client.hello().await {
        Ok(hello) => Ok(Some((client, hello))),
        // The daemon was shutting down.
        Err(error) if error.is_interruption() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes the failure of a daemon that was just started. If its version does not match, a restart would not help, so the hint says to install matching
/// versions.
fn of_start(error: ClientError) -> Failure {
    let is_mismatch = matches!(error, ClientError::Protocol { .. });
    let failure = Failure::from(error);
    match daemon_program().filter(|_| is_mismatch) {
        Some(program) => {
            let program = program.display();
            failure.hint(format!(
                "{program} and this reel are of different versions; install the same version of both"
            ))
        }
        None => failure,
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
