//! Why a task waits, in one line for people. Pure.

use std::time::Duration;

use reel_protocol::{TaskState, TaskView, Timestamp, WaitReason};

use crate::units;

/// Until the next try: from here on it is said once more, as it will take long.
const LONG: Duration = Duration::from_secs(30);

/// What stands in a task's way: the words of its last attempt where it waits for the provider, and when the next one is. None for a task that
/// does not wait.
pub fn why_it_waits(task: &TaskView, now: Timestamp) -> Option<String> {
    words(&format!("task {} waits", task.id), task, now)
}

/// The same for the tasks of a batch, of which this is one.
pub fn why_a_batch_waits(task: &TaskView, now: Timestamp) -> Option<String> {
    words("the batch waits", task, now)
}

fn words(what_waits: &str, task: &TaskView, now: Timestamp) -> Option<String> {
    let reason = task.wait_reason.filter(|_| matches!(task.state, TaskState::Queued | TaskState::Waiting))?;
    let error = task.error.as_ref().filter(|_| is_of_an_attempt(reason));
    let why = error.map_or(reason.text(), |error| &error.message);
    // The time goes first: a narrow terminal cuts the end of the line.
    let next = match time_left(task, now) {
        Some(left) if left < Duration::from_secs(1) => ", next try now".to_owned(),
        Some(left) => format!(", next try in {}", units::age(left)),
        None => String::new(),
    };
    Some(format!("{what_waits}{next}: {why}"))
}

/// How long until the next try; None where no time ends the wait.
fn time_left(task: &TaskView, now: Timestamp) -> Option<Duration> {
    let reason = task.wait_reason?;
    if !is_of_an_attempt(reason) && reason != WaitReason::ProviderRate {
        return None;
    }
    task.not_before.map(|at| at.since(now))
}

/// What was said last about why something waits.
#[derive(Debug, Default)]
pub struct Said {
    reason: Option<(WaitReason, Option<String>)>,
    is_long: bool,
}

impl Said {
    /// What is to be said after `words`, or None where nothing is new: a reason is said once, and once more when its pauses have grown long.
    pub fn ending(&mut self, task: &TaskView, code: Option<&str>, now: Timestamp) -> Option<&'static str> {
        let reason = Some((task.wait_reason?, code.map(str::to_owned)));
        let is_known = self.reason == reason;
        let was_long = is_known && self.is_long;
        let is_long = was_long || time_left(task, now).is_some_and(|left| left >= LONG);
        (self.reason, self.is_long) = (reason, is_long);
        let is_news = !is_known || is_long != was_long;
        let is_unreachable = task.wait_reason == Some(WaitReason::ProviderUnreachable);
        // The daemon tries such a provider at last once a minute.
        let ending = if is_long && is_unreachable { "; tried again every 60 s from now on" } else { "" };
        is_news.then_some(ending)
    }
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

    fn waiting(reason: WaitReason) -> TaskView {
        TaskView { wait_reason: Some(reason), ..serde_json::from_str(TASK).unwrap() }
    }

    fn after(task: &TaskView, seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(task.created_at.unix_ms() + seconds * 1000)
    }

    #[test]
    fn the_next_try_goes_before_the_attempts_own_words() {
        for (reason, seconds, words) in [
            (
                WaitReason::ProviderUnreachable,
                48,
                "task 7 waits, next try in 12 s: studio cannot be reached: refused",
            ),
            (
                WaitReason::ProviderUnreachable,
                60,
                "task 7 waits, next try now: studio cannot be reached: refused",
            ),
            (WaitReason::Paused, 48, "task 7 waits: the queue is paused: reel resume"),
            (
                WaitReason::ProviderMissing,
                48,
                "task 7 waits: its provider is not configured: reel config edit, or reel cancel gives up",
            ),
        ] {
            let task = waiting(reason);
            assert_eq!(why_it_waits(&task, after(&task, seconds)).as_deref(), Some(words));
        }
        let task = TaskView { state: TaskState::Running, ..waiting(WaitReason::Turn) };
        assert_eq!(why_it_waits(&task, after(&task, 48)), None);
    }

    #[test]
    fn a_reason_is_said_once_and_once_more_when_its_pauses_are_long() {
        let mut said = Said::default();
        let unreachable = waiting(WaitReason::ProviderUnreachable);
        let paused = waiting(WaitReason::Paused);
        for (task, seconds, ending) in [
            (&unreachable, 48, Some("")),
            (&unreachable, 49, None),
            (&unreachable, 20, Some("; tried again every 60 s from now on")),
            (&unreachable, 50, None),
            (&unreachable, 5, None),
            (&paused, 0, Some("")),
            (&paused, 0, None),
            (&unreachable, 50, Some("")),
        ] {
            assert_eq!(said.ending(task, None, after(task, seconds)), ending, "{seconds}");
        }
        assert_eq!(said.ending(&unreachable, Some("other"), after(&unreachable, 50)), Some(""));
    }
}
