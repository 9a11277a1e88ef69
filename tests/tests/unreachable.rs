//! A provider that cannot be reached: its tasks wait for it, however long that takes, and say why; one of its models that fails stops no other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use reel_tests::{
    Connection, FakeProvider, Sandbox, eventually,
    fake_provider::Fault,
    studio::{ask_once, config, prompt, studio, submit},
};
use rusqlite::Connection as Database;
use serde_json::{Value, json};

/// A daemon whose provider is away, and the address where it will be.
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
fn a_task_outlasts_a_provider_that_is_away_and_a_restart_though_it_is_paid() {
    let (sandbox, address) = studio_away("");
    let mut connection = sandbox.connect();
    let id = connection
        .submit_as(json!({ "kind": "image.generate", "params": prompt("patience"), "max_attempts": 1 }));
    let task = is_tried(&mut connection, id, 3);
    assert_eq!(task["wait_reason"], "provider_unreachable", "{task}");
    assert!(task["not_before"].is_string(), "{task}");
    assert_eq!(task["error"]["code"], "provider_unavailable", "{task}");
    let listed = sandbox.reel(&["providers"]);
    assert!(listed.stdout.contains("cannot be reached, tried again in"), "{}", listed.stdout);
    // One that was never tried says the same.
    let other = submit(&mut connection, "another");
    let task = connection.task(other);
    assert_eq!(
        (&task["wait_reason"], &task["attempts"]),
        (&json!("provider_unreachable"), &json!(0)),
        "{task}"
    );
    assert!(task["not_before"].is_string(), "{task}");
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
    // Hours of tries, each like the first one, which no test waits for.
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
fn a_hundred_tasks_ask_a_provider_that_is_away_no_more_often_than_one() {
    // It accepts and hangs up, which no TLS connection survives: nothing was sent.
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
    let tasks = (0..100).map(|n| json!({ "kind": "image.generate", "params": prompt(&format!("{n}")) }));
    let (_, ids) = connection.submit_batch(tasks.collect());
    // Two at once at first, then one after 1, 2 and 4 s.
    eventually("it is tried again", || (tries.load(Relaxed) >= 5).then_some(()));
    for id in ids {
        let task = connection.task(id);
        assert!(matches!(task["state"].as_str(), Some("queued" | "running")), "{task}");
    }
    assert!(tries.load(Relaxed) <= 6, "{}", tries.load(Relaxed));
}

#[test]
fn a_deadline_ends_the_waiting() {
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

#[test]
fn whoever_waits_off_a_terminal_is_told_why_and_only_once() {
    let (sandbox, address) = studio_away("");
    let mut waiting = sandbox.reel_command(&["generate", "a cat", "-s", "64x64"]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    let why = "studio at 127.0.0.1 cannot be reached";
    let is_why = |line: &String| line.starts_with("task 1 waits, next try ") && line.contains(why);
    let said: Vec<_> = lines.by_ref().take_while(|line| !is_why(line)).collect();
    assert!(said.len() < 4, "{said:?}");
    is_tried(&mut sandbox.connect(), 1, 4);
    let _provider = FakeProvider::start_at(address);
    assert!(waiting.wait().unwrap().success());
    let rest: Vec<_> = lines.collect();
    assert!(!rest.iter().any(|line| line.contains("waits") || line.contains("running")), "{rest:?}");
}

#[test]
fn a_batch_says_once_why_all_its_tasks_wait_and_when_the_next_try_is() {
    let (sandbox, address) = studio_away("");
    std::fs::write(sandbox.root().join("lines.txt"), "a\nb\nc\n").unwrap();
    let out = sandbox.root().join("out");
    let mut waiting =
        sandbox.reel_command(&["batch", "lines.txt", "-s", "64x64", "-o", &out.display().to_string()]);
    let waiting = waiting.current_dir(sandbox.root()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut waiting = waiting.spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    let is_why = |line: &String| {
        line.starts_with("the batch waits, next try ")
            && line.contains("studio at 127.0.0.1 cannot be reached")
    };
    assert!(lines.next().as_ref().is_some_and(is_why), "it says why as the first thing");
    // The batch has the first number.
    is_tried(&mut sandbox.connect(), 2, 4);
    let _provider = FakeProvider::start_at(address);
    assert!(waiting.wait().unwrap().success());
    let rest: Vec<_> = lines.collect();
    assert!(!rest.iter().any(|line| line.contains("waits")), "{rest:?}");
}

#[test]
fn a_timeout_says_what_the_task_waits_for_and_names_it_in_json() {
    let (sandbox, _) = studio_away("");
    let id = submit(&mut sandbox.connect(), "before");
    is_tried(&mut sandbox.connect(), id, 3);
    let waited = sandbox.reel(&["generate", "a dog", "-s", "64x64", "--timeout", "0.2s", "--json"]);
    let error = &waited.expect_code(124).json()["error"];
    assert_eq!((&error["code"], &error["task"]), (&json!("timed_out"), &json!(id + 1)), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("cannot be reached") && message.contains("next try in"), "{error}");
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
fn a_model_that_is_out_of_order_stops_no_other_model_of_its_provider() {
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
