//! The command line as people and scripts use it: what is printed where, exit codes, files, and starting the daemon.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{collections::HashSet, fs, path::Path, process::Stdio};

use reel_tests::{Lines, Ran, Sandbox, eventually, process};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Returns the commands that `reel --help` lists.
fn commands(sandbox: &Sandbox) -> Vec<String> {
    let help = sandbox.reel(&["--help"]).expect_code(0).stdout.clone();
    let groups = help.split("Usage:").nth(1).and_then(|rest| rest.split("Options of every command:").next());
    let lines = groups.expect("groups of commands").lines().filter(|line| line.starts_with("  "));
    lines
        .filter(|line| !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

fn has_command(sandbox: &Sandbox, name: &str) -> bool {
    commands(sandbox).iter().any(|command| command == name)
}

/// Asserts that the bytes are a complete PNG.
#[track_caller]
fn assert_is_png(bytes: &[u8]) {
    assert!(
        bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xae\x42\x60\x82"),
        "no whole PNG"
    );
}

fn files_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns everything that was printed, to check that something is not in it.
fn all_of(ran: &Ran) -> String {
    format!("{}{}", ran.stdout, ran.stderr)
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let sandbox = Sandbox::new();
    let commands = commands(&sandbox);
    for wanted in
        ["generate", "batch", "submit", "wait", "cancel", "ls", "show", "status", "daemon", "config"]
    {
        assert!(commands.iter().any(|command| command == wanted), "{wanted} is missing: {commands:?}");
    }
    for command in &commands {
        let ran = sandbox.reel(&[command, "--help"]);
        assert!(ran.expect_code(0).stdout.contains("Example"), "{command} shows no example:\n{}", ran.stdout);
    }
    let version = sandbox.reel(&["--version"]).expect_code(0).stdout.clone();
    assert!(version.starts_with("reel "), "{version}");
    assert_eq!(sandbox.daemons(), [0_u32; 0], "help needs no daemon");
}

#[test]
fn a_wrong_command_line_exits_with_64_and_sends_nothing() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["nonsense"][..],
        &[],
        &["generate"],
        &["generate", "x", "--nonsense"],
        &["generate", "x", "-s", "big"],
        &["generate", "x", "-n", "17"],
        &["generate", "x", "-n", "0"],
        &["generate", "x", "-o", "picture.gif"],
        &["generate", "x", "-o", "-", "-n", "2"],
        &["generate", "x", "--fresh", "--no-cache"],
        &["priority", "1", "101"],
        &["wait", "soon"],
        &["wait"],
    ] {
        let ran = sandbox.reel(arguments);
        assert_eq!(ran.code, Some(64), "{arguments:?}: {}", all_of(&ran));
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}: {ran:?}");
    }
    assert_eq!(sandbox.daemons(), [0_u32; 0]);
}

#[test]
fn every_query_prints_text_and_with_json_one_document() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let id = connection.generate(json!({ "prompt": "x", "width": 64, "height": 64 }))["id"].to_string();
    let existing = commands(&sandbox);
    for arguments in [
        &["status"][..],
        &["ls"],
        &["ls", "--state", "succeeded", "--limit", "1"],
        &["show", &id],
        &["wait", &id],
        &["memory"],
        &["memory", "trim"],
        &["cache"],
        &["cache", "stats"],
        &["cache", "verify"],
        &["providers"],
        &["providers", "check"],
        &["styles"],
        &["costs"],
        &["config", "path"],
        &["config", "show"],
        &["config", "check"],
        &["daemon", "start"],
        &["daemon", "reload"],
        &["doctor"],
    ] {
        if !existing.iter().any(|command| command == arguments[0]) {
            continue;
        }
        let ran = sandbox.reel(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", all_of(&ran));
        assert!(!all_of(&ran).is_empty(), "{arguments:?} is silent");
        assert!(!ran.stdout.contains('\u{1b}'), "{arguments:?} colours what is no terminal");
        let ran = sandbox.reel(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", all_of(&ran));
        assert!(ran.json().is_object() || ran.json().is_array(), "{arguments:?}: {}", ran.stdout);
    }
}

#[test]
fn failures_have_exit_codes_and_print_one_json_document() {
    let sandbox = Sandbox::started();
    let failing = ["call", "debug", "fail", "--params", r#"{"code":"broken","retryable":false}"#];
    for (arguments, code, name) in [
        (&failing[..], 1, "broken"),
        (&["show", "99"], 66, "task_not_found"),
        (&["wait", "99"], 66, "task_not_found"),
        (&["submit", "image", "paint"], 65, "unknown_kind"),
        (&["call", "debug", "sleep", "--params", r#"{"ms":"x"}"#], 65, "invalid_params"),
        (&["call", "debug", "sleep", "--params", "nonsense"], 65, ""),
        (&["call", "debug", "sleep", "--params", "@nothing.json"], 66, ""),
        (&["generate", "x", "--style", "nonsense"], 65, "unknown_style"),
        (&["generate", "x", "-s", "8x8"], 64, "usage"),
        (&["generate", " "], 65, "invalid_params"),
        (&["generate", "x", "-o", "no/such/directory/x.png"], 73, ""),
        (&["batch", "nothing.txt", "-o", "out"], 66, ""),
        (&["call", "debug", "sleep", "--params", r#"{"ms":60000}"#, "--timeout", "100ms"], 124, ""),
    ] {
        let ran = sandbox.reel(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", all_of(&ran));
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}: {ran:?}");
        let ran = sandbox.reel(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", all_of(&ran));
        let document = ran.json();
        if !name.is_empty() {
            assert!(document.to_string().contains(name), "{arguments:?}: {document}");
        }
    }
}

#[test]
fn commands_that_need_no_daemon_start_none() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.reel(&["status"]).code, Some(69));
    assert_eq!(sandbox.reel(&["status", "--json"]).expect_code(69).json()["error"]["code"], "no_daemon");
    sandbox.reel(&["daemon", "stop"]);
    sandbox.reel(&["config", "path"]).expect_code(0);
    sandbox.reel(&["config", "check"]);
    assert!(sandbox.reel(&["completions", "bash"]).expect_code(0).stdout.contains("reel"));
    let refused = sandbox.reel(&["ls", "--no-start"]);
    assert!(refused.expect_code(69).stderr.contains("reel daemon start"), "{}", refused.stderr);
    assert_eq!(sandbox.daemons(), [0_u32; 0]);
}

#[test]
fn a_picture_is_written_to_the_named_file_and_never_over_another() {
    let sandbox = Sandbox::started();
    let work = sandbox.work();
    let small = ["generate", "A Lighthouse, at dusk!", "-s", "64x64"];
    let first = sandbox.reel(&small);
    assert_eq!(
        first.expect_code(0).stdout.lines().count(),
        1,
        "the file's name and nothing else: {}",
        first.stdout
    );
    assert!(first.stderr.contains("draft"), "a draft says so: {}", first.stderr);
    let second = sandbox.reel(&small);
    assert!(second.expect_code(0).stderr.contains("--fresh"), "a cached one says so: {}", second.stderr);
    assert_eq!(files_in(&work), ["a-lighthouse-at-dusk-2.png", "a-lighthouse-at-dusk.png"]);
    sandbox.reel(&["generate", "x", "-s", "64x64", "-n", "2", "-o", "many.png"]).expect_code(0);
    for name in files_in(&work) {
        assert_is_png(&fs::read(work.join(name)).unwrap());
    }
    assert!(work.join("many-1.png").exists() && work.join("many-2.png").exists());
    fs::write(work.join("mine.png"), "mine").unwrap();
    let arguments = ["generate", "x", "-s", "64x64", "-o", "mine.png"];
    let refused = sandbox.reel(&arguments);
    assert!(refused.expect_code(73).stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(fs::read(work.join("mine.png")).unwrap(), b"mine");
    sandbox.reel(&[&arguments[..], &["--force"]].concat()).expect_code(0);
    assert_is_png(&fs::read(work.join("mine.png")).unwrap());
    let quiet = sandbox.reel(&["--quiet", "generate", "y", "-s", "64x64", "-o", "quiet.png"]);
    assert_eq!(quiet.expect_code(0).stderr, "");
    assert!(files_in(&work).iter().all(|name| !name.starts_with('.')), "no temporary file stays");
}

#[test]
fn a_picture_can_go_to_standard_output() {
    let sandbox = Sandbox::started();
    let ran = sandbox.reel(&["generate", "x", "-s", "64x64", "-o", "-"]);
    assert_is_png(&ran.expect_code(0).bytes);
    assert_eq!(files_in(&sandbox.work()), [""; 0]);
}

#[test]
fn a_closed_output_pipe_is_not_a_failure() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.submit_batch(vec![json!({ "kind": "debug.noop" }); 1000]);
    for arguments in
        [&["ls", "--limit", "1000"][..], &["ls", "--json"], &["generate", "x", "-o", "-"], &["--help"]]
    {
        let mut command = sandbox.reel_command(arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = process::finish(child);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        assert!(
            !ran.stderr.contains("anic") && !ran.stderr.contains("rror"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
}

#[test]
fn a_detached_task_is_waited_for_shown_fetched_and_removed() {
    let sandbox = Sandbox::started();
    let detached = sandbox.reel(&["generate", "x", "-s", "64x64", "--detach"]);
    let id = detached.expect_code(0).stdout.trim().to_owned();
    assert!(id.parse::<u64>().is_ok(), "{id}");
    sandbox.reel(&["wait", &id]).expect_code(0);
    assert_eq!(sandbox.reel(&["show", &id, "--json"]).expect_code(0).json()["state"], "succeeded");
    assert!(sandbox.reel(&["ls"]).expect_code(0).stdout.contains(&id));
    if has_command(&sandbox, "fetch") {
        sandbox.reel(&["fetch", &id, "-o", "fetched.png"]).expect_code(0);
        assert_is_png(&fs::read(sandbox.work().join("fetched.png")).unwrap());
    }
    sandbox.reel(&["rm", &id]).expect_code(0);
    sandbox.reel(&["show", &id]).expect_code(66);
}

#[test]
fn tasks_are_held_moved_released_cancelled_and_retried() {
    let sandbox = Sandbox::started();
    sandbox.reel(&["pause"]).expect_code(0);
    let submit = ["submit", "debug", "noop"];
    let id = sandbox.reel(&submit).expect_code(0).stdout.trim().to_owned();
    let state = || sandbox.reel(&["show", &id, "--json"]).expect_code(0).json()["state"].clone();
    sandbox.reel(&["priority", &id, "-5"]).expect_code(0);
    sandbox.reel(&["hold", &id]).expect_code(0);
    assert_eq!(state(), "held");
    let waited = sandbox.reel(&["wait", &id]);
    assert!(waited.expect_code(1).stderr.contains("reel release"), "{}", waited.stderr);
    sandbox.reel(&["release", &id]).expect_code(0);
    assert_eq!(state(), "queued");
    sandbox.reel(&["cancel", &id]).expect_code(0);
    assert_eq!(state(), "cancelled");
    sandbox.reel(&["wait", &id]).expect_code(1);
    sandbox.reel(&["retry", &id]).expect_code(0);
    sandbox.reel(&["resume"]).expect_code(0);
    sandbox.reel(&["wait", &id]).expect_code(0);
    sandbox.reel(&["cancel", &id]).expect_code(1);
}

#[test]
fn twenty_clients_at_once_start_exactly_one_daemon() {
    let sandbox = Sandbox::new();
    let spawn = |index: usize| {
        let params = format!(r#"{{"ms":{index}}}"#);
        let mut command = sandbox.reel_command(&["call", "debug", "sleep", "--params", &params, "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..20).map(spawn).collect();
    let tasks: Vec<Value> =
        children.into_iter().map(|child| process::finish(child).expect_code(0).json()).collect();
    let ids: HashSet<u64> = tasks.iter().map(|task| task["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), 20, "all in one journal");
    eventually("only one daemon is left", || (sandbox.daemons().len() == 1).then_some(()));
    let status = sandbox.connect().ok("daemon.status", json!({}));
    assert_eq!((&status["tasks"]["succeeded"], &status["is_auto_started"]), (&json!(20), &json!(true)));
    assert_eq!(status["pid"], sandbox.daemons()[0]);
}

#[test]
fn a_daemon_is_started_stopped_and_restarted_by_hand() {
    let sandbox = Sandbox::new();
    sandbox.reel(&["daemon", "start"]).expect_code(0);
    let first = sandbox.daemon_pid();
    assert_eq!(sandbox.daemons().len(), 1);
    sandbox.reel(&["daemon", "restart"]).expect_code(0);
    assert_ne!(sandbox.daemon_pid(), first);
    assert_eq!(
        sandbox.reel(&["status", "--json"]).expect_code(0).json()["pid"].as_u64(),
        sandbox.daemon_pid().map(u64::from)
    );
    sandbox.reel(&["daemon", "logs"]).expect_code(0);
    sandbox.reel(&["daemon", "stop"]).expect_code(0);
    eventually("it is gone", || sandbox.daemons().is_empty().then_some(()));
    sandbox.reel(&["status"]).expect_code(69);
}

#[test]
fn a_daemon_that_cannot_start_says_its_own_reason() {
    let sandbox = Sandbox::new();
    sandbox.configure("[tasks]\nmax_concurent = 3\n");
    let ran = sandbox.reel(&["ls"]);
    assert!(ran.expect_code(78).stderr.contains("max_concurrent"), "{}", ran.stderr);
    assert_eq!(sandbox.daemons(), [0_u32; 0]);
}

#[test]
fn an_interrupt_detaches_and_says_how_to_come_back() {
    let sandbox = Sandbox::started();
    let mut command = sandbox.reel_command(&["call", "debug", "sleep", "--params", r#"{"ms":600000}"#]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Lines::of(child.stderr.take().unwrap());
    // It prints the task's state when it begins to wait.
    lines.with("task 1 is ");
    process::signal(child.id(), Signal::INT);
    lines.with("reel wait 1");
    process::finish(child).expect_code(130);
    let task = sandbox.connect().task(1);
    assert!(matches!(task["state"].as_str(), Some("queued" | "running")), "the work goes on: {task}");
}
