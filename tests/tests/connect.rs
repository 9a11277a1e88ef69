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
    process::{Command, Stdio},
};

use reel_tests::{
    Sandbox,
    connect_page::{blocks, root, script, task_count},
    eventually, needs, process,
};
use serde_json::json;

const PROMPT: &str = "a harbour at dawn";

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
        eventually("the queue is resumed", || (sandbox.reel(&["resume"]).code == Some(0)).then_some(()));
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
        sandbox.connect().ok("queue.resume", json!({}));
        let ran = process::finish(child);
        ran.expect_code(0);
        assert_eq!(without_size(&ran.stdout), without_size(&blocks("text")[0]), "{program:?}");
    }
}
