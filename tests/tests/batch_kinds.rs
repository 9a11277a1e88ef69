//! `reel batch` with lines for several services, and the names of results that have no prompt.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{FakeProvider, Sandbox, studio::studio};

fn narrator(provider: &FakeProvider) -> Sandbox {
    studio(
        provider,
        "services = [\"image\", \"text\", \"voice\"]\nprice = { image = 0.04, character = 0.001 }",
    )
}

#[test]
fn one_file_asks_several_services_and_a_second_run_makes_nothing() {
    let provider = FakeProvider::start();
    let sandbox = narrator(&provider);
    let lines = [
        r#"{"prompt": "a lighthouse", "width": 64, "height": 64}"#,
        r#"{"kind": "voice.speak", "text": "The lamp went out."}"#,
        r#"{"kind": "voice.speak", "text": "The lamp went out."}"#,
        r#"{"kind": "voice.speak", "text": "Again.", "name": "again.wav", "voice": "echo"}"#,
        r#"{"kind": "text.chat", "prompt": "Why?"}"#,
        r#"{"kind": "image.generate", "prompt": "a boat", "width": 64, "height": 64}"#,
    ];
    fs::write(sandbox.work().join("scene.jsonl"), lines.join("\n")).unwrap();
    let batch = |more: &[&str]| sandbox.reel(&[&["batch", "scene.jsonl", "-o", "out"], more].concat());
    let dry = batch(&["--dry-run", "--json"]);
    let dry = dry.expect_code(0).json();
    assert_eq!((&dry["requests"], &dry["by_provider"]["studio"]), (&6.into(), &6.into()), "{dry}");
    let ran = batch(&[]);
    let stderr = &ran.expect_code(0).stderr;
    assert!(stderr.contains("6 results: 6 made"), "{stderr}");
    let mut names: Vec<_> = fs::read_dir(sandbox.work().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "001-a-lighthouse.png",
            "002-the-lamp-went-out.mp3",
            "003-the-lamp-went-out.mp3",
            "004-again.wav",
            "005-why.txt",
            "006-a-boat.png"
        ]
    );
    let calls = provider.calls();
    let ran = batch(&[]);
    let stderr = &ran.expect_code(0).stderr;
    assert!(stderr.contains("6 results: 0 made, 0 from cache, 6 kept"), "{stderr}");
    assert_eq!(provider.calls(), calls);
}

#[test]
fn an_invalid_line_for_another_service_is_named() {
    let provider = FakeProvider::start();
    let sandbox = narrator(&provider);
    for (line, part) in [
        (
            r#"{"kind": "voice.speek", "text": "a"}"#,
            "line 2: there is no kind `voice.speek`; did you mean `voice.speak`?",
        ),
        (r#"{"kind": "voice.speak", "txt": "a"}"#, "line 2: unknown field `txt`; did you mean `text`?"),
        (r#"{"prompt": "a", "styel": "ink"}"#, "line 2: unknown field `styel`; did you mean `style`?"),
        (r#"{"kind": 7, "text": "a"}"#, "line 2: `kind` is not a string"),
    ] {
        fs::write(sandbox.work().join("bad.jsonl"), format!("{{\"prompt\": \"a\"}}\n{line}\n")).unwrap();
        let ran = sandbox.reel(&["batch", "bad.jsonl", "-o", "bad"]);
        assert!(ran.expect_code(65).stderr.contains(part), "{line}\n{}", ran.stderr);
    }
    assert_eq!(provider.calls(), 0, "nothing was paid");
    let tasks = sandbox.reel(&["ls", "--json"]).expect_code(0).json();
    assert_eq!(tasks["tasks"], serde_json::json!([]), "nothing was submitted");
}

#[test]
fn results_whose_prompt_has_no_words_are_named_after_their_kind() {
    let provider = FakeProvider::start();
    let sandbox = narrator(&provider);
    let ran = sandbox.reel(&["speak", "?!"]);
    assert_eq!(ran.expect_code(0).stdout, "speech.mp3\n");
    assert!(!ran.stderr.contains("is running"), "what is over at once is not told: {}", ran.stderr);
    sandbox.reel(&["ask", "??", "-o", "answer.txt"]).expect_code(0);
    assert_eq!(sandbox.reel(&["fetch", "2"]).expect_code(0).stdout, "text.txt\n");
}
