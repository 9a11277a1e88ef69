//! The table of all exit codes of `reel`, and the functions that choose a code for an error.

use reel_client::ClientError;
use reel_protocol::{ErrorCode, RpcError, StoryMakeParams};

/// The exit code of the process. The numbers are part of the interface. Most are those of sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command succeeded.
    Done = 0,
    /// A task failed, was cancelled, or is held.
    WorkFailed = 1,
    /// The command line is invalid.
    Usage = 64,
    /// The content of an input is invalid.
    BadData = 65,
    /// The input, task, batch or artifact does not exist.
    NoInput = 66,
    /// No daemon runs, and none could be started.
    NoDaemon = 69,
    /// An internal error of `reel` or `reeld`.
    Internal = 70,
    /// The output exists, or cannot be created.
    CannotCreate = 73,
    /// A read or a write failed.
    Io = 74,
    /// A temporary refusal: the queue is full, memory is short, or another process holds a lock.
    TryLater = 75,
    /// The client and the daemon do not understand each other.
    Protocol = 76,
    /// The request was refused because of permissions, authentication or a budget.
    Refused = 77,
    /// The configuration is invalid.
    Config = 78,
    /// The timeout of the command passed. Its tasks continue.
    TimedOut = 124,
    /// The user pressed Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Returns the exit code for an error of the client library.
pub fn of_client_error(error: &ClientError) -> Exit {
    match error {
        ClientError::StartFailed { exit_code: Some(78), .. }
        | ClientError::Endpoint(_)
        | ClientError::NoSpeaker => Exit::Config,
        ClientError::NoDaemon | ClientError::StartFailed { .. } | ClientError::Disconnected => Exit::NoDaemon,
        ClientError::NotReady { .. } | ClientError::Unresponsive { .. } => Exit::TryLater,
        ClientError::Rpc(error) => of_rpc_error(error),
        ClientError::Protocol { .. } => Exit::Protocol,
        ClientError::Timeout { .. } => Exit::TimedOut,
        ClientError::ForeignDaemon { .. } => Exit::Refused,
        ClientError::NotMade(_) => Exit::WorkFailed,
        ClientError::EventsLost { .. } => Exit::Internal,
        ClientError::Damaged { .. } | ClientError::Io { .. } => Exit::Io,
    }
}

/// Returns the exit code for an error that the daemon answered. An error code that this version does not know gets 1.
pub fn of_rpc_error(error: &RpcError) -> Exit {
    use ErrorCode as Code;
    match error.known() {
        None
        | Some(
            Code::IllegalState
            | Code::Cancelled
            | Code::DependencyFailed
            | Code::ProviderFailed
            | Code::ProviderUnavailable
            | Code::ProviderRefused
            | Code::AnswerLost
            | Code::Moderated,
        ) => Exit::WorkFailed,
        Some(
            Code::InvalidParams
            | Code::RequestTooLarge
            | Code::UnknownKind
            | Code::UnknownStyle
            | Code::UnknownProvider
            | Code::RequestIdConflict,
        ) => Exit::BadData,
        Some(
            Code::TaskNotFound | Code::BatchNotFound | Code::ArtifactNotFound | Code::DependencyNotFound,
        ) => Exit::NoInput,
        Some(Code::ParseError | Code::InvalidRequest | Code::Internal | Code::SubscriptionNotFound) => {
            Exit::Internal
        }
        Some(Code::MethodNotFound) => Exit::Protocol,
        Some(
            Code::QueueFull
            | Code::OverMemory
            | Code::ShuttingDown
            | Code::TooManySubscriptions
            | Code::TooManyConnections
            | Code::RateLimited,
        ) => Exit::TryLater,
        Some(Code::StorageFull | Code::StorageFailed) => Exit::Io,
        Some(Code::NoProvider | Code::ConfigInvalid | Code::KeyMissing) => Exit::Config,
        Some(Code::PermissionDenied | Code::ProviderAuth | Code::QuotaExceeded) => Exit::Refused,
        Some(Code::DeadlineExceeded) => Exit::TimedOut,
    }
}

/// Returns the exit code for a failed task: 1, or a more specific code where a script can react to it.
pub fn of_task_error(code: &str) -> Exit {
    match code {
        StoryMakeParams::NO_RENDERER | StoryMakeParams::NO_FONT => return Exit::Config,
        StoryMakeParams::OVER_BUDGET => return Exit::Refused,
        _ => {}
    }
    match ErrorCode::from_name(code) {
        Some(ErrorCode::RateLimited) => Exit::TryLater,
        Some(ErrorCode::ProviderAuth | ErrorCode::QuotaExceeded) => Exit::Refused,
        Some(ErrorCode::KeyMissing | ErrorCode::NoProvider) => Exit::Config,
        _ => Exit::WorkFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_end_with_the_code_that_a_script_acts_on() {
        for (code, exit) in [
            (ErrorCode::QueueFull, Exit::TryLater),
            (ErrorCode::TaskNotFound, Exit::NoInput),
            (ErrorCode::InvalidParams, Exit::BadData),
            (ErrorCode::MethodNotFound, Exit::Protocol),
            (ErrorCode::ConfigInvalid, Exit::Config),
            (ErrorCode::StorageFull, Exit::Io),
        ] {
            assert_eq!(of_rpc_error(&RpcError::new(code, "")), exit, "{code}");
        }
        let mut newer = RpcError::new(ErrorCode::Internal, "");
        newer.data.code = "of_tomorrow".to_owned();
        assert_eq!(of_rpc_error(&newer), Exit::WorkFailed);
    }

    #[test]
    fn a_daemon_that_refuses_its_configuration_is_a_configuration_error() {
        let failed = |exit_code| ClientError::StartFailed { reason: String::new(), exit_code };
        assert_eq!(of_client_error(&failed(Some(78))), Exit::Config);
        assert_eq!(of_client_error(&failed(Some(1))), Exit::NoDaemon);
    }
}
