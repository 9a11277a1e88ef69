//! The binary encoding over a real socket. Responses are the same as in JSON lines, a fault affects only the connection that makes it, and `reel`
//! works in both encodings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

use reel_protocol::{
    Method, RpcError,
    binary::{self, Incoming},
    frame::{FrameDecoder, OwnedFrame},
    limits::LINE_BYTES,
    methods::{
        ArtifactRead, CacheStats, DaemonStatus, Event, EventsSubscribe, Hello, MemoryStatus, ProviderList,
        ServiceCall, ServiceStatus, TaskGet, TaskList, TaskSubmit, TaskWait,
    },
    preface::{self, REPLY_BYTES, SCHEMA},
};
use reel_tests::{DEADLINE, Sandbox, process, wait::eventually};
use serde_json::{Value, json};

/// A connection that uses binary frames.
struct Frames {
    stream: UnixStream,
    decoder: FrameDecoder,
    events: Vec<Event>,
}

impl Frames {
    fn open(sandbox: &Sandbox) -> Self {
        let mut raw = raw(sandbox);
        raw.write_all(&preface::preface(SCHEMA)).unwrap();
        let mut reply = [0; REPLY_BYTES];
        raw.read_exact(&mut reply).unwrap();
        assert_eq!(reply, preface::reply(SCHEMA));
        Self { stream: raw, decoder: FrameDecoder::default(), events: Vec::new() }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads the next message; None at the end of the stream.
    fn next(&mut self) -> Option<Incoming> {
        loop {
            match self.decoder.next_owned() {
                Some(OwnedFrame::Whole(body)) => return Some(Incoming::parse(&body).unwrap()),
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            let mut bytes = [0; 8192];
            let count = self.stream.read(&mut bytes).unwrap();
            if count == 0 {
                return None;
            }
            self.decoder.buffer_mut().extend_from_slice(&bytes[..count]);
        }
    }

    /// Sends a request with params in the JSON of the documentation, and returns the result in that form.
    fn call<M: Method>(&mut self, params: Value) -> Result<Value, RpcError> {
        let params: M::Params = serde_json::from_value(params).unwrap();
        self.send(&binary::request(Some(1), M::NAME, &params).unwrap());
        loop {
            match self.next().expect("an answer") {
                Incoming::Result { id: 1, result } => {
                    return Ok(serde_json::to_value(M::read(&result).unwrap()).unwrap());
                }
                Incoming::Error { id: Some(1), error } => return Err(error),
                Incoming::Event(event) => self.events.push(*event),
                other => panic!("{other:?}"),
            }
        }
    }

    fn ok<M: Method>(&mut self, params: Value) -> Value {
        self.call::<M>(params).unwrap_or_else(|error| panic!("{}: {error:?}", M::NAME))
    }

    /// Reads an error without an id and returns its code.
    fn refusal(&mut self) -> String {
        match self.next().expect("an answer") {
            Incoming::Error { id: None, error } => {
                assert!(error.data.hint.is_some(), "{error:?}");
                error.data.code
            }
            other => panic!("{other:?}"),
        }
    }
}

fn raw(sandbox: &Sandbox) -> UnixStream {
    let stream = UnixStream::connect(sandbox.socket()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Asserts that the same daemon process still answers in both encodings.
#[track_caller]
fn assert_still_answers(sandbox: &Sandbox) {
    let pid = sandbox.daemon_pid().unwrap();
    assert_eq!(Frames::open(sandbox).ok::<DaemonStatus>(json!({}))["pid"], pid);
    assert_eq!(sandbox.connect().ok("daemon.status", json!({}))["pid"], pid);
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes(), body].concat()
}

/// Removes the fields that may differ between two status requests to the same daemon.
fn steady(mut value: Value) -> Value {
    for key in ["uptime_s", "resident_bytes", "peak_resident_bytes", "system_available_bytes"] {
        for place in ["", "/memory"] {
            if let Some(object) = value.pointer_mut(place).and_then(Value::as_object_mut) {
                object.remove(key);
            }
        }
    }
    // The condition of an embedded provider is found out anew for each list.
    let providers = value.get_mut("providers").and_then(Value::as_array_mut);
    for provider in providers.into_iter().flatten() {
        if let Some(condition) = provider.get_mut("condition").and_then(Value::as_object_mut) {
            condition.remove("at");
        }
    }
    value
}

#[test]
fn every_response_is_the_same_in_both_encodings() {
    fn same<M: Method>(
        frames: &mut Frames,
        lines: &mut reel_tests::Connection,
        params: Value,
    ) -> Result<Value, RpcError> {
        let ours = frames.call::<M>(params.clone()).map(steady);
        assert_eq!(ours, lines.call(M::NAME, params).map(steady), "{}", M::NAME);
        ours
    }
    let sandbox = Sandbox::started();
    let (mut frames, mut lines) = (Frames::open(&sandbox), sandbox.connect());
    same::<Hello>(&mut frames, &mut lines, json!({ "client": "both" })).unwrap();
    let call = json!({ "service": "image", "method": "generate", "params": { "prompt": "a harbour", "width": 64, "height": 64 } });
    let made = frames.ok::<ServiceCall>(call);
    assert_eq!((&made["state"], &made["source"]), (&json!("succeeded"), &json!("made")));
    let spec = json!({ "kind": "debug.fail", "request_id": "r", "metadata": { "a": [1, { "b": null }] } });
    let id = frames.ok::<TaskSubmit>(spec.clone())["id"].clone();
    frames.ok::<TaskWait>(json!({ "ids": [id] }));
    // The same submission again returns the same task.
    assert_eq!(same::<TaskSubmit>(&mut frames, &mut lines, spec).unwrap()["id"], id);
    same::<TaskWait>(&mut frames, &mut lines, json!({ "ids": [id, made["id"]] })).unwrap();
    same::<TaskGet>(&mut frames, &mut lines, json!({ "id": id })).unwrap();
    same::<TaskList>(&mut frames, &mut lines, json!({ "limit": 1 })).unwrap();
    same::<DaemonStatus>(&mut frames, &mut lines, json!({})).unwrap();
    same::<CacheStats>(&mut frames, &mut lines, json!({})).unwrap();
    same::<MemoryStatus>(&mut frames, &mut lines, json!({})).unwrap();
    same::<ServiceStatus>(&mut frames, &mut lines, json!({})).unwrap();
    same::<ProviderList>(&mut frames, &mut lines, json!({})).unwrap();
    let digest = &made["outputs"][0]["digest"];
    let read = json!({ "digest": digest, "offset": 1, "length": 100_000 });
    let plain = same::<ArtifactRead>(&mut frames, &mut lines, read).unwrap();
    // Frames have the bytes in `data`, also if the params ask for them raw.
    let raw =
        frames.ok::<ArtifactRead>(json!({ "digest": digest, "offset": 1, "length": 100_000, "as": "raw" }));
    assert_eq!((&raw["data"], raw["raw_bytes"].is_u64()), (&plain["data"], true));
    for (params, code) in [
        (json!({ "kind": "image.paint" }), "unknown_kind"),
        (json!({ "kind": "debug.noop", "priority": 101 }), "invalid_params"),
        (json!({ "kind": "debug.noop", "after": [99] }), "dependency_not_found"),
    ] {
        assert_eq!(same::<TaskSubmit>(&mut frames, &mut lines, params).unwrap_err().data.code, code);
    }
}

#[test]
fn events_are_sent_in_frames() {
    let sandbox = Sandbox::started();
    let mut frames = Frames::open(&sandbox);
    frames.ok::<EventsSubscribe>(json!({ "topics": ["task"] }));
    let id = frames.ok::<TaskSubmit>(json!({ "kind": "debug.progress", "params": { "steps": 3, "ms": 10 } }))
        ["id"]
        .as_u64()
        .unwrap();
    frames.ok::<TaskWait>(json!({ "ids": [id] }));
    let seen: Vec<_> = frames.events.iter().map(|event| event.event.as_str()).collect();
    assert!(seen.contains(&"accepted") && seen.contains(&"progress"), "{seen:?}");
    let last = frames.events.last().unwrap().task.as_ref().unwrap();
    assert_eq!((last.id.0, last.state.name()), (id, "succeeded"));
    assert!(frames.events.windows(2).all(|pair| pair[0].seq < pair[1].seq));
}

#[test]
fn garbage_and_huge_lengths_are_refused_and_the_connection_goes_on() {
    let sandbox = Sandbox::started();
    let mut frames = Frames::open(&sandbox);
    for body in [&b""[..], b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\n", &[0xff; 300]] {
        frames.send(&frame(body));
        assert_eq!(frames.refusal(), "parse_error");
    }
    frames.send(&frame(&vec![7; 17 * LINE_BYTES]));
    assert_eq!(frames.refusal(), "request_too_large");
    frames.ok::<DaemonStatus>(json!({}));
    // The header announces four gigabytes, of which few arrive.
    frames.send(&u32::MAX.to_le_bytes());
    assert_eq!(frames.refusal(), "request_too_large");
    frames.send(&vec![7; 3 * LINE_BYTES]);
    let resident = process::status_number(sandbox.daemon_pid().unwrap(), "VmRSS").unwrap();
    assert!(resident < 300_000, "{resident} KiB");
    assert_still_answers(&sandbox);
}

#[test]
fn a_truncated_frame_is_refused_and_a_vanished_client_leaves_nothing_behind() {
    let sandbox = Sandbox::started();
    let mut frames = Frames::open(&sandbox);
    frames.send(&frame(&[0; 100])[..50]);
    frames.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(frames.refusal(), "parse_error");
    assert!(frames.next().is_none());
    for length in [1_usize, 3, 4, 10, 100_000] {
        let mut gone = Frames::open(&sandbox);
        gone.send(&frame(&vec![0; 200_000])[..length]);
    }
    for half in [&b"R"[..], b"REELB", b"REELBIN1", b"REELBIN1\x01\0\0\0"] {
        raw(&sandbox).write_all(half).unwrap();
    }
    let mut connection = sandbox.connect();
    eventually("the connections are closed", || {
        (connection.ok("daemon.status", json!({}))["connections"] == 1).then_some(())
    });
    assert_still_answers(&sandbox);
}

#[test]
fn another_schema_or_a_missing_preface_is_served_in_lines() {
    let sandbox = Sandbox::started();
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"daemon.status\"}\n";
    let mut other = raw(&sandbox);
    other.write_all(&preface::preface(SCHEMA + 1)).unwrap();
    let mut reply = [9; REPLY_BYTES];
    other.read_exact(&mut reply).unwrap();
    assert_eq!((&reply[..4], reply[4]), (&SCHEMA.to_le_bytes()[..], 0));
    other.write_all(request).unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    other.read_to_string(&mut text).unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["id"], answer["result"].is_object()), (&json!(5), true), "{text}");
    for first in [&b"REELB"[..], b"REELBIN1\x01\0", b"REELBOX1\n", b"R\n"] {
        let mut half = raw(&sandbox);
        half.write_all(first).unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        half.read_to_string(&mut text).unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["error"]["data"]["code"], "parse_error", "{first:?}: {text}");
    }
    assert_still_answers(&sandbox);
}

#[test]
fn the_command_line_does_the_same_in_both_encodings() {
    let sandbox = Sandbox::started();
    let connections_before = sandbox.connect().ok("daemon.status", json!({}))["connections"].clone();
    let run = |encoding: &str, arguments: &[&str]| {
        let ran = process::run(sandbox.reel_command(arguments).env("REEL_ENCODING", encoding));
        (ran.code, ran.stdout, ran.stderr)
    };
    let picture = sandbox.work().join("a.png");
    let picture = picture.to_str().unwrap();
    let (code, _, errors) = run("binary", &["generate", "a lighthouse", "-s", "64x64", "-o", picture]);
    assert_eq!(code, Some(0), "{errors}");
    let digest = |encoding: &str| {
        let (code, text, errors) = run(encoding, &["show", "1", "--json"]);
        assert_eq!(code, Some(0), "{errors}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(digest("binary"), digest("json"));
    for arguments in [
        &["ls", "--json"][..],
        &["styles"],
        &["providers"],
        &["show", "99"],
        &["submit", "debug", "fail", "--wait"],
        &["batch", "no-such-file"],
        &["fetch", "1", "-o", "-"],
    ] {
        let (binary, json) = (run("binary", arguments), run("json", arguments));
        assert_eq!(binary.0, json.0, "{arguments:?}: {binary:?} {json:?}");
        if arguments[0] != "submit" {
            assert_eq!((binary.1, binary.2), (json.1, json.2), "{arguments:?}");
        }
    }
    let mut connection = sandbox.connect();
    eventually("the commands are gone", || {
        (connection.ok("daemon.status", json!({}))["connections"] == connections_before).then_some(())
    });
}
