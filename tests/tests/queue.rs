//! The queue: its limit, its order, fairness between clients, and pausing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::collections::HashSet;

use reel_protocol::ErrorCode;
use reel_tests::{Connection, Sandbox, eventually};
use serde_json::{Value, json};

fn sleeping(ms: u64) -> Value {
    json!({ "kind": "debug.sleep", "params": { "ms": ms } })
}

/// Opens a connection that receives all events of all tasks.
fn watcher(sandbox: &Sandbox) -> Connection {
    let mut watcher = sandbox.connect();
    watcher.ok("events.subscribe", json!({ "topics": ["task"] }));
    watcher
}

/// Returns the tasks in the order in which they began to run, until all of `last` have ended.
fn order_of_starts(watcher: &mut Connection, last: &[u64]) -> Vec<u64> {
    let mut open: HashSet<u64> = last.iter().copied().collect();
    let mut started = Vec::new();
    while !open.is_empty() {
        let event = watcher.next_event();
        let id = event["task"]["id"].as_u64().unwrap();
        match event["task"]["state"].as_str().unwrap() {
            "running" if !started.contains(&id) => started.push(id),
            "succeeded" | "failed" | "cancelled" => drop(open.remove(&id)),
            _ => {}
        }
    }
    started
}

#[test]
fn the_limit_of_running_tasks_is_kept_and_used() {
    let sandbox = Sandbox::started();
    let mut watcher = watcher(&sandbox);
    let mut connections: Vec<_> = (0..6).map(|_| sandbox.connect()).collect();
    let mut open = HashSet::new();
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.hello(&format!("tool {index}"));
        open.extend(connection.submit_batch(vec![sleeping(15 + index as u64); 15]).1);
    }
    let (mut running, mut most) = (HashSet::new(), 0);
    while !open.is_empty() {
        let event = watcher.next_event();
        assert_ne!(event["event"], "subscription_dropped");
        let id = event["task"]["id"].as_u64().unwrap();
        match event["task"]["state"].as_str().unwrap() {
            "running" => drop(running.insert(id)),
            "succeeded" => {
                running.remove(&id);
                open.remove(&id);
            }
            _ => {}
        }
        most = most.max(running.len());
    }
    assert_eq!(most, 10);
}

#[test]
fn a_task_of_another_client_waits_only_for_running_tasks() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 2\n");
    let mut watcher = watcher(&sandbox);
    let mut busy = sandbox.connect();
    busy.hello("busy");
    // No task of the crowd ends by itself, so the result does not depend on speed.
    let (_, crowd) = busy.submit_batch(vec![sleeping(600_000); 50]);
    for id in &crowd[..2] {
        eventually("the first run", || (busy.task(*id)["state"] == "running").then_some(()));
    }
    let mut quiet = sandbox.connect();
    quiet.hello("quiet");
    let single = quiet.submit_as(sleeping(1));
    busy.ok("task.cancel", json!({ "id": crowd[0] }));
    assert_eq!(quiet.wait(single)["state"], "succeeded");
    let mut started = order_of_starts(&mut watcher, &[single]);
    started.truncate(3);
    assert_eq!(started, [crowd[0], crowd[1], single], "the free slot is for the other client");
}

#[test]
fn lanes_of_one_client_take_turns_too() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut watcher = watcher(&sandbox);
    let mut connection = sandbox.connect();
    connection.hello("tool");
    connection.ok("queue.pause", json!({}));
    let (_, first) = connection.submit_batch(vec![json!({ "kind": "debug.noop" }); 50]);
    let (_, second) = connection.submit_batch(vec![json!({ "kind": "debug.noop" }); 5]);
    connection.ok("queue.resume", json!({}));
    let started = order_of_starts(&mut watcher, &first);
    let last_of_second = started.iter().rposition(|id| second.contains(id)).unwrap();
    assert!(last_of_second < 15, "the small batch had to wait for the large one: {last_of_second}");
    let of_first: Vec<_> = started.iter().filter(|id| first.contains(id)).copied().collect();
    assert_eq!(of_first, first, "one lane keeps its order");
}

#[test]
fn higher_priorities_run_first_and_changes_of_priority_count() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut watcher = watcher(&sandbox);
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let mut submit =
        |priority: i8| connection.submit_as(json!({ "kind": "debug.noop", "priority": priority }));
    let (low, middle, high, moved) = (submit(-100), submit(0), submit(100), submit(-50));
    connection.ok("task.set_priority", json!({ "id": moved, "priority": 50 }));
    assert_eq!(connection.task(moved)["priority"], 50);
    let error = connection.err("task.set_priority", json!({ "id": moved, "priority": 101 }));
    assert_eq!(error.known(), Some(ErrorCode::InvalidParams), "{error:?}");
    connection.ok("queue.resume", json!({}));
    assert_eq!(order_of_starts(&mut watcher, &[low, middle, high, moved]), [high, moved, middle, low]);
}

#[test]
fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let running = connection.submit_as(sleeping(200));
    eventually("it has begun", || (connection.task(running)["state"] != "queued").then_some(()));
    connection.ok("queue.pause", json!({}));
    let id = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(running)["state"], "succeeded", "what runs goes on");
    assert_eq!(connection.task(id)["state"], "queued");
    assert_eq!(connection.ok("daemon.status", json!({}))["is_paused"], true);
    connection.ok("queue.resume", json!({}));
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(connection.ok("daemon.status", json!({}))["is_paused"], false);
}

#[test]
fn a_full_queue_refuses_with_its_limit_and_accepts_work_again_later() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\nqueue_limit = 5\n");
    let mut connection = sandbox.connect();
    let (_, ids) = connection.submit_batch(vec![sleeping(600_000); 5]);
    let error = connection.err("task.submit", sleeping(1));
    assert_eq!(error.known(), Some(ErrorCode::QueueFull), "{error:?}");
    assert!(error.message.ends_with("the limit of 5") && error.data.hint.is_some(), "{error:?}");
    connection.ok("task.cancel", json!({ "id": ids[4] }));
    connection.wait(ids[4]);
    let id = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.task(id)["state"], "queued");
}

#[test]
fn status_counts_every_state() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut connection = sandbox.connect();
    let running = connection.submit_as(sleeping(600_000));
    eventually("it runs", || (connection.task(running)["state"] == "running").then_some(()));
    let queued = connection.submit("debug.noop", json!({}));
    let held = connection.submit("debug.noop", json!({}));
    connection.ok("task.hold", json!({ "id": held }));
    let cancelled = connection.submit("debug.noop", json!({}));
    connection.ok("task.cancel", json!({ "id": cancelled }));
    connection.submit_as(json!({ "kind": "debug.noop", "after": [queued] }));
    let counts = connection.ok("daemon.status", json!({}))["tasks"].clone();
    for state in ["running", "queued", "held", "cancelled", "waiting"] {
        assert_eq!(counts[state], 1, "{state}: {counts}");
    }
    let error = connection.err("task.hold", json!({ "id": cancelled }));
    assert_eq!(error.known(), Some(ErrorCode::IllegalState), "{error:?}");
}

#[test]
fn a_queued_task_says_why_it_waits() {
    let sandbox = Sandbox::new();
    sandbox.configure("[tasks]\nmax_concurrent = 1\n");
    sandbox.start();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let first = connection.submit_as(sleeping(60_000));
    let second = connection.submit_as(json!({ "kind": "debug.noop", "params": {}, "after": [first] }));
    let third = connection.submit_as(sleeping(60_000));
    assert_eq!(connection.task(first)["wait_reason"], "paused");
    assert_eq!(connection.task(second)["wait_reason"], "dependencies");
    assert_eq!(connection.ok("daemon.status", json!({}))["wait_reason"], "paused");
    assert!(sandbox.reel(&["ls"]).stderr.contains("no queued task starts: the queue is paused"));
    connection.ok("queue.resume", json!({}));
    eventually("the first runs", || (connection.task(first)["state"] == "running").then_some(()));
    assert_eq!(connection.task(first)["wait_reason"], Value::Null);
    assert_eq!(connection.task(third)["wait_reason"], "slots");
    assert_eq!(connection.ok("daemon.status", json!({}))["wait_reason"], Value::Null);
}

#[test]
fn while_memory_is_critical_no_task_starts_and_every_status_says_so() {
    let sandbox = Sandbox::new();
    // This is more than the machine has, so memory is critical from the first measurement on.
    sandbox.configure("[memory]\nsystem_min_available_mb = 1048576\npoll_ms = 100\n");
    sandbox.start();
    let mut connection = sandbox.connect();
    eventually("memory is critical", || {
        (connection.ok("memory.status", json!({}))["level"] == "critical").then_some(())
    });
    let task = connection.submit("debug.noop", json!({}));
    let shown = connection.task(task);
    assert_eq!((&shown["state"], &shown["wait_reason"]), (&json!("queued"), &json!("memory")));
    let says = "memory is critical (reel memory)";
    for (arguments, is_note) in [(vec!["show", "1"], false), (vec!["status"], false), (vec!["ls"], true)] {
        let arguments: Vec<_> = arguments.iter().map(|word| word.replace('1', &task.to_string())).collect();
        let ran = sandbox.reel(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let text = if is_note { &ran.stderr } else { &ran.stdout };
        assert!(text.contains(says), "{arguments:?}: {text}");
    }
    sandbox.configure("[memory]\nsystem_min_available_mb = 0\npoll_ms = 100\n");
    connection.ok("daemon.reload", json!({}));
    assert_eq!(connection.wait(task)["state"], "succeeded");
}
