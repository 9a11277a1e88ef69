//! What can go wrong between a client and the daemon: one variant per thing a caller does differently.

use std::{io, time::Duration};

use reel_protocol::{Digest, ErrorCode, RpcError, TaskView, endpoint::EndpointError};

/// Why the daemon was not reached, or what it refused.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens, and starting a daemon was not allowed.
    #[error("no daemon is running")]
    NoDaemon,
    /// The daemon was started and ended, or could not be started at all.
    #[error("the daemon did not start: {reason}")]
    StartFailed {
        /// The daemon's own words, or the system's.
        reason: String,
        /// The daemon's exit code; 78 means that its configuration does not hold.
        exit_code: Option<i32>,
    },
    /// A daemon holds the home or is being started, but cannot be reached yet; it may be stopping.
    #[error("the daemon{} is starting or stopping and did not answer within {} s", of_pid(*pid), waited.as_secs())]
    NotReady {
        /// The daemon's process, if it is known.
        pid: Option<u32>,
        /// How long it was tried.
        waited: Duration,
    },
    /// The daemon takes connections and says nothing.
    #[error("the daemon{} does not answer: {}", of_pid(*pid), silence(*is_suspended, *waited))]
    Unresponsive {
        /// The daemon's process, if it is known.
        pid: Option<u32>,
        /// Whether the process was stopped by a signal or a debugger.
        is_suspended: bool,
        /// How long it said nothing.
        waited: Duration,
    },
    /// The daemon closed the connection or died. What it acknowledged is kept.
    #[error("the connection to the daemon was lost")]
    Disconnected,
    /// The daemon's refusal.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The daemon speaks something else than this client.
    #[error("the daemon's answer cannot be understood: {detail}")]
    Protocol {
        /// What does not fit.
        detail: String,
    },
    /// The caller's own limit passed; the work goes on.
    #[error("no answer within {} s", limit.as_secs_f64())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The process behind the socket belongs to somebody else.
    #[error("the process that listens on {socket} belongs to another user")]
    ForeignDaemon {
        /// The socket's path.
        socket: String,
    },
    /// The subscription ended because events came faster than they were taken: subscribe again and list what was missed.
    #[error("events came faster than they were read, {missed} were missed")]
    EventsLost {
        /// How many are known to be missed; at least one.
        missed: u64,
    },
    /// The task that was waited for is over without a result, or held: it says why.
    #[error("{}", not_made(_0))]
    NotMade(Box<TaskView>),
    /// The places of the daemon could not be told.
    #[error("cannot tell where the daemon is")]
    Endpoint(#[from] EndpointError),
    /// The bytes that came are not those that were named.
    #[error("the bytes of artifact {digest} are damaged")]
    Damaged {
        /// What was asked for.
        digest: Digest,
    },
    /// The system refused a file or a socket.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's reason.
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
    /// Whether a new connection may bring the answer: the daemon died, or is stopping.
    pub fn is_interruption(&self) -> bool {
        match self {
            Self::Disconnected | Self::NotReady { .. } => true,
            Self::Rpc(_) => self.is_stopping(),
            _ => false,
        }
    }

    /// Whether the daemon refused because it is stopping: the next one will take it.
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self, Self::Rpc(error) if error.known() == Some(ErrorCode::ShuttingDown))
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    pub(crate) fn protocol(detail: impl std::fmt::Display) -> Self {
        Self::Protocol { detail: detail.to_string() }
    }
}
