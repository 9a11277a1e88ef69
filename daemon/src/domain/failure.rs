//! The classes of failures, and what follows from each. Pure.

use std::time::Duration;

use reel_protocol::{ErrorCode, TaskError};

/// The longest wait that still counts as a rate limit. If a provider asks for a longer one, a quota is used up that is renewed later.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// The reason why an attempt produced nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// No connection could be made, so the request was not sent and nothing was done. It may work later.
    Unreached,
    /// The server is being started, or answers that it cannot work yet, as while it loads its model. Nothing was done.
    Loading,
    /// The status says that it may work later. The field is the least wait that the provider asked for, if any.
    Transient(Option<Duration>),
    /// The provider refused the request because of a rate limit. The field is the wait that it asked for, if any.
    RateLimited(Option<Duration>),
    /// The quota that was paid for is used up.
    Quota,
    /// The quota of a period, such as a day, is used up. The field is the time until it is renewed, if the provider said so.
    QuotaWindow(Option<Duration>),
    /// The API key is missing or wrong, or lacks the permission.
    Auth,
    /// The provider rejects the request as invalid.
    Invalid,
    /// The provider refuses to make this content.
    Moderated,
    /// The result or job that was requested does not exist any more.
    Gone,
    /// The request was sent and its response was lost. The work may have been done and charged.
    Ambiguous,
    /// The provider answered, but not with a result.
    Unknown,
}

impl Class {
    /// Returns the stable code of the task's error.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Unreached | Self::Loading | Self::Transient(_) => ErrorCode::ProviderUnavailable,
            Self::RateLimited(_) => ErrorCode::RateLimited,
            Self::Quota | Self::QuotaWindow(_) => ErrorCode::QuotaExceeded,
            Self::Auth => ErrorCode::ProviderAuth,
            Self::Invalid => ErrorCode::ProviderRefused,
            Self::Moderated => ErrorCode::Moderated,
            Self::Ambiguous => ErrorCode::AnswerLost,
            Self::Gone | Self::Unknown => ErrorCode::ProviderFailed,
        }
    }

    /// Returns whether the same request may be sent again without a person's decision.
    pub const fn again(self, is_paid: bool) -> Again {
        match self {
            Self::Unreached | Self::Loading => Again::WhenReached,
            Self::Transient(wait) => Again::Later(wait),
            Self::RateLimited(wait) => Again::WhenAllowed(wait),
            Self::Ambiguous if is_paid => Again::OutcomeUnknown,
            Self::Ambiguous => Again::Later(None),
            _ => Again::Never,
        }
    }

    /// Whether `task.retry` may succeed although nothing else was changed.
    const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Unreached
                | Self::Loading
                | Self::Transient(_)
                | Self::RateLimited(_)
                | Self::QuotaWindow(_)
                | Self::Ambiguous
                | Self::Unknown
        )
    }
}

/// What may follow a failure, according to the service that ran the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// No other attempt, because the same request would fail again.
    Never,
    /// Another attempt after a growing backoff, and not before this time has passed.
    Later(Option<Duration>),
    /// Another attempt when the provider allows it, after the wait that it asked for, if any. Nothing was done, so the failed attempt does not count.
    WhenAllowed(Option<Duration>),
    /// Another attempt when the provider can be reached again, or has loaded its model. Nothing was done, so the failed attempt does not count, however often this
    /// happens.
    WhenReached,
    /// It is unknown whether the work was done and charged. A person decides.
    OutcomeUnknown,
}

/// The failure of an attempt.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The class, which decides what follows.
    pub class: Class,
    /// The error that the task shows.
    pub error: TaskError,
    /// The cost of the failed call that the provider reported, in millionths of a US dollar.
    pub cost_microusd: Option<u64>,
}

impl Failure {
    /// Returns a failure of this class, with the code of the class.
    pub fn new(class: Class, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::with_code(class, class.code(), message, hint)
    }

    /// Returns a failure of this class, with a code of its own.
    pub fn with_code(
        class: Class,
        code: ErrorCode,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let error = TaskError {
            code: code.name().to_owned(),
            message: message.into(),
            hint: Some(hint.into()),
            retryable: class.is_retryable(),
            provider_status: None,
        };
        Self { class, error, cost_microusd: None }
    }

    /// Returns the same failure with another hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// Returns the same failure with the provider's HTTP status code.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.error.provider_status = Some(status);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_asked_again_and_what_may_be_paid_never() {
        let minute = Some(Duration::from_mins(1));
        for is_paid in [false, true] {
            assert_eq!(Class::Unreached.again(is_paid), Again::WhenReached);
            assert_eq!(Class::Loading.again(is_paid), Again::WhenReached);
            assert_eq!(Class::Transient(minute).again(is_paid), Again::Later(minute));
            assert_eq!(Class::RateLimited(minute).again(is_paid), Again::WhenAllowed(minute));
            for class in [
                Class::Quota,
                Class::QuotaWindow(None),
                Class::Auth,
                Class::Invalid,
                Class::Moderated,
                Class::Gone,
                Class::Unknown,
            ] {
                assert_eq!(class.again(is_paid), Again::Never, "{class:?}");
            }
        }
        assert_eq!(Class::Ambiguous.again(true), Again::OutcomeUnknown);
        assert_eq!(Class::Ambiguous.again(false), Again::Later(None));
    }
}
