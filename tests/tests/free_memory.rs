//! Servers on this machine are asked to unload their models when memory is critically short, and only when they do nothing for reel.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    Connection, FakeComfyui, FakeOllama, FakeSdcpp, Sandbox, eventually,
    own_machine::{self, Machine, assert_made, wait_for_state},
    pause,
};
use serde_json::{Value, json};

/// More than the machine has, so memory is critical.
const SHORT: &str = "[memory]\nsystem_min_available_mb = 1048576\npoll_ms = 100\n";
const ENOUGH: &str = "[memory]\nsystem_min_available_mb = 0\npoll_ms = 100\n";
/// The daemon's own memory is critical, and that of the machine is not.
const OWN: &str = "[memory]\nsystem_min_available_mb = 0\nlimit_mb = 64\nlow = 0.05\nhigh = 0.06\ncritical = 0.07\npoll_ms = 100\n";

#[track_caller]
fn configure(sandbox: &Sandbox, connection: &mut Connection, memory: &str, sections: &str, level: &str) {
    sandbox.configure(&format!("{memory}{sections}"));
    connection.ok("daemon.reload", json!({}));
    eventually(&format!("memory is {level}"), || {
        (connection.ok("memory.status", json!({}))["level"] == level).then_some(())
    });
}

fn submit(connection: &mut Connection, prompt: &str) -> u64 {
    connection.submit("image.generate", json!({ "prompt": prompt, "width": 64, "height": 64 }))
}

fn section(server: &FakeComfyui, name: &str, more: &str) -> String {
    format!("[providers.{name}]\nkind = \"comfyui\"\nbase_url = \"{}\"\n{more}\n", server.base_url())
}

/// The process that the start script runs: this executable, with only this test.
#[test]
fn serve_if_a_script_says_so() {
    own_machine::serve_if_told();
}

#[test]
fn an_idle_server_without_a_request_for_it_is_stopped_if_reel_has_started_it() {
    let machine = Machine::new("");
    machine.configure_with(ENOUGH, Some(3_600));
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = own_machine::submit(&mut connection, "a boat");
    assert_made(&mut connection, id);
    wait_for_state(&mut connection, "started");
    machine.configure_with(SHORT, Some(3_600));
    connection.ok("daemon.reload", json!({}));
    wait_for_state(&mut connection, "stopped");
    assert_eq!((machine.runs_of("stops"), machine.is_up()), (1, false));
    machine.sandbox.wait_for_log("the idle server is stopped");
    // A task that waits for memory does not have it started, and does when there is some.
    let id = own_machine::submit(&mut connection, "a storm");
    eventually("the task waits for memory", || {
        (connection.task(id)["wait_reason"] == "memory").then_some(())
    });
    assert_eq!(machine.runs_of("starts"), 1);
    machine.configure_with(ENOUGH, Some(3_600));
    connection.ok("daemon.reload", json!({}));
    assert_made(&mut connection, id);
    assert_eq!((machine.runs_of("starts"), machine.runs_of("stops")), (2, 1));
}

#[test]
fn a_server_that_somebody_else_started_is_not_stopped_for_memory() {
    let machine = Machine::new("");
    machine.configure_with(ENOUGH, Some(3_600));
    let _server = FakeSdcpp::start_at(machine.address);
    machine.sandbox.start();
    let mut connection = machine.sandbox.connect();
    let id = own_machine::submit(&mut connection, "a boat");
    assert_made(&mut connection, id);
    machine.configure_with(SHORT, Some(3_600));
    connection.ok("daemon.reload", json!({}));
    eventually("memory is critical", || {
        (connection.ok("memory.status", json!({}))["level"] == "critical").then_some(())
    });
    pause(std::time::Duration::from_secs(2));
    assert_eq!((machine.runs_of("stops"), machine.is_up()), (0, true));
}

#[test]
fn an_idle_comfyui_unloads_its_models_once_for_each_shortage() {
    let server = FakeComfyui::start();
    // The same server under two names is asked once.
    let sections = section(&server, "comfy", "") + &section(&server, "again", "");
    let sandbox = Sandbox::started_with(&format!("{ENOUGH}{sections}"));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a boat");
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(server.frees(), Vec::<Value>::new());
    let body = json!({ "unload_models": true, "free_memory": true });
    for shortage in 1..=2 {
        configure(&sandbox, &mut connection, SHORT, &sections, "critical");
        eventually("the server was asked", || (server.frees().len() >= shortage).then_some(()));
        // Nothing more may come while the shortage lasts.
        pause(std::time::Duration::from_secs(2));
        assert_eq!(server.frees(), vec![body.clone(); shortage]);
        configure(&sandbox, &mut connection, ENOUGH, &sections, "normal");
    }
    sandbox.wait_for_log("the server was asked to unload its models");
    // The daemon's own size is no reason: nothing that the server frees would make it smaller.
    configure(&sandbox, &mut connection, OWN, &sections, "critical");
    pause(std::time::Duration::from_secs(2));
    assert_eq!(server.frees().len(), 2);
}

#[test]
fn a_comfyui_that_works_for_reel_is_asked_when_its_job_is_done() {
    let server = FakeComfyui::start();
    server.hold();
    let sections = section(&server, "comfy", "");
    let sandbox = Sandbox::started_with(&format!("{ENOUGH}{sections}"));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a boat");
    server.wait_until_held();
    configure(&sandbox, &mut connection, SHORT, &sections, "critical");
    pause(std::time::Duration::from_secs(2));
    assert_eq!(server.frees(), Vec::<Value>::new());
    server.release();
    assert_eq!(connection.wait(id)["state"], "succeeded");
    eventually("the server was asked", || (server.frees().len() == 1).then_some(()));
}

#[test]
fn a_server_that_is_down_is_not_started_to_be_freed() {
    let server = FakeComfyui::start();
    let sandbox = Sandbox::new();
    let started = sandbox.root().join("started");
    let sections = section(&server, "comfy", &format!("start = [\"touch\", \"{}\"]", started.display()));
    sandbox.configure(&format!("{ENOUGH}{sections}"));
    sandbox.start();
    let mut connection = sandbox.connect();
    server.kill();
    connection.ok("queue.pause", json!({}));
    // The task wants the server, and cannot start.
    submit(&mut connection, "a boat");
    configure(&sandbox, &mut connection, SHORT, &sections, "critical");
    sandbox.wait_for_log("the server could not be asked to unload its models");
    pause(std::time::Duration::from_secs(1));
    assert!(!started.exists());
}

#[test]
fn ollama_unloads_the_models_that_it_has_loaded() {
    let server = FakeOllama::start(&["llama3.2:latest", "qwen3:8b"]);
    let sections = format!(
        "[providers.local]\nkind = \"ollama\"\nbase_url = \"{}\"\nmodel = \"llama3.2\"\n",
        server.base_url()
    );
    let sandbox = Sandbox::started_with(&format!("{ENOUGH}{sections}"));
    let mut connection = sandbox.connect();
    for model in ["llama3.2", "qwen3:8b"] {
        let id = connection.submit("text.chat", json!({ "prompt": "hello", "model": model }));
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    assert_eq!(server.loaded().0.len(), 2);
    configure(&sandbox, &mut connection, SHORT, &sections, "critical");
    eventually("both are unloaded", || server.loaded().0.is_empty().then_some(()));
    assert_eq!(server.loaded().1, 2);
}
