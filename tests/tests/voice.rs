//! `voice.speak` and `reel speak`: what is spoken, what draft makes instead, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use reel_tests::Sandbox;
use reeld::media::{Condition, Inspection, Limits, inspect};
use serde_json::{Value, json};

/// Starts a daemon that has no provider of speech except `draft`.
fn silent() -> Sandbox {
    let sandbox = Sandbox::new().without_programs();
    sandbox.start();
    sandbox
}

fn look_at(path: impl AsRef<Path>) -> Inspection {
    let inspection = inspect(&mut fs::File::open(path).unwrap(), Limits::default()).unwrap();
    assert_eq!(inspection.condition, Condition::Whole);
    inspection
}

fn speak(sandbox: &Sandbox, params: &Value) -> Value {
    let ran = sandbox.reel(&["call", "voice", "speak", "--json", "--params", &params.to_string()]);
    ran.expect_code(0).json()
}

#[test]
fn draft_makes_silence_of_the_length_of_the_text_and_notes_it() {
    let sandbox = silent();
    let text = "The old lighthouse keeper climbed the stairs, lit the lamp, and looked out over the sea.";
    let task = speak(&sandbox, &json!({ "text": text }));
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("draft")));
    assert_eq!((&task["params"]["speed"], &task["notes"][0]["code"]), (&json!(1.0), &json!("draft")));
    let output = &task["outputs"][0];
    assert_eq!((&output["media_type"], &output["width"]), (&json!("audio/wav"), &Value::Null));
    let duration_s = output["duration_s"].as_f64().unwrap();
    assert!((4.0..9.0).contains(&duration_s), "{duration_s}");
    let path = output["path"].as_str().unwrap();
    assert!(Path::new(path).extension().is_some_and(|ending| ending == "wav"), "{path}");
    assert_eq!(look_at(path).facts.duration_s, Some(duration_s));

    let fast = speak(&sandbox, &json!({ "text": text, "speed": 2 }));
    let half = fast["outputs"][0]["duration_s"].as_f64().unwrap();
    assert!((half * 2.0 - duration_s).abs() < 0.001, "{half} is not half of {duration_s}");
    let again = speak(&sandbox, &json!({ "text": text }));
    assert_eq!((&again["source"], &again["outputs"]), (&json!("cache"), &task["outputs"]));
    assert_eq!(again["notes"], task["notes"], "whoever gets it from the cache is told as well");
    // This is longer than what is kept in memory.
    let long = speak(&sandbox, &json!({ "text": text.repeat(20), "sample": 1 }));
    assert!(look_at(long["outputs"][0]["path"].as_str().unwrap()).facts.duration_s.unwrap() > 80.0);

    let shown = sandbox.reel(&["show", "1"]);
    let length = format!("audio/wav, {duration_s:.1} s, ");
    assert!(shown.expect_code(0).stdout.contains(&length), "{}", shown.stdout);
    assert!(shown.stdout.contains("draft has no voice"), "{}", shown.stdout);
    sandbox.reel(&["fetch", "1"]).expect_code(0);
    let fetched = sandbox
        .work()
        .join("the-old-lighthouse-keeper-climbed-the-stairs-lit-the-lamp-and-looked-out-over-th.wav");
    assert_eq!(fs::read(fetched).unwrap(), fs::read(path).unwrap());
}

#[test]
fn an_invalid_request_is_refused_with_a_next_step() {
    let sandbox = silent();
    let mut connection = sandbox.connect();
    for (params, code, message, hint) in [
        (json!({ "txt": "a" }), "invalid_params", "unknown field `txt`", "did you mean text?"),
        (json!({ "text": "a", "speed": 5 }), "invalid_params", "speed 5 is not from 0.25 to 4", "usual"),
        (
            json!({ "text": "a", "format": "mp3" }),
            "invalid_params",
            "draft makes no mp3",
            "leave out `format`",
        ),
    ] {
        let error = connection.err("task.submit", json!({ "kind": "voice.speak", "params": params }));
        assert_eq!(error.data.code, code, "{params}: {}", error.message);
        assert!(error.message.contains(message), "{params}: {}", error.message);
        assert!(error.data.hint.unwrap().contains(hint), "{params}");
    }
    let too_long = json!({ "text": "9".repeat(60_000), "speed": 0.25 });
    let id = connection.submit("voice.speak", too_long);
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!("provider_refused")));
}

#[test]
fn reel_speak_writes_silence_only_where_draft_is_asked_for() {
    let sandbox = silent();
    let refused = sandbox.reel(&["speak", "Hello there.", "--json"]);
    let error = refused.expect_code(78).json()["error"].clone();
    assert_eq!(error["code"], "no_provider");
    assert!(error["hint"].as_str().unwrap().contains("--provider draft"), "{error}");
    assert_eq!(fs::read_dir(sandbox.work()).unwrap().count(), 0);
    assert_eq!(sandbox.reel(&["ls", "--json"]).expect_code(0).json()["tasks"], json!([]));

    let named = sandbox.reel(&["speak", "Hello there.", "--provider", "draft"]);
    assert_eq!(named.expect_code(0).stdout, "hello-there.wav\n");
    assert!(named.stderr.contains("draft has no voice"), "{}", named.stderr);
    let first = look_at(sandbox.work().join("hello-there.wav")).facts;
    assert!(first.duration_s.unwrap() > 0.5);

    fs::write(sandbox.work().join("line.txt"), "\u{feff}Hello there.\n").unwrap();
    let draft = |more: &[&str]| sandbox.reel(&[&["speak", "--provider", "draft"], more].concat());
    let slow = draft(&["@line.txt", "--speed", "0.5", "--language", "en", "-o", "slow.wav", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(slow["task"]["params"]["text"], "Hello there.");
    let twice = look_at(sandbox.work().join("slow.wav")).facts.duration_s.unwrap();
    assert!((twice / first.duration_s.unwrap() - 2.0).abs() < 0.001, "{twice}");

    for (arguments, code, words) in [
        (&["Hello.", "-o", "slow.wav"][..], 73, "slow.wav"),
        (&["Hello.", "-o", "a.ogg"], 64, "a.ogg does not end in .wav or .mp3"),
        (&["Hello.", "-o", "a.flac"], 64, "a.flac does not end in .wav or .mp3"),
        (&["@missing.txt"], 66, "missing.txt"),
        (&[" "], 65, "the text is empty"),
        (&["Hello.", "--speed", "9"], 65, "speed 9"),
    ] {
        let ran = draft(arguments);
        assert!(ran.expect_code(code).stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(sandbox.reel(&["speak", "Hello.", "--provider", "draff"]).code, Some(65));
}
