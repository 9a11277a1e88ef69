//! A provider that cannot be reached. Its tasks wait for any length of time and say why. A model that fails does not stop the provider's other
//! models.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use reel_tests::{
    Connection, FakeProvider, Lines, Sandbox, eventually,
    fake_provider::Fault,
    process,
    studio::{ask_once, config, prompt, studio, submit, unhurried_studio},
};
use rusqlite::Connection as Database;
use serde_json::{Value, json};

/// Starts a daemon whose provider does not listen, and returns the address on which it will listen.
fn studio_away(more: &str) -> (Sandbox, SocketAddr) {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new();
    sandbox.configure(&config(&sandbox, &provider, more));
    sandbox.start();
    (sandbox, provider.address())
}

#[track_caller]
fn is_tried(connection: &mut Connection, id: u64, attempts: u64) -> Value {
    eventually("the task is tried again and again", || {
        let task = connection.task(id);
        assert!(matches!(task["state"].as_str(), Some("queued" | "running")), "{task}");
        (task["state"] == "queued" && task["attempts"].as_u64() >= Some(attempts)).then_some(task)
    })
}

#[test]
fn a_paid_task_survives_an_unreachable_provider_and_a_restart() {
    let (sandbox, address) = studio_away("");
    let mut connection = sandbox.connect();
    let id = connection
        .submit_as(json!({ "kind": "image.generate", "params": prompt("patience"), "max_attempts": 1 }));
    is_tried(&mut connection, id, 3);
    // A task that was never tried gives the same reason. Between two tries there is a moment without a reason.
    let other = submit(&mut connection, "another");
    for id in [id, other] {
        let task = eventually("it says why it waits", || {
            Some(connection.task(id)).filter(|task| task["wait_reason"] == "provider_unreachable")
        });
        assert!(task["not_before"].is_string(), "{task}");
    }
    assert_eq!(connection.task(id)["error"]["code"], "provider_unavailable");
    eventually("both lists say so", || {
        let says = |command: &str| {
            sandbox.reel(&[command]).expect_code(0).stdout.contains("cannot be reached, tried again in")
        };
        (says("providers") && says("status")).then_some(())
    });
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    is_tried(&mut connection, id, 4);
    let provider = FakeProvider::start_at(address);
    for id in [id, other] {
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["error"]), (&json!("succeeded"), &Value::Null), "{task}");
    }
    assert_eq!(provider.calls(), 2);
}

#[test]
fn a_rate_limit_after_a_long_time_without_a_connection_ends_no_task() {
    let (sandbox, address) = studio_away("");
    let id = submit(&mut sandbox.connect(), "after a night");
    is_tried(&mut sandbox.connect(), id, 2);
    sandbox.kill();
    // Add 500 attempts to the journal, as after hours of failed connections, for which no test waits.
    let database = Database::open(sandbox.home().join("reel.db")).unwrap();
    database
        .execute_batch(
            "UPDATE attempts SET number = number + 500;
             WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 500)
             INSERT INTO attempts (task, number, provider, started_ms, ended_ms, outcome)
                 SELECT task, numbers.number, provider, started_ms, ended_ms, outcome FROM numbers,
                     (SELECT * FROM attempts ORDER BY number LIMIT 1);
             UPDATE tasks SET attempts = attempts + 500;",
        )
        .unwrap();
    drop(database);
    let provider = FakeProvider::start_at(address);
    provider.script([Fault::rate_limited(1)]);
    sandbox.start();
    let task = sandbox.connect().wait(id);
    assert_eq!((&task["state"], &task["error"]), (&json!("succeeded"), &Value::Null), "{task}");
    assert_eq!(provider.calls(), 2);
}

#[test]
fn a_hundred_tasks_try_an_unreachable_provider_no_more_often_than_one() {
    // The server accepts and closes each connection. The TLS handshake fails, so no request is sent.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counted.fetch_add(1, Relaxed);
        }
    });
    let sandbox = Sandbox::new();
    sandbox.configure(&format!(
        "[providers.studio]\nkind = \"openai\"\nbase_url = \"https://{address}/v1\"\nmax_concurrent = 2\n"
    ));
    sandbox.start();
    let mut connection = sandbox.connect();
    let begun = Instant::now();
    let tasks = (0..100).map(|n| json!({ "kind": "image.generate", "params": prompt(&format!("{n}")) }));
    let (_, ids) = connection.submit_batch(tasks.collect());
    // Two attempts begin at once, and then one each after 1, 2 and 4 s.
    eventually("it is tried again", || (tries.load(Relaxed) >= 5).then_some(()));
    for id in ids {
        let task = connection.task(id);
        assert!(matches!(task["state"].as_str(), Some("queued" | "running")), "{task}");
    }
    // The backoff doubles with each try, so the number of tries grows with the logarithm of the time.
    let (tries, seconds) = (tries.load(Relaxed), begun.elapsed().as_secs() as usize);
    assert!(tries <= 3 + (seconds + 2).ilog2() as usize, "{tries} in {seconds} s");
}

#[test]
fn a_deadline_ends_the_wait_for_a_provider() {
    let (sandbox, _) = studio_away("");
    let mut connection = sandbox.connect();
    let id = connection
        .submit_as(json!({ "kind": "image.generate", "params": prompt("soon"), "deadline_s": 2.0 }));
    let task = connection.wait(id);
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("deadline_exceeded")),
        "{task}"
    );
}

/// Starts a command. Returns its process, and the lines of its standard error.
fn waiting(sandbox: &Sandbox, arguments: &[&str]) -> (Child, Lines) {
    let mut command = sandbox.reel_command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(child.stderr.take().unwrap());
    (child, lines)
}

/// Whether these lines give the reason for waiting exactly once. One more line may say that the tries are 60 s apart.
fn say_why_once(said: &[String], begin: &str) -> bool {
    let (long, once): (Vec<_>, Vec<_>) = said
        .iter()
        // If the daemon is slow, the previous try may keep the provider busy for long.
        .filter(|line| line.contains(" waits") && !line.ends_with("waits: its provider is busy"))
        .partition(|line| line.ends_with("tried again every 60 s from now on"));
    let is_why = |line: &&String| {
        line.starts_with(begin)
            && line.contains("studio at 127.0.0.1:")
            && line.contains(" cannot be reached: nothing listens")
    };
    long.len() <= 1
        && long.iter().all(is_why)
        && once.len() <= 1
        && once.iter().all(is_why)
        && long.len() + once.len() > 0
}

#[test]
fn without_a_terminal_the_reason_for_waiting_is_printed_once() {
    let (sandbox, address) = studio_away("");
    let (child, mut lines) = waiting(&sandbox, &["generate", "a cat", "-s", "64x64"]);
    lines.with("task 1 waits, next try ");
    is_tried(&mut sandbox.connect(), 1, 4);
    let _provider = FakeProvider::start_at(address);
    let said = lines.all();
    process::finish(child).expect_code(0);
    assert!(say_why_once(&said, "task 1 waits, next try "), "{said:?}");
    for state in ["task 1 is queued", "task 1 is running"] {
        assert!(said.iter().filter(|line| line.starts_with(state)).count() <= 1, "{said:?}");
    }
}

#[test]
fn a_batch_prints_once_why_its_tasks_wait_and_when_the_next_try_is() {
    let (sandbox, address) = studio_away("");
    std::fs::write(sandbox.work().join("lines.txt"), "a\nb\nc\n").unwrap();
    let (child, mut lines) = waiting(&sandbox, &["batch", "lines.txt", "-s", "64x64", "-o", "out"]);
    lines.with("the batch waits, next try ");
    // The batch has id 1, so its first task has id 2.
    is_tried(&mut sandbox.connect(), 2, 4);
    let _provider = FakeProvider::start_at(address);
    let said = lines.all();
    process::finish(child).expect_code(0);
    assert!(say_why_once(&said, "the batch waits, next try "), "{said:?}");
}

#[test]
fn a_repeated_batch_returns_to_its_tasks_and_an_equal_request_says_that_it_waits() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "max_concurrent = 2");
    provider.hold();
    std::fs::write(sandbox.work().join("lines.txt"), "a\nb\n").unwrap();
    let run = || waiting(&sandbox, &["batch", "lines.txt", "-s", "64x64", "-o", "out"]);
    let (child, mut lines) = run();
    provider.wait_for_in_flight(2);
    process::signal(child.id(), rustix::process::Signal::INT);
    lines.with("still running in the background: run the same batch command again");
    process::finish(child).expect_code(130);
    let (child, mut lines) = run();
    lines.with("continuing 2 tasks of an earlier run");
    let (again, mut of_one) = waiting(&sandbox, &["generate", "a", "-s", "64x64"]);
    of_one.with("waits: an equal request is under way already");
    let listed = sandbox.reel(&["ls"]);
    assert!(listed.expect_code(0).stdout.contains("equal request"), "{}", listed.stdout);
    provider.release();
    for (child, lines) in [(child, lines), (again, of_one)] {
        lines.rest();
        process::finish(child).expect_code(0);
    }
    assert_eq!(provider.calls(), 2);
}

#[test]
fn every_list_says_why_a_provider_is_not_used() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.always(Fault::rate_limited(3600));
    let id = submit(&mut sandbox.connect(), "first");
    let mut connection = sandbox.connect();
    eventually("it is limited", || connection.task(id)["not_before"].is_string().then_some(()));
    let other = submit(&mut connection, "second");
    for (command, words) in [
        ("ls", "rate limited, "),
        ("ls", "provider's pause, "),
        ("status", ", asked for a pause, tried again in "),
        ("providers", "asked for a pause, tried again in "),
    ] {
        let ran = sandbox.reel(&[command]);
        assert!(ran.expect_code(0).stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let listed = sandbox.reel(&["ls", "--json"]).expect_code(0).json();
    assert_eq!(listed["tasks"][0]["wait_reason"], "provider_pause", "{listed}");
    let waited = sandbox.reel(&["wait", &other.to_string(), "--timeout", "0.2s"]);
    let said = &waited.expect_code(124).stderr;
    let begin = format!("task {other} waits, next try in ");
    let is_why = |line: &str| line.starts_with(&begin) && line.ends_with(": its provider asked for a pause");
    assert!(said.lines().any(is_why), "{said}");
}

#[test]
fn a_timeout_says_what_the_task_waits_for_and_names_it_in_json() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.always(Fault::rate_limited(3600));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "before");
    eventually("it is limited", || connection.task(id)["not_before"].is_string().then_some(()));
    let waited = sandbox.reel(&["generate", "a dog", "-s", "64x64", "--timeout", "0.2s", "--json"]);
    let error = &waited.expect_code(124).json()["error"];
    assert_eq!((&error["code"], &error["task"]), (&json!("timed_out"), &json!(id + 1)), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("asked for a pause") && message.contains("next try in"), "{error}");
}

#[test]
fn a_failure_names_its_task_in_json() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.always(Fault::Moderated);
    let failed = sandbox.reel(&["generate", "a cat", "-s", "64x64", "--json"]);
    let error = &failed.expect_code(1).json()["error"];
    assert_eq!((&error["code"], &error["task"]), (&json!("moderated"), &json!(1)), "{error}");
}

#[test]
fn a_failing_model_stops_no_other_model_of_its_provider() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "billing = \"free\"");
    let mut connection = sandbox.connect();
    provider.script(std::iter::repeat_n(Fault::Unavailable, 5));
    for n in 0..5 {
        assert_eq!(ask_once(&mut connection, &format!("{n}"))["state"], "failed");
    }
    let waiting = submit(&mut connection, "of the model that fails");
    assert_eq!(connection.task(waiting)["wait_reason"], "provider_down");
    let other =
        connection.generate(json!({ "prompt": "another", "width": 64, "height": 64, "model": "other" }));
    assert_eq!((&other["state"], &other["model"]), (&json!("succeeded"), &json!("other")), "{other}");
    provider.on_prompt("limited", Fault::rate_limited(30));
    let limited = connection.submit(
        "image.generate",
        json!({ "prompt": "limited", "width": 64, "height": 64, "model": "limited" }),
    );
    eventually("it is limited", || (connection.task(limited)["attempts"] == 1).then_some(()));
    connection.generate(json!({ "prompt": "a third", "width": 64, "height": 64, "model": "other" }));
    assert_eq!(connection.task(waiting)["state"], "queued", "its own model is still left alone");
}
