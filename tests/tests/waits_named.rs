//! A person sees soon why work makes no progress: a refused key is named although another provider is waited for, and a film names its steps that wait.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, process::Stdio};

use reel_tests::{FakeProvider, Lines, Sandbox, eventually, process};
use serde_json::json;

/// A server that refuses every key, and the address of one that does not listen.
fn servers() -> (FakeProvider, String) {
    let refusing = FakeProvider::start();
    refusing.require_key(Some("sk-another-key"));
    (refusing, FakeProvider::start().base_url())
}

fn section(name: &str, base_url: &str, service: &str, rank: u32) -> String {
    format!(
        "[providers.{name}]\nkind = \"openai\"\nbase_url = \"{base_url}\"\napi_key = \"sk-a-wrong-key\"\nmodel = \"m\"\nservices = [\"{service}\"]\nrank = {rank}\n"
    )
}

/// Runs a command until one of its messages contains this text, and then kills it.
#[track_caller]
fn says(sandbox: &Sandbox, arguments: &[&str], text: &str) {
    let mut child =
        sandbox.reel_command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    Lines::of(child.stderr.take().unwrap()).with(text);
    process::kill(child.id());
    child.wait().unwrap();
}

#[test]
fn a_refused_key_is_named_although_the_next_provider_is_waited_for() {
    let (refusing, away) = servers();
    let sandbox = Sandbox::new();
    sandbox.configure(
        &[section("refusing", &refusing.base_url(), "image", 1), section("away", &away, "image", 2)].concat(),
    );
    sandbox.start();
    let mut connection = sandbox.connect();
    let id = connection.submit("image.generate", json!({ "prompt": "a pier", "width": 64, "height": 64 }));
    let error = eventually("the task waits for the second provider", || {
        let task = connection.task(id);
        (task["wait_reason"] == "provider_unreachable" && task["error"]["code"] == "provider_unavailable")
            .then(|| task["error"]["message"].as_str().unwrap().to_owned())
    });
    let (first, second) = error.split_once("; then ").unwrap_or_else(|| panic!("{error}"));
    assert!(first.starts_with("refusing: ") && first.contains("401"), "{error}");
    assert!(second.starts_with("away ") && second.contains("cannot be reached"), "{error}");
    // A task that was never tried at the second provider says the same.
    says(&sandbox, &["generate", "another pier", "-o", "-"], "refusing: ");
    let shown = sandbox.reel(&["show", &id.to_string()]).expect_code(0).stdout.clone();
    assert!(shown.contains("do not count") && shown.contains("next try"), "{shown}");
}

#[test]
fn a_film_names_the_step_that_failed_and_the_one_that_waits() {
    let (refusing, away) = servers();
    let sandbox = Sandbox::new();
    sandbox.configure(
        &[section("teller", &refusing.base_url(), "voice", 1), section("painter", &away, "image", 1)]
            .concat(),
    );
    sandbox.start();
    let story = sandbox.work().join("story.txt");
    fs::write(&story, "The lighthouse stood alone.\n").unwrap();
    let arguments = ["make", story.to_str().unwrap()];
    says(&sandbox, &arguments, "picture/a1 waits");
    let listed = sandbox.connect().ok("task.list", json!({}));
    let film = listed["tasks"].as_array().unwrap().iter().find(|task| task["kind"] == "story.make").unwrap();
    let id = film["id"].to_string();
    let shown = sandbox.reel(&["show", &id]).expect_code(0).stdout.clone();
    assert!(shown.contains("voice/a1 failed: teller: ") && shown.contains("picture/a1 waits"), "{shown}");
    // The same command goes on with the same task, whose voice failed before.
    says(&sandbox, &arguments, "voice/a1 failed: teller: ");
    // The filter lists the steps of this film only.
    let steps = sandbox.connect().ok("task.list", json!({ "parent": film["id"] }));
    let steps = steps["tasks"].as_array().unwrap();
    assert!(steps.len() >= 2 && steps.iter().all(|step| step["parent"] == film["id"]), "{steps:?}");
}

#[test]
fn a_storyboard_names_the_provider_that_it_waits_for() {
    let (_, away) = servers();
    let sandbox = Sandbox::new();
    sandbox.configure(&section("writer", &away, "text", 1));
    sandbox.start();
    let story = sandbox.work().join("story.txt");
    fs::write(&story, "The lighthouse stood alone.\n").unwrap();
    says(&sandbox, &["make", story.to_str().unwrap()], "writer at ");
}
