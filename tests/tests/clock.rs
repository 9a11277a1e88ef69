//! A clock that was set back between two starts. Waits and deadlines last no longer than intended.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::time::{Duration, Instant};

use reel_protocol::Timestamp;
use reel_tests::{
    FakeProvider, eventually,
    fake_provider::Fault,
    studio::{studio, submit},
};
use rusqlite::Connection as Database;
use serde_json::json;

const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;

#[test]
fn a_clock_set_back_by_a_year_makes_no_wait_and_no_deadline_longer() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.script([Fault::rate_limited(5), Fault::Good]);
    let mut connection = sandbox.connect();
    let waits = submit(&mut connection, "patience");
    eventually("the task waits", || connection.task(waits)["not_before"].is_string().then_some(()));
    let ends = connection.submit_as(
        json!({ "kind": "debug.sleep", "params": { "ms": 600_000 }, "deadline_s": 4.0, "max_attempts": 1 }),
    );
    eventually("it runs", || (connection.task(ends)["state"] == "running").then_some(()));
    sandbox.kill();
    // Shift all times by a year, as if the daemon's clock had been a year ahead when it wrote them.
    let database = Database::open(sandbox.home().join("reel.db")).unwrap();
    database
        .execute_batch(&format!(
            "UPDATE tasks SET created_ms = created_ms + {YEAR_MS}, started_ms = started_ms + {YEAR_MS}, \
             not_before_ms = not_before_ms + {YEAR_MS}, deadline_ms = deadline_ms + {YEAR_MS}; \
             UPDATE attempts SET started_ms = started_ms + {YEAR_MS}, ended_ms = ended_ms + {YEAR_MS};"
        ))
        .unwrap();
    drop(database);
    sandbox.start();
    let begun = Instant::now();
    let mut connection = sandbox.connect();
    let task = connection.task(waits);
    if let Some(text) = task["not_before"].as_str() {
        let shown: Timestamp = serde_json::from_value(json!(text)).unwrap();
        assert!(shown.since(Timestamp::now()) < Duration::from_secs(10), "{task}");
    }
    assert_eq!(connection.wait(waits)["state"], "succeeded");
    assert_eq!(connection.wait(ends)["error"]["code"], "deadline_exceeded");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}
