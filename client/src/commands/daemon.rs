//! `reel daemon`: starting, stopping and looking after it.

use std::path::Path;

use reel_client::{Client, ClientError, daemon_program};
use reel_protocol::methods::{DaemonReload, Empty, HelloResult, ReloadResult};
use serde::Serialize;

use crate::{context::Context, exit::Exit, failure::Failure, table};

mod definition;
mod install;
mod logs;
mod stop;

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
    Stop(stop::Args),
    /// Stop it and start it again.
    #[command(after_help = "Example: reel daemon restart")]
    Restart(stop::Args),
    /// Show how it is; the same as `reel status`.
    #[command(after_help = "Example: reel daemon status --json")]
    Status,
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

#[derive(Serialize)]
struct Started {
    pid: u32,
    version: String,
    was_running: bool,
}

/// Does it.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    match args.action {
        Action::Start => start(context).await,
        Action::Stop(args) => stop::run(context, &args).await,
        Action::Restart(args) => {
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

/// The failure of a daemon that was started just now: where it is of another version, to restart it again would not help.
fn of_start(error: ClientError) -> Failure {
    let is_mismatch = matches!(error, ClientError::Protocol { .. });
    let failure = Failure::from(error);
    match daemon_program().filter(|_| is_mismatch) {
        Some(program) => {
            let program = program.display();
            failure.hint(format!(
                "{program} and this reel are of different versions: install both of one version"
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
