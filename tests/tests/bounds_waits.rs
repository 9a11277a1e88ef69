//! Waits for tasks and dependencies between tasks are counted in the memory budget. If it is full, they are refused with numbers in the message. What
//! was accepted goes on, also after a restart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_protocol::ErrorCode;
use reel_tests::{Connection, Sandbox, eventually};
use serde_json::{Value, json};

/// The smallest `limit_mb` that the configuration allows. Requests and tasks may hold six sixteenths of it.
const LIMIT_MB: u64 = 64;
const SHARE_BYTES: u64 = LIMIT_MB * 1024 * 1024 / 16 * 6;
/// The bytes that a wait holds at least, and the bytes for each id in it.
const WAIT_BYTES: u64 = 256;
const WAITED_ID_BYTES: u64 = 32;

fn started() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&format!("[memory]\nlimit_mb = {LIMIT_MB}\n"));
    sandbox.start();
    sandbox
}

fn noops(count: usize) -> Vec<Value> {
    vec![json!({ "kind": "debug.noop" }); count]
}

/// Returns the bytes that requests and tasks hold at this moment.
fn held_bytes(connection: &mut Connection) -> u64 {
    let memory = connection.ok("memory.status", json!({}));
    let mut reservations = memory["reservations"].as_array().unwrap().iter();
    reservations.find(|reservation| reservation["holder"] == "request").unwrap()["bytes"].as_u64().unwrap()
}

#[test]
fn a_wait_for_a_batch_holds_one_entry_whatever_the_size_of_the_batch() {
    let sandbox = started();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let (batch, _) = connection.submit_batch(noops(4_000));
    let before = held_bytes(&mut connection);
    let mut waiters = [sandbox.connect(), sandbox.connect()];
    let waits: Vec<u64> = waiters
        .iter_mut()
        .flat_map(|waiter| {
            (0..20).map(|_| waiter.request("task.wait", json!({ "batch": batch }))).collect::<Vec<_>>()
        })
        .collect();
    let more = eventually("the waits are counted", || {
        let more = held_bytes(&mut connection) - before;
        (more >= waits.len() as u64 * WAIT_BYTES).then_some(more)
    });
    assert!(more < waits.len() as u64 * 8 * 1024, "{more} bytes for waits that name no task");
    connection.ok("queue.resume", json!({}));
    for (number, wait) in waits.into_iter().enumerate() {
        let answer = waiters[number / 20].answer(wait).unwrap();
        assert_eq!((&answer["timed_out"], answer["tasks"].as_array().unwrap().len()), (&json!(false), 1_000));
        assert!(answer["tasks"].as_array().unwrap().iter().all(|task| task["batch"] == batch));
    }
    eventually("what the waits held is given back", || (held_bytes(&mut connection) < before).then_some(()));
}

#[test]
fn a_wait_for_a_batch_outlives_a_task_that_is_held_and_released() {
    let sandbox = started();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let (batch, ids) = connection.submit_batch(noops(2));
    connection.ok("task.hold", json!({ "id": ids[0] }));
    let any = connection.ok("task.wait", json!({ "batch": batch, "until": "any" }));
    assert_eq!((&any["timed_out"], &any["tasks"][0]["state"]), (&json!(false), &json!("held")));
    connection.ok("task.release", json!({ "id": ids[0] }));
    let mut waiter = sandbox.connect();
    let wait = waiter.request("task.wait", json!({ "batch": batch }));
    connection.ok("task.hold", json!({ "id": ids[0] }));
    connection.ok("task.release", json!({ "id": ids[0] }));
    connection.ok("queue.resume", json!({}));
    let answer = waiter.answer(wait).unwrap();
    let states: Vec<_> = answer["tasks"].as_array().unwrap().iter().map(|task| &task["state"]).collect();
    assert_eq!(states, ["succeeded", "succeeded"]);
}

#[test]
fn waits_for_ids_that_do_not_fit_the_budget_are_refused_and_leave_nothing() {
    let sandbox = started();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let (_, ids) = connection.submit_batch(noops(1_000));
    let before = held_bytes(&mut connection);
    let one_wait = WAIT_BYTES + 1_000 * WAITED_ID_BYTES;
    let mut waiters: Vec<_> = (0..4).map(|_| sandbox.connect()).collect();
    for waiter in &mut waiters {
        for _ in 0..=SHARE_BYTES / one_wait / 4 {
            waiter.request("task.wait", json!({ "ids": ids }));
        }
    }
    eventually("the share is full", || (held_bytes(&mut connection) > SHARE_BYTES - one_wait).then_some(()));
    let refused = connection.err("task.wait", json!({ "ids": ids }));
    assert_eq!(refused.known(), Some(ErrorCode::OverMemory), "{refused:?}");
    assert!(refused.message.contains(&one_wait.to_string()), "with its numbers: {refused:?}");
    drop(waiters);
    eventually("waits end with their clients", || (held_bytes(&mut connection) <= before).then_some(()));
    connection.ok("queue.resume", json!({}));
    let waited = connection.ok("task.wait", json!({ "ids": ids }));
    assert_eq!(waited["timed_out"], false);
}

#[test]
fn dependencies_that_do_not_fit_the_budget_are_refused_and_those_that_do_survive_a_restart() {
    let sandbox = started();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let (_, first) = connection.submit_batch(noops(1_000));
    let dependent = json!({ "kind": "debug.noop", "after": first });
    let mut last = None;
    let refused = (0..40).find_map(|_| {
        let tasks = json!({ "tasks": vec![dependent.clone(); 100] });
        match connection.call("task.submit_batch", tasks) {
            Ok(accepted) => {
                last = accepted["ids"].as_array().unwrap().last().cloned();
                None
            }
            Err(error) => Some(error),
        }
    });
    let refused = refused.expect("four million dependencies do not fit");
    assert_eq!(refused.known(), Some(ErrorCode::OverMemory), "{refused:?}");
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    connection.ok("queue.resume", json!({}));
    let waited = connection.ok("task.wait", json!({ "ids": [last] }));
    assert_eq!(waited["tasks"][0]["state"], "succeeded");
    eventually("nothing is held for what is over", || {
        (held_bytes(&mut connection) < 64 * 1024).then_some(())
    });
}
