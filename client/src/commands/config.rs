//! `reel config`: where the configuration is, what it says, whether it holds. It never starts a daemon.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reel_client::daemon_program;
use serde::Serialize;

use crate::{context::Context, exit::Exit, failure::Failure, save};

mod redact;

/// What a new file says: everything by default, and how to begin.
const TEMPLATE: &str = include_str!("config/template.toml");

/// The editor where the environment names none.
const EDITOR: &str = "vi";

/// What to do.
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
}

/// Does it.
pub fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let path = context.locations().config.as_path();
    let document = Document { path, exists: path.exists(), text: None, is_valid: None };
    match &args.action {
        Action::Path => {
            context.output.line(&path.display().to_string())?;
            context.output.document(&document)?;
        }
        Action::Show => {
            let text = read(path)?.map(|text| redact::redact(&text));
            match &text {
                Some(text) => context.output.data(text)?,
                None => {
                    context.output.note(&format!("defaults are in force: {} does not exist", path.display()));
                }
            }
            context.output.document(&Document { text, ..document })?;
        }
        Action::Check => {
            check(path)?;
            context.output.line(&says_it_holds(&document))?;
            context.output.document(&Document { is_valid: Some(true), ..document })?;
        }
        Action::Edit => {
            create_if_absent(path)?;
            edit(path)?;
            check(path)?;
            let document = Document { exists: true, is_valid: Some(true), ..document };
            context.output.line(&says_it_holds(&document))?;
            context.output.document(&document)?;
        }
    }
    Ok(Exit::Done)
}

fn says_it_holds(document: &Document<'_>) -> String {
    let path = document.path.display();
    if document.exists {
        format!("{path} holds")
    } else {
        format!("{path} does not exist: defaults are in force")
    }
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(&format!("cannot read {}", path.display()), &error)),
    }
}

/// Asks `reeld`, which alone knows every key.
fn check(path: &Path) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let program = daemon_program().ok_or_else(|| {
        Failure::new(Exit::NoDaemon, "no_daemon_program", "reeld is neither beside this program nor on PATH")
    })?;
    let checked = Command::new(&program).arg("--check-config").arg(path).stdin(Stdio::null()).output();
    let checked =
        checked.map_err(|error| Failure::io(&format!("cannot run {}", program.display()), &error))?;
    if checked.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&checked.stderr);
    let words = words.trim();
    let words = words.strip_prefix("reeld: ").unwrap_or(words).to_owned();
    let words = if words.is_empty() { format!("reeld ended with {}", checked.status) } else { words };
    Err(Failure::new(Exit::Config, "config_invalid", words).hint("reel config edit"))
}

fn create_if_absent(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        let cannot =
            |error| Failure::cannot_create(format!("cannot create {}: {error}", directory.display()));
        fs::create_dir_all(directory).map_err(cannot)?;
    }
    save::replace(path, TEMPLATE.as_bytes())
}

fn edit(path: &Path) -> Result<(), Failure> {
    let given = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.trim().is_empty()));
    let command = given.unwrap_or_else(|| EDITOR.to_owned());
    // As `git` and `crontab` users write it: a program and its options, without a shell's quotes.
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
