//! Tests of sessions that speak bincode, over in-memory streams and with fake rooms.

use std::time::Duration;

use reel_protocol::{
    Digest, RpcError, TaskId, TaskSpec,
    binary::{self, Incoming},
    frame::{FrameDecoder, OwnedFrame},
    limits::{LARGE_LINE_BYTES, LINE_BYTES, READ_BYTES},
    methods::{
        ArtifactRead, ArtifactReadParams, DaemonStatus, Empty, Event, EventsSubscribe, Method, QueuePause,
        SubmitBatchParams, SubscribeParams, TaskGet, TaskIdParams, TaskSubmitBatch, TaskWait, TaskWaitParams,
        Topic,
    },
    preface::{self, REPLY_BYTES, SCHEMA},
};
use serde::Serialize;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::timeout,
};

use super::{
    fakes::Fake,
    test_client::{Client, run},
};

/// The client's side of a connection that uses frames.
struct Binary {
    stream: DuplexStream,
    session: JoinHandle<()>,
    /// Held because the session would see its drop as the end of the daemon.
    _stop: tokio::sync::watch::Sender<bool>,
    decoder: FrameDecoder,
}

impl Binary {
    async fn connect(fake: &Fake) -> Self {
        Self::with_room(fake, 64 * 1024).await
    }

    async fn with_room(fake: &Fake, room: usize) -> Self {
        let Client { stream, session, stop } = Client::with_room(fake, room);
        let mut stream = stream.into_inner();
        stream.write_all(&preface::preface(SCHEMA)).await.unwrap();
        let mut reply = [0; REPLY_BYTES];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply, preface::reply(SCHEMA));
        Self { stream, session, _stop: stop, decoder: FrameDecoder::default() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn ask<M: Method>(&mut self, id: Option<u64>, params: &M::Params) {
        let frame = binary::request(id, M::NAME, params).unwrap();
        self.send(&frame).await;
    }

    /// Returns the next message. None at the end of the stream.
    async fn next(&mut self) -> Option<Incoming> {
        loop {
            match self.decoder.next_owned() {
                Some(OwnedFrame::Whole(body)) => return Some(Incoming::parse(&body).unwrap()),
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            let read = self.stream.read_buf(self.decoder.buffer_mut());
            if timeout(Duration::from_mins(5), read).await.expect("a message comes").unwrap() == 0 {
                return None;
            }
        }
    }

    async fn call<M: Method>(&mut self, params: &M::Params) -> Result<M::Result, RpcError> {
        self.ask::<M>(Some(7), params).await;
        match self.next().await.expect("an answer") {
            Incoming::Result { id: 7, result } => Ok(M::read(&result).unwrap()),
            Incoming::Error { id: Some(7), error } => Err(error),
            other => panic!("{other:?}"),
        }
    }

    /// Returns the error code of a message whose id could not be read.
    async fn refusal(&mut self) -> String {
        match self.next().await.expect("an answer") {
            Incoming::Error { id: None, error } => error.data.code,
            other => panic!("{other:?}"),
        }
    }

    async fn event(&mut self) -> Event {
        match self.next().await.expect("an event") {
            Incoming::Event(event) => *event,
            other => panic!("{other:?}"),
        }
    }
}

/// A method that does not exist.
enum Unknown {}

impl Method for Unknown {
    const NAME: &'static str = "task.gett";
    type Params = Empty;
    type Result = Empty;
}

/// An existing method with params of another type.
enum Misfit {}

impl Method for Misfit {
    const NAME: &'static str = "task.get";
    type Params = (u64, u8);
    type Result = Empty;
}

fn task(id: u64) -> TaskIdParams {
    TaskIdParams { id: TaskId(id) }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes(), body].concat()
}

#[test]
fn both_encodings_answer_the_same() {
    run(|fake| async move {
        let mut lines = Client::connect(&fake);
        let mut frames = Binary::connect(&fake).await;
        let answer = lines.call("task.get", json!({ "id": 5 })).await;
        let result = frames.call::<TaskGet>(&task(5)).await.unwrap();
        assert_eq!(answer["result"], serde_json::to_value(result).unwrap());
        let answer = lines.call("task.get", json!({ "id": 5000 })).await;
        let error = frames.call::<TaskGet>(&task(5000)).await.unwrap_err();
        assert_eq!(answer["error"], serde_json::to_value(error).unwrap());
        let mut answer = lines.call("daemon.status", json!({})).await;
        let status = frames.call::<DaemonStatus>(&Empty {}).await.unwrap();
        assert_eq!(status.connections, 2);
        answer["result"]["uptime_s"] = json!(status.uptime_s);
        assert_eq!(answer["result"], serde_json::to_value(status).unwrap());
    });
}

#[test]
fn many_frames_in_one_write_are_all_answered_and_notifications_are_not() {
    run(|fake| async move {
        let mut client = Binary::connect(&fake).await;
        let mut bytes = binary::request(None, QueuePause::NAME, &Empty {}).unwrap();
        for id in 0..300 {
            bytes.extend(binary::request(Some(id), TaskGet::NAME, &task(id)).unwrap());
        }
        client.send(&bytes).await;
        let mut seen = [false; 300];
        for _ in 0..300 {
            let Some(Incoming::Result { id, result }) = client.next().await else { panic!("a result") };
            assert_eq!(TaskGet::read(&result).unwrap().id, TaskId(id));
            assert!(!std::mem::replace(&mut seen[id as usize], true));
        }
        assert!(fake.asked.borrow().iter().any(|asked| asked == "PauseQueue(true)"));
    });
}

#[test]
fn garbage_frames_are_refused_and_the_connection_goes_on() {
    run(|fake| async move {
        let mut client = Binary::connect(&fake).await;
        for body in [&b""[..], b"garbage", &[0xff; 40], b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}"] {
            client.send(&frame(body)).await;
            assert_eq!(client.refusal().await, "parse_error", "{body:?}");
        }
        let refused = |outcome: Result<_, RpcError>| outcome.unwrap_err().data.code;
        assert_eq!(refused(client.call::<Unknown>(&Empty {}).await.map(drop)), "method_not_found");
        assert_eq!(refused(client.call::<Misfit>(&(1, 1)).await.map(drop)), "invalid_params");
        assert_eq!(client.call::<TaskGet>(&task(1)).await.unwrap().id.0, 1);
    });
}

#[test]
fn large_frames_are_refused_by_size_and_by_budget_and_the_connection_goes_on() {
    run(|fake| async move {
        let mut client = Binary::with_room(&fake, LARGE_LINE_BYTES * 2).await;
        let spec = TaskSpec { kind: "x".repeat(LINE_BYTES), ..TaskSpec::default() };
        let answer = client.call::<reel_protocol::methods::TaskSubmit>(&spec).await;
        assert_eq!(answer.unwrap_err().data.code, "request_too_large");
        client.send(&frame(&vec![0; LARGE_LINE_BYTES + 1])).await;
        assert_eq!(client.refusal().await, "request_too_large");
        fake.budget.set_limit(1024 * 1024);
        client.send(&frame(&vec![0; 4 * 1024 * 1024])).await;
        assert_eq!(client.refusal().await, "over_memory");
        fake.budget.set_limit(64 * 1024 * 1024);
        let spec = TaskSpec { kind: "debug.noop".into(), name: Some("p".repeat(200)), ..TaskSpec::default() };
        let batch = SubmitBatchParams { tasks: vec![spec; 8_000], ..SubmitBatchParams::default() };
        assert_eq!(client.call::<TaskSubmitBatch>(&batch).await.unwrap().ids.len(), 8_000);
        let Binary { stream, session, .. } = client;
        drop(stream);
        session.await.unwrap();
        assert_eq!(fake.budget.reserved_bytes(), 0);
    });
}

#[test]
fn bytes_of_an_artifact_come_as_they_are() {
    run(|fake| async move {
        let mut client = Binary::connect(&fake).await;
        for length in [0, 1, 100_000, READ_BYTES] {
            let params = ArtifactReadParams::new(Digest::from_bytes([0; 32]), 0, length);
            let read = client.call::<ArtifactRead>(&params).await.unwrap();
            assert!(read.data.0 == vec![b'x'; length as usize]);
            assert_eq!((read.size_bytes, read.media_type.as_str()), (length, "image/png"));
        }
        assert_eq!(fake.budget.reserved_bytes(), 0);
    });
}

#[test]
fn events_come_in_frames_beside_those_in_lines() {
    run(|fake| async move {
        let mut lines = Client::connect(&fake);
        let mut frames = Binary::connect(&fake).await;
        lines.call("events.subscribe", json!({ "topics": ["daemon"] })).await;
        let params = SubscribeParams { topics: vec![Topic::Daemon], ..SubscribeParams::default() };
        let begun = frames.call::<EventsSubscribe>(&params).await.unwrap();
        assert_eq!((begun.subscription, begun.instance.as_str()), (1, "i"));
        fake.events.plain(Topic::Daemon, "reloaded");
        let line = lines.line().await.unwrap();
        assert_eq!(line["params"], serde_json::to_value(frames.event().await).unwrap());
    });
}

#[test]
fn a_reader_of_frames_that_falls_behind_loses_its_subscription_only() {
    run(|fake| async move {
        let mut client = Binary::with_room(&fake, 1024).await;
        let params = SubscribeParams { topics: vec![Topic::Daemon], ..SubscribeParams::default() };
        client.call::<EventsSubscribe>(&params).await.unwrap();
        for _ in 0..200 {
            (0..100).for_each(|_| fake.events.plain(Topic::Daemon, "reloaded"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        loop {
            let event = client.event().await;
            if event.event == "subscription_dropped" {
                assert!(event.missed.is_some_and(|missed| missed >= 1024), "{event:?}");
                break;
            }
        }
        assert_eq!(client.call::<TaskGet>(&task(1)).await.unwrap().id.0, 1);
    });
}

#[test]
fn another_schema_goes_on_in_lines_on_the_same_connection() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.stream.get_mut().write_all(&preface::preface(SCHEMA + 1)).await.unwrap();
        let mut reply = [0; REPLY_BYTES];
        client.stream.read_exact(&mut reply).await.unwrap();
        assert_eq!((reply[4], &reply[..4]), (0, &SCHEMA.to_le_bytes()[..]));
        assert_eq!(client.call("task.get", json!({ "id": 3 })).await["result"]["id"], 3);
    });
}

#[test]
fn half_a_preface_is_a_bad_line_and_holds_nobody_up() {
    run(|fake| async move {
        for half in ["REELB", "REELBIN1", "REELBIN1\u{1}\0\0"] {
            let mut waiting = Client::connect(&fake);
            waiting.send(half).await;
            let mut other = Binary::connect(&fake).await;
            assert_eq!(other.call::<TaskGet>(&task(1)).await.unwrap().id.0, 1);
            waiting.end_input().await;
            assert_eq!(waiting.line().await.unwrap()["error"]["data"]["code"], "parse_error");
            assert_eq!(waiting.line().await, None);
        }
        let mut rubbish = Client::connect(&fake);
        rubbish.send("REELBIN2\u{1}\0\0\0\n").await;
        assert_eq!(rubbish.line().await.unwrap()["error"]["data"]["code"], "parse_error");
        assert_eq!(rubbish.call("task.get", json!({ "id": 1 })).await["result"]["id"], 1);
    });
}

#[test]
fn an_end_inside_a_frame_is_said_and_pending_answers_still_go_out() {
    run(|fake| async move {
        let mut client = Binary::connect(&fake).await;
        let wait = TaskWaitParams {
            ids: vec![TaskId(1)],
            timeout_s: Some(reel_protocol::Seconds(Duration::from_secs(20))),
            ..TaskWaitParams::default()
        };
        client.ask::<TaskWait>(Some(1), &wait).await;
        client.send(&frame(&[0; 100])[..50]).await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.refusal().await, "parse_error");
        let Some(Incoming::Result { id: 1, result }) = client.next().await else { panic!("a result") };
        assert!(TaskWait::read(&result).unwrap().timed_out);
        assert!(client.next().await.is_none());
        client.session.await.unwrap();
        let mut gone = Binary::connect(&fake).await;
        gone.ask::<TaskWait>(Some(1), &TaskWaitParams { ids: vec![TaskId(999)], ..wait }).await;
        gone.send(&1_000_000_u32.to_le_bytes()).await;
        gone.send(&[0; 1000]).await;
        drop(gone.stream);
        timeout(Duration::from_secs(5), gone.session).await.expect("its end is seen").unwrap();
        assert_eq!(fake.router.open_connections(), 0);
    });
}

/// Returns bytes that a peer may send instead of frames.
fn hostile(round: u64) -> Vec<u8> {
    let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let mut bytes: Vec<u8> = (0..200).map(|_| byte()).collect();
    // Half of the rounds contain frame lengths that end within the bytes.
    if round.is_multiple_of(2) {
        bytes.chunks_mut(20).for_each(|chunk| chunk[..4].copy_from_slice(&[16, 0, 0, 0]));
    }
    bytes
}

#[test]
fn no_bytes_end_a_session_but_the_peers_own_end() {
    run(|fake| async move {
        for round in 0..200 {
            let mut client = Binary::with_room(&fake, 1024 * 1024).await;
            client.send(&hostile(round)).await;
            client.stream.shutdown().await.unwrap();
            while let Some(message) = client.next().await {
                assert!(matches!(message, Incoming::Error { .. }), "{message:?}");
            }
            client.session.await.unwrap();
        }
        assert_eq!((fake.router.open_connections(), fake.budget.reserved_bytes()), (0, 0));
    });
}

/// Params that are too long for the rooms' thread are parsed on another thread, and the request is answered all the same.
#[test]
fn large_params_are_read_elsewhere_and_a_misfit_among_them_is_refused() {
    #[derive(Serialize)]
    struct Long(String);
    run(|fake| async move {
        let mut client = Binary::with_room(&fake, 1024 * 1024).await;
        let frame = binary::request(Some(3), "task.get", &Long("x".repeat(200_000))).unwrap();
        client.send(&frame).await;
        let Some(Incoming::Error { id: Some(3), error }) = client.next().await else { panic!("a refusal") };
        assert_eq!(error.data.code, "invalid_params");
    });
}
