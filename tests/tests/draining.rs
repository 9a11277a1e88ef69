//! A daemon that stops, and its successor. The stopping daemon waits for responses that were paid for and still answers requests. New work is done by
//! the next daemon.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::net::{UnixDatagram, UnixListener},
    process::Stdio,
    sync::Arc,
};

use reel_client::{ConnectOptions, Session};
use reel_protocol::{
    ErrorCode, Seconds, TaskId,
    endpoint::Locations,
    methods::{TaskWait, TaskWaitParams},
};
use reel_tests::{
    DEADLINE, FakeProvider, Sandbox, process,
    studio::{submit, unhurried_studio},
};
use rustix::process::Signal;
use serde_json::json;

/// Starts a daemon with one paid call in flight, which ends when the provider is released.
fn with_paid_call(provider: &FakeProvider) -> (Sandbox, u64) {
    let sandbox = unhurried_studio(provider, "");
    provider.hold();
    let task = submit(&mut sandbox.connect(), "a lighthouse");
    provider.wait_for_in_flight(1);
    (sandbox, task)
}

#[test]
fn a_daemon_that_takes_over_the_socket_waits_for_a_paid_call_of_the_former_one() {
    let provider = FakeProvider::start();
    let (sandbox, task) = with_paid_call(&provider);
    let former = sandbox.daemon_pid().unwrap();
    // The former daemon is stopping already, so the signal from the next daemon is its second one.
    sandbox.connect().ok("daemon.shutdown", json!({}));
    fs::remove_file(sandbox.socket()).unwrap();
    let socket = UnixListener::bind(sandbox.socket()).unwrap();
    let ear = UnixDatagram::bind(sandbox.root().join("notify")).unwrap();
    ear.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = sandbox.command("sh");
    command
        .arg("-c")
        .arg("LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" 3<&0 </dev/null")
        .arg(process::binary("reeld"));
    command.env("NOTIFY_SOCKET", sandbox.root().join("notify"));
    let mut next =
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(socket))).stderr(Stdio::null()).spawn().unwrap();
    // The second notification shows that the former daemon has received the signal and goes on.
    for _ in 0..2 {
        let mut buffer = [0; 4096];
        let bytes = ear.recv(&mut buffer).expect("the service manager is told");
        let told = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
        assert!(told.contains("EXTEND_TIMEOUT_USEC=") && told.contains(&format!("pid {former}")), "{told}");
    }
    assert!(!process::wait_gone(former, std::time::Duration::ZERO), "{}", sandbox.log());
    provider.release();
    let mut connection = sandbox.connect();
    assert_eq!(connection.ok("daemon.status", json!({}))["pid"], next.id());
    let task = connection.task(task);
    assert_eq!((&task["state"], provider.calls()), (&json!("succeeded"), 1), "{task}");
    process::signal(next.id(), Signal::TERM);
    next.wait().unwrap();
}

#[test]
fn a_stopping_daemon_answers_and_can_be_told_to_stop_sooner() {
    let provider = FakeProvider::start();
    let (sandbox, _) = with_paid_call(&provider);
    let pid = sandbox.daemon_pid().unwrap();
    sandbox.connect().ok("daemon.shutdown", json!({}));
    let mut connection = sandbox.connect();
    let status = connection.ok("daemon.status", json!({}));
    assert_eq!((&status["wait_reason"], &status["tasks"]["running"]), (&json!("stopping"), &json!(1)));
    connection.ok("daemon.log_level", json!({ "filter": "debug" }));
    connection.ok("daemon.reload", json!({}));
    connection.ok("daemon.shutdown", json!({}));
    let error = connection.err("task.submit", json!({ "kind": "debug.noop" }));
    assert_eq!(error.known(), Some(ErrorCode::ShuttingDown), "{error:?}");
    // A second SIGTERM changes nothing, because its sender cannot know what an abrupt end would cost.
    process::signal(pid, Signal::TERM);
    assert_eq!(connection.ok("daemon.status", json!({}))["wait_reason"], "stopping");
    connection.ok("daemon.shutdown", json!({ "drain_s": 0 }));
    assert!(process::wait_gone(pid, DEADLINE), "{}", sandbox.log());
    provider.release();
}

#[test]
fn a_stop_that_waits_for_nothing_says_that_a_paid_call_was_abandoned() {
    let provider = FakeProvider::start();
    let (sandbox, id) = with_paid_call(&provider);
    let pid = sandbox.daemon_pid().unwrap();
    let says = |task: &serde_json::Value| {
        let hold = (&task["state"], &task["hold_reason"]);
        assert_eq!(hold, (&json!("held"), &json!("outcome_unknown")), "{task}");
        let message = task["error"]["message"].as_str().unwrap();
        assert!(message.contains("the daemon was stopped while studio was asked"), "{task}");
    };
    let mut connection = sandbox.connect();
    connection.ok("daemon.shutdown", json!({ "drain_s": 0 }));
    // A waiting client gets the outcome before the daemon ends.
    says(&connection.wait(id));
    assert!(process::wait_gone(pid, DEADLINE), "{}", sandbox.log());
    let log = sandbox.log();
    let line = log.lines().find(|line| line.contains("tasks did not stop")).expect("it is in the log");
    assert!(line.contains("WARN") && line.contains(&format!("held=\"{id}\"")), "{line}");
    provider.release();
    sandbox.start();
    says(&sandbox.connect().task(id));
}

#[test]
fn a_submission_to_a_stopping_daemon_waits_for_the_next_one() {
    let provider = FakeProvider::start();
    let (sandbox, _) = with_paid_call(&provider);
    sandbox.connect().ok("daemon.shutdown", json!({}));
    let mut command = sandbox.reel_command(&["submit", "debug", "noop"]);
    let mut submitting =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let former = sandbox.daemon_pid().unwrap();
    let mut said = String::new();
    BufReader::new(submitting.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("waiting for the next one"), "{said}");
    provider.release();
    process::finish(submitting).expect_code(0);
    assert!(process::wait_gone(former, DEADLINE));
    assert_ne!(sandbox.daemon_pid(), Some(former));
}

#[test]
fn eight_concurrent_calls_of_one_session_survive_a_crash_of_the_daemon() {
    let sandbox = Sandbox::started();
    let task = sandbox.connect().submit("debug.sleep", json!({ "ms": 600_000 }));
    let locations = Locations {
        home: sandbox.home().to_owned(),
        socket: sandbox.socket().to_owned(),
        is_socket_given: true,
        config: sandbox.config(),
    };
    // The sandbox finds the daemon that the library starts, because the home is in that daemon's environment.
    let daemon = process::binary("reeld");
    let options = ConnectOptions { daemon: Some(daemon), ..ConnectOptions::new(locations, "library") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let session = Arc::new(Session::connect(options).await.unwrap());
        let params = |seconds: u64| TaskWaitParams {
            ids: vec![TaskId(task)],
            timeout_s: Some(Seconds(std::time::Duration::from_secs(seconds))),
            ..TaskWaitParams::default()
        };
        for _ in 0..3 {
            let calls: Vec<_> = (0..8)
                .map(|_| {
                    let (session, params) = (Arc::clone(&session), params(2));
                    tokio::task::spawn_local(async move { session.call::<TaskWait>(&params).await })
                })
                .collect();
            session.call::<TaskWait>(&params(0)).await.unwrap();
            sandbox.kill();
            for call in calls {
                // The task is settled or the wait timed out. A task that runs at two deaths is held, which settles it.
                call.await.unwrap().unwrap();
            }
        }
    });
}
