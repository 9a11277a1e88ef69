//! A server that imitates the native API of `sd-server`, the server of stable-diffusion.cpp: jobs for pictures and videos, in memory only.
//!
//! A job is done after a number of polls rather than a time, so that no test depends on speed. One job is generating at a time, and cannot be cancelled.

mod parts;

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
};

use serde_json::{Value, json};

use self::parts::{refusal, shown};
use crate::{
    fake_provider::http::{Request, Response},
    wait::eventually,
};

/// The film that every job for a video makes.
pub const WEBM: &[u8] = include_bytes!("../../daemon/src/media/samples/film.webm");

/// What happens to the jobs of a prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SdcppPlan {
    /// Number of polls of any job during which it is generating.
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
    /// Number of polls of any job while it was generating.
    polls_while_generating: usize,
    /// Whether it was cancelled.
    pub is_cancelled: bool,
    /// Whether a request to cancel it was refused, because it was generating.
    pub is_cancel_refused: bool,
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
                &json!({
                    "model": { "name": "sd.gguf", "stem": "sd", "path": "/models/sd.gguf" },
                    "current_mode": "img_gen",
                    "supported_modes": ["img_gen", "vid_gen"],
                    "output_formats_by_mode": { "img_gen": ["png", "jpeg", "webp"], "vid_gen": ["webm", "webp", "avi"] },
                    "limits": { "min_width": 64, "max_width": 4_096, "max_batch_count": 8, "max_queue_size": 64 },
                    "features": { "cancel_queued": true, "cancel_generating": false },
                }),
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
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Response::json(400, &json!({ "error": "invalid json", "message": "syntax error" }));
        };
        if !body.is_object() {
            let message = "cannot use value() with string";
            return Response::json(500, &json!({ "error": "server_error", "message": message }));
        }
        let Some(prompt) = body["prompt"].as_str() else {
            return refusal(400, "invalid generation parameters");
        };
        // The server has no such file, and takes no pictures in shades of grey.
        let has_files = body["lora"].as_array().is_some_and(|files| !files.is_empty());
        if has_files || ["init_image", "end_image"].iter().any(|name| parts::is_grey(&body[name])) {
            return refusal(400, "invalid generation parameters");
        }
        if let Some((status, message)) = self.plans.get(prompt).and_then(|plan| plan.refuses) {
            return refusal(status, message);
        }
        if self.jobs.iter().filter(|job| !job.is_over).count() >= self.queue_size {
            self.refused += 1;
            return refusal(429, "job queue is full");
        }
        let id = format!("job_6b0ae21f_{:08}", self.forgotten.len() + self.jobs.len());
        let job = SdcppJob {
            id: id.clone(),
            kind: kind.to_owned(),
            body,
            polls: 0,
            polls_while_generating: 0,
            is_cancelled: false,
            is_cancel_refused: false,
            is_over: false,
        };
        self.jobs.push(job);
        let poll_url = format!("/sdcpp/v1/jobs/{id}");
        let accepted = json!({ "id": id, "kind": kind, "status": "queued", "created": 1_775_401_200, "poll_url": poll_url });
        Response::json(202, &accepted)
    }

    fn poll(&mut self, id: &str) -> Response {
        if !self.jobs.iter().any(|job| job.id == id) {
            return refusal(404, "job not found");
        }
        self.go_on();
        let place = self.waiting().position(|job| job.id == id);
        let is_generating = self.generating().is_some_and(|job| job.id == id);
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else { unreachable!("it was there") };
        let plan = self.plans.get(job.prompt()).cloned().unwrap_or_default();
        if plan.is_expired {
            job.is_over = true;
            return refusal(410, "job expired");
        }
        job.polls += 1;
        Response::new(200, "application/json", shown(job, &plan, is_generating, place).into_bytes())
    }

    /// Lets the job that is generating go on by one poll, whichever job is polled.
    fn go_on(&mut self) {
        if self.is_held {
            return;
        }
        let plans = &self.plans;
        if let Some(job) = self.jobs.iter_mut().find(|job| !job.is_over) {
            job.polls_while_generating += 1;
            let plan = plans.get(job.prompt());
            job.is_over = job.polls_while_generating > plan.map_or(0, |plan| plan.polls_until_done);
        }
    }

    /// Returns the job that is generating. The server has one worker, which takes the next job at once.
    fn generating(&self) -> Option<&SdcppJob> {
        self.jobs.iter().find(|job| !job.is_over)
    }

    /// Returns the jobs in the queue.
    fn waiting(&self) -> impl Iterator<Item = &SdcppJob> {
        self.jobs.iter().filter(|job| !job.is_over).skip(1)
    }

    fn cancel(&mut self, id: &str) -> Response {
        let is_waiting = self.waiting().any(|job| job.id == id);
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else {
            return refusal(404, "job not found");
        };
        if !is_waiting && !job.is_over {
            job.is_cancel_refused = true;
            return refusal(409, "job is currently generating and cannot be interrupted yet");
        }
        job.is_cancelled |= is_waiting;
        job.is_over = true;
        let plan = self.plans.get(job.prompt()).cloned().unwrap_or_default();
        Response::new(200, "application/json", shown(job, &plan, false, None).into_bytes())
    }
}
