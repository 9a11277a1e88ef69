//! Determines why a task does not run yet. Pure.

use reel_protocol::{TaskState, WaitReason};

use super::machine::Closed;

/// The conditions that keep every task from starting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartConditions {
    /// The daemon is stopping.
    pub is_stopping: bool,
    /// The queue was paused with `queue.pause`.
    pub is_paused: bool,
    /// The memory pressure is critical.
    pub is_memory_critical: bool,
}

impl StartConditions {
    /// Returns why no task starts. None if tasks can start.
    pub const fn reason(self) -> Option<WaitReason> {
        match self {
            Self { is_stopping: true, .. } => Some(WaitReason::Stopping),
            Self { is_paused: true, .. } => Some(WaitReason::Paused),
            Self { is_memory_critical: true, .. } => Some(WaitReason::Memory),
            _ => None,
        }
    }
}

/// The conditions that keep one task from starting.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct TaskConditions {
    /// The state of the task.
    pub state: TaskState,
    /// Whether the task is a follower of an equal task.
    pub is_follower: bool,
    /// Whether the time of its next attempt has not come.
    pub is_delayed: bool,
    /// Whether its provider is not configured.
    pub is_provider_missing: bool,
    /// Whether fewer tasks run than the limit allows.
    pub has_slot: bool,
    /// Why its provider takes no attempt. None if it takes one, or if the task needs no provider.
    pub closed: Option<Closed>,
}

/// Returns why the task does not run. If there are several reasons, it is the one that usually lasts longest. None if the task is neither waiting nor
/// queued.
pub fn wait_reason(conditions: StartConditions, task: TaskConditions) -> Option<WaitReason> {
    match task {
        TaskConditions { state: TaskState::Waiting, .. } => Some(WaitReason::Dependencies),
        TaskConditions { state: TaskState::Queued, .. } => Some(queued_reason(conditions, task)),
        _ => None,
    }
}

fn queued_reason(conditions: StartConditions, task: TaskConditions) -> WaitReason {
    match (conditions.reason(), task) {
        (_, TaskConditions { is_follower: true, .. }) => WaitReason::EqualRequest,
        (_, TaskConditions { is_provider_missing: true, .. }) => WaitReason::ProviderMissing,
        // A provider that cannot be reached or that loads is also the reason for the delay of its next attempt, so it comes before `Retry`.
        (_, TaskConditions { closed: Some(Closed { reason, .. }), .. })
            if matches!(reason, WaitReason::ProviderUnreachable | WaitReason::ProviderLoading) =>
        {
            reason
        }
        (_, TaskConditions { is_delayed: true, .. }) => WaitReason::Retry,
        (Some(reason), _) => reason,
        (_, TaskConditions { has_slot: false, .. }) => WaitReason::Slots,
        (_, TaskConditions { closed: Some(closed), .. }) => closed.reason,
        _ => WaitReason::Turn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: StartConditions =
        StartConditions { is_stopping: false, is_paused: false, is_memory_critical: false };
    const FREE: TaskConditions = TaskConditions {
        state: TaskState::Queued,
        is_follower: false,
        is_delayed: false,
        is_provider_missing: false,
        has_slot: true,
        closed: None,
    };

    #[test]
    fn the_reason_is_what_is_longest_in_the_way() {
        let critical = StartConditions { is_memory_critical: true, ..OPEN };
        let paused = StartConditions { is_paused: true, ..critical };
        let stopping = StartConditions { is_stopping: true, ..paused };
        let closed = |reason| Some(Closed { reason, until: None });
        let table = [
            (OPEN, FREE, Some(WaitReason::Turn)),
            (critical, FREE, Some(WaitReason::Memory)),
            (paused, FREE, Some(WaitReason::Paused)),
            (stopping, FREE, Some(WaitReason::Stopping)),
            (
                OPEN,
                TaskConditions { closed: closed(WaitReason::Provider), ..FREE },
                Some(WaitReason::Provider),
            ),
            (
                OPEN,
                TaskConditions { closed: closed(WaitReason::ProviderRate), ..FREE },
                Some(WaitReason::ProviderRate),
            ),
            (
                OPEN,
                TaskConditions { closed: closed(WaitReason::ProviderPause), ..FREE },
                Some(WaitReason::ProviderPause),
            ),
            (
                OPEN,
                TaskConditions { closed: closed(WaitReason::ProviderDown), ..FREE },
                Some(WaitReason::ProviderDown),
            ),
            (
                OPEN,
                TaskConditions { closed: closed(WaitReason::Provider), has_slot: false, ..FREE },
                Some(WaitReason::Slots),
            ),
            (
                paused,
                TaskConditions { closed: closed(WaitReason::ProviderUnreachable), is_delayed: true, ..FREE },
                Some(WaitReason::ProviderUnreachable),
            ),
            (critical, TaskConditions { has_slot: false, ..FREE }, Some(WaitReason::Memory)),
            (critical, TaskConditions { is_delayed: true, ..FREE }, Some(WaitReason::Retry)),
            (
                paused,
                TaskConditions { is_provider_missing: true, is_delayed: true, ..FREE },
                Some(WaitReason::ProviderMissing),
            ),
            (paused, TaskConditions { is_follower: true, ..FREE }, Some(WaitReason::EqualRequest)),
            (paused, TaskConditions { state: TaskState::Waiting, ..FREE }, Some(WaitReason::Dependencies)),
            (paused, TaskConditions { state: TaskState::Running, ..FREE }, None),
            (paused, TaskConditions { state: TaskState::Held, ..FREE }, None),
        ];
        for (conditions, task, expected) in table {
            assert_eq!(wait_reason(conditions, task), expected, "{conditions:?} {task:?}");
        }
    }
}
