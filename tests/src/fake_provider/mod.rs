//! A server that stands in for OpenAI's images API, its speech API, its chat API and their kin: real pictures, and every fault a network or a service has.
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
//! It serves `POST /v1/images/generations` and `/v1/images/edits`, `POST /v1/audio/speech`, `POST /v1/chat/completions`, `GET /v1/models`, jobs below `/v1/videos` and, for answers that name addresses, `GET /files/…`. A thread
//! for each connection; dropped, it closes all of them and its port.

mod answer;
mod chat;
mod edit;
mod fault;
mod files;
mod http;
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

use self::{answer::Order, files::Files, ledger::Ledger, picture::Gallery, script::Script};
pub use self::{
    edit::FormPart,
    fault::{Cut, Fault, RetryAfter},
    files::FileFault,
    http::Request,
    videos::{FILM, VideoJob, VideoPlan, Videos},
};
use crate::wait::eventually;

/// How good answers hand out their pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// `b64_json`.
    #[default]
    Base64,
    /// `url`, with this server's address in it.
    AbsoluteUrl,
    /// `url`, a path on this server.
    RelativeUrl,
}

/// A running server on a port of its own. All methods may be called at any time.
#[derive(Debug)]
pub struct FakeProvider {
    server: Arc<Server>,
    accepting: Option<JoinHandle<()>>,
}

/// What the connections share.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    script: Script,
    files: Files,
    videos: Videos,
    ledger: Ledger,
    gallery: Gallery,
    settings: Mutex<Settings>,
    /// Told when the gate opens and when the server stops.
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
    /// The key that calls must carry, unless [`Self::require_key`] says otherwise.
    pub const KEY: &str = "sk-fake-provider-key";

    /// Starts a server on a free port of 127.0.0.1 that answers everything well.
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// The same at an address that another one had before.
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

    /// What a configuration calls `base_url`: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.server.origin())
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The faults of the next calls in their order, behind those that are already to come; after them, all is well again.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.server.script.append(faults);
    }

    /// What every call with this prompt meets; such calls take nothing from the script.
    pub fn on_prompt(&self, prompt: &str, fault: Fault) {
        self.server.script.set_for(prompt, fault);
    }

    /// What every call meets that neither its prompt nor the script decides.
    pub fn always(&self, fault: Fault) {
        self.server.script.set_otherwise(fault);
    }

    /// What the next requests for files meet, in their order; after them, what [`Self::always_files`] says.
    pub fn script_files(&self, faults: impl IntoIterator<Item = FileFault>) {
        self.server.files.append(faults);
    }

    /// What every request for a file meets that the script does not decide.
    pub fn always_files(&self, fault: FileFault) {
        self.server.files.set_otherwise(fault);
    }

    /// Forgets the script, the prompts and what always happens: all is well.
    pub fn be_good(&self) {
        self.server.script.clear();
    }

    /// Faults of the script that no call has met yet.
    pub fn script_left(&self) -> usize {
        self.server.script.left()
    }

    /// The jobs of the videos API.
    pub fn videos(&self) -> &Videos {
        &self.server.videos
    }

    /// The key that calls must carry; None admits everybody.
    pub fn require_key(&self, key: Option<&str>) {
        self.server.settings().key = key.map(str::to_owned);
    }

    /// How pictures are handed out, whatever a call's `response_format` asks for.
    pub fn deliver(&self, delivery: Delivery) {
        self.server.settings().delivery = Some(delivery);
    }

    /// Makes each picture weigh this much more than a plain one, which has a few KB: noise, which no compression makes smaller.
    pub fn picture_bytes(&self, bytes: usize) {
        self.server.settings().noise_bytes = bytes;
    }

    /// Makes the same prompt give another picture with each call, as real services do. Without it the bytes follow from the
    /// prompt, the size and the picture's place in the answer.
    pub fn vary(&self) {
        self.server.settings().varies = true;
    }

    /// The time between a call's request and its answer.
    pub fn delay(&self, delay: Duration) {
        self.server.settings().delay = delay;
    }

    /// Lets no call be answered before [`Self::release`]: for a moment at which calls are surely under way.
    pub fn hold(&self) {
        self.server.settings().is_held = true;
    }

    /// Answers the calls that were held, and those to come.
    pub fn release(&self) {
        self.server.settings().is_held = false;
        self.server.changed.notify_all();
    }

    /// Sends the rest of the answers of which only the first half was sent.
    pub fn finish_halves(&self) {
        self.server.settings().finishes_halves = true;
        self.server.changed.notify_all();
    }

    /// Calls for pictures whose requests were read, with whatever end.
    pub fn calls(&self) -> usize {
        self.server.ledger.account().calls
    }

    /// The same for one prompt.
    pub fn calls_of(&self, prompt: &str) -> usize {
        self.server.ledger.account().by_prompt.get(prompt).copied().unwrap_or(0)
    }

    /// Requests for files that came.
    pub fn fetches(&self) -> usize {
        self.requests().iter().filter(|request| request.path.starts_with("/files/")).count()
    }

    /// Calls that are being answered now.
    pub fn in_flight(&self) -> usize {
        self.server.ledger.account().open
    }

    /// The most calls that were being answered at one time.
    pub fn most_at_once(&self) -> usize {
        self.server.ledger.account().most_open
    }

    /// When calls came, oldest first.
    pub fn times(&self) -> Vec<Instant> {
        self.server.ledger.account().times.clone()
    }

    /// Connections that were accepted.
    pub fn connections(&self) -> usize {
        self.server.ledger.account().connections
    }

    /// The newest 4,096 requests of every kind, oldest first; of a body the first 256 KiB.
    pub fn requests(&self) -> Vec<Request> {
        self.server.ledger.account().requests.iter().cloned().collect()
    }

    /// Forgets what was counted and seen.
    pub fn forget(&self) {
        self.server.ledger.forget();
    }

    /// Waits until so many calls came.
    #[track_caller]
    pub fn wait_for_calls(&self, calls: usize) {
        eventually("the provider is called", || (self.calls() >= calls).then_some(()));
    }

    /// Waits until so many calls are being answered at one time.
    #[track_caller]
    pub fn wait_for_in_flight(&self, calls: usize) {
        eventually("calls are under way", || (self.in_flight() == calls).then_some(()));
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.server.settings().is_stopped = true;
        self.server.changed.notify_all();
        // The accepting thread looks at the mark when somebody comes.
        let _ = TcpStream::connect(self.server.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.server.streams.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Accepts connections until the server stops; then its port is closed.
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
            // Both go now, so that the connection ends here and not with the server.
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

    /// The order with what this server's settings say about it.
    fn complete(&self, mut order: Order, call: usize) -> Order {
        let settings = self.settings();
        order.origin = self.origin();
        order.delivery = settings.delivery.unwrap_or(order.delivery);
        for picture in &mut order.pictures {
            picture.noise_bytes = settings.noise_bytes;
            if settings.varies {
                picture.seed ^= (call as u64 + 1) << 32;
            }
        }
        order
    }

    /// The delay of a call that came then, and the gate.
    fn pause_before_answer(&self, came: Instant) {
        let delay = self.settings().delay.saturating_sub(came.elapsed());
        if delay > Duration::ZERO {
            self.stops_within(delay);
        }
        let settings = self.settings();
        drop(self.changed.wait_while(settings, |settings| settings.is_held && !settings.is_stopped));
    }

    /// Waits until the halves are finished, or the server stops.
    fn pause_at_half(&self) {
        let settings = self.settings();
        let waits = |settings: &mut Settings| !settings.finishes_halves && !settings.is_stopped;
        drop(self.changed.wait_while(settings, waits));
    }

    /// Lets time pass; whether the server is being stopped.
    fn stops_within(&self, time: Duration) -> bool {
        let settings = self.settings();
        let waited = self.changed.wait_timeout_while(settings, time, |settings| !settings.is_stopped);
        waited.is_ok_and(|(settings, _)| settings.is_stopped)
    }
}
