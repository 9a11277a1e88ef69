//! Why a command ends without its result: an exit code, a stable name, a message and a next step.

use std::{error::Error as _, io};

use reel_client::ClientError;
use reel_protocol::{ErrorCode, HoldReason, RpcError, TaskError, TaskId, TaskState, TaskView};
use serde::Serialize;

use crate::{
    exit::{self, Exit},
    table,
};

/// What is said, and how the process ends.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What stands in the JSON document; its message is what a person reads.
    pub error: Shown,
    /// Whether a person has read it already.
    pub is_said: bool,
}

/// The `error` object of `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// A stable name.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The task that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

impl Failure {
    /// A failure of the client's own.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            error: Shown { code: code.to_owned(), message: message.into(), hint: None, task: None },
            is_said: false,
        }
    }

    /// The same with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// The same, about this task.
    #[must_use]
    pub fn of(mut self, task: TaskId) -> Self {
        self.error.task = Some(task);
        self
    }

    /// The same, already read by a person.
    #[must_use]
    pub fn said(mut self) -> Self {
        self.is_said = true;
        self
    }

    /// The command line does not hold.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// The output cannot be written where it should be.
    pub fn cannot_create(message: impl Into<String>) -> Self {
        Self::new(Exit::CannotCreate, "cannot_create", message)
    }

    /// Reading or writing failed.
    pub fn io(what: &str, error: &io::Error) -> Self {
        Self::new(Exit::Io, "io", format!("{what}: {error}"))
    }

    /// Writing to stdout failed; a reader that had enough is no failure.
    pub fn of_stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "closed_pipe", "").said();
        }
        Self::io("cannot write to stdout", error)
    }

    /// The output exists, and nobody said to replace it.
    pub fn exists(path: &std::path::Path) -> Self {
        Self::new(Exit::CannotCreate, "output_exists", format!("{} exists", table::path(path)))
            .hint("--force replaces it")
    }

    /// Why a settled task has no result; None where it has.
    pub fn of_task(task: &TaskView) -> Option<Self> {
        Self::of_outcome(task).map(|failure| failure.of(task.id))
    }

    fn of_outcome(task: &TaskView) -> Option<Self> {
        let id = task.id;
        let failed = |code: &str, message: String| Self::new(Exit::WorkFailed, code, message);
        match task.state {
            TaskState::Succeeded => None,
            TaskState::Failed => Some(match &task.error {
                Some(TaskError { code, message, hint, retryable, .. }) => {
                    let mut failure =
                        Self::new(exit::of_task_error(code), code, format!("task {id} failed: {message}"));
                    failure.error.hint = match hint {
                        Some(hint) if code == ErrorCode::ProviderAuth.name() => {
                            Some(format!("{hint}: change it (reel config edit), then reel retry {id}"))
                        }
                        Some(hint) => Some(hint.clone()),
                        None => retryable.then(|| format!("reel retry {id}")),
                    };
                    failure
                }
                None => failed("failed", format!("task {id} failed")),
            }),
            TaskState::Cancelled => {
                // Where it was paid, its picture may be fetched.
                let error = task.error.as_ref().filter(|error| error.hint.is_some());
                let why =
                    error.map_or("", |error| error.message.strip_prefix("cancelled").unwrap_or_default());
                let mut failure = failed("cancelled", format!("task {id} was cancelled{why}"));
                failure.error.hint = error.and_then(|error| error.hint.clone());
                Some(failure)
            }
            TaskState::Held => {
                let reason = task.hold_reason.map_or("unknown", HoldReason::name);
                let again = if reason == "outcome_unknown" {
                    format!(
                        "it may have been paid for: reel release {id} fetches it where its address is known, else asks (and may pay) again; reel cancel {id} gives up"
                    )
                } else {
                    format!("reel release {id} lets it go on, reel cancel {id} gives up")
                };
                let why = task.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
                let held = match task.hold_reason {
                    Some(HoldReason::User) => "held by hand".to_owned(),
                    _ => format!("held: {}", reason.replace('_', " ")),
                };
                let message = format!("task {id} is {held}{why}");
                Some(failed(reason, message).hint(again))
            }
            state => Some(
                Self::new(Exit::TryLater, "unfinished", format!("task {id} is {}", state.name()))
                    .hint(format!("reel wait {id}")),
            ),
        }
    }
}

/// What to do about a daemon whose process is suspended; `verb` of `reel daemon` is what the person wants.
pub fn suspended(pid: Option<u32>, verb: &str) -> String {
    let pid = pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    format!("kill -CONT {pid} lets it go on; reel daemon {verb} --force ends it")
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        if let ClientError::NotMade(task) = &error
            && let Some(failure) = Self::of_task(task)
        {
            return failure;
        }
        let exit = exit::of_client_error(&error);
        let mut message = error.to_string();
        let mut cause = error.source().filter(|_| !matches!(error, ClientError::Rpc(_)));
        while let Some(source) = cause {
            message = format!("{message}: {source}");
            cause = source.source();
        }
        let (code, hint) = match error {
            ClientError::Rpc(RpcError { data, .. }) => {
                return Self {
                    exit,
                    error: Shown { code: data.code, message, hint: data.hint, task: None },
                    is_said: false,
                };
            }
            ClientError::NoDaemon => ("no_daemon", Some("reel daemon start")),
            ClientError::StartFailed { exit_code: Some(78), .. } => {
                ("config_invalid", Some("reel config edit"))
            }
            ClientError::StartFailed { exit_code: Some(75), .. } => {
                ("start_failed", Some("--socket or REEL_SOCKET names the socket that it listens on"))
            }
            ClientError::StartFailed { .. } => ("start_failed", None),
            ClientError::NotReady { .. } => {
                ("not_ready", Some("reel daemon logs says what it does; reel daemon restart starts it again"))
            }
            ClientError::Unresponsive { pid, is_suspended: true, .. } => {
                return Self::new(exit, "unresponsive", message).hint(suspended(pid, "restart"));
            }
            ClientError::Unresponsive { .. } => {
                ("unresponsive", Some("reel daemon logs may say why; reel daemon restart starts it again"))
            }
            ClientError::Disconnected => {
                ("disconnected", Some("reel daemon logs says why; what was accepted is kept"))
            }
            ClientError::Protocol { .. } => ("protocol_mismatch", Some("reel daemon restart")),
            ClientError::Timeout { .. } => ("timed_out", None),
            ClientError::ForeignDaemon { .. } => ("permission_denied", None),
            ClientError::EventsLost { .. } => ("events_lost", None),
            ClientError::NotMade(_) => ("not_made", None),
            ClientError::Endpoint(_) => ("no_endpoint", None),
            ClientError::Damaged { .. } => ("artifact_damaged", Some("reel cache verify")),
            ClientError::Io { .. } => ("io", None),
        };
        let failure = Self::new(exit, code, message);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
