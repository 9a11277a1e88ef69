//! Decides what follows from a failed attempt: another attempt after a wait, the failure of the task, or a hold until a person decides. Pure.

use std::time::Duration;

use reel_protocol::ErrorCode;

use super::live::backoff;
use crate::domain::Again;

/// From this attempt on, a rate limit fails the task, or holds it if it has paid results. The number is large because a rate-limited attempt costs
/// nothing, and tasks behind a narrow limit meet many.
const LIMITED_ATTEMPTS: u32 = 100;
/// Upper bound of the random time that is added to the wait that a provider asked for, so that its waiting tasks do not all return at once.
const SPREAD: Duration = Duration::from_millis(500);

/// From this attempt on, a rate-limited task waits at least for the backoff, up to [`LEAST_WAIT`]. Earlier ones wait only as long as the provider
/// asked.
const BACKOFF_FROM_ATTEMPT: u32 = 3;
const LEAST_WAIT: Duration = Duration::from_secs(30);

/// The wait after a failed connection, if the provider's gate gives no time at which it opens.
const UNREACHED: Duration = Duration::from_secs(1);

/// The facts about a failed attempt that the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// What may follow according to the service that ran the attempt.
    pub again: Again,
    /// Whether the provider has made results that were paid and have not been fetched.
    pub has_paid_results: bool,
    /// Attempts that have begun, including this one, but not those whose request was never sent.
    pub attempts: u32,
    /// Attempts that the task may still make.
    pub attempts_left: u32,
    /// Time until the provider may be tried again. None if its gate gives no such time.
    pub opens_in: Option<Duration>,
    /// Whether its provider is out of order, and another provider that is in order may be asked instead.
    pub has_better: bool,
    /// A number that differs between tasks, so that their retries do not coincide.
    pub spread: u64,
}

/// What follows from a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The task fails.
    Fail,
    /// The task is held until a person decides.
    Hold,
    /// The task waits for `wait`, and then goes back to the queue.
    Wait {
        /// The wait, counted from the time of the decision.
        wait: Duration,
        /// Whether the attempt counts against the attempts that the task may make.
        is_counted: bool,
    },
}

/// Decides what follows from a failed attempt.
pub fn next(failed: Failed) -> Next {
    let pause = backoff(failed.attempts, failed.spread);
    match failed.again {
        Again::OutcomeUnknown => Next::Hold,
        // The other provider can be asked at once.
        Again::Later(_) if failed.has_better && failed.attempts_left > 0 => {
            Next::Wait { wait: Duration::ZERO, is_counted: true }
        }
        Again::WhenReached if failed.has_better => Next::Wait { wait: Duration::ZERO, is_counted: false },
        Again::Later(wait) if failed.attempts_left > 0 => {
            Next::Wait { wait: pause.max(wait.unwrap_or_default()), is_counted: true }
        }
        Again::WhenAllowed(wait) if failed.attempts < LIMITED_ATTEMPTS => {
            let spread = Duration::from_millis(failed.spread % SPREAD.as_millis() as u64);
            // A service that keeps answering "retry at once" does not mean it, so the backoff applies.
            let least =
                if failed.attempts < BACKOFF_FROM_ATTEMPT { Duration::ZERO } else { pause.min(LEAST_WAIT) };
            let wait = wait.map_or(pause, |wait| (wait + spread).max(least));
            Next::Wait { wait, is_counted: false }
        }
        // Paid results are not given up because fetching them failed often.
        Again::Later(_) | Again::WhenAllowed(_) if failed.has_paid_results => Next::Hold,
        Again::WhenReached => Next::Wait { wait: failed.opens_in.unwrap_or(UNREACHED), is_counted: false },
        Again::Never | Again::Later(_) | Again::WhenAllowed(_) => Next::Fail,
    }
}

/// Whether a failure with this code is the provider's own, such as a wrong key. Another provider may succeed with the same request.
pub fn is_of_the_provider(code: &str) -> bool {
    let codes = [
        ErrorCode::ProviderAuth,
        ErrorCode::KeyMissing,
        ErrorCode::QuotaExceeded,
        ErrorCode::ProviderUnavailable,
    ];
    codes.iter().any(|of_provider| of_provider.name() == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_bounded_and_the_providers_wait_is_kept() {
        let opens_in = Some(Duration::from_secs(7));
        let next = |again, attempts, attempts_left| {
            next(Failed {
                again,
                has_paid_results: false,
                attempts,
                attempts_left,
                opens_in,
                has_better: false,
                spread: 1_250,
            })
        };
        let wait = |millis, is_counted| Next::Wait { wait: Duration::from_millis(millis), is_counted };
        let minute = Some(Duration::from_mins(1));
        assert_eq!(next(Again::Never, 1, 9), Next::Fail);
        assert_eq!(next(Again::Later(None), 1, 3), wait(1_000, true));
        assert_eq!(next(Again::Later(Some(Duration::ZERO)), 2, 3), wait(2_250, true));
        assert_eq!(next(Again::Later(minute), 2, 3), wait(60_000, true));
        assert_eq!(next(Again::Later(None), 4, 0), Next::Fail);
        assert_eq!(next(Again::WhenAllowed(minute), 4, 0), wait(60_250, false));
        assert_eq!(next(Again::WhenAllowed(None), 1, 0), wait(1_000, false));
        let zero = Some(Duration::ZERO);
        assert_eq!(next(Again::WhenAllowed(zero), 2, 0), wait(250, false));
        assert_eq!(next(Again::WhenAllowed(zero), 4, 0), wait(9_250, false));
        assert_eq!(next(Again::WhenAllowed(zero), 50, 0), wait(30_000, false));
        assert_eq!(next(Again::WhenAllowed(minute), 100, 5), Next::Fail);
        assert_eq!(next(Again::WhenReached, 1, 0), wait(7_000, false));
        assert_eq!(next(Again::WhenReached, 10_000, 0), wait(7_000, false));
        assert_eq!(next(Again::OutcomeUnknown, 1, 9), Next::Hold);
    }

    #[test]
    fn results_that_were_paid_are_held_when_the_attempts_are_used_up() {
        let next = |again, attempts_left| {
            super::next(Failed {
                again,
                has_paid_results: true,
                attempts: 1,
                attempts_left,
                opens_in: None,
                has_better: false,
                spread: 0,
            })
        };
        assert_eq!(next(Again::Later(None), 0), Next::Hold);
        assert!(matches!(next(Again::Later(None), 1), Next::Wait { .. }));
        assert_eq!(next(Again::Never, 0), Next::Fail);
    }

    #[test]
    fn another_provider_is_not_waited_for() {
        let next = |again, attempts_left| {
            super::next(Failed {
                again,
                has_paid_results: false,
                attempts: 3,
                attempts_left,
                opens_in: Some(Duration::from_mins(1)),
                has_better: true,
                spread: 0,
            })
        };
        let now = |is_counted| Next::Wait { wait: Duration::ZERO, is_counted };
        assert_eq!(next(Again::Later(Some(Duration::from_mins(1))), 1), now(true));
        assert_eq!(next(Again::WhenReached, 0), now(false));
        assert_eq!(next(Again::Later(None), 0), Next::Fail, "at this provider");
        assert_eq!((next(Again::OutcomeUnknown, 9), next(Again::Never, 9)), (Next::Hold, Next::Fail));
    }

    #[test]
    fn only_what_a_provider_refuses_for_its_own_reasons_is_asked_of_another() {
        for code in ["provider_auth", "key_missing", "quota_exceeded", "provider_unavailable"] {
            assert!(is_of_the_provider(code), "{code}");
        }
        for code in
            ["answer_lost", "moderated", "provider_refused", "provider_failed", "storage_full", "over_memory"]
        {
            assert!(!is_of_the_provider(code), "{code}");
        }
    }
}
