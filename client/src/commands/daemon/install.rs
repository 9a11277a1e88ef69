//! `reel daemon install` and `uninstall`: installs the daemon as a user service, and removes exactly what was installed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use reel_client::{
    daemon_program,
    user_units::{self, Found},
};
use serde::Serialize;

use super::{
    definition::{Definition, Words},
    stop,
};
use crate::{
    context::Context,
    exit::Exit,
    failure::{ErrorBody, Failure},
    save,
};

/// Timeout of a command of the service manager. It is longer than the daemon needs to stop.
const LIMIT: Duration = Duration::from_mins(2);

/// Environment variables that the daemon reads, and that a service does not inherit from the shell.
const OF_THE_SHELL: [&str; 5] =
    ["REEL_HOME", "REEL_SOCKET", "REEL_CONFIG", "XDG_DATA_HOME", "XDG_CONFIG_HOME"];

/// The report of what was done, which `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    files: Vec<FileReport>,
    commands: Vec<String>,
    /// Whether the service manager has enabled the daemon.
    is_enabled: bool,
    error: Option<ErrorBody>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    /// The action: `written`, `unchanged`, `removed` or `kept`.
    action: &'static str,
}

impl Report {
    fn file(&mut self, context: &Context, action: &'static str, path: &Path) -> Result<(), Failure> {
        let path = path.display().to_string();
        context.output.line(&format!("{action:9} {path}"))?;
        self.files.push(FileReport { path, action });
        Ok(())
    }

    /// Prints a command of the service manager and runs it.
    async fn command(&mut self, context: &Context, words: &Words) -> Result<Result<(), String>, Failure> {
        let line = words.join(" ");
        context.output.line(&format!("{:9} {line}", "ran"))?;
        self.commands.push(line);
        Ok(ask(words).await)
    }
}

async fn ask(words: &Words) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((program, arguments)) => user_units::ask(program, arguments, LIMIT).await,
        None => Ok(()),
    }
}

/// Writes the service files and enables the service.
pub async fn install(context: &Context) -> Result<Exit, Failure> {
    let definition = definition()?;
    for (path, _) in &definition.files {
        if user_units::inspect_unit_file(path) == Found::Foreign {
            return Err(
                Failure::exists(path).hint("it was not written by reel; move it to another place first")
            );
        }
    }
    let mut report = Report::default();
    for (path, text) in &definition.files {
        if user_units::inspect_unit_file(path) == Found::Ours(text.clone()) {
            report.file(context, "unchanged", path)?;
        } else {
            let directory = path.parent().unwrap_or(path);
            fs::create_dir_all(directory).map_err(|error| cannot(directory, &error))?;
            save::replace(path, text.as_bytes())?;
            report.file(context, "written", path)?;
        }
    }
    note_variables(context);
    let exit = match take_up(context, &definition, &mut report).await? {
        Ok(()) => {
            report.is_enabled = true;
            context.output.line("enabled: the daemon starts when it is needed")?;
            Exit::Done
        }
        Err(reason) => {
            let shown = ErrorBody {
                code: "no_service_manager".to_owned(),
                message: format!("no service manager of this user accepted the service: {reason}"),
                hint: Some(format!(
                    "the files were written: run {} in a session that has one, or start the daemon without it with reel daemon start",
                    definition.up.join(" ")
                )),
                task: None,
            };
            context.output.warn(&format!("error: {}", shown.message));
            context.output.warn(&format!("  hint: {}", shown.hint.as_deref().unwrap_or_default()));
            report.error = Some(shown);
            Exit::NoDaemon
        }
    };
    context.output.document(&report)?;
    Ok(exit)
}

async fn take_up(
    context: &Context,
    definition: &Definition,
    report: &mut Report,
) -> Result<Result<(), String>, Failure> {
    if let Some(reread) = &definition.reread
        && let Err(reason) = report.command(context, reread).await?
    {
        return Ok(Err(reason));
    }
    // A daemon that was started without the manager would keep the home locked, while the manager takes over its socket. So it is stopped first.
    if ask(&definition.is_up).await.is_err() && user_units::is_socket_of_unit(context.locations()) {
        let stopped = stop::stop(context, &stop::Args::GENTLE, "stop").await?;
        if let Some(pid) = stopped.pid {
            context.output.line(&format!("{:9} the daemon that ran without it, pid {pid}", "stopped"))?;
        }
    }
    report.command(context, &definition.up).await
}

/// Stops and disables the service, and removes the files that `reel` wrote.
pub async fn uninstall(context: &Context) -> Result<Exit, Failure> {
    let definition = definition()?;
    let mut report = Report::default();
    let mut ours = Vec::new();
    for (path, _) in &definition.files {
        match user_units::inspect_unit_file(path) {
            Found::Nothing => {}
            Found::Ours(_) => ours.push(path.as_path()),
            Found::Foreign => report.file(context, "kept", path)?,
        }
    }
    if ours.is_empty() {
        context.output.line("not installed")?;
        context.output.document(&report)?;
        return Ok(Exit::Done);
    }
    let down = report.command(context, &definition.down(&ours)).await?;
    for path in &ours {
        fs::remove_file(path).map_err(|error| cannot(path, &error))?;
        report.file(context, "removed", path)?;
    }
    for link in definition.links.iter().filter(|link| leads_to(link, &ours)) {
        fs::remove_file(link).map_err(|error| cannot(link, &error))?;
        report.file(context, "removed", link)?;
    }
    match (down, &definition.reread) {
        (Ok(()), Some(reread)) => {
            if let Err(reason) = report.command(context, reread).await? {
                context.output.warn(&reason);
            }
        }
        (Ok(()), None) => {}
        (Err(reason), _) => context.output.warn(&format!("nothing was stopped: {reason}")),
    }
    context.output.document(&report)?;
    Ok(Exit::Done)
}

/// Whether `link` is a symbolic link to one of the files `ours`. The manager normally removes such a link itself.
fn leads_to(link: &Path, ours: &[&Path]) -> bool {
    let from = link.parent().unwrap_or(link);
    let names = |path: &PathBuf| {
        ours.iter().any(|own| from.join(path) == *own || path.file_name() == own.file_name())
    };
    fs::read_link(link).is_ok_and(|target| names(&target))
}

fn definition() -> Result<Definition, Failure> {
    let program = daemon_program().ok_or_else(|| {
        let message = "the program reeld is neither in the directory of reel nor on PATH";
        Failure::new(Exit::NoDaemon, "no_daemon", message).hint("install reeld beside reel")
    })?;
    // A unit has no current directory, so the path must be absolute.
    let program = std::path::absolute(&program).map_err(|error| cannot(&program, &error))?;
    Definition::of_system(&program, |name| std::env::var_os(name))
        .map_err(|error| Failure::new(Exit::Config, "no_place", error.to_string()))
}

fn note_variables(context: &Context) {
    let set: Vec<&str> = OF_THE_SHELL
        .into_iter()
        .filter(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()))
        .collect();
    if !set.is_empty() {
        let names = set.join(", ");
        context
            .output
            .note(&format!("the service does not know these variables of your environment: {names}"));
    }
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::cannot_create(format!("cannot change {}: {error}", path.display()))
}
