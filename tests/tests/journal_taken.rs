//! A journal whose files other programs delete, move, replace, truncate or checkpoint while the daemon runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use reel_tests::{Connection, DEADLINE, Sandbox, eventually, process::wait_gone};
use rusqlite::Connection as Database;
use serde_json::{Value, json};

/// A change to the database of a running daemon.
type Change = fn(&Path);

fn database(sandbox: &Sandbox) -> PathBuf {
    sandbox.home().join("reel.db")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn codes(connection: &mut Connection) -> Vec<String> {
    let notices = connection.ok("daemon.status", json!({}))["notices"].clone();
    let codes = notices.as_array().unwrap().iter().map(|notice| notice["code"].as_str().unwrap().to_owned());
    codes.collect()
}

#[test]
fn a_removed_journal_ends_the_daemon_before_it_acknowledges_anything() {
    let table: [(&str, Change); 8] = [
        ("the home deleted", |path| fs::remove_dir_all(path.parent().unwrap()).unwrap()),
        ("the home moved", |path| {
            fs::rename(path.parent().unwrap(), path.parent().unwrap().with_extension("away")).unwrap();
        }),
        ("the database deleted", |path| fs::remove_file(path).unwrap()),
        ("the database moved", |path| fs::rename(path, beside(path, ".away")).unwrap()),
        ("the database replaced", |path| {
            fs::copy(path, beside(path, ".copy")).unwrap();
            fs::rename(beside(path, ".copy"), path).unwrap();
        }),
        ("the database cut", |path| fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap()),
        ("the log deleted", |path| fs::remove_file(beside(path, "-wal")).unwrap()),
        ("the log cut", |path| {
            fs::File::options().write(true).open(beside(path, "-wal")).unwrap().set_len(0).unwrap();
        }),
    ];
    for (how, change) in table {
        let sandbox = Sandbox::started();
        let pid = sandbox.daemon_pid().unwrap();
        let mut connection = sandbox.connect();
        let first = connection.submit("debug.noop", json!({}));
        connection.wait(first);
        change(&database(&sandbox));
        // The daemon notices the change before it acknowledges anything, not some time later. It may also have ended already.
        connection
            .send_line(r#"{"jsonrpc":"2.0","id":99,"method":"task.submit","params":{"kind":"debug.noop"}}"#);
        while let Some(line) = connection.try_read_line() {
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == 99 {
                let error = &answer["error"]["data"];
                let code = error["code"].as_str().unwrap_or_else(|| panic!("{how}: {answer}"));
                assert!(["storage_failed", "shutting_down"].contains(&code), "{how}: {answer}");
                assert!(error["hint"].is_string(), "{how}: {answer}");
                break;
            }
        }
        assert!(wait_gone(pid, DEADLINE), "{how}");
        assert!(
            sandbox.log().contains("the journal was lost while the daemon ran"),
            "{how}: {}",
            sandbox.log()
        );
        sandbox.start();
        let mut connection = sandbox.connect();
        let id = connection.submit("debug.noop", json!({}));
        connection.wait(id);
        assert!(
            sandbox.home().join("reel.ids").exists() && (!how.contains("database") || id > first),
            "{how}"
        );
    }
}

#[test]
fn a_removed_journal_is_noticed_by_an_idle_daemon() {
    let sandbox = Sandbox::started();
    let pid = sandbox.daemon_pid().unwrap();
    // The daemon may make its lock file anew while the directory is removed, which then is not empty.
    eventually("the home is removed", || fs::remove_dir_all(sandbox.home()).ok());
    assert!(wait_gone(pid, DEADLINE));
    assert!(sandbox.log().contains("deleted or moved"), "{}", sandbox.log());
}

#[test]
fn a_checkpoint_by_another_program_loses_nothing() {
    let sandbox = Sandbox::started();
    let pid = sandbox.daemon_pid();
    let mut connection = sandbox.connect();
    let other = Database::open(database(&sandbox)).unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.extend([(); 5].map(|()| connection.submit("debug.noop", json!({}))));
        for id in &ids {
            connection.wait(*id);
        }
        let is_blocked: bool =
            other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        assert!(!is_blocked);
    }
    ids.push(connection.submit("debug.noop", json!({})));
    connection.wait(ids[ids.len() - 1]);
    assert_eq!(sandbox.daemon_pid(), pid, "{}", sandbox.log());
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    assert!(codes(&mut connection).is_empty());
    assert!(ids.iter().all(|id| connection.task(*id)["state"] == "succeeded"));
}

#[test]
fn a_truncated_wal_is_not_checkpointed_into_the_database() {
    let cuts: [fn(u64) -> u64; 2] = [|bytes| bytes / 2, |_| 0];
    for cut in cuts {
        let sandbox = Sandbox::started();
        let pid = sandbox.daemon_pid().unwrap();
        let mut connection = sandbox.connect();
        let ids = [(); 50].map(|()| connection.submit("debug.noop", json!({})));
        for id in &ids {
            connection.wait(*id);
        }
        let before = fs::read(database(&sandbox)).unwrap();
        let log = fs::File::options().write(true).open(beside(&database(&sandbox), "-wal")).unwrap();
        log.set_len(cut(log.metadata().unwrap().len())).unwrap();
        assert!(wait_gone(pid, DEADLINE));
        assert!(sandbox.log().contains("was cut"), "{}", sandbox.log());
        assert!(fs::read(database(&sandbox)).unwrap() == before, "the database was written");
        sandbox.start();
        assert!(sandbox.connect().submit("debug.noop", json!({})) > 50);
        assert_eq!(sandbox.stop(), Some(0));
        let journal = Database::open(database(&sandbox)).unwrap();
        let sound: String = journal.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
}
