//! Any value survives both encodings, and no bytes make a decoder panic.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

use proptest::prelude::*;
use reel_protocol::{
    BatchId, Bytes, CacheMode, Digest, HoldReason, ImageParams, JsonText, MAX_ID, Output, Progress, RpcError,
    Seconds, Source, TaskError, TaskId, TaskNote, TaskSpec, TaskState, TaskView, Timestamp, WaitReason,
    binary::{self, Incoming, Request},
    frame::{Frame, FrameDecoder, LENGTH_BYTES},
    methods::{ArtifactReadResult, Event, ProviderEvent, ReloadEvent, TaskEvent, TaskWaitResult, Topic},
};
use serde::{Serialize, de::DeserializeOwned};

fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let json = serde_json::to_vec(value).unwrap();
    assert!(!json.contains(&b'\n'), "a message must stay on its line");
    assert_eq!(&serde_json::from_slice::<T>(&json).unwrap(), value);
    let bytes = binary::encode(value).unwrap();
    assert_eq!(&binary::decode::<T>(&bytes).unwrap(), value);
    // As the params of a request and as a result, cut out of a stream.
    let asked = binary::request(Some(7), "a.b", value).unwrap();
    let mut decoder = FrameDecoder::with_bytes(asked);
    let Some(Frame::Whole(body)) = decoder.next_frame() else { panic!("a frame") };
    let request = Request::parse(body).unwrap();
    assert_eq!((request.id, request.method, request.params), (Some(7), "a.b", &bytes[..]));
    let answered = binary::result(7, value, None).unwrap();
    let Ok(Incoming::Result { id: 7, result }) =
        Incoming::parse(&bytes::Bytes::from(answered.bytes).slice(LENGTH_BYTES..))
    else {
        panic!("a result")
    };
    assert_eq!(result, bytes);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,20}", "[\\x00-\\x1f\"\\\\\u{2028}]{0,8}", Just("灯塔在黄昏".to_owned())]
}

fn json() -> impl Strategy<Value = JsonText> {
    prop::collection::btree_map(
        text(),
        prop_oneof![text().prop_map(serde_json::Value::from), any::<i64>().prop_map(Into::into)],
        0..4,
    )
    .prop_map(|map| JsonText::from_value(&map).unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..253_402_300_800_000_u64).prop_map(Timestamp::from_unix_ms)
}

fn id() -> impl Strategy<Value = TaskId> {
    (0..=MAX_ID).prop_map(TaskId)
}

fn state() -> impl Strategy<Value = TaskState> {
    prop::sample::select(TaskState::ALL.to_vec())
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn error() -> impl Strategy<Value = TaskError> {
    (text(), text(), prop::option::of(text()), any::<bool>(), any::<Option<u16>>()).prop_map(
        |(code, message, hint, retryable, provider_status)| TaskError {
            code,
            message,
            hint,
            retryable,
            provider_status,
        },
    )
}

fn output() -> impl Strategy<Value = Output> {
    (digest(), text(), any::<u64>(), any::<Option<u32>>(), text(), prop::option::of(text())).prop_map(
        |(digest, media_type, size_bytes, width, path, text)| Output {
            digest,
            media_type,
            size_bytes,
            width,
            height: width,
            duration_s: width.map(f64::from),
            path,
            text,
        },
    )
}

fn note() -> impl Strategy<Value = TaskNote> {
    (text(), text()).prop_map(|(code, message)| TaskNote { code, message })
}

prop_compose! {
    fn task()(
        id in id(), rev in any::<u64>(), kind in text(), name in prop::option::of(text()), state in state(),
        after in prop::collection::vec(id(), 0..3), created_at in time(), not_before in prop::option::of(time()),
        params in json(), outputs in prop::collection::vec(output(), 0..3), error in prop::option::of(error()),
        metadata in prop::option::of(json()), notes in prop::collection::vec(note(), 0..3),
    ) -> TaskView {
        TaskView {
            id, rev, client: kind.clone(), kind, provider: name.clone(), model: name.clone(), name, state,
            hold_reason: name_of_hold(state), wait_reason: Some(WaitReason::Memory), priority: -7, batch: after.first().map(|id| BatchId(id.0)), parent: after.first().copied(), step: None, request_id: Some("r".into()), after,
            progress: Progress { fraction: 0.5, message: "half".into() }, attempts: 3, source: Some(Source::Shared), created_at,
            started_at: not_before, finished_at: None, not_before, params, outputs, error, cost: None, notes, metadata,
        }
    }
}

fn name_of_hold(state: TaskState) -> Option<HoldReason> {
    (state == TaskState::Held).then_some(HoldReason::OutcomeUnknown)
}

prop_compose! {
    fn spec()(
        kind in text(), params in json(), name in prop::option::of(text()), priority in any::<i8>(),
        after in prop::collection::vec(id(), 0..3), ms in prop::option::of(0..1_000_000_000_u64), metadata in prop::option::of(json()),
        cache in prop::sample::select(vec![CacheMode::Use, CacheMode::Fresh, CacheMode::Off]), max_attempts in any::<Option<u32>>(),
    ) -> TaskSpec {
        let deadline_s = ms.map(|ms| Seconds(std::time::Duration::from_millis(ms)));
        TaskSpec { kind, params, request_id: name.clone(), provider: name.clone(), name, priority, after, cache, max_attempts, deadline_s, metadata }
    }
}

proptest! {
    #[test]
    fn tasks_and_their_specs_round_trip(task in task(), spec in spec()) {
        check(&spec);
        check(&TaskWaitResult { tasks: vec![task], timed_out: true, omitted: vec![TaskId(7)] });
    }

    #[test]
    fn events_bytes_and_errors_round_trip(task in task(), data in any::<Vec<u8>>(), message in text()) {
        let task = TaskEvent {
            id: task.id, rev: task.rev, kind: task.kind, name: task.name, client: task.client, batch: task.batch, parent: task.parent, step: task.step, state: task.state,
            hold_reason: task.hold_reason, progress: task.progress, source: task.source, error: task.error,
        };
        let (event, memory, missed) = (message.clone(), None, Some(9));
        let reload = Some(ReloadEvent { changed: vec![message.clone()], needs_restart: Vec::new(), reason: Some(message.clone()) });
        let provider = Some(ProviderEvent { name: message.clone(), model: Some(message.clone()), wait_reason: Some(WaitReason::ProviderPause), waits_until: Some(Timestamp::from_unix_ms(1)) });
        check(&Event { subscription: 1, seq: 2, topic: Topic::Task, event, task: Some(task), memory, reload, provider, partial: None, missed });
        check(&ArtifactReadResult { size_bytes: data.len() as u64, data: Bytes::from(data), media_type: message.clone(), raw_bytes: Some(7) });
        check(&RpcError::new(reel_protocol::ErrorCode::Internal, message).hint("try again"));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in any::<Vec<u8>>()) {
        let _ = serde_json::from_slice::<TaskView>(&bytes);
        let _ = serde_json::from_slice::<ImageParams>(&bytes);
        let _ = Request::parse(&bytes);
        let _ = Incoming::parse(&bytes::Bytes::copy_from_slice(&bytes));
        let _ = binary::decode::<TaskView>(&bytes);
        let _ = binary::decode::<TaskSpec>(&bytes);
        let _ = binary::decode::<ArtifactReadResult>(&bytes);
        let _ = binary::decode::<Event>(&bytes);
    }

    #[test]
    fn no_damage_to_a_message_makes_a_decoder_panic(task in task(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = binary::encode(&TaskWaitResult { tasks: vec![task], timed_out: true, omitted: vec![TaskId(7)] }).unwrap();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = binary::decode::<TaskWaitResult>(&bytes);
        bytes.truncate(place);
        assert!(binary::decode::<TaskWaitResult>(&bytes).is_err());
    }
}

#[test]
fn a_length_past_the_limit_is_refused() {
    assert!(binary::decode::<ArtifactReadResult>(&[0xff; 16]).is_err());
    assert!(binary::decode::<Vec<u64>>(&(1_u64 << 40).to_le_bytes()).is_err());
}

#[test]
fn names_of_a_newer_daemon_are_tolerated() {
    assert_eq!(serde_json::from_str::<TaskState>(r#""dreaming""#).unwrap(), TaskState::Unknown);
    assert_eq!(serde_json::from_str::<Source>(r#""borrowed""#).unwrap(), Source::Unknown);
    let error = serde_json::from_str::<RpcError>(
        r#"{"code":999,"message":"m","data":{"code":"new_one","hint":null,"more":1}}"#,
    )
    .unwrap();
    assert_eq!(error.known(), None);
}
