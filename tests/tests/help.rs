//! The help texts of `reel`: every command is in a group of `reel --help`, every line fits into 100 columns, and long lists of options have headings.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{Sandbox, terminal::Terminal, wait::eventually};

/// Widest line of a help text, in columns.
const COLUMNS: usize = 100;

/// The headings of the groups of commands in `reel --help`.
const GROUPS: [&str; 4] =
    ["Make things:", "Watch and manage tasks:", "Providers and settings:", "The daemon:"];

/// Returns the help text of a command. `path` is its name after `reel`, and empty for `reel` itself.
fn help(sandbox: &Sandbox, path: &[String]) -> String {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    sandbox.reel(&arguments).expect_code(0).stdout.clone()
}

/// Returns the lines below a heading, until the next empty line.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.trim().is_empty()).collect()
}

/// Returns the names that the lines of a section begin with. Lines that continue a text are indented further.
fn names(lines: &[&str]) -> Vec<String> {
    let begun = lines.iter().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    begun.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// Returns the paths of all commands and their subcommands.
fn all_commands(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let root = help(sandbox, &[]);
    let mut found: Vec<Vec<String>> = Vec::new();
    for group in GROUPS {
        found.extend(names(&section(&root, group)).into_iter().map(|name| vec![name]));
    }
    for parent in found.clone() {
        let text = help(sandbox, &parent);
        let children = names(&section(&text, "Commands:"));
        found.extend(children.into_iter().map(|child| [parent.as_slice(), &[child]].concat()));
    }
    found
}

#[test]
fn the_help_lists_every_command_in_one_group_with_a_sentence_that_fits_on_one_line() {
    let sandbox = Sandbox::new();
    let root = help(&sandbox, &[]);
    let mut listed = Vec::new();
    for group in GROUPS {
        let lines = section(&root, group);
        assert!(!lines.is_empty(), "{group} is missing or empty:\n{root}");
        assert_eq!(names(&lines).len(), lines.len(), "a sentence of {group} needs a second line:\n{root}");
        for line in lines {
            let sentence = line.trim().split_once(' ').unwrap().1.trim();
            assert!(sentence.starts_with(char::is_uppercase) && sentence.contains(' '), "{line}");
        }
        listed.extend(names(&section(&root, group)));
    }
    let mut once = listed.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), listed.len(), "a command is in two groups: {listed:?}");
    for expected in ["generate", "make", "ls", "providers", "daemon", "completions"] {
        assert!(listed.iter().any(|name| name == expected), "{expected} is not listed");
    }
    assert!(root.contains("Exit codes: 0 "), "{root}");
    assert!(!root.contains("Other commands:"), "{root}");
}

#[test]
fn every_help_fits_into_100_columns_and_shows_an_example() {
    let sandbox = Sandbox::new();
    for path in all_commands(&sandbox).into_iter().chain([Vec::new()]) {
        let text = help(&sandbox, &path);
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{path:?}: this line is too wide: {line}");
        }
        let examples = text.split_once("Example").unwrap_or_else(|| panic!("{path:?} has no example")).1;
        assert!(examples.contains("reel "), "{path:?}");
        // A command that was wrapped could not be copied.
        for line in section(&text, "Examples:") {
            let is_continued = line.starts_with("      ");
            assert!(line.starts_with("  reel ") || is_continued, "{path:?}: a wrapped example: {line}");
        }
    }
}

#[test]
fn a_command_with_more_than_eight_options_has_them_under_headings() {
    let sandbox = Sandbox::new();
    let mut grouped = 0;
    for path in all_commands(&sandbox) {
        let text = help(&sandbox, &path);
        let own = text.split_once("Options of every command:").unwrap().0;
        let options = own.lines().filter(|line| line.trim_start().starts_with('-')).count();
        if options > 8 {
            grouped += 1;
            assert!(!own.contains("\nOptions:\n"), "{path:?}: options without a heading:\n{text}");
        }
    }
    assert!(grouped >= 8, "only {grouped} commands have many options");
}

#[test]
fn commands_that_scripts_react_to_explain_their_exit_codes() {
    let sandbox = Sandbox::new();
    for command in ["generate", "make", "batch", "wait", "call", "fetch", "status", "rm"] {
        let text = help(&sandbox, &[command.to_owned()]);
        assert!(text.contains("Exit codes: 0 "), "{command}:\n{text}");
    }
}

#[test]
fn a_narrow_terminal_gets_narrow_help() {
    let sandbox = Sandbox::new();
    let terminal = Terminal::of_size(24, 60);
    let mut command = sandbox.reel_command(&["generate", "--help"]);
    command.stdin(terminal.program_side()).stdout(terminal.program_side()).stderr(terminal.program_side());
    assert!(command.status().unwrap().success());
    let shown = eventually("the help is shown", || {
        let shown = terminal.shown();
        shown.contains("--no-start").then_some(shown)
    });
    // Examples are not wrapped in the middle of a word, and all else fits.
    assert!(shown.lines().filter(|line| line.trim_start().starts_with('-')).count() > 20, "{shown}");
    for line in shown.lines() {
        assert!(line.trim_end().chars().count() <= 60, "{line}");
    }
}
