//! `artifact.read` with `"as":"raw"` over the socket: the bytes follow the line of their answer, and nothing is written between them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{collections::HashMap, fs};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_protocol::limits::READ_BYTES;
use reel_tests::{Connection, Random, Sandbox};
use serde_json::{Value, json};

/// Puts a file of this many bytes into the store, whose content looks like the messages around it. Returns its digest and its bytes.
fn stored(sandbox: &Sandbox, connection: &mut Connection, length: usize) -> (Value, Vec<u8>) {
    let mut random = Random::new(7);
    let mut bytes = vec![0_u8, 0xff];
    while bytes.len() < length {
        bytes.extend_from_slice(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\n\0");
        bytes.extend((0..random.below(3_000)).map(|_| random.below(256) as u8));
    }
    bytes.truncate(length);
    let path = sandbox.work().join(format!("{length}.bin"));
    fs::write(&path, &bytes).unwrap();
    (connection.ok("artifact.put", json!({ "path": path }))["digest"].clone(), bytes)
}

/// The messages of a connection that are not events, by their id, each with the bytes that follow its line.
struct Received {
    answers: HashMap<u64, (Value, Vec<u8>)>,
    events: usize,
}

/// Reads until each of these ids is answered and this many events have come.
fn receive(connection: &mut Connection, ids: &[u64], events: usize) -> Received {
    let mut received = Received { answers: HashMap::new(), events: 0 };
    while received.answers.len() < ids.len() || received.events < events {
        let message = connection.read_value().expect("the connection stays open");
        if message["method"] == "event" {
            received.events += 1;
            continue;
        }
        let raw_bytes = message["result"]["raw_bytes"].as_u64().unwrap_or_default();
        let raw = connection.read_bytes(raw_bytes as usize);
        let id = message["id"].as_u64().unwrap();
        assert!(received.answers.insert(id, (message, raw)).is_none(), "{id} is answered twice");
    }
    received
}

#[test]
fn raw_bytes_are_whole_among_other_answers_and_events() {
    const TASKS: usize = 300;
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let (digest, bytes) = stored(&sandbox, &mut connection, 5 * 1024 * 1024 + 7);
    connection.ok("events.subscribe", json!({ "topics": ["task"] }));
    let mut ids = Vec::new();
    let mut expected = HashMap::new();
    let mut random = Random::new(11);
    for round in 0..60_u64 {
        let offset = random.below(bytes.len() as u64 + 1);
        let length = [0, 1, 100, 70_000, 1 << 20, READ_BYTES][round as usize % 6];
        let form = if round % 7 == 3 { "base64" } else { "raw" };
        let params = json!({ "digest": digest, "offset": offset, "length": length, "as": form });
        let id = connection.request("artifact.read", params);
        let end = (offset + length).min(bytes.len() as u64);
        expected.insert(id, (form, &bytes[offset as usize..end as usize]));
        ids.push(id);
        if round % 20 == 0 {
            let tasks = vec![json!({ "kind": "debug.noop" }); TASKS / 3];
            ids.push(connection.request("task.submit_batch", json!({ "tasks": tasks })));
            ids.push(connection.request("daemon.status", json!({})));
        }
    }
    // Each task has an event when it is accepted, and another one when it ends.
    let received = receive(&mut connection, &ids, 2 * TASKS);
    for (id, (form, part)) in expected {
        let (message, raw) = &received.answers[&id];
        let result = &message["result"];
        assert_eq!(result["size_bytes"], bytes.len(), "{message}");
        let data = STANDARD.decode(result["data"].as_str().unwrap()).unwrap();
        if form == "raw" {
            assert!(data.is_empty() && raw == part, "{id}");
            assert_eq!(result["raw_bytes"], part.len());
        } else {
            assert!(raw.is_empty() && data == part, "{id}");
            assert!(result["raw_bytes"].is_null());
        }
    }
    connection.ok("daemon.status", json!({}));
}

#[test]
fn a_refused_raw_read_is_only_a_line() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let (digest, bytes) = stored(&sandbox, &mut connection, 10);
    let read = |digest: &Value, offset: usize, length: u64, form: &str| json!({ "digest": digest, "offset": offset, "length": length, "as": form });
    for (params, code) in [
        (read(&json!("00".repeat(32)), 0, 1, "raw"), "artifact_not_found"),
        (read(&digest, 0, READ_BYTES + 1, "raw"), "invalid_params"),
        (read(&digest, bytes.len() + 1, 1, "raw"), "invalid_params"),
        (read(&digest, 0, 1, "hex"), "invalid_params"),
    ] {
        assert_eq!(connection.err("artifact.read", params.clone()).data.code, code, "{params}");
    }
    // At the end of the artifact nothing follows the line.
    let end = connection.ok("artifact.read", read(&digest, bytes.len(), 1, "raw"));
    assert_eq!(end["raw_bytes"], 0);
    // A notification gets neither a line nor bytes.
    let line = json!({ "jsonrpc": "2.0", "method": "artifact.read", "params": read(&digest, 0, 10, "raw") });
    connection.send_line(&line.to_string());
    connection.ok("daemon.status", json!({}));
}

#[test]
fn a_reader_that_leaves_in_the_middle_of_raw_bytes_disturbs_nobody() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let (digest, bytes) = stored(&sandbox, &mut connection, 4 * 1024 * 1024);
    let params = json!({ "digest": digest, "length": READ_BYTES, "as": "raw" });
    for _ in 0..3 {
        let mut leaver = sandbox.connect();
        leaver.request("artifact.read", params.clone());
        leaver.request("artifact.read", params.clone());
        assert_eq!(leaver.read_value().unwrap()["result"]["raw_bytes"], bytes.len());
        leaver.read_bytes(100_000);
    }
    let id = connection.request("artifact.read", params);
    let received = receive(&mut connection, &[id], 0);
    assert!(received.answers[&id].1 == bytes);
}
