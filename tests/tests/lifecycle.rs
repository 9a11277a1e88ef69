//! The daemon's process as clients see it: its socket is removed, it hangs, it has another version, or all its connections are in use. Every command
//! ends in time with a clear message, and `reel daemon stop` and `restart` find the daemon by the lock file.
#![expect(clippy::unwrap_used, reason = "helpers of a test fail it by panicking")]

use std::{
    fs,
    os::unix::{fs::MetadataExt, net::UnixStream},
    process::{Child, Command, Stdio},
};

use reel_protocol::{endpoint::LockText, limits::CONNECTIONS};
use reel_tests::{Connection, DEADLINE, Ran, Sandbox, eventually, needs, process};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::json;

fn run_piped(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_daemon_whose_socket_was_removed_is_found_again_by_every_command() {
    let sandbox = Sandbox::new();
    let socket = sandbox.root().join("run/reel/reeld.sock");
    let sandbox = sandbox.with_socket(socket.clone());
    let pid = sandbox.start();
    fs::remove_file(&socket).unwrap();
    assert!(sandbox.reel(&["status"]).expect_code(0).stdout.contains(&format!("process {pid}")));
    // A logout removes this directory, and the next login creates only its parent.
    fs::remove_dir_all(socket.parent().unwrap()).unwrap();
    sandbox.reel(&["submit", "debug", "noop"]).expect_code(0);
    assert_eq!(fs::metadata(socket.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(sandbox.daemon_pid(), Some(pid), "another daemon was started");
    fs::remove_dir_all(socket.parent().unwrap()).unwrap();
    sandbox.reel(&["daemon", "stop"]).expect_code(0);
    assert!(process::wait_gone(pid, DEADLINE));
}

#[test]
fn a_daemon_that_cannot_bind_its_socket_again_is_found_and_stopped_by_its_lock() {
    let sandbox = Sandbox::started();
    let pid = sandbox.daemon_pid().unwrap();
    fs::remove_file(sandbox.socket()).unwrap();
    // The daemon must not remove a directory that is in the place of its socket.
    fs::create_dir(sandbox.socket()).unwrap();
    let ran = sandbox.reel(&["status"]);
    assert!(ran.expect_code(75).stderr.contains(&format!("pid {pid}")), "{}", ran.stderr);
    let ran = sandbox.reel(&["daemon", "stop", "--json"]);
    let stopped = ran.expect_code(0).json();
    assert_eq!(
        (&stopped["pid"], &stopped["was_running"], &stopped["was_killed"]),
        (&json!(pid), &json!(true), &json!(false))
    );
    assert!(process::wait_gone(pid, DEADLINE));
}

#[test]
fn a_missing_runtime_directory_counts_as_unset() {
    let sandbox = Sandbox::new();
    let reel = |runtime: &str, arguments: &[&str]| {
        let mut command = sandbox.reel_command(arguments);
        command.env_remove("REEL_HOME").env_remove("REEL_SOCKET").env("XDG_RUNTIME_DIR", runtime);
        process::run(&mut command)
    };
    let nowhere = sandbox.root().join("nowhere");
    reel(nowhere.to_str().unwrap(), &["ls"]).expect_code(0);
    let socket = sandbox.root().join("user/.local/share/reel/reeld.sock");
    assert!(socket.exists() && !nowhere.exists());
    // With an existing runtime directory that has no socket, the daemon is found by its lock file.
    let there = sandbox.root().join("run");
    reel(there.to_str().unwrap(), &["status"]).expect_code(0);
    assert!(!there.join("reel").exists());
}

#[test]
fn every_command_names_a_suspended_daemon_and_force_ends_it() {
    let sandbox = Sandbox::started();
    let pid = sandbox.daemon_pid().unwrap();
    let task = sandbox.connect().submit("debug.sleep", json!({ "ms": 600_000 })).to_string();
    let waiting = run_piped(sandbox.reel_command(&["wait", &task]));
    let following = run_piped(sandbox.reel_command(&["follow"]));
    let mut connection = sandbox.connect();
    eventually("both are connected", || {
        (connection.ok("daemon.status", json!({}))["connections"].as_u64() >= Some(3)).then_some(())
    });
    process::signal(pid, Signal::STOP);
    let asking: Vec<Child> = [&["status"][..], &["ls"], &["memory"], &["submit", "debug", "noop"]]
        .iter()
        .map(|arguments| run_piped(sandbox.reel_command(arguments)))
        .collect();
    let is_named = |ran: &Ran| ran.stderr.contains("suspended") && ran.stderr.contains(&format!("pid {pid}"));
    for child in asking.into_iter().chain([waiting, following]) {
        let ran = process::finish(child);
        assert!(is_named(ran.expect_code(75)), "{}", ran.stderr);
    }
    let ran = sandbox.reel(&["daemon", "stop"]);
    let way = format!("kill -CONT {pid} continues it; reel daemon stop --force ends it");
    assert!(is_named(ran.expect_code(75)) && ran.stderr.contains(&way), "{}", ran.stderr);
    let ran = sandbox.reel(&["daemon", "restart", "--force"]);
    assert!(ran.expect_code(0).stderr.contains("killed"), "{}", ran.stderr);
    assert!(process::wait_gone(pid, DEADLINE));
    sandbox.reel(&["show", &task]).expect_code(0);
}

/// Starts a process that locks the home like a daemon and accepts connections. It answers each line with `answer` unless that is empty.
fn play_daemon(sandbox: &Sandbox, answer: &str) -> Child {
    const PROGRAM: &str = "import fcntl, os, socket, sys, threading\n\
        home, path, answer = sys.argv[1:]\n\
        os.makedirs(home, exist_ok=True)\n\
        lock = open(home + '/reeld.lock', 'w')\n\
        fcntl.flock(lock, fcntl.LOCK_EX)\n\
        listener = socket.socket(socket.AF_UNIX)\n\
        listener.bind(path)\n\
        listener.listen(16)\n\
        lock.write(f'{os.getpid()}\\n{path}\\n')\n\
        lock.flush()\n\
        def serve(stream):\n\
        \x20   for line in stream.makefile('rb'):\n\
        \x20       if answer: stream.sendall(answer.encode() + b'\\n')\n\
        while True:\n\
        \x20   threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()\n";
    let mut command = sandbox.command("python3");
    command.arg("-c").arg(PROGRAM).arg(sandbox.home()).arg(sandbox.socket()).arg(answer);
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    eventually("it holds the home", || {
        let text = fs::read_to_string(sandbox.home().join("reeld.lock")).ok()?;
        LockText::decode(&text).filter(|lock| lock.pid == child.id())
    });
    child
}

#[test]
fn a_daemon_of_another_protocol_version_is_restarted_by_its_lock() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::new().with_variable("REEL_ENCODING", "json".to_owned());
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "result": {
        "daemon": "reeld", "version": "9.0.0", "protocol": 9, "capabilities": [], "pid": 1, "instance": "x" } });
    let mut former = play_daemon(&sandbox, &hello.to_string());
    let ran = sandbox.reel(&["ls"]);
    assert!(ran.expect_code(76).stderr.contains("hint: reel daemon restart"), "{}", ran.stderr);
    sandbox.reel(&["daemon", "restart"]).expect_code(0);
    former.wait().unwrap();
    sandbox.reel(&["ls"]).expect_code(0);
}

#[test]
fn a_daemon_that_does_not_answer_is_found_and_stopped_by_its_lock() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let mut silent = play_daemon(&sandbox, "");
    let asking = ["json", "binary"].map(|encoding| {
        let mut command = sandbox.reel_command(&["ls"]);
        command.env("REEL_ENCODING", encoding);
        run_piped(command)
    });
    for child in asking {
        let ran = process::finish(child);
        let said = &ran.expect_code(75).stderr;
        assert!(said.contains("does not answer") && said.contains(&format!("pid {}", silent.id())), "{said}");
    }
    sandbox.reel(&["daemon", "stop"]).expect_code(0);
    silent.wait().unwrap();
    assert!(sandbox.reel(&["daemon", "stop"]).expect_code(0).stdout.contains("not running"));
}

/// Opens as many connections as the daemon serves.
fn all_connections(sandbox: &Sandbox) -> Vec<UnixStream> {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).unwrap();
    (0..CONNECTIONS).map(|_| UnixStream::connect(sandbox.socket()).unwrap()).collect()
}

#[test]
fn a_program_that_leaks_connections_does_not_block_the_command_line() {
    let sandbox = Sandbox::started();
    let leaked = all_connections(&sandbox);
    for encoding in ["binary", "json"] {
        eventually("the longest idle connection makes room", || {
            let mut command = sandbox.reel_command(&["submit", "debug", "noop"]);
            (process::run(command.env("REEL_ENCODING", encoding)).code == Some(0)).then_some(())
        });
    }
    sandbox.reel(&["daemon", "stop"]).expect_code(0);
    drop(leaked);
}

#[test]
fn when_all_connections_are_in_use_clients_are_told_and_a_restart_closes_them() {
    let sandbox = Sandbox::started();
    let task = sandbox.connect().submit("debug.sleep", json!({ "ms": 600_000 }));
    let mut busy: Vec<Connection> = Vec::new();
    drop(all_connections(&sandbox));
    eventually("all wait", || {
        while busy.len() < CONNECTIONS {
            let mut connection = Connection::open(sandbox.socket()).unwrap();
            connection.request("task.wait", json!({ "ids": [task] }));
            busy.push(connection);
        }
        let refused = sandbox.reel(&["status"]);
        (refused.code == Some(75)).then_some(())
    });
    for encoding in ["binary", "json"] {
        let mut command = sandbox.reel_command(&["submit", "debug", "noop", "--json"]);
        let refused = process::run(command.env("REEL_ENCODING", encoding));
        assert_eq!(refused.expect_code(75).json()["error"]["code"], "too_many_connections");
    }
    let pid = sandbox.daemon_pid().unwrap();
    sandbox.reel(&["daemon", "stop", "--force", "--drain", "0s"]).expect_code(0);
    assert!(process::wait_gone(pid, DEADLINE));
}

#[test]
fn sigterm_is_obeyed_while_the_database_is_being_opened() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.home()).unwrap();
    // Opening a named pipe blocks until another process opens its other end, which simulates a very slow disk.
    let pipe = process::run(sandbox.command("mkfifo").arg(sandbox.home().join("reel.db")));
    pipe.expect_code(0);
    let pid = sandbox.spawn();
    eventually("it holds the home", || (sandbox.daemon_pid() == Some(pid)).then_some(()));
    process::signal(pid, Signal::TERM);
    assert!(process::wait_gone(pid, DEADLINE));
}

#[test]
fn a_crash_of_the_daemon_writes_no_core_dump() {
    let sandbox = Sandbox::started();
    let limits = fs::read_to_string(format!("/proc/{}/limits", sandbox.daemon_pid().unwrap())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}
