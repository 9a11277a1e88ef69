//! `reel memory`: who holds how much, and giving it back.

use reel_protocol::methods::{Empty, MemoryStatus, MemoryStatusResult, MemoryTrim, MemoryTrimResult};

use crate::{
    commands::status::level,
    context::Context,
    exit::Exit,
    failure::Failure,
    table,
    units::{self, bytes},
};

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel memory trim")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Free what can be freed without touching a task.
    #[command(after_help = "Example: reel memory trim --json")]
    Trim,
}

/// Shows or trims.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    if args.action.is_some() {
        let trimmed = context.ask::<MemoryTrim>(&Empty {}).await?;
        context.output.document(&trimmed)?;
        context.output.data(&trim_layout(&trimmed))?;
    } else {
        let memory = context.ask::<MemoryStatus>(&Empty {}).await?;
        context.output.document(&memory)?;
        context.output.data(&status_layout(&memory))?;
    }
    Ok(Exit::Done)
}

fn status_layout(memory: &MemoryStatusResult) -> String {
    let holders: Vec<String> = memory
        .reservations
        .iter()
        .map(|held| format!("{} {} (most {})", held.holder, bytes(held.bytes), bytes(held.peak_bytes)))
        .collect();
    table::fields(&[
        ("level", level(memory.level).to_owned()),
        (
            "resident",
            format!(
                "{} of {}, most {}",
                bytes(memory.resident_bytes),
                bytes(memory.limit_bytes),
                bytes(memory.peak_resident_bytes)
            ),
        ),
        (
            "marks",
            format!(
                "low {}, high {}, critical {}",
                bytes(memory.low_bytes),
                bytes(memory.high_bytes),
                bytes(memory.critical_bytes)
            ),
        ),
        (
            "system",
            format!(
                "{} of {} available",
                bytes(memory.system_available_bytes),
                bytes(memory.system_total_bytes)
            ),
        ),
        ("reserved", bytes(memory.reserved_bytes)),
        ("holders", holders.join("\n")),
        ("refusals", memory.refusals.to_string()),
        ("reclaimers", memory.reclaimers.join(", ")),
    ])
}

fn trim_layout(trimmed: &MemoryTrimResult) -> String {
    let reclaimers: Vec<String> = trimmed
        .reclaimers
        .iter()
        .map(|reclaimer| format!("{} let go of {}", reclaimer.name, bytes(reclaimer.freed_bytes)))
        .collect();
    let time = units::span(std::time::Duration::from_millis(trimmed.elapsed_ms));
    table::fields(&[
        ("freed", format!("{} in {time}", bytes(trimmed.freed_bytes))),
        ("resident", format!("{}, before {}", bytes(trimmed.after_bytes), bytes(trimmed.before_bytes))),
        ("reclaimers", reclaimers.join("\n")),
    ])
}
