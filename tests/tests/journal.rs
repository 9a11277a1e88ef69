//! Under systemd, each line of the log begins with the priority of its level, which systemd's journal reads from standard error.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
    process::Stdio,
};

use reel_tests::{DEADLINE, Sandbox, process, wait::eventually};
use rustix::process::Signal;

/// Returns whether the file has a line that begins with `priority` and contains `text`.
fn has_line(path: &Path, priority: &str, text: &str) -> bool {
    let written = fs::read_to_string(path).unwrap();
    written.lines().any(|line| line.starts_with(priority) && line.contains(text))
}

#[test]
fn lines_on_standard_error_have_the_priority_of_their_level_and_no_time() {
    let sandbox = Sandbox::new();
    let path = sandbox.root().join("stderr");
    let stderr = File::create(&path).unwrap();
    let found = stderr.metadata().unwrap();
    // systemd tells a service by this variable which file leads to the journal.
    let stream = format!("{}:{}", found.dev(), found.ino());
    let mut command = sandbox.command(process::binary("reeld"));
    command.env("JOURNAL_STREAM", stream).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let mut daemon = command.spawn().unwrap();
    eventually("the daemon is ready", || has_line(&path, "<6> INFO", "ready version=").then_some(()));

    sandbox.configure("[tasks]\nmax_concurent = 3\n");
    process::signal(daemon.id(), Signal::HUP);
    eventually("the reload is refused", || {
        has_line(&path, "<3>ERROR", "did you mean max_concurrent?").then_some(())
    });

    process::signal(daemon.id(), Signal::TERM);
    assert!(process::wait_gone(daemon.id(), DEADLINE));
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.lines().all(|line| line.starts_with('<')), "{written}");
    let log = fs::read_to_string(sandbox.home().join("logs/reeld.log")).unwrap();
    assert!(log.contains("ready") && log.contains("the former one stays in force"), "{log}");
}
