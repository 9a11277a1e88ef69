//! A connection that speaks JSON lines directly, as a program in another language would.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
};

use reel_protocol::RpcError;
use serde_json::{Value, json};

use crate::wait::DEADLINE;

/// The result or the error of a response.
pub type RpcResult = Result<Value, RpcError>;

/// One connection to the daemon. Reads and writes fail after [`DEADLINE`].
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    last_id: u64,
    /// Responses that arrived while another one was awaited, by request id.
    answers: HashMap<u64, RpcResult>,
    /// Events that arrived while a response was awaited.
    events: VecDeque<Value>,
}

impl Connection {
    /// Connects to the socket. Fails if nobody listens.
    pub fn open(socket: &Path) -> std::io::Result<Self> {
        let writer = UnixStream::connect(socket)?;
        writer.set_read_timeout(Some(DEADLINE))?;
        writer.set_write_timeout(Some(DEADLINE))?;
        let reader = BufReader::with_capacity(64 * 1024, writer.try_clone()?);
        Ok(Self { reader, writer, last_id: 0, answers: HashMap::new(), events: VecDeque::new() })
    }

    /// Sends `hello` with this client name and returns the result.
    #[track_caller]
    pub fn hello(&mut self, client: &str) -> Value {
        self.ok("hello", json!({ "client": client }))
    }

    /// Sends these bytes unchanged.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).expect("the daemon reads");
    }

    /// Returns the stream, for tests that break the protocol.
    pub const fn stream(&self) -> &UnixStream {
        &self.writer
    }

    /// Sends one line.
    #[track_caller]
    pub fn send_line(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Reads the next line as JSON; None at the end of the stream.
    #[track_caller]
    pub fn read_value(&mut self) -> Option<Value> {
        let mut line = String::new();
        let length = self.reader.read_line(&mut line).expect("the daemon answers in time, in UTF-8");
        (length > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Reads the next line; None at the end of the stream, also if it ends in the middle of a line.
    pub fn try_read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|_| line.ends_with('\n'))?;
        Some(line)
    }

    /// Reads this many bytes, which are no line.
    #[track_caller]
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).expect("the daemon sends as many bytes as it announced");
        bytes
    }

    /// Sends one line and reads the next response, which must be an error. Returns the response's id and the error.
    #[track_caller]
    pub fn refusal(&mut self, line: &str) -> (Value, RpcError) {
        self.send_line(line);
        let answer = self.read_value().expect("a bad line is answered");
        let error = serde_json::from_value(answer["error"].clone());
        (answer["id"].clone(), error.unwrap_or_else(|_| panic!("not refused: {answer}")))
    }

    /// Closes the sending side. Responses can still be read.
    pub fn end_input(&mut self) {
        let _ = self.writer.shutdown(Shutdown::Write);
    }

    /// Sends a request and returns its id.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send_line(&request.to_string());
        id
    }

    /// Waits for the response to a request. Other responses and events are kept for later.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> RpcResult {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            assert!(self.read_one(), "the daemon closed the connection before it answered");
        }
    }

    /// Sends a request and waits for its response.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> RpcResult {
        let id = self.request(method, params);
        self.answer(id)
    }

    /// Sends a request that must succeed, and returns its result.
    #[track_caller]
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        let shown = params.clone();
        self.call(method, params).unwrap_or_else(|error| panic!("{method} {shown}: {error:?}"))
    }

    /// Sends a request that must fail, and returns its error.
    #[track_caller]
    pub fn err(&mut self, method: &str, params: Value) -> RpcError {
        let shown = params.clone();
        self.call(method, params).expect_err(&format!("{method} {shown} must be refused"))
    }

    /// Waits for the next event and returns its params.
    #[track_caller]
    pub fn next_event(&mut self) -> Value {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            assert!(self.read_one(), "the daemon closed the connection before the event");
        }
    }

    #[track_caller]
    fn read_one(&mut self) -> bool {
        let Some(mut value) = self.read_value() else { return false };
        if value["method"] == "event" {
            self.events.push_back(value["params"].take());
            return true;
        }
        let id = value["id"].as_u64().unwrap_or_else(|| panic!("an answer without an id: {value}"));
        let outcome = match value.get("error") {
            Some(error) => Err(serde_json::from_value(error.clone()).expect("errors have one shape")),
            None => Ok(value["result"].take()),
        };
        self.answers.insert(id, outcome);
        true
    }

    /// Submits a task and returns its id.
    #[track_caller]
    pub fn submit(&mut self, kind: &str, params: Value) -> u64 {
        self.submit_as(json!({ "kind": kind, "params": params }))
    }

    /// Submits a task with all fields of `task.submit` and returns its id.
    #[track_caller]
    pub fn submit_as(&mut self, spec: Value) -> u64 {
        self.ok("task.submit", spec)["id"].as_u64().expect("ids are numbers")
    }

    /// Submits several tasks and returns the id of the batch and the ids of the tasks.
    #[track_caller]
    pub fn submit_batch(&mut self, tasks: Vec<Value>) -> (u64, Vec<u64>) {
        let result = self.ok("task.submit_batch", json!({ "tasks": tasks }));
        let ids = result["ids"].as_array().expect("a batch answers its ids");
        let ids = ids.iter().map(|id| id.as_u64().expect("ids are numbers")).collect();
        (result["batch"].as_u64().expect("a batch has a number"), ids)
    }

    /// Returns the current state of a task.
    #[track_caller]
    pub fn task(&mut self, id: u64) -> Value {
        self.ok("task.get", json!({ "id": id }))
    }

    /// Waits until a task is settled and returns it.
    #[track_caller]
    pub fn wait(&mut self, id: u64) -> Value {
        let mut result = self.ok("task.wait", json!({ "ids": [id], "timeout_s": DEADLINE.as_secs() }));
        assert_eq!(result["timed_out"], false, "task {id} is not settled in time: {}", result["tasks"][0]);
        result["tasks"][0].take()
    }

    /// Calls `image.generate` and returns the task, which must have succeeded.
    #[track_caller]
    pub fn generate(&mut self, params: Value) -> Value {
        let call = json!({ "service": "image", "method": "generate", "params": params });
        let task = self.ok("service.call", call);
        assert_eq!(task["state"], "succeeded", "{task}");
        task
    }
}
