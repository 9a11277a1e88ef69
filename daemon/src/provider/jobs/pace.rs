//! The pace at which a job is polled: fast at first and slower the longer the job runs, or as the service asks. Pure.

use std::time::Duration;

/// The shortest time between two polls, whatever the service asks for.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time between two polls if the service asks for none.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest time between two polls that a service may ask for.
const LONGEST_HINT: Duration = Duration::from_mins(5);
/// The longest backoff after polls that failed. A service may ask for more.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
/// The time between two polls is this fraction of the job's age: a tenth.
const SHARE: u32 = 10;

/// The pace of one job's polls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// Failed polls in a row.
    failures: u32,
}

impl Pace {
    /// Returns the wait before the next poll, after one that told the state of the job. `age` is the time since the job was submitted, and `hint` is
    /// the wait that the service asked for.
    pub fn after_answer(&mut self, age: Duration, hint: Option<Duration>) -> Duration {
        self.failures = 0;
        match hint {
            Some(hint) => hint.clamp(SHORTEST, LONGEST_HINT),
            None => (age / SHARE).clamp(SHORTEST, LONGEST),
        }
    }

    /// Returns the wait before the next poll, after one that failed. `wait` is what the service asked for.
    pub fn after_failure(&mut self, wait: Option<Duration>) -> Duration {
        let doubled = SHORTEST * 2_u32.saturating_pow(self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        doubled.min(LONGEST_BACKOFF).max(wait.unwrap_or_default().min(LONGEST_HINT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_polled_more_rarely_the_longer_it_takes_and_never_more_often_than_each_second() {
        let mut pace = Pace::default();
        let millis = Duration::from_millis;
        for (age, hint, expected) in [
            (0, None, 1_000),
            (5_000, None, 1_000),
            (30_000, None, 3_000),
            (10_000_000, None, 10_000),
            (10_000_000, Some(0), 1_000),
            (0, Some(1_000), 1_000),
            (0, Some(20_000), 20_000),
            (0, Some(86_400_000), 300_000),
        ] {
            assert_eq!(pace.after_answer(millis(age), hint.map(millis)), millis(expected), "{age} {hint:?}");
        }
    }

    #[test]
    fn polls_that_fail_back_off_and_an_answer_begins_anew() {
        let mut pace = Pace::default();
        let waits: Vec<_> = (0..9).map(|_| pace.after_failure(None).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pace.after_failure(Some(Duration::from_secs(90))).as_secs(), 90);
        pace.after_answer(Duration::ZERO, None);
        assert_eq!(pace.after_failure(Some(Duration::ZERO)).as_secs(), 1);
        for _ in 0..100 {
            pace.after_failure(None);
        }
        assert_eq!(pace.after_failure(None), LONGEST_BACKOFF);
    }
}
