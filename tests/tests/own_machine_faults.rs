//! A server that reel starts and that does not come up, or writes too much.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    Connection, FakeSdcpp, eventually, fake_sdcpp,
    own_machine::{self, Machine, WAITS, assert_made, state_of, submit, wait_for_state},
    pause,
    studio::prompt,
};
use serde_json::json;

/// The process that the start script runs: this executable, with only this test.
#[test]
fn serve_if_a_script_says_so() {
    own_machine::serve_if_told();
}

/// Waits for tasks that fail because the server was started and does not answer. `seen` is said about the start command.
#[track_caller]
fn assert_given_up(machine: &Machine, connection: &mut Connection, ids: &[u64], seen: &str) {
    for id in ids {
        let task = connection.wait(*id);
        let error = &task["error"];
        assert_eq!(
            (&task["state"], &error["code"]),
            (&json!("failed"), &json!("provider_unavailable")),
            "{task}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(seen) && message.contains("no connection could be made for 2 s"), "{task}");
        let hint = error["hint"].as_str().unwrap();
        let command = machine.path("start").display().to_string();
        for part in ["logs/machine-machine.log", &command, "http.loading_s", "reel retry"] {
            assert!(hint.contains(part), "{part}: {task}");
        }
    }
    let shown = machine.sandbox.reel(&["providers"]);
    assert!(shown.expect_code(0).stdout.contains("cannot be reached; reel could not start it"), "{shown:?}");
    assert_eq!((machine.runs_of("starts"), state_of(connection)), (1, json!("start_failed")));
}

#[test]
fn a_start_command_that_hangs_fails_the_waiting_tasks_in_the_end_and_is_not_run_twice() {
    let machine = Machine::new(WAITS);
    machine.configure_with("[http]\nloading_s = 2\n", None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let ids: Vec<_> = (0..5).map(|number| submit(&mut connection, &format!("boat {number}"))).collect();
    assert_given_up(&machine, &mut connection, &ids, "its start command was run and still runs");
    // It comes up after all.
    fs::write(machine.path("loaded"), "").unwrap();
    wait_for_state(&mut connection, "started");
    connection.ok("task.retry", json!({ "id": ids[0] }));
    assert_made(&mut connection, ids[0]);
    assert_eq!(machine.runs_of("starts"), 1);
}

#[test]
fn a_start_command_that_succeeds_without_a_server_fails_the_waiting_tasks_in_the_end() {
    let machine = Machine::new("exit 0");
    machine.configure_with("[http]\nloading_s = 2\n", None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    assert_given_up(&machine, &mut connection, &[id], "its start command was run and has ended");
}

#[test]
fn a_start_command_that_fails_is_run_again_and_fails_the_waiting_tasks_in_the_end() {
    let machine = Machine::new("echo 'loading weights' >&2; echo 'no model file' >&2; exit 5");
    machine.configure_with("[http]\nloading_s = 90\n", None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let ids: Vec<_> = (0..5).map(|number| submit(&mut connection, &format!("boat {number}"))).collect();
    let failure = "exit code 5: loading weights | no model file";
    eventually("the waiting task shows the failure", || {
        let shown = machine.sandbox.reel(&["show", &ids[0].to_string()]).stdout;
        let is_waiting = shown.contains("queued");
        (is_waiting && shown.contains(&format!("its start command failed: {failure}"))).then_some(())
    });
    for id in &ids {
        let task = connection.wait(*id);
        let error = &task["error"];
        assert_eq!(
            (&task["state"], &error["code"]),
            (&json!("failed"), &json!("provider_unavailable")),
            "{task}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("its start command failed each time, at last with {failure}")),
            "{task}"
        );
        let hint = error["hint"].as_str().unwrap();
        for part in ["logs/machine-machine.log", "run the command by hand", "then reel retry"] {
            assert!(hint.contains(part), "{part}: {task}");
        }
    }
    assert_eq!((machine.runs_of("starts"), state_of(&mut connection)), (3, json!("start_failed")));
    // A person corrects the section.
    let right = fs::read_to_string(machine.path("start")).unwrap().replace("exit 5", "true");
    machine.script("right", &right);
    let section = fs::read_to_string(machine.sandbox.config()).unwrap();
    machine.sandbox.configure(&section.replace("/start\"", "/right\""));
    connection.ok("daemon.reload", json!({}));
    connection.ok("task.retry", json!({ "id": ids[0] }));
    assert_made(&mut connection, ids[0]);
}

#[test]
fn a_start_command_that_does_not_exist_fails_the_waiting_tasks_in_the_end() {
    let machine = Machine::new("");
    machine.configure_with("[http]\nloading_s = 30\n", None);
    let section = fs::read_to_string(machine.sandbox.config()).unwrap();
    machine.sandbox.configure(&section.replace("/start\"", "/not-there\""));
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    let task = connection.wait(id);
    assert_eq!(task["error"]["code"], "provider_unavailable", "{task}");
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.contains("not-there: No such file or directory"), "{task}");
}

#[test]
fn a_task_moves_to_another_provider_when_a_started_server_never_answers() {
    let machine = Machine::new("exit 0");
    let other = FakeSdcpp::start();
    let second =
        fake_sdcpp::config(other.address(), "rank = 900\n").replace("providers.machine", "providers.second");
    machine.configure_with(&format!("[http]\nloading_s = 1\n{second}"), None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("second")), "{task}");
    assert!(task["notes"].to_string().contains("machine was not used"), "{task}");
}

#[test]
fn two_providers_with_the_same_start_command_share_one_server() {
    let machine = Machine::new(WAITS);
    machine.configure(Some(2));
    let one = fs::read_to_string(machine.sandbox.config()).unwrap();
    let two = one.replace("providers.machine", "providers.twin");
    machine.sandbox.configure(&format!("{one}\n{two}"));
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let picture = |provider: &str| json!({ "kind": "image.generate", "params": prompt(provider), "provider": provider });
    let ids = ["machine", "twin"].map(|provider| connection.submit_as(picture(provider)));
    for id in ids {
        eventually("the task waits for the server", || {
            (connection.task(id)["wait_reason"] == "provider_loading").then_some(())
        });
    }
    fs::write(machine.path("loaded"), "").unwrap();
    for id in ids {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    assert_eq!(machine.runs_of("starts"), 1);
    // A task of the second one waits, so the server is not stopped for the first one.
    connection.ok("queue.pause", json!({}));
    let id = connection
        .submit_as(json!({ "kind": "image.generate", "params": prompt("a storm"), "provider": "twin" }));
    pause(std::time::Duration::from_secs(4));
    assert_eq!((machine.runs_of("stops"), machine.is_up()), (0, true));
    connection.ok("queue.resume", json!({}));
    assert_eq!(connection.wait(id)["state"], "succeeded");
    wait_for_state(&mut connection, "stopped");
    assert_eq!((machine.runs_of("starts"), machine.runs_of("stops")), (1, 1));
}

#[test]
fn the_log_of_a_server_in_the_foreground_of_its_start_command_stays_small_and_keeps_its_end() {
    // After the server is started in the background, the script goes on as a server in the foreground would.
    let machine = Machine::new("");
    let start = fs::read_to_string(machine.path("start")).unwrap();
    let waits = |name: &str| format!("while [ ! -e '{}' ]; do sleep 0.1; done", machine.path(name).display());
    let written = machine.path("written");
    let writes = format!(
        "echo said on standard output\nyes 'a line of the server' | head -n 400000 >&2\ntouch '{}'\n{}\necho newest >&2\n{}\n",
        written.display(),
        waits("cut"),
        waits("ended")
    );
    machine.script("start", &(start.trim_start_matches("#!/bin/sh\n").to_owned() + &writes));
    machine.configure(None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    assert_made(&mut connection, id);
    let log = machine.sandbox.home().join("logs/machine-machine.log");
    eventually("the log is cut", || {
        (written.exists() && fs::metadata(&log).is_ok_and(|log| log.len() <= 4 * 1024 * 1024)).then_some(())
    });
    fs::write(machine.path("cut"), "").unwrap();
    eventually("the server writes at the end of what is kept", || {
        fs::read_to_string(&log).unwrap().ends_with("a line of the server\nnewest\n").then_some(())
    });
    fs::write(machine.path("ended"), "").unwrap();
}
