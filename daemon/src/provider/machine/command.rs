//! Runs a start or stop command: without a shell, in a process group of its own, and so that what it leaves running survives the daemon.

use std::{
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
};

use tokio::sync::oneshot;

use super::log;
use crate::process::{GroupIdentity, RUN_VARIABLE};

/// A command that was run.
pub(super) struct Spawned {
    /// The process of the command. None if it could not be run, or where the system does not tell.
    pub identity: Option<GroupIdentity>,
    /// Gets the outcome of the command when it has ended. The error says how it failed.
    pub outcome: oneshot::Receiver<Result<(), String>>,
}

/// Starts a command. Its processes get `run_name` as the value of [`RUN_VARIABLE`]. Its output goes to `log`, which is emptied first:
/// the server may inherit it, so it must not be a pipe that ends with the daemon. Blocks while the process is made.
pub(super) fn spawn(command: &[String], log: PathBuf, run_name: Option<String>) -> Spawned {
    let (ended, outcome) = oneshot::channel();
    let (program, arguments) = command.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
    let child = log::create(&log).and_then(|output| {
        let mut command = Command::new(program);
        command.args(arguments).process_group(0).stdin(Stdio::null());
        command.envs(run_name.map(|run_name| (RUN_VARIABLE, run_name)));
        command.stdout(output.try_clone()?).stderr(output).spawn()
    });
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            // The receiver is still there, so sending succeeds.
            let _ = ended.send(Err(format!("{program}: {error}")));
            return Spawned { identity: None, outcome };
        }
    };
    let identity = GroupIdentity::of_leader(child.id());
    let waiting = move || {
        let status = child.wait();
        let _ = ended.send(outcome_of(status, &log));
    };
    // The process ends without waiting for this thread: the command may be the server itself. If the thread cannot be made, the sender is dropped, and
    // the outcome stays unknown.
    let _ = std::thread::Builder::new().name("machine".to_owned()).spawn(waiting);
    Spawned { identity, outcome }
}

fn outcome_of(status: io::Result<ExitStatus>, log: &std::path::Path) -> Result<(), String> {
    let status = status.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    };
    Err(log::last_lines(log).map_or_else(|| how.clone(), |lines| format!("{how}: {lines}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_is_described_by_its_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        for (command, expected) in [
            (&["true"][..], Ok(())),
            (
                &["sh", "-c", "echo first >&2; echo 'no \x07unit' >&2; exit 5"],
                Err("exit code 5: first | no  unit"),
            ),
            (&["sh", "-c", "kill -9 $$"], Err("signal 9")),
            (&["/nowhere/at-all"], Err("/nowhere/at-all: No such file or directory (os error 2)")),
        ] {
            let command: Vec<_> = command.iter().map(|&part| part.to_owned()).collect();
            let outcome = spawn(&command, directory.path().join("log"), None).outcome.await.unwrap();
            assert_eq!(outcome, expected.map_err(str::to_owned), "{command:?}");
        }
    }
}
