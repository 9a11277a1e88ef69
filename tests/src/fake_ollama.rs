//! A server that imitates Ollama: its chats, its list of models, and its downloads, with their faults.
//!
//! ```ignore
//! let ollama = FakeOllama::start(&["llama3.2:latest"]);
//! ollama.on_prompt("a forbidden thing", ChatFault::Status(500, "llama runner process has terminated"));
//! // … point a provider of the kind `ollama` at `ollama.base_url()` …
//! ```

mod request;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};

use self::request::{answer_of, mistake};
use crate::{
    fake_provider::director,
    local_server::{LocalServer, Reply},
    raw_server::RawRequest,
    wait::eventually,
};

/// The version that the server names.
pub const VERSION: &str = "0.12.6";
/// The total bytes of each layer of a model.
const LAYERS: [u64; 2] = [1_800_000_000, 200_000_000];

/// The time between two lines about a download that goes on.
const BETWEEN_LINES: Duration = Duration::from_millis(60);

/// What happens to a request for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatFault {
    /// An error status with this error text.
    Status(u16, String),
    /// An error line after some words.
    ErrorLine(String),
    /// The connection closes after some words.
    Cut,
    /// The stream ends after some words, without its last line.
    Unfinished,
    /// After some words, the rest waits for [`FakeOllama::release`].
    Half,
    /// The answer is a web page.
    WebPage,
    /// Lines that are no JSON come between the others.
    Garbage,
}

/// What happens to a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullFault {
    /// An error line with this text.
    ErrorLine(String),
    /// The connection closes after the first layer.
    Cut,
    /// After half of the first layer, the rest waits for [`FakeOllama::release`].
    Half,
}

/// A running server. All methods may be called at any time.
#[derive(Debug)]
pub struct FakeOllama {
    state: Arc<State>,
    server: Option<LocalServer>,
    address: SocketAddr,
}

#[derive(Debug, Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    models: Vec<String>,
    by_prompt: HashMap<String, ChatFault>,
    pull_faults: VecDeque<PullFault>,
    chats: Vec<Value>,
    pulls: usize,
    /// The models in memory, named with their tags.
    loaded: Vec<String>,
    unloads: usize,
    is_released: bool,
    waiting: usize,
}

impl FakeOllama {
    /// Starts a server that has these models, named with their tags.
    pub fn start(models: &[&str]) -> Self {
        let state = Arc::<State>::default();
        state.inner().models = models.iter().map(|model| (*model).to_owned()).collect();
        let server = LocalServer::start(handler(&state));
        Self { address: server.address(), state, server: Some(server) }
    }

    /// Closes all connections and the port, as if the process had been killed.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts the server again at the same address.
    #[track_caller]
    pub fn restart(&mut self) {
        self.server = None;
        self.server = Some(LocalServer::start_at(self.address, handler(&self.state)));
    }

    /// Returns the value of `base_url` for a configuration.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the fault of every request with this prompt.
    pub fn on_prompt(&self, prompt: &str, fault: ChatFault) {
        self.state.inner().by_prompt.insert(prompt.to_owned(), fault);
    }

    /// Removes the faults of all prompts.
    pub fn be_good(&self) {
        self.state.inner().by_prompt.clear();
    }

    /// Appends faults for the next downloads.
    pub fn on_pull(&self, faults: impl IntoIterator<Item = PullFault>) {
        self.state.inner().pull_faults.extend(faults);
    }

    /// Sends the rest of everything that waits, and lets nothing wait from then on.
    pub fn release(&self) {
        self.state.inner().is_released = true;
        self.state.changed.notify_all();
    }

    /// Returns the bodies of all requests for answers, oldest first.
    pub fn chats(&self) -> Vec<Value> {
        self.state.inner().chats.clone()
    }

    /// Returns the number of requests for answers with this prompt.
    pub fn chats_of(&self, prompt: &str) -> usize {
        self.state.inner().chats.iter().filter(|chat| prompt_of(chat) == prompt).count()
    }

    /// Returns the number of downloads that were begun.
    pub fn pulls(&self) -> usize {
        self.state.inner().pulls
    }

    /// Returns the models in memory, and the number of requests that unloaded one.
    pub fn loaded(&self) -> (Vec<String>, usize) {
        let inner = self.state.inner();
        (inner.loaded.clone(), inner.unloads)
    }

    /// Waits until an answer or a download has been sent in part and waits.
    #[track_caller]
    pub fn wait_for_half(&self) {
        eventually("something waits", || (self.state.inner().waiting > 0).then_some(()));
    }
}

impl Drop for FakeOllama {
    fn drop(&mut self) {
        self.release();
    }
}

fn handler(state: &Arc<State>) -> Arc<crate::local_server::Handler> {
    let state = Arc::clone(state);
    Arc::new(move |request, reply| state.answer(request, reply))
}

fn prompt_of(chat: &Value) -> &str {
    let last = chat["messages"].as_array().and_then(|messages| messages.last());
    last.and_then(|message| message["content"].as_str()).unwrap_or_default()
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn answer(&self, request: &RawRequest, reply: &mut Reply<'_>) {
        let mut words = request.line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body = serde_json::from_slice::<Value>(&request.body);
        match (method, path, body) {
            ("GET", "/api/version", _) => reply.json(200, &json!({ "version": VERSION })),
            ("GET", "/api/tags", _) => reply.json(200, &self.tags()),
            ("POST", _, Err(error)) => reply.json(400, &json!({ "error": error.to_string() })),
            ("POST", "/api/show", Ok(body)) => match self.find(&body) {
                Ok(model) => {
                    reply.json(200, &json!({ "details": { "family": "llama" }, "modified_at": model }));
                }
                Err((status, error)) => reply.json(status, &json!({ "error": error })),
            },
            ("POST", "/api/chat", Ok(body)) => self.chat(&body, reply),
            ("GET", "/api/ps", _) => {
                let loaded = self.inner().loaded.clone();
                let model = |name: &String| json!({ "name": name, "model": name, "size_vram": 0 });
                reply.json(200, &json!({ "models": loaded.iter().map(model).collect::<Vec<_>>() }));
            }
            // A request without a prompt loads the model, or unloads it.
            ("POST", "/api/generate", Ok(body)) => {
                if body["keep_alive"] == 0 {
                    self.inner().loaded.retain(|name| body["model"] != **name);
                    self.inner().unloads += 1;
                }
                reply.json(
                    200,
                    &json!({ "model": body["model"], "response": "", "done": true, "done_reason": "unload" }),
                );
            }
            ("POST", "/api/pull", Ok(body)) => self.pull(&body, reply),
            _ => reply.whole(404, "text/plain", b"404 page not found"),
        }
    }

    fn tags(&self) -> Value {
        let model = |name: &String| json!({ "name": name, "model": name, "size": 2_019_393_189_u64, "digest": "a80c4f17acd5" });
        json!({ "models": self.inner().models.iter().map(model).collect::<Vec<_>>() })
    }

    /// Returns the name of the model that a request names, or the status and the words of the refusal.
    fn find(&self, body: &Value) -> Result<String, (u16, String)> {
        let name = body["model"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err((400, "model is required".to_owned()));
        }
        let full = if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
        if self.inner().models.contains(&full) {
            return Ok(name.to_owned());
        }
        Err((404, format!("model \"{name}\" not found, try pulling it first")))
    }

    /// Waits until [`FakeOllama::release`] is called. Calls `meanwhile` again and again until then, or until it returns false.
    fn wait_for_release(&self, mut meanwhile: impl FnMut() -> bool) {
        let mut inner = self.inner();
        inner.waiting += 1;
        while !inner.is_released && meanwhile() {
            inner = self.changed.wait_timeout(inner, BETWEEN_LINES).unwrap().0;
        }
        inner.waiting -= 1;
    }

    /// Takes a model into memory.
    fn load(&self, model: &str) {
        let full = if model.contains(':') { model.to_owned() } else { format!("{model}:latest") };
        let mut inner = self.inner();
        inner.loaded.retain(|name| *name != full);
        inner.loaded.push(full);
    }

    fn chat(&self, body: &Value, reply: &mut Reply<'_>) {
        self.inner().chats.push(body.clone());
        let refused =
            |reply: &mut Reply<'_>, status, error: &str| reply.json(status, &json!({ "error": error }));
        let model = match self.find(body) {
            Ok(model) => model,
            Err((status, error)) => return refused(reply, status, &error),
        };
        self.load(&model);
        if let Some(error) = mistake(body) {
            return refused(reply, if error.starts_with("option ") { 500 } else { 400 }, &error);
        }
        let fault = self.inner().by_prompt.get(prompt_of(body)).cloned();
        match &fault {
            Some(ChatFault::Status(status, error)) => return refused(reply, *status, error),
            Some(ChatFault::WebPage) => {
                return reply.whole(200, "text/html", b"<html><p>A router's page</p></html>");
            }
            _ => {}
        }
        let words = if model.starts_with(director::MODEL) {
            director::answer(&model, &body["messages"]).split_inclusive(' ').map(str::to_owned).collect()
        } else {
            answer_of(body)
        };
        let (words, reason) = match body["options"]["num_predict"].as_u64() {
            Some(most) if (words.len() as u64) > most => (words[..most as usize].to_vec(), "length"),
            _ => (words, "stop"),
        };
        let line = |message: Value, more: Value| {
            let mut line = json!({ "model": model, "created_at": "2026-11-28T09:00:00.000000001Z", "message": message, "done": false });
            line.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
            format!("{line}\n").into_bytes()
        };
        let said = |word: &String| json!({ "role": "assistant", "content": word });
        reply.begin("application/x-ndjson");
        if body["think"] == true {
            let message = json!({ "role": "assistant", "content": "", "thinking": "Let me think." });
            reply.chunk(&line(message, Value::Null));
        }
        for (number, word) in words.iter().enumerate() {
            if fault == Some(ChatFault::Garbage) {
                reply.chunk(b"\n: not JSON\n");
            }
            if number == words.len() / 2 {
                match &fault {
                    Some(ChatFault::ErrorLine(error)) => {
                        reply.chunk(format!("{}\n", json!({ "error": error })).as_bytes());
                        return reply.end();
                    }
                    Some(ChatFault::Cut) => return reply.cut(),
                    Some(ChatFault::Unfinished) => return reply.end(),
                    Some(ChatFault::Half) => self.wait_for_release(|| true),
                    _ => {}
                }
            }
            if !reply.chunk(&line(said(word), Value::Null)) {
                return;
            }
        }
        let counts = json!({
            "done": true, "done_reason": reason, "total_duration": 4_883_583_458_u64, "load_duration": 1_334_875,
            "prompt_eval_count": prompt_of(body).split(' ').count(), "prompt_eval_duration": 342_546_000,
            "eval_count": words.len(), "eval_duration": 4_535_599_000_u64,
        });
        reply.chunk(&line(said(&String::new()), counts));
        reply.end();
    }

    fn pull(&self, body: &Value, reply: &mut Reply<'_>) {
        let name = body["model"].as_str().unwrap_or_default().to_owned();
        let fault = {
            let mut inner = self.inner();
            inner.pulls += 1;
            inner.pull_faults.pop_front()
        };
        reply.begin("application/x-ndjson");
        let mut tell = |value: Value| reply.chunk(format!("{value}\n").as_bytes());
        tell(json!({ "status": "pulling manifest" }));
        if let Some(PullFault::ErrorLine(error)) = &fault {
            tell(json!({ "error": error }));
            return reply.end();
        }
        for (number, total) in LAYERS.into_iter().enumerate() {
            let digest = format!("sha256:{number:064}");
            for completed in [0, total / 2, total] {
                let status = format!("pulling {number:012}");
                let line =
                    json!({ "status": status, "digest": digest, "total": total, "completed": completed });
                tell(line.clone());
                if completed == total / 2 && number == 0 && fault == Some(PullFault::Half) {
                    self.wait_for_release(|| tell(line.clone()));
                }
            }
            if fault == Some(PullFault::Cut) {
                return reply.cut();
            }
        }
        for status in ["verifying sha256 digest", "writing manifest"] {
            tell(json!({ "status": status }));
        }
        let full = if name.contains(':') { name } else { format!("{name}:latest") };
        self.inner().models.push(full);
        reply.chunk(format!("{}\n", json!({ "status": "success" })).as_bytes());
        reply.end();
    }
}
