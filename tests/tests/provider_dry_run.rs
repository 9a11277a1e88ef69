//! `reel providers dry-run` prints what would be sent, by which provider and at which cost, as text and as JSON, without a request.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{FakeProvider, studio::studio};
use serde_json::json;

#[test]
fn the_request_is_printed_with_the_key_masked_and_not_sent() {
    let provider = FakeProvider::start();
    let sandbox = studio(
        &provider,
        "models = { image = \"pencil\", text = \"writer-1\", voice = \"tts-1\" }\nprice = { image = 0.04 }\n",
    );
    let dry_run = |arguments: &[&str]| sandbox.reel(&[&["providers", "dry-run"], arguments].concat());
    let params = r#"{"prompt": "a cat", "width": 64, "height": 64, "n": 2}"#;
    let ran = dry_run(&["image", "generate", "--params", params]);
    let lines: Vec<_> = ran.expect_code(0).stdout.lines().collect();
    let url = format!("POST {}/images/generations", provider.base_url());
    assert_eq!(lines[..4], ["by studio (pencil), about 0.08 USD", "", &url, "authorization: Bearer ***"]);
    assert!(lines.contains(&"  \"prompt\": \"a cat\","), "{}", ran.stdout);
    assert!(ran.stderr.contains("no provider was asked"), "{}", ran.stderr);

    let as_json = dry_run(&["image", "generate", "--params", params, "--json"]);
    let document = as_json.expect_code(0).json();
    assert_eq!((&document["provider"], &document["is_cached"]), (&json!("studio"), &json!(false)));
    let request = &document["requests"][0];
    assert_eq!(request["body"], json!({ "model": "pencil", "prompt": "a cat", "n": 2, "size": "64x64" }));
    for (ran, _) in [(&ran, 0), (&as_json, 0)] {
        assert!(!ran.stdout.contains(FakeProvider::KEY) && !ran.stderr.contains(FakeProvider::KEY));
    }

    fs::write(sandbox.work().join("speech.json"), r#"{"text": "Hello.", "voice": "nova"}"#).unwrap();
    let spoken = dry_run(&["voice", "speak", "--params", "@speech.json"]);
    assert!(spoken.expect_code(0).stdout.contains("/audio/speech\n"), "{}", spoken.stdout);
    let asked = dry_run(&["text", "chat", "--params", r#"{"prompt": "Why?"}"#]);
    assert!(asked.expect_code(0).stdout.starts_with("by studio (writer-1), for an unknown price"));
    sandbox.reel(&["generate", "a", "--provider", "draft", "-s", "64x64", "-o", "a.png"]).expect_code(0);
    let picture = sandbox.work().join("a.png");
    let put = sandbox.connect().ok("artifact.put", json!({ "path": picture }));
    let edit = json!({ "prompt": "at night", "input_images": [put["digest"]] }).to_string();
    let edited = dry_run(&["image", "generate", "--params", &edit]);
    assert!(
        edited.expect_code(0).stdout.starts_with("by studio (pencil), about 0.04 USD\n"),
        "{}",
        edited.stdout
    );
    assert!(edited.stderr.contains("read when the task runs"), "{}", edited.stderr);
    let drawn = dry_run(&["image", "generate", "--params", params, "--provider", "draft"]);
    assert!(drawn.expect_code(0).stdout.starts_with("by draft, free\n"), "{}", drawn.stdout);
    assert!(drawn.stderr.contains("the provider sends none"), "{}", drawn.stderr);
    assert_eq!(provider.requests().len(), 0);

    // Nothing would be sent for what is in the cache.
    sandbox.reel(&["call", "image", "generate", "--params", params]).expect_code(0);
    let cached = dry_run(&["image", "generate", "--params", params]);
    assert_eq!(
        cached.expect_code(0).stdout,
        "from the cache, made by studio (pencil) before; costs nothing\n"
    );
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_dry_run_refuses_what_a_submission_refuses() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    for (arguments, code, words) in [
        (&["image", "generate", "--params", "{"][..], 65, "--params"),
        (&["image", "generate"], 65, "prompt"),
        (&["image", "paint"], 65, "image.paint"),
        (&["image", "generate", "--params", r#"{"prompt": "a"}"#, "--provider", "studoi"], 65, "studio"),
        (&["text", "chat", "--params", r#"{"prompt": "a"}"#], 78, "text"),
    ] {
        let ran = sandbox.reel(&[&["providers", "dry-run"], arguments].concat());
        ran.expect_code(code);
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    }
}
