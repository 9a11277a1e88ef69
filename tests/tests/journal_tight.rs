//! A journal on a nearly full disk. Its WAL is checkpointed to free space, and a start that fails for lack of space says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, io::Write as _};

use reel_tests::{Connection, Sandbox, SmallDisk, eventually, process::wait_gone};
use serde_json::json;

/// The daemon leaves a log up to this length as it is, see `daemon/src/store/upkeep.rs`.
const SHORT_LOG_BYTES: u64 = 256 * 1024;

fn log_bytes(sandbox: &Sandbox) -> u64 {
    fs::metadata(sandbox.home().join("reel.db-wal")).map_or(0, |metadata| metadata.len())
}

#[test]
fn the_wal_does_not_fill_a_small_disk() {
    let Some(disk) = SmallDisk::mounted(8) else { return };
    let sandbox = disk.sandbox();
    let mut connection = sandbox.connect();
    // Together these need more than three times the space that the WAL has.
    for _ in 0..800 {
        connection.submit("debug.noop", json!({}));
    }
    assert!(log_bytes(&sandbox) < 2 * 1024 * 1024, "{}", log_bytes(&sandbox));
}

#[test]
fn an_idle_daemon_frees_its_wal_when_others_fill_the_disk() {
    let Some(disk) = SmallDisk::mounted(24) else { return };
    let sandbox = disk.sandbox();
    let mut connection = sandbox.connect();
    let tasks: Vec<_> = (0..100).map(|_| connection.submit("debug.noop", json!({}))).collect();
    for task in tasks {
        // A task that ends after the log was written back leaves a short log again.
        eventually("it ends", || (connection.task(task)["state"] == "succeeded").then_some(()));
    }
    assert!(log_bytes(&sandbox) > 1024 * 1024, "{}", log_bytes(&sandbox));
    // This is less space than a submission needs.
    let _filler = disk.fill_up_to(200);
    eventually("the log is written back", || (log_bytes(&sandbox) <= SHORT_LOG_BYTES).then_some(()));
    // The file system frees the blocks a moment after the file has become empty.
    let noop = || json!({ "kind": "debug.noop", "params": {} });
    eventually("work is accepted again", || connection.call("task.submit", noop()).ok());
}

/// Returns whether the daemon answers a request. A daemon that accepts the connection and then ends does not.
fn answers(sandbox: &Sandbox) -> bool {
    let Ok(mut connection) = Connection::open(sandbox.socket()) else { return false };
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\n";
    connection.stream().write_all(request).is_ok() && connection.try_read_line().is_some()
}

#[test]
fn a_start_on_a_full_disk_succeeds_or_says_that_the_disk_is_full() {
    let Some(disk) = SmallDisk::mounted(24) else { return };
    let sandbox = disk.sandbox();
    let running = sandbox.connect().submit("debug.sleep", json!({ "ms": 600_000 }));
    let mut connection = sandbox.connect();
    eventually("it runs", || (connection.task(running)["state"] == "running").then_some(()));
    sandbox.kill();
    for left_kb in [0, 40, 80] {
        let filler = disk.fill_up_to(left_kb);
        let pid = sandbox.spawn();
        let outcome = eventually("it starts or ends", || {
            let is_over = wait_gone(pid, std::time::Duration::ZERO);
            (is_over || answers(&sandbox)).then_some(is_over)
        });
        if outcome {
            let log = sandbox.log();
            assert!(log.contains("full") && log.contains("make room"), "{left_kb}: {log}");
        } else {
            sandbox.kill();
        }
        fs::remove_file(filler).unwrap();
    }
    sandbox.start();
    let mut connection = sandbox.connect();
    let task = connection.task(running);
    assert!(["running", "held"].contains(&task["state"].as_str().unwrap()), "{task}");
}
