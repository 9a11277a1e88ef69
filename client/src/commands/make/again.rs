//! Returns the command line of this run, so that hints name commands that work when they are pasted, with `-o` and all other options.

use std::{ffi::OsString, path::Path};

use super::story_paths::is_stdin;
use crate::table;

/// Longest command that is repeated, in bytes. A theme can be a long text.
const MOST_BYTES: usize = 300;

/// Words in place of a command that cannot be repeated.
const SAME: &str = "the same command";

/// Returns this run's command, such as `reel make story.txt -o film.mp4`, or words for it if it reads stdin or is too long.
pub fn command() -> String {
    repeated(&arguments(), |_| true).unwrap_or_else(|| SAME.to_owned())
}

/// Returns the command that chooses a take, which this run's `--takes` made.
pub fn command_to_take(id: &str) -> String {
    let without = |option: &str| option != "--takes";
    repeated(&arguments(), without).map_or_else(
        || format!("{SAME} with --take {id}=K in place of --takes"),
        // What follows `--` is no option.
        |command| command.replacen(" make ", &format!(" make --take {id}=K "), 1),
    )
}

fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

/// Joins the arguments to a command for a shell, without the options that `is_kept` does not keep and their values. None if the command cannot be
/// repeated.
fn repeated(arguments: &[OsString], is_kept: impl Fn(&str) -> bool) -> Option<String> {
    let mut words = vec!["reel".to_owned()];
    let mut is_value_left_out = false;
    for argument in arguments {
        let text = argument.to_str()?;
        if std::mem::take(&mut is_value_left_out) {
            continue;
        }
        if is_stdin(Path::new(text)) {
            return None;
        }
        let (option, value) =
            text.split_once('=').map_or((text, None), |(option, value)| (option, Some(value)));
        if option.starts_with("--") && !is_kept(option) {
            is_value_left_out = value.is_none();
            continue;
        }
        words.push(table::word(Path::new(text)));
    }
    let command = words.join(" ");
    (command.len() <= MOST_BYTES).then_some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_repeated_for_a_shell_or_not_at_all() {
        let long = "x".repeat(MOST_BYTES);
        for (arguments, expected) in [
            (&["make", "a b.txt", "-o", "it's.mp4"][..], Some(r"reel make 'a b.txt' -o 'it'\''s.mp4'")),
            (&["make", "s.txt", "--takes", "a1=3", "--seed"], Some("reel make s.txt --seed")),
            (&["make", "--takes=a1=3", "s.txt"], Some("reel make s.txt")),
            (&["make", "--style", "", "--", "s.txt"], Some("reel make --style '' -- s.txt")),
            (&["make", "-", "-o", "f.mp4"], None),
            (&["make", &long], None),
        ] {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            let found = repeated(&arguments, |option| option != "--takes");
            assert_eq!(found.as_deref(), expected, "{arguments:?}");
        }
    }
}
