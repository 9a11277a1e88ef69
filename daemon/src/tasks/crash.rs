//! What becomes of a task that was running when the daemon died. Pure.

use reel_protocol::HoldReason;

/// Daemon deaths at which a running task is suspected to cause them.
const SUSPECT_DEATHS: u32 = 2;

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCrash {
    /// Nothing can have been paid, or the provider recognises a repeat: ask again.
    Queue,
    /// What the provider holds for it is on disk: its next attempt asks for that, and submits nothing.
    PollOn,
    /// A person decides.
    Hold(HoldReason),
}

impl AfterCrash {
    /// For the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queued again",
            Self::PollOn => "its results are fetched",
            Self::Hold(_) => "held",
        }
    }
}

/// What is known of the attempt that was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Whether asking again may pay again.
    pub is_paid: bool,
    /// Whether it is on disk what the provider holds for it.
    pub has_remote_id: bool,
    /// Daemon deaths that the task was running at, this one counted.
    pub deaths: u32,
    /// Whether the attempt only submitted other tasks and waited for them.
    pub is_workflow: bool,
}

/// The crash rule.
pub const fn after_crash(attempt: OpenAttempt) -> AfterCrash {
    match attempt {
        // Its steps are tasks of their own, and the rule holds for each of them.
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
