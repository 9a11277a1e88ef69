//! Texts are paid for once. Equal questions share one call, and after a daemon died during a call, the question is asked again only if that is free.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{FakeProvider, studio::unhurried_studio};
use serde_json::{Value, json};

const WRITES: &str = "models = { text = \"writer-1\" }\n";

#[test]
fn equal_questions_share_one_call_and_its_answer() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, WRITES);
    provider.hold();
    let mut connections: Vec<_> = (0..8).map(|_| sandbox.connect()).collect();
    let mut ids = Vec::new();
    for _ in 0..8 {
        for connection in &mut connections {
            ids.push(connection.submit("text.chat", json!({ "prompt": "Why?" })));
        }
    }
    provider.wait_for_in_flight(1);
    provider.release();
    for id in ids {
        let task = connections[0].wait(id);
        assert_eq!(
            (&task["state"], &task["outputs"][0]["text"]),
            (&json!("succeeded"), &json!("You asked: Why?"))
        );
    }
    assert_eq!(provider.calls(), 1);
}

/// Kills the daemon while a question is in flight, restarts it, and returns the task once it is settled.
fn asked_across_a_death(provider: &FakeProvider, more: &str) -> Value {
    let sandbox = unhurried_studio(provider, &format!("{WRITES}{more}"));
    provider.hold();
    let id = sandbox.connect().submit("text.chat", json!({ "prompt": "Why?" }));
    provider.wait_for_in_flight(1);
    sandbox.kill();
    provider.release();
    sandbox.start();
    sandbox.connect().wait(id)
}

#[test]
fn after_a_crash_a_paid_question_in_flight_is_held_and_a_free_one_is_asked_again() {
    let provider = FakeProvider::start();
    let task = asked_across_a_death(&provider, "");
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    assert_eq!(provider.calls(), 1);
    provider.forget();
    let task = asked_across_a_death(&provider, "billing = \"free\"");
    assert_eq!(
        (&task["state"], &task["outputs"][0]["text"]),
        (&json!("succeeded"), &json!("You asked: Why?")),
        "{task}"
    );
    assert_eq!(provider.calls(), 2);
}
