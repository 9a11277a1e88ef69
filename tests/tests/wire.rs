//! Bad input over a raw socket. Each case gets an error with a stable code and a next step, and the daemon still answers everybody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::io::Read;

use reel_protocol::{
    ErrorCode, RpcError,
    limits::{LINE_BYTES, READ_BYTES, WAIT_IDS},
};
use reel_tests::{Sandbox, eventually};
use serde_json::{Value, json};

/// Asserts that the same daemon process answers a new connection.
#[track_caller]
fn assert_still_answers(sandbox: &Sandbox) {
    let status = sandbox.connect().ok("daemon.status", json!({}));
    assert_eq!(status["pid"].as_u64().map(|pid| pid as u32), sandbox.daemon_pid());
}

#[track_caller]
fn assert_refused(error: &RpcError, code: ErrorCode, what: &str) {
    assert_eq!(error.data.code, code.name(), "{what}: {error:?}");
    assert_eq!(error.code, code.number(), "{what}: {error:?}");
    assert!(!error.message.is_empty(), "{what}: {error:?}");
    assert!(error.data.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "no hint: {what}: {error:?}");
}

#[test]
fn an_unknown_method_is_refused_with_the_nearest_name() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let error = connection.err("daemon.staus", json!({}));
    assert_refused(&error, ErrorCode::MethodNotFound, "daemon.staus");
    assert!(error.data.hint.unwrap().contains("daemon.status"));
    assert_refused(&connection.err("", json!({})), ErrorCode::MethodNotFound, "empty");
    assert_refused(&connection.err(&"x".repeat(100_000), json!({})), ErrorCode::MethodNotFound, "long");
    assert_still_answers(&sandbox);
}

#[test]
fn params_of_wrong_types_are_refused_with_a_next_step() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let noop = |more: Value| {
        let mut spec = json!({ "kind": "debug.noop" });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("task.submit", spec)
    };
    let many: Vec<u64> = (1..=WAIT_IDS as u64 + 1).collect();
    let too_long = "x".repeat(257);
    let table = [
        ("task.get", json!({ "id": "one" })),
        ("task.get", json!({ "id": -1 })),
        ("task.get", json!({ "id": 1.5 })),
        ("task.get", json!({})),
        ("task.get", json!([1])),
        ("task.get", json!("one")),
        ("task.submit", json!({})),
        ("task.submit", json!({ "kind": 7 })),
        noop(json!({ "params": [1] })),
        noop(json!({ "params": "{}" })),
        noop(json!({ "params": { "unknown": 1 } })),
        noop(json!({ "priority": 101 })),
        noop(json!({ "priority": 1000 })),
        noop(json!({ "priority": "high" })),
        noop(json!({ "max_attempts": 0 })),
        noop(json!({ "max_attempts": 101 })),
        noop(json!({ "deadline_s": -1 })),
        noop(json!({ "cache": "sometimes" })),
        noop(json!({ "metadata": [1] })),
        noop(json!({ "name": too_long })),
        noop(json!({ "request_id": too_long })),
        ("hello", json!({ "client": too_long })),
        ("hello", json!({})),
        ("task.list", json!({ "limit": 0 })),
        ("task.list", json!({ "limit": 1001 })),
        ("task.list", json!({ "cursor": "not a cursor" })),
        ("task.wait", json!({})),
        ("task.wait", json!({ "ids": many })),
        ("task.wait", json!({ "ids": [1], "timeout_s": "soon" })),
        ("artifact.read", json!({ "digest": "00", "length": 1 })),
        ("artifact.read", json!({ "digest": "00".repeat(32), "length": READ_BYTES + 1 })),
        ("events.subscribe", json!({ "topics": [] })),
        ("daemon.log_level", json!({ "filter": "=,=" })),
    ];
    for (method, params) in table {
        let shown = format!("{method} {params}").chars().take(120).collect::<String>();
        assert_refused(&connection.err(method, params), ErrorCode::InvalidParams, &shown);
    }
    assert_still_answers(&sandbox);
}

#[test]
fn each_kind_of_missing_thing_has_its_own_error_code() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let digest = "00".repeat(32);
    for (method, params, code) in [
        ("task.get", json!({ "id": 99 }), ErrorCode::TaskNotFound),
        ("task.cancel", json!({ "id": 99 }), ErrorCode::TaskNotFound),
        ("task.retry", json!({ "id": 99 }), ErrorCode::TaskNotFound),
        ("task.hold", json!({ "id": 99 }), ErrorCode::TaskNotFound),
        ("task.release", json!({ "id": 99 }), ErrorCode::TaskNotFound),
        ("task.remove", json!({ "id": 99 }), ErrorCode::TaskNotFound),
        ("task.set_priority", json!({ "id": 99, "priority": 1 }), ErrorCode::TaskNotFound),
        ("task.wait", json!({ "ids": [99] }), ErrorCode::TaskNotFound),
        ("task.wait", json!({ "batch": 99 }), ErrorCode::BatchNotFound),
        ("task.submit", json!({ "kind": "image.paint" }), ErrorCode::UnknownKind),
        ("task.submit", json!({ "kind": "nothing" }), ErrorCode::UnknownKind),
        ("task.submit", json!({ "kind": "debug.noop", "after": [99] }), ErrorCode::DependencyNotFound),
        ("service.call", json!({ "service": "smell", "method": "x" }), ErrorCode::UnknownKind),
        ("provider.check", json!({ "name": "drat" }), ErrorCode::UnknownProvider),
        ("artifact.read", json!({ "digest": digest, "length": 1 }), ErrorCode::ArtifactNotFound),
        ("artifact.path", json!({ "digest": digest }), ErrorCode::ArtifactNotFound),
        ("events.unsubscribe", json!({ "subscription": 99 }), ErrorCode::SubscriptionNotFound),
    ] {
        let shown = format!("{method} {params}");
        assert_refused(&connection.err(method, params), code, &shown);
    }
    assert_still_answers(&sandbox);
}

#[test]
fn lines_past_their_limit_are_refused_and_the_next_one_is_served() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let huge = "x".repeat(18 * LINE_BYTES);
    let (id, error) = connection.refusal(&huge);
    assert!(id.is_null());
    assert_refused(&error, ErrorCode::RequestTooLarge, "18 MiB");
    let prompt = "x".repeat(2 * LINE_BYTES);
    let large =
        json!({ "jsonrpc": "2.0", "id": "big", "method": "task.submit", "params": { "kind": prompt } });
    let (id, error) = connection.refusal(&large.to_string());
    assert_eq!(id, "big");
    assert_refused(&error, ErrorCode::RequestTooLarge, "2 MiB");
    connection.ok("daemon.status", json!({}));
    assert_still_answers(&sandbox);
}

#[test]
fn a_hundred_thousand_brackets_are_refused_at_every_position() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let submit = |more: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"task.submit","params":{{"kind":"debug.noop",{more}}}}}"#
        )
    };
    for (line, codes) in [
        (open.clone(), vec![ErrorCode::InvalidRequest]),
        (format!("{{\"a\":{open}"), vec![ErrorCode::ParseError]),
        (format!(r#"{{"jsonrpc":"2.0","id":{open}{close},"method":"x"}}"#), vec![ErrorCode::InvalidRequest]),
        (
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"task.get","params":{open}{close}}}"#),
            vec![ErrorCode::InvalidParams],
        ),
        (submit(&format!(r#""params":{{"a":{open}{close}}}"#)), vec![ErrorCode::InvalidParams]),
        (submit(&format!(r#""metadata":{{"a":{open}{close}}}"#)), vec![ErrorCode::InvalidParams]),
        (submit(&format!(r#""metadata":{{"a":{open}}}"#)), vec![ErrorCode::ParseError]),
        (
            submit(&format!(r#""metadata":{}1{}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000))),
            vec![ErrorCode::InvalidParams],
        ),
    ] {
        let (_, error) = connection.refusal(&line);
        let shown: String = line.chars().take(90).collect();
        assert!(codes.iter().any(|code| code.name() == error.data.code), "{shown}: {error:?}");
        assert_refused(&error, error.known().unwrap(), &shown);
    }
    assert_still_answers(&sandbox);
}

#[test]
fn garbage_and_invalid_utf_8_get_errors_and_the_connection_goes_on() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let lines: [&[u8]; 6] = [
        b"\x00\x01\x02\xfe\xff\n",
        b"GET / HTTP/1.1\r\n",
        b"{\n",
        b"\"text\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"task.submit\",\"params\":{\"kind\":\"\xc3\x28\"}}\n",
    ];
    for bytes in lines {
        connection.send_bytes(bytes);
        let answer = connection.read_value().expect("the connection stays open");
        let error: RpcError = serde_json::from_value(answer["error"].clone()).unwrap();
        assert_refused(&error, ErrorCode::ParseError, &String::from_utf8_lossy(bytes));
    }
    connection.ok("daemon.status", json!({}));
    // The first byte `R` announces the binary encoding, but the rest is not a valid preface.
    let mut other = sandbox.connect();
    other.send_bytes(b"RUBBISH!\n\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    other.end_input();
    let mut rest = Vec::new();
    let _ = other.stream().read_to_end(&mut rest);
    assert_still_answers(&sandbox);
}

#[test]
fn batch_arrays_and_lines_that_are_not_requests_are_refused() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    for line in [
        r#"[{"jsonrpc":"2.0","id":1,"method":"daemon.status"}]"#,
        "[]",
        "17",
        "null",
        "{}",
        r#"{"jsonrpc":"1.0","id":1,"method":"daemon.status"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["daemon.status"]}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"daemon.status"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"daemon.status"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"daemon.status"}"#,
    ] {
        let (_, error) = connection.refusal(line);
        assert_refused(&error, ErrorCode::InvalidRequest, line);
    }
    assert_still_answers(&sandbox);
}

#[test]
fn an_id_is_returned_unchanged() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    for id in ["0", "-5", "1.5", "18446744073709551615", r#""a b""#, r#""☃""#, r#""""#, "null"] {
        connection.send_line(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"daemon.status"}}"#));
        let answer = connection.read_value().unwrap();
        assert_eq!(answer["id"], serde_json::from_str::<Value>(id).unwrap());
        assert!(answer["result"].is_object(), "{answer}");
        assert_eq!(answer["jsonrpc"], "2.0");
    }
}

#[test]
fn a_line_with_an_error_behind_its_id_gets_an_error_with_that_id() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let nan = r#"{"jsonrpc":"2.0","id":"a\u0041","method":"task.submit","params":{"guidance":NaN}}"#;
    let (id, error) = connection.refusal(nan);
    assert_eq!((&id, error.known()), (&json!("aA"), Some(ErrorCode::ParseError)), "{error:?}");
    let (id, error) = connection.refusal(r#"{"jsonrpc":"2.0","id":12,"method":7}"#);
    assert_eq!((&id, error.known()), (&json!(12), Some(ErrorCode::InvalidRequest)), "{error:?}");
}

#[test]
fn escapes_are_read_everywhere_and_whole_numbers_in_any_form() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let task = connection.submit("debug.noop", json!({}));
    for request in [
        r#"{"jsonrpc":"2.0","id":1,"method":"provider\u002elist"}"#.to_owned(),
        r#"{"jsonrpc":"2\u002e0","id":1,"\u006dethod":"provider.list"}"#.to_owned(),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"task.get","params":{{"id":{task}.0}}}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"task.wait","params":{{"ids":[{task}.0e0]}}}}"#),
    ] {
        connection.send_line(&request);
        let answer = connection.read_value().unwrap();
        assert!(answer["id"] == 1 && answer["result"].is_object(), "{request}: {answer}");
    }
    connection.send_line(r#"{"jsonrpc":"2.0","id":1,"method":"task.get","params":{"id":1.5}}"#);
    assert_eq!(connection.read_value().unwrap()["error"]["data"]["code"], "invalid_params");
}

#[test]
fn no_limit_or_hint_names_a_method_that_is_not_served() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let served = connection.hello("test")["capabilities"].clone();
    let long = json!({ "kind": "debug.noop", "metadata": { "text": "m".repeat(LINE_BYTES) } });
    let error = connection.err("task.submit", long.clone());
    assert_eq!(error.known(), Some(ErrorCode::RequestTooLarge), "{error:?}");
    let in_batch = connection.err("task.submit_batch", json!({ "tasks": [long] }));
    assert_eq!(in_batch.known(), Some(ErrorCode::RequestTooLarge), "{in_batch:?}");
    let specification = include_str!("../../protocol/src/specification.md");
    let texts = [error.data.hint.unwrap(), in_batch.data.hint.unwrap(), specification.to_owned()];
    let rooms = ["task.", "artifact.", "daemon.", "events.", "queue.", "cache.", "memory.", "provider."];
    for text in texts {
        let words = text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '.' && letter != '_');
        let is_method =
            |word: &&str| rooms.iter().any(|room| word.strip_prefix(room).is_some_and(|name| name.len() > 2));
        for word in words.map(|word| word.trim_end_matches('.')).filter(is_method) {
            let is_field = ["task.error", "cache.disk_mb"].contains(&word);
            assert!(is_field || served.as_array().unwrap().contains(&json!(word)), "{word}");
        }
    }
}

#[test]
fn a_byte_order_mark_crlf_blank_lines_and_unknown_fields_are_accepted() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection
        .send_bytes(b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\r\n\r\n  \n\n");
    connection.send_line(
        r#"{"jsonrpc":"2.0","future":[1],"id":2,"method":"daemon.status","params":{"also":{"new":1}}}"#,
    );
    connection.send_line(
        r#"{"jsonrpc":"2.0","id":3,"method":"task.submit","params":{"kind":"debug.noop","later":true}}"#,
    );
    // Responses come in any order.
    let mut answers: Vec<_> = (0..3).map(|_| connection.read_value().unwrap()).collect();
    answers.sort_by_key(|answer| answer["id"].as_u64());
    for (answer, id) in answers.iter().zip(1..) {
        assert_eq!((&answer["id"], answer.get("error")), (&json!(id), None));
    }
}

#[test]
fn a_notification_is_served_without_a_response() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.send_line(r#"{"jsonrpc":"2.0","method":"task.submit","params":{"kind":"debug.noop"}}"#);
    connection.send_line(r#"{"jsonrpc":"2.0","method":"no.such.method"}"#);
    connection.send_line(r#"{"jsonrpc":"2.0","id":9,"method":"daemon.status"}"#);
    assert_eq!(connection.read_value().unwrap()["id"], 9);
    eventually("the task of the notification is done", || {
        let tasks = connection.ok("task.list", json!({ "state": "succeeded" }));
        (tasks["tasks"].as_array()?.len() == 1).then_some(())
    });
}
