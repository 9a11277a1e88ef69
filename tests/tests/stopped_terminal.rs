//! A stopped terminal: nobody reads the daemon's standard error.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::process::Stdio;

use reel_tests::{Sandbox, eventually, process::binary};
use serde_json::json;

#[test]
fn an_unread_standard_error_blocks_no_client() {
    let sandbox = Sandbox::new();
    // The pipe holds 64 KiB, and nobody reads from it.
    let mut daemon = sandbox.command(binary("reeld")).stderr(Stdio::piped()).spawn().unwrap();
    let ready = || std::os::unix::net::UnixStream::connect(sandbox.socket()).ok();
    eventually("the daemon listens", ready);
    let mut connection = sandbox.connect();
    // Each refused file writes a line to the log that names all mistakes.
    let wrong: Vec<_> = (0..50).map(|n| format!("k{n}{} = 1\n", "x".repeat(30))).collect();
    sandbox.configure(&wrong.concat());
    for _ in 0..100 {
        connection.call("daemon.reload", json!({})).unwrap_err();
    }
    let id = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(id)["state"], "succeeded");
    connection.ok("daemon.shutdown", json!({}));
    let ended = eventually("the daemon ends", || daemon.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    let log = std::fs::metadata(sandbox.home().join("logs/reeld.log")).unwrap();
    assert!(log.len() > 128 * 1024, "more was said than the pipe holds: {}", log.len());
}
