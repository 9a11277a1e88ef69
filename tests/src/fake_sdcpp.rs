//! A server that imitates the native API of `sd-server`, the server of stable-diffusion.cpp: jobs for pictures and videos, in memory only.
//!
//! A job is done after a number of polls rather than a time, so that no test depends on speed.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    fake_provider::http::{Request, Response},
    raw_server::png,
    wait::eventually,
};

/// The film that every job for a video makes.
pub const WEBM: &[u8] = include_bytes!("../../daemon/src/media/samples/film.webm");

/// What happens to the jobs of a prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SdcppPlan {
    /// Number of polls that are answered with `generating`.
    pub polls_until_done: usize,
    /// The message with which the job fails.
    pub fails_with: Option<&'static str>,
    /// Whether the job has expired: its polls are answered with 410.
    pub is_expired: bool,
    /// The status and the message with which submissions are refused.
    pub refuses: Option<(u16, &'static str)>,
    /// The text in place of each picture's base64.
    pub garbage: Option<&'static str>,
}

/// A job as the server knows it.
#[derive(Debug, Clone)]
pub struct SdcppJob {
    /// The job's id.
    pub id: String,
    /// `img_gen` or `vid_gen`.
    pub kind: String,
    /// The body of the submission.
    pub body: Value,
    /// Number of times that it was polled.
    pub polls: usize,
    /// Whether it was cancelled.
    pub is_cancelled: bool,
    /// Whether it is completed, failed or cancelled.
    pub is_over: bool,
}

impl SdcppJob {
    /// Returns the prompt.
    pub fn prompt(&self) -> &str {
        self.body["prompt"].as_str().unwrap_or_default()
    }
}

/// A running server on a port of its own.
#[derive(Debug)]
pub struct FakeSdcpp {
    server: Arc<Server>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    jobs: Vec<SdcppJob>,
    /// Jobs that the server had before [`FakeSdcpp::forget_jobs`].
    forgotten: Vec<SdcppJob>,
    plans: HashMap<String, SdcppPlan>,
    queue_size: usize,
    refused: usize,
    is_held: bool,
    /// The message of the 503 with which everything is answered.
    loads: Option<&'static str>,
    is_stopped: bool,
    streams: Vec<TcpStream>,
}

impl FakeSdcpp {
    /// Starts a server on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts a server at this address, which another one may have used before.
    #[track_caller]
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = eventually("the address is free", || TcpListener::bind(address).ok());
        let state = State {
            jobs: Vec::new(),
            forgotten: Vec::new(),
            plans: HashMap::new(),
            queue_size: usize::MAX,
            refused: 0,
            is_held: false,
            loads: None,
            is_stopped: false,
            streams: Vec::new(),
        };
        let server = Arc::new(Server { address: listener.local_addr().unwrap(), state: Mutex::new(state) });
        let accepting = std::thread::spawn({
            let server = Arc::clone(&server);
            move || accept(&server, &listener)
        });
        Self { server, accepting: Some(accepting) }
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Returns a configuration section for a provider `machine` at this server, with the keys in `more` added.
    pub fn config(&self, more: &str) -> String {
        config(self.address(), more)
    }

    /// Sets what happens to the jobs of this prompt, also to existing ones.
    pub fn on_prompt(&self, prompt: &str, plan: SdcppPlan) {
        self.state().plans.insert(prompt.to_owned(), plan);
    }

    /// Sets how many unfinished jobs the queue takes.
    pub fn queue_size(&self, jobs: usize) {
        self.state().queue_size = jobs;
    }

    /// Returns how many submissions were refused because the queue was full.
    pub fn refused(&self) -> usize {
        self.state().refused
    }

    /// Keeps every job unfinished until [`Self::release`].
    pub fn hold(&self) {
        self.state().is_held = true;
    }

    /// Ends the effect of [`Self::hold`].
    pub fn release(&self) {
        self.state().is_held = false;
    }

    /// Answers everything with 503, as a server or the proxy before it does while the model loads.
    pub fn load(&self, is_loading: bool) {
        self.state().loads = is_loading.then_some("loading model");
    }

    /// Answers everything with 503 and this message, as a server does that cannot load its model.
    pub fn say_unavailable(&self, message: &'static str) {
        self.state().loads = Some(message);
    }

    /// Forgets all jobs, as a restart of the server does.
    pub fn forget_jobs(&self) {
        let state = &mut *self.state();
        state.forgotten.append(&mut state.jobs);
    }

    /// Returns all jobs, also forgotten ones, oldest first.
    pub fn jobs(&self) -> Vec<SdcppJob> {
        let state = self.state();
        state.forgotten.iter().chain(&state.jobs).cloned().collect()
    }

    /// Returns the jobs of this prompt, oldest first.
    pub fn jobs_of(&self, prompt: &str) -> Vec<SdcppJob> {
        self.jobs().into_iter().filter(|job| job.prompt() == prompt).collect()
    }

    /// Waits until the newest job of a prompt has been polled.
    #[track_caller]
    pub fn wait_until_polled(&self, prompt: &str) {
        eventually("the job is polled", || {
            self.jobs_of(prompt).last().filter(|job| job.polls > 0).map(|_| ())
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.server.state()
    }
}

/// Returns a configuration section for a provider `machine` at this address, with the keys in `more` added.
pub fn config(address: SocketAddr, more: &str) -> String {
    format!(
        "[providers.machine]\nkind = \"sdcpp\"\nbase_url = \"http://{address}\"\nservices = [\"image\", \"video\"]\n{more}\n"
    )
}

impl Drop for FakeSdcpp {
    fn drop(&mut self) {
        self.state().is_stopped = true;
        // The accepting thread checks `is_stopped` only when a connection comes, so make one.
        let _ = TcpStream::connect(self.server.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in &self.state().streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(server: &Arc<Server>, listener: &TcpListener) {
    for stream in listener.incoming() {
        if server.state().is_stopped {
            return;
        }
        let Ok(stream) = stream else { continue };
        server.state().streams.extend(stream.try_clone());
        let server = Arc::clone(server);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(&stream);
            while reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
                && let Ok(Some(request)) = Request::read(&mut reader)
            {
                if server.answer(&request).write(&mut &stream, || ()).is_err() {
                    break;
                }
            }
        });
    }
}

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer(&self, request: &Request) -> Response {
        let state = &mut *self.state();
        if let Some(message) = state.loads {
            return refusal(503, message);
        }
        let Some(path) = request.path.strip_prefix("/sdcpp/v1/") else { return refusal(404, "not found") };
        let segments: Vec<_> = path.split('/').collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["capabilities"]) => Response::json(
                200,
                &json!({ "model": { "name": "sd.gguf" }, "supported_modes": ["img_gen"] }),
            ),
            ("POST", [kind @ ("img_gen" | "vid_gen")]) => state.submit(kind, &request.body),
            ("GET", ["jobs", id]) => state.poll(id),
            ("POST", ["jobs", id, "cancel"]) => state.cancel(id),
            _ => refusal(404, "not found"),
        }
    }
}

impl State {
    fn submit(&mut self, kind: &str, body: &[u8]) -> Response {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return refusal(400, "invalid json") };
        let Some(prompt) = body["prompt"].as_str() else {
            return refusal(400, "invalid generation parameters");
        };
        if let Some((status, message)) = self.plans.get(prompt).and_then(|plan| plan.refuses) {
            return refusal(status, message);
        }
        if self.jobs.iter().filter(|job| !job.is_over).count() >= self.queue_size {
            self.refused += 1;
            return refusal(429, "job queue is full");
        }
        let id = format!("job_{}", self.forgotten.len() + self.jobs.len() + 1);
        let job = SdcppJob {
            id: id.clone(),
            kind: kind.to_owned(),
            body,
            polls: 0,
            is_cancelled: false,
            is_over: false,
        };
        self.jobs.push(job);
        let poll_url = format!("/sdcpp/v1/jobs/{id}");
        let accepted = json!({ "id": id, "kind": kind, "status": "queued", "created": 1_775_401_200, "poll_url": poll_url });
        Response::json(202, &accepted)
    }

    fn poll(&mut self, id: &str) -> Response {
        let is_held = self.is_held;
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else {
            return refusal(404, "job not found");
        };
        let plan = self.plans.get(job.prompt()).cloned().unwrap_or_default();
        if plan.is_expired {
            job.is_over = true;
            return refusal(410, "job expired");
        }
        job.polls += 1;
        job.is_over |= !is_held && job.polls > plan.polls_until_done;
        let (status, result, error) = match plan.fails_with {
            _ if job.is_cancelled => ("cancelled", Value::Null, json!({ "code": "cancelled" })),
            _ if !job.is_over => ("generating", Value::Null, Value::Null),
            Some(message) => {
                ("failed", Value::Null, json!({ "code": "generation_failed", "message": message }))
            }
            None => ("completed", result(job, plan.garbage), Value::Null),
        };
        // The fields are sorted, as the server's JSON library does it: the state comes after the result.
        let text = format!(
            "{{\"created\":1775401200,\"error\":{error},\"id\":\"{id}\",\"kind\":\"{}\",\"queue_position\":0,\"result\":{result},\"status\":\"{status}\"}}",
            job.kind
        );
        Response::new(200, "application/json", text.into_bytes())
    }

    fn cancel(&mut self, id: &str) -> Response {
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else {
            return refusal(404, "job not found");
        };
        job.is_cancelled = true;
        job.is_over = true;
        Response::json(200, &json!({ "id": id, "status": "cancelled" }))
    }
}

fn result(job: &SdcppJob, garbage: Option<&str>) -> Value {
    if job.kind == "vid_gen" {
        return json!({ "b64_json": STANDARD.encode(WEBM), "mime_type": "video/webm", "fps": 16, "frame_count": 33 });
    }
    let picture = garbage.map_or_else(|| STANDARD.encode(png()), str::to_owned);
    let count = job.body["batch_count"].as_u64().unwrap_or(1);
    let images: Vec<_> = (0..count).map(|index| json!({ "index": index, "b64_json": picture })).collect();
    json!({ "output_format": "png", "images": images })
}

fn refusal(status: u16, message: &str) -> Response {
    Response::json(status, &json!({ "error": message }))
}
