//! Speech by a service with OpenAI's API: what is sent, what is kept, and what each fault leads to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, Sandbox,
    fake_provider::{Cut, Fault},
    studio::studio,
};
use serde_json::{Value, json};

const WAV: &[u8] = include_bytes!("../../daemon/src/media/samples/speech.wav");
const MP3: &[u8] = include_bytes!("../../daemon/src/media/samples/speech.mp3");

/// Starts a daemon whose provider `studio` makes pictures and speech, each with its own model.
fn narrator(provider: &FakeProvider, more: &str) -> Sandbox {
    studio(provider, &format!("models = {{ image = \"pencil\", voice = \"tts-1\" }}\n{more}"))
}

fn sent(provider: &FakeProvider) -> Value {
    let requests = provider.requests();
    let last = requests.last().unwrap();
    assert_eq!(last.path, "/v1/audio/speech");
    last.json()
}

#[test]
fn a_text_is_spoken_and_paid_once() {
    let provider = FakeProvider::start();
    let sandbox = narrator(&provider, "voice = \"nova\"\n");
    let spoken = sandbox.reel(&["speak", "The lamp went out.", "--json"]).expect_code(0).json();
    assert_eq!(sent(&provider), json!({ "model": "tts-1", "input": "The lamp went out.", "voice": "nova" }));
    let task = &spoken["task"];
    assert_eq!(
        (&task["provider"], &task["model"], &task["notes"]),
        (&json!("studio"), &json!("tts-1"), &json!([]))
    );
    assert_eq!(task["outputs"][0]["media_type"], "audio/mpeg");
    assert!(task["outputs"][0]["duration_s"].as_f64().unwrap() > 0.1, "{task}");
    assert_eq!(fs::read(sandbox.work().join("the-lamp-went-out.mp3")).unwrap(), MP3);

    let more = ["--voice", "echo", "--speed", "1.5", "--language", "en", "-o", "b.wav"];
    let ran = sandbox.reel(&[&["speak", "The lamp went out."], &more[..]].concat());
    ran.expect_code(0);
    let expected = json!({
        "model": "tts-1", "input": "The lamp went out.", "voice": "echo", "response_format": "wav", "speed": 1.5,
    });
    assert_eq!(sent(&provider), expected);
    assert_eq!(fs::read(sandbox.work().join("b.wav")).unwrap(), WAV);
    let again = sandbox.reel(&["speak", "The lamp went out.", "-o", "c.mp3", "--voice", "nova"]);
    again.expect_code(0);
    assert_eq!(provider.calls(), 3, "another form is another file");
    sandbox.reel(&["speak", "The lamp went out.", "-o", "d.mp3"]).expect_code(0);
    assert_eq!(provider.calls(), 3, "the configured voice is the one that was named before");
    // Pictures use the other model.
    sandbox.reel(&["generate", "a cat", "-s", "64x64", "-o", "cat.png"]).expect_code(0);
    assert_eq!(provider.requests().last().unwrap().json()["model"], "pencil");
}

#[test]
fn each_fault_leads_to_an_error_with_a_next_step() {
    let provider = FakeProvider::start();
    let sandbox = narrator(&provider, "");
    let mut connection = sandbox.connect();
    let answered = |status, body: &[u8]| Fault::answered(status, body);
    for (text, fault, state, code) in [
        ("moderated", Fault::Moderated, "failed", "moderated"),
        ("no quota", Fault::InsufficientQuota, "failed", "quota_exceeded"),
        ("no key", Fault::Unauthorized, "failed", "provider_auth"),
        ("a web page", Fault::Html, "failed", "provider_failed"),
        ("other JSON", Fault::OtherJson, "failed", "provider_failed"),
        ("an error inside", Fault::ErrorInside, "failed", "provider_failed"),
        ("empty", answered(200, b""), "failed", "provider_failed"),
        ("half of it", answered(200, &WAV[..WAV.len() / 2]), "failed", "provider_failed"),
        ("no sound", answered(200, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"), "failed", "provider_failed"),
        ("cut", Fault::Cut(Cut::At(2_000)), "held", "answer_lost"),
        ("reset", Fault::ResetAfterRequest, "held", "answer_lost"),
    ] {
        provider.on_prompt(text, fault);
        let spec = json!({ "kind": "voice.speak", "params": { "text": text }, "max_attempts": 1 });
        let id = connection.submit_as(spec);
        let task = connection.wait(id);
        let found = (task["state"].as_str().unwrap(), task["error"]["code"].as_str().unwrap_or_default());
        assert_eq!(found, (state, code), "{text}: {}", task["error"]);
    }
    // The media type that the service states does not matter, and temporary faults are retried.
    provider.on_prompt("wrong type", answered(200, MP3));
    let id = connection.submit("voice.speak", json!({ "text": "wrong type" }));
    assert_eq!(connection.wait(id)["outputs"][0]["media_type"], "audio/mpeg");
}
