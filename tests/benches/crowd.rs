//! T3, T8 and T11: many clients that submit at once, many subscribers of one event, and many tasks in the history and in the queue.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::mpsc::{self, SyncSender},
    thread,
};

use reel_tests::{
    Connection, Sandbox,
    bench::{self, Row, Samples, Unit, interleaved, seconds},
    eventually,
    process::status_number,
};
use rusqlite::Connection as Database;
use serde_json::{Value, json};

/// T3: number of clients.
const CLIENTS: usize = 64;

/// T3: number of submissions of one client in one round.
const SUBMITS: usize = 20;

/// T8: number of subscribers. Each has its own connection, like a thousand programs. The daemon serves 1,024.
const SUBSCRIBERS: usize = 1_000;

/// T11: number of tasks in the history, and number of queued tasks.
const HISTORY: u64 = 100_000;
const QUEUED: u64 = 10_000;

/// The most tasks that one `task.submit_batch` accepts.
const BATCH: u64 = 10_000;

fn main() {
    bench::main(&[("T3", submitters), ("T8", subscribers), ("T11", resident)]);
}

/// Returns a task whose row has about 700 bytes, like that of a request for a picture.
fn task() -> Value {
    json!({ "kind": "debug.noop", "name": "shot", "metadata": { "note": "x".repeat(420) } })
}

/// Starts a daemon on the real disk whose queue is paused.
fn paused() -> (Sandbox, Connection) {
    let sandbox = bench::sandbox();
    sandbox.start();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    (sandbox, connection)
}

/// Returns the submissions per second when all clients run `submit` [`SUBMITS`] times, all at the same time.
fn submits_per_second<C: Send>(clients: &mut [C], submit: impl Fn(&mut C) + Sync) -> f64 {
    let time = seconds(|| {
        thread::scope(|scope| {
            for client in &mut *clients {
                scope.spawn(|| (0..SUBMITS).for_each(|_| submit(client)));
            }
        });
    });
    (clients.len() * SUBMITS) as f64 / time
}

/// Starts a thread that inserts the rows that up to 64 other threads request. It commits all waiting requests in one transaction, and then answers
/// each.
fn bare_writer(database: Database) -> SyncSender<SyncSender<()>> {
    let (asks, asked) = mpsc::sync_channel::<SyncSender<()>>(CLIENTS);
    thread::spawn(move || {
        let insert = "INSERT INTO tasks (rev, kind, name, state, priority, client, after, params, metadata, cache_mode, attempts_left, created_ms) \
                      VALUES (1, 'debug.noop', 'shot', 'queued', 0, 'bench', '[]', '{}', ?, 0, 4, 1)";
        let note = json!({ "note": "x".repeat(420) }).to_string();
        while let Ok(first) = asked.recv() {
            let mut group = vec![first];
            database.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut written = 0;
            while written < group.len() {
                database.prepare_cached(insert).unwrap().execute([&note]).unwrap();
                written += 1;
                group.extend(asked.try_recv());
            }
            database.execute_batch("COMMIT").unwrap();
            for told in group {
                let _ = told.send(());
            }
        }
    });
    asks
}

fn submitters() -> Vec<Row> {
    let (sandbox, _paused) = paused();
    let line = json!({ "jsonrpc": "2.0", "id": 1, "method": "task.submit", "params": task() });
    let line = format!("{line}\n");
    let mut connections: Vec<Connection> = (0..CLIENTS).map(|_| sandbox.connect()).collect();
    let elsewhere = bench::sandbox();
    std::fs::create_dir_all(elsewhere.home()).unwrap();
    let path = elsewhere.home().join("bare.db");
    drop(reeld::store::open(&path).unwrap());
    let database = Database::open(path).unwrap();
    // These are the pragmas of the daemon's store.
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("fullfsync", "true")] {
        database.pragma_update(None, name, value).unwrap();
    }
    for (name, value) in [("cache_size", -4 * 1024), ("wal_autocheckpoint", 4_000)] {
        database.pragma_update(None, name, value).unwrap();
    }
    let asks = bare_writer(database);
    let mut bare: Vec<_> = (0..CLIENTS).map(|_| (asks.clone(), mpsc::sync_channel::<()>(1))).collect();
    let (ours, reference) = interleaved(
        15,
        || {
            vec![submits_per_second(&mut connections, |connection| {
                connection.send_bytes(line.as_bytes());
                let answer = connection.try_read_line().unwrap();
                assert!(answer.contains("\"result\""), "{answer}");
            })]
        },
        || {
            vec![submits_per_second(&mut bare, |(asks, (tell, told))| {
                asks.send(tell.clone()).unwrap();
                told.recv().unwrap();
            })]
        },
    );
    vec![Row {
        mark: "T3",
        figure: "durable submit, 64 clients",
        unit: Unit::PerSecond,
        ours,
        reference_name: "a bare writer thread, 64 submitters",
        reference,
        first: "≥ 0.5 ×",
        goal: "≥ 0.9 ×",
    }]
}

fn subscribers() -> Vec<Row> {
    // Each connection takes a descriptor in this process and one in the daemon. Each bare socket pair takes two in this process.
    reeld::ipc::umask::raise_file_limit();
    let (sandbox, mut connection) = paused();
    let mut listeners: Vec<Connection> = (0..SUBSCRIBERS).map(|_| sandbox.connect()).collect();
    for listener in &mut listeners {
        listener.ok("events.subscribe", json!({ "topics": ["task"] }));
    }
    let mut pairs: Vec<_> = (0..SUBSCRIBERS).map(|_| UnixStream::pair().unwrap()).collect();
    let line = [b'x'; 300];
    let (ours, reference) = interleaved(
        15,
        || {
            vec![seconds(|| {
                connection.request("task.submit", json!({ "kind": "debug.noop" }));
                for listener in &mut listeners {
                    let event = listener.try_read_line().unwrap();
                    assert!(event.contains("\"accepted\""), "{event}");
                }
            })]
        },
        || {
            vec![seconds(|| {
                for (near, _) in &mut pairs {
                    near.write_all(&line).unwrap();
                }
                let mut read = [0; 300];
                for (_, far) in &mut pairs {
                    far.read_exact(&mut read).unwrap();
                }
            })]
        },
    );
    vec![Row {
        mark: "T8",
        figure: "one submit's event to 1,000 connections, until the last has it",
        unit: Unit::Seconds,
        ours,
        reference_name: "1,000 bare socket writes and reads",
        reference,
        first: "≤ 10 ×",
        goal: "≤ 2 ×",
    }]
}

fn submit_batch(connection: &mut Connection) {
    let tasks = vec![json!({ "kind": "debug.noop" }); BATCH as usize];
    connection.ok("task.submit_batch", json!({ "tasks": tasks }));
}

fn resident() -> Vec<Row> {
    let sandbox = bench::sandbox();
    let pid = sandbox.start();
    let mut connection = sandbox.connect();
    connection.ok("daemon.status", json!({}));
    let bytes = || status_number(pid, "VmRSS").unwrap() as f64 * 1024.0;
    let idle = bytes();
    for round in 1..=HISTORY / BATCH {
        submit_batch(&mut connection);
        eventually("the tasks end", || {
            let status = connection.ok("daemon.status", json!({}));
            (status["tasks"]["succeeded"] == round * BATCH).then_some(())
        });
    }
    connection.ok("queue.pause", json!({}));
    (0..QUEUED / BATCH).for_each(|_| submit_batch(&mut connection));
    vec![Row {
        mark: "T11",
        figure: "resident, 100,000 in the history and 10,000 queued",
        unit: Unit::Bytes,
        ours: Samples::constant(bytes()),
        reference_name: "idle, before",
        reference: Samples::constant(idle),
        first: "+ 60 MB",
        goal: "+ 15 MB",
    }]
}
