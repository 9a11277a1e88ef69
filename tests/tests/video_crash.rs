//! Kills the daemon with SIGKILL at random times during jobs at a service. Each job is submitted at most once, and delivered or held.
//!
//! The seed is printed. Set `REEL_TEST_SEED` to it to repeat the same times. `REEL_TEST_LIVES` sets how often the daemon is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{env, fs, time::Duration};

use reel_tests::{
    FakeProvider, Random,
    fake_provider::{FILM, VideoPlan},
    pause,
    studio::studio,
};
use serde_json::{Value, json};

/// Default number of kills.
const LIVES: usize = 20;
/// Number of tasks that are submitted after each start.
const TASKS: u64 = 4;

#[expect(clippy::print_stdout, reason = "a failure can only be run again with its seed")]
fn seeded() -> Random {
    let seed = Random::seed_from_env();
    println!("REEL_TEST_SEED={seed}");
    Random::new(seed)
}

fn plan(random: &mut Random) -> VideoPlan {
    VideoPlan {
        polls_until_done: random.below(2) as usize,
        loses_answer: random.below(6) == 0,
        failing_polls: usize::from(random.below(6) == 0),
        failing_fetches: usize::from(random.below(6) == 0),
        ..VideoPlan::default()
    }
}

#[test]
fn a_paid_job_is_submitted_once_whenever_the_daemon_dies() {
    let lives = env::var("REEL_TEST_LIVES").map_or(LIVES, |lives| lives.parse().unwrap());
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "services = [\"video\"]\nmax_concurrent = 500");
    let mut random = seeded();
    let mut accepted: Vec<(String, u64)> = Vec::new();
    for life in 0..lives {
        let mut connection = sandbox.connect();
        for task in 0..TASKS {
            let prompt = format!("life {life}, task {task}");
            provider.videos().on_prompt(&prompt, plan(&mut random));
            let spec = json!({ "kind": "video.generate", "params": { "prompt": prompt } });
            accepted.push((prompt, connection.submit_as(spec)));
        }
        // Submissions take some milliseconds, and polls begin a second later.
        let most_us = if random.below(2) == 0 { 30_000 } else { 1_500_000 };
        pause(Duration::from_micros(random.below(most_us)));
        sandbox.kill();
        sandbox.start();
    }
    let mut connection = sandbox.connect();
    let (mut delivered, mut held, mut resumed) = (0, 0, 0);
    for (prompt, id) in accepted {
        let task = connection.wait(id);
        let jobs = provider.videos().jobs_of(&prompt).len();
        match task["state"].as_str().unwrap() {
            "succeeded" => {
                assert_eq!(jobs, 1, "{task}");
                assert_delivered(&task);
                delivered += 1;
                resumed += usize::from(task["attempts"].as_u64() > Some(1));
            }
            "held" => {
                assert!(jobs <= 1 && task["hold_reason"] == "outcome_unknown", "{jobs} jobs: {task}");
                held += 1;
            }
            state => panic!("{state}: {task}"),
        }
    }
    assert!(delivered > held && resumed > 0, "{delivered} delivered, {resumed} of them resumed, {held} held");
}

fn assert_delivered(task: &Value) {
    assert_eq!(fs::read(task["outputs"][0]["path"].as_str().unwrap()).unwrap(), FILM, "{task}");
}
