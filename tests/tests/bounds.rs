//! What a client can make the daemon hold is counted and bounded: subscriptions and the ids in them, unread events, unread responses, lists. Even
//! with the smallest memory limit, other clients' tasks go on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::io::Write as _;

use reel_protocol::{ErrorCode, limits::SUBSCRIPTIONS};
use reel_tests::{Connection, Sandbox, eventually, process::peak_bytes};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;
/// The smallest `limit_mb` that the configuration allows.
const LIMIT_MB: u64 = 64;

/// Starts a daemon with this memory limit. Returns its pid too.
fn started(limit_mb: u64) -> (Sandbox, u32) {
    let sandbox = Sandbox::new();
    sandbox.configure(&format!("[memory]\nlimit_mb = {limit_mb}\n"));
    let pid = sandbox.start();
    (sandbox, pid)
}

fn reserved(connection: &mut Connection, holder: &str, key: &str) -> u64 {
    let memory = connection.ok("memory.status", json!({}));
    let mut reservations = memory["reservations"].as_array().unwrap().iter();
    reservations.find(|reservation| reservation["holder"] == holder).unwrap()[key].as_u64().unwrap()
}

/// Asserts that another client's picture is drawn.
fn others_go_on(sandbox: &Sandbox) {
    let mut other = sandbox.connect();
    other.hello("other");
    let task = other.generate(json!({ "prompt": "a lighthouse", "width": 256, "height": 256 }));
    assert_eq!(task["state"], "succeeded", "{task}");
}

#[test]
fn subscriptions_and_their_task_ids_are_reserved_and_refused_beyond_their_share() {
    let (sandbox, pid) = started(LIMIT_MB);
    let ids: Vec<u64> = (0..1_000).map(|number| number * 997).collect();
    let params = json!({ "topics": ["task"], "task_ids": ids });
    let mut connections = Vec::new();
    let refusal = (0..100).find_map(|_| {
        let mut connection = sandbox.connect();
        let refusal =
            (0..SUBSCRIPTIONS).find_map(|_| connection.call("events.subscribe", params.clone()).err());
        connections.push(connection);
        refusal
    });
    let refusal = refusal.expect("6,400 subscriptions to 1,000 tasks each do not fit");
    assert_eq!(refusal.known(), Some(ErrorCode::OverMemory), "{refusal:?}");
    assert!(refusal.data.hint.is_some());
    let mut observer = sandbox.connect();
    assert!(reserved(&mut observer, "subscription", "bytes") > 3 * MIB);
    others_go_on(&sandbox);
    assert!(peak_bytes(pid) < LIMIT_MB * MIB, "{} bytes", peak_bytes(pid));
    drop(connections);
    eventually("all is given back", || (reserved(&mut observer, "subscription", "bytes") == 0).then_some(()));
}

#[test]
fn many_slow_readers_lose_their_subscriptions_and_delay_no_other_client() {
    let (sandbox, pid) = started(LIMIT_MB);
    let mut slow: Vec<_> = (0..300)
        .map(|number| {
            let mut connection = sandbox.connect();
            connection.hello(&format!("{}{number}", "s".repeat(200)));
            connection.ok("events.subscribe", json!({ "topics": ["task"] }));
            connection
        })
        .collect();
    let mut maker = sandbox.connect();
    maker.hello(&"m".repeat(200));
    let params = json!({ "code": "x".repeat(100) });
    let failing =
        json!({ "kind": "debug.fail", "params": params, "name": "n".repeat(200), "max_attempts": 1 });
    for _ in 0..12 {
        let (batch, _) = maker.submit_batch(vec![failing.clone(); 200]);
        let waited = maker.ok("task.wait", json!({ "batch": batch }));
        assert_eq!(waited["timed_out"], false);
    }
    others_go_on(&sandbox);
    assert!(peak_bytes(pid) < LIMIT_MB * MIB, "{} bytes", peak_bytes(pid));
    let mut observer = sandbox.connect();
    assert!(reserved(&mut observer, "event", "peak_bytes") > 0);
    // The level follows measurements, and a machine with other work may see a high one for a moment.
    eventually("memory is not short", || {
        (observer.ok("memory.status", json!({}))["level"] == "normal").then_some(())
    });
    for connection in &mut slow[..10] {
        let dropped = std::iter::repeat_with(|| connection.next_event())
            .find(|event| event["event"] == "subscription_dropped")
            .unwrap();
        assert!(dropped["missed"].as_u64().unwrap() > 0, "{dropped}");
    }
    drop(slow);
    eventually("all is given back", || {
        let held = ["event", "subscription"].map(|holder| reserved(&mut observer, holder, "bytes"));
        (held == [0, 0]).then_some(())
    });
}

/// Sends requests until the daemon stops reading them. The responses stay unread.
fn ask_without_reading(sandbox: &Sandbox, request: &str) -> Connection {
    let connection = sandbox.connect();
    let mut stream = connection.stream();
    stream.set_nonblocking(true).unwrap();
    for _ in 0..5_000 {
        if stream.write_all(request.as_bytes()).is_err() {
            break;
        }
    }
    connection
}

#[test]
fn unread_responses_are_reserved_and_delay_no_other_client() {
    let (sandbox, pid) = started(LIMIT_MB);
    let mut connection = sandbox.connect();
    let id =
        connection.submit_as(json!({ "kind": "debug.noop", "metadata": { "text": "m".repeat(10_000) } }));
    connection.wait(id);
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "task.get", "params": { "id": id } });
    let unread: Vec<_> = (0..100).map(|_| ask_without_reading(&sandbox, &format!("{request}\n"))).collect();
    others_go_on(&sandbox);
    let peak = reserved(&mut connection, "response", "peak_bytes");
    assert!(peak > 4 * MIB && peak <= LIMIT_MB * MIB * 5 / 16, "{peak} bytes");
    assert!(peak_bytes(pid) < LIMIT_MB * MIB, "{} bytes", peak_bytes(pid));
    drop(unread);
    eventually("all is given back", || (reserved(&mut connection, "response", "bytes") == 0).then_some(()));
}

/// Reads the whole list page by page. Returns the number of pages, and the tasks.
fn list_all(connection: &mut Connection, limit: u32) -> (usize, Vec<Value>) {
    let (mut pages, mut tasks, mut cursor) = (0, Vec::new(), Value::Null);
    loop {
        let page = connection.ok("task.list", json!({ "limit": limit, "cursor": cursor }));
        pages += 1;
        tasks.extend(page["tasks"].as_array().unwrap().iter().cloned());
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            return (pages, tasks);
        }
    }
}

#[test]
fn lists_and_waits_with_large_metadata_stay_within_the_limit_and_are_complete() {
    const TASKS: usize = 200;
    let (sandbox, pid) = started(128);
    let mut connection = sandbox.connect();
    let metadata = json!({ "text": "m".repeat(900_000) });
    let ids: Vec<u64> = (0..TASKS)
        .map(|_| connection.submit_as(json!({ "kind": "debug.noop", "metadata": metadata })))
        .collect();
    let waited = connection.ok("task.wait", json!({ "ids": ids }));
    assert_eq!(waited["timed_out"], false);
    let omitted = waited["omitted"].as_array().unwrap().clone();
    let waited = waited["tasks"].as_array().unwrap().clone();
    assert_eq!(waited.len(), TASKS);
    assert!(waited.iter().all(|task| task["state"] == "succeeded"));
    assert_eq!(waited[0]["metadata"], metadata, "what fits is there");
    let without: Vec<_> = waited.iter().filter(|task| task["metadata"].is_null()).collect();
    assert!(!without.is_empty() && without.iter().all(|task| task["params"] == json!({})));
    assert_eq!(
        without.iter().map(|task| &task["id"]).collect::<Vec<_>>(),
        omitted.iter().collect::<Vec<_>>()
    );
    assert_eq!(connection.task(ids[TASKS - 1])["metadata"], metadata);
    let (pages, tasks) = list_all(&mut connection, 1_000);
    assert!(pages > 1, "one page");
    assert_eq!(tasks.len(), TASKS);
    assert!(tasks.iter().all(|task| task["metadata"] == metadata));
    let listed: Vec<_> = tasks.iter().rev().map(|task| task["id"].as_u64().unwrap()).collect();
    assert_eq!(listed, ids);
    // Many lists are requested at once, and nobody reads the responses.
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "task.list", "params": { "limit": 1_000 } });
    let unread: Vec<_> = (0..20).map(|_| ask_without_reading(&sandbox, &format!("{request}\n"))).collect();
    others_go_on(&sandbox);
    assert!(peak_bytes(pid) < 128 * MIB, "{} bytes", peak_bytes(pid));
    drop(unread);
}
