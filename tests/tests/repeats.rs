//! The same call again and again, answered by the cache. Each response is a separate task of the client that made the call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::collections::HashSet;

use reel_client::{Client, ConnectOptions};
use reel_protocol::{
    Source,
    endpoint::Locations,
    limits::IN_FLIGHT,
    methods::{ServiceCall, ServiceCallParams, TaskGet, TaskIdParams},
};
use reel_tests::{Connection, Sandbox};
use serde_json::{Value, json};

fn call() -> Value {
    json!({
        "service": "image", "method": "generate",
        "params": { "prompt": "the same again", "width": 64, "height": 64 },
    })
}

/// Starts a daemon whose cache has the result of [`call`], and returns a connection on which the cache has answered it.
fn with_result() -> (Sandbox, Connection) {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    assert_eq!(connection.ok("service.call", call())["source"], "made");
    assert_eq!(connection.ok("service.call", call())["source"], "cache");
    (sandbox, connection)
}

#[test]
fn each_response_has_its_own_id_times_and_client_and_equals_the_history() {
    let (sandbox, mut connection) = with_result();
    let first = connection.ok("service.call", call());
    let mut another = sandbox.connect();
    another.hello("another");
    let second = another.ok("service.call", call());
    let third = connection.ok("service.call", call());
    assert_eq!(second["client"], "another");
    assert_eq!(third["client"], first["client"]);
    for task in [first, second, third] {
        assert_eq!(task["created_at"], task["finished_at"]);
        assert_eq!(connection.task(task["id"].as_u64().unwrap()), task);
    }
}

#[test]
fn the_request_id_is_returned_unchanged_and_a_notification_gets_no_response() {
    let (_sandbox, mut connection) = with_result();
    let line = |id: &str| format!(r#"{{"jsonrpc":"2.0",{id}"method":"service.call","params":{}}}"#, call());
    connection.send_line(&line(""));
    for id in [r#""a b""#, "-7", "null", "1.50"] {
        connection.send_line(&line(&format!(r#""id":{id},"#)));
        let answer = connection.try_read_line().unwrap();
        assert!(answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"id":"#)), "{answer}");
    }
}

#[test]
fn more_calls_at_once_than_may_be_in_flight_are_all_answered_and_written() {
    let (_sandbox, mut connection) = with_result();
    let ids: Vec<_> = (0..4 * IN_FLIGHT).map(|_| connection.request("service.call", call())).collect();
    let tasks: HashSet<_> =
        ids.iter().map(|id| connection.answer(*id).unwrap()["id"].as_u64().unwrap()).collect();
    assert_eq!(tasks.len(), ids.len(), "no number is given out twice");
    let status = connection.ok("daemon.status", json!({}));
    assert_eq!(status["tasks"]["succeeded"], ids.len() + 2);
    assert_eq!(connection.ok("cache.stats", json!({}))["hits"], ids.len() + 1);
}

#[test]
fn requests_on_one_connection_get_ids_in_their_order() {
    let (_sandbox, mut connection) = with_result();
    for _ in 0..20 {
        let submit = json!({ "kind": "debug.noop" });
        let lines =
            [("s", "task.submit", submit), ("c", "service.call", call())].map(|(id, method, params)| {
                json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
            });
        // Send both in one write, so that both have arrived when the first is read.
        connection.send_line(&lines.join("\n"));
        let mut answers = [connection.read_value().unwrap(), connection.read_value().unwrap()];
        answers.sort_by_key(|answer| answer["id"].to_string());
        let [called, submitted] = answers.map(|answer| answer["result"]["id"].as_u64().unwrap());
        assert!(submitted < called, "{submitted} {called}");
    }
}

#[tokio::test]
async fn the_client_library_reads_the_same_in_both_encodings() {
    let (sandbox, _connection) = with_result();
    let params: ServiceCallParams = serde_json::from_value(call()).unwrap();
    for encoding in [reel_client::Encoding::Binary, reel_client::Encoding::Json] {
        let options = ConnectOptions::from_env("library").unwrap();
        let locations =
            Locations { socket: sandbox.socket().to_owned(), is_socket_given: true, ..options.locations };
        let options = ConnectOptions { encoding, ..ConnectOptions::new(locations, "library") };
        let client = Client::connect(&options).await.unwrap();
        for _ in 0..3 {
            let task = client.call::<ServiceCall>(&params).await.unwrap();
            assert_eq!((task.source, &*task.client), (Some(Source::Cache), "library"));
            assert_eq!(client.call::<TaskGet>(&TaskIdParams { id: task.id }).await.unwrap(), task);
        }
    }
}
