//! T7, T9 and T10: the cost of a command, the time of a start, and what an idle daemon does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use reel_tests::{
    Connection, Sandbox,
    bench::{self, Row, Samples, Unit, each, interleaved},
    pause,
    process::{binary, status_number, voluntary_switches},
};
use serde_json::json;

/// Seconds from exec to an answering socket for a skeleton of this daemon (actix, tokio, SQLite, tracing) that does no work.
const SKELETON_START: f64 = 0.0115;

/// Resident bytes of that skeleton.
const SKELETON_RESIDENT: f64 = 6.8e6;

/// Wake-ups per second of an idle pueued 4.0.4.
const PUEUED_WAKE_UPS: f64 = 16.8;

/// How long the idle daemon is measured. It is long enough for timers of a few seconds to show.
const IDLE: Duration = Duration::from_secs(10);

fn main() {
    bench::main(&[("T7", commands), ("T9", start), ("T10", idle)]);
}

/// Runs a command without pipes and without threads that read them. Both sides would have the same cost for these, which would draw every ratio
/// towards 1.
fn run_bare(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}

fn commands() -> Vec<Row> {
    let sandbox = bench::sandbox();
    sandbox.start();
    let quick = |arguments: &[&str]| run_bare(&mut sandbox.reel_command(arguments));
    let row = |figure, arguments: &[&str]| {
        let (ours, reference) =
            interleaved(10, || each(10, || quick(arguments)), || each(10, || quick(&["--version"])));
        Row {
            mark: "T7",
            figure,
            unit: Unit::Seconds,
            ours,
            reference_name: "reel --version",
            reference,
            first: "≤ 2.5 ×",
            goal: "≤ 1.4 ×",
        }
    };
    vec![
        row("reel status, wall", &["status"]),
        row("reel ls, wall", &["ls"]),
        row("reel submit, wall", &["submit", "debug", "noop"]),
    ]
}

/// Returns the seconds from the spawn until the daemon answers on its socket.
fn start_once(sandbox: &Sandbox) -> f64 {
    let begun = Instant::now();
    sandbox.spawn();
    loop {
        if let Ok(mut connection) = Connection::open(sandbox.socket()) {
            connection.ok("daemon.status", json!({}));
            return begun.elapsed().as_secs_f64();
        }
        assert!(begun.elapsed() < reel_tests::DEADLINE, "the daemon does not start:\n{}", sandbox.log());
        pause(Duration::from_micros(200));
    }
}

fn start() -> Vec<Row> {
    let elsewhere = Sandbox::new();
    let (ours, reference) = interleaved(
        15,
        || {
            let sandbox = bench::sandbox();
            vec![start_once(&sandbox)]
        },
        || {
            each(1, || {
                let mut command = elsewhere.command(binary("reeld"));
                run_bare(command.arg("--version"));
            })
        },
    );
    let row = |reference_name, reference| Row {
        mark: "T9",
        figure: "start until the socket answers, empty home",
        unit: Unit::Seconds,
        ours: ours.clone(),
        reference_name,
        reference,
        first: "≤ 4 ×",
        goal: "≤ 1.5 ×",
    };
    vec![
        row("the skeleton (published)", Samples::constant(SKELETON_START)),
        Row { first: "–", goal: "–", ..row("reeld --version", reference) },
    ]
}

fn idle() -> Vec<Row> {
    let sandbox = bench::sandbox();
    let pid = sandbox.start();
    // The rest of the start does not count as idling.
    pause(Duration::from_secs(2));
    let before = voluntary_switches(pid);
    pause(IDLE);
    let wake_ups = (voluntary_switches(pid) - before) as f64 / IDLE.as_secs_f64();
    let resident = status_number(pid, "VmRSS").unwrap() as f64 * 1024.0;
    vec![
        Row {
            mark: "T10",
            figure: "idle: wake-ups",
            unit: Unit::PerSecond,
            ours: Samples::constant(wake_ups),
            reference_name: "pueued (published)",
            reference: Samples::constant(PUEUED_WAKE_UPS),
            first: "≤ 5 /s",
            goal: "≤ 1 /s",
        },
        Row {
            mark: "T10",
            figure: "idle: resident",
            unit: Unit::Bytes,
            ours: Samples::constant(resident),
            reference_name: "the skeleton (published)",
            reference: Samples::constant(SKELETON_RESIDENT),
            first: "≤ 16 MB",
            goal: "≤ 9 MB",
        },
    ]
}
