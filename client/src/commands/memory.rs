//! `reel memory`: who holds how much, and giving it back.

use reel_client::Follow;
use reel_protocol::{
    Timestamp,
    methods::{
        Empty, MemoryStatus, MemoryStatusResult, MemoryTrim, MemoryTrimResult, SubscribeParams, Topic,
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

/// What to do.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  reel memory trim\n  reel memory --watch\n\nWith --watch, --json prints one JSON object a line, as reel follow does."
)]
pub struct Args {
    /// Go on with a line for each change of the level and each trim, until Ctrl-C.
    #[arg(long)]
    watch: bool,
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
        context.output.data(&status_layout(&memory))?;
    }
    Ok(Exit::Done)
}

async fn watch(context: &Context) -> Result<Exit, Failure> {
    let session = context.session().await?;
    let mut interrupts = Interrupts::listen();
    let topics = SubscribeParams { topics: vec![Topic::Memory], ..SubscribeParams::default() };
    let mut follow = Follow::new(&session, topics);
    let ended = signals::look_until_interrupted(&mut interrupts, async {
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
