//! Previews that a service sends before the picture is finished. They are shown while the task runs, removed with it, and never become the result.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    Connection, FakeProvider, Sandbox, eventually,
    fake_provider::{Cut, Fault},
    studio::{ask_once, prompt, studio, submit, unhurried_studio},
    terminal::Terminal,
};
use serde_json::{Value, json};

const PREVIEWS: &str = "partial_images = 2\n";

fn listen(sandbox: &Sandbox) -> Connection {
    let mut listener = sandbox.connect();
    listener.ok("events.subscribe", json!({ "topics": ["task"], "partial": true }));
    listener
}

fn next_partial(listener: &mut Connection) -> Value {
    loop {
        let event = listener.next_event();
        if event["event"] == "partial" {
            return event["partial"].clone();
        }
    }
}

/// Counts the files in the store that have no final name yet.
fn unnamed_files(sandbox: &Sandbox) -> usize {
    fs::read_dir(sandbox.home().join("artifacts/tmp")).map_or(0, Iterator::count)
}

#[test]
fn a_preview_is_shown_before_the_picture_is_finished_and_removed_with_the_attempt() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, PREVIEWS);
    let mut listener = listen(&sandbox);
    provider.script([Fault::Half]);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a cat");
    let partial = next_partial(&mut listener);
    assert_eq!((&partial["id"], &partial["index"], &partial["offset"]), (&json!(id), &json!(0), &json!(0)));
    assert_eq!(partial["text"], "");
    let path = partial["preview_path"].as_str().unwrap().to_owned();
    assert_eq!(Path::new(&path).extension().unwrap(), "png");
    assert!(fs::read(&path).unwrap().starts_with(b"\x89PNG"));
    eventually("the preview is told with the progress", || {
        let task = connection.task(id);
        let message = task["progress"]["message"].as_str().unwrap();
        (message.starts_with("preview 1 of studio: ") && message.ends_with(&path)).then_some(())
    });
    provider.finish_halves();
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["notes"]), (&json!("succeeded"), &json!([])), "{task}");
    let second = next_partial(&mut listener);
    assert_eq!(second["offset"], 1);
    assert!(!Path::new(&path).exists());
    assert_eq!(unnamed_files(&sandbox), 0);
    let sent = provider.requests().last().unwrap().json();
    assert_eq!((&sent["stream"], &sent["partial_images"]), (&json!(true), &json!(2)));
    assert_eq!(task["outputs"].as_array().unwrap().len(), 1);

    // The same picture requested without previews is the same result.
    sandbox.configure(&fs::read_to_string(sandbox.config()).unwrap().replace(PREVIEWS, ""));
    sandbox.reel(&["daemon", "reload"]).expect_code(0);
    let plain = connection.submit("image.generate", prompt("a cat"));
    assert_eq!(connection.wait(plain)["source"], "cache");
    let id = connection
        .submit_as(json!({ "kind": "image.generate", "params": prompt("a cat"), "cache": "fresh" }));
    assert_eq!(connection.wait(id)["outputs"][0]["digest"], task["outputs"][0]["digest"]);
    assert_eq!(provider.requests().last().unwrap().json()["stream"], Value::Null);
}

#[test]
fn a_preview_is_never_the_result() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, PREVIEWS);
    let mut connection = sandbox.connect();
    let stream = |events: &[Value]| {
        let events: Vec<_> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        let body = events.concat();
        Fault::Answered {
            status: 200,
            media_type: "text/event-stream",
            headers: Vec::new(),
            body: body.into(),
        }
    };
    sandbox
        .reel(&["generate", "a tree", "-s", "64x64", "--provider", "draft", "-o", "tree.png"])
        .expect_code(0);
    let picture = STANDARD.encode(fs::read(sandbox.work().join("tree.png")).unwrap());
    let partial =
        json!({ "type": "image_generation.partial_image", "b64_json": picture, "partial_image_index": 0 });
    let refused = json!({ "type": "error", "error": { "message": "safety", "code": "moderation_blocked" } });
    let overloaded =
        json!({ "type": "error", "error": { "message": "slow down", "code": "rate_limit_exceeded" } });
    for (name, fault, state, code) in [
        ("cut after the preview", Fault::Cut(Cut::BeforeLastBrace), "succeeded", Value::Null),
        ("cut in the picture", Fault::Cut(Cut::Base64), "held", json!("answer_lost")),
        ("no finished picture", stream(std::slice::from_ref(&partial)), "held", json!("answer_lost")),
        ("refused on the way", stream(&[partial.clone(), refused]), "failed", json!("moderated")),
        ("broken off on the way", stream(&[partial, overloaded]), "failed", json!("provider_failed")),
    ] {
        provider.forget();
        provider.on_prompt(name, fault);
        let task = ask_once(&mut connection, name);
        assert_eq!((&task["state"], &task["error"]["code"]), (&json!(state), &code), "{name}: {task}");
        assert_eq!(provider.calls(), 1, "{name}");
        assert_eq!(unnamed_files(&sandbox), 0, "{name}");
    }
}

#[test]
fn previews_are_requested_where_the_api_has_them() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, PREVIEWS);
    let sent = || provider.requests().last().unwrap().json();
    sandbox.reel(&["generate", "a cat", "-s", "64x64", "-n", "2", "-o", "cats.png"]).expect_code(0);
    assert_eq!(sent()["stream"], Value::Null, "a stream has one picture");
    sandbox.reel(&["generate", "a cat", "-s", "64x64", "--model", "dall-e-3", "-o", "a.png"]).expect_code(0);
    assert_eq!(sent()["stream"], Value::Null, "these models stream nothing");
    sandbox.reel(&["generate", "a dog", "-s", "64x64", "--image", "a.png", "-o", "b.png"]).expect_code(0);
    let parts = provider.requests().last().unwrap().parts();
    let field = |name: &str| parts.iter().find(|part| part.name == name).map(|part| part.bytes.clone());
    assert_eq!(field("stream").unwrap(), b"true");
    assert_eq!(field("partial_images").unwrap(), b"2");
    sandbox
        .configure(&fs::read_to_string(sandbox.config()).unwrap().replace(PREVIEWS, "partial_images = 4\n"));
    let refused = sandbox.reel(&["config", "check"]);
    refused.expect_code(78);
    assert!(
        refused.stderr.contains("partial_images must be a whole number from 0 to 3"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_person_sees_that_a_preview_came() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, PREVIEWS);
    provider.script([Fault::Half]);
    let terminal = Terminal::open();
    let side = || terminal.program_side();
    let mut command = sandbox.reel_command(&["generate", "a cat", "-s", "64x64", "-o", "cat.png"]);
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    eventually("the preview is told", || terminal.shown().contains("task 1: preview 1 is /").then_some(()));
    provider.finish_halves();
    assert!(child.wait().unwrap().success());
    let plain = sandbox.reel(&["generate", "a dog", "-s", "64x64", "-o", "dog.png"]);
    let lines: Vec<_> = plain.expect_code(0).stderr.lines().filter(|line| line.contains("preview")).collect();
    assert!(lines.len() == 2 && lines[0].starts_with("task 2: preview 1 is /"), "{}", plain.stderr);
    assert_eq!(plain.stdout, "dog.png\n");
}
