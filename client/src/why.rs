//! Why a task waits, in one line for people. Pure.

use reel_protocol::{TaskState, TaskView, Timestamp, WaitReason};

use crate::units;

/// What stands in a task's way: the words of its last attempt where it waits for the provider, and when the next one is. None for a task that
/// does not wait.
pub fn why_it_waits(task: &TaskView, now: Timestamp) -> Option<String> {
    let reason = task.wait_reason.filter(|_| matches!(task.state, TaskState::Queued | TaskState::Waiting))?;
    let error = task.error.as_ref().filter(|_| is_of_an_attempt(reason));
    let why = error.map_or(reason.text(), |error| &error.message);
    let next = task.not_before.filter(|at| *at > now);
    let next = next.map(|at| format!("; next try in {}", units::age(at.since(now)))).unwrap_or_default();
    Some(format!("task {} waits: {why}{next}", task.id))
}

/// Whether it is worth a line of its own: it may last, and others of its kind do not simply go before it.
pub fn may_last(reason: WaitReason) -> bool {
    is_of_an_attempt(reason)
        || matches!(
            reason,
            WaitReason::ProviderMissing
                | WaitReason::ProviderRate
                | WaitReason::Paused
                | WaitReason::Memory
                | WaitReason::Dependencies
        )
}

fn is_of_an_attempt(reason: WaitReason) -> bool {
    matches!(
        reason,
        WaitReason::Retry
            | WaitReason::ProviderPause
            | WaitReason::ProviderDown
            | WaitReason::ProviderUnreachable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = r#"{"id":7,"rev":3,"kind":"image.generate","name":null,"state":"queued","hold_reason":null,"wait_reason":"turn","priority":0,"client":"reel","batch":null,"after":[],"progress":{"fraction":0.0,"message":""},"provider":"studio","model":null,"attempts":1,"source":null,"created_at":"2026-11-23T20:00:00.000Z","started_at":null,"finished_at":null,"not_before":"2026-11-23T20:01:00.000Z","params":{"prompt":"a"},"outputs":[],"error":{"code":"provider_unavailable","message":"studio cannot be reached: refused","hint":"h","retryable":true,"provider_status":null},"cost":null,"metadata":null}"#;

    #[test]
    fn the_attempts_own_words_are_said_where_they_are_the_reason() {
        let task: TaskView = serde_json::from_str(TASK).unwrap();
        let now = Timestamp::from_unix_ms(task.created_at.unix_ms() + 48_000);
        for (state, reason, words) in [
            (
                TaskState::Queued,
                WaitReason::ProviderUnreachable,
                Some("task 7 waits: studio cannot be reached: refused; next try in 12 s"),
            ),
            (
                TaskState::Queued,
                WaitReason::Paused,
                Some("task 7 waits: the queue is paused: reel resume; next try in 12 s"),
            ),
            (TaskState::Running, WaitReason::Turn, None),
        ] {
            let task = TaskView { state, wait_reason: Some(reason), ..task.clone() };
            assert_eq!(why_it_waits(&task, now).as_deref(), words);
        }
        let task = TaskView { wait_reason: Some(WaitReason::ProviderMissing), not_before: None, ..task };
        let words = why_it_waits(&task, now).unwrap();
        assert!(words.contains("not configured") && !words.contains("next try"), "{words}");
    }
}
