//! Tests how the library negotiates an encoding with daemons that the test simulates: one with the same schema, one with another, and ones that
//! violate the protocol.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of a test fail it by panicking"
)]

use std::{path::Path, time::Duration};

use reel_client::{
    Client, ClientError, ConnectOptions, Encoding, Start,
    protocol::{
        ErrorCode, RpcError, TaskId, TaskState,
        binary::{self, Request},
        endpoint::Locations,
        frame::{FrameDecoder, OwnedFrame},
        methods::{
            ArtifactRead, ArtifactReadParams, ArtifactReadResult, Empty, HelloResult, QueuePause,
            SubmitResult, TaskSubmit,
        },
        preface::{PREFACE_BYTES, SCHEMA, preface, reply},
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};

fn options(home: &Path) -> ConnectOptions {
    let locations = Locations {
        home: home.to_owned(),
        socket: home.join("reeld.sock"),
        is_socket_given: true,
        config: home.join("config.toml"),
    };
    ConnectOptions {
        start: Start::Never,
        encoding: Encoding::Binary,
        ..ConnectOptions::new(locations, "test")
    }
}

fn hello() -> HelloResult {
    HelloResult {
        daemon: "reeld".to_owned(),
        version: "9.9.9".to_owned(),
        protocol: 1,
        capabilities: Vec::new(),
        pid: 1,
        instance: "a".to_owned(),
    }
}

/// Returns a client and the other end of its connection, from which the client's preface was read.
async fn pair(home: &Path) -> (Client, UnixStream) {
    let listener = UnixListener::bind(home.join("reeld.sock")).unwrap();
    let options = options(home);
    let (accepted, client) = tokio::join!(listener.accept(), Client::connect(&options));
    let (mut stream, client) = (accepted.unwrap().0, client.unwrap());
    let mut bytes = [0; PREFACE_BYTES];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, preface(SCHEMA));
    (client, stream)
}

async fn next_frame(stream: &mut UnixStream, decoder: &mut FrameDecoder) -> bytes::Bytes {
    loop {
        match decoder.next_owned() {
            Some(OwnedFrame::Whole(body)) => return body,
            Some(other) => panic!("{other:?}"),
            None => assert!(stream.read_buf(decoder.buffer_mut()).await.unwrap() > 0, "the client is gone"),
        }
    }
}

#[tokio::test]
async fn frames_go_both_ways_where_the_schemas_are_equal() {
    let home = tempfile::tempdir().unwrap();
    let (client, mut stream) = pair(home.path()).await;
    let data = vec![7; 1_000_000];
    let daemon = async {
        let mut decoder = FrameDecoder::default();
        // The reply is sent in pieces, as a stream may deliver it.
        for byte in reply(SCHEMA) {
            stream.write_all(&[byte]).await.unwrap();
        }
        let body = next_frame(&mut stream, &mut decoder).await;
        let greeting = Request::parse(&body).unwrap();
        assert_eq!((greeting.id, greeting.method), (Some(0), "hello"));
        stream.write_all(&binary::result(0, &hello(), None).unwrap().bytes).await.unwrap();
        let submitted = SubmitResult { id: TaskId(7), state: TaskState::Queued };
        let read = ArtifactReadResult {
            data: data.clone().into(),
            size_bytes: 1,
            media_type: "image/png".into(),
            raw_bytes: None,
        };
        let refusal = RpcError::new(ErrorCode::ShuttingDown, "the daemon is stopping");
        for _ in 0..3 {
            let body = next_frame(&mut stream, &mut decoder).await;
            let request = Request::parse(&body).unwrap();
            let id = request.id.unwrap();
            let answer = match request.method {
                "task.submit" => binary::result(id, &submitted, None).unwrap().bytes,
                "artifact.read" => binary::result(id, &read, None).unwrap().bytes,
                _ => binary::error(Some(id), &refusal).unwrap(),
            };
            stream.write_all(&answer).await.unwrap();
        }
        stream
    };
    let asked = async {
        let params = ArtifactReadParams::new("0".repeat(64).parse().unwrap(), 0, 1);
        let spec = reel_client::protocol::TaskSpec::default();
        tokio::join!(
            client.call::<TaskSubmit>(&spec),
            client.call::<ArtifactRead>(&params),
            client.call::<QueuePause>(&Empty {}),
        )
    };
    let (_stream, (submitted, read, refused)) = tokio::join!(daemon, asked);
    assert_eq!(submitted.unwrap().id, TaskId(7));
    assert!(read.unwrap().data.0 == data);
    assert!(refused.unwrap_err().is_interruption());
    assert_eq!(client.hello().await.unwrap(), hello());
    assert_eq!(client.encoding().await.unwrap(), Encoding::Binary);
}

/// Answers `hello` and one call in JSON lines.
async fn serve_lines(stream: UnixStream) -> UnixStream {
    let mut stream = BufReader::new(stream);
    for result in [serde_json::to_value(hello()).unwrap(), json!({})] {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let request: Value = serde_json::from_str(&line).unwrap();
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        stream.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
    stream.into_inner()
}

#[tokio::test]
async fn lines_follow_where_the_schema_is_another() {
    let home = tempfile::tempdir().unwrap();
    let (client, mut stream) = pair(home.path()).await;
    let daemon = async {
        stream.write_all(&reply(SCHEMA + 1)).await.unwrap();
        serve_lines(stream).await
    };
    let (_stream, answer) = tokio::join!(daemon, client.call::<QueuePause>(&Empty {}));
    answer.unwrap();
    assert_eq!(client.encoding().await.unwrap(), Encoding::Json);
}

#[tokio::test]
async fn a_daemon_without_a_place_or_with_strange_words_is_told_of() {
    let full = r#"{"jsonrpc":"2.0","id":null,"error":{"code":25,"message":"as many as it serves","data":{"code":"too_many_connections","hint":null}}}"#;
    let words = [format!("{full}\n"), "HTTP/1.1 400 Bad Request\r\n".to_owned(), "{garbage\n".to_owned()];
    for (words, detail) in words.into_iter().zip(["as many as it serves", "first bytes", "key must be"]) {
        let home = tempfile::tempdir().unwrap();
        let (client, mut stream) = pair(home.path()).await;
        stream.write_all(words.as_bytes()).await.unwrap();
        let answer = client.call::<QueuePause>(&Empty {}).await;
        let is_said = match &answer {
            // This is the daemon's own error, with its code and hint.
            Err(ClientError::Rpc(error)) => {
                error.known() == Some(ErrorCode::TooManyConnections) && error.message == detail
            }
            Err(ClientError::Protocol { detail: found }) => found.contains(detail),
            _ => false,
        };
        assert!(is_said, "{answer:?}");
    }
}

#[tokio::test]
async fn a_daemon_that_is_gone_or_silent_ends_the_call_and_no_longer() {
    let home = tempfile::tempdir().unwrap();
    let (client, stream) = pair(home.path()).await;
    let limit = Duration::from_millis(20);
    let answer = client.call_within::<QueuePause>(&Empty {}, limit).await;
    assert!(matches!(answer, Err(ClientError::Timeout { .. })), "{answer:?}");
    drop(stream);
    let answer = client.call::<QueuePause>(&Empty {}).await;
    assert!(matches!(answer, Err(ClientError::Disconnected)), "{answer:?}");
    assert!(matches!(client.hello().await, Err(ClientError::Disconnected)));
}
