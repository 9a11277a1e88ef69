//! The server of ComfyUI for tests that pass at every one: the real server at `REEL_TEST_COMFYUI_URL`, or else the imitation. Also workflows that need no
//! model.

use std::{
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use crate::{FakeComfyui, Random, Sandbox, http, wait::eventually};

/// The number of slow nodes in a workflow that takes some seconds.
pub const SLOW_NODES: usize = 12;

/// A server. A real one is used by one test at a time, because it has one queue.
#[derive(Debug)]
pub struct AnyComfyui {
    /// The value of `base_url` for a configuration.
    pub url: String,
    /// The imitation; None if the server is real.
    pub fake: Option<FakeComfyui>,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl AnyComfyui {
    /// Returns the server that the environment names, else an imitation.
    pub fn start() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        if let Ok(url) = std::env::var("REEL_TEST_COMFYUI_URL") {
            let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
            return Self { url, fake: None, _alone: Some(alone) };
        }
        let fake = FakeComfyui::start();
        Self { url: fake.base_url(), fake: Some(fake), _alone: None }
    }

    /// Keeps jobs running. A real server does so by itself, as it is slow.
    pub fn hold(&self) {
        if let Some(fake) = &self.fake {
            fake.hold();
        }
    }

    /// Ends the effect of [`Self::hold`].
    pub fn release(&self) {
        if let Some(fake) = &self.fake {
            fake.release();
        }
    }

    /// Returns the answer to a GET request.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = http::json(&self.url, "GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Sends a POST request. Returns the status and the answer.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        http::json(&self.url, "POST", path, Some(body))
    }

    /// Returns the ids of the jobs whose picture has this colour: those that run, those that wait, and those that are over.
    #[track_caller]
    pub fn jobs_of(&self, colour: u64) -> [Vec<String>; 3] {
        let is_it = |item: &Value| item[2]["1"]["inputs"]["color"] == colour;
        let id = |item: &Value| item[1].as_str().unwrap().to_owned();
        let (queue, history) = (self.get("/queue"), self.get("/history"));
        let in_queue =
            |name: &str| queue[name].as_array().unwrap().iter().filter(|item| is_it(item)).map(id).collect();
        let over = history.as_object().unwrap().values().map(|entry| &entry["prompt"]);
        [
            in_queue("queue_running"),
            in_queue("queue_pending"),
            over.filter(|item| is_it(item)).map(id).collect(),
        ]
    }

    /// Waits until the job whose picture has this colour runs. Returns its id.
    #[track_caller]
    pub fn wait_until_running(&self, colour: u64) -> String {
        eventually("the job runs", || self.jobs_of(colour)[0].first().cloned())
    }

    /// Starts a daemon whose provider `comfy` is this server, with the workflow in `mine.json` and with the keys in `more`.
    #[track_caller]
    pub fn sandbox(&self, workflow: &Value, more: &str) -> Sandbox {
        let sandbox = Sandbox::new();
        fs::write(sandbox.root().join("mine.json"), workflow.to_string()).unwrap();
        let url = &self.url;
        sandbox.configure(&format!("[providers.comfy]\nkind = \"comfyui\"\nbase_url = \"{url}\"\n{more}\n"));
        sandbox.start();
        sandbox
    }
}

/// Returns a colour that no earlier run of these tests has used, because the server keeps what it has made.
pub fn colour() -> u64 {
    Random::new(Random::seed_from_env()).below(0xff_ffff)
}

/// Returns a workflow without any model, which every server can run.
pub fn blank() -> Value {
    json!({
        "1": { "class_type": "EmptyImage", "inputs": { "width": 512, "height": 512, "batch_size": 1, "color": 1 },
               "_meta": { "title": "reel:width,height,n,colour=color" } },
        "2": { "class_type": "SaveImage", "inputs": { "filename_prefix": "ComfyUI", "images": ["1", 0] }, "_meta": { "title": "Save it" } },
        "3": { "class_type": "PrimitiveString", "inputs": { "value": "" }, "_meta": { "title": "reel:prompt" } },
    })
}

/// Returns a workflow that takes some seconds on a CPU.
pub fn slow() -> Value {
    let mut graph = blank();
    let mut last = "1".to_owned();
    for number in 0..SLOW_NODES {
        let id = (10 + number).to_string();
        graph[&id] = json!({ "class_type": "ImageBlur", "inputs": { "image": [last, 0], "blur_radius": 25, "sigma": 5.0 },
                             "_meta": { "title": format!("Blur {number}") } });
        last = id;
    }
    graph["2"]["inputs"]["images"] = json!([last, 0]);
    graph
}
