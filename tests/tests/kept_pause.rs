//! What a person has stopped stays stopped, and a daemon that works is not stopped for an error in the configuration file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    FakeProvider, Sandbox,
    studio::{studio, submit},
};
use serde_json::json;

#[test]
fn a_pause_stays_in_force_after_a_restart_and_a_crash_until_resume() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    sandbox.reel(&["pause"]).expect_code(0);
    let id = submit(&mut sandbox.connect(), "stopped");
    for is_crash in [false, true] {
        if is_crash {
            sandbox.kill();
            sandbox.start();
        } else {
            sandbox.reel(&["daemon", "restart"]).expect_code(0);
        }
        let mut connection = sandbox.connect();
        let task = connection.task(id);
        assert_eq!((&task["state"], &task["wait_reason"]), (&json!("queued"), &json!("paused")), "{task}");
        let status = sandbox.reel(&["status"]).expect_code(0).stdout.clone();
        assert!(status.contains("paused (reel resume)"), "{status}");
        assert_eq!(provider.calls(), 0, "a paused queue pays nothing");
    }
    sandbox.reel(&["resume"]).expect_code(0);
    assert_eq!(sandbox.connect().wait(id)["state"], "succeeded");
    sandbox.reel(&["daemon", "restart"]).expect_code(0);
    let status = sandbox.connect().ok("daemon.status", json!({}));
    assert_eq!(status["is_paused"], false, "a resume is kept too: {status}");
}

#[test]
fn a_restart_with_an_error_in_the_file_leaves_the_running_daemon_alone() {
    let sandbox = Sandbox::started();
    let pid = sandbox.daemon_pid();
    sandbox.configure("[tasks]\nhistori = 5\n");
    let refused = sandbox.reel(&["daemon", "restart"]);
    let stderr = &refused.expect_code(78).stderr;
    assert!(stderr.contains(":2:1:") && stderr.contains("was not stopped"), "{stderr}");
    assert_eq!(sandbox.daemon_pid(), pid);
    assert_eq!(sandbox.connect().ok("daemon.status", json!({}))["pid"], json!(pid));
}

#[test]
fn commands_that_use_providers_name_the_line_of_an_error_in_the_file() {
    let sandbox = Sandbox::started();
    let generate = ["generate", "a pier", "--provider", "draft", "-o", "pier.png", "--force"];
    let said = |arguments: &[&str]| sandbox.reel(arguments).expect_code(0).stderr.clone();
    assert!(!said(&generate).contains("error at line"));
    sandbox.configure("[tasks]\nhistori = 5\n");
    for arguments in [&generate[..], &["providers"]] {
        let stderr = said(arguments);
        let warnings: Vec<_> = stderr.lines().filter(|line| line.contains("error at line 2")).collect();
        assert!(matches!(warnings[..], [one] if one.contains("former configuration is used")), "{stderr}");
    }
    sandbox.configure("[tasks]\nhistory = 5\n");
    assert!(!said(&generate).contains("error at line"));
}
