//! Runs the binary without a daemon, as a script would. The presence of this test also makes cargo build the binary for the end-to-end tests.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail it by panicking")]

use std::process::{Command, Output};

fn reel(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_reel"))
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .env("REEL_HOME", home.path().join("reel"))
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn version_and_help_are_results_and_every_verb_shows_an_example() {
    let version = reel(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(stdout(&version), format!("reel {}\n", env!("CARGO_PKG_VERSION")));
    let verbs = "generate batch submit call wait cancel retry hold release rm priority ls show fetch status memory cache \
                 providers styles pause resume daemon config completions";
    for verb in std::iter::once("--help").chain(verbs.split_whitespace()) {
        let help = reel(&[verb, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{verb}");
        assert!(stdout(&help).contains("Example"), "{verb}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_64_and_says_so_in_json_too() {
    for arguments in [
        &["no-such-verb"][..],
        &[],
        &["wait"],
        &["generate", "x", "-s", "big"],
        &["generate", "x", "-o", "x.gif"],
        &["generate", "x", "-n", "2", "-o", "-"],
    ] {
        assert_eq!(reel(arguments).status.code(), Some(64), "{arguments:?}");
    }
    let refused = reel(&["wait", "--json"]);
    assert_eq!(refused.status.code(), Some(64));
    let document: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(document["error"]["code"], "usage");
}

#[test]
fn without_a_daemon_status_says_so_and_starts_none() {
    let status = reel(&["status"]);
    assert_eq!((status.status.code(), stdout(&status).as_str()), (Some(69), "not running\n"));
    let document: serde_json::Value = serde_json::from_slice(&reel(&["status", "--json"]).stdout).unwrap();
    assert_eq!(document["error"]["code"], "no_daemon");
    assert_eq!(reel(&["ls", "--no-start"]).status.code(), Some(69));
}

#[test]
fn bad_input_is_refused_before_anything_is_asked() {
    assert_eq!(reel(&["batch", "/no/such/file", "--no-start"]).status.code(), Some(66));
    assert_eq!(reel(&["generate", "x", "-o", "/no/such/dir/x.png", "--no-start"]).status.code(), Some(73));
    assert_eq!(reel(&["submit", "debug", "noop", "--params", "[1]", "--no-start"]).status.code(), Some(65));
}

#[test]
fn what_needs_no_daemon_works_without_one() {
    assert!(stdout(&reel(&["completions", "bash"])).contains("reel"));
    assert!(stdout(&reel(&["config", "path"])).ends_with(".config/reel/config.toml\n"));
    assert_eq!(reel(&["config", "show"]).status.code(), Some(0));
    assert_eq!(stdout(&reel(&["daemon", "stop"])), "not running\n");
}
