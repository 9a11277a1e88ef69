//! A bare JSON-lines connection: what a program in another language would write.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
};

use reel_protocol::RpcError;
use serde_json::{Value, json};

use crate::wait::DEADLINE;

/// An answer's result, or its error.
pub type RpcResult = Result<Value, RpcError>;

/// One connection. Reads and writes give up after [`DEADLINE`].
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    last_id: u64,
    /// Answers that came while another one was awaited.
    answers: HashMap<u64, RpcResult>,
    /// Events that came while an answer was awaited.
    events: VecDeque<Value>,
}

impl Connection {
    /// Connects; an error where nobody listens.
    pub fn open(socket: &Path) -> std::io::Result<Self> {
        let writer = UnixStream::connect(socket)?;
        writer.set_read_timeout(Some(DEADLINE))?;
        writer.set_write_timeout(Some(DEADLINE))?;
        let reader = BufReader::with_capacity(64 * 1024, writer.try_clone()?);
        Ok(Self { reader, writer, last_id: 0, answers: HashMap::new(), events: VecDeque::new() })
    }

    /// Says who is there.
    #[track_caller]
    pub fn hello(&mut self, client: &str) -> Value {
        self.ok("hello", json!({ "client": client }))
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).expect("the daemon reads");
    }

    /// The stream, for tests that misuse it.
    pub const fn stream(&self) -> &UnixStream {
        &self.writer
    }

    /// Sends one line.
    #[track_caller]
    pub fn send_line(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// The next line as JSON; None at the end of the stream.
    #[track_caller]
    pub fn read_value(&mut self) -> Option<Value> {
        let mut line = String::new();
        let length = self.reader.read_line(&mut line).expect("the daemon answers in time, in UTF-8");
        (length > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The next line; None at the end of the stream, or when the daemon is gone in the middle of it.
    pub fn try_read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|_| line.ends_with('\n'))?;
        Some(line)
    }

    /// Sends one line and reads the error that must come back, whatever its id.
    #[track_caller]
    pub fn refusal(&mut self, line: &str) -> (Value, RpcError) {
        self.send_line(line);
        let answer = self.read_value().expect("a bad line is answered");
        let error = serde_json::from_value(answer["error"].clone());
        (answer["id"].clone(), error.unwrap_or_else(|_| panic!("not refused: {answer}")))
    }

    /// No more requests will come; answers may.
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

    /// The answer to a request, whenever it comes.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> RpcResult {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return answer;
            }
            assert!(self.read_one(), "the daemon closed the connection before it answered");
        }
    }

    /// A request and its answer.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> RpcResult {
        let id = self.request(method, params);
        self.answer(id)
    }

    /// A request that must succeed, and its result.
    #[track_caller]
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        let shown = params.clone();
        self.call(method, params).unwrap_or_else(|error| panic!("{method} {shown}: {error:?}"))
    }

    /// A request that must be refused, and why it was.
    #[track_caller]
    pub fn err(&mut self, method: &str, params: Value) -> RpcError {
        let shown = params.clone();
        self.call(method, params).expect_err(&format!("{method} {shown} must be refused"))
    }

    /// The params of the next event.
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

    /// Submits a task and returns its number.
    #[track_caller]
    pub fn submit(&mut self, kind: &str, params: Value) -> u64 {
        self.submit_as(json!({ "kind": kind, "params": params }))
    }

    /// Submits a task with all of its fields and returns its number.
    #[track_caller]
    pub fn submit_as(&mut self, spec: Value) -> u64 {
        self.ok("task.submit", spec)["id"].as_u64().expect("ids are numbers")
    }

    /// Submits many and returns the batch and the tasks.
    #[track_caller]
    pub fn submit_batch(&mut self, tasks: Vec<Value>) -> (u64, Vec<u64>) {
        let result = self.ok("task.submit_batch", json!({ "tasks": tasks }));
        let ids = result["ids"].as_array().expect("a batch answers its ids");
        let ids = ids.iter().map(|id| id.as_u64().expect("ids are numbers")).collect();
        (result["batch"].as_u64().expect("a batch has a number"), ids)
    }

    /// A task as it now is.
    #[track_caller]
    pub fn task(&mut self, id: u64) -> Value {
        self.ok("task.get", json!({ "id": id }))
    }

    /// A task once it is settled.
    #[track_caller]
    pub fn wait(&mut self, id: u64) -> Value {
        let mut result = self.ok("task.wait", json!({ "ids": [id], "timeout_s": DEADLINE.as_secs() }));
        assert_eq!(result["timed_out"], false, "task {id} is not settled in time: {}", result["tasks"][0]);
        result["tasks"][0].take()
    }

    /// Calls `image.generate` and returns the finished task.
    #[track_caller]
    pub fn generate(&mut self, params: Value) -> Value {
        let call = json!({ "service": "image", "method": "generate", "params": params });
        let task = self.ok("service.call", call);
        assert_eq!(task["state"], "succeeded", "{task}");
        task
    }
}
