//! `reel animate`: a video that begins with a picture, made by a service and by draft.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, Sandbox, eventually,
    fake_provider::{FILM, VideoPlan},
    needs,
    studio::studio,
};
use reeld::media::{Condition, Limits, inspect};
use serde_json::json;

/// Draws a picture of this size into the working directory.
fn draw(sandbox: &Sandbox, name: &str, size: &str) {
    let drawn = sandbox.reel(&["generate", "a lighthouse", "--provider", "draft", "-s", size, "-o", name]);
    drawn.expect_code(0);
}

#[test]
fn a_service_gets_the_picture_and_the_file_is_what_it_made() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "services = [\"video\"]\nmodels = { video = \"sora-2\" }");
    draw(&sandbox, "lighthouse.png", "64x96");
    let ran = sandbox.reel(&[
        "animate",
        "lighthouse.png",
        "waves break on the rocks",
        "--seconds",
        "8",
        "--size",
        "720x1280",
        "-o",
        "waves.mp4",
    ]);
    assert_eq!(ran.expect_code(0).stdout, "waves.mp4\n", "{}", ran.stderr);
    assert_eq!(fs::read(sandbox.work().join("waves.mp4")).unwrap(), FILM);
    let jobs = provider.videos().jobs();
    let sent = |name: &str| jobs[0].fields.get(name).map(String::as_str);
    assert_eq!(
        (sent("prompt"), sent("seconds"), sent("size")),
        (Some("waves break on the rocks"), Some("8"), Some("720x1280"))
    );
    let picture = fs::read(sandbox.work().join("lighthouse.png")).unwrap();
    assert_eq!(provider.videos().picture_of(&jobs[0].id), Some(picture));
    // The same request costs nothing. Another picture makes another video.
    let again = sandbox.reel(&[
        "animate",
        "lighthouse.png",
        "waves break on the rocks",
        "--seconds",
        "8",
        "-s",
        "720x1280",
        "--json",
    ]);
    let again = again.expect_code(0).json();
    assert_eq!(
        (&again["task"]["source"], &again["files"][0]),
        (&json!("cache"), &json!("waves-break-on-the-rocks.mp4"))
    );
    draw(&sandbox, "other.png", "64x128");
    let other = sandbox.reel(&["animate", "other.png", "waves break on the rocks", "-o", "other.mp4"]);
    other.expect_code(0);
    assert_eq!(provider.videos().jobs().len(), 2);
}

#[test]
fn bad_requests_are_refused_before_anything_is_paid() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "services = [\"video\"]");
    draw(&sandbox, "a.png", "64x64");
    fs::write(sandbox.work().join("there.mp4"), "mine").unwrap();
    for (arguments, code, words) in [
        (&["missing.png", "waves"][..], 66, "missing.png"),
        (&["a.png", " "], 65, "the prompt is empty"),
        (&["a.png", "waves", "-o", "a.gif"], 64, "a.gif does not end in .mp4"),
        (&["a.png", "waves", "-o", "there.mp4"], 73, "there.mp4"),
        (&["a.png", "waves", "--seconds", "0"], 65, "duration_s 0"),
        (&["a.png", "waves", "--size", "big"], 64, "WIDTHxHEIGHT"),
        (&["a.png"], 64, "PROMPT"),
    ] {
        let ran = sandbox.reel(&[&["animate"], arguments].concat());
        assert!(ran.expect_code(code).stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(provider.videos().jobs().len(), 0);
    assert_eq!(fs::read(sandbox.work().join("there.mp4")).unwrap(), b"mine");
}

#[test]
fn progress_comes_from_the_service_and_an_interrupted_wait_loses_nothing() {
    let provider = FakeProvider::start();
    provider.videos().always(VideoPlan { polls_until_done: 3, ..VideoPlan::default() });
    let sandbox = studio(&provider, "services = [\"video\"]");
    draw(&sandbox, "a.png", "64x64");
    let late = sandbox.reel(&["animate", "a.png", "slow waves", "--timeout", "0.5s"]);
    late.expect_code(124);
    let mut connection = sandbox.connect();
    let id = connection.ok("task.list", json!({}))["tasks"][0]["id"].as_u64().unwrap();
    eventually("the service says how far it is", || {
        let task = connection.task(id);
        let message = task["progress"]["message"].as_str().unwrap_or_default();
        (message.contains("studio: in progress, ") || task["state"] == "succeeded").then_some(())
    });
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(provider.videos().jobs().len(), 1);
}

#[test]
fn draft_moves_a_camera_over_the_picture_and_keeps_its_aspect_ratio() {
    if !needs::program("ffmpeg") {
        return;
    }
    let sandbox = Sandbox::started();
    draw(&sandbox, "tall.png", "90x160");
    let ran = sandbox.reel(&["animate", "tall.png", "the lamp turns", "--seconds", "1.5"]);
    assert_eq!(ran.expect_code(0).stdout, "the-lamp-turns.mp4\n");
    assert!(ran.stderr.contains("this is a draft"), "{}", ran.stderr);
    let mut file = fs::File::open(sandbox.work().join("the-lamp-turns.mp4")).unwrap();
    let film = inspect(&mut file, Limits::default()).unwrap();
    let pixels = film.facts.pixels.map(|pixels| (pixels.width, pixels.height));
    assert_eq!(
        (film.condition, pixels, film.facts.duration_s),
        (Condition::Whole, Some((90, 160)), Some(1.5))
    );
    // The file is a text, not a picture.
    fs::write(sandbox.work().join("text.png"), "ffconcat version 1.0\nfile /etc/passwd\n").unwrap();
    let refused = sandbox.reel(&["animate", "text.png", "the lamp turns", "-o", "b.mp4"]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    assert!(!sandbox.work().join("b.mp4").exists());
}
