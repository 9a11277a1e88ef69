//! `reel memory`: shows who uses how much memory, and frees memory.

use reel_client::Follow;
use reel_protocol::{
    Timestamp,
    methods::{
        Empty, LastTrim, LimitSource, MemoryLimit, MemoryStatus, MemoryStatusResult, MemoryTrim,
        MemoryTrimResult, PressureCause, SubscribeParams, Topic, TrimReason,
    },
};

use crate::{
    commands::status::level,
    context::Context,
    event_line::EventLine,
    exit::Exit,
    failure::Failure,
    signals::{self, Interrupts},
    table,
    units::{self, bytes},
};

/// The action; without one, the memory status is shown.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  reel memory trim\n  reel memory --watch\n\nWith --watch, --json prints one JSON object a line, as reel follow does."
)]
pub struct Args {
    /// Print a line for each change of the level and each trim, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Free memory without affecting tasks.
    #[command(after_help = "Example: reel memory trim --json")]
    Trim,
}

/// Shows the memory status, watches it, or trims it.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    if args.watch {
        return watch(context).await;
    }
    if args.action.is_some() {
        let trimmed = context.ask::<MemoryTrim>(&Empty {}).await?;
        context.output.document(&trimmed)?;
        context.output.data(&trim_layout(&trimmed))?;
    } else {
        let memory = context.ask::<MemoryStatus>(&Empty {}).await?;
        context.output.document(&memory)?;
        context.output.data(&status_layout(&memory, Timestamp::now()))?;
    }
    Ok(Exit::Done)
}

async fn watch(context: &Context) -> Result<Exit, Failure> {
    let session = context.session().await?;
    let mut interrupts = Interrupts::listen();
    let topics = SubscribeParams { topics: vec![Topic::Memory], ..SubscribeParams::default() };
    let mut follow = Follow::new(&session, topics);
    let ended = signals::run_until_interrupted(&mut interrupts, async {
        loop {
            let line = EventLine::new(follow.next().await?, Timestamp::now());
            context.output.document(&line)?;
            match line.note() {
                Some(note) if !context.output.is_json => context.output.note(&note),
                Some(_) => {}
                None => context.output.line(&line.text(""))?,
            }
        }
    });
    let ended = ended.await;
    context.note_version(&session.client());
    ended
}

fn status_layout(memory: &MemoryStatusResult, now: Timestamp) -> String {
    let holders: Vec<String> = memory
        .reservations
        .iter()
        .filter(|held| held.peak_bytes > 0)
        .map(|held| {
            let (now, most) = (bytes(held.bytes), bytes(held.peak_bytes));
            format!("{:<24} {now:>6} now, {most:>6} at most", holder(&held.holder))
        })
        .collect();
    let mut fields = vec![
        ("level", level(memory.level).to_owned() + &cause(memory) + &since(memory.level_since, now)),
        (
            "used",
            format!("{} now, {} at most", bytes(memory.resident_bytes), bytes(memory.peak_resident_bytes)),
        ),
        ("limit", bytes(memory.limit_bytes) + &memory.limit.as_ref().map_or(String::new(), source)),
        (
            "levels",
            format!(
                "high from {} on until below {}, critical from {} on",
                bytes(memory.high_bytes),
                bytes(memory.low_bytes),
                bytes(memory.critical_bytes)
            ),
        ),
    ];
    if memory.children_bytes > 0 {
        fields.push((
            "programs",
            format!("{} in programs that the daemon started", bytes(memory.children_bytes)),
        ));
    }
    if let Some(group) = &memory.group {
        let of = format!("{} of {}", bytes(group.used_bytes), bytes(group.limit_bytes));
        fields.push(("cgroup", format!("{of} used in {}", group.path)));
    }
    fields.extend([
        (
            "computer",
            format!(
                "{} of {} available",
                bytes(memory.system_available_bytes),
                bytes(memory.system_total_bytes)
            ),
        ),
        ("reserved", format!("{} for what is listed here", bytes(memory.reserved_bytes))),
        ("", holders.join("\n")),
        ("refused", refused(memory.refusals)),
        ("can free", memory.reclaimers.iter().map(|name| holder(name)).collect::<Vec<_>>().join(", ")),
    ]);
    if let Some(last) = &memory.last_trim {
        fields.push(("last freed", last_trim(last, now)));
    }
    table::fields(&fields)
}

fn since(level_since: Option<Timestamp>, now: Timestamp) -> String {
    level_since.map_or(String::new(), |since| format!(", since {}", ago(since, now)))
}

/// Describes in words of a user what holds memory, or can free it.
fn holder(name: &str) -> &str {
    match name {
        "cache" => "copies of results",
        "drawing" => "panels being drawn",
        "request" => "requests and their texts",
        "response" => "answers to programs",
        "body" => "data from providers",
        "decode" => "pictures being checked",
        "command" => "programs of providers",
        "event" => "news for followers",
        "subscription" => "followers",
        "heap" => "unused pages",
        name => name,
    }
}

fn refused(refusals: u64) -> String {
    match refusals {
        0 => "nothing, because there was room".to_owned(),
        1 => "1 time, because there was no room".to_owned(),
        refusals => format!("{refusals} times, because there was no room"),
    }
}

/// Describes when the last trim was, how much it freed, why, and by which reclaimers.
fn last_trim(last: &LastTrim, now: Timestamp) -> String {
    let reason = match last.reason {
        TrimReason::Asked => ", asked for",
        TrimReason::Pressure => ", under pressure",
        TrimReason::Unknown => "",
    };
    let gave = last.reclaimers.iter().filter(|reclaimer| reclaimer.freed_bytes > 0);
    let by: Vec<String> = gave
        .map(|reclaimer| format!("{} of {}", bytes(reclaimer.freed_bytes), holder(&reclaimer.name)))
        .collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    format!("{}, freed {}{reason}{by}", ago(last.at, now), bytes(last.freed_bytes))
}

/// Formats how long ago `at` was. If the clock was set back since, this is zero.
fn ago(at: Timestamp, now: Timestamp) -> String {
    let ms = now.unix_ms().saturating_sub(at.unix_ms());
    format!("{} ago", units::age(std::time::Duration::from_millis(ms)))
}

/// Describes the cause of memory pressure. Empty if there is none.
fn cause(memory: &MemoryStatusResult) -> String {
    match (memory.cause, &memory.group) {
        (Some(PressureCause::Cgroup), Some(group)) => {
            let others_bytes = group.used_bytes.saturating_sub(memory.resident_bytes);
            format!(": the control group is nearly full, {} of it not the daemon's own", bytes(others_bytes))
        }
        (Some(PressureCause::System), _) => ": the system has too little left".to_owned(),
        _ => String::new(),
    }
}

/// Describes where the memory limit comes from.
fn source(limit: &MemoryLimit) -> String {
    match (limit.source, &limit.detail) {
        (LimitSource::Configured, _) => " (memory.limit_mb)".to_owned(),
        (LimitSource::Cgroup, Some(path)) => format!(" (cgroup {path})"),
        (LimitSource::Cgroup, None) => " (cgroup)".to_owned(),
        (LimitSource::System, _) => " (all that the system has)".to_owned(),
        (LimitSource::Unknown, _) => String::new(),
    }
}

fn trim_layout(trimmed: &MemoryTrimResult) -> String {
    let reclaimers: Vec<String> = trimmed
        .reclaimers
        .iter()
        .map(|reclaimer| format!("{} of {}", bytes(reclaimer.freed_bytes), holder(&reclaimer.name)))
        .collect();
    let time = units::span(std::time::Duration::from_millis(trimmed.elapsed_ms));
    table::fields(&[
        ("freed", format!("{} in {time}", bytes(trimmed.freed_bytes))),
        ("", reclaimers.join("\n")),
        ("used", format!("{} now, {} before", bytes(trimmed.after_bytes), bytes(trimmed.before_bytes))),
    ])
}

#[cfg(test)]
mod tests {
    use reel_protocol::methods::ReclaimerInfo;
    use serde_json::json;

    use super::*;

    fn status(changes: &serde_json::Value) -> MemoryStatusResult {
        let mut status = json!({
            "level": "normal", "limit_bytes": 1_610_612_736_u64, "high_bytes": 0, "low_bytes": 0, "critical_bytes": 0,
            "resident_bytes": 20 << 20, "peak_resident_bytes": 0, "system_available_bytes": 0, "system_total_bytes": 0,
            "reserved_bytes": 0, "reservations": [], "refusals": 0, "reclaimers": [],
        });
        status.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn the_smallest_limit_is_named_and_so_is_what_presses() {
        let group = json!({ "path": "/user.slice", "limit_bytes": 1 << 30, "used_bytes": 520 << 20 });
        let limit = |source: &str, detail: Option<&str>| json!({ "limit": { "bytes": 1_610_612_736_u64, "source": source, "detail": detail } });
        for (changes, expected) in [
            (json!({}), "1.5 GB\n"),
            (limit("configured", None), "1.5 GB (memory.limit_mb)\n"),
            (limit("cgroup", Some("/user.slice")), "1.5 GB (cgroup /user.slice)\n"),
            (limit("system", None), "1.5 GB (all that the system has)\n"),
            (limit("of a newer daemon", None), "1.5 GB\n"),
            (json!({ "group": group }), "520 MB of 1.0 GB used in /user.slice\n"),
            (
                json!({ "group": group, "level": "critical", "cause": "cgroup" }),
                "critical: the control group is nearly full, 500 MB of it not the daemon's own\n",
            ),
            (json!({ "level": "critical", "cause": "system" }), "critical: the system has too little left\n"),
        ] {
            let text = status_layout(&status(&changes), Timestamp::from_unix_ms(0)) + "\n";
            assert!(text.contains(expected), "{changes}: {text}");
        }
    }

    #[test]
    fn what_was_done_last_is_told_in_one_line() {
        let reclaimer = |name: &str, freed_bytes| ReclaimerInfo { name: name.to_owned(), freed_bytes };
        let last = LastTrim {
            at: Timestamp::from_unix_ms(10_000),
            reason: TrimReason::Pressure,
            freed_bytes: 48 << 20,
            reclaimers: vec![
                reclaimer("drawing", 0),
                reclaimer("cache", 40 << 20),
                reclaimer("heap", 8 << 20),
            ],
        };
        let text = last_trim(&last, Timestamp::from_unix_ms(190_000));
        assert_eq!(
            text,
            "3 min ago, freed 48 MB, under pressure (40 MB of copies of results, 8.0 MB of unused pages)"
        );
        let none = LastTrim { reason: TrimReason::Asked, freed_bytes: 0, reclaimers: vec![], ..last };
        assert_eq!(last_trim(&none, Timestamp::from_unix_ms(0)), "0 s ago, freed 0 B, asked for");
    }
}
