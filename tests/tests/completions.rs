//! The completions of `reel` in real shells: ids, providers, voices, styles and models of a running daemon, and nothing without one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use reel_tests::{Sandbox, needs, process, process::binary};
use rustix::process::Signal;
use serde_json::json;

/// A provider with two models, and a speaker with voices of its own.
const CONFIG: &str = r#"
[providers.studio]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
model = "painter-2"
models = { voice = "speaker-1" }
services = ["image", "voice"]
voice = "alloy"
"#;

/// Returns a command of the sandbox that finds `reel` on its `PATH`.
fn shell(sandbox: &Sandbox, program: &str) -> Command {
    let mut command = sandbox.command(program);
    let directory = binary("reel").parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{directory}:{path}"));
    command
}

/// Asks bash for the completions of the last word of a command line. The script is the one that `reel completions bash` prints.
#[track_caller]
fn in_bash(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    let script = format!(
        "source <(reel completions bash)\nCOMP_WORDS=({})\nCOMP_CWORD={last}\nCOMP_TYPE=9\n\
         _clap_complete_reel reel {} '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        quoted[last],
        words[last - 1]
    );
    let mut command = shell(sandbox, "bash");
    let ran = process::run(command.args(["--norc", "--noprofile", "-c", &script]));
    ran.expect_code(0);
    ran.stdout.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
}

/// Returns a sandbox with a succeeded, a failed and an unfinished task, in this order.
fn studio() -> (Sandbox, [String; 3]) {
    let sandbox = Sandbox::started_with(CONFIG);
    let mut connection = sandbox.connect();
    let done = connection.submit("debug.noop", json!({}));
    connection.wait(done);
    let failed = connection.submit("debug.fail", json!({ "code": "provider_refused" }));
    connection.wait(failed);
    let running = connection.submit("debug.sleep", json!({ "ms": 600_000 }));
    (sandbox, [done, failed, running].map(|id| id.to_string()))
}

#[test]
fn bash_completes_ids_of_unfinished_tasks_first() {
    let (sandbox, [done, failed, running]) = studio();
    assert_eq!(in_bash(&sandbox, &["reel", "show", ""]), [&*running, &*failed, &*done]);
    assert_eq!(in_bash(&sandbox, &["reel", "wait", &done, ""])[0], running);
    assert_eq!(in_bash(&sandbox, &["reel", "rm", &failed]), [&*failed]);
    assert_eq!(in_bash(&sandbox, &["reel", "submit", "debug", "noop", "--after", ""])[0], running);
}

#[test]
fn a_command_is_offered_the_tasks_that_it_can_change() {
    let (sandbox, [done, failed, running]) = studio();
    for (command, expected) in [
        ("retry", &[&*failed][..]),
        ("cancel", &[&*running]),
        ("wait", &[&*running]),
        ("rm", &[&*failed, &*done]),
        ("fetch", &[&*done]),
    ] {
        assert_eq!(in_bash(&sandbox, &["reel", command, ""]), expected, "{command}");
    }
    let (batch, _) = sandbox.connect().submit_batch(vec![json!({ "kind": "debug.noop" })]);
    for command in ["ls", "follow"] {
        assert_eq!(in_bash(&sandbox, &["reel", command, "--batch", ""]), [batch.to_string()], "{command}");
    }
}

/// A project file with two shots.
const PROJECT: &str =
    "version = 1\n[[shots]]\nid = \"a1\"\ntext = \"One.\"\n[[shots]]\nid = \"b1\"\ntext = \"Two.\"\n";

#[test]
fn the_shots_of_a_story_are_offered_without_a_daemon() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.work().join("tale.reel.toml"), PROJECT).unwrap();
    for story in ["tale.txt", "tale.reel.toml"] {
        assert_eq!(in_bash(&sandbox, &["reel", "make", story, "--only", ""]), ["a1", "b1"], "{story}");
    }
    let redone = in_bash(&sandbox, &["reel", "make", "tale.txt", "--redo", "b1"]);
    assert_eq!(redone, ["b1:picture", "b1:voice", "b1:clip", "b1:render"]);
    assert_eq!(in_bash(&sandbox, &["reel", "make", "tale.txt", "--takes", "a1"]), ["a1=2", "a1=3", "a1=4"]);
    assert_eq!(in_bash(&sandbox, &["reel", "make", "other.txt", "--only", ""]), [""; 0]);
    assert_eq!(sandbox.daemons(), [0_u32; 0]);
    if needs::program("fish") {
        let script = "reel completions fish | source; complete -C 'reel make tale.txt --only '";
        let ran = process::run(shell(&sandbox, "fish").args(["--no-config", "-c", script]));
        assert!(ran.expect_code(0).stdout.contains("b1\tTwo."), "{}", ran.stdout);
    }
}

#[test]
fn bash_completes_providers_models_styles_and_voices() {
    let (sandbox, _) = studio();
    assert_eq!(in_bash(&sandbox, &["reel", "generate", "x", "--provider", "stu"]), ["studio"]);
    assert_eq!(in_bash(&sandbox, &["reel", "providers", "check", "dra"]), ["draft"]);
    assert_eq!(in_bash(&sandbox, &["reel", "generate", "x", "--style", "water"]), ["watercolor"]);
    assert_eq!(in_bash(&sandbox, &["reel", "generate", "x", "--model", "pain"]), ["painter-2"]);
    let of_provider = in_bash(&sandbox, &["reel", "speak", "x", "--provider", "studio", "--model", ""]);
    assert_eq!(of_provider, ["painter-2", "speaker-1"]);
    let none = in_bash(&sandbox, &["reel", "speak", "x", "--provider", "draft", "--model", ""]);
    assert_eq!(none, [""; 0]);
    assert_eq!(in_bash(&sandbox, &["reel", "speak", "x", "--voice", "allo"]), ["alloy"]);
    assert_eq!(in_bash(&sandbox, &["reel", "ls", "--state", "run"]), ["running"]);
}

#[test]
fn bash_completes_commands_options_and_files_without_a_daemon_and_starts_none() {
    let sandbox = Sandbox::new();
    assert_eq!(in_bash(&sandbox, &["reel", "gener"]), ["generate"]);
    assert_eq!(in_bash(&sandbox, &["reel", "make", "--subti"]), ["--subtitles"]);
    assert_eq!(in_bash(&sandbox, &["reel", "make", "s", "--subtitles", "bu"]), ["burn"]);
    fs::write(sandbox.work().join("story.txt"), "Once.").unwrap();
    assert_eq!(in_bash(&sandbox, &["reel", "make", "sto"]), ["story.txt"]);
    let options = in_bash(&sandbox, &["reel", "show", ""]);
    assert!(options.iter().all(|word| word.starts_with("--")), "{options:?}");
    assert_eq!(in_bash(&sandbox, &["reel", "generate", "x", "--provider", ""]), [""; 0]);
    assert_eq!(sandbox.daemons(), [0_u32; 0]);
}

#[test]
fn a_daemon_that_does_not_answer_gives_nothing_and_does_not_block_the_shell() {
    let (sandbox, _) = studio();
    let pid = sandbox.daemon_pid().unwrap();
    process::signal(pid, Signal::STOP);
    let begun = Instant::now();
    let found = in_bash(&sandbox, &["reel", "show", ""]);
    process::signal(pid, Signal::CONT);
    assert!(found.iter().all(|word| word.starts_with("--")), "{found:?}");
    // Every other wait for a daemon is at least ten seconds long.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[test]
fn fish_completes_ids_with_their_state_and_title() {
    if !needs::program("fish") {
        return;
    }
    let (sandbox, [done, _, running]) = studio();
    let script = "reel completions fish | source; complete -C 'reel show '";
    let ran = process::run(shell(&sandbox, "fish").args(["--no-config", "-c", script]));
    let lines: Vec<&str> = ran.expect_code(0).stdout.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with(&format!("{running}\trunning"))), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("{done}\tsucceeded"))), "{lines:?}");
}

#[test]
fn zsh_completes_a_provider() {
    if !needs::program("zsh") {
        return;
    }
    let (sandbox, _) = studio();
    // `zpty -r` reads until the pattern matches, so no step waits for a time.
    let script = r"
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1=; autoload -Uz compinit; compinit -u -D; source <(reel completions zsh); echo LOA''DED'
zpty -r z out '*LOADED*'
zpty -w -n z $'echo FOUND=; reel providers check stu\t'
zpty -r z out '*studio*'
print -r -- $out
zpty -d z
";
    let mut command = shell(&sandbox, "timeout");
    let ran = process::run(command.args(["60", "zsh", "-f", "-c", script]));
    assert!(ran.expect_code(0).stdout.contains("studio"), "{}", ran.stdout);
}
