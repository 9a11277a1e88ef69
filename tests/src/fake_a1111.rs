//! A server that imitates the API of AUTOMATIC1111's web UI: one lock and one progress for all users, interruption, and its errors.
//!
//! ```ignore
//! let web_ui = FakeA1111::start(Copy::WebUi); // its address is `web_ui.base_url()`
//! web_ui.on_prompt("a forbidden thing", RunFault::Held);
//! ```

mod parts;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use self::parts::{HALF_DONE, SDCPP_BATCH, SDCPP_SAMPLERS, mistake, png, sdcpp_models, stamp};
use crate::{
    local_server::{Handler, LocalServer, Reply},
    raw_server::RawRequest,
    wait::eventually,
};

/// The samplers that the server has.
const SAMPLERS: [&str; 3] = ["DPM++ 2M", "Euler", "Euler a"];

/// Which of the servers with this API it imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// The web UI, or Forge.
    WebUi,
    /// The web UI with `--nowebui`, which does not know the progress of single runs.
    WithoutIds,
    /// The server of stable-diffusion.cpp, which has no progress and does not know `n_iter`.
    SdCpp,
    /// The web UI without `--api`.
    WithoutApi,
}

/// What happens to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunFault {
    /// The run stops at half of its steps until [`FakeA1111::release`] or an interruption.
    Held,
    /// Somebody interrupts the run at half of its steps.
    Interrupted,
    /// The answer has this status and body.
    Status(u16, String),
    /// The connection closes in the middle of the answer.
    Cut,
    /// The answer contains bytes that are no picture.
    NoPicture,
}

/// A running server. All methods may be called at any time.
#[derive(Debug)]
pub struct FakeA1111 {
    state: Arc<State>,
    server: Option<LocalServer>,
    address: SocketAddr,
}

#[derive(Debug)]
struct State {
    copy: Copy,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the tests")]
struct Inner {
    key: Option<String>,
    by_prompt: HashMap<String, RunFault>,
    runs: Vec<(String, Value)>,
    /// The id of the run that has the lock.
    current: Option<String>,
    queued: Vec<String>,
    finished: Vec<String>,
    began: u64,
    is_interrupted: bool,
    interrupts: usize,
    is_released: bool,
    has_new_model: bool,
    is_refreshed: bool,
}

impl FakeA1111 {
    /// Starts a server.
    pub fn start(copy: Copy) -> Self {
        let state = Arc::new(State { copy, inner: Mutex::default(), changed: Condvar::new() });
        let server = LocalServer::start(handler(&state));
        Self { address: server.address(), state, server: Some(server) }
    }

    /// Closes all connections and the port, and forgets all runs, as if the process had been killed.
    pub fn stop(&mut self) {
        self.server = None;
        let mut inner = self.state.inner();
        (inner.current, inner.began) = (None, 0);
        inner.queued.clear();
        inner.finished.clear();
    }

    /// Starts the server again at the same address.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.server = Some(LocalServer::start_at(self.address, handler(&self.state)));
    }

    /// Returns the value of `base_url` for a configuration.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the user and password that requests must carry, as `USER:PASSWORD`.
    pub fn require_key(&self, key: &str) {
        self.state.inner().key = Some(key.to_owned());
    }

    /// Sets the fault of every run with this prompt.
    pub fn on_prompt(&self, prompt: &str, fault: RunFault) {
        self.state.inner().by_prompt.insert(prompt.to_owned(), fault);
    }

    /// Removes the faults of all prompts.
    pub fn be_good(&self) {
        self.state.inner().by_prompt.clear();
    }

    /// Adds the file of a model `fresh`, which the server lists after it was told to look for new files.
    pub fn add_model(&self) {
        self.state.inner().has_new_model = true;
    }

    /// Lets held runs go on, and holds none from then on.
    pub fn release(&self) {
        self.state.inner().is_released = true;
        self.state.changed.notify_all();
    }

    /// Begins a run of another program, which goes on until [`Self::end_foreign`].
    pub fn begin_foreign(&self) {
        let mut inner = self.state.inner();
        inner.current = Some("task(foreign)".to_owned());
        inner.began += 1;
        inner.is_interrupted = false;
    }

    /// Ends the run of the other program.
    pub fn end_foreign(&self) {
        self.state.inner().current = None;
        self.state.changed.notify_all();
    }

    /// Returns the paths and the bodies of all requests for pictures, oldest first.
    pub fn runs(&self) -> Vec<(String, Value)> {
        self.state.inner().runs.clone()
    }

    /// Returns the number of requests for pictures with this prompt.
    pub fn runs_of(&self, prompt: &str) -> usize {
        self.state.inner().runs.iter().filter(|(_, body)| body["prompt"] == prompt).count()
    }

    /// Returns how often a run was interrupted by a request.
    pub fn interrupts(&self) -> usize {
        self.state.inner().interrupts
    }

    /// Waits until a run has the lock.
    #[track_caller]
    pub fn wait_for_run(&self) {
        eventually("a run has begun", || self.state.inner().current.is_some().then_some(()));
    }

    /// Waits until a run waits for the lock.
    #[track_caller]
    pub fn wait_for_queued(&self) {
        eventually("a run is queued", || (!self.state.inner().queued.is_empty()).then_some(()));
    }

    /// Waits until no run has the lock.
    #[track_caller]
    pub fn wait_for_idle(&self) {
        eventually("the server is idle", || {
            let inner = self.state.inner();
            (inner.current.is_none() && inner.queued.is_empty()).then_some(())
        });
    }
}

impl Drop for FakeA1111 {
    fn drop(&mut self) {
        self.release();
        self.end_foreign();
    }
}

fn handler(state: &Arc<State>) -> Arc<Handler> {
    let state = Arc::clone(state);
    Arc::new(move |request, reply| state.answer(request, reply))
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn admits(&self, request: &RawRequest) -> bool {
        let inner = self.inner();
        let Some(key) = &inner.key else { return true };
        let header = format!("authorization: Basic {}", STANDARD.encode(key));
        request.headers.contains(&header)
    }

    fn answer(&self, request: &RawRequest, reply: &mut Reply<'_>) {
        let mut words = request.line.split(' ');
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        if self.copy == Copy::WithoutApi {
            return reply.json(404, &json!({ "detail": "Not Found" }));
        }
        if path.starts_with("/sdapi") && !self.admits(request) {
            return reply.json(401, &json!({ "detail": "Incorrect username or password" }));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let has_state = self.copy != Copy::SdCpp;
        match (method, path.as_str()) {
            ("POST", "/sdapi/v1/txt2img" | "/sdapi/v1/img2img") => self.run(&path, &body, reply),
            ("GET", "/sdapi/v1/sd-models") => reply.json(200, &self.models()),
            ("POST", "/sdapi/v1/refresh-checkpoints") if has_state => {
                self.inner().is_refreshed = true;
                reply.json(200, &Value::Null);
            }
            ("GET", "/sdapi/v1/samplers") => {
                let sampler = |name: &&str| json!({ "name": name, "aliases": [], "options": {} });
                let names = if has_state { SAMPLERS } else { SDCPP_SAMPLERS };
                reply.json(200, &json!(names.iter().map(sampler).collect::<Vec<_>>()));
            }
            ("GET", "/sdapi/v1/options") => {
                let model = if has_state { "base.safetensors [31e35c80fc]" } else { "base" };
                reply.json(200, &json!({ "sd_model_checkpoint": model }));
            }
            ("GET", "/sdapi/v1/progress") if has_state => reply.json(200, &self.progress()),
            ("POST", "/sdapi/v1/interrupt") if has_state => {
                let mut inner = self.inner();
                inner.interrupts += 1;
                inner.is_interrupted = true;
                drop(inner);
                self.changed.notify_all();
                reply.json(200, &json!({}));
            }
            ("POST", "/internal/progress") if self.copy == Copy::WebUi => {
                reply.json(200, &self.progress_of(&body));
            }
            // The server of stable-diffusion.cpp says nothing about a path that it does not know.
            _ if !has_state => reply.whole(404, "text/plain", b""),
            _ => reply.json(404, &json!({ "detail": "Not Found" })),
        }
    }

    fn models(&self) -> Value {
        if self.copy == Copy::SdCpp {
            return sdcpp_models();
        }
        let inner = self.inner();
        let model = |name: &str| {
            json!({
                "title": format!("{name}.safetensors [31e35c80fc]"), "model_name": name, "hash": "31e35c80fc",
                "sha256": null, "filename": format!("/models/{name}.safetensors"), "config": null,
            })
        };
        let fresh = (inner.has_new_model && inner.is_refreshed).then(|| model("fresh"));
        [model("base"), model("dreamy_v2")].into_iter().chain(fresh).collect()
    }

    fn progress(&self) -> Value {
        let inner = self.inner();
        let is_busy = inner.current.is_some();
        let job = if is_busy { "scripts_txt2img" } else { "" };
        let stamp = if inner.began == 0 { "0".to_owned() } else { stamp(inner.began) };
        json!({
            "progress": if is_busy { 0.5 } else { 0.0 }, "eta_relative": if is_busy { 3.0 } else { 0.0 },
            "state": {
                "skipped": false, "interrupted": inner.is_interrupted, "stopping_generation": false, "job": job,
                "job_count": i32::from(is_busy), "job_timestamp": stamp, "job_no": 0, "sampling_step": 10, "sampling_steps": 20,
            },
            "current_image": null, "textinfo": null, "current_task": null,
        })
    }

    fn progress_of(&self, body: &Value) -> Value {
        let inner = self.inner();
        let id = body["id_task"].as_str().unwrap_or_default();
        let is_active = inner.current.as_deref() == Some(id);
        let is_in = |list: &[String]| list.iter().any(|one| one == id);
        json!({
            "active": is_active, "queued": is_in(&inner.queued), "completed": is_in(&inner.finished),
            "progress": if is_active { json!(0.5) } else { Value::Null }, "eta": null, "live_preview": null,
            "id_live_preview": -1, "textinfo": if is_active { "" } else { "Waiting..." },
        })
    }

    fn run(&self, path: &str, body: &Value, reply: &mut Reply<'_>) {
        let prompt = body["prompt"].as_str().unwrap_or_default().to_owned();
        self.inner().runs.push((path.to_owned(), body.clone()));
        let fault = self.inner().by_prompt.get(&prompt).cloned();
        if let Some(RunFault::Status(status, body)) = &fault {
            return reply.whole(*status, "application/json", body.as_bytes());
        }
        if let Some((status, error)) = mistake(self.copy, path, body) {
            return reply.json(status, &error);
        }
        let id = body["force_task_id"].as_str().unwrap_or("task(txt2img-0)").to_owned();
        let Some(began) = self.begin(&id) else { return reply.cut() };
        let is_interrupted = self.draw(&id, began, fault.as_ref());
        let Some(is_interrupted) = is_interrupted else { return reply.cut() };
        let answer = self.result(body, began, is_interrupted, fault.as_ref()).to_string();
        if fault == Some(RunFault::Cut) {
            reply.begin("application/json");
            // The picture of the answer is cut: `{"images":["` has 12 bytes.
            reply.chunk(&answer.as_bytes()[..40]);
            return reply.cut();
        }
        reply.whole(200, "application/json", answer.as_bytes());
    }

    /// Waits for the lock, and begins the run. Returns the number of the run, or None if the server was restarted meanwhile.
    fn begin(&self, id: &str) -> Option<u64> {
        let mut inner = self.inner();
        inner.queued.push(id.to_owned());
        let mut inner = self.changed.wait_while(inner, |inner| inner.current.is_some()).unwrap();
        let place = inner.queued.iter().position(|one| one == id)?;
        inner.queued.remove(place);
        inner.current = Some(id.to_owned());
        inner.began += 1;
        inner.is_interrupted = false;
        Some(inner.began)
    }

    /// Draws to the end. Returns whether the run was interrupted; None if the server was restarted meanwhile.
    fn draw(&self, id: &str, began: u64, fault: Option<&RunFault>) -> Option<bool> {
        let mut inner = self.inner();
        if fault == Some(&RunFault::Interrupted) {
            inner.is_interrupted = true;
        }
        let is_ours = |inner: &Inner| inner.began == began && inner.current.as_deref() == Some(id);
        if fault == Some(&RunFault::Held) {
            let waits = |inner: &mut Inner| is_ours(inner) && !inner.is_released && !inner.is_interrupted;
            inner = self.changed.wait_while(inner, waits).unwrap();
        }
        if !is_ours(&inner) {
            return None;
        }
        inner.current = None;
        inner.finished.push(id.to_owned());
        let is_interrupted = inner.is_interrupted;
        drop(inner);
        self.changed.notify_all();
        Some(is_interrupted)
    }

    fn result(&self, body: &Value, began: u64, is_interrupted: bool, fault: Option<&RunFault>) -> Value {
        let number = |name: &str, default: u64| body[name].as_u64().unwrap_or(default);
        let (width, height, seed) = (number("width", 512), number("height", 512), number("seed", 1));
        let count = match self.copy {
            // The server knows no rounds, and makes at most this many pictures at once.
            Copy::SdCpp => number("batch_size", 1).clamp(1, SDCPP_BATCH),
            _ => number("batch_size", 1) * number("n_iter", 1),
        };
        let seeds: Vec<u64> = (0..count).map(|number| seed + number).collect();
        let draw = |seed: &u64| match fault {
            Some(RunFault::NoPicture) => {
                STANDARD.encode("no picture at all, and long enough to be taken for one by somebody")
            }
            // The picture of an interrupted run is whole as a file, and half as a picture.
            _ => STANDARD.encode(png(
                width as u32,
                height as u32,
                if is_interrupted { HALF_DONE } else { *seed as u8 | 1 },
            )),
        };
        let images: Vec<_> = seeds.iter().map(draw).collect();
        let mut info = json!({
            "prompt": body["prompt"], "seed": seed, "all_seeds": seeds, "width": width, "height": height,
            "steps": number("steps", 20), "sampler_name": body["sampler_name"], "sd_model_name": "base",
            "index_of_first_image": 0,
        });
        if self.copy != Copy::SdCpp {
            info["job_timestamp"] = json!(stamp(began));
        }
        json!({ "images": images, "parameters": { "prompt": body["prompt"] }, "info": info.to_string() })
    }
}
