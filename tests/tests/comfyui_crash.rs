//! Kills the daemon and the server of ComfyUI at random times. Nothing is lost, and nothing runs twice where the server still knows the first job.
//!
//! The seed is printed. Set `REEL_TEST_SEED` to it to repeat the same times. `REEL_TEST_LIVES` sets how often something is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{collections::BTreeMap, env, fs, time::Duration};

use reel_tests::{Connection, FakeComfyui, Random, Sandbox, eventually, pause};
use serde_json::json;

/// Default number of kills.
const LIVES: usize = 12;
/// Number of tasks that are submitted after each start.
const TASKS: u64 = 3;

#[track_caller]
fn comfy(server: &FakeComfyui, more: &str) -> Sandbox {
    Sandbox::started_with(&format!(
        "[providers.comfy]\nkind = \"comfyui\"\nbase_url = \"{}\"\n{more}\n",
        server.base_url()
    ))
}

fn submit(connection: &mut Connection, prompt: &str) -> u64 {
    connection.submit("image.generate", json!({ "prompt": prompt, "width": 32, "height": 32 }))
}

#[expect(clippy::print_stdout, reason = "a failure can only be run again with its seed")]
fn seeded() -> Random {
    let seed = Random::seed_from_env();
    println!("REEL_TEST_SEED={seed}");
    Random::new(seed)
}

#[test]
fn nothing_is_lost_and_nothing_runs_twice_while_the_server_knows_it() {
    let lives = env::var("REEL_TEST_LIVES").map_or(LIVES, |lives| lives.parse().unwrap());
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, "max_concurrent = 4");
    let mut random = seeded();
    let mut accepted: Vec<(String, u64)> = Vec::new();
    for life in 0..lives {
        let mut connection = sandbox.connect();
        for task in 0..TASKS {
            let prompt = format!("life {life}, task {task}");
            let id = submit(&mut connection, &prompt);
            accepted.push((prompt, id));
        }
        match random.below(4) {
            0 => server.lose_answers(1),
            1 => server.lose_requests(1),
            _ => {}
        }
        pause(Duration::from_micros(random.below(60_000)));
        match random.below(3) {
            0 => {
                server.kill();
                pause(Duration::from_micros(random.below(60_000)));
                server.start_again();
            }
            1 => {
                sandbox.kill();
                sandbox.start();
            }
            _ => {
                sandbox.kill();
                server.kill();
                server.start_again();
                sandbox.start();
            }
        }
    }
    let mut connection = sandbox.connect();
    for (prompt, id) in accepted {
        let mut task = connection.wait(id);
        // A task during which the daemon died twice, each time before its job was journaled, waits for a person.
        while task["hold_reason"] == "crash_suspect" {
            connection.ok("task.release", json!({ "id": id }));
            task = connection.wait(id);
        }
        assert_eq!(task["state"], "succeeded", "{prompt}: {task}");
        assert!(fs::metadata(task["outputs"][0]["path"].as_str().unwrap()).unwrap().len() > 0);
        // In one life of the server, which ends with its history, a job is submitted at most once.
        let mut by_life: BTreeMap<usize, usize> = BTreeMap::new();
        for post in server.posts_of(&prompt) {
            *by_life.entry(post.life).or_default() += 1;
        }
        assert!(by_life.values().all(|posts| *posts == 1), "{prompt}: {by_life:?}");
    }
    assert_eq!(server.queue(), Vec::<String>::new());
}

#[test]
fn a_restarted_daemon_finds_the_job_and_submits_nothing() {
    let server = FakeComfyui::start();
    server.hold();
    let sandbox = comfy(&server, "");
    let id = submit(&mut sandbox.connect(), "a storm");
    server.wait_until_held();
    sandbox.kill();
    server.release();
    sandbox.start();
    assert_eq!(sandbox.connect().wait(id)["state"], "succeeded");
    // A daemon that is stopped in good order leaves the job to the server, too.
    server.hold();
    let id = submit(&mut sandbox.connect(), "a calm");
    server.wait_until_held();
    sandbox.reel(&["daemon", "restart"]).expect_code(0);
    server.release();
    assert_eq!(sandbox.connect().wait(id)["state"], "succeeded");
    assert_eq!((server.posts().len(), server.interrupts().len()), (2, 0));
}

#[test]
fn files_of_a_job_are_found_after_the_server_has_forgotten_the_job() {
    // An old server knows the job by an id of its own, by which the files are not named.
    for is_old in [false, true] {
        let server = FakeComfyui::start();
        if is_old {
            server.be_old();
        }
        server.hold();
        let sandbox = comfy(&server, "");
        let id = submit(&mut sandbox.connect(), "a river");
        let job = server.wait_until_held();
        eventually("the answer to the submission has arrived", || {
            let message = sandbox.connect().task(id)["progress"]["message"].clone();
            message.as_str().is_some_and(|message| !message.starts_with("submitting")).then_some(())
        });
        sandbox.kill();
        server.release();
        eventually("the job is done", || server.has_done(&job).then_some(()));
        server.kill();
        server.start_again();
        sandbox.start();
        assert_eq!(sandbox.connect().wait(id)["state"], "succeeded");
        assert_eq!(server.posts().len(), 1, "the picture was on the disk of the server: {is_old}");
    }
}

#[test]
fn a_lost_submission_is_looked_for_before_it_is_repeated() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, "");
    let mut connection = sandbox.connect();
    server.lose_answers(1);
    let id = submit(&mut connection, "taken");
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(server.posts_of("taken").len(), 1);
    server.lose_requests(1);
    let id = submit(&mut connection, "not taken");
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(server.posts_of("not taken").len(), 1);
}

#[test]
fn a_job_that_a_rented_server_has_lost_is_held_until_a_person_decides() {
    let server = FakeComfyui::start();
    server.hold();
    let sandbox = comfy(&server, "billing = \"paid\"");
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a tower");
    server.wait_until_held();
    server.kill();
    server.start_again();
    server.release();
    let held = eventually("the task is held", || {
        let task = connection.task(id);
        (task["state"] == "held").then_some(task)
    });
    assert_eq!(held["hold_reason"], "outcome_unknown", "{held}");
    assert_eq!(server.posts().len(), 1);
    connection.ok("task.release", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(server.posts().len(), 2);
}
