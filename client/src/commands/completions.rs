//! `reel completions`: prints a completion script for a shell.

use clap_complete::Shell;

use crate::{complete, exit::Exit, failure::Failure, output::Output};

const EXAMPLES: &str = "Examples:
  reel completions bash > ~/.local/share/bash-completion/completions/reel
  reel completions zsh > ~/.zfunc/_reel
  reel completions fish > ~/.config/fish/completions/reel.fish

For zsh, ~/.zshrc needs two lines: fpath+=~/.zfunc and autoload -Uz compinit && compinit
Open a new shell afterwards. Where a daemon runs, the script also completes ids of tasks, providers,
models, voices, styles and batches.";

/// The options of `reel completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell to print a script for.
    shell: Shell,
}

#[derive(serde::Serialize)]
struct Document {
    script: String,
}

/// Prints the script.
pub fn run(output: Output, args: &Args) -> Result<Exit, Failure> {
    let script =
        complete::script(args.shell).map_err(|error| Failure::io("cannot write the script", &error))?;
    if output.is_json {
        output.document(&Document { script: String::from_utf8_lossy(&script).into_owned() })?;
    } else {
        output.bytes(&script)?;
    }
    Ok(Exit::Done)
}
