//! `reel status`: shows the state of the daemon. It never starts one.

use std::time::Duration;

use reel_client::ClientError;
use reel_protocol::{
    Timestamp, WaitReason,
    methods::{CacheStatsResult, DaemonStatus, DaemonStatusResult, Empty, MemoryLevel, ProviderSummary},
};

use super::config::ConfigFileState;
use crate::{context::Context, exit::Exit, failure::Failure, table, units, why};

/// Timeout of the request. A healthy daemon answers in well under a millisecond. The timeout is longer than that of the handshake, so that a daemon
/// that says nothing at all fails there, with its reason.
const LIMIT: Duration = Duration::from_secs(20);

/// Prints the status.
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    let client = match context.running().await {
        Err(ClientError::NoDaemon) => {
            context.output.line("not running")?;
            context.output.note("  hint: reel daemon start starts it; commands that need it start it too");
            return Err(Failure::new(Exit::NoDaemon, "no_daemon", "no daemon is running")
                .hint("reel daemon start starts it")
                .said());
        }
        connected => connected?,
    };
    let status = client.call_within::<DaemonStatus>(&Empty {}, LIMIT).await?;
    context.note_version(&client);
    context.output.document(&status)?;
    let file = ConfigFileState::of_file(&status);
    context.output.data(&layout(&status, &file))?;
    Ok(Exit::Done)
}

fn layout(status: &DaemonStatusResult, file: &ConfigFileState) -> String {
    let started = if status.is_auto_started { ", started by a client" } else { "" };
    let waits = match status.wait_reason {
        _ if status.is_paused => ", paused (reel resume)".to_owned(),
        Some(reason) => format!("; no task starts: {}", reason.text()),
        None => String::new(),
    };
    let up = units::span(Duration::try_from_secs_f64(status.uptime_s).unwrap_or_default());
    let steps_in = |state: &str| status.steps.get(state).copied().unwrap_or(0);
    let own = status.tasks.iter().map(|(state, count)| (state, count.saturating_sub(steps_in(state))));
    let tasks = by_state(own).unwrap_or_else(|| "none".to_owned());
    let steps = by_state(status.steps.iter().map(|(state, count)| (state, *count)));
    let steps = steps.map_or_else(String::new, |steps| format!("{steps}; these are the parts of films"));
    let missing: Vec<String> = status
        .missing_providers
        .iter()
        .map(|(name, tasks)| {
            let (noun, wait) = if *tasks == 1 { ("task", "waits") } else { ("tasks", "wait") };
            format!(
                "{tasks} {noun} {wait} for {name}, which is not configured (reel config edit, or reel cancel)"
            )
        })
        .collect();
    let cache = &status.cache;
    let notices = status.notices.iter().map(|notice| {
        let hint = notice.hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        ("WARNING", notice.message.clone() + &hint)
    });
    let mut fields: Vec<_> = notices.collect();
    fields.extend([
        ("daemon", format!("version {}, process {}, running for {up}{started}", status.version, status.pid)),
        ("tasks", tasks + &waits),
        ("steps", steps),
        ("providers", providers(status)),
        ("missing", missing.join("\n")),
        (
            "memory",
            format!(
                "{}, {} used of at most {}",
                level(status.memory.level),
                units::bytes(status.memory.resident_bytes),
                units::bytes(status.memory.limit_bytes)
            ),
        ),
        (
            "cache",
            format!(
                "{} files, {} of at most {}; {}",
                cache.artifacts,
                units::bytes(cache.disk_bytes),
                units::bytes(cache.disk_limit_bytes),
                answered(cache)
            ),
        ),
        ("connections", format!("{}, this one included", status.connections)),
        ("socket", status.socket.clone()),
        ("data", status.home.clone()),
        ("config", config(status, file)),
    ]);
    table::fields(&fields)
}

/// Describes counts by state, such as `3 succeeded, 1 failed`; None if all are 0.
fn by_state<'a>(counts: impl Iterator<Item = (&'a String, u64)>) -> Option<String> {
    let words: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(state, count)| format!("{count} {state}")).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Describes how often the cache had a result, such as `it had 59 of 99 results since the daemon started`.
pub fn answered(cache: &CacheStatsResult) -> String {
    match cache.hits + cache.misses {
        0 => "nothing was looked up in it since the daemon started".to_owned(),
        asked => format!("it had {} of {asked} results since the daemon started", cache.hits),
    }
}

/// Lists each provider with its permits, and why it is not asked now.
fn providers(status: &DaemonStatusResult) -> String {
    let now = Timestamp::now();
    let widest = status.providers.keys().map(String::len).max().unwrap_or(0);
    let provider = |(name, provider): (&String, &ProviderSummary)| {
        let busy = format!("{name:widest$}  {} of {} busy", provider.running, provider.max_concurrent);
        // If all permits are in use, the numbers show it.
        match provider.wait_reason.filter(|reason| *reason != WaitReason::Provider) {
            Some(reason) => format!("{busy}, {}", why::provider(reason, provider.waits_until, now)),
            None => busy,
        }
    };
    status.providers.iter().map(provider).collect::<Vec<_>>().join("\n")
}

/// Returns the path of the configuration file, and how the file differs from what the daemon uses.
fn config(status: &DaemonStatusResult, file: &ConfigFileState) -> String {
    match file.words() {
        Some(words) => format!("{}: {words}", status.config),
        None => status.config.clone(),
    }
}

/// Returns the name of a memory level.
pub fn level(level: MemoryLevel) -> &'static str {
    match level {
        MemoryLevel::Normal => "normal",
        MemoryLevel::High => "high",
        MemoryLevel::Critical => "critical",
        MemoryLevel::Unknown => "unknown",
    }
}
