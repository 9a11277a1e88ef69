//! Defines the command line of `reel` for clap: the global options and the list of commands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::commands::{
    animate, ask, batch, cache, change, completions, config, daemon, fetch, follow, generate, ls, make,
    memory, providers, show, speak, submit, translate, wait,
};

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Make pictures, speech and videos through one local queue.
#[derive(Debug, Parser)]
#[command(
    name = "reel",
    version,
    disable_help_subcommand = true,
    after_help = "Example: reel generate \"a lighthouse at dusk\" -o lighthouse.png"
)]
pub struct Cli {
    /// Print one JSON document on stdout, and nothing else there.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// Print only results and errors.
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub quiet: bool,
    /// The daemon's socket [default: where the daemon itself listens].
    #[arg(long, global = true, value_name = "PATH", help_heading = EVERYWHERE)]
    pub socket: Option<PathBuf>,
    /// Fail if no daemon runs, instead of starting one.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub no_start: bool,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `reel`. The doc comment of each is its help text.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make pictures from a prompt.
    Generate(generate::Args),
    /// Ask a language model.
    Ask(ask::Args),
    /// Make a video that starts with a picture.
    Animate(animate::Args),
    /// Translate a text.
    Translate(translate::Args),
    /// Speak a text.
    Speak(speak::Args),
    /// Make a film of a story; a later run makes only what is missing or changed.
    Make(make::Args),
    /// Make a picture for each line of a file; a later run makes only what is missing or changed.
    Batch(batch::Args),
    /// Submit a task and print its id.
    Submit(submit::SubmitArgs),
    /// Submit a task, wait for it and print its outputs.
    Call(submit::CallArgs),
    /// Wait until tasks are done.
    Wait(wait::Args),
    /// Print what happens to tasks until they are done.
    Follow(follow::Args),
    /// Cancel tasks.
    #[command(after_help = "Example: reel cancel 17 18")]
    Cancel(change::Args),
    /// Queue failed or cancelled tasks again.
    #[command(after_help = "Example: reel retry 17")]
    Retry(change::Args),
    /// Hold queued tasks, so that they do not start.
    #[command(after_help = "Example: reel hold 17")]
    Hold(change::Args),
    /// Let held tasks continue.
    #[command(after_help = "Example: reel release 17")]
    Release(change::Args),
    /// Remove finished tasks from the history.
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
    /// Show the state of the daemon.
    #[command(after_help = "Example: reel status --json")]
    Status,
    /// Show who uses how much memory, watch it, or free some.
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
    /// Start, stop or inspect the daemon.
    Daemon(daemon::Args),
    /// Show, check or edit the configuration.
    Config(config::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
}
