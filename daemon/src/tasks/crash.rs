//! Decides what happens to a task that was running when the daemon died. Pure.

use reel_protocol::HoldReason;

/// A task that was running at this many daemon deaths is suspected to cause them.
const SUSPECT_DEATHS: u32 = 2;

/// What happens to the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCrash {
    /// The task is queued again, because nothing can have been paid.
    Queue,
    /// The journal has the remote job that the provider holds. The next attempt fetches its results and submits nothing.
    PollOn,
    /// The task is held until a person decides.
    Hold(HoldReason),
}

impl AfterCrash {
    /// Returns the text for the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queued again",
            Self::PollOn => "its results are fetched",
            Self::Hold(_) => "held",
        }
    }
}

/// The facts about the attempt that was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Whether asking the provider again may cost again.
    pub is_paid: bool,
    /// Whether the journal has a remote job that the provider holds for the attempt.
    pub has_remote_id: bool,
    /// Daemon deaths while the task was running, including this one.
    pub deaths: u32,
    /// Whether the attempt only submitted other tasks and waited for them.
    pub is_workflow: bool,
}

/// Returns what the crash rule decides for this attempt.
pub const fn after_crash(attempt: OpenAttempt) -> AfterCrash {
    match attempt {
        // The steps of a workflow are tasks of their own, and the rule applies to each of them.
        OpenAttempt { is_workflow: true, .. } => AfterCrash::Queue,
        OpenAttempt { has_remote_id: true, .. } => AfterCrash::PollOn,
        OpenAttempt { is_paid: true, .. } => AfterCrash::Hold(HoldReason::OutcomeUnknown),
        OpenAttempt { deaths: SUSPECT_DEATHS.., .. } => AfterCrash::Hold(HoldReason::CrashSuspect),
        _ => AfterCrash::Queue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paid_work_is_never_asked_twice_and_a_suspect_stands_still() {
        let open = |is_paid, has_remote_id, deaths| OpenAttempt {
            is_paid,
            has_remote_id,
            deaths,
            is_workflow: false,
        };
        let rule = |is_paid, has_remote_id, deaths| after_crash(open(is_paid, has_remote_id, deaths));
        assert_eq!(rule(false, false, 1), AfterCrash::Queue);
        assert_eq!(rule(false, false, 2), AfterCrash::Hold(HoldReason::CrashSuspect));
        assert_eq!(rule(true, false, 1), AfterCrash::Hold(HoldReason::OutcomeUnknown));
        assert_eq!(rule(true, false, 2), AfterCrash::Hold(HoldReason::OutcomeUnknown));
        assert_eq!(rule(true, true, 1), AfterCrash::PollOn);
        assert_eq!(rule(false, true, 9), AfterCrash::PollOn);
        assert_eq!(
            after_crash(OpenAttempt { is_workflow: true, ..open(false, false, 9) }),
            AfterCrash::Queue
        );
    }
}
