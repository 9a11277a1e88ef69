//! The command line: what is parsed before anything runs.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    animate, ask, batch, cache, change, completions, config, daemon, fetch, follow, generate, ls, make,
    memory, providers, show, speak, submit, translate, wait,
};

/// Pictures, voices and clips from one local queue: the command line of reel.
#[derive(Debug, Parser)]
#[command(
    name = "reel",
    version,
    disable_help_subcommand = true,
    after_help = "Example: reel generate \"a lighthouse at dusk\" -o lighthouse.png"
)]
pub struct Cli {
    /// Print one JSON document on stdout, and nothing else there.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// The daemon's socket [default: where the daemon itself listens].
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Fail where no daemon runs, rather than starting one.
    #[arg(long, global = true)]
    pub no_start: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make pictures from a prompt.
    Generate(generate::Args),
    /// Have a language model answer.
    Ask(ask::Args),
    /// Make a video that begins with a picture.
    Animate(animate::Args),
    /// Have a text translated.
    Translate(translate::Args),
    /// Have a text spoken.
    Speak(speak::Args),
    /// Make a film of a story; run again, it makes only what is missing or changed.
    Make(make::Args),
    /// Make a picture for each line of a file; run again, it makes only what is missing or changed.
    Batch(batch::Args),
    /// Hand in one task and print its id.
    Submit(submit::SubmitArgs),
    /// Hand in one task, wait for it and print its outputs.
    Call(submit::CallArgs),
    /// Wait until tasks are done.
    Wait(wait::Args),
    /// Watch tasks as they go on, until they are done.
    Follow(follow::Args),
    /// Give tasks up.
    #[command(after_help = "Example: reel cancel 17 18")]
    Cancel(change::Args),
    /// Queue failed or cancelled tasks again.
    #[command(after_help = "Example: reel retry 17")]
    Retry(change::Args),
    /// Make tasks that have not begun stand still.
    #[command(after_help = "Example: reel hold 17")]
    Hold(change::Args),
    /// Let held tasks go on.
    #[command(after_help = "Example: reel release 17")]
    Release(change::Args),
    /// Drop finished tasks from the history.
    #[command(after_help = "Example: reel rm 17")]
    Rm(change::RemoveArgs),
    /// Move a task forward or back in the queue.
    Priority(change::PriorityArgs),
    /// List tasks, newest first.
    Ls(ls::Args),
    /// Show everything about a task.
    Show(show::Args),
    /// Write a finished task's outputs to files.
    Fetch(fetch::Args),
    /// Show how the daemon is.
    #[command(after_help = "Example: reel status --json")]
    Status,
    /// Show who holds how much memory, watch it, or free what can be freed.
    Memory(memory::Args),
    /// Show, verify or clear the cache.
    Cache(cache::Args),
    /// List the providers, or check one.
    Providers(providers::Args),
    /// List the styles of pictures.
    #[command(after_help = "Example: reel styles")]
    Styles,
    /// Start no new task until `reel resume`.
    #[command(after_help = "Example: reel pause")]
    Pause,
    /// End `reel pause`.
    #[command(after_help = "Example: reel resume")]
    Resume,
    /// Start, stop or look after the daemon.
    Daemon(daemon::Args),
    /// Show, check or edit the configuration.
    Config(config::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
}
