//! P1, P2 and P3: calls to a service on the network through the daemon, compared with the same calls by reqwest alone.
//!
//! On both sides the service is the fake provider, in this process. Its pictures cost it next to nothing: all of one size share their pixels, which
//! are encoded once, and differ in their palettes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use std::{
    cell::Cell,
    fs::{self, File},
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    Connection, FakeProvider, Sandbox,
    bench::{self, Row, Samples, Unit, each, interleaved, seconds},
    studio,
};
use reqwest::{Client, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::LocalSet;

/// Number of concurrent calls, on both sides.
const AT_ONCE: usize = 10;

fn main() {
    bench::main(&[("P1", throughput), ("P2", overhead), ("P3", at_once)]);
}

/// A service, a daemon that calls it, and the means to call it without the daemon.
struct Bench {
    service: FakeProvider,
    sandbox: Sandbox,
    connection: Connection,
    side: u32,
    /// Counts prompts, so that each is used only once.
    prompts: Cell<u64>,
}

impl Bench {
    /// Starts them with square pictures of this side, which have at least `picture_bytes` bytes. The home is on the real disk.
    fn new(side: u32, picture_bytes: usize) -> Self {
        let service = FakeProvider::start();
        service.picture_bytes(picture_bytes);
        let sandbox = bench::sandbox();
        // A task holds its slot until its picture is kept. If there were only as many slots as calls, the service would idle in that time.
        let more = format!(
            "max_concurrent = {AT_ONCE}\nbilling = \"paid\"\n[tasks]\nmax_concurrent = {}\n",
            2 * AT_ONCE
        );
        sandbox.configure(&studio::config(&sandbox, &service, &more));
        sandbox.start();
        let mut connection = sandbox.connect();
        connection.hello("bench");
        Self { service, sandbox, connection, side, prompts: Cell::new(0) }
    }

    fn prompt(&self) -> String {
        self.prompts.set(self.prompts.get() + 1);
        format!("shot {} of a long story", self.prompts.get())
    }

    fn params(&self) -> Value {
        json!({ "prompt": self.prompt(), "width": self.side, "height": self.side })
    }

    /// Submits a batch of new pictures, and waits until the last is on disk and its task has ended.
    fn batch(&mut self, count: usize) {
        let tasks = (0..count).map(|_| json!({ "kind": "image.generate", "params": self.params() }));
        let tasks = tasks.collect();
        let (batch, _) = self.connection.submit_batch(tasks);
        let waited = self.connection.ok("task.wait", json!({ "batch": batch, "timeout_s": 60 }));
        let done = waited["tasks"].as_array().unwrap().iter().filter(|task| task["state"] == "succeeded");
        assert_eq!(done.count(), count, "{waited}");
    }

    /// Returns the means to make the daemon's calls without it.
    fn bare(&self) -> ReqwestReference {
        let files = self.sandbox.home().join("bare");
        fs::create_dir_all(&files).unwrap();
        let url = format!("{}/images/generations", self.service.base_url());
        let size = format!("{0}x{0}", self.side);
        // This fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        ReqwestReference { client: Client::new(), url, size, files: files.into(), looks: false }
    }
}

/// reqwest alone, as a careful tool would use it: one thread for the network, persistent connections, and blocking threads for the files.
#[derive(Clone)]
struct ReqwestReference {
    client: Client,
    url: String,
    size: String,
    files: Rc<Path>,
    /// Whether it decodes each picture before it is written, as the daemon does.
    looks: bool,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<Encoded<'a>>,
}

#[derive(Deserialize)]
struct Encoded<'a> {
    b64_json: &'a str,
}

impl ReqwestReference {
    /// Makes one call and returns its picture.
    async fn call(&self, prompt: &str) -> Vec<u8> {
        let body = json!({ "prompt": prompt, "n": 1, "size": self.size, "model": "gpt-image-2" });
        let request = self.client.post(&self.url).bearer_auth(FakeProvider::KEY);
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        let body = answer.bytes().await.unwrap();
        let answer: Answer<'_> = serde_json::from_slice(&body).unwrap();
        STANDARD.decode(answer.data[0].b64_json).unwrap()
    }

    /// Makes one call and saves its picture: writes a temporary file, syncs its bytes and renames it. It does not sync the directory, and decodes the
    /// picture only if `looks` is set.
    async fn call_and_save(&self, prompt: &str) {
        let picture = self.call(prompt).await;
        let path: PathBuf = self.files.join(format!("{prompt}.png"));
        let looks = self.looks;
        let save = move || {
            if looks {
                look(&picture);
            }
            let temporary = path.with_extension("tmp");
            let mut file = File::create(&temporary).unwrap();
            file.write_all(&picture).unwrap();
            file.sync_data().unwrap();
            fs::rename(temporary, path).unwrap();
        };
        tokio::task::spawn_blocking(save).await.unwrap();
    }

    /// Makes the calls for all prompts, [`AT_ONCE`] at once.
    async fn batch(&self, prompts: Vec<String>) {
        let left = Rc::new(std::cell::RefCell::new(prompts));
        let worker = || {
            let (bare, left) = (self.clone(), Rc::clone(&left));
            tokio::task::spawn_local(async move {
                loop {
                    let Some(prompt) = left.borrow_mut().pop() else { return };
                    bare.call_and_save(&prompt).await;
                }
            })
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| worker()).collect();
        for worker in workers {
            worker.await.unwrap();
        }
    }
}

/// Decodes a PNG row by row.
fn look(picture: &[u8]) {
    let mut reader = png::Decoder::new(Cursor::new(picture)).read_info().unwrap();
    while reader.next_row().unwrap().is_some() {}
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn throughput() -> Vec<Row> {
    const CALLS: usize = 100;
    /// A picture of noise has as many bytes as pixels.
    const SIDE: u32 = 320;
    let row = |figure, side, looks| {
        let mut bench = Bench::new(side, (SIDE * SIDE) as usize);
        let (bare, runtime, local) = (ReqwestReference { looks, ..bench.bare() }, runtime(), LocalSet::new());
        let prompts: Rc<Cell<u64>> = Rc::default();
        let prompt = || {
            prompts.set(prompts.get() + 1);
            format!("bare {}", prompts.get())
        };
        let without =
            || seconds(|| local.block_on(&runtime, bare.batch((0..CALLS).map(|_| prompt()).collect())));
        // Before the measurement, make the connections, the threads and the picture's pixels.
        bench.batch(CALLS);
        without();
        let (ours, reference) = interleaved(12, || vec![seconds(|| bench.batch(CALLS))], || vec![without()]);
        let per_second = |samples: Samples| samples.map(|time| CALLS as f64 / time);
        Row {
            mark: "P1",
            figure,
            unit: Unit::PerSecond,
            ours: per_second(ours),
            reference_name: if looks {
                "reqwest, base64, decode, write, fdatasync, rename"
            } else {
                "reqwest, base64, write, fdatasync, rename"
            },
            reference: per_second(reference),
            first: "≥ 0.5 ×",
            goal: "≥ 0.85 ×",
        }
    };
    vec![
        row("calls, 10 at once (20 slots), PNG of 100 KB in base64 (320×320), durable", SIDE, true),
        row("the same beside a program that does not look at its pictures", SIDE, false),
        row("the same weight at 1024×1024, whose pixels are ten times as many to check", 1024, true),
    ]
}

fn overhead() -> Vec<Row> {
    /// The overhead that the first goal allows, in seconds.
    const ALLOWED: f64 = 0.003;
    let mut bench = Bench::new(320, 320 * 320);
    let (bare, runtime) = (bench.bare(), runtime());
    let mut prompts = 0_u64;
    let mut ours = || {
        let params = bench.params();
        let call = json!({ "service": "image", "method": "generate", "params": params });
        seconds(|| {
            let task = bench.connection.ok("service.call", call);
            assert_eq!(task["source"], "made", "{task}");
        })
    };
    let mut without = || {
        prompts += 1;
        let prompt = format!("bare {prompts}");
        seconds(|| drop(runtime.block_on(bare.call(&prompt))))
    };
    ours();
    without();
    let (ours, reference) =
        interleaved(20, || (0..25).map(|_| ours()).collect(), || (0..25).map(|_| without()).collect());
    let more = reference.median();
    let difference = ours.clone().map(|time| time - more);
    vec![
        Row {
            mark: "P2",
            figure: "service.call of a new picture (100 KB) until it is durable, p50",
            unit: Unit::Seconds,
            ours,
            reference_name: "reqwest and base64, into memory",
            reference,
            first: "",
            goal: "",
        },
        Row {
            mark: "P2",
            figure: "how much longer that is",
            unit: Unit::Seconds,
            ours: difference,
            reference_name: "allowed at first",
            reference: Samples::constant(ALLOWED),
            first: "≤ 1.00 × (3 ms)",
            goal: "≤ 0.33 × (1 ms)",
        },
    ]
}

fn at_once() -> Vec<Row> {
    const DELAY: Duration = Duration::from_millis(100);
    let mut bench = Bench::new(64, 0);
    bench.service.delay(DELAY);
    let (bare, runtime, local) = (bench.bare(), runtime(), LocalSet::new());
    let mut rounds = 0_u64;
    let mut without = || {
        rounds += 1;
        let prompts = (0..AT_ONCE).map(|call| format!("bare {rounds} {call}")).collect();
        local.block_on(&runtime, bare.batch(prompts));
    };
    bench.batch(AT_ONCE);
    without();
    let (ours, reference) = interleaved(15, || each(2, || bench.batch(AT_ONCE)), || each(2, &mut without));
    assert_eq!(bench.service.most_at_once(), AT_ONCE, "they were not all asked at once");
    let row = |figure, reference_name, ours, reference, first, goal| Row {
        mark: "P3",
        figure,
        unit: Unit::Seconds,
        ours,
        reference_name,
        reference,
        first,
        goal,
    };
    let delay = Samples::constant(DELAY.as_secs_f64());
    vec![
        row(
            "10 small pictures of 100 ms, 10 at once, durable",
            "the time of one",
            ours.clone(),
            delay,
            "≤ 1.3 ×",
            "≤ 1.05 ×",
        ),
        row("the same", "reqwest, base64, write, fdatasync, rename", ours, reference, "", ""),
    ]
}
