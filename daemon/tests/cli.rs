//! Tests what `reeld` answers without starting. This test also has cargo build the binary into the target directory, for the end-to-end tests.

#![expect(clippy::expect_used, reason = "a test ends at what it did not expect")]
use std::process::{Command, Output};

fn reeld(argument: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reeld")).arg(argument).output().expect("reeld runs")
}

#[test]
fn version_is_printed_to_stdout() {
    let output = reeld("--version");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.trim(), concat!("reeld ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_names_the_variables_that_say_where_things_are() {
    let output = reeld("--help");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    for name in ["REEL_HOME", "REEL_SOCKET", "REEL_CONFIG"] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let output = reeld("--nonsense");
    assert_eq!(output.status.code(), Some(64));
    assert!(!output.stderr.is_empty());
}
