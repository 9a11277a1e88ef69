//! C1, C2, C3 and C4: a cached picture delivered to a client, new pictures kept, and equal requests at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
};

use reel_client::{Client, ConnectOptions};
use reel_protocol::{
    endpoint::Locations,
    methods::{ArtifactRead, ArtifactReadParams, ServiceCall, ServiceCallParams},
};
use reel_tests::{
    Sandbox,
    bench::{self, Row, Samples, Unit, each, interleaved, seconds},
    echo::Echo,
    pinned::{PeerCore, Pinned},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use puts::Puts;

mod puts;

fn main() {
    bench::main(&[("C1", hit), ("C2", hit_as_bytes), ("C3", fresh_puts), ("C4", flight)]);
}

fn call(params: &Value) -> Value {
    json!({ "service": "image", "method": "generate", "params": params })
}

/// The fields of a response that a client reads if it wants the file.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Task<'a>,
}

#[derive(Deserialize)]
struct Task<'a> {
    #[serde(borrow)]
    outputs: Vec<Output<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    path: &'a str,
}

/// Returns reel's client library and a runtime for it. It uses the encoding that it agrees on with the daemon.
fn library_client(sandbox: &Sandbox) -> (Runtime, Client) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = ConnectOptions::from_env("bench").unwrap();
    let locations =
        Locations { socket: sandbox.socket().to_owned(), is_socket_given: true, ..options.locations };
    let client = runtime.block_on(Client::connect(&ConnectOptions::new(locations, "bench"))).unwrap();
    (runtime, client)
}

fn hit() -> Vec<Row> {
    let sandbox = bench::sandbox();
    let daemon = sandbox.start();
    let pinned = Pinned::here();
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "a lighthouse at dusk" });
    let made = connection.generate(params.clone());
    let path = made["outputs"][0]["path"].as_str().unwrap();
    let (runtime, client) = library_client(&sandbox);
    let asked: ServiceCallParams = serde_json::from_value(call(&params)).unwrap();
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "service.call", "params": call(&params) });
    let line = format!("{request}\n");
    let mut by_line = || {
        connection.send_bytes(line.as_bytes());
        let line = connection.try_read_line().unwrap();
        let answer: Answer<'_> = serde_json::from_str(&line).unwrap();
        assert_eq!(answer.result.outputs[0].path, path);
    };
    let mut by_library = || {
        let task = runtime.block_on(client.call::<ServiceCall>(&asked)).unwrap();
        assert_eq!(task.outputs[0].path, path);
    };
    let row = |figure, other, work: &mut dyn FnMut()| {
        pinned.hold_process(daemon, other);
        let mut echo = Echo::start_with(pinned.hold_thread(other));
        let (ours, reference) = interleaved(20, || each(200, &mut *work), || each(200, || echo.round_trip()));
        Row {
            mark: "C1",
            figure,
            unit: Unit::Seconds,
            ours,
            reference_name: match other {
                PeerCore::Same => "bare socket round trip on one core",
                PeerCore::Another => "bare socket round trip between two cores",
            },
            reference,
            first: "≤ 3 ×",
            goal: "≤ 1.5 ×",
        }
    };
    vec![
        row("cache hit: request → path, p50, daemon on the other core", PeerCore::Another, &mut by_line),
        row("the same with the client library, in frames", PeerCore::Another, &mut by_library),
        row(
            "cache hit, all on one core: what is computed, with no core to wake",
            PeerCore::Same,
            &mut by_line,
        ),
        row("the same with the client library, in frames", PeerCore::Same, &mut by_library),
    ]
}

/// Measures the client library on one core. A megabyte is sent in as many pieces as the socket's buffer allows. Between two cores, each piece wakes a
/// core that may or may not be asleep, so the result would vary.
fn hit_as_bytes() -> Vec<Row> {
    const BYTES: usize = 1024 * 1024;
    let sandbox = bench::sandbox();
    let pinned = Pinned::here();
    pinned.hold_process(sandbox.start(), PeerCore::Same);
    let params =
        json!({ "prompt": "a harbour at night", "style": "watercolor", "width": 2048, "height": 2048 });
    let made = sandbox.connect().generate(params.clone());
    let asked: ServiceCallParams = serde_json::from_value(call(&params)).unwrap();
    let digest = made["outputs"][0]["digest"].as_str().unwrap().parse().unwrap();
    let read = ArtifactReadParams::new(digest, 0, BYTES as u64);
    let (runtime, client) = library_client(&sandbox);
    let bytes = || {
        let read = runtime.block_on(client.call::<ArtifactRead>(&read)).unwrap();
        assert_eq!(read.data.0.len(), BYTES, "the picture is too small");
    };
    let hit = || {
        let task = runtime.block_on(client.call::<ServiceCall>(&asked)).unwrap();
        assert_eq!(task.outputs[0].digest, digest);
    };
    let mut connection = sandbox.connect();
    let raw_params = json!({ "digest": digest, "length": BYTES, "as": "raw" });
    let mut raw = || {
        connection.request("artifact.read", raw_params.clone());
        let answer = connection.read_value().unwrap();
        assert_eq!(answer["result"]["raw_bytes"], BYTES, "the picture is too small");
        connection.read_bytes(BYTES);
    };
    let (mut near, mut far) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let (mut request, answer) = ([0; 64], vec![7; BYTES]);
        while far.read_exact(&mut request).is_ok() && far.write_all(&answer).is_ok() {}
    });
    let mut answer = vec![0; BYTES];
    let mut bare = || {
        near.write_all(&[7; 64]).unwrap();
        near.read_exact(&mut answer).unwrap();
    };
    let mut row = |figure, work: &mut dyn FnMut()| {
        let (ours, reference) = interleaved(20, || each(50, &mut *work), || each(50, &mut bare));
        Row {
            mark: "C2",
            figure,
            unit: Unit::Seconds,
            ours,
            reference_name: "1 MiB over a bare socket",
            reference,
            first: "≤ 2 ×",
            goal: "≤ 1.2 ×",
        }
    };
    vec![
        row("cache hit, 1 MiB as bytes (artifact.read), p50 (on one core)", &mut || bytes()),
        row("the same raw in JSON lines, p50", &mut raw),
        row("the same with its service.call before, p50", &mut || {
            hit();
            bytes();
        }),
    ]
}

/// Keeps a file as a plain program does: writes a temporary file, syncs it and renames it.
fn put_bare(directory: &Path, number: u32, bytes: &[u8]) {
    let temporary = directory.join("tmp");
    let mut file = File::create(&temporary).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_data().unwrap();
    fs::rename(temporary, directory.join(number.to_string())).unwrap();
}

/// Measures on one core. The disk interrupts one core, and a thread that waits for the disk on another core takes nearly twice as long, whatever is
/// written.
fn fresh_puts() -> Vec<Row> {
    const BYTES: usize = 100_000;
    let _pinned = Pinned::here();
    let elsewhere = bench::sandbox();
    fs::create_dir_all(elsewhere.home()).unwrap();
    let mut number = 0;
    let mut puts = Puts::new();
    let (ours, reference) = interleaved(
        10,
        || (0..20).map(|_| puts.put(BYTES)).collect(),
        || {
            let put = |_| {
                number += 1;
                let bytes = puts::fresh(u64::from(number), BYTES);
                seconds(|| put_bare(elsewhere.home(), number, &bytes))
            };
            (0..20).map(put).collect()
        },
    );
    let rate = |samples: Samples| samples.map(|time| 1.0 / time);
    vec![Row {
        mark: "C3",
        figure: "put of a fresh 100 KB picture, in memory and synced (on one core)",
        unit: Unit::PerSecond,
        ours: rate(ours),
        reference_name: "write + fdatasync + rename",
        reference: rate(reference),
        first: "≥ 0.5 ×",
        goal: "≥ 0.9 ×",
    }]
}

fn flight() -> Vec<Row> {
    let sandbox = bench::sandbox();
    sandbox.start();
    let mut connections: Vec<_> = (0..64).map(|_| sandbox.connect()).collect();
    let draws = (0..10).map(|round| {
        let params = json!({ "prompt": format!("one for all, {round}") });
        let ids: Vec<u64> = connections
            .iter_mut()
            .map(|connection| connection.request("service.call", call(&params)))
            .collect();
        let answers = connections.iter_mut().zip(ids).map(|(connection, id)| connection.answer(id).unwrap());
        answers.map(|task| task["attempts"].as_u64().unwrap()).sum::<u64>() as f64
    });
    vec![Row {
        mark: "C4",
        figure: "64 clients ask the same new picture: drawings",
        unit: Unit::Count,
        ours: Samples::new(draws.collect()),
        reference_name: "one",
        reference: Samples::constant(1.0),
        first: "1",
        goal: "1",
    }]
}
