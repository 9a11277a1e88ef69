//! A server that imitates OpenAI's images, speech, chat and videos APIs. It makes real pictures, and can simulate every fault of a network or a
//! service.
//!
//! ```ignore
//! let provider = FakeProvider::start();
//! provider.script([Fault::rate_limited(1), Fault::Good]);
//! provider.on_prompt("a forbidden thing", Fault::Moderated);
//! // … point something at `provider.base_url()` with the key `FakeProvider::KEY` …
//! provider.wait_for_calls(2);
//! assert_eq!(provider.most_at_once(), 1);
//! ```
//!
//! It serves `POST /v1/images/generations` and `/v1/images/edits`, `POST /v1/audio/speech`, `POST /v1/chat/completions`, `GET /v1/models`, jobs below
//! `/v1/videos` and, for responses with URLs, `GET /files/…`. Each connection has a thread. Dropping the server closes all connections and its port.
//!
//! A "call" is a POST to the images, speech or chat API. Jobs of the videos API are counted by [`Videos`].

mod answer;
mod chat;
mod comfyui;
pub(crate) mod director;
mod edit;
mod fault;
mod files;
pub(crate) mod http;
mod ledger;
mod picture;
mod script;
mod serve;
mod videos;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use self::{answer::ParsedRequest, files::Files, ledger::Ledger, picture::Gallery, script::Script};
pub use self::{
    comfyui::{ComfyPost, FakeComfyui},
    edit::FormPart,
    fault::{Cut, Fault, RetryAfter},
    files::FileFault,
    http::Request,
    videos::{FILM, VideoJob, VideoPlan, Videos},
};
use crate::wait::eventually;

/// How good responses deliver their pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// The answer has the pictures as base64, in `b64_json`.
    #[default]
    Base64,
    /// As `url` with this server's address.
    AbsoluteUrl,
    /// As `url` that is a path without a host.
    RelativeUrl,
}

/// A running server on a port of its own. All methods may be called at any time.
#[derive(Debug)]
pub struct FakeProvider {
    server: Arc<Server>,
    accepting: Option<JoinHandle<()>>,
}

/// The state that the connections share.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    script: Script,
    files: Files,
    videos: Videos,
    ledger: Ledger,
    gallery: Gallery,
    settings: Mutex<Settings>,
    /// Notified when held calls or halves are released, and when the server stops.
    changed: Condvar,
    streams: Mutex<HashMap<u64, TcpStream>>,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the tests")]
struct Settings {
    key: Option<String>,
    delivery: Option<Delivery>,
    noise_bytes: usize,
    delay: Duration,
    varies: bool,
    is_held: bool,
    finishes_halves: bool,
    is_stopped: bool,
}

impl FakeProvider {
    /// The key that calls must carry, unless [`Self::require_key`] sets another one.
    pub const KEY: &str = "sk-fake-provider-key";

    /// Starts a server on a free port of 127.0.0.1. It responds to every call without a fault.
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts a server at an address that another server used before.
    #[track_caller]
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = eventually("the address is free", || TcpListener::bind(address).ok());
        let settings = Settings {
            key: Some(Self::KEY.to_owned()),
            delivery: None,
            noise_bytes: 0,
            delay: Duration::ZERO,
            varies: false,
            is_held: false,
            finishes_halves: false,
            is_stopped: false,
        };
        let server = Arc::new(Server {
            address: listener.local_addr().unwrap(),
            script: Script::default(),
            files: Files::default(),
            videos: Videos::default(),
            ledger: Ledger::default(),
            gallery: Gallery::default(),
            settings: Mutex::new(settings),
            changed: Condvar::new(),
            streams: Mutex::default(),
        });
        let accepting = std::thread::spawn({
            let server = Arc::clone(&server);
            move || accept(&server, &listener)
        });
        Self { server, accepting: Some(accepting) }
    }

    /// Returns the value of `base_url` for a configuration: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.server.origin())
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Appends faults for the next calls, in this order. After the last one, calls have no fault, or that of [`Self::always`].
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.server.script.append(faults);
    }

    /// Sets the fault of every call with this prompt. Such calls use up no fault of the script. Panics for [`Fault::ResetBeforeRequest`], which happens
    /// before the prompt is known.
    #[track_caller]
    pub fn on_prompt(&self, prompt: &str, fault: Fault) {
        self.server.script.set_for(prompt, fault);
    }

    /// Sets the fault of every call for which neither the prompt nor the script has one.
    pub fn always(&self, fault: Fault) {
        self.server.script.set_otherwise(fault);
    }

    /// Appends faults for the next requests for files, in this order. After the last one, that of [`Self::always_files`] applies.
    pub fn script_files(&self, faults: impl IntoIterator<Item = FileFault>) {
        self.server.files.append(faults);
    }

    /// Sets the fault of every request for a file for which the script has none.
    pub fn always_files(&self, fault: FileFault) {
        self.server.files.set_otherwise(fault);
    }

    /// Removes all faults of calls: the script, those of prompts and that of [`Self::always`].
    pub fn be_good(&self) {
        self.server.script.clear();
    }

    /// Returns how many faults of the script no call has used up yet.
    pub fn script_left(&self) -> usize {
        self.server.script.left()
    }

    /// Returns the jobs of the videos API.
    pub fn videos(&self) -> &Videos {
        &self.server.videos
    }

    /// Sets the key that calls must carry. With None, the server accepts every call.
    pub fn require_key(&self, key: Option<&str>) {
        self.server.settings().key = key.map(str::to_owned);
    }

    /// Sets how pictures are delivered, whatever the `response_format` of a call is.
    pub fn deliver(&self, delivery: Delivery) {
        self.server.settings().delivery = Some(delivery);
    }

    /// Makes each picture this many bytes larger than a plain one, which has a few KB. The bytes are noise, which cannot be compressed.
    pub fn picture_bytes(&self, bytes: usize) {
        self.server.settings().noise_bytes = bytes;
    }

    /// Makes each call with the same prompt return another picture, as real services do. Without it, the bytes depend only on the prompt, the size
    /// and the picture's index in the response.
    pub fn vary(&self) {
        self.server.settings().varies = true;
    }

    /// Sets the time between a call's request and its response.
    pub fn delay(&self, delay: Duration) {
        self.server.settings().delay = delay;
    }

    /// Holds all responses to calls until [`Self::release`], so that a test can rely on calls being in flight.
    pub fn hold(&self) {
        self.server.settings().is_held = true;
    }

    /// Sends the held responses, and holds none from then on.
    pub fn release(&self) {
        self.server.settings().is_held = false;
        self.server.changed.notify_all();
    }

    /// Sends the rest of the responses whose first half was sent because of [`Fault::Half`].
    pub fn finish_halves(&self) {
        self.server.settings().finishes_halves = true;
        self.server.changed.notify_all();
    }

    /// Returns the number of calls whose requests were read, whatever their outcome.
    pub fn calls(&self) -> usize {
        self.server.ledger.account().calls
    }

    /// Returns the number of calls with this prompt.
    pub fn calls_of(&self, prompt: &str) -> usize {
        self.server.ledger.account().by_prompt.get(prompt).copied().unwrap_or(0)
    }

    /// Returns the number of remembered requests for files.
    pub fn fetches(&self) -> usize {
        self.requests().iter().filter(|request| request.path.starts_with("/files/")).count()
    }

    /// Returns the number of calls in flight.
    pub fn in_flight(&self) -> usize {
        self.server.ledger.account().open
    }

    /// Returns the largest number of calls that were in flight at once.
    pub fn most_at_once(&self) -> usize {
        self.server.ledger.account().most_open
    }

    /// Returns when calls came, oldest first.
    pub fn times(&self) -> Vec<Instant> {
        self.server.ledger.account().times.clone()
    }

    /// Returns the number of accepted connections.
    pub fn connections(&self) -> usize {
        self.server.ledger.account().connections
    }

    /// Returns the newest 4,096 requests of every kind, oldest first. Of each body, only the first 256 KiB are kept.
    pub fn requests(&self) -> Vec<Request> {
        self.server.ledger.account().requests.iter().cloned().collect()
    }

    /// Resets all counts and forgets all requests.
    pub fn forget(&self) {
        self.server.ledger.forget();
    }

    /// Waits until at least this many calls have come.
    #[track_caller]
    pub fn wait_for_calls(&self, calls: usize) {
        eventually("the provider is called", || (self.calls() >= calls).then_some(()));
    }

    /// Waits until exactly this many calls are in flight.
    #[track_caller]
    pub fn wait_for_in_flight(&self, calls: usize) {
        eventually("calls are under way", || (self.in_flight() == calls).then_some(()));
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.server.settings().is_stopped = true;
        self.server.changed.notify_all();
        // The accepting thread checks `is_stopped` only when a connection comes, so make one.
        let _ = TcpStream::connect(self.server.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.server.streams.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Accepts connections until the server stops. The port is then closed.
fn accept(server: &Arc<Server>, listener: &TcpListener) {
    for (number, stream) in (0..).zip(listener.incoming()) {
        if server.settings().is_stopped {
            return;
        }
        let Ok(stream) = stream else { continue };
        server.ledger.connected();
        let Ok(copy) = stream.try_clone() else { continue };
        server.streams.lock().unwrap().insert(number, copy);
        let server = Arc::clone(server);
        std::thread::spawn(move || {
            let _ = serve::connection(&server, &stream);
            // Dropping both handles closes the connection when it ends, not when the server stops.
            server.streams.lock().unwrap().remove(&number);
        });
    }
}

impl Server {
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap()
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    fn admits(&self, request: &Request) -> bool {
        let settings = self.settings();
        let Some(key) = &settings.key else { return true };
        request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) == Some(key)
    }

    /// Applies this server's settings to a request.
    fn complete(&self, mut parsed: ParsedRequest, call: usize) -> ParsedRequest {
        let settings = self.settings();
        parsed.origin = self.origin();
        parsed.delivery = settings.delivery.unwrap_or(parsed.delivery);
        for picture in &mut parsed.pictures {
            picture.noise_bytes = settings.noise_bytes;
            if settings.varies {
                picture.seed ^= (call as u64 + 1) << 32;
            }
        }
        parsed
    }

    /// Waits for the rest of the call's delay, and then until calls are not held.
    fn pause_before_answer(&self, came: Instant) {
        let delay = self.settings().delay.saturating_sub(came.elapsed());
        if delay > Duration::ZERO {
            self.stops_within(delay);
        }
        let settings = self.settings();
        drop(self.changed.wait_while(settings, |settings| settings.is_held && !settings.is_stopped));
    }

    /// Waits until [`FakeProvider::finish_halves`] is called or the server stops.
    fn pause_at_half(&self) {
        let settings = self.settings();
        let waits = |settings: &mut Settings| !settings.finishes_halves && !settings.is_stopped;
        drop(self.changed.wait_while(settings, waits));
    }

    /// Waits for `time` or until the server stops. Returns whether it stops.
    fn stops_within(&self, time: Duration) -> bool {
        let settings = self.settings();
        let waited = self.changed.wait_timeout_while(settings, time, |settings| !settings.is_stopped);
        waited.is_ok_and(|(settings, _)| settings.is_stopped)
    }
}
