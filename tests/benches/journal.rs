//! T1, T2 and T5: the cost of a durable task, compared with plain SQLite writing the same rows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use reel_tests::{
    Connection, Sandbox,
    bench::{self, Row, Samples, Unit, each, interleaved, seconds},
    echo::Echo,
};
use rusqlite::{Connection as Database, params_from_iter, types::Value as Cell};
use serde_json::{Value, json};

/// Number of rows in a transaction of the reference.
const GROUP: usize = 256;

fn main() {
    bench::main(&[("T1", batches), ("T2", one_by_one), ("T5", to_done)]);
}

/// Returns a task whose row has about 700 bytes, like that of a request for a picture.
fn task() -> Value {
    json!({ "kind": "debug.noop", "name": "shot", "metadata": { "note": "x".repeat(420) } })
}

/// Starts a daemon on the real disk. Its queue is paused, so that only submissions are measured.
fn paused() -> (Sandbox, Connection) {
    let sandbox = bench::sandbox();
    sandbox.start();
    let mut connection = sandbox.connect();
    connection.hello("bench");
    connection.ok("queue.pause", json!({}));
    (sandbox, connection)
}

/// A row that the daemon wrote. It can be inserted again with other ids.
struct Template {
    sql: String,
    columns: Vec<String>,
    cells: Vec<Cell>,
}

impl Template {
    fn newest(database: &Database, table: &str) -> Self {
        let mut select = database.prepare(&format!("SELECT * FROM {table} ORDER BY 1 DESC LIMIT 1")).unwrap();
        let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
        let count = columns.len();
        let read = |row: &rusqlite::Row<'_>| (0..count).map(|index| row.get(index)).collect();
        let cells = select.query_row([], read).unwrap();
        let sql = format!("INSERT INTO {table} VALUES ({})", vec!["?"; count].join(", "));
        Self { sql, columns, cells }
    }

    fn insert(&self, database: &Database, number: i64) {
        let renumbered = |(column, cell): (&String, &Cell)| match column.as_str() {
            "id" => Cell::Integer(number),
            _ => cell.clone(),
        };
        let cells = self.columns.iter().zip(&self.cells).map(renumbered);
        database.prepare_cached(&self.sql).unwrap().execute(params_from_iter(cells)).unwrap();
    }
}

/// Plain SQLite with the daemon's schema and pragmas, and the row of one of the daemon's tasks.
struct SqliteReference {
    database: Database,
    row: Template,
    next: i64,
    /// Owns the directory of the database file.
    _sandbox: Sandbox,
}

impl SqliteReference {
    /// Lets a daemon write one task, to copy its row.
    fn new() -> Self {
        let (sandbox, mut connection) = paused();
        connection.submit_as(task());
        sandbox.stop();
        let model = Database::open(sandbox.home().join("reel.db")).unwrap();
        let row = Template::newest(&model, "tasks");
        let path = sandbox.home().join("bare.db");
        drop(reeld::store::open(&path).unwrap());
        let database = Database::open(path).unwrap();
        // These are the pragmas of the daemon's store.
        for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("fullfsync", "true")] {
            database.pragma_update(None, name, value).unwrap();
        }
        for (name, value) in [("cache_size", -4 * 1024), ("wal_autocheckpoint", 4_000)] {
            database.pragma_update(None, name, value).unwrap();
        }
        Self { database, row, next: 1_000_000, _sandbox: sandbox }
    }

    /// Commits one transaction with the rows of `count` tasks.
    fn commit(&mut self, count: usize) {
        self.database.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..count {
            self.next += 1;
            self.row.insert(&self.database, self.next);
        }
        self.database.execute_batch("COMMIT").unwrap();
    }
}

/// Converts seconds for `count` tasks to tasks per second.
fn per_second(samples: Samples, count: usize) -> Samples {
    samples.map(|time| count as f64 / time)
}

fn batches() -> Vec<Row> {
    const TASKS: usize = 1000;
    let (_sandbox, mut connection) = paused();
    let mut bare = SqliteReference::new();
    let line = json!({
        "jsonrpc": "2.0", "id": 1, "method": "task.submit_batch", "params": { "tasks": vec![task(); TASKS] },
    });
    let line = format!("{line}\n");
    let (ours, reference) = interleaved(
        15,
        || {
            each(2, || {
                connection.send_bytes(line.as_bytes());
                let answer = connection.try_read_line().unwrap();
                assert!(answer.contains("\"result\""), "{answer}");
            })
        },
        || {
            each(2, || {
                (0..TASKS / GROUP).for_each(|_| bare.commit(GROUP));
                bare.commit(TASKS % GROUP);
            })
        },
    );
    vec![Row {
        mark: "T1",
        figure: "durable submit in batches of 1,000",
        unit: Unit::PerSecond,
        ours: per_second(ours, TASKS),
        reference_name: "bare SQLite, groups of 256",
        reference: per_second(reference, TASKS),
        first: "≥ 0.5 ×",
        goal: "≥ 0.9 ×",
    }]
}

fn one_by_one() -> Vec<Row> {
    let (_sandbox, mut connection) = paused();
    let mut bare = SqliteReference::new();
    let line =
        format!("{}\n", json!({ "jsonrpc": "2.0", "id": 1, "method": "task.submit", "params": task() }));
    let (ours, reference) = interleaved(
        20,
        || {
            each(100, || {
                connection.send_bytes(line.as_bytes());
                connection.try_read_line().unwrap();
            })
        },
        || each(100, || bare.commit(1)),
    );
    vec![Row {
        mark: "T2",
        figure: "durable submit one by one, p50",
        unit: Unit::Seconds,
        ours,
        reference_name: "one bare FULL commit",
        reference,
        first: "≤ 2.0 ×",
        goal: "≤ 1.3 ×",
    }]
}

fn to_done() -> Vec<Row> {
    let sandbox = bench::sandbox();
    sandbox.start();
    let mut connection = sandbox.connect();
    let mut bare = SqliteReference::new();
    let mut echo = Echo::start();
    let call = json!({ "service": "debug", "method": "noop", "params": {} });
    let line =
        format!("{}\n", json!({ "jsonrpc": "2.0", "id": 1, "method": "service.call", "params": call }));
    let mut ours = || {
        seconds(|| {
            connection.send_bytes(line.as_bytes());
            let answer = connection.try_read_line().unwrap();
            assert!(answer.contains("\"succeeded\""), "{answer}");
        })
    };
    let mut reference = || {
        seconds(|| {
            bare.commit(1);
            bare.commit(1);
            echo.round_trip();
        })
    };
    let (ours, reference) =
        interleaved(20, || (0..100).map(|_| ours()).collect(), || (0..100).map(|_| reference()).collect());
    let row = |figure, ours, reference| Row {
        mark: "T5",
        figure,
        unit: Unit::Seconds,
        ours,
        reference_name: "two bare commits + one round trip",
        reference,
        first: "≤ 3 ×",
        goal: "≤ 1.5 ×",
    };
    let tail = |samples: &Samples| Samples::constant(samples.quantile(0.99));
    let p99 = row("submit→done of a no-op, p99", tail(&ours), tail(&reference));
    vec![row("submit→done of a no-op, p50", ours, reference), p99]
}
