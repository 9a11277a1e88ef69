//! Providers of the kind `a1111` while server and daemon stop, start and die, and the examples of its page.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path, time::Duration};

use reel_tests::{
    Connection, Random, Sandbox, eventually,
    fake_a1111::{Copy, FakeA1111, RunFault},
    pause,
    process::{binary, run},
    studio::prompt,
};
use serde_json::{Value, json};

fn section(url: &str, more: &str) -> String {
    format!(
        "[http]\nfirst_byte_s = 240\nread_s = 240\ntotal_s = 480\n\
         [providers.local]\nkind = \"a1111\"\nbase_url = \"{url}\"\n{more}\n"
    )
}

fn started(web_ui: &FakeA1111, more: &str) -> Sandbox {
    Sandbox::started_with(&section(&web_ui.base_url(), more))
}

fn submit(connection: &mut Connection, params: &Value, attempts: u32) -> u64 {
    connection.submit_as(json!({ "kind": "image.generate", "params": params, "max_attempts": attempts }))
}

fn check(sandbox: &Sandbox) -> (bool, String) {
    let result = sandbox.connect().ok("provider.check", json!({ "name": "local" }));
    (result["is_usable"].as_bool().unwrap(), result["detail"].as_str().unwrap().to_owned())
}

#[test]
fn a_server_that_does_not_run_is_waited_for_and_one_that_restarts_is_asked_again() {
    let mut web_ui = FakeA1111::start(Copy::WebUi);
    let sandbox = started(&web_ui, "");
    web_ui.stop();
    let (is_usable, detail) = check(&sandbox);
    assert!(!is_usable && detail.contains("--api"), "{detail}");
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, &prompt("early"), 3);
    eventually("the task waits", || (connection.task(id)["attempts"].as_u64() > Some(0)).then_some(()));
    web_ui.restart();
    assert_eq!(connection.wait(id)["state"], "succeeded");
    web_ui.on_prompt("during", RunFault::Held);
    let id = submit(&mut connection, &prompt("during"), 3);
    web_ui.wait_for_run();
    web_ui.be_good();
    web_ui.restart();
    assert_eq!(connection.wait(id)["state"], "succeeded");
    let without = FakeA1111::start(Copy::WithoutApi);
    let (is_usable, detail) = check(&started(&without, ""));
    assert!(!is_usable && detail.contains("with --api"), "{detail}");
}

#[test]
fn a_run_whose_answer_was_lost_is_interrupted_before_the_next_attempt() {
    let web_ui = FakeA1111::start(Copy::WebUi);
    let patient = section(&web_ui.base_url(), "");
    let sandbox = Sandbox::started_with(&patient.replace("first_byte_s = 240", "first_byte_s = 5"));
    web_ui.on_prompt("late", RunFault::Held);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, &prompt("late"), 1);
    let task = connection.wait(id);
    assert_eq!(task["error"]["code"], "answer_lost", "{task}");
    web_ui.wait_for_idle();
    assert_eq!((web_ui.interrupts(), web_ui.runs_of("late")), (1, 1));
}

#[test]
fn nothing_is_lost_when_the_daemon_is_killed_at_any_time() {
    let web_ui = FakeA1111::start(Copy::WebUi);
    let sandbox = started(&web_ui, "");
    let seed = Random::seed_from_env();
    let mut random = Random::new(seed);
    let mut accepted = Vec::new();
    for life in 0..8 {
        let mut connection = sandbox.connect();
        for task in 0..3 {
            accepted.push(submit(&mut connection, &prompt(&format!("life {life}, task {task}")), 50));
        }
        pause(Duration::from_micros(random.below(60_000)));
        sandbox.kill();
        sandbox.start();
    }
    let mut connection = sandbox.connect();
    for id in accepted {
        let task = connection.wait(id);
        // A task that was running at two deaths is held for a person.
        let is_suspect = task["hold_reason"] == "crash_suspect";
        assert!(is_suspect || task["state"] == "succeeded", "REEL_TEST_SEED={seed}: {task}");
        if !is_suspect {
            let output = &task["outputs"][0];
            assert_eq!(
                json!(fs::read(output["path"].as_str().unwrap()).unwrap().len()),
                output["size_bytes"]
            );
        }
    }
}

#[test]
fn the_examples_in_the_documentation_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/providers/a1111.md");
    let page = fs::read_to_string(page).unwrap();
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 2);
    for example in examples {
        let sandbox = Sandbox::new();
        sandbox.configure(example);
        run(sandbox.command(binary("reeld")).arg("--check-config")).expect_code(0);
    }
    for key in
        ["base_url", "api_key", "sampler", "scheduler", "steps", "cfg_scale", "batch_size", "max_concurrent"]
    {
        assert!(page.contains(&format!("| `{key}` |")), "the page does not explain {key}");
    }
}
