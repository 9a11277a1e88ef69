//! The classes of failure, and what follows from each. Pure.

use std::time::Duration;

use reel_protocol::{ErrorCode, TaskError};

/// Longest wait that a provider may ask for and that still counts as its rate: beyond, it is a quota that comes back.
pub const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Why an attempt made nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// No connection could be made, so the request never left: nothing was done, and it may work later.
    Unreached,
    /// It may work later, as its status says; how long to wait at least, where it said so.
    Transient(Option<Duration>),
    /// Asked too often; how long to wait, where it said so.
    RateLimited(Option<Duration>),
    /// What was paid for is used up.
    Quota,
    /// What is allowed in a day or so is used up; how long until it comes back, where it said so.
    QuotaWindow(Option<Duration>),
    /// The key is missing, wrong, or may not do this.
    Auth,
    /// The provider does not take the request.
    Invalid,
    /// The provider will not make this picture.
    Moderated,
    /// What was asked for is there no more.
    Gone,
    /// The request left and its answer was lost: it may have been done, and charged.
    Ambiguous,
    /// It was answered, and not with a picture.
    Unknown,
}

impl Class {
    /// The stable code that the task's error carries.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Unreached | Self::Transient(_) => ErrorCode::ProviderUnavailable,
            Self::RateLimited(_) => ErrorCode::RateLimited,
            Self::Quota | Self::QuotaWindow(_) => ErrorCode::QuotaExceeded,
            Self::Auth => ErrorCode::ProviderAuth,
            Self::Invalid => ErrorCode::ProviderRefused,
            Self::Moderated => ErrorCode::Moderated,
            Self::Ambiguous => ErrorCode::AnswerLost,
            Self::Gone | Self::Unknown => ErrorCode::ProviderFailed,
        }
    }

    /// Whether the same may be asked again by itself.
    pub const fn again(self, is_paid: bool) -> Again {
        match self {
            Self::Unreached => Again::WhenReached,
            Self::Transient(wait) => Again::Later(wait),
            Self::RateLimited(wait) => Again::WhenAllowed(wait),
            Self::Ambiguous if is_paid => Again::OutcomeUnknown,
            Self::Ambiguous => Again::Later(None),
            _ => Again::Never,
        }
    }

    /// Whether `task.retry` has a chance without anything else being changed first.
    const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Unreached
                | Self::Transient(_)
                | Self::RateLimited(_)
                | Self::QuotaWindow(_)
                | Self::Ambiguous
                | Self::Unknown
        )
    }
}

/// What may follow, as the service that ran the attempt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Nothing: the same would fail again.
    Never,
    /// Another attempt, after a pause that grows, and not before so much time.
    Later(Option<Duration>),
    /// Another one when the provider allows it, so much later if it said. Nothing was done, so this one does not count.
    WhenAllowed(Option<Duration>),
    /// Another one when the provider can be reached again. The request never left, so this one does not count, however many there are.
    WhenReached,
    /// Nobody knows whether it was done, and paid: a person decides.
    OutcomeUnknown,
}

/// An attempt's failure.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What kind.
    pub class: Class,
    /// As the task shows it.
    pub error: TaskError,
    /// What the provider says that the failed call has cost, in millionths of a US dollar.
    pub cost_microusd: Option<u64>,
}

impl Failure {
    /// A failure of this class, with its code.
    pub fn new(class: Class, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::with_code(class, class.code(), message, hint)
    }

    /// A failure whose cause has a code of its own.
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

    /// The same with another hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// The same with the provider's HTTP status.
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
