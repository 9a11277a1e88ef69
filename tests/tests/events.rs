//! Events reach every subscriber in order. A client that reads too slowly loses its subscription and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_protocol::{ErrorCode, limits::EVENTS_BEHIND};
use reel_tests::{Connection, Sandbox, eventually};
use serde_json::{Value, json};

fn subscribe(connection: &mut Connection, params: Value) -> u64 {
    connection.ok("events.subscribe", params)["subscription"].as_u64().unwrap()
}

/// Returns events up to and including the first for which `is_last` holds.
fn events_until(connection: &mut Connection, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let event = connection.next_event();
        let ends = is_last(&event);
        events.push(event);
        if ends {
            return events;
        }
    }
}

fn is_over(event: &Value, id: u64) -> bool {
    event["task"]["id"] == id && event["task"]["state"] == "succeeded"
}

#[test]
fn a_task_has_events_in_order_from_acceptance_to_its_end() {
    let sandbox = Sandbox::started();
    let mut watcher = sandbox.connect();
    let hello = watcher.hello("watcher");
    let answer = watcher.ok("events.subscribe", json!({ "topics": ["task"] }));
    assert_eq!(answer["instance"], hello["instance"]);
    let mut connection = sandbox.connect();
    connection.hello("maker");
    let id = connection.submit_as(json!({ "kind": "debug.sleep", "params": { "ms": 20 }, "name": "n" }));
    let events = events_until(&mut watcher, |event| is_over(event, id));
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names[0], "accepted", "{names:?}");
    let mut states: Vec<_> = events.iter().map(|event| event["task"]["state"].as_str().unwrap()).collect();
    states.dedup();
    assert_eq!(states, ["queued", "running", "succeeded"]);
    let numbers = |key: &str| -> Vec<u64> {
        let value = |event: &Value| event[key].as_u64().or_else(|| event["task"][key].as_u64()).unwrap();
        events.iter().map(value).collect()
    };
    assert!(numbers("seq").is_sorted_by(|left, right| left < right), "{:?}", numbers("seq"));
    assert!(numbers("seq")[0] > answer["seq"].as_u64().unwrap());
    assert!(numbers("rev").is_sorted(), "{:?}", numbers("rev"));
    assert!(events.iter().all(|event| event["subscription"] == answer["subscription"]));
    assert!(events.iter().all(|event| event["task"]["client"] == "maker" && event["task"]["name"] == "n"));
    assert_eq!(connection.task(id)["rev"], *numbers("rev").last().unwrap());
    connection.ok("task.remove", json!({ "id": id }));
    assert_eq!(watcher.next_event()["event"], "removed");
}

#[test]
fn progress_events_are_coalesced_and_the_last_one_is_always_sent() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    subscribe(&mut connection, json!({ "topics": ["task"] }));
    let id = connection.submit("debug.progress", json!({ "steps": 200, "ms": 800 }));
    let events = events_until(&mut connection, |event| is_over(event, id));
    let progress: Vec<_> = events.iter().filter(|event| event["event"] == "progress").collect();
    let task = connection.task(id);
    let seconds = |key: &str| -> f64 {
        let text = task[key].as_str().unwrap();
        let parts: Vec<f64> = text[11..23].split(':').map(|part| part.parse().unwrap()).collect();
        (parts[0] * 60.0 + parts[1]) * 60.0 + parts[2]
    };
    let ran = (seconds("finished_at") - seconds("started_at")).rem_euclid(86_400.0);
    assert!(!progress.is_empty());
    assert!(progress.len() as f64 <= ran * 10.0 + 2.0, "{} events in {ran} s", progress.len());
    let fractions: Vec<f64> =
        events.iter().map(|event| event["task"]["progress"]["fraction"].as_f64().unwrap()).collect();
    assert!(fractions.is_sorted(), "{fractions:?}");
    assert_eq!(fractions.last(), Some(&1.0));
    assert_eq!(task["progress"]["fraction"], 1.0);
}

#[test]
fn filters_by_task_and_by_batch_let_nothing_else_through() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let noop = json!({ "kind": "debug.noop" });
    let (_, ids) = connection.submit_batch(vec![noop.clone(); 5]);
    let (batch, batched) = connection.submit_batch(vec![noop; 3]);
    let mut of_tasks = sandbox.connect();
    subscribe(&mut of_tasks, json!({ "topics": ["task"], "task_ids": [ids[1], ids[3]] }));
    let mut of_batch = sandbox.connect();
    subscribe(&mut of_batch, json!({ "topics": ["task"], "batch": batch }));
    connection.ok("queue.resume", json!({}));
    for (watcher, wanted) in [(&mut of_tasks, vec![ids[1], ids[3]]), (&mut of_batch, batched)] {
        let mut open = wanted.clone();
        while !open.is_empty() {
            let event = watcher.next_event();
            let id = event["task"]["id"].as_u64().unwrap();
            assert!(wanted.contains(&id), "{event}");
            open.retain(|open| !is_over(&event, *open));
        }
    }
}

#[test]
fn an_ended_subscription_gets_no_events_and_others_of_the_connection_do() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let first = subscribe(&mut connection, json!({ "topics": ["task"] }));
    let second = subscribe(&mut connection, json!({ "topics": ["task", "daemon"] }));
    assert_ne!(first, second);
    connection.ok("events.unsubscribe", json!({ "subscription": first }));
    let id = connection.submit("debug.noop", json!({}));
    let events = events_until(&mut connection, |event| is_over(event, id));
    assert!(events.iter().all(|event| event["subscription"] == second), "{events:?}");
    let error = connection.err("events.unsubscribe", json!({ "subscription": first }));
    assert_eq!(error.known(), Some(ErrorCode::SubscriptionNotFound));
}

#[test]
fn subscriptions_of_one_connection_are_bounded() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let refused =
        (0..10_000).find_map(|_| connection.call("events.subscribe", json!({ "topics": ["task"] })).err());
    let error = refused.expect("ten thousand subscriptions are too many");
    assert_eq!(error.known(), Some(ErrorCode::TooManySubscriptions), "{error:?}");
    assert!(error.data.hint.is_some(), "{error:?}");
}

#[test]
fn a_slow_reader_loses_its_subscription_and_keeps_its_connection() {
    let sandbox = Sandbox::started();
    let mut slow = sandbox.connect();
    let subscription = subscribe(&mut slow, json!({ "topics": ["task"] }));
    let mut maker = sandbox.connect();
    // These are more events than the socket's buffers and the daemon's queue can hold together.
    for _ in 0..4 {
        let (batch, _) = maker.submit_batch(vec![json!({ "kind": "debug.noop" }); EVENTS_BEHIND]);
        maker.ok("task.wait", json!({ "batch": batch }));
        eventually("all are over", || {
            let counts = maker.ok("daemon.status", json!({}))["tasks"].clone();
            (counts["queued"].as_u64().unwrap_or(0) + counts["running"].as_u64().unwrap_or(0) == 0)
                .then_some(())
        });
    }
    let events = events_until(&mut slow, |event| event["event"] == "subscription_dropped");
    let last = events.last().unwrap();
    assert_eq!(last["subscription"], subscription);
    assert!(last["missed"].as_u64().unwrap() > 0, "{last}");
    slow.ok("daemon.status", json!({}));
    // The client may subscribe again, and gets current events.
    subscribe(&mut slow, json!({ "topics": ["task"] }));
    let id = maker.submit("debug.noop", json!({}));
    events_until(&mut slow, |event| is_over(event, id));
}
