//! A start with one damaged page in the journal, for each table and index.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, os::unix::fs::FileExt as _, path::Path};

use reel_tests::Sandbox;
use rusqlite::Connection as Database;
use serde_json::json;

/// Returns one page that is not the root for each table and index that has such pages: its number, its size in bytes, and the name of the table or
/// index.
fn inner_pages(path: &Path) -> Vec<(u64, u64, String)> {
    let journal = Database::open(path).unwrap();
    let sql =
        "SELECT min(pageno), max(pgsize), name FROM dbstat WHERE path != '/' GROUP BY name ORDER BY name";
    let mut pages = journal.prepare(sql).unwrap();
    let pages = pages.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    pages.map(Result::unwrap).collect()
}

#[test]
fn a_damaged_page_of_any_table_keeps_no_daemon_from_starting() {
    let sandbox = Sandbox::started();
    let database = sandbox.home().join("reel.db");
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "debug.noop", "metadata": { "text": "m".repeat(400) } });
    let (batch, _) = connection.submit_batch(vec![spec.clone(); 200]);
    connection.ok("task.wait", json!({ "batch": batch }));
    // These are rows that a start has to read.
    connection.ok("queue.pause", json!({}));
    connection.submit_batch(vec![spec; 200]);
    assert_eq!(sandbox.stop(), Some(0));
    let pages = inner_pages(&database);
    assert!(pages.iter().any(|(_, _, name)| name == "tasks"), "{pages:?}");
    let whole = fs::read(&database).unwrap();
    let mut set_aside = Vec::new();
    for (page, size, name) in pages {
        for file in fs::read_dir(sandbox.home()).unwrap().map(Result::unwrap) {
            if file.file_name().to_str().unwrap().starts_with("reel.") {
                fs::remove_file(file.path()).unwrap();
            }
        }
        fs::write(&database, &whole).unwrap();
        let file = fs::File::options().write(true).open(&database).unwrap();
        file.write_all_at(&[0xaa; 512], (page - 1) * size).unwrap();
        sandbox.start();
        let mut connection = sandbox.connect();
        let notices = connection.ok("daemon.status", json!({}))["notices"].clone();
        if notices.to_string().contains("journal_set_aside") {
            let id = connection.submit("debug.noop", json!({}));
            connection.ok("queue.resume", json!({}));
            assert_eq!(connection.wait(id)["state"], "succeeded", "{name}");
            set_aside.push(name);
        }
        sandbox.kill();
    }
    assert!(set_aside.contains(&"tasks".to_owned()), "{set_aside:?}");
}
