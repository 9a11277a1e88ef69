//! Servers that reel starts, and daemons that are killed and started again meanwhile: nothing is run twice, and no wait begins anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, where it stands, and prints its seed"
)]

use std::{fs, time::Duration};

use reel_tests::{
    FakeSdcpp, Random, Sandbox, eventually,
    own_machine::{self, Machine, WAITS, assert_made, state_of, submit, wait_for_state},
    pause,
};
use serde_json::{Value, json};

/// Kills the daemon after each new attempt of a task until the task has failed. Returns the task.
#[track_caller]
fn kill_until_failed(sandbox: &Sandbox, id: u64) -> Value {
    for _ in 0..20 {
        let mut connection = sandbox.connect();
        let before = connection.task(id)["attempts"].as_u64();
        let task = eventually("the task was tried once more", || {
            let task = connection.task(id);
            let is_tried = task["state"] == "queued" && task["attempts"].as_u64() > before;
            (task["state"] == "failed" || is_tried).then_some(task)
        });
        if task["state"] == "failed" {
            return task;
        }
        sandbox.kill();
        sandbox.start();
    }
    panic!("the task waits for ever")
}

/// The process that the start script runs: this executable, with only this test.
#[test]
fn serve_if_a_script_says_so() {
    own_machine::serve_if_told();
}

#[test]
fn a_daemon_that_is_killed_at_any_moment_of_a_start_starts_the_server_once_and_loses_no_task() {
    let machine = Machine::new(WAITS);
    machine.configure(Some(60));
    let seed = Random::seed_from_env();
    println!("REEL_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let mut ids = Vec::new();
    for round in 0..15 {
        machine.sandbox.start();
        let mut connection = machine.sandbox.connect();
        ids.push(submit(&mut connection, &format!("boat {round}")));
        // Most of what happens to a start happens within the first milliseconds.
        pause(Duration::from_millis(random.below(if round % 3 == 0 { 800 } else { 40 })));
        machine.sandbox.kill();
    }
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    wait_for_state(&mut connection, "starting");
    eventually("the server was started", || (machine.runs_of("starts") > 0).then_some(()));
    fs::write(machine.path("loaded"), "").unwrap();
    for id in ids {
        // A task that was running when two daemons died waits for a person.
        if connection.task(id)["state"] == "held" {
            connection.ok("task.release", json!({ "id": id }));
        }
        assert_made(&mut connection, id);
    }
    assert_eq!((machine.runs_of("starts"), state_of(&mut connection)), (1, json!("started")));
}

#[test]
fn a_start_that_hangs_and_was_given_up_stays_so_after_a_restart_and_is_not_run_twice() {
    let machine = Machine::new(WAITS);
    machine.configure_with("[http]\nloading_s = 2\n", None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    assert_eq!(connection.wait(id)["state"], "failed");
    machine.sandbox.kill();
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    assert_eq!(state_of(&mut connection), "start_failed");
    connection.ok("task.retry", json!({ "id": id }));
    let task = connection.wait(id);
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.contains("its start command was run and still runs"), "{task}");
    // It comes up after all.
    fs::write(machine.path("loaded"), "").unwrap();
    wait_for_state(&mut connection, "started");
    connection.ok("task.retry", json!({ "id": id }));
    assert_made(&mut connection, id);
    assert_eq!(machine.runs_of("starts"), 1);
}

#[test]
fn a_server_that_loads_for_ever_fails_its_tasks_although_the_daemon_is_killed_again_and_again() {
    let server = FakeSdcpp::start();
    server.load(true);
    let sandbox = Sandbox::new();
    sandbox.configure(&format!("[http]\nloading_s = 5\n{}", server.config("")));
    sandbox.start();
    let id = submit(&mut sandbox.connect(), "a boat");
    // No daemon lives as long as the server may load.
    let task = kill_until_failed(&sandbox, id);
    assert_eq!(task["error"]["code"], "provider_unavailable", "{task}");
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.contains("still does not work after 5 s"), "{task}");
    assert!(task["attempts"].as_u64() > Some(2), "{task}");
}

#[test]
fn a_start_that_never_answers_is_given_up_although_the_daemon_is_killed_again_and_again() {
    let machine = Machine::new("exit 0");
    machine.configure_with("[http]\nloading_s = 5\n", None);
    machine.sandbox.start();
    let id = submit(&mut machine.sandbox.connect(), "a boat");
    let task = kill_until_failed(&machine.sandbox, id);
    assert_eq!(task["error"]["code"], "provider_unavailable", "{task}");
    assert_eq!(machine.runs_of("starts"), 1);
}
