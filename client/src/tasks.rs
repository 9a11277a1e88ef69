//! Formats what people see of tasks: ids, titles, costs, times.

use std::time::Duration;

use reel_protocol::{Cost, JsonText, TaskId, TaskView, Timestamp, is_unprintable};
use serde::Deserialize;

use crate::units;

/// Parses the id of a task from the command line.
pub fn parse_id(text: &str) -> Result<TaskId, String> {
    text.parse().map_err(|_| "a task is named by its id, a number that reel ls shows".to_owned())
}

/// Parses the priority of a task from the command line.
pub fn parse_priority(text: &str) -> Result<i8, String> {
    let priority = text.parse().ok().filter(|priority| (-100..=100).contains(priority));
    priority
        .ok_or_else(|| "a priority is a whole number from -100 to 100, and higher starts first".to_owned())
}

/// Returns the notes about a task's results in one line; None if there are none. The line names the task's id, so that the user can find results that
/// were not written.
pub fn notes(task: &TaskView) -> Option<String> {
    let messages: Vec<_> = task.notes.iter().map(|note| note.message.as_str()).collect();
    (!messages.is_empty()).then(|| format!("note: {} (reel show {})", messages.join("; "), task.id))
}

/// Returns the task's name; if it has none, its prompt or text.
pub fn title(task: &TaskView) -> String {
    task.name.clone().or_else(|| prompt(&task.params)).unwrap_or_default()
}

/// Returns the prompt or the text in a task's params.
pub fn prompt(params: &JsonText) -> Option<String> {
    #[derive(Deserialize)]
    struct Words {
        prompt: Option<String>,
        text: Option<String>,
    }
    params.decode::<Words>().ok().and_then(|words| words.prompt.or(words.text))
}

/// Formats a cost, such as `about 0.04 USD`.
pub fn cost(cost: &Cost) -> String {
    let about = if cost.is_estimate { "about " } else { "" };
    format!("{about}{} {}", cost.amount, cost.currency)
}

/// Whether a text has no visible character.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || is_unprintable(character))
}

/// Formats the time between `time` and `now`.
pub fn age(time: Timestamp, now: Timestamp) -> String {
    units::age(now.since(time))
}

/// Returns how long a finished task ran; None if it has not finished. A task that never started counts from its creation.
pub fn run_time(task: &TaskView) -> Option<Duration> {
    let end = task.finished_at?;
    Some(end.since(task.started_at.unwrap_or(task.created_at)))
}

/// Formats a fraction between 0 and 1 as a percentage, such as `45 %`.
pub fn percent(fraction: f64) -> String {
    format!("{:.0} %", fraction.clamp(0.0, 1.0) * 100.0)
}
