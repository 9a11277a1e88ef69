//! Servers that reel starts when a task wants them and stops when they were idle. The commands are real scripts, which start and kill a real process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeSdcpp, Sandbox, eventually,
    own_machine::{self, Machine, WAITS, assert_made, state_of, submit, wait_for_state},
    pause, process,
    studio::prompt,
};
use serde_json::{Value, json};

/// The process that the start script runs: this executable, with only this test.
#[test]
fn serve_if_a_script_says_so() {
    own_machine::serve_if_told();
}

#[test]
fn a_server_is_started_once_for_tasks_that_want_it_and_stopped_when_it_was_idle() {
    let machine = Machine::new("");
    machine.configure(Some(1));
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    assert_eq!(state_of(&mut connection), Value::Null);
    let ids: Vec<_> = (0..5).map(|number| submit(&mut connection, &format!("boat {number}"))).collect();
    for id in ids {
        assert_made(&mut connection, id);
    }
    assert_eq!(machine.runs_of("starts"), 1);
    wait_for_state(&mut connection, "stopped");
    assert_eq!((machine.runs_of("stops"), machine.is_up()), (1, false));
    // The next task has it started again.
    let id = submit(&mut connection, "a storm");
    assert_made(&mut connection, id);
    wait_for_state(&mut connection, "stopped");
    assert_eq!((machine.runs_of("starts"), machine.runs_of("stops")), (2, 2));
}

#[test]
fn a_server_that_loads_is_waited_for_and_shown() {
    let machine = Machine::new(WAITS);
    machine.configure(None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let spec = json!({ "kind": "image.generate", "params": prompt("a boat"), "max_attempts": 1 });
    let id = connection.submit_as(spec);
    eventually("the task says that the server is being started", || {
        let task = connection.task(id);
        let message = task["error"]["message"].as_str().unwrap_or_default().to_owned();
        (task["state"] == "queued" && message.contains("reel is starting it")).then_some(())
    });
    assert_eq!(connection.task(id)["wait_reason"], "provider_loading");
    assert_eq!(state_of(&mut connection), "starting");
    eventually("the list says that the server is being started", || {
        let shown = machine.sandbox.reel(&["providers"]).expect_code(0).stdout.clone();
        assert!(!shown.contains("cannot be reached"), "{shown}");
        (shown.contains("loading, tried again in") && shown.contains("reel is starting it")).then_some(())
    });
    fs::write(machine.path("loaded"), "").unwrap();
    assert_made(&mut connection, id);
    assert_eq!((machine.runs_of("starts"), state_of(&mut connection)), (1, json!("started")));
}

#[test]
fn a_start_that_fails_is_named_and_a_server_that_a_person_starts_then_is_used() {
    let machine = Machine::new("echo 'no model file' >&2; exit 5");
    machine.configure(None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    eventually("the task names the failure", || {
        let message = connection.task(id)["error"]["message"].as_str().unwrap_or_default().to_owned();
        message.contains("its start command failed: exit code 5: no model file").then_some(())
    });
    let shown = machine.sandbox.reel(&["providers"]);
    assert!(shown.expect_code(0).stdout.contains("cannot be reached"), "{shown:?}");
    assert!(shown.stdout.contains("reel could not start it"), "{shown:?}");
    assert!((shown.stdout.clone() + &shown.stderr).contains("exit code 5: no model file"), "{shown:?}");
    assert_eq!((machine.runs_of("starts"), state_of(&mut connection)), (1, json!("start_failed")));
    // A person starts the server. It is not reel's to stop.
    let server = FakeSdcpp::start_at(machine.address);
    assert_made(&mut connection, id);
    eventually("the failure is forgotten", || (state_of(&mut connection) == Value::Null).then_some(()));
    drop(server);
    // It is down again, so the command is run again.
    let id = submit(&mut connection, "a storm");
    wait_for_state(&mut connection, "start_failed");
    assert_eq!(machine.runs_of("starts"), 2);
    connection.ok("task.cancel", json!({ "id": id }));
}

#[test]
fn a_server_that_somebody_else_started_is_not_stopped() {
    let machine = Machine::new("");
    machine.configure(Some(1));
    let _server = FakeSdcpp::start_at(machine.address);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    assert_made(&mut connection, id);
    // Longer than the idle time: nothing may happen in it.
    pause(std::time::Duration::from_secs(3));
    assert_eq!((machine.runs_of("starts"), machine.runs_of("stops"), machine.is_up()), (0, 0, true));
}

#[test]
fn a_server_is_not_stopped_while_a_task_waits_for_it() {
    let machine = Machine::new("");
    machine.configure(Some(1));
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    assert_made(&mut connection, id);
    connection.ok("queue.pause", json!({}));
    let id = submit(&mut connection, "a storm");
    pause(std::time::Duration::from_secs(3));
    assert_eq!((machine.runs_of("stops"), machine.is_up()), (0, true));
    connection.ok("queue.resume", json!({}));
    assert_made(&mut connection, id);
    wait_for_state(&mut connection, "stopped");
    assert_eq!((machine.runs_of("starts"), machine.runs_of("stops")), (1, 1));
}

#[test]
fn a_killed_daemon_leaves_the_server_running_and_the_next_one_stops_it() {
    let machine = Machine::new("");
    machine.configure(Some(2));
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    assert_made(&mut connection, id);
    let pid = machine.server_pid();
    machine.sandbox.kill();
    assert!(machine.is_up(), "the server does not depend on the daemon");
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a storm");
    assert_made(&mut connection, id);
    assert_eq!(machine.server_pid(), pid, "it was not started again");
    wait_for_state(&mut connection, "stopped");
    assert_eq!((machine.runs_of("starts"), machine.runs_of("stops")), (1, 1));
}

#[test]
fn a_daemon_that_is_killed_while_the_server_loads_does_not_start_it_twice() {
    let machine = Machine::new(WAITS);
    machine.configure(Some(60));
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    eventually("the server is being started", || (machine.runs_of("starts") == 1).then_some(()));
    machine.sandbox.kill();
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    wait_for_state(&mut connection, "starting");
    let before = connection.task(id)["attempts"].as_u64();
    eventually("the task has tried again", || {
        (connection.task(id)["attempts"].as_u64() > before).then_some(())
    });
    fs::write(machine.path("loaded"), "").unwrap();
    assert_made(&mut connection, id);
    assert_eq!((machine.runs_of("starts"), state_of(&mut connection)), (1, json!("started")));
}

#[test]
fn a_server_that_crashed_is_started_again() {
    let machine = Machine::new("");
    machine.configure(None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = submit(&mut connection, "a boat");
    assert_made(&mut connection, id);
    process::kill(machine.server_pid());
    let id = submit(&mut connection, "a storm");
    assert_made(&mut connection, id);
    assert_eq!(machine.runs_of("starts"), 2);
}

#[test]
fn a_server_of_ones_own_that_answers_503_is_waited_for() {
    let server = FakeSdcpp::start();
    server.load(true);
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "image.generate", "params": prompt("a boat"), "max_attempts": 1 });
    let id = connection.submit_as(spec);
    eventually("the task waits", || {
        let task = connection.task(id);
        (task["state"] == "queued" && task["attempts"].as_u64() > Some(1)).then_some(())
    });
    let task = connection.task(id);
    assert!(task["error"]["message"].as_str().unwrap().contains("loading model"), "{task}");
    server.load(false);
    assert_made(&mut connection, id);
}

#[test]
fn a_server_that_only_loads_is_told_from_one_that_cannot_be_reached() {
    let mut server = FakeSdcpp::start();
    let address = server.address();
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    server.load(true);
    let id = submit(&mut connection, "a boat");
    let wait_until_shown = |reason: &str, provider_words: &str, task_words: &str| {
        let mut connection = sandbox.connect();
        eventually(&format!("the provider and its task show {reason}"), || {
            let list = connection.ok("provider.list", json!({}));
            let of_task = connection.task(id)["wait_reason"].clone();
            let is_reason = list["providers"][0]["wait_reason"] == reason && of_task == reason;
            let is_shown =
                sandbox.reel(&["providers"]).stdout.contains(&format!("{provider_words}, tried again in"))
                    && sandbox.reel(&["ls"]).stdout.contains(task_words);
            (is_reason && is_shown).then_some(())
        });
    };
    wait_until_shown("provider_loading", "loading", "loading,");
    drop(server);
    wait_until_shown("provider_unreachable", "cannot be reached", "unreachable,");
    server = FakeSdcpp::start_at(address);
    server.load(true);
    wait_until_shown("provider_loading", "loading", "loading,");
    server.load(false);
    assert_made(&mut connection, id);
    let listed = sandbox.reel(&["providers"]).stdout;
    assert!(!listed.contains("loading") && !listed.contains("cannot be reached"), "{listed}");
}

#[test]
fn a_server_that_cannot_load_its_model_fails_its_tasks_at_once() {
    let server = FakeSdcpp::start();
    server.say_unavailable("error loading model: tensor 'x' is corrupted");
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a boat");
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("failed"), &json!(1)), "{task}");
    assert_eq!(task["error"]["code"], "provider_unavailable");
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.contains("cannot load its model: error loading model: tensor 'x'"), "{task}");
    assert!(task["error"]["hint"].as_str().unwrap().contains("then reel retry"), "{task}");
    // A person has repaired the server.
    server.load(false);
    connection.ok("task.retry", json!({ "id": id }));
    assert_made(&mut connection, id);
}

#[test]
fn a_server_that_loads_for_ever_fails_its_tasks_in_the_end_and_is_waited_for_anew_after_that() {
    let server = FakeSdcpp::start();
    server.load(true);
    let sandbox = Sandbox::started_with(&format!("[http]\nloading_s = 2\n{}", server.config("")));
    let mut connection = sandbox.connect();
    let ids: Vec<_> = ["a boat", "a storm"].map(|text| submit(&mut connection, text)).into();
    eventually("the task says what the server says", || {
        let shown = sandbox.reel(&["show", &ids[0].to_string()]).stdout;
        (shown.contains("loading model") && shown.contains("http.loading_s")).then_some(())
    });
    for id in ids {
        let task = connection.wait(id);
        assert_eq!(
            (&task["state"], &task["error"]["code"]),
            (&json!("failed"), &json!("provider_unavailable"))
        );
        let message = task["error"]["message"].as_str().unwrap();
        assert!(message.contains("still does not work") && message.contains("loading model"), "{task}");
        assert!(task["error"]["hint"].as_str().unwrap().contains("http.loading_s"), "{task}");
    }
    server.load(false);
    let id = submit(&mut connection, "a harbour");
    assert_made(&mut connection, id);
    // It has worked since, so this is another time of loading.
    server.load(true);
    let id = submit(&mut connection, "a beach");
    eventually("the task waits", || {
        let task = connection.task(id);
        (task["state"] == "queued" && task["attempts"].as_u64() >= Some(1)).then_some(())
    });
    server.load(false);
    assert_made(&mut connection, id);
}

#[test]
fn a_check_of_a_server_that_is_down_does_not_start_it() {
    let machine = Machine::new("");
    machine.configure(None);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    machine.sandbox.reel(&["providers", "check", "machine"]).expect_code(1);
    let _ = machine.sandbox.reel(&["providers", "models", "machine"]);
    eventually("the check has no effect", || (state_of(&mut connection) == Value::Null).then_some(()));
    assert_eq!(machine.runs_of("starts"), 0);
}

#[test]
fn keys_that_make_no_sense_are_named() {
    let sandbox = Sandbox::new();
    let section = "[providers.machine]\nkind = \"sdcpp\"\nstart = [\"up\"]\nstop = [\"down\"]\n";
    sandbox.configure(section);
    let failed = sandbox.reeld_fails();
    assert!(failed.stderr.contains("providers.machine.stop needs stop_after_idle_s"), "{failed:?}");
    sandbox.configure("[providers.line]\nkind = \"command\"\ndefinition = \"espeak-ng\"\nstart = [\"up\"]\n");
    let failed = sandbox.reeld_fails();
    assert!(failed.stderr.contains("providers.line.start is for kinds that use a server"), "{failed:?}");
}
