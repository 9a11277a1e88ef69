//! `reel config`: shows the path and the text of the configuration file, checks it, and edits it. It never starts a daemon.

use std::{
    env, io,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use reel_client::{Client, ClientError};
use reel_protocol::methods::{DaemonReload, DaemonStatus, Empty};
use serde::Serialize;

use crate::{config_file, context::Context, exit::Exit, failure::Failure};

mod file_state;
mod redact;
mod warning;

pub use self::{file_state::ConfigFileState, warning::warn_of_error};

/// The editor if neither `$VISUAL` nor `$EDITOR` is set.
const EDITOR: &str = "vi";

/// Timeout for requests to the daemon. They are optional, because the file can be checked without a daemon.
const LIMIT: Duration = Duration::from_secs(5);

/// The arguments of `reel config`: what to do with the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel config edit")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the file's path, whether or not it exists.
    #[command(after_help = "Example: reel config path")]
    Path,
    /// Print the file; keys are hidden.
    #[command(after_help = "Example: reel config show")]
    Show,
    /// Check the file without touching a running daemon.
    #[command(after_help = "Example: reel config check")]
    Check,
    /// Open the file in $VISUAL or $EDITOR, then check it.
    #[command(after_help = "Example: EDITOR=nano reel config edit")]
    Edit,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a Path,
    exists: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_valid: Option<bool>,
    /// Whether the running daemon uses this text. None if no daemon runs with this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_in_force: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs_restart: Vec<String>,
}

/// Runs the action.
pub async fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let path = context.locations().config.as_path();
    let document = Document {
        path,
        exists: path.exists(),
        text: None,
        is_valid: None,
        is_in_force: None,
        needs_restart: Vec::new(),
    };
    match &args.action {
        Action::Path => {
            context.output.line(&path.display().to_string())?;
            context.output.document(&document)?;
        }
        Action::Show => {
            let text = config_file::read(path)?.map(|text| redact::redact(&text));
            match &text {
                Some(text) => context.output.data(text)?,
                None => {
                    context.output.note(&format!("{} does not exist, so the defaults apply", path.display()));
                }
            }
            context.output.document(&Document { text, ..document })?;
        }
        Action::Check => {
            check(context, path)?;
            let file_state = file_state(daemon_of(context, path).await.as_ref(), path).await;
            tell(context, document, file_state)?;
        }
        Action::Edit => {
            config_file::create_if_absent(path)?;
            edit_until_it_holds(context, path)?;
            let daemon = daemon_of(context, path).await;
            if let Some(daemon) = &daemon {
                // The daemon may have reloaded the file by itself. The request makes sure that it has.
                daemon.call_within::<DaemonReload>(&Empty {}, LIMIT).await?;
            }
            let file_state = file_state(daemon.as_ref(), path).await;
            tell(context, Document { exists: true, ..document }, file_state)?;
        }
    }
    Ok(Exit::Done)
}

/// Prints that the file is valid, and whether the running daemon uses it.
fn tell(
    context: &Context,
    document: Document<'_>,
    file_state: Option<ConfigFileState>,
) -> Result<(), Failure> {
    let path = document.path.display();
    let holds = match (document.exists, &file_state) {
        (true, None) => format!("{path} is valid"),
        (true, Some(ConfigFileState::InForce)) => format!("{path} is valid, and the daemon uses it"),
        (true, Some(file_state)) => format!("{path} is valid; {}", file_state.words().unwrap_or_default()),
        (false, None | Some(ConfigFileState::InForce)) => {
            format!("{path} does not exist, so the defaults apply")
        }
        (false, Some(file_state)) => {
            format!("{path} does not exist: {}", file_state.words().unwrap_or_default())
        }
    };
    context.output.line(&holds)?;
    let is_in_force = file_state
        .as_ref()
        .map(|file_state| matches!(file_state, ConfigFileState::InForce | ConfigFileState::NeedsRestart(_)));
    let needs_restart = match file_state {
        Some(ConfigFileState::NeedsRestart(keys)) => keys,
        _ => Vec::new(),
    };
    context.output.document(&Document { is_valid: Some(true), is_in_force, needs_restart, ..document })
}

/// Connects to the running daemon if its configuration is this file. None if there is none or it does not answer, so that the check itself still
/// succeeds.
async fn daemon_of(context: &Context, path: &Path) -> Option<Client> {
    let client = context.running().await.ok()?;
    let status = client.call_within::<DaemonStatus>(&Empty {}, LIMIT).await.ok()?;
    (Path::new(&status.config) == path).then_some(client)
}

async fn file_state(daemon: Option<&Client>, path: &Path) -> Option<ConfigFileState> {
    let status: Result<_, ClientError> = daemon?.call_within::<DaemonStatus>(&Empty {}, LIMIT).await;
    let status = status.ok().filter(|status| Path::new(&status.config) == path)?;
    status.config_in_force.is_some().then(|| ConfigFileState::of_file(&status))
}

/// Checks the file and prints its warnings. Fails if the file is invalid.
fn check(context: &Context, path: &Path) -> Result<(), Failure> {
    for warning in config_file::check(path)? {
        context.output.warn(&warning);
    }
    Ok(())
}

/// Opens the editor. On a terminal, it offers to edit again as long as the file is invalid.
fn edit_until_it_holds(context: &Context, path: &Path) -> Result<(), Failure> {
    loop {
        edit(path)?;
        let Err(wrong) = check(context, path) else { return Ok(()) };
        let may_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !may_ask || wrong.error.code != "config_invalid" {
            return Err(wrong);
        }
        context.output.warn(&wrong.error.message);
        context.output.warn("edit again? [Y/n]");
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        if read.is_err() || answer.is_empty() || answer.trim().to_lowercase().starts_with('n') {
            return Err(wrong.said());
        }
    }
}

fn edit(path: &Path) -> Result<(), Failure> {
    let given = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.trim().is_empty()));
    let command = given.unwrap_or_else(|| EDITOR.to_owned());
    // The variable is split at white space into a program and its options. Unlike in a shell, quotes have no effect.
    let mut words = command.split_whitespace();
    let program = PathBuf::from(words.next().unwrap_or(EDITOR));
    let ended = Command::new(&program).args(words).arg(path).status();
    let ended = ended.map_err(|error| {
        Failure::io(&format!("cannot run {}", program.display()), &error).hint("set VISUAL or EDITOR")
    })?;
    if ended.success() {
        return Ok(());
    }
    Err(Failure::new(Exit::WorkFailed, "editor_failed", format!("{} ended with {ended}", program.display())))
}
