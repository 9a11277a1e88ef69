//! The errors of the client, with one variant for each case that a caller handles differently.

use std::{io, time::Duration};

use reel_protocol::{Digest, ErrorCode, RpcError, TaskView, endpoint::EndpointError};

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No daemon listens, and starting one was not allowed.
    #[error("no daemon is running")]
    NoDaemon,
    /// The daemon exited during its start, or could not be started at all.
    #[error("the daemon did not start: {reason}")]
    StartFailed {
        /// The last lines that the daemon printed, or the error of the system.
        reason: String,
        /// The daemon's exit code. 78 means that its configuration is invalid. None if it has no exit code or never ran.
        exit_code: Option<i32>,
    },
    /// A daemon is starting or stopping and cannot be reached yet.
    #[error("the daemon{} is starting or stopping and did not answer within {} s", of_pid(*pid), waited.as_secs())]
    NotReady {
        /// The daemon's process id, if it is known.
        pid: Option<u32>,
        /// How long the client tried to connect.
        waited: Duration,
    },
    /// The daemon accepts connections and sends nothing.
    #[error("the daemon{} does not answer: {}", of_pid(*pid), silence(*is_suspended, *waited))]
    Unresponsive {
        /// The daemon's process id, if it is known.
        pid: Option<u32>,
        /// Whether the process is stopped by a signal or a debugger.
        is_suspended: bool,
        /// How long it sent nothing.
        waited: Duration,
    },
    /// The daemon closed the connection or died. What it acknowledged is committed to disk.
    #[error("the connection to the daemon was lost")]
    Disconnected,
    /// The daemon answered with an error.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The daemon's messages do not follow the protocol, or are of another version of it.
    #[error("the daemon's answer cannot be understood: {detail}")]
    Protocol {
        /// What is wrong, for a person.
        detail: String,
    },
    /// The caller's time limit passed. The daemon may still carry out the request.
    #[error("no answer within {} s", limit.as_secs_f64())]
    Timeout {
        /// The caller's time limit.
        limit: Duration,
    },
    /// The process that listens on the socket belongs to another user.
    #[error("the process that listens on {socket} belongs to another user")]
    ForeignDaemon {
        /// The socket's path.
        socket: String,
    },
    /// The subscription ended because events came faster than they were read. Subscribe again and list what was missed.
    #[error("events came faster than they were read, {missed} were missed")]
    EventsLost {
        /// Number of events that are known to be missed, at least one.
        missed: u64,
    },
    /// The task finished without a result, or is held. The task says why. A held one goes on, or ends, when a person decides; its id stays the same.
    #[error("{}", not_made(_0))]
    NotMade(Box<TaskView>),
    /// No provider speaks: only the embedded provider `draft` is there, which makes silence. A request that names it gets the silence.
    #[error("no provider speaks: only draft is there, which makes silence")]
    NoSpeaker,
    /// The paths of the daemon could not be determined.
    #[error("cannot tell where the daemon is")]
    Endpoint(#[from] EndpointError),
    /// The fetched bytes do not match their digest.
    #[error("the bytes of artifact {digest} are damaged")]
    Damaged {
        /// The digest of the requested artifact.
        digest: Digest,
    },
    /// An operation on a file or a socket failed.
    #[error("{what}")]
    Io {
        /// What failed, for a person.
        what: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

fn not_made(task: &TaskView) -> String {
    let why = task.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
    format!("task {} is {}{why}", task.id, task.state.name())
}

fn of_pid(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

fn silence(is_suspended: bool, waited: Duration) -> String {
    if is_suspended {
        "its process is suspended".to_owned()
    } else {
        format!("it has said nothing for {} s", waited.as_secs())
    }
}

impl ClientError {
    /// Returns the name of the error, which never changes. What the daemon reports has the daemon's name, and a task that failed has that of its error.
    pub fn code(&self) -> &str {
        match self {
            Self::NoDaemon => "no_daemon",
            Self::StartFailed { exit_code: Some(78), .. } => "config_invalid",
            Self::StartFailed { .. } => "start_failed",
            Self::NotReady { .. } => "not_ready",
            Self::Unresponsive { .. } => "unresponsive",
            Self::Disconnected => "disconnected",
            Self::Rpc(error) => &error.data.code,
            Self::Protocol { .. } => "protocol_mismatch",
            Self::Timeout { .. } => "timed_out",
            Self::ForeignDaemon { .. } => "permission_denied",
            Self::EventsLost { .. } => "events_lost",
            Self::NotMade(task) => task.error.as_ref().map_or(task.state.name(), |error| &error.code),
            Self::NoSpeaker => "no_provider",
            Self::Endpoint(_) => "no_endpoint",
            Self::Damaged { .. } => "artifact_damaged",
            Self::Io { .. } => "io",
        }
    }

    /// Whether the request may succeed on a new connection: the daemon died, or is stopping.
    pub fn is_interruption(&self) -> bool {
        match self {
            Self::Disconnected | Self::NotReady { .. } => true,
            Self::Rpc(_) => self.is_stopping(),
            _ => false,
        }
    }

    /// Whether the daemon answered with this error.
    pub fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Rpc(error) if error.known() == Some(code))
    }

    /// Whether the daemon refused because it is stopping. The next daemon will accept the request.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is(ErrorCode::ShuttingDown)
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    pub(crate) fn protocol(detail: impl std::fmt::Display) -> Self {
        Self::Protocol { detail: detail.to_string() }
    }
}
