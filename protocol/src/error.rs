//! The errors that clients see: a number, a stable name, a message and a hint.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $number:literal, $name:literal;)+) => {
        /// The errors that the daemon answers. Codes are only added; their numbers and names never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[doc = $doc])* $variant,)+ }

        impl ErrorCode {
            /// All codes, in the order of the specification.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the JSON-RPC number.
            pub const fn number(self) -> i64 { match self { $(Self::$variant => $number,)+ } }

            /// Returns the stable name, which is `data.code` of an error and `error.code` of a task.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $name,)+ } }

            /// Returns the meaning, as the specification has it.
            #[cfg(test)]
            pub(crate) fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim(),)+ }
            }

            /// Returns the code with this stable name; None for one of a newer daemon.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

error_codes! {
    /// The line is not JSON or not UTF-8, or the frame is no request.
    ParseError = -32700, "parse_error";
    /// The line is JSON, but no JSON-RPC 2.0 request.
    InvalidRequest = -32600, "invalid_request";
    /// This daemon does not serve the method.
    MethodNotFound = -32601, "method_not_found";
    /// The params do not fit the method or the kind of the task.
    InvalidParams = -32602, "invalid_params";
    /// The daemon has a fault. Its log says more.
    Internal = -32603, "internal";
    /// The request is larger than its method allows, or its answer would be larger than 16 MiB.
    RequestTooLarge = 1, "request_too_large";
    /// No task has the id: it never existed, or it has left the history.
    TaskNotFound = 2, "task_not_found";
    /// No batch has the id.
    BatchNotFound = 3, "batch_not_found";
    /// The store has no artifact with the digest.
    ArtifactNotFound = 4, "artifact_not_found";
    /// The state of the task does not allow the method.
    IllegalState = 5, "illegal_state";
    /// There are as many unfinished tasks as `tasks.queue_limit` allows.
    QueueFull = 6, "queue_full";
    /// There is no such service or method.
    UnknownKind = 7, "unknown_kind";
    /// No style has the name.
    UnknownStyle = 8, "unknown_style";
    /// No provider has the name.
    UnknownProvider = 9, "unknown_provider";
    /// No configured provider serves it, or the program that it needs is not installed.
    NoProvider = 10, "no_provider";
    /// The memory budget has no room for it now.
    OverMemory = 11, "over_memory";
    /// The disk has no room, or the store has reached `cache.disk_mb`.
    StorageFull = 12, "storage_full";
    /// The disk or the journal failed in another way.
    StorageFailed = 13, "storage_failed";
    /// The daemon is stopping. What it accepted before is kept.
    ShuttingDown = 14, "shutting_down";
    /// The task was cancelled.
    Cancelled = 15, "cancelled";
    /// A task that this one depends on did not succeed.
    DependencyFailed = 16, "dependency_failed";
    /// The deadline of the task passed.
    DeadlineExceeded = 17, "deadline_exceeded";
    /// The configuration file is not valid.
    ConfigInvalid = 18, "config_invalid";
    /// The peer belongs to another user. Daemons of this version close its connection without an answer.
    PermissionDenied = 19, "permission_denied";
    /// The same `request_id` was used for another request.
    RequestIdConflict = 20, "request_id_conflict";
    /// The provider answered without a usable result, for none of the reasons below. The message and `provider_status` say more.
    ProviderFailed = 21, "provider_failed";
    /// The connection has as many subscriptions as are allowed.
    TooManySubscriptions = 22, "too_many_subscriptions";
    /// The connection has no such subscription.
    SubscriptionNotFound = 23, "subscription_not_found";
    /// A task that `after` or a reference in the params names does not exist.
    DependencyNotFound = 24, "dependency_not_found";
    /// As many connections are open as are allowed. This one is closed.
    TooManyConnections = 25, "too_many_connections";
    /// The provider failed temporarily in every attempt that the task may make. Of a queued task: the provider cannot be reached, and the task waits
    /// until it can be.
    ProviderUnavailable = 26, "provider_unavailable";
    /// The provider refused the request because of a rate limit.
    RateLimited = 27, "rate_limited";
    /// The quota of the provider's account is used up.
    QuotaExceeded = 28, "quota_exceeded";
    /// The provider does not accept the key, or not for this request.
    ProviderAuth = 29, "provider_auth";
    /// The configured key is missing.
    KeyMissing = 30, "key_missing";
    /// The provider does not accept the request. The same request would be refused again.
    ProviderRefused = 31, "provider_refused";
    /// The provider refused the request because of its content.
    Moderated = 32, "moderated";
    /// The request was sent, and its response was lost. It may have been carried out, and paid.
    AnswerLost = 33, "answer_lost";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The member `error` of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct RpcError {
    /// The number of the error in the table of the specification.
    pub code: i64,
    /// What went wrong, for a person, with the values that matter.
    pub message: String,
    /// The stable name and the hint.
    #[serde(default)]
    pub data: ErrorData,
}

/// The member `data` of an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorData {
    /// The stable name of the error in that table. A newer daemon may have others, which clients must tolerate. Empty if absent.
    #[serde(default)]
    pub code: String,
    /// What to do next, for a person; null if there is nothing to say.
    #[serde(default)]
    pub hint: Option<String>,
}

impl RpcError {
    /// Returns an error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let data = ErrorData { code: code.name().to_owned(), hint: None };
        Self { code: code.number(), message: message.into(), data }
    }

    /// Returns the same error with this hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.data.hint = Some(hint.into());
        self
    }

    /// Returns the code; None if this version does not know it.
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
