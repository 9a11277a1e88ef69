//! What tasks are called and look like to people.

use std::time::Duration;

use reel_client::{ClientError, Session};
use reel_protocol::{
    Cost, JsonText, TaskId, TaskView, Timestamp, is_unprintable,
    methods::{Empty, ProviderInfo, ProviderList},
};
use serde::Deserialize;

use crate::units;

/// Reads the number of a task on the command line.
pub fn parse_id(text: &str) -> Result<TaskId, String> {
    text.parse().map_err(|_| "a task is named by its number, which reel ls shows".to_owned())
}

/// What is to be said about a task's results, in one line; the task's number leads to those that are not written.
pub fn notes(task: &TaskView) -> Option<String> {
    let messages: Vec<_> = task.notes.iter().map(|note| note.message.as_str()).collect();
    (!messages.is_empty()).then(|| format!("note: {} (reel show {})", messages.join("; "), task.id))
}

/// The embedded provider, which only sketches.
pub const DRAFT: &str = "draft";

/// Whether nothing but the embedded provider serves this service.
pub async fn has_only_draft(session: &Session, service: &str) -> Result<bool, ClientError> {
    let found = session.call::<ProviderList>(&Empty {}).await?;
    let serves = |provider: &&ProviderInfo| provider.services.iter().any(|name| name == service);
    Ok(found.providers.iter().filter(serves).all(|provider| provider.name == DRAFT))
}

/// What a person would call the task: its name, else its prompt or text.
pub fn title(task: &TaskView) -> String {
    task.name.clone().or_else(|| prompt(&task.params)).unwrap_or_default()
}

/// The prompt or the text in a task's params.
pub fn prompt(params: &JsonText) -> Option<String> {
    #[derive(Deserialize)]
    struct Words {
        prompt: Option<String>,
        text: Option<String>,
    }
    params.decode::<Words>().ok().and_then(|words| words.prompt.or(words.text))
}

/// What a task costs, such as `about 0.04 USD`.
pub fn cost(cost: &Cost) -> String {
    let about = if cost.is_estimate { "about " } else { "" };
    format!("{about}{} {}", cost.amount, cost.currency)
}

/// Whether a prompt has nothing that can be seen.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || is_unprintable(character))
}

/// How long ago it was, `now`.
pub fn age(time: Timestamp, now: Timestamp) -> String {
    units::age(now.since(time))
}

/// How long the task ran, once it is over.
pub fn run_time(task: &TaskView) -> Option<Duration> {
    let end = task.finished_at?;
    Some(end.since(task.started_at.unwrap_or(task.created_at)))
}

/// `45 %` of a task that runs.
pub fn percent(fraction: f64) -> String {
    format!("{:.0} %", fraction.clamp(0.0, 1.0) * 100.0)
}
