//! The table of legal transitions between task states.

use reel_protocol::TaskState::{self, Cancelled, Failed, Held, Queued, Running, Succeeded, Unknown, Waiting};

/// Whether a task in state `from` may change to state `to`.
pub const fn is_legal(from: TaskState, to: TaskState) -> bool {
    match from {
        // Its dependencies succeeded, one of them failed, or somebody decided.
        Waiting => matches!(to, Queued | Failed | Cancelled | Held),
        // It starts, it gets the result of an equal task or of the cache, or its deadline passes.
        Queued => matches!(to, Running | Succeeded | Failed | Cancelled | Held | Queued),
        // It ends, or is queued for another attempt.
        Running => matches!(to, Succeeded | Failed | Cancelled | Queued | Held),
        // Somebody decided, or the equal task that it waits with got a result.
        Held => matches!(to, Queued | Waiting | Cancelled | Failed | Succeeded),
        // Somebody retried it.
        Failed | Cancelled => matches!(to, Queued | Waiting),
        Succeeded | Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_success_and_only_a_retry_leaves_the_other_ends() {
        for to in TaskState::ALL {
            assert!(!is_legal(Succeeded, to));
            assert_eq!(is_legal(Failed, to), matches!(to, Queued | Waiting), "{to:?}");
            assert_eq!(is_legal(Cancelled, to), matches!(to, Queued | Waiting), "{to:?}");
        }
    }

    #[test]
    fn every_unfinished_state_can_be_cancelled_and_only_a_queued_one_starts() {
        for from in TaskState::ALL.into_iter().filter(|state| !state.is_finished()) {
            assert!(is_legal(from, Cancelled), "{from:?}");
            assert_eq!(is_legal(from, Running), from == Queued, "{from:?}");
        }
    }
}
