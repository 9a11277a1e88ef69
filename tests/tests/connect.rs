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
    fn command(self, sandbox: &Sandbox, prompt: &str) -> Command {
        let written = |name: &str, language: &str| {
            let path = sandbox.work().join(name);
            fs::write(&path, &blocks(language)[0]).unwrap();
            path
        };
        let mut command = match self {
            Self::Python => {
                let mut command = sandbox.command("python3");
                command.arg(written("connect.py", "python"));
                command
            }
            Self::JavaScript => {
                let mut command = sandbox.command("node");
                command.arg(written("connect.mjs", "javascript"));
                command
            }
            Self::Rust => {
                let mut command = sandbox.command(process::binary("examples/connect"));
                // The program starts the daemon that it finds on `PATH`.
                command.env("PATH", process::binary("reeld").parent().unwrap());
                command
            }
        };
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
    let page = &blocks("python")[0];
    let (parts, _) = page.split_once("prompt, file = ").unwrap();
    let tries = r#"
import math
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
    let script = sandbox.work().join("unreadable.py");
    fs::write(&script, format!("{parts}{tries}")).unwrap();
    let ran = process::run(sandbox.command("python3").arg(script));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "refused here: ValueError\nrefused there: parse_error\n");
}

#[test]
fn the_python_function_fetches_a_picture_over_the_socket() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let page = blocks("python");
    let (parts, _) = page[0].split_once("prompt, file = ").unwrap();
    let tries = r#"
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
    let script = sandbox.work().join("fetch.py");
    fs::write(&script, format!("{parts}{}{tries}", page[1])).unwrap();
    let ran = process::run(sandbox.command("python3").arg(script));
    ran.expect_code(0);
    assert_eq!(ran.stdout, "True True\nFalse\n");
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
