//! Unusual clients: they vanish, close their sending side early, are very many, or never read. No other client may notice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    io::{ErrorKind, Write},
    process::{Command, Stdio},
};

use reel_protocol::limits::IN_FLIGHT;
use reel_tests::{Connection, Sandbox, eventually, needs, process};
use serde_json::json;

#[test]
fn a_client_that_vanishes_within_a_request_leaves_nothing_behind() {
    let sandbox = Sandbox::started();
    for _ in 0..20 {
        sandbox.connect().send_bytes(br#"{"jsonrpc":"2.0","id":1,"meth"#);
        let mut waiter = sandbox.connect();
        let task = waiter.submit("debug.sleep", json!({ "ms": 50 }));
        waiter.request("task.wait", json!({ "ids": [task] }));
        waiter.request("events.subscribe", json!({ "topics": ["task"] }));
        let mut asker = sandbox.connect();
        asker.send_line(r#"{"jsonrpc":"2.0","id":1,"method":"daemon.status"}"#);
    }
    let mut connection = sandbox.connect();
    eventually("only this connection is left", || {
        (connection.ok("daemon.status", json!({}))["connections"] == 1).then_some(())
    });
    eventually("their tasks went on", || {
        (connection.ok("daemon.status", json!({}))["tasks"]["succeeded"] == 20).then_some(())
    });
}

#[test]
fn pending_responses_are_sent_after_the_end_of_input() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let task = connection.submit("debug.sleep", json!({ "ms": 300 }));
    let wait = connection.request("task.wait", json!({ "ids": [task] }));
    let status = connection.request("daemon.status", json!({}));
    // This line has no line break. The end of the stream ends it.
    connection.send_bytes(br#"{"jsonrpc":"2.0","id":77,"method":"hello","params":{"client":"x"}}"#);
    connection.end_input();
    assert!(connection.answer(status).is_ok());
    assert!(connection.answer(77).is_ok());
    assert_eq!(connection.answer(wait).unwrap()["tasks"][0]["state"], "succeeded");
    assert!(connection.read_value().is_none(), "then the daemon closes");
}

/// Returns a program that sends its standard input to a Unix socket, closes its sending side, and prints the response.
fn one_liner(socket: &str) -> Command {
    let mut command = Command::new("nc");
    command.args(["-N", "-U", socket]);
    command
}

#[test]
fn the_one_line_example_of_the_specification_works() {
    if !needs::nc_with_unix_sockets() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut command = one_liner(sandbox.socket().to_str().unwrap());
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap();
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\n";
    child.stdin.take().unwrap().write_all(request).unwrap();
    let ran = process::finish(child);
    assert_eq!(
        ran.expect_code(0).json()["result"]["pid"].as_u64().map(|pid| pid as u32),
        sandbox.daemon_pid()
    );
}

#[test]
fn more_requests_than_may_be_in_flight_are_all_answered() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let task = connection.submit("debug.sleep", json!({ "ms": 500 }));
    let waits: Vec<_> =
        (0..IN_FLIGHT + 44).map(|_| connection.request("task.wait", json!({ "ids": [task] }))).collect();
    for wait in waits {
        assert_eq!(connection.answer(wait).unwrap()["tasks"][0]["state"], "succeeded");
    }
}

#[test]
fn two_hundred_connections_at_once_are_served() {
    let sandbox = Sandbox::started();
    let mut connections: Vec<Connection> = (0..200).map(|_| sandbox.connect()).collect();
    for connection in &mut connections {
        connection.request("daemon.status", json!({}));
    }
    for connection in &mut connections {
        connection.answer(1).unwrap();
    }
    let open = connections[0].ok("daemon.status", json!({}))["connections"].as_u64().unwrap();
    assert!(open >= 200, "{open}");
    drop(connections);
    let mut last = sandbox.connect();
    eventually("the others are gone", || {
        (last.ok("daemon.status", json!({}))["connections"] == 1).then_some(())
    });
}

#[test]
fn a_peer_that_never_reads_costs_little_and_stops_only_itself() {
    let sandbox = Sandbox::started();
    let pid = sandbox.daemon_pid().unwrap();
    sandbox.connect().ok("daemon.status", json!({}));
    let before = process::status_number(pid, "VmRSS").unwrap();
    let deaf = sandbox.connect();
    deaf.stream().set_nonblocking(true).unwrap();
    let lines = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"service.status\"}\n".repeat(1000);
    let mut sent = 0;
    let mut others = sandbox.connect();
    // Send until the daemon has accepted nothing for a while, or far more than it ever should.
    let mut full = 0;
    while sent < 64 << 20 && full < 200 {
        match deaf.stream().write(lines.as_bytes()) {
            Ok(bytes) => (sent, full) = (sent + bytes, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => full += 1,
            Err(_) => break,
        }
        others.ok("daemon.status", json!({}));
    }
    let grown = process::status_number(pid, "VmRSS").unwrap().saturating_sub(before);
    assert!(sent < 64 << 20, "the daemon goes on reading what it cannot answer");
    assert!(grown < 32 * 1024, "the daemon holds {grown} KiB more for one deaf peer");
    others.ok("daemon.status", json!({}));
}
