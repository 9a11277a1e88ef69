//! Arranges the help texts: the commands of `reel --help` in groups, the options of long commands under headings, and the exit codes below the
//! examples.

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;

/// Widest line of a help text, in columns. A narrower terminal gets narrower lines.
const COLUMNS: usize = 100;

/// A command with more options than this has them under headings.
const MOST_WITHOUT_HEADINGS: usize = 8;

/// The explanation of the words that the other help texts use.
const WORDS: &str = "\
A provider is an AI service or a program on this computer that makes things. Each request is a task.
The daemon (reeld) queues the tasks, sends them to providers and keeps the results. It starts when
a command needs it.";

/// The groups of commands, with their headings.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Make things", &["generate", "animate", "speak", "make", "batch", "ask", "translate", "submit", "call"]),
    (
        "Watch and manage tasks",
        &[
            "ls", "show", "follow", "wait", "fetch", "cancel", "retry", "hold", "release", "priority", "rm",
            "pause", "resume",
        ],
    ),
    ("Providers and settings", &["providers", "styles", "config", "completions"]),
    ("The daemon", &["status", "daemon", "memory", "cache"]),
];

/// A heading and the options below it.
type Headed = (&'static str, &'static [&'static str]);

/// The headings of options, with the options below them. They apply to every command with many options that is not in [`OWN_HEADINGS`].
const HEADINGS: [Headed; 5] = [
    (
        "What to make",
        &[
            "n",
            "size",
            "style",
            "negative",
            "seed",
            "steps",
            "guidance",
            "image",
            "mask",
            "strength",
            "seconds",
            "voice",
            "language",
            "speed",
            "to",
            "from",
            "system",
            "schema",
            "temperature",
            "max_tokens",
            "params",
            "name",
            "metadata",
            "column",
            "literal",
        ],
    ),
    ("Where it is written", &["output", "force"]),
    ("Who makes it, and what it costs", &["provider", "model", "dry_run", "max_attempts"]),
    ("Whether it is made again", &["fresh", "no_cache", "cache", "request_id"]),
    ("When it starts, and how long to wait", &["priority", "after", "deadline", "detach", "wait", "timeout"]),
];

/// The headings of commands whose options mean something else.
const OWN_HEADINGS: [(&str, &[Headed]); 2] = [
    (
        "make",
        &[
            (
                "The film",
                &[
                    "output",
                    "size",
                    "style",
                    "voice",
                    "speaker",
                    "language",
                    "music",
                    "subtitles",
                    "title",
                    "end_card",
                    "chapter_titles",
                    "transition",
                ],
            ),
            ("The storyboard", &["split", "theme", "shots", "resplit", "english_prompts"]),
            ("Shots to choose or make again", &["clips", "takes", "take", "only", "redo"]),
            ("How far the run goes, and what it costs", &["until", "review", "dry_run", "budget"]),
            ("Missing shots and existing files", &["allow_missing", "force"]),
        ],
    ),
    (
        "providers add",
        &[
            ("The service or program", &["preset", "kind", "definition", "base_url"]),
            ("Its key", &["key_env", "key_file", "key_credential", "key_stdin"]),
            ("What it is used for", &["model", "services", "voice", "rank", "billing", "force"]),
        ],
    ),
];

/// Exit codes of commands that wait for one task and write its result.
const OF_ONE_RESULT: &str = "Exit codes: 0 if the result was made, 1 if the task failed, was cancelled or is held, \
                             73 if the file cannot be written, 124 if the --timeout passed and \
                             130 after Ctrl-C. After 124 and 130 the task continues.";

/// Exit codes of commands that change several tasks.
const OF_CHANGES: &str = "Exit codes: 0 if every task was changed, 66 if a task does not exist, and 1 or a more specific \
                          code if a task cannot be changed. The other tasks are changed anyway.";

/// The exit codes of the commands after which a script has to decide something.
const EXIT_CODES: [(&[&str], &str); 9] = [
    (&["generate", "animate", "speak", "ask", "translate", "call"], OF_ONE_RESULT),
    (&["cancel", "retry", "hold", "release"], OF_CHANGES),
    (
        &["rm"],
        "Exit codes: 0 if every task was removed, 66 if a task does not exist, 130 if the question was not answered \
         with yes, and 1 or a more specific code if a task cannot be removed. The other tasks are removed anyway.",
    ),
    (
        &["make"],
        "Exit codes: 0 if everything was made that the options ask for, 1 if a shot or the film failed, 77 if the \
         budget is too small, 78 if ffmpeg or a provider is missing, and 130 after Ctrl-C. The next run continues \
         where this one ended.",
    ),
    (
        &["batch"],
        "Exit codes: 0 if every line has its result, 1 if a line failed or is held, 65 if a line is wrong (then \
         nothing is made), and 130 after Ctrl-C. The next run makes only what is missing.",
    ),
    (
        &["wait"],
        "Exit codes: 0 if the tasks succeeded, 1 if one failed, was cancelled or is held, 66 if one does not exist, \
         and 124 if the --timeout passed. The tasks continue after 124.",
    ),
    (
        &["follow"],
        "Exit codes: 0 if the tasks succeeded, 1 if one failed, was cancelled or is held, and 130 after Ctrl-C.",
    ),
    (
        &["fetch"],
        "Exit codes: 0 if the files were written, 1 if the task failed, 66 if it does not exist, 73 if a file exists \
         or cannot be created, and 75 if the task is not done yet.",
    ),
    (&["status", "daemon status"], "Exit codes: 0 if the daemon runs, 69 if it does not."),
];

/// The exit codes that every command may end with.
const ALL_EXIT_CODES: &str = "\
Exit codes: 0 success · 1 a task failed, was cancelled or is held · 64 wrong command line ·
  65 wrong content of an input · 66 an input, task or batch does not exist · 69 no daemon runs ·
  70 internal error · 73 the output exists or cannot be created · 74 reading or writing failed ·
  75 refused for now, try again later · 76 reel and the daemon do not fit together ·
  77 no permission, a refused key or a budget that is used up · 78 wrong configuration ·
  124 the timeout passed and the tasks continue · 130 Ctrl-C";

/// Returns the command line of `reel` with its arranged help texts.
pub fn command() -> Command {
    let mut command = Cli::command().max_term_width(COLUMNS);
    for name in names(&command) {
        command = command.mut_subcommand(&name, |subcommand| arranged(subcommand, &name));
    }
    let template = template(&command);
    command.help_template(template)
}

fn names(command: &Command) -> Vec<String> {
    command.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect()
}

/// Adds the headings and the exit codes to a command and its subcommands. `path` is its name after `reel`, such as `providers add`.
fn arranged(mut command: Command, path: &str) -> Command {
    for name in names(&command) {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(&name, |subcommand| arranged(subcommand, &path));
    }
    // The help option is not among these yet, so it does not count.
    if command.get_opts().count() > MOST_WITHOUT_HEADINGS {
        command = command.mut_args(|argument| match heading(path, argument.get_id().as_str()) {
            Some(heading) if !argument.is_positional() => argument.help_heading(heading),
            _ => argument,
        });
    }
    match EXIT_CODES.iter().find(|(commands, _)| commands.contains(&path)) {
        Some((_, codes)) => {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            command.after_help(format!("{examples}\n\n{codes}"))
        }
        None => command,
    }
}

/// Returns the heading of an option.
fn heading(path: &str, option: &str) -> Option<&'static str> {
    let own = OWN_HEADINGS.iter().find(|(command, _)| *command == path).map(|(_, headings)| *headings);
    let headings = own.unwrap_or(&HEADINGS);
    headings.iter().find(|(_, options)| options.contains(&option)).map(|(heading, _)| *heading)
}

/// Returns the template of `reel --help`, which has the groups of commands.
fn template(command: &Command) -> String {
    let width = names(command).iter().map(String::len).max().unwrap_or(0);
    let line = |name: &str| {
        let about = command.find_subcommand(name).and_then(Command::get_about)?;
        Some(format!("  {name:width$}  {about}\n"))
    };
    let group = |heading: &str, members: &[&str]| {
        let lines: String = members.iter().filter_map(|name| line(name)).collect();
        format!("{heading}:\n{lines}\n")
    };
    let mut groups: String = GROUPS.iter().map(|(heading, members)| group(heading, members)).collect();
    let all = names(command);
    let is_grouped = |name: &str| GROUPS.iter().any(|(_, members)| members.contains(&name));
    let others: Vec<&str> = all.iter().map(String::as_str).filter(|name| !is_grouped(name)).collect();
    if !others.is_empty() {
        groups += &group("Other commands", &others);
    }
    format!(
        "{{about}}\n\n{WORDS}\n\nUsage: {{usage}}\n\n{groups}{heading}:\n{{options}}\n\n{EXAMPLES}\n\n{ALL_EXIT_CODES}\n",
        heading = crate::cli::EVERYWHERE
    )
}

/// The examples below the groups.
const EXAMPLES: &str = "\
Examples:
  reel generate \"a lighthouse at dusk\" -o lighthouse.png
  reel speak \"The lamp went out.\" -o line.wav
  reel make story.txt -o film.mp4
  reel generate --help          explains the options of a command";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_name_only_commands_and_options_that_exist() {
        let command = command();
        let names = names(&command);
        for name in GROUPS.iter().flat_map(|(_, members)| *members) {
            assert!(names.iter().any(|known| known == name), "no command {name}");
        }
        for (path, headings) in OWN_HEADINGS {
            let found =
                path.split(' ').try_fold(&command, |command, name| command.find_subcommand(name)).unwrap();
            for option in headings.iter().flat_map(|(_, options)| *options) {
                assert!(found.get_arguments().any(|known| known.get_id() == option), "no {option} in {path}");
            }
        }
        for path in EXIT_CODES.iter().flat_map(|(paths, _)| *paths) {
            let found = path.split(' ').try_fold(&command, |command, name| command.find_subcommand(name));
            assert!(found.is_some(), "no command {path}");
        }
        command.debug_assert();
    }
}
