//! `reel status`: shows the state of the daemon. It never starts one.

use std::time::Duration;

use reel_client::ClientError;
use reel_protocol::{
    Timestamp, WaitReason,
    methods::{DaemonStatus, DaemonStatusResult, Empty, MemoryLevel, ProviderSummary},
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
    let tasks: Vec<String> = status
        .tasks
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let tasks = if tasks.is_empty() { "none".to_owned() } else { tasks.join(", ") };
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
        ("daemon", format!("{}, pid {}, up {up}{started}", status.version, status.pid)),
        ("tasks", tasks + &waits),
        ("providers", providers(status)),
        ("missing", missing.join("\n")),
        (
            "memory",
            format!(
                "{}, {} of {}",
                level(status.memory.level),
                units::bytes(status.memory.resident_bytes),
                units::bytes(status.memory.limit_bytes)
            ),
        ),
        (
            "cache",
            format!(
                "{} files, {} of {}; {} hits, {} misses",
                cache.artifacts,
                units::bytes(cache.disk_bytes),
                units::bytes(cache.disk_limit_bytes),
                cache.hits,
                cache.misses
            ),
        ),
        ("connections", status.connections.to_string()),
        ("socket", status.socket.clone()),
        ("home", status.home.clone()),
        ("config", config(status, file)),
    ]);
    table::fields(&fields)
}

/// Lists each provider with its permits, and why it is not asked now.
fn providers(status: &DaemonStatusResult) -> String {
    let now = Timestamp::now();
    let provider = |(name, provider): (&String, &ProviderSummary)| {
        let busy = format!("{name} {} of {}", provider.running, provider.max_concurrent);
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
