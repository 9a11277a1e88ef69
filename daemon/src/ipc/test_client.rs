//! A test client of one session over an in-memory stream.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use super::{Peer, fakes::Fake, serve};

/// The client's side of a connection.
pub(super) struct Client {
    pub(super) stream: BufReader<DuplexStream>,
    pub(super) session: JoinHandle<()>,
    pub(super) stop: watch::Sender<bool>,
}

impl Client {
    pub(super) fn connect(fake: &Fake) -> Self {
        Self::with_room(fake, 64 * 1024)
    }

    /// Connects by a stream that buffers `room` bytes in each direction.
    pub(super) fn with_room(fake: &Fake, room: usize) -> Self {
        let (ours, theirs) = tokio::io::duplex(room);
        let (stop, stopped) = watch::channel(false);
        let peer = Peer { uid: 1, pid: Some(2), name: "test".into() };
        let session = tokio::task::spawn_local(serve(theirs, peer, fake.router.clone(), stopped));
        Self { stream: BufReader::new(ours), session, stop }
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    pub(super) async fn ask(&mut self, id: u64, method: &str, params: Value) {
        let line = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&format!("{line}\n")).await;
    }

    /// Returns the next line. None at the end of the stream.
    pub(super) async fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        let count = timeout(Duration::from_mins(5), read).await.expect("a line comes").unwrap();
        (count > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    pub(super) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.ask(7, method, params).await;
        loop {
            let line = self.line().await.expect("an answer");
            if line["id"] == 7 {
                return line;
            }
        }
    }

    pub(super) async fn code(&mut self, method: &str, params: Value) -> String {
        let answer = self.call(method, params).await;
        answer["error"]["data"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub(super) async fn end_input(&mut self) {
        self.stream.get_mut().shutdown().await.unwrap();
    }
}

/// Runs a test in a system with local tasks and actors. The clock is paused and jumps ahead when all tasks wait.
pub(super) fn run<F: Future<Output = ()>>(test: impl FnOnce(Fake) -> F) {
    actix::System::new().block_on(async {
        tokio::time::pause();
        test(Fake::new()).await;
    });
}
