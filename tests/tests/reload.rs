//! A configuration file that changes while the daemon runs. The daemon loads it by itself or refuses it with a reason, and sends an event.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use reel_protocol::ErrorCode;
use reel_tests::{Connection, Sandbox, eventually, process};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Opens a connection that receives the daemon's own events.
fn listener(sandbox: &Sandbox) -> Connection {
    let mut connection = sandbox.connect();
    connection.ok("events.subscribe", json!({ "topics": ["daemon"] }));
    connection
}

/// Waits for the next event about the configuration. Returns its name and its `reload` field.
#[track_caller]
fn next_reading(listener: &mut Connection) -> (String, Value) {
    let mut event = listener.next_event();
    let name = event["event"].as_str().unwrap().to_owned();
    (name, event["reload"].take())
}

#[track_caller]
fn hears_reloaded(listener: &mut Connection, changed: &[&str]) {
    let (name, reload) = next_reading(listener);
    assert_eq!((name.as_str(), &reload["changed"]), ("reloaded", &json!(changed)), "{reload}");
    assert_eq!(reload["reason"], json!(null));
}

fn in_force(connection: &mut Connection) -> Value {
    connection.ok("daemon.status", json!({}))["config_in_force"].take()
}

#[test]
fn a_file_in_a_directory_that_did_not_exist_at_the_start_is_noticed() {
    let sandbox = Sandbox::new();
    let directory = sandbox.root().join("not/yet");
    let sandbox = sandbox.with_config(directory.join("config.toml"));
    sandbox.start();
    let mut ear = listener(&sandbox);
    fs::create_dir_all(&directory).unwrap();
    sandbox.configure("[tasks]\nqueue_limit = 1\n");
    hears_reloaded(&mut ear, &["tasks.queue_limit"]);
}

#[test]
fn a_changed_file_is_loaded_automatically() {
    let sandbox = Sandbox::started();
    let mut ear = listener(&sandbox);
    assert_eq!(in_force(&mut ear), json!({ "digest": null, "refused": null, "needs_restart": [] }));
    sandbox.configure("[tasks]\nqueue_limit = 1\n");
    hears_reloaded(&mut ear, &["tasks.queue_limit"]);
    assert_eq!(in_force(&mut ear)["digest"].as_str().unwrap().len(), 64);
    ear.ok("queue.pause", json!({}));
    ear.submit("debug.noop", json!({}));
    let error = ear.err("task.submit", json!({ "kind": "debug.noop" }));
    assert_eq!(error.known(), Some(ErrorCode::QueueFull), "{error:?}");
    assert!(error.message.ends_with("the limit of 1"), "{error:?}");

    // Editors replace the file by a rename.
    let new = sandbox.root().join("config.toml.new");
    fs::write(&new, "[tasks]\nqueue_limit = 2\n[memory]\npoll_ms = 500\n").unwrap();
    fs::rename(&new, sandbox.config()).unwrap();
    hears_reloaded(&mut ear, &["tasks.queue_limit", "memory.poll_ms"]);
    ear.submit("debug.noop", json!({}));

    // Writing the same content again causes no event. The next event is about its removal.
    sandbox.configure("[tasks]\nqueue_limit = 2\n[memory]\npoll_ms = 500\n");
    fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(sandbox.config()).unwrap();
    hears_reloaded(&mut ear, &["tasks.queue_limit", "memory.poll_ms"]);
    assert_eq!(in_force(&mut ear)["digest"], json!(null));
}

#[test]
fn an_invalid_file_is_refused_with_an_event_and_the_former_one_stays() {
    let sandbox = Sandbox::started_with("[tasks]\nqueue_limit = 7\n");
    let mut ear = listener(&sandbox);
    let before = in_force(&mut ear);
    sandbox.configure("[tasks]\nqueue_limit = 8\nmax_concurent = 3\n");
    let (name, reload) = next_reading(&mut ear);
    let reason = reload["reason"].as_str().unwrap();
    assert_eq!((name.as_str(), &reload["changed"]), ("reload_failed", &json!([])));
    assert!(
        reason.contains("config.toml:3:1") && reason.contains("did you mean max_concurrent?"),
        "{reason}"
    );
    sandbox.wait_for_log("the former one stays in force");
    let now = in_force(&mut ear);
    assert_eq!((&now["digest"], now["refused"].as_str()), (&before["digest"], Some(reason)));

    let status = sandbox.reel(&["status"]).expect_code(0).stdout.clone();
    assert!(
        status.contains("refused by the daemon, which goes on with the former settings: ")
            && status.contains(":3:1:"),
        "{status}"
    );
    assert!(sandbox.reel(&["config", "check"]).expect_code(78).stderr.contains(":3:1:"));

    sandbox.configure("[tasks]\nqueue_limit = 8\nmax_concurrent = 3\n");
    hears_reloaded(&mut ear, &["tasks.max_concurrent", "tasks.queue_limit"]);
    assert_eq!(in_force(&mut ear)["refused"], json!(null));
    let checked = sandbox.reel(&["config", "check"]).expect_code(0).stdout.clone();
    assert!(checked.contains("is valid, and the daemon uses it"), "{checked}");
}

#[test]
fn settings_that_need_a_restart_are_reported_until_then() {
    let sandbox = Sandbox::started();
    let mut ear = listener(&sandbox);
    sandbox.configure("[log]\nmax_mb = 20\n");
    let (_, reload) = next_reading(&mut ear);
    assert_eq!((&reload["changed"], &reload["needs_restart"]), (&json!([]), &json!(["log.max_mb"])));
    sandbox.configure("[log]\nmax_mb = 20\nfilter = \"debug\"\n");
    let (_, reload) = next_reading(&mut ear);
    assert_eq!(
        (&reload["changed"], &reload["needs_restart"]),
        (&json!(["log.filter"]), &json!(["log.max_mb"]))
    );
    let checked = sandbox.reel(&["config", "check", "--json"]).expect_code(0).json();
    assert_eq!((&checked["is_in_force"], &checked["needs_restart"]), (&json!(true), &json!(["log.max_mb"])));
    assert!(
        sandbox
            .reel(&["status"])
            .expect_code(0)
            .stdout
            .contains("used after a restart of the daemon (reel daemon restart): log.max_mb")
    );
    sandbox.stop();
    sandbox.start();
    assert_eq!(in_force(&mut sandbox.connect())["needs_restart"], json!([]));
}

#[test]
fn a_change_that_the_watcher_missed_is_reported_by_status_and_check() {
    // The daemon gets no notification when a directory is moved together with its parent.
    let sandbox = Sandbox::new();
    let above = sandbox.root().join("above");
    let sandbox = sandbox.with_config(above.join("directory/config.toml"));
    fs::create_dir_all(above.join("directory")).unwrap();
    sandbox.start();
    let mut ear = listener(&sandbox);
    sandbox.configure("[tasks]\nqueue_limit = 8\n");
    // After this event, the watcher is surely active.
    hears_reloaded(&mut ear, &["tasks.queue_limit"]);
    fs::rename(&above, sandbox.root().join("away")).unwrap();
    fs::create_dir_all(above.join("directory")).unwrap();
    sandbox.configure("[tasks]\nqueue_limit = 9\n");
    let said = "not read by the daemon yet: reel daemon reload";
    assert!(sandbox.reel(&["status"]).expect_code(0).stdout.contains(said));
    assert!(sandbox.reel(&["config", "check"]).expect_code(0).stdout.contains(said));
    assert_eq!(sandbox.reel(&["config", "check", "--json"]).expect_code(0).json()["is_in_force"], false);
    let reloaded = sandbox.reel(&["daemon", "reload"]).expect_code(0).stdout.clone();
    assert!(reloaded.contains("tasks.queue_limit"), "{reloaded}");
    assert!(sandbox.reel(&["config", "check"]).expect_code(0).stdout.contains("the daemon uses it"));
    // A manual reload works even where the watcher sees nothing.
    sandbox.configure("[tasks]\nqueue_limit = 10\n");
    process::signal(sandbox.daemon_pid().unwrap(), Signal::HUP);
    eventually("the signal was heard", || {
        sandbox.reel(&["config", "check"]).stdout.contains("the daemon uses it").then_some(())
    });
}

/// Returns the path of an editor program that writes `text` to the file that it is given.
fn editor(sandbox: &Sandbox, text: &str) -> String {
    let script = sandbox.root().join("editor");
    fs::write(&script, format!("#!/bin/sh\ncat > \"$1\" <<'END'\n{text}\nEND\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

fn edit(sandbox: &Sandbox, config: &Path, text: &str) -> process::Ran {
    let mut command = sandbox.reel_command(&["config", "edit"]);
    process::run(command.env("VISUAL", editor(sandbox, text)).env("REEL_CONFIG", config))
}

#[test]
fn config_edit_checks_the_file_and_loads_it() {
    let sandbox = Sandbox::started();
    let config = sandbox.config();
    let wrong = edit(&sandbox, &config, "[tasks]\nhistori = 5");
    assert!(wrong.expect_code(78).stderr.contains("did you mean history?"), "{}", wrong.stderr);
    let right = edit(&sandbox, &config, "[tasks]\nhistory = 5");
    assert!(right.expect_code(0).stdout.contains("is valid, and the daemon uses it"), "{}", right.stdout);
    // A file that is not the daemon's own is only checked.
    let elsewhere = sandbox.root().join("new/directory/config.toml");
    let other = edit(&sandbox, &elsewhere, "[tasks]\nhistory = 6");
    assert!(other.expect_code(0).stdout.trim_end().ends_with("config.toml is valid"), "{}", other.stdout);
}
