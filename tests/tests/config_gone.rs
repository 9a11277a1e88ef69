//! A configuration that is missing or empty for a while. The tasks of its providers wait for it, and no accepted task fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    Connection, FakeProvider, eventually,
    fake_provider::Fault,
    studio::{prompt, studio, submit, unhurried_studio},
};
use serde_json::{Value, json};

fn named(connection: &mut Connection, text: &str) -> u64 {
    connection.submit_as(json!({ "kind": "image.generate", "params": prompt(text), "provider": "studio" }))
}

#[track_caller]
fn waits_for_its_provider(connection: &mut Connection, id: u64) -> Value {
    eventually("the task waits for its provider", || {
        let task = connection.task(id);
        assert!(task["state"] != "failed", "{task}");
        (task["wait_reason"] == "provider_missing").then_some(task)
    })
}

#[test]
fn tasks_wait_while_the_configuration_is_missing_or_empty_and_then_go_on() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "max_concurrent = 2");
    let mut connection = sandbox.connect();
    let text = fs::read_to_string(sandbox.config()).unwrap();
    for is_removed in [true, false] {
        connection.ok("queue.pause", json!({}));
        let ids = [
            named(&mut connection, &format!("named {is_removed}")),
            submit(&mut connection, &format!("unnamed {is_removed}")),
        ];
        if is_removed {
            fs::remove_file(sandbox.config()).unwrap();
        } else {
            sandbox.configure("");
        }
        connection.ok("daemon.reload", json!({}));
        connection.ok("queue.resume", json!({}));
        for id in ids {
            let task = waits_for_its_provider(&mut connection, id);
            assert_eq!((&task["state"], &task["provider"]), (&json!("queued"), &json!("studio")), "{task}");
        }
        let status = connection.ok("daemon.status", json!({}));
        assert_eq!(status["missing_providers"], json!({ "studio": 2 }), "{status}");
        let said = sandbox.reel(&["status"]).expect_code(0).stdout.clone();
        assert!(said.contains("2 tasks wait for studio") && said.contains("reel config edit"), "{said}");
        let said = sandbox.reel(&["show", &ids[0].to_string()]).expect_code(0).stdout.clone();
        assert!(said.contains("is not configured") && said.contains("reel cancel"), "{said}");
        let refused = connection.err(
            "task.submit",
            json!({ "kind": "image.generate", "params": prompt("new"), "provider": "studio" }),
        );
        assert_eq!(refused.data.code, "unknown_provider", "what comes now is refused: {refused:?}");
        assert_eq!(provider.calls(), if is_removed { 0 } else { 2 }, "nobody is asked meanwhile");
        sandbox.configure(&text);
        connection.ok("daemon.reload", json!({}));
        for id in ids {
            let task = connection.wait(id);
            assert_eq!(
                (&task["state"], &task["provider"]),
                (&json!("succeeded"), &json!("studio")),
                "{task}"
            );
        }
    }
    let status = connection.ok("daemon.status", json!({}));
    assert_eq!(status["missing_providers"], json!({}), "{status}");
}

#[test]
fn a_start_without_the_configuration_fails_no_task() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let ids = [named(&mut connection, "named"), submit(&mut connection, "unnamed")];
    let given_up = named(&mut connection, "given up");
    let first = connection.submit("debug.sleep", json!({ "ms": 1 }));
    let behind = connection.submit_as(
        json!({ "kind": "image.generate", "params": prompt("behind"), "provider": "studio", "after": [first] }),
    );
    let text = fs::read_to_string(sandbox.config()).unwrap();
    sandbox.kill();
    fs::remove_file(sandbox.config()).unwrap();
    sandbox.start();
    let mut connection = sandbox.connect();
    connection.ok("queue.resume", json!({}));
    for id in ids.into_iter().chain([behind]) {
        waits_for_its_provider(&mut connection, id);
    }
    connection.ok("task.cancel", json!({ "id": given_up }));
    assert_eq!(connection.wait(given_up)["state"], "cancelled");
    sandbox.configure(&text);
    connection.ok("daemon.reload", json!({}));
    for id in ids.into_iter().chain([behind]) {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    assert_eq!(provider.calls(), 3);
}

#[test]
fn equal_tasks_that_waited_for_their_provider_still_make_one_call() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let text = fs::read_to_string(sandbox.config()).unwrap();
    connection.ok("queue.pause", json!({}));
    let ids: Vec<_> = (0..5).map(|_| submit(&mut connection, "one for all")).collect();
    sandbox.configure("");
    connection.ok("daemon.reload", json!({}));
    for id in &ids {
        waits_for_its_provider(&mut connection, *id);
    }
    connection.ok("queue.resume", json!({}));
    sandbox.configure(&text);
    connection.ok("daemon.reload", json!({}));
    for id in ids {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_task_whose_provider_is_removed_during_its_attempt_waits_for_it() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "");
    let text = fs::read_to_string(sandbox.config()).unwrap();
    provider.script([Fault::Unavailable]);
    provider.hold();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "orphaned");
    provider.wait_for_in_flight(1);
    sandbox.configure("");
    connection.ok("daemon.reload", json!({}));
    provider.release();
    waits_for_its_provider(&mut connection, id);
    sandbox.configure(&text);
    connection.ok("daemon.reload", json!({}));
    assert_eq!(connection.wait(id)["state"], "succeeded");
}

#[test]
fn a_held_task_whose_provider_is_gone_waits_once_it_is_released() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let text = fs::read_to_string(sandbox.config()).unwrap();
    provider.script([Fault::ResetAfterRequest]);
    let id = submit(&mut connection, "lost");
    assert_eq!(connection.wait(id)["hold_reason"], "outcome_unknown");
    sandbox.configure("");
    connection.ok("daemon.reload", json!({}));
    assert_eq!(connection.task(id)["state"], "held", "a person decides about it");
    connection.ok("task.release", json!({ "id": id }));
    waits_for_its_provider(&mut connection, id);
    sandbox.configure(&text);
    connection.ok("daemon.reload", json!({}));
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(provider.calls(), 2);
}

#[test]
fn a_call_that_may_have_been_paid_is_not_repeated_after_the_configuration_was_missing() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let text = fs::read_to_string(sandbox.config()).unwrap();
    provider.script([Fault::ResetAfterRequest]);
    let lost = submit(&mut connection, "once");
    assert_eq!(connection.wait(lost)["hold_reason"], "outcome_unknown");
    sandbox.kill();
    fs::remove_file(sandbox.config()).unwrap();
    sandbox.start();
    let mut connection = sandbox.connect();
    assert_eq!(connection.task(lost)["state"], "held");
    sandbox.configure(&text);
    connection.ok("daemon.reload", json!({}));
    let equal = submit(&mut connection, "once");
    let task = connection.wait(equal);
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    assert_eq!(provider.calls(), 1);
}
