//! Defines the command line of `reel` for clap: the global options and the list of commands.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::commands::{
    animate, ask, batch, cache, change, completions, config, daemon, fetch, follow, generate, ls, make,
    memory, providers, show, speak, submit, translate, wait,
};

/// The heading of the options that every command has.
pub const EVERYWHERE: &str = "Options of every command";

/// Make pictures, speech, texts and videos through one queue on this computer.
#[derive(Debug, Parser)]
#[command(
    name = "reel",
    version,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true
)]
pub struct Cli {
    /// Print one JSON document on stdout, and nothing else there.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// Print only results and errors.
    #[arg(short, long, global = true, help_heading = EVERYWHERE)]
    pub quiet: bool,
    /// The daemon's socket [default: the one that the daemon listens on].
    #[arg(long, global = true, value_name = "PATH", help_heading = EVERYWHERE)]
    pub socket: Option<PathBuf>,
    /// Fail if no daemon runs, instead of starting one.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub no_start: bool,
    /// Print this help.
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = EVERYWHERE)]
    help: Option<bool>,
    /// Print the version of reel.
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `reel`. The doc comment of each is its help text.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make pictures from a prompt, which says what they show.
    Generate(generate::Args),
    /// Ask a language model and print its answer.
    Ask(ask::Args),
    /// Make a short video that starts with a picture.
    Animate(animate::Args),
    /// Translate a text with a language model.
    Translate(translate::Args),
    /// Speak a text and write the speech to a sound file.
    Speak(speak::Args),
    /// Make a narrated film of a story; run it again to continue or to change it.
    Make(make::Args),
    /// Make a picture, speech, text or video for each line of a file.
    Batch(batch::Args),
    /// Submit a task of any kind and print its id without waiting.
    Submit(submit::SubmitArgs),
    /// Submit a task of any kind, wait for it and print the paths of its results.
    Call(submit::CallArgs),
    /// Wait until tasks are done and print how each ended.
    Wait(wait::Args),
    /// Print what happens to tasks until they are done.
    Follow(follow::Args),
    /// Cancel tasks that are not done.
    #[command(after_help = "Example: reel cancel 17 18")]
    Cancel(change::Args),
    /// Queue failed or cancelled tasks again.
    #[command(after_help = "Example: reel retry 17")]
    Retry(change::Args),
    /// Hold queued tasks, so that they do not start until they are released.
    #[command(after_help = "Example: reel hold 17")]
    Hold(change::Args),
    /// Let held tasks continue.
    #[command(after_help = "Example: reel release 17")]
    Release(change::Args),
    /// Remove finished tasks from the history.
    Rm(change::RemoveArgs),
    /// Change the priority of a task, so that it starts earlier or later.
    Priority(change::PriorityArgs),
    /// List the tasks, newest first.
    Ls(ls::Args),
    /// Show everything about one task.
    Show(show::Args),
    /// Write the results of a finished task to files.
    Fetch(fetch::Args),
    /// Show whether the daemon runs and what it does.
    #[command(after_help = "Examples:\n  reel status\n  reel status --json")]
    Status,
    /// Show who uses how much memory, watch it, or free some.
    Memory(memory::Args),
    /// Show, verify or clear the cache, which keeps results for equal requests.
    Cache(cache::Args),
    /// List, check, add or remove providers.
    Providers(providers::Args),
    /// List the styles that pictures can have.
    #[command(after_help = "Examples:\n  reel styles\n  reel generate \"a lighthouse\" --style watercolor")]
    Styles,
    /// Start no new task until `reel resume`.
    #[command(after_help = "Example: reel pause")]
    Pause,
    /// Start tasks again after `reel pause`.
    #[command(after_help = "Example: reel resume")]
    Resume,
    /// Start, stop, install or inspect the daemon.
    Daemon(daemon::Args),
    /// Show, check or edit the configuration file.
    Config(config::Args),
    /// Print a script that completes the commands of reel in a shell.
    Completions(completions::Args),
}
