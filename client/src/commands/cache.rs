//! `reel cache`: shows, verifies and clears the cache.

use reel_protocol::methods::{
    CacheClear, CacheClearParams, CacheClearResult, CacheStats, CacheStatsResult, CacheVerify,
    CacheVerifyResult, Empty,
};

use crate::{context::Context, exit::Exit, failure::Failure, table, units::bytes};

/// The action; `stats` if none is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel cache stats")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show how large the cache is and how often it had a result.
    #[command(after_help = "Example: reel cache stats --json")]
    Stats,
    /// Read every stored file again and move damaged ones to another directory.
    #[command(after_help = "Example: reel cache verify")]
    Verify,
    /// Remove all entries, so that equal requests are made, and paid for, again. Files of tasks in the history are kept.
    #[command(after_help = "Example: reel cache clear --memory-only")]
    Clear {
        /// Remove only the copies in memory, and keep the files.
        #[arg(long)]
        memory_only: bool,
    },
}

/// Runs the action and prints its result.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    match args.action.unwrap_or(Action::Stats) {
        Action::Stats => {
            let stats = context.ask::<CacheStats>(&Empty {}).await?;
            context.output.document(&stats)?;
            context.output.data(&stats_layout(&stats))?;
            Ok(Exit::Done)
        }
        Action::Verify => {
            let found = context.ask::<CacheVerify>(&Empty {}).await?;
            context.output.document(&found)?;
            context.output.data(&verify_layout(&found))?;
            Ok(if found.corrupt + found.missing > 0 { Exit::WorkFailed } else { Exit::Done })
        }
        Action::Clear { memory_only } => {
            let cleared = context.ask::<CacheClear>(&CacheClearParams { memory_only }).await?;
            context.output.document(&cleared)?;
            context.output.data(&clear_layout(&cleared, memory_only))?;
            Ok(Exit::Done)
        }
    }
}

fn stats_layout(stats: &CacheStatsResult) -> String {
    table::fields(&[
        ("hits", stats.hits.to_string()),
        ("misses", stats.misses.to_string()),
        ("coalesced", stats.coalesced.to_string()),
        ("damaged", stats.corrupt.to_string()),
        ("entries", stats.entries.to_string()),
        (
            "files",
            format!("{}, {} of {}", stats.artifacts, bytes(stats.disk_bytes), bytes(stats.disk_limit_bytes)),
        ),
        ("memory", format!("{} of {}", bytes(stats.memory_bytes), bytes(stats.memory_limit_bytes))),
        ("evictions", stats.evictions.to_string()),
    ])
}

fn verify_layout(found: &CacheVerifyResult) -> String {
    table::fields(&[
        ("checked", format!("{} files, {}", found.checked, bytes(found.checked_bytes))),
        ("damaged", found.corrupt.to_string()),
        ("missing", found.missing.to_string()),
        ("unknown", format!("{} removed", found.strays)),
    ])
}

fn clear_layout(cleared: &CacheClearResult, is_memory_only: bool) -> String {
    let from_now_on = if is_memory_only { "" } else { "equal requests are made, and paid for, again" };
    table::fields(&[
        ("freed", bytes(cleared.freed_bytes)),
        ("entries", format!("{} removed", cleared.entries)),
        ("files", format!("{} removed, {} kept for tasks in the history", cleared.artifacts, cleared.pinned)),
        ("from now on", from_now_on.to_owned()),
    ])
}
