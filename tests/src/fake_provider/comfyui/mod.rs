//! A server that imitates ComfyUI: it checks workflows, runs one job at a time, keeps a history, serves files and a websocket, and can be killed
//! and started again. Its answers have the form of those that were recorded at a real server.
//!
//! What a restart keeps is on the [`Disk`]: the files. The queue, the history and the cache of results are lost, as at the real server.

mod nodes;
mod run;
mod serve;
mod socket;
mod validate;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
};

use serde_json::Value;

use crate::wait::eventually;

/// A workflow that the server has taken into its queue.
#[derive(Debug, Clone)]
pub struct ComfyPost {
    /// The id of the job.
    pub id: String,
    /// The nodes of the workflow, by their ids, as they were posted.
    pub graph: Value,
    /// The number of restarts of the server before it.
    pub life: usize,
}

impl ComfyPost {
    /// Returns the text of the first node that encodes a prompt.
    pub fn prompt(&self) -> &str {
        let nodes = self.graph.as_object().unwrap();
        let text = |node: &Value| node["class_type"] == "CLIPTextEncode" && node["inputs"]["text"] != "";
        nodes
            .values()
            .find(|node| text(node))
            .and_then(|node| node["inputs"]["text"].as_str())
            .unwrap_or_default()
    }
}

/// What a restart of the server keeps, and what the tests count.
#[derive(Debug, Default)]
struct Disk {
    /// The files that jobs have saved, by folder and name.
    outputs: BTreeMap<(String, String), Vec<u8>>,
    /// The uploaded files, by folder and name.
    inputs: BTreeMap<String, Vec<u8>>,
    posts: Vec<ComfyPost>,
    /// The ids of the jobs that began to run.
    runs: Vec<String>,
    /// The ids of the jobs that were told to stop while they ran.
    interrupts: Vec<String>,
    /// The bodies of the requests to free memory.
    frees: Vec<Value>,
    life: usize,
}

/// The switches of the tests.
#[derive(Debug)]
struct Switches {
    checkpoints: Vec<String>,
    is_held: bool,
    /// Jobs with this text in their prompt fail with this type and message.
    failing: Option<(String, String, String)>,
    /// Number of next submissions that are taken, and whose connections end without an answer.
    lost_answers: usize,
    /// Number of next submissions whose connections end before they are taken.
    lost_requests: usize,
    /// Whether requests for a websocket are refused.
    has_no_socket: bool,
    /// Whether the server is as old ones are: it chooses the ids of jobs itself, and interrupts whatever runs.
    is_old: bool,
}

/// The state of one life of the server.
#[derive(Debug, Default)]
struct State {
    is_stopped: bool,
    number: u64,
    running: Option<Item>,
    pending: Vec<Item>,
    history: HashMap<String, Value>,
    /// What the nodes of the last job have saved, by what decides it; null for nodes that save nothing.
    cache: HashMap<String, Value>,
    /// The node that runs.
    node: Option<String>,
    interrupted: HashSet<String>,
    sockets: HashMap<String, Vec<TcpStream>>,
    streams: Vec<TcpStream>,
    /// The step of the running job at which it is held.
    held_at: Option<u64>,
}

/// A job in the queue.
#[derive(Debug, Clone)]
struct Item {
    number: f64,
    id: String,
    client: String,
    graph: Value,
    extra: Value,
    /// The ids of the nodes that save files.
    outputs: Vec<String>,
}

impl Item {
    fn shown(&self) -> Value {
        let mut extra = self.extra.as_object().cloned().unwrap_or_default();
        if !self.client.is_empty() {
            extra.insert("client_id".to_owned(), Value::from(self.client.as_str()));
        }
        serde_json::json!([self.number, self.id, self.graph, extra, self.outputs])
    }
}

/// What all threads share.
#[derive(Debug)]
struct Shared {
    disk: Mutex<Disk>,
    switches: Mutex<Switches>,
    state: Mutex<State>,
    /// Notified after every change.
    changed: Condvar,
}

impl Shared {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// A running server on a port of its own. Dropping it stops it.
#[derive(Debug)]
pub struct FakeComfyui {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl FakeComfyui {
    /// Starts a server with the checkpoints `dream.safetensors` and `sketch.safetensors` on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let switches = Switches {
            checkpoints: vec!["dream.safetensors".to_owned(), "sketch.safetensors".to_owned()],
            is_held: false,
            failing: None,
            lost_answers: 0,
            lost_requests: 0,
            has_no_socket: false,
            is_old: false,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let shared = Shared {
            disk: Mutex::default(),
            switches: Mutex::new(switches),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        let server = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(shared),
            threads: Mutex::default(),
        };
        server.run(listener);
        server
    }

    fn run(&self, listener: TcpListener) {
        let (accepting, working) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        let mut threads = self.threads.lock().unwrap();
        threads.push(std::thread::spawn(move || serve::accept(&accepting, &listener)));
        threads.push(std::thread::spawn(move || run::work(&working)));
    }

    /// Returns the value of `base_url` for a configuration.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills the server: its port is closed, and everything that is not on its disk is lost.
    pub fn kill(&self) {
        let streams = {
            let mut state = self.shared.state();
            state.is_stopped = true;
            self.shared.changed.notify_all();
            std::mem::take(&mut state.streams)
        };
        for stream in streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // The accepting thread checks `is_stopped` only when a connection comes, so make one.
        let _ = TcpStream::connect(self.address);
        for thread in std::mem::take(&mut *self.threads.lock().unwrap()) {
            thread.join().unwrap();
        }
    }

    /// Starts a killed server again, at the same address and with the same disk.
    #[track_caller]
    pub fn start_again(&self) {
        *self.shared.state() = State::default();
        self.shared.disk().life += 1;
        self.run(eventually("the address is free", || TcpListener::bind(self.address).ok()));
    }

    /// Sets the checkpoints.
    pub fn set_checkpoints(&self, names: &[&str]) {
        self.shared.switches().checkpoints = names.iter().map(|name| (*name).to_owned()).collect();
    }

    /// Holds each job in the middle of its steps until [`Self::release`].
    pub fn hold(&self) {
        self.shared.switches().is_held = true;
    }

    /// Ends the effect of [`Self::hold`].
    pub fn release(&self) {
        self.shared.switches().is_held = false;
        // The lock makes sure that a job that has just read the switch already waits.
        let _state = self.shared.state();
        self.shared.changed.notify_all();
    }

    /// Makes jobs with this text in their prompt fail with an error of this type.
    pub fn fail(&self, prompt: &str, kind: &str, message: &str) {
        self.shared.switches().failing = Some((prompt.to_owned(), kind.to_owned(), message.to_owned()));
    }

    /// Takes the next submissions, and ends their connections without an answer.
    pub fn lose_answers(&self, count: usize) {
        self.shared.switches().lost_answers = count;
    }

    /// Ends the connections of the next submissions before they are taken.
    pub fn lose_requests(&self, count: usize) {
        self.shared.switches().lost_requests = count;
    }

    /// Answers websockets with 404 from now on.
    pub fn refuse_sockets(&self) {
        self.shared.switches().has_no_socket = true;
    }

    /// Makes the server choose the ids of jobs itself, and interrupt whatever runs, as old versions do.
    pub fn be_old(&self) {
        self.shared.switches().is_old = true;
    }

    /// Returns all workflows that were taken into the queue, oldest first.
    pub fn posts(&self) -> Vec<ComfyPost> {
        self.shared.disk().posts.clone()
    }

    /// Interrupts the running job as the button of the editor does.
    pub fn interrupt_elsewhere(&self) {
        let mut state = self.shared.state();
        let running = state.running.as_ref().map(|item| item.id.clone());
        state.interrupted.extend(running);
        self.shared.changed.notify_all();
    }

    /// Returns the workflows of this prompt.
    pub fn posts_of(&self, prompt: &str) -> Vec<ComfyPost> {
        self.posts().into_iter().filter(|post| post.prompt() == prompt).collect()
    }

    /// Returns the ids of the jobs that began to run, in their order.
    pub fn runs(&self) -> Vec<String> {
        self.shared.disk().runs.clone()
    }

    /// Returns the ids of the jobs that were interrupted while they ran.
    pub fn interrupts(&self) -> Vec<String> {
        self.shared.disk().interrupts.clone()
    }

    /// Returns the bodies of all requests to free memory, oldest first.
    pub fn frees(&self) -> Vec<Value> {
        self.shared.disk().frees.clone()
    }

    /// Returns the uploaded file with this folder and name.
    pub fn input(&self, name: &str) -> Option<Vec<u8>> {
        self.shared.disk().inputs.get(name).cloned()
    }

    /// Deletes all files that jobs have saved.
    pub fn delete_outputs(&self) {
        self.shared.disk().outputs.clear();
    }

    /// Returns the id of the running job once it is held in the middle of its steps.
    #[track_caller]
    pub fn wait_until_held(&self) -> String {
        eventually("a job is held", || {
            let state = self.shared.state();
            state.held_at?;
            state.running.as_ref().map(|item| item.id.clone())
        })
    }

    /// Submits a job as another program does that uses the same server. Returns its id.
    pub fn submit_elsewhere(&self, prompt: &str) -> String {
        let graph = serde_json::json!({
            "1": { "class_type": "CLIPTextEncode", "inputs": { "text": prompt, "clip": ["2", 1] } },
            "2": { "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": "dream.safetensors" } },
            "3": { "class_type": "KSampler", "inputs": {
                "steps": 20, "seed": 1, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
                "model": ["2", 0], "positive": ["1", 0], "negative": ["1", 0], "latent_image": ["5", 0],
            } },
            "4": { "class_type": "SaveImage", "inputs": { "filename_prefix": "other", "images": ["6", 0] } },
            "5": { "class_type": "EmptyLatentImage", "inputs": { "width": 64, "height": 64, "batch_size": 1 } },
            "6": { "class_type": "VAEDecode", "inputs": { "samples": ["3", 0], "vae": ["2", 2] } },
        });
        let mut state = self.shared.state();
        let id = format!("other-{}", state.number);
        let post = serve::Post { id: id.clone(), client: "another".to_owned(), graph, extra: Value::Null };
        serve::enqueue(&self.shared, &mut state, post, vec!["4".to_owned()]);
        id
    }

    /// Whether the history has this job with a success.
    pub fn has_done(&self, id: &str) -> bool {
        let state = self.shared.state();
        state.history.get(id).is_some_and(|entry| entry["status"]["status_str"] == "success")
    }

    /// Returns the ids of the jobs in the queue: the running one, then those that wait.
    pub fn queue(&self) -> Vec<String> {
        let state = self.shared.state();
        state.running.iter().chain(&state.pending).map(|item| item.id.clone()).collect()
    }
}

impl Drop for FakeComfyui {
    fn drop(&mut self) {
        self.kill();
    }
}
