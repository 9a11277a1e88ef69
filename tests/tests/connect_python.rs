//! The Python programs of the page for tool authors, `docs/connect.md`, in the situations that their readers meet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    process::{Command, Stdio},
};

use reel_tests::{
    Sandbox,
    connect_page::{beside_connect_py, blocks, python, root, script, task_count},
    eventually, needs, process,
};
use serde_json::json;

#[test]
fn the_python_program_waits_for_no_answer_to_a_line_that_cannot_be_read() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let tries = r#"
import math
from connect import *
reel = Reel("connect.py", print)
try:
    reel.call("task.submit", kind="image.generate", params={"prompt": "a", "guidance": math.nan})
except ValueError as error:
    print("refused here:", type(error).__name__)
reel.lines.write(b'{"jsonrpc":"2.0"\n')
try:
    reel.call("daemon.status")
except Refused as error:
    print("refused there:", error.code)
"#;
    let ran = process::run(&mut beside_connect_py(&sandbox, "unreadable.py", tries));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "refused here: ValueError\nrefused there: parse_error\n");
}

#[test]
fn the_python_function_fetches_a_picture_over_the_socket() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let tries = r#"
from connect import *
events = []
params = {"prompt": "a harbour at dawn", "width": 2048, "height": 2048}
picture = make({"kind": "image.generate", "request_id": "one", "params": params}, events.append)["outputs"][0]
reel = Reel("connect.py", events.append)
reel.call("events.subscribe", topics=["task"])
reel.call("task.submit_batch", tasks=[{"kind": "debug.noop"}] * 100)
fetch(reel, picture, "fetched.png")
print(open("fetched.png", "rb").read() == open(picture["path"], "rb").read(), picture["size_bytes"] > 1 << 16)
print(reel.call("daemon.status")["is_paused"])
"#;
    let text = format!("{}{tries}", python("def fetch("));
    let ran = process::run(&mut beside_connect_py(&sandbox, "fetch.py", &text));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "True True\nFalse\n");
}

/// The files that the page's program for many tasks saves.
const SHOTS: [&str; 4] = ["harbour.png", "boats.png", "gulls.png", "voice.wav"];

fn shots_py(sandbox: &Sandbox) -> Command {
    beside_connect_py(sandbox, "shots.py", &python("def save_each("))
}

#[track_caller]
fn assert_shots_are_saved(sandbox: &Sandbox, ran: &process::Ran) {
    ran.expect_code(0);
    for file in SHOTS {
        assert!(ran.stdout.lines().any(|line| line.starts_with(&format!("{file}: "))), "{file}: {ran:?}");
        let bytes = fs::read(sandbox.work().join(file)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"RIFF"), "{file}");
    }
}

#[test]
fn the_python_program_for_many_tasks_saves_each_and_makes_nothing_twice() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    for _ in 0..2 {
        assert_shots_are_saved(&sandbox, &process::run(&mut shots_py(&sandbox)));
        assert_eq!(task_count(&sandbox), SHOTS.len());
    }
}

#[test]
fn the_python_program_for_many_tasks_tries_again_what_was_cancelled_and_reports_what_fails() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let mut command = shots_py(&sandbox);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("all are accepted", || (task_count(&sandbox) == SHOTS.len()).then_some(()));
    for task in connection.ok("task.list", json!({}))["tasks"].as_array().unwrap() {
        connection.ok("task.cancel", json!({ "id": task["id"] }));
    }
    let ran = process::finish(child);
    assert_eq!(ran.stderr.lines().filter(|line| line.contains("cancelled")).count(), SHOTS.len(), "{ran:?}");
    assert!(!ran.stderr.contains("None") && ran.stdout.is_empty(), "{ran:?}");
    connection.ok("queue.resume", json!({}));
    assert_shots_are_saved(&sandbox, &process::run(&mut shots_py(&sandbox)));
    assert_eq!(task_count(&sandbox), SHOTS.len());
}

#[test]
fn the_python_program_for_many_tasks_survives_a_crash_of_the_daemon() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    sandbox.connect().ok("queue.pause", json!({}));
    let mut command = shots_py(&sandbox);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("all are accepted", || (task_count(&sandbox) == SHOTS.len()).then_some(()));
    sandbox.kill();
    sandbox.start();
    sandbox.connect().ok("queue.resume", json!({}));
    assert_shots_are_saved(&sandbox, &process::finish(child));
    assert_eq!(task_count(&sandbox), SHOTS.len());
}

#[test]
fn the_python_function_gives_up_when_no_daemon_comes_back_within_its_patience() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let tries = r#"
import os, time
from connect import *
now = [1000.0]
time.monotonic = lambda: now[0]
def sleep(seconds):
    now[0] += seconds
time.sleep = sleep
def work(reel):
    now[0] += 3600
    os.environ["REEL_SOCKET"] = "nobody-listens-here"
    raise ConnectionError("the daemon is gone")
try:
    lasting("connect.py", work, patience=5)
except ConnectionError as error:
    print("reel daemon start" in str(error), round(now[0] - 4600))
"#;
    let ran = process::run(&mut beside_connect_py(&sandbox, "patience.py", tries));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "True 5\n");
}

#[test]
fn the_python_classes_send_params_with_any_name() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let tries = r#"
print(reel.call("service.call", service="debug", method="noop")["state"])
try:
    reel.call("daemon.status", self=1, on_event=2)
    print("ignored")
except TypeError as error:
    print(error)
"#;
    let connect = format!("from connect import *\nreel = Reel('connect.py', print){tries}");
    let ran = process::run(&mut beside_connect_py(&sandbox, "names.py", &connect));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "succeeded\nignored\n");
    let picture = fs::read_to_string(root().join("examples/picture.py")).unwrap();
    let definitions = picture.strip_suffix("\nmain()\n").unwrap();
    let picture = format!("{definitions}\nreel = Reel('picture.py'){tries}");
    let ran = process::run(&mut script(&sandbox, "python3", "picture.py", &picture));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "succeeded\nignored\n");
}

#[test]
fn the_python_line_that_starts_the_daemon_brings_a_stopped_one_back() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let line = python("subprocess.run(");
    let page = &blocks("python")[0];
    let wait = "            time.sleep(0.2)\n";
    assert_eq!(page.matches(wait).count(), 1);
    let started = page
        .replace(wait, &format!("            {}\n{wait}", line.trim()))
        .replace("import json, os,", "import json, os, subprocess,");
    fs::write(sandbox.work().join("connect.py"), started).unwrap();
    let tries = r#"
import os, signal
from connect import *
is_first = True
def work(reel):
    global is_first
    status = reel.call("daemon.status")
    if is_first:
        is_first = False
        os.kill(status["pid"], signal.SIGKILL)
        reel.call("task.wait", ids=[reel.call("task.submit", kind="debug.sleep", params={"ms": 60000})["id"]])
    return status
print(lasting("connect.py", work)["uptime_s"] >= 0)
"#;
    sandbox.start();
    let mut command = script(&sandbox, "python3", "starts.py", tries);
    let programs = process::binary("reel").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let ran = process::run(command.env("PATH", format!("{}:{path}", programs.display())));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "True\n", "{ran:?}");
}

#[test]
fn the_python_class_with_a_thread_cancels_while_it_waits_and_learns_that_the_daemon_is_gone() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let window = python("class Threaded(");
    let ran = process::run(&mut beside_connect_py(&sandbox, "window.py", &window));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "task 1 cancelled\n");
    let tries = r#"
import os, signal
from window import *
reel = Threaded("tries.py")
try:
    reel.call("task.get", id=99)
except Refused as error:
    print(error.code)
ids = [reel.call("task.submit", kind="debug.sleep", params={"ms": 600000})["id"] for _ in range(3)]
waits = [reel.send("task.wait", ids=[id]) for id in ids]
os.kill(reel.call("daemon.status")["pid"], signal.SIGKILL)
for wait in waits:
    print(wait.exception(timeout=60))
try:
    while True:
        reel.call("daemon.status")
except ConnectionError:
    print("gone")
"#;
    let ran = process::run(&mut beside_connect_py(&sandbox, "tries.py", tries));
    ran.expect_code(0);
    assert_eq!(ran.stdout, format!("task_not_found\n{}gone\n", "the daemon is gone\n".repeat(3)));
}
