//! Faults in the daemon's environment: wrong homes, sockets, configurations, databases and disks. Also how the daemon ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, os::unix::net::UnixListener, path::Path};

use reel_protocol::ErrorCode;
use reel_tests::{
    FakeProvider, Sandbox, eventually, process,
    studio::{submit, unhurried_studio},
};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn a_home_that_cannot_be_written_is_reported_and_no_process_stays() {
    let sandbox = Sandbox::new();
    let file = sandbox.root().join("file");
    fs::write(&file, "in the way").unwrap();
    let sandbox = sandbox.with_home(file.join("home"));
    let ran = sandbox.reeld_fails();
    assert!(ran.expect_code(73).stderr.contains(file.to_str().unwrap()), "{}", ran.stderr);
    let ran = sandbox.reel(&["ls"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains(file.to_str().unwrap()), "{}", ran.stderr);
}

#[test]
fn a_socket_path_that_is_too_long_is_reported_with_its_length() {
    let sandbox = Sandbox::new();
    let socket = sandbox.root().join("x".repeat(120));
    let sandbox = sandbox.with_socket(socket);
    let ran = sandbox.reeld_fails();
    assert!(ran.expect_code(78).stderr.contains("107"), "{}", ran.stderr);
    assert_eq!(sandbox.reel(&["ls"]).code, Some(78));
}

#[test]
fn a_second_daemon_on_the_same_home_is_refused_and_the_first_goes_on() {
    let sandbox = Sandbox::started();
    let pid = sandbox.daemon_pid().unwrap();
    let ran = sandbox.reeld_fails();
    assert!(ran.expect_code(75).stderr.contains(&pid.to_string()), "{}", ran.stderr);
    // Another socket does not help, because the home is locked.
    let mut command = sandbox.command(process::binary("reeld"));
    let other = sandbox.root().join("other");
    process::run(command.env("REEL_SOCKET", &other)).expect_code(75);
    assert!(!other.exists());
    assert_eq!(sandbox.connect().ok("daemon.status", json!({}))["pid"], pid);
}

#[test]
fn a_client_without_reel_socket_finds_the_daemon_by_its_home() {
    let sandbox = Sandbox::started();
    let mut command = sandbox.reel_command(&["status", "--json"]);
    let ran = process::run(command.env_remove("REEL_SOCKET"));
    assert_eq!(ran.expect_code(0).json()["pid"].as_u64(), sandbox.daemon_pid().map(u64::from));
}

#[test]
fn an_unknown_key_is_reported_with_its_position_and_the_nearest_valid_key() {
    let sandbox = Sandbox::new();
    sandbox.configure("[cache]\nmemory_mb = 100\n\n[tasks]\nmax_concurent = 3\n");
    let ran = sandbox.reeld_fails();
    let stderr = &ran.expect_code(78).stderr;
    let place = format!("{}:5:1: ", sandbox.config().display());
    assert!(stderr.contains(&place), "{stderr}");
    assert!(
        stderr.contains("tasks.max_concurent") && stderr.contains("did you mean max_concurrent?"),
        "{stderr}"
    );
}

#[test]
fn a_secret_in_a_wrong_configuration_is_printed_nowhere() {
    const SECRET: &str = "sk-ABCDEF0123456789";
    let sandbox = Sandbox::new();
    for (text, place) in [
        (format!("[providers.studio]\nkind = \"openai\"\napi_kye = \"{SECRET}\"\n"), "3:1"),
        (format!("[providers.studio]\nkind = \"openai\"\napi_key = \"{SECRET}\n"), "3:"),
        (
            format!(
                "[providers.studio]\nkind = \"openai\"\napi_key = {{ env = \"X\", key = \"{SECRET}\" }}\n"
            ),
            "3:",
        ),
        (format!("[tasks]\nmax_concurrent = \"{SECRET}\"\n"), "2:"),
        (format!("[tasks]\n{SECRET} = 1 1\n"), "2:"),
        (format!("\"{SECRET}\"\n"), "1:"),
    ] {
        let place = format!("{}:{place}", sandbox.config().display());
        sandbox.configure(&text);
        for ran in [sandbox.reeld_fails(), sandbox.reel(&["config", "check"]), sandbox.reel(&["ls"])] {
            assert_eq!(ran.code, Some(78), "{text}: {ran:?}");
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!said.contains("ABCDEF"), "{text}: {said}");
            assert!(said.contains(&place), "{text}: {said}");
        }
    }
    for log in fs::read_dir(sandbox.home().join("logs")).into_iter().flatten().flatten() {
        assert!(!fs::read_to_string(log.path()).unwrap().contains("ABCDEF"), "{}", log.path().display());
    }
}

/// Returns the database files that were set aside.
fn set_aside(home: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    let is_aside = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("reel.db") && !matches!(name, "reel.db" | "reel.db-wal" | "reel.db-shm")
    };
    entries.filter(is_aside).collect()
}

#[test]
fn a_damaged_database_is_set_aside_and_reported_and_never_overwritten() {
    for (how, is_header_whole) in
        [("garbage from its first byte", false), ("garbage behind its header", true)]
    {
        let sandbox = Sandbox::started();
        let mut connection = sandbox.connect();
        connection.submit_batch(vec![json!({ "kind": "debug.noop" }); 200]);
        sandbox.stop();
        let path = sandbox.home().join("reel.db");
        // Without the WAL, everything is in the one file that will be damaged.
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "DELETE").unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let start = if is_header_whole { 4096 } else { 0 };
        for (index, byte) in bytes[start..].iter_mut().enumerate() {
            *byte = (index % 251) as u8;
        }
        fs::write(&path, &bytes).unwrap();
        sandbox.start();
        let aside = set_aside(sandbox.home());
        let is_kept = aside.iter().any(|file| fs::read(file).unwrap() == bytes);
        assert!(is_kept, "{how}: its bytes are kept under a new name: {aside:?}");
        // The last lines of the log are written when the daemon ends.
        sandbox.stop();
        let mut log = sandbox.log();
        for file in fs::read_dir(sandbox.home().join("logs")).into_iter().flatten().flatten() {
            log.push_str(&String::from_utf8_lossy(&fs::read(file.path()).unwrap()));
        }
        let name = aside[0].file_name().unwrap().to_str().unwrap();
        assert!(log.contains(name) || log.contains("damaged"), "{how}: said loudly: {log}");
        sandbox.start();
        let id = sandbox.connect().submit("debug.noop", json!({}));
        assert_eq!(sandbox.connect().wait(id)["state"], "succeeded", "{how}");
    }
}

#[test]
fn an_empty_database_file_is_a_new_one() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.home()).unwrap();
    fs::write(sandbox.home().join("reel.db"), b"").unwrap();
    sandbox.start();
    let id = sandbox.connect().submit("debug.noop", json!({}));
    assert_eq!(sandbox.connect().wait(id)["state"], "succeeded");
}

#[test]
fn a_socket_file_that_nobody_listens_on_is_replaced() {
    let sandbox = Sandbox::new();
    drop(UnixListener::bind(sandbox.socket()).unwrap());
    assert!(sandbox.socket().exists());
    sandbox.start();
    sandbox.kill();
    assert!(sandbox.socket().exists(), "a killed daemon leaves its socket behind");
    assert_eq!(sandbox.reel(&["status"]).code, Some(69));
    sandbox.reel(&["ls"]).expect_code(0);
    sandbox.kill();
    sandbox.start();
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.socket(), "somebody's notes").unwrap();
    let ran = sandbox.reeld_fails();
    assert_ne!(ran.code, Some(0));
    assert_eq!(fs::read(sandbox.socket()).unwrap(), b"somebody's notes");
    assert!(ran.stderr.contains(sandbox.socket().to_str().unwrap()), "{}", ran.stderr);
}

#[test]
fn home_and_socket_are_accessible_to_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::started();
    sandbox.connect().generate(json!({ "prompt": "x", "width": 64, "height": 64 }));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(sandbox.socket()), 0o600);
    assert_eq!(mode(sandbox.home()), 0o700);
    for entry in fs::read_dir(sandbox.home()).unwrap().map(|entry| entry.unwrap().path()) {
        assert_eq!(mode(&entry) & 0o077, 0, "{}", entry.display());
    }
}

#[test]
fn an_invalid_configuration_leaves_the_old_one_active_and_a_valid_one_replaces_it() {
    let sandbox = Sandbox::started_with("[tasks]\nqueue_limit = 3\n");
    let pid = sandbox.daemon_pid().unwrap();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    sandbox.configure("[tasks]\nqueue_limit = \"many\"\n");
    process::signal(pid, Signal::HUP);
    let error = connection.err("daemon.reload", json!({}));
    assert_eq!(error.known(), Some(ErrorCode::ConfigInvalid), "{error:?}");
    assert!(error.message.contains("queue_limit"), "{error:?}");
    connection.submit_batch(vec![json!({ "kind": "debug.noop" }); 3]);
    let error = connection.err("task.submit", json!({ "kind": "debug.noop" }));
    assert_eq!(error.known(), Some(ErrorCode::QueueFull), "{error:?}");
    sandbox.configure("[tasks]\nqueue_limit = 4\n");
    process::signal(pid, Signal::HUP);
    eventually("the new limit is in force", || {
        connection.call("task.submit", json!({ "kind": "debug.noop" })).ok()
    });
    let error = connection.err("task.submit", json!({ "kind": "debug.noop" }));
    assert_eq!(error.known(), Some(ErrorCode::QueueFull), "{error:?}");
    sandbox.configure("[tasks]\nqueue_limit = 5\n");
    let reloaded = connection.call("daemon.reload", json!({})).unwrap();
    let is_named = reloaded["changed"].as_array().unwrap().contains(&json!("tasks.queue_limit"));
    // The watcher may have loaded the file before the request did.
    assert!(is_named || reloaded["changed"] == json!([]), "{reloaded}");
    connection.ok("task.submit", json!({ "kind": "debug.noop" }));
    assert_eq!(connection.ok("daemon.status", json!({}))["pid"], pid);
}

#[test]
fn sigterm_lets_running_tasks_end_and_keeps_the_others_queued() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut connection = sandbox.connect();
    let running = connection.submit("debug.sleep", json!({ "ms": 700 }));
    eventually("it has begun", || (connection.task(running)["state"] != "queued").then_some(()));
    let queued = connection.submit("debug.noop", json!({}));
    assert_eq!(sandbox.stop(), Some(0), "{}", sandbox.log());
    assert!(!sandbox.socket().exists(), "the socket is gone with its daemon");
    sandbox.start();
    let mut connection = sandbox.connect();
    let task = connection.task(running);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("succeeded"), &json!(1)), "{task}");
    assert_eq!(connection.wait(queued)["state"], "succeeded");
}

#[test]
fn a_short_shutdown_queues_running_tasks_again_without_suspecting_them() {
    let sandbox = Sandbox::started();
    for _ in 0..3 {
        let mut connection = sandbox.connect();
        let listed = connection.ok("task.list", json!({}));
        let id = match listed["tasks"][0]["id"].as_u64() {
            Some(id) => id,
            None => connection.submit("debug.sleep", json!({ "ms": 600_000 })),
        };
        eventually("it runs", || (connection.task(id)["state"] == "running").then_some(()));
        let pid = sandbox.daemon_pid().unwrap();
        connection.ok("daemon.shutdown", json!({ "drain_s": 0.1 }));
        assert!(process::wait_gone(pid, reel_tests::DEADLINE), "{}", sandbox.log());
        // An orderly shutdown does not count as a death, so the task does not become suspect.
        sandbox.start();
    }
}

#[test]
fn a_stopping_daemon_refuses_new_work() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "");
    provider.hold();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "the last one");
    provider.wait_for_in_flight(1);
    connection.ok("daemon.shutdown", json!({}));
    let error = connection.err("task.submit", json!({ "kind": "debug.noop" }));
    assert_eq!(error.known(), Some(ErrorCode::ShuttingDown), "{error:?}");
    provider.release();
    assert_eq!(connection.wait(id)["state"], "succeeded", "a waiter gets its outcome");
}
