//! A journal that is damaged, missing or replaced at a start, and files of the home that are deleted while the daemon runs.

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
    time::{Duration, SystemTime},
};

use reel_tests::{Connection, Sandbox, eventually, every, pause, process};
use rusqlite::Connection as Database;
use serde_json::{Value, json};

/// A change to the database of a stopped daemon.
type Change = fn(&Path);

fn picture(prompt: &str) -> Value {
    json!({ "prompt": prompt, "width": 64, "height": 64 })
}

fn path_of(task: &Value) -> PathBuf {
    task["outputs"][0]["path"].as_str().expect("an output has a path").into()
}

fn database(sandbox: &Sandbox) -> PathBuf {
    sandbox.home().join("reel.db")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Returns a sandbox whose daemon has stopped normally, the file of a picture that is an hour old, and the newest id that was assigned.
fn with_a_past() -> (Sandbox, PathBuf, u64) {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let file = path_of(&connection.generate(picture("precious")));
    let newest = connection.submit("debug.noop", json!({}));
    connection.wait(newest);
    assert_eq!(sandbox.stop(), Some(0));
    age(&file);
    (sandbox, file, newest)
}

fn age(file: &Path) {
    let an_hour_ago = SystemTime::now() - Duration::from_hours(1);
    fs::File::options().write(true).open(file).unwrap().set_modified(an_hour_ago).unwrap();
}

fn codes(connection: &mut Connection) -> Vec<String> {
    let notices = connection.ok("daemon.status", json!({}))["notices"].clone();
    let codes = notices.as_array().unwrap().iter().map(|notice| notice["code"].as_str().unwrap().to_owned());
    codes.collect()
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// Replaces the journal by that of another home.
fn another_journal(path: &Path) {
    let other = Sandbox::started();
    other.connect().submit("debug.noop", json!({}));
    assert_eq!(other.stop(), Some(0));
    fs::copy(database(&other), path).unwrap();
}

fn drop_table(path: &Path) {
    Database::open(path).unwrap().execute_batch("DROP TABLE attempts").unwrap();
}

fn spoil_a_row(path: &Path) {
    Database::open(path).unwrap().execute("UPDATE tasks SET state = 'weird'", []).unwrap();
}

#[test]
fn a_lost_journal_loses_no_picture_and_reuses_no_id() {
    let table: [(&str, Change, &str); 7] = [
        ("header overwritten", |path| overwrite(path, 0, &[0; 100]), "journal_set_aside"),
        ("emptied", |path| fs::write(path, b"").unwrap(), "journal_missing"),
        ("deleted", |path| fs::remove_file(path).unwrap(), "journal_missing"),
        ("a text", |path| fs::write(path, "no database\n".repeat(1000)).unwrap(), "journal_set_aside"),
        ("that of another home", another_journal, "journal_missing"),
        ("a table dropped", drop_table, "journal_set_aside"),
        ("a row that cannot be read", spoil_a_row, "journal_set_aside"),
    ];
    every(table.map(|(how, change, code)| (how, (change, code))), |how, (change, code)| {
        let (sandbox, file, newest) = with_a_past();
        change(&database(&sandbox));
        sandbox.start();
        let mut connection = sandbox.connect();
        assert!(connection.submit("debug.noop", json!({})) > newest, "{how}");
        let verified = connection.ok("cache.verify", json!({}));
        assert_eq!((&verified["strays"], file.exists()), (&json!(0), true), "{how}: {verified}");

        assert_eq!(codes(&mut connection), [code], "{how}\n{}", sandbox.log());
        assert!(sandbox.log().contains("ERROR"), "{how}");
        let shown = sandbox.reel(&["status"]);
        let home = sandbox.home().to_str().unwrap();
        assert!(
            shown.stdout.contains("WARNING") && shown.stdout.contains(&format!("{home}/reel.db")),
            "{how}"
        );
        assert_eq!(sandbox.stop(), Some(0), "{how}");
    });
}

#[test]
fn files_that_were_set_aside_are_reported_until_they_are_removed() {
    let (sandbox, _, _) = with_a_past();
    overwrite(&database(&sandbox), 0, &[0; 100]);
    for _ in 0..2 {
        sandbox.start();
        assert_eq!(codes(&mut sandbox.connect()), ["journal_set_aside"]);
        sandbox.stop();
    }
    for entry in fs::read_dir(sandbox.home()).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().contains(".damaged-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    sandbox.start();
    assert!(codes(&mut sandbox.connect()).is_empty());
}

#[test]
fn the_wal_of_a_deleted_database_is_kept() {
    let sandbox = Sandbox::started();
    let id = sandbox.connect().submit("debug.sleep", json!({ "ms": 600_000 }));
    sandbox.kill();
    fs::remove_file(database(&sandbox)).unwrap();
    sandbox.start();
    let mut connection = sandbox.connect();
    assert_eq!(codes(&mut connection), ["journal_set_aside"]);
    assert!(connection.submit("debug.noop", json!({})) > id);
    let kept = fs::read_dir(sandbox.home()).unwrap().map(|entry| entry.unwrap());
    let kept: Vec<_> =
        kept.filter(|entry| entry.file_name().to_str().unwrap().contains(".damaged-")).collect();
    assert!(kept.iter().any(|entry| entry.path().to_str().unwrap().ends_with("-wal")), "{kept:?}");
}

#[test]
fn a_new_home_begins_with_the_first_id_and_without_a_warning() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    assert!(codes(&mut connection).is_empty());
    assert_eq!(connection.submit("debug.noop", json!({})), 1);
    sandbox.kill();
    sandbox.start();
    assert!(codes(&mut sandbox.connect()).is_empty());
}

#[test]
fn pictures_made_after_a_backup_survive_its_restoration() {
    let (sandbox, _, _) = with_a_past();
    let backup = sandbox.root().join("backup.db");
    fs::copy(database(&sandbox), &backup).unwrap();
    sandbox.start();
    let mut connection = sandbox.connect();
    let file = path_of(&connection.generate(picture("made later")));
    let newest = connection.submit("debug.noop", json!({}));
    sandbox.stop();
    age(&file);
    fs::copy(&backup, database(&sandbox)).unwrap();
    sandbox.start();
    let mut connection = sandbox.connect();
    assert_eq!(codes(&mut connection), ["journal_missing"]);
    assert!(connection.submit("debug.noop", json!({})) > newest);
    assert_eq!(connection.ok("cache.verify", json!({}))["strays"], 0);
    assert!(file.exists());
}

#[test]
fn a_database_of_another_program_is_refused_with_its_path_and_a_next_step() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.home()).unwrap();
    for version in [0, 4] {
        let _ = fs::remove_file(database(&sandbox));
        let foreign = Database::open(database(&sandbox)).unwrap();
        foreign
            .execute_batch(&format!("CREATE TABLE songs (title); PRAGMA user_version = {version}"))
            .unwrap();
        drop(foreign);
        let before = fs::read(database(&sandbox)).unwrap();
        let ended = sandbox.reeld_fails();
        ended.expect_code(74);
        for word in [database(&sandbox).to_str().unwrap(), "another program", "REEL_HOME"] {
            assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        }
        assert!(fs::read(database(&sandbox)).unwrap() == before, "it is not ours to change");
        let shown = sandbox.reel(&["daemon", "start"]);
        shown.expect_code(69);
        assert!(shown.stderr.contains("another program"), "{}", shown.stderr);
    }
}

#[test]
fn a_stop_checkpoints_the_wal() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    // These are megabytes, so that the checkpoint takes longer than the rest of the stop.
    let spec = json!({ "kind": "debug.noop", "metadata": { "text": "m".repeat(4_000) } });
    let (batch, ids) = connection.submit_batch(vec![spec; 2_000]);
    let id = ids[0];
    connection.ok("task.wait", json!({ "batch": batch }));
    assert_eq!(sandbox.stop(), Some(0));
    let log = fs::metadata(beside(&database(&sandbox), "-wal")).map_or(0, |metadata| metadata.len());
    assert_eq!(log, 0);
    let journal = Database::open(database(&sandbox)).unwrap();
    let state: String =
        journal.query_row("SELECT state FROM tasks WHERE id = ?", [id], |row| row.get(0)).unwrap();
    assert_eq!(state, "succeeded");
}

#[test]
fn a_deleted_lock_file_lets_no_second_daemon_start_and_is_created_again() {
    let sandbox = Sandbox::started();
    let pid = sandbox.daemon_pid().unwrap();
    fs::remove_file(sandbox.home().join("reeld.lock")).unwrap();
    sandbox.reeld_fails().expect_code(75);
    eventually("the lock file is back", || (sandbox.daemon_pid() == Some(pid)).then_some(()));
    sandbox.reeld_fails().expect_code(75);
    let mut connection = sandbox.connect();
    let id = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(sandbox.stop(), Some(0));
}

#[test]
fn artifacts_deleted_while_the_daemon_runs_are_reported_and_made_again() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let file = path_of(&connection.generate(picture("first")));
    let artifacts = sandbox.home().join("artifacts");
    // The restarted daemon opens the directory when it starts.
    sandbox.stop();
    sandbox.start();
    let mut connection = sandbox.connect();
    codes(&mut connection);
    fs::remove_dir_all(&artifacts).unwrap();
    eventually("it is told", || (codes(&mut connection) == ["artifacts_lost"]).then_some(()));
    connection.ok("cache.clear", json!({ "memory_only": true }));
    let again = connection.generate(picture("first"));
    assert!(again["source"] == "made" && file.exists(), "{again}");
}

#[test]
fn a_low_limit_of_open_files_is_reported_at_the_start() {
    let sandbox = Sandbox::new();
    for limit in ["16", "24", "32"] {
        let mut command = sandbox.command("sh");
        command.args(["-c", "ulimit -n \"$1\" && exec \"$2\"", "sh", limit]).arg(process::binary("reeld"));
        let ended = process::run(&mut command);
        ended.expect_code(78);
        assert!(
            ended.stderr.contains(&format!("only {limit} files")) && ended.stderr.contains("ulimit -n"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_stop_writes_when_artifacts_were_used_before_it_closes_the_journal() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let made = connection.generate(picture("used again"));
    let used_ms = || -> u64 {
        let journal = Database::open(database(&sandbox)).unwrap();
        journal.query_row("SELECT used_ms FROM artifacts", [], |row| row.get(0)).unwrap()
    };
    let before = used_ms();
    // Let time pass, because the row has the time in milliseconds and the new one must be later.
    pause(Duration::from_millis(20));
    assert_eq!(made["source"], "made");
    assert_eq!(connection.generate(picture("used again"))["source"], "cache");
    assert_eq!(sandbox.stop(), Some(0));
    assert!(!sandbox.log().contains("the journal is closed"), "{}", sandbox.log());
    assert!(used_ms() > before);
}

#[test]
fn a_wal_that_was_deleted_after_a_crash_is_reported() {
    // The database has only what was checkpointed at a stop. What came after is only in the WAL.
    let (sandbox, _, _) = with_a_past();
    sandbox.start();
    let tasks = vec![json!({ "kind": "debug.noop" }); 3_000];
    let (_, ids) = sandbox.connect().submit_batch(tasks);
    let newest = ids[ids.len() - 1];
    sandbox.kill();
    fs::remove_file(beside(&database(&sandbox), "-wal")).unwrap();
    sandbox.start();
    let mut connection = sandbox.connect();
    assert_eq!(codes(&mut connection), ["journal_missing"], "{}", sandbox.log());
    assert!(connection.submit("debug.noop", json!({})) > newest);
}
