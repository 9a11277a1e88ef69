//! The bytes of the bincode encoding, of which one file is kept for each schema number, and what the decoder does with other bytes.

use std::{fmt::Write as _, fs, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Bytes, CacheMode, ErrorCode, HoldReason, RpcError, Source, TaskState, TaskView, WaitReason,
    binary::{self, BadRequest, Incoming, Request},
    frame::LENGTH_BYTES,
    limits::LINE_BYTES,
    methods::{
        ArtifactRead, ArtifactReadResult, Event, LimitSource, METHODS, MemoryLevel, Method, PressureCause,
        Topic, TrimReason, Until, frames,
    },
    preface::{SCHEMA, preface, reply},
    specification_tests::{example, section},
};

/// A task that has everything that the examples of the specification leave out.
const FULL_TASK: &str = r#"{"id":9007199254740991,"rev":258,"kind":"image.generate","name":"灯塔","state":"held","hold_reason":"outcome_unknown","wait_reason":"provider_down","priority":-100,"client":"c","batch":8,"after":[3,4],"parent":6,"step":"voice/a1","request_id":"r","progress":{"fraction":0.25,"message":"water"},"provider":"studio","model":"m-1","attempts":3,"source":"shared","created_at":"2026-11-23T20:00:00.000Z","started_at":"2026-11-23T20:00:00.004Z","finished_at":"2026-11-23T20:00:00.120Z","not_before":"2026-11-23T20:01:00.000Z","params":{"prompt":"a"},"outputs":[{"digest":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","media_type":"audio/mpeg","size_bytes":5,"width":null,"height":null,"duration_s":1.5,"path":"/p","text":"a"}],"error":{"code":"provider_failed","message":"m","hint":"h","retryable":true,"provider_status":503},"cost":{"amount":0.04,"currency":"USD","is_estimate":true},"notes":[{"code":"fewer_outputs","message":"m"}],"metadata":{"shot":3}}"#;
/// Events of each topic that has more than the event's name.
const EVENTS: [&str; 5] = [
    r#"{"subscription":1,"seq":121,"topic":"task","event":"progress","task":{"id":7,"rev":3,"kind":"image.generate","name":"n","client":"storyboard","batch":8,"parent":6,"step":"voice/a1","state":"failed","hold_reason":"user","progress":{"fraction":0.5,"message":"water"},"source":"made","error":{"code":"cancelled","message":"m","hint":null,"retryable":false,"provider_status":null}},"memory":null,"reload":null,"provider":null,"partial":null,"missed":null}"#,
    r#"{"subscription":2,"seq":122,"topic":"memory","event":"trimmed","task":null,"memory":{"level":"high","resident_bytes":7,"freed_bytes":3},"reload":null,"provider":null,"partial":null,"missed":40}"#,
    r#"{"subscription":2,"seq":123,"topic":"daemon","event":"reload_failed","task":null,"memory":null,"reload":{"changed":["a"],"needs_restart":["b"],"reason":"r"},"provider":null,"partial":null,"missed":null}"#,
    r#"{"subscription":2,"seq":124,"topic":"provider","event":"changed","task":null,"memory":null,"reload":null,"provider":{"name":"studio","model":"m","wait_reason":"provider_pause","waits_until":"2026-11-23T20:00:30.000Z"},"partial":null,"missed":null}"#,
    r#"{"subscription":1,"seq":125,"topic":"task","event":"partial","task":null,"memory":null,"reload":null,"provider":null,"partial":{"id":7,"batch":8,"index":0,"offset":4,"text":"water","preview_path":null},"missed":null}"#,
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns a line for a value: its name, and its bytes in hex.
fn line<T: Serialize>(name: &str, value: &T) -> String {
    format!("{name} {}\n", hex(&binary::encode(value).unwrap()))
}

/// Parses a value from JSON, after checking that it survives both encodings.
fn read<T: Serialize + DeserializeOwned>(json: &str) -> T {
    let value: T = serde_json::from_str(json).unwrap();
    let again: T = binary::decode(&binary::encode(&value).unwrap()).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
    value
}

fn golden() -> String {
    let mut text = format!("preface {}\nreply {}\n", hex(&preface(SCHEMA)), hex(&reply(SCHEMA)));
    for method in METHODS {
        let lines = example(section(method));
        let request = crate::rpc::Request::parse(lines[0].as_bytes()).unwrap();
        let Ok(crate::rpc::Incoming::Answer { id: Some(id), outcome: Ok(result) }) =
            crate::rpc::Incoming::parse(lines[1].as_bytes())
        else {
            panic!("{method}: no answer")
        };
        let (asked, answered) = frames(method, id, request.params, result.get());
        let _ = writeln!(text, "{method} asked {}\n{method} answered {}", hex(&asked), hex(&answered));
    }
    let refusal = RpcError::new(ErrorCode::UnknownStyle, "m").hint("h");
    let _ = writeln!(text, "error {}", hex(&binary::error(Some(1), &refusal).unwrap()));
    let _ = writeln!(text, "error without id {}", hex(&binary::error(None, &refusal).unwrap()));
    for json in EVENTS {
        let event: Event = read(json);
        let _ = writeln!(text, "event {}", hex(&binary::event(&event).unwrap()));
    }
    text += &line("task", &read::<TaskView>(FULL_TASK));
    for state in TaskState::ALL {
        text += &line(state.name(), &state);
    }
    text += &line("cache modes", &[CacheMode::Use, CacheMode::Fresh, CacheMode::Off]);
    text += &line("sources", &[Source::Made, Source::Cache, Source::Shared, Source::Unknown]);
    let holds = [HoldReason::User, HoldReason::OutcomeUnknown, HoldReason::CrashSuspect, HoldReason::Unknown];
    text += &line("hold reasons", &holds);
    let waits = [
        WaitReason::Dependencies,
        WaitReason::EqualRequest,
        WaitReason::Retry,
        WaitReason::Paused,
        WaitReason::Stopping,
        WaitReason::Memory,
        WaitReason::Slots,
        WaitReason::Provider,
        WaitReason::ProviderRate,
        WaitReason::ProviderPause,
        WaitReason::ProviderDown,
        WaitReason::ProviderUnreachable,
        WaitReason::ProviderLoading,
        WaitReason::ProviderMissing,
        WaitReason::Turn,
        WaitReason::Unknown,
    ];
    text += &line("wait reasons", &waits);
    let topics = [Topic::Task, Topic::Memory, Topic::Cache, Topic::Provider, Topic::Daemon, Topic::Unknown];
    text += &line("topics", &topics);
    let levels = [MemoryLevel::Normal, MemoryLevel::High, MemoryLevel::Critical, MemoryLevel::Unknown];
    text += &line("memory levels", &levels);
    let limits = [LimitSource::Configured, LimitSource::Cgroup, LimitSource::System, LimitSource::Unknown];
    text += &line("memory limits", &limits);
    let causes =
        [PressureCause::Resident, PressureCause::Cgroup, PressureCause::System, PressureCause::Unknown];
    text += &line("memory causes", &causes);
    let reasons = [TrimReason::Asked, TrimReason::Pressure, TrimReason::Unknown];
    text += &line("trim reasons", &reasons);
    text + &line("untils", &[Until::All, Until::Any])
}

#[test]
fn the_bytes_of_this_schema_are_those_that_are_kept() {
    let name = format!("golden/schema-{SCHEMA}.txt");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(&name);
    let found = golden();
    if std::env::var_os("REEL_WRITE_GOLDEN").is_some() {
        assert!(!path.exists(), "{name} is kept for ever: raise `preface::SCHEMA` for other bytes");
        fs::write(&path, &found).unwrap();
    }
    let Ok(kept) = fs::read_to_string(&path) else {
        panic!("{name} is not there: write it with REEL_WRITE_GOLDEN=1, and remove the one before")
    };
    let next = SCHEMA + 1;
    for (found, kept) in found.lines().zip(kept.lines()) {
        assert_eq!(
            found, kept,
            "the bytes changed: raise `preface::SCHEMA` to {next}, which needs a new file in golden/"
        );
    }
    assert_eq!(
        found.lines().count(),
        kept.lines().count(),
        "messages came or went: raise `preface::SCHEMA` to {next}"
    );
}

#[test]
fn what_the_daemon_says_reads_back() {
    let parse = |frame: Vec<u8>| Incoming::parse(&bytes::Bytes::from(frame).slice(LENGTH_BYTES..)).unwrap();
    let refusal = RpcError::new(ErrorCode::UnknownStyle, "m").hint("h");
    for id in [None, Some(7)] {
        let Incoming::Error { id: found, error } = parse(binary::error(id, &refusal).unwrap()) else {
            panic!()
        };
        assert_eq!((found, error), (id, refusal.clone()));
    }
    for json in EVENTS {
        let event: Event = read(json);
        let Incoming::Event(found) = parse(binary::event(&event).unwrap()) else { panic!() };
        assert_eq!(*found, event);
    }
}

#[test]
fn a_large_block_is_shared_on_both_sides_and_the_bytes_are_the_same() {
    for length in [0, 10, 100_000] {
        let data = Bytes::from(vec![7; length]);
        let result =
            ArtifactReadResult { data, size_bytes: 1, media_type: "image/png".to_owned(), raw_bytes: None };
        let shared = binary::result(3, &result, ArtifactRead::block(&result)).unwrap();
        let copied = binary::result(3, &result, None).unwrap();
        assert!(shared.to_vec() == copied.bytes);
        assert_eq!((shared.len(), shared.block.is_some()), (copied.len(), length > 50_000));
        if let Some((_, block)) = &shared.block {
            assert_eq!(block.as_ptr(), result.data.0.as_ptr());
        }
        let body = bytes::Bytes::from(copied.bytes).slice(LENGTH_BYTES..);
        let Ok(Incoming::Result { result: bytes, .. }) = Incoming::parse(&body) else { panic!("no result") };
        let read = ArtifactRead::read(&bytes).unwrap();
        assert!(read == result);
        assert!(length == 0 || read.data.0.as_ptr() == bytes[8..].as_ptr(), "nothing is copied");
    }
}

#[test]
fn bad_frames_get_the_code_that_says_why() {
    let code = |body: &[u8]| {
        let BadRequest { id, error } = Request::parse(body).unwrap_err();
        (id, error.data.code)
    };
    let parse_error = (None, "parse_error".to_owned());
    for body in [&b""[..], b"\x00", b"\x02garbage garbage", &[0xff; 30], b"\x00\x01\0\0\0\0\0\0\0\xff"] {
        assert_eq!(code(body), parse_error, "{body:?}");
    }
    let long = binary::request(Some(9), "task.get", &"x".repeat(LINE_BYTES)).unwrap();
    assert_eq!(code(&long[LENGTH_BYTES..]), (Some(9), "request_too_large".to_owned()));
    let batch = binary::request(Some(9), "task.submit_batch", &"x".repeat(LINE_BYTES)).unwrap();
    assert!(Request::parse(&batch[LENGTH_BYTES..]).is_ok());
    assert!(matches!(binary::decode::<u8>(&[1, 2]), Err(binary::BinaryError::Trailing(1))));
    assert!(Incoming::parse(&bytes::Bytes::from_static(&[9, 0, 0])).is_err());
}
