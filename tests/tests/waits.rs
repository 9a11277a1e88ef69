//! Waits, batches, and submissions that are safe to repeat.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_protocol::ErrorCode;
use reel_tests::Sandbox;
use serde_json::{Value, json};

fn sleeping(ms: u64) -> Value {
    json!({ "kind": "debug.sleep", "params": { "ms": ms } })
}

fn states(result: &Value) -> Vec<&str> {
    result["tasks"].as_array().unwrap().iter().map(|task| task["state"].as_str().unwrap()).collect()
}

#[test]
fn a_wait_for_all_answers_in_the_order_of_its_ids() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let (batch, ids) = connection.submit_batch(vec![sleeping(150), sleeping(1), sleeping(80)]);
    let backwards: Vec<u64> = ids.iter().rev().copied().collect();
    let result = connection.ok("task.wait", json!({ "ids": backwards }));
    assert_eq!(result["timed_out"], false);
    let found: Vec<u64> =
        result["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_u64().unwrap()).collect();
    assert_eq!(found, backwards);
    let result = connection.ok("task.wait", json!({ "batch": batch }));
    assert_eq!(states(&result), ["succeeded"; 3]);
    assert!(result["tasks"].as_array().unwrap().iter().all(|task| task["batch"] == batch));
}

#[test]
fn a_wait_for_any_answers_with_the_first_and_the_others_go_on() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let (batch, _) = connection.submit_batch(vec![sleeping(600_000), sleeping(1), sleeping(600_000)]);
    let result = connection.ok("task.wait", json!({ "batch": batch, "until": "any" }));
    assert_eq!(result["timed_out"], false);
    assert_eq!(states(&result)[1], "succeeded");
    assert_ne!(states(&result)[0], "succeeded");
}

#[test]
fn a_timeout_ends_the_waiting_and_never_the_work() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let id = connection.submit_as(sleeping(600_000));
    for timeout in [json!(0), json!(0.05), json!(0.1)] {
        let result = connection.ok("task.wait", json!({ "ids": [id], "timeout_s": timeout }));
        assert_eq!((&result["timed_out"], &result["tasks"][0]["id"]), (&json!(true), &json!(id)));
    }
    assert!(matches!(connection.task(id)["state"].as_str(), Some("queued" | "running")));
    connection.ok("task.cancel", json!({ "id": id }));
    connection.wait(id);
    // The task has ended already, so even a timeout of 0 does not apply.
    let result = connection.ok("task.wait", json!({ "ids": [id], "timeout_s": 0 }));
    assert_eq!(result["timed_out"], false);
}

#[test]
fn a_service_call_that_times_out_returns_the_current_task() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let call =
        json!({ "service": "debug", "method": "sleep", "params": { "ms": 600_000 }, "timeout_s": 0.05 });
    let task = connection.ok("service.call", call);
    assert!(matches!(task["state"].as_str(), Some("queued" | "running")), "{task}");
    connection.ok("task.cancel", json!({ "id": task["id"] }));
    assert_eq!(connection.wait(task["id"].as_u64().unwrap())["state"], "cancelled");
    let call = json!({ "service": "debug", "method": "fail", "params": { "code": "x", "retryable": false } });
    assert_eq!(connection.ok("service.call", call)["state"], "failed");
}

#[test]
fn a_cancel_and_a_hold_wake_every_waiter() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut connection = sandbox.connect();
    let running = connection.submit_as(sleeping(600_000));
    let queued = connection.submit_as(sleeping(600_000));
    let mut waiters: Vec<_> = (0..20).map(|_| sandbox.connect()).collect();
    for waiter in &mut waiters {
        waiter.request("task.wait", json!({ "ids": [queued] }));
        waiter.request("task.wait", json!({ "ids": [running] }));
    }
    connection.ok("task.hold", json!({ "id": queued }));
    connection.ok("task.cancel", json!({ "id": running }));
    for waiter in &mut waiters {
        assert_eq!(waiter.answer(1).unwrap()["tasks"][0]["state"], "held");
        assert_eq!(waiter.answer(2).unwrap()["tasks"][0]["state"], "cancelled");
    }
}

#[test]
fn a_batch_is_accepted_whole_or_not_at_all() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    for (bad, code) in [
        (json!({ "kind": "debug.nothing" }), ErrorCode::UnknownKind),
        (json!({ "kind": "debug.sleep", "params": { "ms": "x" } }), ErrorCode::InvalidParams),
        (json!({ "kind": "debug.noop", "after": [4711] }), ErrorCode::DependencyNotFound),
        (json!({ "kind": "image.generate", "params": { "prompt": "" } }), ErrorCode::InvalidParams),
    ] {
        let tasks =
            json!([{ "kind": "debug.noop" }, { "kind": "debug.noop" }, bad, { "kind": "debug.noop" }]);
        let error = connection.err("task.submit_batch", json!({ "tasks": tasks }));
        assert_eq!(error.known(), Some(code), "{error:?}");
        assert!(
            error.message.contains(['2', '3']) || error.message.contains("4711"),
            "says which one: {error:?}"
        );
    }
    assert_eq!(connection.ok("task.list", json!({}))["tasks"], json!([]));
    let error = connection.err("task.submit_batch", json!({ "tasks": [], "batch": 99 }));
    assert!(matches!(error.known(), Some(ErrorCode::BatchNotFound | ErrorCode::InvalidParams)), "{error:?}");
}

#[test]
fn a_batch_grows_and_a_wait_on_it_covers_what_was_added() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let (batch, first) = connection.submit_batch(vec![json!({ "kind": "debug.noop" }); 3]);
    let more =
        connection.ok("task.submit_batch", json!({ "batch": batch, "tasks": [sleeping(50), sleeping(50)] }));
    assert_eq!(more["batch"], batch);
    assert!(more["ids"][0].as_u64() > first.last().copied());
    let result = connection.ok("task.wait", json!({ "batch": batch }));
    assert_eq!(states(&result), ["succeeded"; 5]);
    let error = connection.err("task.submit_batch", json!({ "batch": 999, "tasks": [sleeping(1)] }));
    assert_eq!(error.known(), Some(ErrorCode::BatchNotFound), "{error:?}");
}

#[test]
fn the_same_request_id_returns_the_same_task_also_after_a_restart() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.hello("tool");
    let spec = |ms: u64| json!({ "kind": "debug.sleep", "params": { "ms": ms }, "request_id": "shot-1" });
    let id = connection.submit_as(spec(1));
    assert_eq!(connection.submit_as(spec(1)), id);
    // Neither the order of the keys nor the notation of a number makes it another request.
    let again = r#"{"request_id":"shot-1","params":{"ms":1.0},"kind":"debug.sleep"}"#;
    let line = format!(r#"{{"jsonrpc":"2.0","id":99,"method":"task.submit","params":{again}}}"#);
    connection.send_line(&line);
    assert_eq!(connection.read_value().unwrap()["result"]["id"], id);
    let mistyped = json!({ "kind": "debug.noop", "requestId": "shot-1" });
    let error = connection.err("task.submit", mistyped);
    assert_eq!(error.data.hint.as_deref(), Some("did you mean request_id?"), "{error:?}");
    connection.wait(id);
    assert_eq!(connection.submit_as(spec(1)), id);
    let error = connection.err("task.submit", spec(2));
    assert_eq!(error.known(), Some(ErrorCode::RequestIdConflict), "{error:?}");
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    connection.hello("tool");
    assert_eq!(connection.submit_as(spec(1)), id);
    let error = connection.err("task.submit", spec(2));
    assert_eq!(error.known(), Some(ErrorCode::RequestIdConflict), "{error:?}");
    // Request ids are unique only per client name.
    let mut other = sandbox.connect();
    other.hello("another tool");
    assert_ne!(other.submit_as(spec(1)), id);
}

#[test]
fn equal_request_ids_that_arrive_at_once_make_one_task() {
    let sandbox = Sandbox::started();
    let mut connections: Vec<_> = (0..20).map(|_| sandbox.connect()).collect();
    for connection in &mut connections {
        connection.hello("tool");
        connection.request("task.submit", json!({ "kind": "debug.noop", "request_id": "once" }));
    }
    let ids: Vec<Value> = connections.iter_mut().map(|each| each.answer(2).unwrap()["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let listed = connections[0].ok("task.list", json!({}));
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn a_batch_with_a_request_id_is_safe_to_send_again() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.hello("tool");
    let batch =
        |count: usize| json!({ "request_id": "b", "tasks": vec![json!({ "kind": "debug.noop" }); count] });
    let first = connection.ok("task.submit_batch", batch(5));
    assert_eq!(connection.ok("task.submit_batch", batch(5)), first);
    let error = connection.err("task.submit_batch", batch(6));
    assert_eq!(error.known(), Some(ErrorCode::RequestIdConflict), "{error:?}");
    assert_eq!(connection.ok("task.list", json!({}))["tasks"].as_array().unwrap().len(), 5);
}

#[test]
fn a_wait_returns_the_final_state_of_a_task_that_was_retried_meanwhile() {
    let sandbox = Sandbox::started();
    let (mut waiting, mut other) = (sandbox.connect(), sandbox.connect());
    // The queue is paused, so nothing ends before the wait begins.
    other.ok("queue.pause", json!({}));
    let bad = json!({ "kind": "debug.fail", "params": { "code": "broken", "retryable": false } });
    let (_, ids) = other.submit_batch(vec![bad, sleeping(600_000)]);
    let wait = waiting.request("task.wait", json!({ "ids": ids }));
    // This request follows the wait on the same connection. Once it is answered, the wait has begun.
    waiting.ok("task.get", json!({ "id": ids[0] }));
    other.ok("queue.resume", json!({}));
    assert_eq!(other.wait(ids[0])["attempts"], 1);
    other.ok("task.retry", json!({ "id": ids[0] }));
    assert_eq!(other.wait(ids[0])["attempts"], 2);
    other.ok("task.cancel", json!({ "id": ids[1] }));
    let result = waiting.answer(wait).unwrap();
    assert_eq!((states(&result), &result["tasks"][0]["attempts"]), (vec!["failed", "cancelled"], &json!(2)));
}
