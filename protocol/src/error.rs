//! Errors as every client sees them: a number, a stable name, a message and a next step.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)+) => {
        /// Every error that the daemon answers. The list is append-only; numbers and names are for ever.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)+ }

        impl ErrorCode {
            /// Every code, in the order of the specification.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The JSON-RPC number.
            pub const fn number(self) -> i64 { match self { $(Self::$variant => $number,)+ } }

            /// The stable name that stands in `data.code` and in a task's `error.code`.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name,)+ } }

            /// The code of a stable name; None for one of a newer daemon.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

error_codes! {
    /// The line is not JSON, or not UTF-8.
    ParseError = -32700, "parse_error";
    /// The line is JSON but no JSON-RPC 2.0 request.
    InvalidRequest = -32600, "invalid_request";
    /// This daemon does not serve the method.
    MethodNotFound = -32601, "method_not_found";
    /// The params do not fit the method or the task's kind.
    InvalidParams = -32602, "invalid_params";
    /// A fault of the daemon itself; its log says more.
    Internal = -32603, "internal";
    /// The line is larger than its method allows.
    RequestTooLarge = 1, "request_too_large";
    /// No task has the id (it never had, or the history has dropped it).
    TaskNotFound = 2, "task_not_found";
    /// No batch has the id.
    BatchNotFound = 3, "batch_not_found";
    /// No artifact has the digest.
    ArtifactNotFound = 4, "artifact_not_found";
    /// The task's state does not allow what was asked.
    IllegalState = 5, "illegal_state";
    /// The queue holds as many unfinished tasks as `tasks.queue_limit` allows.
    QueueFull = 6, "queue_full";
    /// No service has the kind or method.
    UnknownKind = 7, "unknown_kind";
    /// No style has the name.
    UnknownStyle = 8, "unknown_style";
    /// No provider has the name.
    UnknownProvider = 9, "unknown_provider";
    /// No configured provider can do what was asked.
    NoProvider = 10, "no_provider";
    /// The memory budget has no room for it now.
    OverMemory = 11, "over_memory";
    /// The disk, or the store's own cap, has no room.
    StorageFull = 12, "storage_full";
    /// The disk or the database failed otherwise.
    StorageFailed = 13, "storage_failed";
    /// The daemon is stopping; what it accepted before is kept.
    ShuttingDown = 14, "shutting_down";
    /// The task was cancelled.
    Cancelled = 15, "cancelled";
    /// A task that this one waited for did not succeed.
    DependencyFailed = 16, "dependency_failed";
    /// The task's deadline passed.
    DeadlineExceeded = 17, "deadline_exceeded";
    /// The configuration file does not hold.
    ConfigInvalid = 18, "config_invalid";
    /// The peer belongs to another user.
    PermissionDenied = 19, "permission_denied";
    /// The same `request_id` was used for something else.
    RequestIdConflict = 20, "request_id_conflict";
    /// The provider refused or failed; `provider_status` and the message say how.
    ProviderFailed = 21, "provider_failed";
    /// The connection has as many subscriptions as it may.
    TooManySubscriptions = 22, "too_many_subscriptions";
    /// The subscription does not exist on this connection.
    SubscriptionNotFound = 23, "subscription_not_found";
    /// A task that `after` names does not exist.
    DependencyNotFound = 24, "dependency_not_found";
    /// The daemon has as many connections as it serves; this one is closed.
    TooManyConnections = 25, "too_many_connections";
    /// The provider could not be reached, or was out of order, as often as the task may be tried.
    ProviderUnavailable = 26, "provider_unavailable";
    /// The provider was asked too often.
    RateLimited = 27, "rate_limited";
    /// What the provider's account allows is used up.
    QuotaExceeded = 28, "quota_exceeded";
    /// The provider does not take the key, or not for this.
    ProviderAuth = 29, "provider_auth";
    /// The key that the configuration names is not there.
    KeyMissing = 30, "key_missing";
    /// The provider does not take the request; asking again would not help.
    ProviderRefused = 31, "provider_refused";
    /// The provider will not make this picture.
    Moderated = 32, "moderated";
    /// The request left for the provider and its answer was lost: it may have been done, and paid.
    AnswerLost = 33, "answer_lost";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The `error` member of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// The number of [`ErrorCode::number`].
    pub code: i64,
    /// What went wrong, for a person, with the values that matter.
    pub message: String,
    /// The stable name and the next step.
    #[serde(default)]
    pub data: ErrorData,
}

/// The `data` member of an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorData {
    /// The name of [`ErrorCode::name`]; clients tolerate names they do not know.
    #[serde(default)]
    pub code: String,
    /// What to do next, where there is something to do.
    #[serde(default)]
    pub hint: Option<String>,
}

impl RpcError {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let data = ErrorData { code: code.name().to_owned(), hint: None };
        Self { code: code.number(), message: message.into(), data }
    }

    /// The same with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.data.hint = Some(hint.into());
        self
    }

    /// The code, if this version knows it.
    pub fn known(&self) -> Option<ErrorCode> {
        ErrorCode::from_name(&self.data.code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_names_read_back() {
        let numbers: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
        }
    }
}
