//! The benchmark that the original system published, step by step, next to its figures. Reel's work is durable and, except for the puts, goes through
//! the socket.
//!
//! The references are constants: the published figure, and the median that the original's own benchmark gave on a shared machine with two cores.
//! Where the original ran a CPU loop, reel draws pictures. The original's puts are in memory; reel's are put into a cache in this process and synced.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use reel_tests::{
    Connection, Sandbox,
    bench::{self, Row, Samples, Unit, seconds},
    process::status_number,
};
use serde_json::{Value, json};

use puts::Puts;

mod puts;

/// Number of tasks in the original's steps of creation and of completion.
const TASKS: usize = 20;

/// Number of pictures in the original's cache step.
const PICTURES: usize = 50;

fn main() {
    bench::main(&[("origin", origin)]);
}

/// Returns two rows: reel compared with both figures of the original.
fn rows(figure: &'static str, unit: Unit, ours: &Samples, published: f64, seen: f64) -> Vec<Row> {
    let row = |reference_name, reference| Row {
        mark: "origin",
        figure,
        unit,
        ours: ours.clone(),
        reference_name,
        reference: Samples::constant(reference),
        first: "–",
        goal: "–",
    };
    vec![row("published", published), row("seen on two cores, middle", seen)]
}

fn sleep(ms: u64) -> Value {
    json!({ "kind": "debug.sleep", "params": { "ms": ms } })
}

/// Starts a new daemon that runs all twenty tasks at once, because the original never enforced its limit of ten.
fn started() -> (Sandbox, u32, Connection) {
    let sandbox = bench::sandbox();
    sandbox.configure("[tasks]\nmax_concurrent = 20\n");
    let pid = sandbox.start();
    let connection = sandbox.connect();
    (sandbox, pid, connection)
}

/// Returns the submissions per second. Each of the twenty is answered after its commit.
fn creates_per_second(connection: &mut Connection) -> f64 {
    connection.ok("queue.pause", json!({}));
    let time = seconds(|| (0..TASKS).for_each(|_| drop(connection.ok("task.submit", sleep(0)))));
    connection.ok("queue.resume", json!({}));
    TASKS as f64 / time
}

/// Runs twenty sleeps of 0.1 s. Returns the seconds from the first submission until all have ended, and how many succeeded.
fn completion(connection: &mut Connection) -> (f64, usize) {
    let mut succeeded = 0;
    let time = seconds(|| {
        let ids: Vec<Value> =
            (0..TASKS).map(|_| connection.ok("task.submit", sleep(100))["id"].clone()).collect();
        let waited = connection.ok("task.wait", json!({ "ids": ids }));
        let tasks = waited["tasks"].as_array().unwrap();
        succeeded = tasks.iter().filter(|task| task["state"] == "succeeded").count();
    });
    (TASKS as f64 / time, succeeded)
}

/// Requests `count` new pictures of 256×256 pixels at once. Returns the seconds until all are drawn, and how many succeeded.
fn pictures(connection: &mut Connection, count: usize, prompt: &str) -> (f64, usize) {
    let mut succeeded = 0;
    let time = seconds(|| {
        let ask = |number: usize| {
            let params = json!({ "prompt": format!("{prompt} {number}"), "width": 256, "height": 256 });
            json!({ "service": "image", "method": "generate", "params": params })
        };
        let ids: Vec<u64> =
            (0..count).map(|number| connection.request("service.call", ask(number))).collect();
        for id in ids {
            succeeded += usize::from(connection.answer(id).unwrap()["state"] == "succeeded");
        }
    });
    (time, succeeded)
}

/// Returns the requests per second for a cached picture. Each request returns the picture's path.
fn gets_per_second(connection: &mut Connection) -> f64 {
    let params = json!({ "prompt": "the same again", "width": 256, "height": 256 });
    connection.generate(params.clone());
    let time = seconds(|| (0..PICTURES).for_each(|_| drop(connection.generate(params.clone()))));
    PICTURES as f64 / time
}

/// Returns the puts per second of pictures of 15 to 750 KB. As in the original, the time includes making the bytes.
fn puts_per_second(puts: &mut Puts) -> f64 {
    let time = seconds(|| {
        for number in 1..=PICTURES {
            puts.put(number * 15_000);
        }
    });
    PICTURES as f64 / time
}

/// The measurements, one value per round.
#[derive(Default)]
struct Measured {
    creates: Vec<f64>,
    completed: Vec<f64>,
    puts: Vec<f64>,
    gets: Vec<f64>,
    drawn: [Vec<f64>; 4],
    trims: Vec<f64>,
    resident: Vec<f64>,
    asked: usize,
    succeeded: usize,
}

fn origin() -> Vec<Row> {
    const ROUNDS: usize = 5;
    let (_sandbox, pid, mut connection) = started();
    let mut puts = Puts::new();
    let mut measured = Measured::default();
    let resident = || status_number(pid, "VmRSS").unwrap() as f64 * 1024.0;
    let before = resident();
    for round in 0..ROUNDS {
        measured.creates.push(creates_per_second(&mut connection));
        let (rate, succeeded) = completion(&mut connection);
        measured.completed.push(rate);
        measured.asked += TASKS;
        measured.succeeded += succeeded;
        measured.puts.push(puts_per_second(&mut puts));
        measured.gets.push(gets_per_second(&mut connection));
        for (place, count) in [1, 2, 5, 10].into_iter().enumerate() {
            let prompt = format!("a boat, round {round} of {count}, number");
            let (time, succeeded) = pictures(&mut connection, count, &prompt);
            measured.drawn[place].push(time);
            measured.asked += count;
            measured.succeeded += succeeded;
        }
        measured.resident.push(resident());
        measured.trims.push(seconds(|| drop(connection.ok("memory.trim", json!({})))));
    }
    table(measured, before)
}

fn table(measured: Measured, before: f64) -> Vec<Row> {
    let mean = measured.resident.iter().sum::<f64>() / measured.resident.len() as f64;
    let peak = measured.resident.iter().copied().fold(before, f64::max);
    let rate = measured.succeeded as f64 / measured.asked as f64;
    let (count, bytes) = (Unit::PerSecond, Unit::Bytes);
    let mut all =
        rows("20 creates (ours durable)", count, &Samples::new(measured.creates), 9_998.7, 16_400.0);
    all.extend(rows(
        "20 × 0.1 s done (ours: limit 20)",
        count,
        &Samples::new(measured.completed),
        165.7,
        191.0,
    ));
    all.extend(rows(
        "cache puts of 15–750 KB (ours synced)",
        count,
        &Samples::new(measured.puts),
        7_895.1,
        9_400.0,
    ));
    // The original's gets are look-ups in its own process, and were not published.
    all.extend(rows(
        "cache gets (ours over the socket)",
        count,
        &Samples::new(measured.gets),
        f64::NAN,
        1.4e6,
    ));
    let figures = ["1 at once (ours draws, theirs loops)", "2 at once", "5 at once", "10 at once"];
    let theirs = [(0.018, 0.026), (0.035, 0.047), (0.089, 0.13), (0.171, 0.25)];
    for ((figure, (published, seen)), times) in figures.into_iter().zip(theirs).zip(measured.drawn) {
        all.extend(rows(figure, Unit::Seconds, &Samples::new(times), published, seen));
    }
    let constant = Samples::constant;
    all.extend(rows(
        "clean-up (ours gives memory back)",
        Unit::Seconds,
        &Samples::new(measured.trims),
        0.022,
        0.029,
    ));
    all.extend(rows("memory, mean", bytes, &constant(mean), 19.2e6, f64::NAN));
    all.extend(rows("memory, peak", bytes, &constant(peak), 19.6e6, f64::NAN));
    all.extend(rows("memory, growth", bytes, &constant(peak - before), 10.6e6, 16.5e6));
    all.extend(rows("success rate", Unit::Count, &constant(rate), 1.0, 1.0));
    // A figure that was not published, or not recorded, gets no row.
    all.retain(|row| !row.reference.median().is_nan());
    all
}
