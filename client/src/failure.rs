//! Defines the failure of a command: an exit code, a stable error name, a message and a hint.

use std::{error::Error as _, io};

use reel_client::ClientError;
use reel_protocol::{ErrorCode, HoldReason, RpcError, TaskError, TaskId, TaskState, TaskView};
use serde::Serialize;

use crate::{
    exit::{self, Exit},
    table,
};

/// The next step for a batch that is not found.
const NO_BATCH_HINT: &str = "reel ls shows the batches of the tasks";

/// The error that is printed, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The `error` object of the JSON document. Its message is also printed for people.
    pub error: ErrorBody,
    /// Whether the message has been printed already.
    pub is_said: bool,
}

/// The `error` object of `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The stable name of the error.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What the user can do next.
    pub hint: Option<String>,
    /// The task that failed, if the error concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

impl Failure {
    /// Makes a failure with an error name of the client's own.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            error: ErrorBody { code: code.to_owned(), message: message.into(), hint: None, task: None },
            is_said: false,
        }
    }

    /// Adds a hint, which says what the user can do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// Adds a next step behind those of the hint.
    #[must_use]
    pub fn and_hint(mut self, more: &str) -> Self {
        let hint = self.error.hint.take().map(|hint| format!("{hint}; ")).unwrap_or_default();
        self.error.hint = Some(format!("{hint}{more}"));
        self
    }

    /// Adds the id of the task that failed.
    #[must_use]
    pub fn of(mut self, task: TaskId) -> Self {
        self.error.task = Some(task);
        self
    }

    /// Marks the message as printed already.
    #[must_use]
    pub fn said(mut self) -> Self {
        self.is_said = true;
        self
    }

    /// The failure for an invalid command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// The failure for an output that cannot be written at its path.
    pub fn cannot_create(message: impl Into<String>) -> Self {
        Self::new(Exit::CannotCreate, "cannot_create", message)
    }

    /// The failure for a read or a write that failed.
    pub fn io(what: &str, error: &io::Error) -> Self {
        Self::new(Exit::Io, "io", format!("{what}: {error}"))
    }

    /// The failure for a write to stdout. A closed pipe ends `reel` with exit code 0, because the reader wanted no more.
    pub fn of_stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "closed_pipe", "").said();
        }
        Self::io("cannot write to stdout", error)
    }

    /// The failure for an output that exists when `--force` is not given.
    pub fn exists(path: &std::path::Path) -> Self {
        Self::new(Exit::CannotCreate, "output_exists", format!("{} exists", table::path(path)))
            .hint("--force replaces it")
    }

    /// The failure for a batch that does not exist, or whose tasks have all left the history.
    pub fn no_batch(batch: u64) -> Self {
        ClientError::from(RpcError::new(ErrorCode::BatchNotFound, format!("no batch {batch}"))).into()
    }

    /// Returns why a task has no result; None if it succeeded.
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
                        Some(hint) => Some(with_id(hint, id)),
                        None => retryable.then(|| format!("reel retry {id} queues it again")),
                    };
                    failure
                }
                None => failed("failed", format!("task {id} failed")),
            }),
            TaskState::Cancelled => {
                // A cancelled task has a hint if its picture was paid for and can still be fetched.
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
                        "it may have been paid for: reel release {id} fetches it where its address is known, else asks (and may pay) again; reel cancel {id} cancels it"
                    )
                } else {
                    format!("reel release {id} continues it, reel cancel {id} cancels it")
                };
                let why = task.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
                let held = match task.hold_reason {
                    Some(HoldReason::User) => "held by you".to_owned(),
                    _ => format!("held: {}", reason.replace('_', " ")),
                };
                let message = format!("task {id} is {held}{why}");
                Some(failed(reason, message).hint(again))
            }
            state => Some(
                Self::new(Exit::TryLater, "unfinished", format!("task {id} is {}", state.name()))
                    .hint(format!("reel wait {id} waits until it is done")),
            ),
        }
    }
}

/// Adds the task's id to the command `reel retry` of a hint, so that it can be copied. The daemon's hints name no id, as several tasks may share one.
fn with_id(hint: &str, id: TaskId) -> String {
    let mut parts = hint.split("reel retry");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, rest| {
        let has_id = rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
        if has_id { format!("{text}reel retry{rest}") } else { format!("{text}reel retry {id}{rest}") }
    })
}

/// Returns the hint for a daemon whose process is suspended. `verb` is the subcommand of `reel daemon` that the user wanted.
pub fn suspended(pid: Option<u32>, verb: &str) -> String {
    let pid = pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    format!("kill -CONT {pid} continues it; reel daemon {verb} --force ends it")
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
        let code = error.code().to_owned();
        let is_no_batch = error.is(ErrorCode::BatchNotFound);
        let hint = match error {
            ClientError::Rpc(RpcError { data, .. }) => {
                data.hint.or_else(|| is_no_batch.then(|| NO_BATCH_HINT.to_owned()))
            }
            ClientError::Unresponsive { pid, is_suspended: true, .. } => Some(suspended(pid, "restart")),
            error => hint_of(&error).map(str::to_owned),
        };
        Self { exit, error: ErrorBody { code, message, hint, task: None }, is_said: false }
    }
}

/// Returns the next step after an error that the daemon gives no hint for.
fn hint_of(error: &ClientError) -> Option<&'static str> {
    Some(match error {
        ClientError::NoDaemon => "reel daemon start starts it",
        ClientError::StartFailed { exit_code: Some(78), .. } => {
            "reel config edit opens the configuration file"
        }
        ClientError::StartFailed { exit_code: Some(75), .. } => {
            "another daemon uses this home: name its socket with --socket or REEL_SOCKET"
        }
        ClientError::NotReady { .. } => {
            "reel daemon logs shows what it does; reel daemon restart ends it and starts it again"
        }
        ClientError::Unresponsive { .. } => {
            "reel daemon logs may show why; reel daemon restart ends it and starts it again"
        }
        ClientError::Disconnected => "reel daemon logs shows why; accepted tasks are kept",
        ClientError::Protocol { .. } => "reel daemon restart starts the daemon of this version",
        ClientError::NoSpeaker => {
            "where it is installed, espeak-ng speaks offline and free (apt install espeak-ng, then reel daemon reload); reel providers add adds another; --provider draft makes silence as long as the text takes to be spoken"
        }
        ClientError::Damaged { .. } => "reel cache verify checks every stored file",
        _ => return None,
    })
}
