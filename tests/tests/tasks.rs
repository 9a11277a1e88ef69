//! The life of a task: it is accepted, shown, listed, cancelled, retried, held, released and removed. Also dependencies between tasks.

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

/// Returns the params of a task that runs until it is cancelled or its daemon dies.
fn endless() -> Value {
    json!({ "ms": 600_000 })
}

#[track_caller]
fn until_running(connection: &mut Connection, id: u64) {
    eventually("the task runs", || (connection.task(id)["state"] == "running").then_some(()));
}

fn ids_of(page: &Value) -> Vec<u64> {
    page["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_u64().unwrap()).collect()
}

#[test]
fn a_task_is_shown_with_everything_that_was_asked_for() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.hello("storyboard");
    let id = connection.submit_as(json!({
        "kind": "debug.sleep", "params": { "ms": 1 }, "name": "shot 1", "priority": 7,
        "metadata": { "shot": "a-1", "deep": [1, { "x": null }] },
    }));
    let task = connection.wait(id);
    assert_eq!(task["id"], id);
    assert_eq!(task["kind"], "debug.sleep");
    assert_eq!(task["state"], "succeeded");
    assert_eq!(task["name"], "shot 1");
    assert_eq!(task["client"], "storyboard");
    assert_eq!(task["priority"], 7);
    assert_eq!(task["params"]["ms"], 1);
    assert_eq!(task["metadata"], json!({ "shot": "a-1", "deep": [1, { "x": null }] }));
    assert_eq!(task["attempts"], 1);
    assert_eq!(task["progress"]["fraction"], 1.0);
    assert_eq!(task["error"], Value::Null);
    assert_eq!(task["outputs"], json!([]));
    let times: Vec<_> = ["created_at", "started_at", "finished_at"]
        .iter()
        .map(|key| task[*key].as_str().expect("a time").to_owned())
        .collect();
    assert!(times.is_sorted() && times.iter().all(|time| time.ends_with('Z')), "{times:?}");
    assert_eq!(connection.task(id), task);
}

#[test]
fn a_client_without_hello_is_named_after_its_process() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let id = connection.submit("debug.noop", json!({}));
    let client = connection.wait(id)["client"].as_str().unwrap().to_owned();
    let own = std::fs::read_to_string("/proc/self/comm").unwrap();
    assert!(client.contains(own.trim()) || client.contains("tasks"), "{client}");
}

#[test]
fn a_list_is_newest_first_has_pages_and_filters() {
    let sandbox = Sandbox::started();
    let mut alpha = sandbox.connect();
    alpha.hello("alpha");
    let (batch, ids) = alpha.submit_batch(vec![json!({ "kind": "debug.noop", "name": "pear" }); 25]);
    let mut beta = sandbox.connect();
    beta.hello("beta");
    let failing = beta.submit_as(
        json!({ "kind": "debug.fail", "params": { "code": "broken", "retryable": false }, "name": "apple" }),
    );
    beta.ok("task.wait", json!({ "batch": batch }));
    beta.wait(failing);
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page = beta.ok("task.list", json!({ "limit": 10, "cursor": cursor }));
        seen.extend(ids_of(&page));
        cursor = page["next_cursor"].clone();
        // A new task between two pages does not shift the list.
        beta.submit("debug.noop", json!({}));
        if cursor.is_null() {
            break;
        }
    }
    let mut expected: Vec<u64> = ids.iter().copied().chain([failing]).collect();
    expected.reverse();
    assert_eq!(seen, expected);
    let newest: Vec<u64> = ids.iter().rev().copied().collect();
    for (filter, wanted) in [
        (json!({ "state": "failed" }), vec![failing]),
        (json!({ "batch": batch }), newest.clone()),
        (json!({ "name": "apple" }), vec![failing]),
        (json!({ "client": "alpha" }), newest.clone()),
        (json!({ "client": "alpha", "state": "failed" }), vec![]),
        (json!({ "batch": batch, "state": "succeeded", "name": "pear" }), newest),
        (json!({ "name": "nobody" }), vec![]),
    ] {
        let page = beta.ok("task.list", filter.clone());
        assert_eq!((ids_of(&page), &page["next_cursor"]), (wanted, &Value::Null), "{filter}");
    }
}

#[test]
fn cancelling_ends_queued_and_running_tasks_and_nothing_else() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut connection = sandbox.connect();
    let running = connection.submit("debug.sleep", endless());
    until_running(&mut connection, running);
    let queued = connection.submit("debug.sleep", endless());
    let after = connection.submit_as(json!({ "kind": "debug.noop", "after": [queued] }));
    assert_eq!(connection.task(queued)["state"], "queued");
    assert_eq!(connection.task(after)["state"], "waiting");
    connection.ok("task.cancel", json!({ "id": queued }));
    assert_eq!(connection.wait(queued)["state"], "cancelled");
    let orphan = connection.wait(after);
    assert_eq!((&orphan["state"], &orphan["error"]["code"]), (&json!("failed"), &json!("dependency_failed")));
    connection.ok("task.cancel", json!({ "id": running }));
    let cancelled = connection.wait(running);
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["finished_at"].is_string());
    // The slot of the cancelled task is free.
    let next = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(next)["state"], "succeeded");
    let refused = connection.err("task.cancel", json!({ "id": next }));
    assert_eq!(refused.known(), Some(ErrorCode::IllegalState), "{refused:?}");
}

#[test]
fn a_failure_says_why_and_a_retry_runs_it_again() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let id = connection.submit("debug.fail", json!({ "code": "no_luck", "retryable": false }));
    let task = connection.wait(id);
    assert_eq!(task["state"], "failed");
    assert_eq!(task["error"]["code"], "no_luck");
    assert_eq!(task["error"]["retryable"], false);
    assert!(!task["error"]["message"].as_str().unwrap().is_empty());
    assert_eq!(task["attempts"], 1);
    let again = connection.ok("task.retry", json!({ "id": id }));
    assert!(again["rev"].as_u64() > task["rev"].as_u64());
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("failed"), &json!(2)));
    let done = connection.submit("debug.noop", json!({}));
    connection.wait(done);
    let refused = connection.err("task.retry", json!({ "id": done }));
    assert_eq!(refused.known(), Some(ErrorCode::IllegalState), "{refused:?}");
}

#[test]
fn a_retryable_failure_is_retried_as_often_as_requested_and_waits_without_a_slot() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut connection = sandbox.connect();
    let failing = json!({ "code": "provider_failed", "retryable": true });
    let id = connection.submit_as(json!({ "kind": "debug.fail", "params": failing, "max_attempts": 2 }));
    // While the task waits for its second attempt, other tasks can use the one slot.
    let other = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(other)["state"], "succeeded");
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("failed"), &json!(2)), "{task}");
}

#[test]
fn a_held_task_does_not_run_until_it_is_released() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut connection = sandbox.connect();
    let blocker = connection.submit("debug.sleep", endless());
    until_running(&mut connection, blocker);
    let id = connection.submit("debug.noop", json!({}));
    connection.ok("task.hold", json!({ "id": id }));
    connection.ok("task.cancel", json!({ "id": blocker }));
    let other = connection.submit("debug.noop", json!({}));
    connection.wait(other);
    let held = connection.wait(id);
    assert_eq!((&held["state"], &held["hold_reason"]), (&json!("held"), &json!("user")));
    connection.ok("task.release", json!({ "id": id }));
    let done = eventually("it runs", || Some(connection.wait(id)).filter(|task| task["state"] != "held"));
    assert_eq!((&done["state"], &done["hold_reason"]), (&json!("succeeded"), &Value::Null));
    let refused = connection.err("task.release", json!({ "id": id }));
    assert_eq!(refused.known(), Some(ErrorCode::IllegalState), "{refused:?}");
}

#[test]
fn a_running_task_cannot_be_held_and_an_unfinished_one_not_removed() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let id = connection.submit("debug.sleep", endless());
    until_running(&mut connection, id);
    for method in ["task.hold", "task.remove", "task.retry", "task.release"] {
        let refused = connection.err(method, json!({ "id": id }));
        assert_eq!(refused.known(), Some(ErrorCode::IllegalState), "{method}: {refused:?}");
        assert!(refused.data.hint.is_some(), "{method}: {refused:?}");
    }
    connection.ok("task.cancel", json!({ "id": id }));
    connection.wait(id);
    connection.ok("task.remove", json!({ "id": id }));
    assert_eq!(connection.err("task.get", json!({ "id": id })).known(), Some(ErrorCode::TaskNotFound));
    let next = connection.submit("debug.noop", json!({}));
    assert!(next > id, "ids are never used again");
}

#[test]
fn ids_grow_across_restarts_also_when_the_newest_was_removed() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let id = connection.submit("debug.noop", json!({}));
    connection.wait(id);
    connection.ok("task.remove", json!({ "id": id }));
    sandbox.kill();
    sandbox.start();
    assert!(sandbox.connect().submit("debug.noop", json!({})) > id);
}

#[test]
fn tasks_start_after_the_tasks_that_they_name_have_succeeded() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let first = connection.submit("debug.sleep", json!({ "ms": 100 }));
    let second = connection.submit_as(json!({ "kind": "debug.noop", "after": [first] }));
    let third = connection.submit_as(json!({ "kind": "debug.noop", "after": [second, first] }));
    let tasks: Vec<Value> = [first, second, third].iter().map(|id| connection.wait(*id)).collect();
    assert!(tasks.iter().all(|task| task["state"] == "succeeded"), "{tasks:?}");
    assert!(tasks[0]["finished_at"].as_str() <= tasks[1]["started_at"].as_str());
    assert!(tasks[1]["finished_at"].as_str() <= tasks[2]["started_at"].as_str());
    assert_eq!(tasks[2]["after"], json!([second, first]));
    // The named task may have ended already.
    let late = connection.submit_as(json!({ "kind": "debug.noop", "after": [first] }));
    assert_eq!(connection.wait(late)["state"], "succeeded");
}

#[test]
fn a_failure_fails_the_whole_chain_of_dependents() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let blocker = connection.submit("debug.sleep", json!({ "ms": 100 }));
    let failing = connection.submit_as(
        json!({ "kind": "debug.fail", "params": { "code": "x", "retryable": false }, "after": [blocker] }),
    );
    let mut last = failing;
    let mut chain = Vec::new();
    for _ in 0..20 {
        last = connection.submit_as(json!({ "kind": "debug.noop", "after": [last, blocker] }));
        chain.push(last);
    }
    for id in chain {
        let task = connection.wait(id);
        let found = (&task["state"], &task["error"]["code"], &task["attempts"]);
        assert_eq!(found, (&json!("failed"), &json!("dependency_failed"), &json!(0)), "{task}");
        assert!(
            task["error"]["message"].as_str().unwrap().chars().any(char::is_numeric),
            "names the task: {task}"
        );
    }
    let late = connection.submit_as(json!({ "kind": "debug.noop", "after": [failing] }));
    assert_eq!(connection.wait(late)["error"]["code"], "dependency_failed");
}

#[test]
fn a_deadline_ends_queued_and_running_tasks() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut connection = sandbox.connect();
    let running =
        connection.submit_as(json!({ "kind": "debug.sleep", "params": endless(), "deadline_s": 0.4 }));
    let queued = connection.submit_as(json!({ "kind": "debug.noop", "deadline_s": 0.2 }));
    for id in [running, queued] {
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!("deadline_exceeded")));
    }
    let next = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(next)["state"], "succeeded");
}

#[test]
fn a_task_whose_dependency_failed_is_retried_after_that_dependency() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let first = connection.submit("debug.fail", json!({ "code": "no_luck", "retryable": true }));
    let second = connection.submit_as(json!({ "kind": "debug.noop", "after": [first] }));
    let failed = connection.wait(second);
    assert_eq!(failed["error"]["code"], "dependency_failed", "{failed}");
    assert_eq!(
        failed["error"]["retryable"], false,
        "its retry is refused as long as the first one has failed"
    );
    assert_eq!(connection.err("task.retry", json!({ "id": second })).data.code, "illegal_state");
    connection.ok("queue.pause", json!({}));
    connection.ok("task.retry", json!({ "id": first }));
    assert_eq!(connection.ok("task.retry", json!({ "id": second }))["state"], "waiting");
}
