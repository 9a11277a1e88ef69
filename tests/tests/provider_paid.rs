//! Calls that may have been paid for are never repeated automatically, their results are never thrown away, and equal requests get these results.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    FakeProvider, eventually,
    fake_provider::Fault,
    studio::{prompt, studio, submit, unhurried_studio},
};
use serde_json::json;

#[test]
fn an_equal_request_joins_one_whose_outcome_is_unknown_and_a_release_asks_once_for_both() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.script([Fault::ResetAfterRequest]);
    let mut connection = sandbox.connect();
    let first = submit(&mut connection, "one of a kind");
    assert_eq!(connection.wait(first)["hold_reason"], "outcome_unknown");
    let second = submit(&mut connection, "one of a kind");
    let held = connection.wait(second);
    assert_eq!((&held["state"], &held["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{held}");
    assert!(held["error"]["message"].as_str().unwrap().contains(&format!("task {first}")), "{held}");
    assert_eq!(provider.calls(), 1, "it joined rather than paying");
    let said = sandbox.reel(&["wait", &second.to_string()]);
    said.expect_code(1);
    assert!(said.stderr.contains("reel release") && said.stderr.contains("reel cancel"), "{}", said.stderr);
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    connection.ok("task.release", json!({ "id": second }));
    for id in [first, second] {
        eventually("both are made", || (connection.task(id)["state"] == "succeeded").then_some(()));
    }
    assert_eq!(provider.calls(), 2);
}

#[test]
fn a_paid_call_goes_on_though_its_task_was_cancelled_and_its_picture_is_kept() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "");
    provider.hold();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "too late");
    provider.wait_for_in_flight(1);
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    provider.release();
    eventually("the picture is kept", || {
        (connection.ok("cache.stats", json!({}))["entries"] == 1).then_some(())
    });
    let again = connection.generate(prompt("too late"));
    assert_eq!((&again["source"], provider.calls()), (&json!("cache"), 1));
}

#[test]
fn an_equal_request_gets_the_picture_of_a_cancelled_call_that_goes_on() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "");
    provider.hold();
    let mut connection = sandbox.connect();
    let given_up = submit(&mut connection, "once more");
    provider.wait_for_in_flight(1);
    connection.ok("task.cancel", json!({ "id": given_up }));
    let again = submit(&mut connection, "once more");
    eventually("it takes the call over", || (connection.task(again)["state"] == "running").then_some(()));
    provider.release();
    let task = connection.wait(again);
    assert_eq!((&task["state"], provider.calls()), (&json!("succeeded"), 1), "{task}");
}

#[test]
fn a_deadline_does_not_end_a_task_that_may_have_been_paid() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.script([Fault::ResetAfterRequest]);
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "image.generate", "params": prompt("late"), "deadline_s": 1.5 });
    let id = connection.submit_as(spec);
    assert_eq!(connection.wait(id)["hold_reason"], "outcome_unknown");
    // Another task with the same deadline shows that the deadline has passed.
    let other =
        connection.submit_as(json!({ "kind": "debug.sleep", "params": { "ms": 60_000 }, "deadline_s": 1.5 }));
    assert_eq!(connection.wait(other)["error"]["code"], "deadline_exceeded");
    assert_eq!(connection.task(id)["state"], "held");
    // A cancel still says that the call may have been paid for.
    connection.ok("task.cancel", json!({ "id": id }));
    let task = connection.task(id);
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("cancelled"), &json!("cancelled")),
        "{task}"
    );
    assert!(task["error"]["message"].as_str().unwrap().contains("may have been paid"), "{task}");
}

#[test]
fn a_task_that_may_have_been_paid_stays_held_after_its_provider_is_removed() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "");
    provider.hold();
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "image.generate", "params": prompt("x"), "provider": "studio" });
    let id = connection.submit_as(spec);
    provider.wait_for_in_flight(1);
    sandbox.kill();
    sandbox.configure("");
    sandbox.start();
    let mut connection = sandbox.connect();
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("studio"), "{task}");
    connection.ok("task.set_priority", json!({ "id": id, "priority": 5 }));
    assert!(connection.task(id)["error"].is_object(), "why it is held is not forgotten");
    let released = connection.ok("task.release", json!({ "id": id }));
    assert_eq!(released["state"], "queued", "{released}");
    eventually("it waits for its provider", || {
        (connection.task(id)["wait_reason"] == "provider_missing").then_some(())
    });
}

#[test]
fn nothing_is_requested_that_a_full_store_could_not_keep() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "[cache]\ndisk_mb = 16");
    provider.picture_bytes(5 << 20);
    let mut connection = sandbox.connect();
    // All tasks are in one unfinished batch, so that none of them is removed from the history.
    let mut tasks: Vec<_> = (0..6)
        .map(|n| {
            let params = prompt(&format!("{n}"));
            json!({ "kind": "image.generate", "params": params, "max_attempts": 1, "priority": 10 - n })
        })
        .collect();
    tasks.push(json!({ "kind": "debug.sleep", "params": { "ms": 30_000 }, "priority": 90 }));
    let (_, ids) = connection.submit_batch(tasks);
    let tasks: Vec<_> = ids[..6].iter().map(|id| connection.wait(*id)).collect();
    let made = tasks.iter().filter(|task| task["state"] == "succeeded").count();
    assert!((1..4).contains(&made), "{tasks:?}");
    let unmade = tasks.iter().filter(|task| task["error"]["code"] == "storage_full");
    assert!(unmade.clone().count() >= 2, "{tasks:?}");
    for task in unmade.filter(|task| task["state"] == "failed") {
        let text = task["params"]["prompt"].as_str().unwrap();
        assert_eq!(provider.calls_of(text), 0, "{task}");
    }
}

#[test]
fn a_stop_waits_for_calls_that_may_have_been_paid() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "");
    provider.hold();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "the last one");
    provider.wait_for_in_flight(1);
    connection.ok("daemon.shutdown", json!({}));
    provider.release();
    eventually("the daemon is gone", || sandbox.daemons().is_empty().then_some(()));
    sandbox.start();
    let task = sandbox.connect().wait(id);
    assert_eq!((&task["state"], provider.calls()), (&json!("succeeded"), 1), "{task}");
}
