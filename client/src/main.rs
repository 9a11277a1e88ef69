//! `reel`: parses the command line, runs one command and prints how it ended.

mod answer;
mod batch;
mod cli;
mod commands;
mod complete;
mod config_file;
mod context;
mod convert;
mod creatable;
mod deliver;
mod dry_run;
mod event_line;
mod exit;
mod failure;
mod given;
mod help;
mod inputs;
mod kanji;
mod naming;
mod output;
mod picture_format;
mod progress;
mod save;
mod signals;
mod slug;
mod sound;
mod steps;
mod streamed_text;
mod table;
mod tasks;
mod unfinished;
mod units;
mod waiting;
mod why;

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{
    FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    cli::{Cli, Command},
    commands as verb,
    context::Context,
    exit::Exit,
    failure::Failure,
    output::Output,
};

fn main() -> ExitCode {
    complete::answer_shell();
    let parsed =
        help::command().try_get_matches_from(arguments()).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(refusal) => return answer_refusal(&refusal).into(),
    };
    let output = Output { is_json: cli.json, is_quiet: cli.quiet };
    run(cli, output)
        .unwrap_or_else(|failure| {
            output.failure(&failure);
            failure.exit
        })
        .into()
}

/// Returns the arguments. `reel help make` becomes `reel make --help`.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    // Completions need neither a runtime nor a daemon. They are generated in the start-up of every shell, so they must be fast.
    if let Command::Completions(args) = &cli.command {
        return verb::completions::run(output, args);
    }
    let context = Context::new(output, cli.socket.as_deref(), !cli.no_start)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
    let ended = runtime.block_on(dispatch(&context, cli.command));
    if matches!(&ended, Err(failure) if failure.exit == Exit::Interrupted) {
        // Otherwise the end of the runtime would wait for threads that write results.
        unfinished::abandon();
        runtime.shutdown_background();
    }
    ended
}

/// Whether the command uses the configured providers, so that an error in the configuration file concerns it.
const fn uses_providers(command: &Command) -> bool {
    matches!(
        command,
        Command::Generate(_)
            | Command::Ask(_)
            | Command::Animate(_)
            | Command::Translate(_)
            | Command::Speak(_)
            | Command::Batch(_)
            | Command::Submit(_)
            | Command::Call(_)
            | Command::Make(_)
            | Command::Providers(_)
    )
}

async fn dispatch(context: &Context, command: Command) -> Result<Exit, Failure> {
    if uses_providers(&command) {
        verb::config::warn_of_error(context).await;
    }
    match command {
        Command::Generate(args) => verb::generate::run(context, args).await,
        Command::Ask(args) => verb::ask::run(context, args).await,
        Command::Animate(args) => verb::animate::run(context, args).await,
        Command::Translate(args) => verb::translate::run(context, args).await,
        Command::Speak(args) => verb::speak::run(context, args).await,
        Command::Batch(args) => verb::batch::run(context, args).await,
        Command::Submit(args) => verb::submit::submit(context, args).await,
        Command::Call(args) => verb::submit::call(context, args).await,
        Command::Wait(args) => verb::wait::run(context, args).await,
        Command::Follow(args) => verb::follow::run(context, args).await,
        Command::Cancel(args) => verb::change::cancel(context, args).await,
        Command::Retry(args) => verb::change::retry(context, args).await,
        Command::Hold(args) => verb::change::hold(context, args).await,
        Command::Release(args) => verb::change::release(context, args).await,
        Command::Rm(args) => verb::change::remove(context, args).await,
        Command::Priority(args) => verb::change::priority(context, args).await,
        Command::Ls(args) => verb::ls::run(context, args).await,
        Command::Show(args) => verb::show::run(context, args).await,
        Command::Fetch(args) => verb::fetch::run(context, args).await,
        Command::Status => verb::status::run(context).await,
        Command::Memory(args) => verb::memory::run(context, args).await,
        Command::Cache(args) => verb::cache::run(context, args).await,
        Command::Providers(args) => verb::providers::run(context, args).await,
        Command::Styles => verb::styles::run(context).await,
        Command::Pause => verb::queue::pause(context).await,
        Command::Resume => verb::queue::resume(context).await,
        Command::Daemon(args) => verb::daemon::run(context, args).await,
        Command::Config(args) => verb::config::run(context, &args).await,
        Command::Completions(args) => verb::completions::run(context.output, &args),
        Command::Make(args) => verb::make::run(context, args).await,
    }
}

/// Returns the hint for a prompt without quotation marks, whose second word clap takes for an unexpected argument.
fn quotes_hint(refusal: &clap::Error, arguments: &[String]) -> Option<String> {
    const WITH_PROMPT: [&str; 5] = ["generate", "ask", "animate", "speak", "translate"];
    let unexpected = match (refusal.kind(), refusal.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) if !word.starts_with('-') => word,
        _ => return None,
    };
    let command = arguments.iter().find(|argument| WITH_PROMPT.contains(&argument.as_str()))?;
    let at = arguments.iter().rposition(|argument| argument == unexpected)?;
    let first = at.checked_sub(1)?;
    // The words up to the next option are the prompt. What comes before and after stays as it was typed.
    let words = arguments.iter().skip(first).take_while(|argument| !argument.starts_with('-')).count();
    let word = |argument: &String| table::word(Path::new(argument));
    let before = arguments.iter().skip(1).take(first.saturating_sub(1)).map(word);
    let prompt: Vec<&str> = arguments.iter().skip(first).take(words).map(String::as_str).collect();
    let after = arguments.iter().skip(first + words).map(word);
    let prompt = std::iter::once(table::word(Path::new(&prompt.join(" "))));
    let line: Vec<_> = before.chain(prompt).chain(after).collect();
    let what = if command == "speak" || command == "translate" { "text" } else { "prompt" };
    Some(format!("hint: put the {what} into quotes: reel {}", line.join(" ")))
}

/// Prints what clap returned instead of a command line. Help and version go to stdout and succeed. Everything else is a usage error.
fn answer_refusal(refusal: &clap::Error) -> Exit {
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    let output = Output { is_json, is_quiet: false };
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut text = refusal.render().to_string();
    if let Some(hint) = quotes_hint(refusal, &arguments) {
        text = format!("{}\n\n{hint}", text.trim_end());
    }
    if matches!(refusal.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return output.bytes(text.as_bytes()).map_or_else(|failure| failure.exit, |()| Exit::Done);
    }
    // The text of clap begins with `error: `, or is the whole help.
    output.warn(text.trim_end());
    let message = text.trim_end();
    let failure = Failure::usage(message.strip_prefix("error: ").unwrap_or(message)).said();
    output.failure(&failure);
    failure.exit
}
