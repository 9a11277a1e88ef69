//! `reel completions`: prints a completion script for a shell.

use clap_complete::Shell;

use crate::{exit::Exit, failure::Failure, help, output::Output};

/// The options of `reel completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel completions bash > ~/.local/share/bash-completion/completions/reel")]
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
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "reel", &mut script);
    if output.is_json {
        output.document(&Document { script: String::from_utf8_lossy(&script).into_owned() })?;
    } else {
        output.bytes(&script)?;
    }
    Ok(Exit::Done)
}
