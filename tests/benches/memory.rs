//! M1 to M4: what a trim gives back, what a stream of large pictures takes, what remains after much work, and whom a trim delays.
//!
//! The pictures are the largest files that `draft` makes at their size. For a provider that streams bodies, only [`picture`] needs other params.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use std::time::Duration;

use reel_tests::{
    Connection, Sandbox,
    bench::{self, Row, Samples, Unit, seconds},
    pause,
    process::status_number,
};
use reeld::memory::os;
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// The wait before memory is measured. After its last task, the daemon writes the times of use within 30 s, and returns free memory when nothing has
/// changed for ten.
const REST: Duration = Duration::from_secs(45);

fn main() {
    bench::main(&[("M1", trimmed), ("M2", streamed), ("M3", worked), ("M4", paused)]);
}

fn daemon(config: &str) -> (Sandbox, Connection, u32) {
    let sandbox = bench::sandbox();
    sandbox.configure(config);
    let pid = sandbox.start();
    let mut connection = sandbox.connect();
    connection.hello("bench");
    (sandbox, connection, pid)
}

/// Returns a number from the process's status, in bytes.
fn bytes(pid: u32, key: &str) -> f64 {
    status_number(pid, key).unwrap() as f64 * 1024.0
}

/// Returns a task for a watercolour, the style that compresses worst: 1.1 bytes per pixel.
fn picture(number: usize, side: u32) -> Value {
    let params =
        json!({ "prompt": format!("waves, {number}"), "style": "watercolor", "width": side, "height": side });
    json!({ "kind": "image.generate", "params": params })
}

/// Submits a batch and waits until all its tasks are settled.
fn run(connection: &mut Connection, tasks: Vec<Value>) {
    let (batch, _) = connection.submit_batch(tasks);
    let ended = connection.ok("task.wait", json!({ "batch": batch }));
    assert_eq!(ended["timed_out"], false);
}

fn row(
    mark: &'static str,
    figure: &'static str,
    unit: Unit,
    ours: Samples,
    reference: (&'static str, Samples),
) -> Row {
    let (first, goal) = match mark {
        "M1" if unit == Unit::Bytes => ("40 MB", "15 MB"),
        "M1" => ("≤ 5 ×", "≤ 2 ×"),
        "M2" => ("+ 100 MB", "+ 30 MB"),
        "M3" => ("20 MB", "5 MB"),
        _ => ("≤ 5 ×", "≤ 1.5 ×"),
    };
    Row { mark, figure, unit, ours, reference_name: reference.0, reference: reference.1, first, goal }
}

/// The reference: returns the seconds that it takes to free as much memory without a daemon.
fn freed_bare() -> f64 {
    os::tune_allocator();
    let blocks: Vec<Vec<u8>> = (0..500).map(|_| vec![1; MIB]).collect();
    seconds(|| {
        drop(blocks);
        os::return_free_heap();
    })
}

fn trimmed() -> Vec<Row> {
    let (_sandbox, mut connection, pid) =
        daemon("[cache]\nmemory_mb = 500\n[memory]\nlimit_mb = 4096\nsystem_min_available_mb = 0\n");
    let start = bytes(pid, "VmRSS");
    // These are nearly twice as many pictures as the cache holds, so each entry has replaced an earlier one.
    run(&mut connection, (0..900).map(|number| picture(number, 1024)).collect());
    let held = connection.ok("cache.stats", json!({}))["memory_bytes"].as_f64().unwrap();
    assert!(held > 400e6, "the cache holds {held} bytes");
    let time = seconds(|| drop(connection.ok("memory.trim", json!({}))));
    let above = (bytes(pid, "VmRSS") - start).max(0.0);
    let reference = Samples::new((0..5).map(|_| freed_bare()).collect());
    vec![
        row(
            "M1",
            "500 MB cached, trimmed: RSS above start",
            Unit::Bytes,
            Samples::constant(above),
            ("the mark", Samples::constant(40e6)),
        ),
        row(
            "M1",
            "500 MB cached: time of the trim",
            Unit::Seconds,
            Samples::constant(time),
            ("freeing the same bare", reference),
        ),
    ]
}

fn streamed() -> Vec<Row> {
    let (_sandbox, mut connection, pid) = daemon("[cache]\nmemory_mb = 100\n");
    let idle = bytes(pid, "VmRSS");
    run(&mut connection, (0..100).map(|number| picture(number, 2048)).collect());
    let peak = Samples::constant(bytes(pid, "VmHWM"));
    let reference = Samples::constant(idle + (100 * MIB) as f64);
    vec![row(
        "M2",
        "peak RSS, 100 pictures of 2048×2048 drawn",
        Unit::Bytes,
        peak,
        ("cache of 100 MB + idle", reference),
    )]
}

fn worked() -> Vec<Row> {
    let (_sandbox, mut connection, pid) = daemon("[cache]\nmemory_mb = 0\n");
    let start = bytes(pid, "VmRSS");
    for _ in 0..100 {
        run(&mut connection, vec![json!({ "kind": "debug.noop" }); 1000]);
    }
    for group in 0..10 {
        run(&mut connection, (0..1000).map(|number| picture(group * 1000 + number, 64)).collect());
    }
    let grown = |figure| {
        let ours = Samples::constant((bytes(pid, "VmRSS") - start).max(0.0));
        row("M3", figure, Unit::Bytes, ours, ("the mark", Samples::constant(20e6)))
    };
    let at_once = grown("RSS growth, 100,000 no-ops and 10,000 pictures, at once");
    pause(REST);
    vec![at_once, grown("the same, when the daemon has come to rest by itself")]
}

fn paused() -> Vec<Row> {
    let (sandbox, mut connection, _) = daemon("");
    let mut other = sandbox.connect();
    let mut ask = |count: usize| bench::each(count, || drop(other.ok("provider.list", json!({}))));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..10 {
        run(&mut connection, (0..40).map(|number| picture(round * 40 + number, 1024)).collect());
        without.extend(ask(200));
        let trim = connection.request("memory.trim", json!({}));
        with.extend(ask(200));
        connection.answer(trim).unwrap();
    }
    let tail = |samples: Vec<f64>| Samples::constant(Samples::new(samples).quantile(0.99));
    vec![row(
        "M4",
        "another request while 40 MB are trimmed, p99",
        Unit::Seconds,
        tail(with),
        ("without a trim, p99", tail(without)),
    )]
}
