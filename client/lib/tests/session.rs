//! Tests of the library against a daemon that the test simulates line by line.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of a test fail it by panicking")]

use std::{path::Path, time::Duration};

use reel_client::{
    Client, ClientError, ConnectOptions, Encoding, Follow, Session, Start,
    protocol::{
        TaskId, TaskSpec,
        endpoint::{Locations, LockText},
        methods::{QueuePause, SubscribeParams, Topic},
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
};

/// How long the simulated daemon waits for a message that a client must send. Only a failing test waits so long.
const DEADLINE: Duration = Duration::from_secs(20);

fn options(home: &Path) -> ConnectOptions {
    let locations = Locations {
        home: home.to_owned(),
        socket: home.join("reeld.sock"),
        is_socket_given: false,
        config: home.join("config.toml"),
    };
    ConnectOptions { start: Start::Never, encoding: Encoding::Json, ..ConnectOptions::new(locations, "test") }
}

/// One connection of the simulated daemon.
struct Peer {
    lines: tokio::io::Lines<BufReader<tokio::net::unix::OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Peer {
    async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, writer) = UnixStream::into_split(stream);
        Self { lines: BufReader::new(reader).lines(), writer }
    }

    async fn read(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await;
        serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap()
    }

    async fn say(&mut self, line: &Value) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn answer(&mut self, request: &Value, result: Value) {
        self.say(&json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).await;
    }

    /// Reads `hello` and answers it as a daemon with version `protocol` of the protocol.
    async fn greet(&mut self, protocol: u32) {
        let hello = self.read().await;
        assert_eq!((&hello["method"], &hello["params"]["client"]), (&json!("hello"), &json!("test")));
        let result = json!({
            "daemon": "reeld", "version": "9.9.9", "protocol": protocol, "capabilities": ["of.tomorrow"],
            "pid": 1, "instance": "a", "news": {},
        });
        self.answer(&hello, result).await;
    }
}

#[tokio::test]
async fn a_submit_that_lost_its_answer_is_sent_again_as_the_same_request() {
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join("reeld.sock")).unwrap();
    let daemon = async {
        let mut first = Peer::accept(&listener).await;
        first.greet(1).await;
        let lost = first.read().await;
        drop(first);
        let mut second = Peer::accept(&listener).await;
        second.greet(1).await;
        let again = second.read().await;
        assert_eq!(again["params"], lost["params"]);
        second.answer(&again, json!({ "id": 7, "state": "of_tomorrow" })).await;
        second
    };
    let client = async {
        let session = Session::connect(options(home.path())).await.unwrap();
        let spec = TaskSpec {
            kind: "debug.noop".to_owned(),
            request_id: Some("same".to_owned()),
            ..TaskSpec::default()
        };
        session.submit(&spec).await.unwrap()
    };
    let (_peer, submitted) = tokio::join!(daemon, client);
    assert_eq!((submitted.id.0, submitted.state.name()), (7, "unknown"));
}

#[tokio::test]
async fn a_submit_without_a_request_id_gets_one_and_a_wait_goes_on_for_the_rest_of_its_time() {
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join("reeld.sock")).unwrap();
    let daemon = async {
        let mut first = Peer::accept(&listener).await;
        first.greet(1).await;
        let submit = first.read().await;
        assert!(submit["params"]["request_id"].as_str().unwrap().starts_with("reel-"), "{submit}");
        first.answer(&submit, json!({ "id": 7, "state": "queued" })).await;
        let lost = first.read().await;
        drop(first);
        let mut second = Peer::accept(&listener).await;
        second.greet(1).await;
        let again = second.read().await;
        assert_eq!((&again["method"], &again["params"]["ids"]), (&json!("task.wait"), &json!([7])));
        let seconds = |request: &Value| request["params"]["timeout_s"].as_f64().unwrap();
        assert!(seconds(&again) < seconds(&lost), "{again}");
        second.answer(&again, json!({ "tasks": [], "timed_out": true })).await;
        second
    };
    let client = async {
        let session = Session::connect(options(home.path())).await.unwrap();
        let submitted = session.submit(&TaskSpec::default()).await.unwrap();
        assert_eq!(submitted.id, TaskId(7));
        session.wait(&[submitted.id], Some(Duration::from_hours(1))).await.unwrap()
    };
    let (_peer, waited) = tokio::join!(daemon, client);
    assert!(waited.timed_out);
}

#[tokio::test]
async fn a_daemon_of_another_protocol_is_refused_before_its_answers_are_read() {
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join("reeld.sock")).unwrap();
    let daemon = async {
        let mut peer = Peer::accept(&listener).await;
        peer.greet(2).await;
        peer
    };
    let client = async {
        let client = Client::connect(&options(home.path())).await.unwrap();
        client.call::<QueuePause>(&reel_client::protocol::methods::Empty {}).await
    };
    let (_peer, answer) = tokio::join!(daemon, client);
    assert!(matches!(answer, Err(ClientError::Protocol { .. })), "{answer:?}");
}

#[tokio::test]
async fn the_lock_file_leads_to_a_daemon_that_listens_elsewhere_unless_a_socket_was_named() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("elsewhere.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut options = options(home.path());
    let lock = LockText { pid: 1, socket };
    std::fs::write(options.locations.lock_file(), lock.encode()).unwrap();
    let (mut peer, client) = tokio::join!(Peer::accept(&listener), Client::connect(&options));
    peer.greet(1).await;
    assert_eq!(client.unwrap().hello().await.unwrap().version, "9.9.9");
    options.locations.is_socket_given = true;
    assert!(matches!(Client::connect(&options).await, Err(ClientError::NoDaemon)));
}

#[tokio::test]
async fn events_come_in_order_until_the_daemon_drops_a_slow_subscription() {
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join("reeld.sock")).unwrap();
    let event = |seq: u64, event: &str| {
        let params = json!({ "subscription": 3, "seq": seq, "topic": "task", "event": event, "missed": 5 });
        json!({ "jsonrpc": "2.0", "method": "event", "params": params })
    };
    let daemon = async {
        let mut peer = Peer::accept(&listener).await;
        peer.greet(1).await;
        let subscribe = peer.read().await;
        peer.answer(&subscribe, json!({ "subscription": 3, "instance": "a", "seq": 10 })).await;
        for line in [event(11, "changed"), event(12, "of_tomorrow"), event(13, "subscription_dropped")] {
            peer.say(&line).await;
        }
        peer
    };
    let client = async {
        let client = Client::connect(&options(home.path())).await.unwrap();
        let topics = SubscribeParams { topics: vec![Topic::Task], ..SubscribeParams::default() };
        let mut events = client.subscribe(&topics).await.unwrap();
        assert_eq!(events.begun().seq, 10);
        assert_eq!(events.next().await.unwrap().seq, 11);
        assert_eq!(events.next().await.unwrap().seq, 12);
        events.next().await
    };
    let (_peer, end) = tokio::join!(daemon, client);
    assert!(matches!(end, Err(ClientError::EventsLost { .. })), "{end:?}");
}

#[tokio::test]
async fn a_subscription_whose_caller_left_before_the_answer_is_ended_in_the_daemon() {
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join("reeld.sock")).unwrap();
    let client = Client::connect(&options(home.path())).await.unwrap();
    let mut peer = Peer::accept(&listener).await;
    peer.greet(1).await;
    let topics = SubscribeParams { topics: vec![Topic::Task], ..SubscribeParams::default() };
    let subscribe = {
        let subscribing = client.subscribe(&topics);
        tokio::select! {
            _ = subscribing => unreachable!("nobody has answered"),
            subscribe = peer.read() => subscribe,
        }
    };
    assert_eq!(subscribe["method"], "events.subscribe");
    peer.answer(&subscribe, json!({ "subscription": 3, "instance": "a", "seq": 0 })).await;
    let end = peer.read().await;
    assert_eq!((&end["method"], &end["params"]["subscription"]), (&json!("events.unsubscribe"), &json!(3)));
}

#[tokio::test]
async fn a_follow_that_is_asked_anew_again_and_again_subscribes_once() {
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join("reeld.sock")).unwrap();
    let (session, mut peer) = tokio::join!(Session::connect(options(home.path())), async {
        let mut peer = Peer::accept(&listener).await;
        peer.greet(1).await;
        peer
    });
    let session = session.unwrap();
    let mut follow = Follow::tasks(&session, vec![TaskId(7)]);
    for _ in 0..100 {
        assert!(tokio::time::timeout(Duration::from_millis(1), follow.next()).await.is_err());
    }
    let subscribe = peer.read().await;
    assert_eq!(subscribe["method"], "events.subscribe");
    peer.answer(&subscribe, json!({ "subscription": 3, "instance": "a", "seq": 0 })).await;
    // While the states are read, it may be asked anew too. No request for a second subscription is among its requests.
    let next = tokio::select! {
        _ = follow.next() => unreachable!("nobody has answered"),
        next = peer.read() => next,
    };
    assert_eq!(next["method"], "task.wait");
    for _ in 0..10 {
        assert!(tokio::time::timeout(Duration::from_millis(1), follow.next()).await.is_err());
    }
    drop(follow);
    let last = loop {
        let request = peer.read().await;
        if request["method"] != "task.wait" {
            break request;
        }
    };
    assert_eq!((&last["method"], &last["params"]["subscription"]), (&json!("events.unsubscribe"), &json!(3)));
}
