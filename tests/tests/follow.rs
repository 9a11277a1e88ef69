//! `reel follow` and `reel memory --watch` without a terminal: what they print, when they end, and that the death of the daemon ends neither.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    collections::HashMap,
    process::{Child, Stdio},
};

use reel_protocol::limits::EVENTS_BEHIND;
use reel_tests::{Connection, Lines, Sandbox, eventually, process};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A running command, and its standard output line by line.
struct Running {
    child: Child,
    lines: Lines,
}

impl Running {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = sandbox.reel_command(arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        Self { child, lines }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        self.lines.line().expect("it goes on")
    }

    /// Waits for the next line that contains `what`.
    #[track_caller]
    fn line_with(&mut self, what: &str) -> String {
        self.lines.with(what)
    }

    /// Waits for the end of the command. Returns its exit code, the rest of standard output, and standard error.
    #[track_caller]
    fn finish(self) -> (Option<i32>, String, String) {
        let rest = self.lines.rest().join("\n");
        let ran = process::finish(self.child);
        (ran.code, rest, ran.stderr)
    }

    #[track_caller]
    fn interrupt(self) -> (Option<i32>, String, String) {
        process::signal(self.child.id(), Signal::INT);
        self.finish()
    }
}

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

fn until_running(connection: &mut Connection, id: u64) {
    eventually("it runs", || (connection.task(id)["state"] == "running").then_some(()));
}

#[test]
fn named_tasks_are_followed_from_their_current_state_to_their_end() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let done = connection.submit("debug.noop", json!({}));
    connection.wait(done);
    let picture = json!({ "prompt": "a harbour\nin the rain", "width": 512, "height": 512 });
    let open = connection.submit("image.generate", picture);
    let ran = sandbox.reel(&["follow", &done.to_string(), &open.to_string()]);
    let lines: Vec<&str> = ran.expect_code(0).stdout.lines().collect();
    let end_of = |id: u64, end: &str| {
        lines.iter().any(|line| line.contains(&format!("task {id} ")) && line.contains(end))
    };
    assert!(end_of(done, "debug.noop succeeded"), "{lines:?}");
    assert!(end_of(open, "image.generate succeeded · a harbour in the rain"), "{lines:?}");
    assert!(lines.iter().all(|line| line.as_bytes()[2] == b':' && &line[8..14] == "Z task"), "{lines:?}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn the_exit_code_of_follow_tells_how_its_tasks_ended() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let good = connection.submit("debug.noop", json!({})).to_string();
    let bad = connection.submit("debug.fail", json!({ "code": "x", "retryable": false })).to_string();
    sandbox.reel(&["follow", &good]).expect_code(0);
    let ran = sandbox.reel(&["follow", &good, &bad]);
    assert!(ran.expect_code(1).stdout.contains(&format!("task {bad} debug.fail failed: ")), "{}", ran.stdout);
    let quiet = sandbox.reel(&["follow", "--quiet", &bad]);
    assert_eq!(quiet.expect_code(1).stdout.lines().count(), 1, "{}", quiet.stdout);
    assert!(sandbox.reel(&["follow", "99"]).expect_code(66).stderr.contains("99"));
    assert_eq!(
        sandbox.reel(&["follow", "99", "--json"]).expect_code(66).json()["error"]["code"],
        "task_not_found"
    );
    let ran = sandbox.reel(&["follow", "--batch", "99", "--json"]);
    assert_eq!(ran.expect_code(66).json()["error"]["code"], "batch_not_found");
    sandbox.reel(&["follow", "1", "--batch", "1"]).expect_code(64);
}

#[test]
fn a_batch_is_followed_to_its_end_and_each_change_is_printed_once() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let task = json!({ "kind": "debug.progress", "params": { "steps": 3, "ms": 30 } });
    let (batch, ids) = connection.submit_batch(vec![task; 40]);
    let ran = sandbox.reel(&["follow", "--json", "--batch", &batch.to_string()]);
    let mut revisions: HashMap<u64, u64> = HashMap::new();
    let mut ends: HashMap<u64, u32> = HashMap::new();
    for object in objects(&ran.expect_code(0).stdout) {
        let (id, task) = (object["id"].as_u64().unwrap(), &object["task"]);
        let rev = task["rev"].as_u64().unwrap();
        let former = revisions.insert(id, rev).unwrap_or(0);
        assert!(former < rev || (former == rev && object["event"] == "progress"), "{former} before {object}");
        if task["state"] == "succeeded" {
            *ends.entry(id).or_default() += 1;
        }
    }
    assert_eq!(ends, ids.into_iter().map(|id| (id, 1)).collect());
}

#[test]
fn follow_restarts_a_dead_daemon_and_loses_nothing() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let mut tasks = vec![json!({ "kind": "debug.sleep", "params": { "ms": 10 } }); 30];
    // This task lasts until it is cancelled, so the batch is unfinished when the daemon dies.
    tasks.push(json!({ "kind": "debug.sleep", "params": { "ms": 600_000 } }));
    let (batch, mut ids) = connection.submit_batch(tasks);
    let last = ids.pop().unwrap();
    let mut follow = Running::start(&sandbox, &["follow", "--batch", &batch.to_string()]);
    let mut seen = vec![follow.line_with("succeeded")];
    sandbox.kill();
    let mut connection = eventually("it is started again", || Connection::open(sandbox.socket()).ok());
    connection.ok("task.cancel", json!({ "id": last }));
    let (code, rest, stderr) = follow.finish();
    assert_eq!(code, Some(1), "one was cancelled: {stderr}");
    assert!(stderr.contains("the connection to the daemon was lost; connecting again"), "{stderr}");
    seen.extend(rest.lines().map(str::to_owned));
    for id in ids {
        let ends = seen.iter().filter(|line| line.contains(&format!("task {id} debug.sleep succeeded")));
        assert_eq!(ends.count(), 1, "task {id}: {seen:?}");
    }
}

#[test]
fn follow_without_ids_shows_everything_until_an_interrupt() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let long = connection.submit("debug.sleep", json!({ "ms": 600_000 }));
    until_running(&mut connection, long);
    let mut follow = Running::start(&sandbox, &["follow"]);
    assert!(follow.line().contains(&format!("task {long} debug.sleep running")));
    let id = connection.submit("debug.noop", json!({}));
    follow.line_with(&format!("task {id} debug.noop succeeded"));
    let (code, _, stderr) = follow.interrupt();
    assert_eq!((code, stderr.as_str()), (Some(130), ""));
    assert_eq!(connection.task(long)["state"], "running", "looking on touches no task");
}

#[test]
fn follow_ends_when_its_output_is_closed() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let long = connection.submit("debug.sleep", json!({ "ms": 600_000 }));
    until_running(&mut connection, long);
    let mut follow = Running::start(&sandbox, &["follow"]);
    follow.line();
    let Running { mut child, lines } = follow;
    drop(lines);
    eventually("it ends with the next line", || {
        connection.submit("debug.noop", json!({}));
        child.try_wait().unwrap()
    });
    let ran = process::finish(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn follow_with_unread_output_says_how_much_it_missed_and_goes_on() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let long = connection.submit("debug.sleep", json!({ "ms": 600_000 }));
    until_running(&mut connection, long);
    let mut follow = Running::start(&sandbox, &["follow", "--json"]);
    follow.line_with("present");
    // These are more events than the pipe, the socket, the client and the daemon can hold.
    for _ in 0..6 {
        let (batch, _) = connection.submit_batch(vec![json!({ "kind": "debug.noop" }); EVENTS_BEHIND]);
        connection.ok("task.wait", json!({ "batch": batch }));
    }
    connection.ok("task.cancel", json!({ "id": long }));
    let dropped = objects(&follow.line_with("subscription_dropped")).remove(0);
    assert!(dropped["missed"].as_u64() > Some(1), "{dropped}");
    let present = objects(&follow.line_with(&format!("\"present\",\"id\":{long},"))).remove(0);
    assert_eq!(present["task"]["state"], "cancelled");
    follow.interrupt();
}

#[test]
fn follow_does_not_keep_a_daemon_from_stopping_and_goes_on_with_the_next() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let id = connection.submit("debug.sleep", json!({ "ms": 600_000 }));
    until_running(&mut connection, id);
    let mut follow = Running::start(&sandbox, &["follow", "--json"]);
    assert_eq!(objects(&follow.line())[0]["event"], "present");
    connection.ok("task.cancel", json!({ "id": id }));
    sandbox.stop();
    follow.line_with("disconnected");
    assert_eq!(sandbox.daemons(), [0_u32; 0], "looking on starts no daemon that was stopped");
    sandbox.start();
    let mut connection = sandbox.connect();
    eventually("it sees the next daemon", || {
        (connection.ok("daemon.status", json!({}))["connections"].as_u64() >= Some(2)).then_some(())
    });
    let id = connection.submit("debug.sleep", json!({ "ms": 600_000 }));
    follow.line_with(&format!("\"id\":{id},"));
    assert_eq!(follow.interrupt().0, Some(130));
}

#[test]
fn memory_is_watched_from_its_current_state_on() {
    let sandbox = Sandbox::started();
    let mut watch = Running::start(&sandbox, &["memory", "--watch"]);
    let first = watch.line();
    assert!(first.contains("Z memory normal, ") && first.contains("resident"), "{first}");
    sandbox.reel(&["memory", "trim"]).expect_code(0);
    assert!(watch.line().contains("given back"));
    assert_eq!(watch.interrupt().0, Some(130));
    let mut watch = Running::start(&sandbox, &["memory", "--watch", "--json"]);
    assert_eq!(objects(&watch.line())[0]["event"], "present");
    sandbox.connect().ok("memory.trim", json!({}));
    let trimmed = &objects(&watch.line())[0];
    assert_eq!((&trimmed["event"], &trimmed["topic"]), (&json!("trimmed"), &json!("memory")));
    assert!(trimmed["memory"]["freed_bytes"].is_u64(), "{trimmed}");
    watch.interrupt();
}
