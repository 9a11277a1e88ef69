//! The page for tool authors, `docs/connect.md`. The tests take each program from the page and run it as a reader would.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use reel_tests::{Sandbox, eventually, needs, process};
use serde_json::json;

const PROMPT: &str = "a harbour at dawn";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns the page's code blocks in this language, in their order.
fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/connect.md")).unwrap();
    let fence = format!("\n```{language}\n");
    let starts = page.split(&fence).skip(1);
    let blocks: Vec<_> = starts.map(|rest| format!("{}\n", rest.split("\n```").next().unwrap())).collect();
    assert!(!blocks.is_empty(), "the page has no block of {language}");
    blocks
}

/// Returns the Python block of the page that contains this text.
fn python(part: &str) -> String {
    blocks("python").into_iter().find(|block| block.contains(part)).unwrap()
}

/// The programs on the page that take a prompt and a file name.
#[derive(Debug, Clone, Copy)]
enum Program {
    Python,
    JavaScript,
    Rust,
}

const PROGRAMS: [Program; 3] = [Program::Python, Program::JavaScript, Program::Rust];

/// Returns the programs whose interpreters are installed.
fn programs() -> impl Iterator<Item = Program> {
    PROGRAMS.into_iter().filter(|program| match program {
        Program::Python => needs::program("python3"),
        Program::JavaScript => needs::program("node"),
        Program::Rust => true,
    })
}

/// Writes a program into the work directory of the sandbox. Returns the command that runs it.
fn script(sandbox: &Sandbox, interpreter: &str, name: &str, text: &str) -> Command {
    let path = sandbox.work().join(name);
    fs::write(&path, text).unwrap();
    let mut command = sandbox.command(interpreter);
    command.arg(path);
    command
}

/// Writes the Python program of the page, and beside it another one that imports it. Returns the command that runs the other one.
fn beside_connect_py(sandbox: &Sandbox, name: &str, text: &str) -> Command {
    fs::write(sandbox.work().join("connect.py"), &blocks("python")[0]).unwrap();
    script(sandbox, "python3", name, text)
}

impl Program {
    fn without_arguments(self, sandbox: &Sandbox) -> Command {
        match self {
            Self::Python => script(sandbox, "python3", "connect.py", &blocks("python")[0]),
            Self::JavaScript => script(sandbox, "node", "connect.mjs", &blocks("javascript")[0]),
            Self::Rust => {
                let mut command = sandbox.command(process::binary("examples/connect"));
                // The program starts the daemon that it finds on `PATH`.
                command.env("PATH", process::binary("reeld").parent().unwrap());
                command
            }
        }
    }

    fn command(self, sandbox: &Sandbox, prompt: &str) -> Command {
        let mut command = self.without_arguments(sandbox);
        command.args([prompt, "harbour.png"]);
        command
    }
}

/// Replaces the picture's size in bytes by `N`, because it depends on the fonts of the machine.
fn without_size(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace).collect::<Vec<_>>();
    let is_size = |index: usize| words.get(index + 1).is_some_and(|next| next.starts_with("bytes"));
    let shown = words.iter().enumerate().map(|(index, word)| if is_size(index) { "N " } else { word });
    shown.collect()
}

#[track_caller]
fn assert_saved(sandbox: &Sandbox) {
    let bytes = fs::read(sandbox.work().join("harbour.png")).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xae\x42\x60\x82"));
}

#[test]
fn the_rust_program_is_the_example() {
    let example = fs::read_to_string(root().join("examples/connect.rs")).unwrap();
    let body = &example[example.find("use std").unwrap()..];
    assert_eq!(
        blocks("rust"),
        [body],
        "copy examples/connect.rs, from its first `use` on, into docs/connect.md"
    );
}

#[test]
fn each_program_follows_and_saves_and_prints_what_the_page_shows() {
    for program in programs() {
        let sandbox = Sandbox::started();
        let ran = process::run(&mut program.command(&sandbox, PROMPT));
        ran.expect_code(0);
        assert_eq!(without_size(&ran.stdout), without_size(&blocks("text")[0]), "{program:?}");
        assert!(ran.stderr.contains('%'), "no progress was shown: {program:?} {ran:?}");
        assert_saved(&sandbox);
        let refused = process::run(&mut program.command(&sandbox, " "));
        refused.expect_code(1);
        assert!(refused.stderr.contains("invalid_params"), "{program:?} {refused:?}");
    }
}

#[test]
fn the_shell_script_does_the_same() {
    if !needs::nc_with_unix_sockets() {
        return;
    }
    let sandbox = Sandbox::started();
    let script = blocks("sh").concat();
    let ran = process::run(sandbox.command("sh").args(["-euc", &script]));
    ran.expect_code(0);
    assert_eq!(without_size(&ran.stdout), without_size(&blocks("text").concat()));
    assert!(ran.stderr.contains(r#""event":"#), "no event was shown: {ran:?}");
    assert_saved(&sandbox);
    assert_eq!(sandbox.connect().ok("task.list", json!({}))["tasks"].as_array().unwrap().len(), 1);
}

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

fn task_count(sandbox: &Sandbox) -> usize {
    sandbox.connect().ok("task.list", json!({}))["tasks"].as_array().unwrap().len()
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
    assert_shots_are_saved(&sandbox, &process::finish(child));
    assert_eq!(task_count(&sandbox), SHOTS.len());
}

#[test]
fn each_script_says_how_it_is_used_and_makes_nothing_that_it_cannot_save() {
    let sandbox = Sandbox::started();
    for program in programs().filter(|program| !matches!(program, Program::Rust)) {
        let ran = process::run(&mut program.without_arguments(&sandbox));
        ran.expect_code(1);
        assert!(ran.stderr.starts_with("usage: "), "{program:?} {ran:?}");
        let ran = process::run(program.without_arguments(&sandbox).args([PROMPT, "missing/harbour.png"]));
        ran.expect_code(1);
        assert!(ran.stderr.contains("missing/harbour.png cannot be written"), "{program:?} {ran:?}");
        assert_eq!((ran.stderr.lines().count(), task_count(&sandbox)), (1, 0), "{program:?} {ran:?}");
    }
}

#[test]
fn each_script_says_in_one_line_that_no_daemon_runs() {
    let sandbox = Sandbox::new();
    for program in programs().filter(|program| !matches!(program, Program::Rust)) {
        let ran = process::run(&mut program.command(&sandbox, PROMPT));
        ran.expect_code(1);
        assert!(ran.stderr.contains("reel daemon start"), "{program:?} {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{program:?} {ran:?}");
    }
}

#[test]
fn the_first_line_of_the_page_gets_an_answer() {
    if !needs::nc_with_unix_sockets() || !needs::program("jq") {
        return;
    }
    let sandbox = Sandbox::new();
    let programs = process::binary("reel").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let mut command = sandbox.command("sh");
    command.env("PATH", format!("{}:{path}", programs.display())).env_remove("REEL_SOCKET");
    let ran = process::run(command.args(["-euc", &blocks("console")[0]]));
    ran.expect_code(0);
    assert!(ran.stdout.contains(r#""result":{"providers":[{"name""#), "{ran:?}");
}

#[test]
fn each_program_survives_a_crash_of_the_daemon_with_exactly_one_task() {
    for program in programs() {
        let sandbox = Sandbox::started();
        sandbox.connect().ok("queue.pause", json!({}));
        let mut command = program.command(&sandbox, PROMPT);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut connection = sandbox.connect();
        let listed = |connection: &mut reel_tests::Connection| {
            connection.ok("task.list", json!({}))["tasks"].as_array().unwrap().len()
        };
        eventually("its task is accepted", || (listed(&mut connection) == 1).then_some(()));
        sandbox.kill();
        // The Rust program starts the daemon itself, and may do so before the test.
        if !matches!(program, Program::Rust) {
            sandbox.start();
        }
        eventually("the daemon is back", || sandbox.daemon_pid());
        let ran = process::finish(child);
        ran.expect_code(0);
        assert_eq!(without_size(&ran.stdout), without_size(&blocks("text")[0]), "{program:?}");
        assert_saved(&sandbox);
        assert_eq!(listed(&mut sandbox.connect()), 1, "{program:?}");
    }
}

#[test]
fn each_program_finds_the_daemon_by_its_lock_file() {
    for program in programs() {
        let sandbox = Sandbox::started();
        // The runtime directory is that of another session, where nobody listens. The home follows from the other variables, without `REEL_HOME`.
        let data = sandbox.root().join("data");
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(sandbox.home(), data.join("reel")).unwrap();
        let mut command = program.command(&sandbox, PROMPT);
        command.env_remove("REEL_SOCKET").env_remove("REEL_HOME").env("XDG_DATA_HOME", &data);
        process::run(&mut command).expect_code(0);
        assert_saved(&sandbox);
    }
    if !needs::nc_with_unix_sockets() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut command = sandbox.command("sh");
    command.env_remove("REEL_SOCKET").args(["-euc", &blocks("sh")[0]]);
    process::run(&mut command).expect_code(0);
    assert_saved(&sandbox);
}

/// Makes a program believe that an hour has passed once the file `an-hour-later` is in its directory: Node and Python load these files before the program.
fn with_clock_that_jumps(sandbox: &Sandbox, command: &mut Command) {
    let clocks = sandbox.root().join("clocks");
    fs::create_dir_all(&clocks).unwrap();
    fs::write(
        clocks.join("sitecustomize.py"),
        "import os, time\nreal = time.monotonic\ntime.monotonic = lambda: real() + 3600 * os.path.exists('an-hour-later')\n",
    )
    .unwrap();
    fs::write(
        clocks.join("clock.cjs"),
        "const real = Date.now, { existsSync } = require('fs');\nDate.now = () => real() + (existsSync('an-hour-later') ? 3600e3 : 0);\n",
    )
    .unwrap();
    let preload = format!("--require={}", clocks.join("clock.cjs").display());
    command.env("PYTHONPATH", &clocks).env("NODE_OPTIONS", preload);
}

#[test]
fn the_patience_of_each_script_begins_when_the_connection_is_lost_and_not_when_it_is_made() {
    for program in programs().filter(|program| !matches!(program, Program::Rust)) {
        let sandbox = Sandbox::started();
        sandbox.connect().ok("queue.pause", json!({}));
        let mut command = program.command(&sandbox, PROMPT);
        with_clock_that_jumps(&sandbox, &mut command);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("its task is accepted", || (task_count(&sandbox) == 1).then_some(()));
        fs::write(sandbox.work().join("an-hour-later"), "").unwrap();
        sandbox.kill();
        sandbox.start();
        let ran = process::finish(child);
        ran.expect_code(0);
        assert_eq!(without_size(&ran.stdout), without_size(&blocks("text")[0]), "{program:?}");
    }
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
