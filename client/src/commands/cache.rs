//! `reel cache`: shows, verifies and clears the cache.

use reel_protocol::methods::{
    CacheClear, CacheClearParams, CacheClearResult, CacheStats, CacheStatsResult, CacheVerify,
    CacheVerifyResult, Empty,
};

use crate::{
    commands::status::answered, context::Context, exit::Exit, failure::Failure, table, units::bytes,
};

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
        (
            "on disk",
            format!(
                "{} files, {} of at most {} (cache.disk_mb)",
                stats.artifacts,
                bytes(stats.disk_bytes),
                bytes(stats.disk_limit_bytes)
            ),
        ),
        (
            "in memory",
            format!(
                "copies of some, {} of at most {} (cache.memory_mb)",
                bytes(stats.memory_bytes),
                bytes(stats.memory_limit_bytes)
            ),
        ),
        ("requests", format!("{} can be answered without a provider", stats.entries)),
        ("used", answered(stats)),
        ("shared", format!("{} requests joined an equal one that was under way", stats.coalesced)),
        ("made room", format!("{} files were removed for newer ones", stats.evictions)),
        ("damaged", format!("{} files were found damaged or missing", stats.corrupt)),
    ])
}

fn verify_layout(found: &CacheVerifyResult) -> String {
    table::fields(&[
        ("checked", format!("{} files, {}", found.checked, bytes(found.checked_bytes))),
        ("damaged", format!("{} files", found.corrupt)),
        ("missing", format!("{} files", found.missing)),
        ("unknown", format!("{} files that belong to nothing were removed", found.strays)),
    ])
}

fn clear_layout(cleared: &CacheClearResult, is_memory_only: bool) -> String {
    let from_now_on = if is_memory_only { "" } else { "equal requests are made, and paid for, again" };
    table::fields(&[
        ("freed", bytes(cleared.freed_bytes)),
        ("requests", format!("{} are no longer answered from the cache", cleared.entries)),
        ("files", format!("{} removed, {} kept for tasks in the history", cleared.artifacts, cleared.pinned)),
        ("from now on", from_now_on.to_owned()),
    ])
}
