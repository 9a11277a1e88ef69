//! Kills the daemon with SIGKILL at random times during provider calls. Each result is delivered once. An interrupted call is made again if it is
//! free, and held if it is paid.
//!
//! The seed is printed. Set `REEL_TEST_SEED` to it to repeat the same times.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, time::Duration};

use reel_tests::{
    FakeProvider, Random, Sandbox, eventually,
    fake_provider::Delivery,
    pause,
    studio::{prompt, studio},
};
use serde_json::{Value, json};

/// Number of times that the daemon is started. Each time it is killed within moments.
const LIVES: usize = 24;
const LAST_LIFE: usize = LIVES - 1;
/// Number of tasks that are submitted after each start.
const TASKS: u64 = 6;

#[expect(clippy::print_stdout, reason = "a failure can only be run again with its seed")]
fn seeded() -> Random {
    let seed = Random::seed_from_env();
    println!("REEL_TEST_SEED={seed}");
    Random::new(seed)
}

fn text_of(life: usize, task: u64) -> String {
    format!("life {life}, task {task}")
}

/// Submits some tasks after each start, kills the daemon at a random time, and lets the last start finish everything. Returns all prompts with their
/// settled tasks.
fn die_often(sandbox: &Sandbox, provider: &FakeProvider) -> Vec<(String, Value)> {
    let mut random = seeded();
    let mut accepted = Vec::new();
    provider.delay(Duration::from_millis(8));
    for life in 0..LIVES {
        // The picture is either in the response or has to be fetched.
        provider.deliver(if random.below(3) == 0 { Delivery::RelativeUrl } else { Delivery::Base64 });
        let mut connection = sandbox.connect();
        if life == LAST_LIFE {
            for (_, id) in &accepted {
                connection.wait(*id);
            }
            provider.hold();
        }
        for task in 0..TASKS {
            let text = text_of(life, task);
            let spec = json!({ "kind": "image.generate", "params": prompt(&text), "max_attempts": 50 });
            // Only acknowledged tasks count.
            let id = connection.submit_as(spec);
            accepted.push((text, id));
        }
        match life {
            // At least one task is delivered, however slow the machine is.
            0 => drop(connection.wait(accepted[0].1)),
            // At least one call is in flight at a death, and its task was not running at an earlier one.
            LAST_LIFE => eventually("a call is under way", || {
                let calls = |task| provider.calls_of(&text_of(life, task));
                (0..TASKS).map(calls).any(|calls| calls > 0).then_some(())
            }),
            _ => pause(Duration::from_micros(random.below(60_000))),
        }
        sandbox.kill();
        provider.release();
        sandbox.start();
    }
    let mut connection = sandbox.connect();
    accepted.into_iter().map(|(text, id)| (text, connection.wait(id))).collect()
}

fn assert_delivered(task: &Value) {
    let output = &task["outputs"][0];
    let bytes = fs::read(output["path"].as_str().unwrap()).unwrap();
    assert_eq!(json!(bytes.len()), output["size_bytes"], "{task}");
}

#[test]
fn a_paid_call_is_delivered_once_or_held_and_never_made_twice() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "max_concurrent = 4");
    let (mut delivered, mut held) = (0, 0);
    for (text, task) in die_often(&sandbox, &provider) {
        let calls = provider.calls_of(&text);
        match task["state"].as_str().unwrap() {
            "succeeded" => {
                assert_eq!(calls, 1, "{task}");
                assert_delivered(&task);
                delivered += 1;
            }
            "held" => {
                assert!(calls <= 1 && task["hold_reason"] == "outcome_unknown", "{calls} calls: {task}");
                held += 1;
            }
            state => panic!("{state}: {task}"),
        }
    }
    assert!(delivered > 0 && held > 0, "{delivered} delivered, {held} held");
}

#[test]
fn a_free_call_is_delivered_though_it_is_made_again() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "max_concurrent = 4\nbilling = \"free\"");
    let mut repeated = 0;
    for (text, task) in die_often(&sandbox, &provider) {
        let calls = provider.calls_of(&text);
        match task["state"].as_str().unwrap() {
            "succeeded" => {
                assert!(calls >= 1, "{task}");
                assert_delivered(&task);
                repeated += usize::from(calls > 1);
            }
            // The task was running at two deaths, so a person has to decide about it.
            "held" => assert_eq!(task["hold_reason"], "crash_suspect", "{task}"),
            state => panic!("{state}: {task}"),
        }
    }
    assert!(repeated > 0);
}
