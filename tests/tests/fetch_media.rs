//! `reel submit`, `call`, `show` and `fetch` for texts, sound and videos.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use reel_tests::{FakeProvider, Sandbox, needs, studio::studio};
use serde_json::json;

const MP3: &[u8] = include_bytes!("../../daemon/src/media/samples/speech.mp3");

/// Makes a task with `reel call`. Returns its id and the path of its file in the store, as they were printed.
fn call(sandbox: &Sandbox, service: &str, method: &str, params: &str) -> (String, String) {
    let ran = sandbox.reel(&["call", service, method, "--params", params, "--json"]);
    let task = ran.expect_code(0).json();
    let path = task["outputs"][0]["path"].as_str().unwrap().to_owned();
    let plain = sandbox.reel(&["call", service, method, "--params", params]);
    assert_eq!(plain.expect_code(0).stdout, format!("{path}\n"), "a person is told the file");
    (task["id"].to_string(), path)
}

/// Fetches a task's output to files with the names in `fitting`. The names in `refused` must be refused.
fn fetches(sandbox: &Sandbox, id: &str, stored: &Path, own_name: &str, fitting: &[&str], refused: &[&str]) {
    let bytes = fs::read(stored).unwrap();
    assert_eq!(sandbox.reel(&["fetch", id]).expect_code(0).stdout, format!("{own_name}\n"));
    assert!(fs::read(sandbox.work().join(own_name)).unwrap() == bytes, "{own_name}");
    for name in fitting {
        assert_eq!(sandbox.reel(&["fetch", id, "-o", name]).expect_code(0).stdout, format!("{name}\n"));
        assert!(fs::read(sandbox.work().join(name)).unwrap() == bytes, "{name}");
        sandbox.reel(&["fetch", id, "-o", name]).expect_code(73);
    }
    for name in refused {
        let ran = sandbox.reel(&["fetch", id, "-o", name]);
        ran.expect_code(73);
        assert!(ran.stderr.contains(&format!("{name} does not fit")), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("reel fetch {id} -o ")), "{}", ran.stderr);
        assert!(!sandbox.work().join(name).exists(), "{name}");
    }
    let document = sandbox.reel(&["fetch", id, "-o", fitting[0], "--force", "--json"]);
    assert_eq!(document.expect_code(0).json(), json!({ "files": [fitting[0]] }));
}

#[test]
fn texts_and_sound_are_called_shown_and_fetched() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "models = { text = \"writer-1\", voice = \"tts-1\" }\n");
    let (id, path) = call(&sandbox, "text", "chat", r#"{"prompt": "Why is the sea salt?"}"#);
    fetches(
        &sandbox,
        &id,
        path.as_ref(),
        "why-is-the-sea-salt.txt",
        &["a.txt", "a.md", "answer"],
        &["a.png", "a.mp3"],
    );
    let shown = sandbox.reel(&["show", &id]);
    let shown = &shown.expect_code(0).stdout;
    assert!(shown.contains("text/plain, ") && shown.contains("You asked: Why is the sea salt?"), "{shown}");
    assert_eq!(
        sandbox.reel(&["fetch", &id, "-o", "-"]).expect_code(0).stdout,
        "You asked: Why is the sea salt?"
    );

    let (id, path) = call(&sandbox, "voice", "speak", r#"{"text": "The lamp went out."}"#);
    fetches(&sandbox, &id, path.as_ref(), "the-lamp-went-out.mp3", &["b.mp3", "b.MP3"], &["b.ogg", "b.png"]);
    assert!(fs::read(path).unwrap() == MP3);
    let shown = sandbox.reel(&["show", &id]);
    assert!(shown.expect_code(0).stdout.contains("audio/mpeg, "), "{}", shown.stdout);

    let submitted = sandbox.reel(&["submit", "voice", "speak", "--params", r#"{"text": "Hello."}"#]);
    let id = submitted.expect_code(0).stdout.trim().to_owned();
    sandbox.reel(&["wait", &id]).expect_code(0);
    assert_eq!(sandbox.reel(&["fetch", &id]).expect_code(0).stdout, "hello.mp3\n");
}

#[test]
fn videos_are_called_shown_and_fetched() {
    if !needs::program("ffmpeg") {
        return;
    }
    let sandbox = Sandbox::started();
    let params = r#"{"prompt": "waves", "duration_s": 1, "width": 320, "height": 240}"#;
    let (id, path) = call(&sandbox, "video", "generate", params);
    fetches(&sandbox, &id, path.as_ref(), "waves.mp4", &["c.mp4"], &["c.webm", "c.png", "c.txt"]);
    let shown = sandbox.reel(&["show", &id]);
    assert!(shown.expect_code(0).stdout.contains("video/mp4, 320x240, 1.0 s"), "{}", shown.stdout);
}
