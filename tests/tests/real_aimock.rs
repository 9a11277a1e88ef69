//! Pictures and speech by aimock, a mock of OpenAI's API that other people wrote after the real one. It cannot share a misunderstanding with our own
//! fake provider.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{FakeProvider, RealPeer, Sandbox, fake_provider::FILM, needs, studio::prompt};
use serde_json::{Value, json};

const MP3: &[u8] = include_bytes!("../../daemon/src/media/samples/speech.mp3");

/// Starts a daemon whose provider `mock` is aimock with these fixtures; None if aimock is not installed.
fn behind_aimock(fixtures: &Value) -> Option<(RealPeer, Sandbox)> {
    if !needs::program("llmock") {
        return None;
    }
    let sandbox = Sandbox::new();
    let peer = RealPeer::aimock(sandbox.root(), &json!({ "fixtures": fixtures }));
    sandbox.configure(&format!(
        "[providers.mock]\nkind = \"openai\"\nbase_url = \"{}\"\n\
         models = {{ image = \"gpt-image-1\", voice = \"tts-1\", video = \"sora-2\", text = \"gpt-4o-mini\" }}\n",
        peer.base_url()
    ));
    sandbox.start();
    Some((peer, sandbox))
}

/// Returns the base64 of a picture of 64×64 pixels.
fn picture() -> String {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[127; 64 * 64]).unwrap();
    STANDARD.encode(bytes)
}

#[test]
fn pictures_and_speech_match_the_fixtures() {
    let fixtures = json!([
        { "match": { "endpoint": "image", "userMessage": "a harbour" }, "response": { "image": { "b64Json": picture() } } },
        { "match": { "endpoint": "speech" }, "response": { "audio": STANDARD.encode(MP3), "format": "mp3" } },
    ]);
    let Some((_peer, sandbox)) = behind_aimock(&fixtures) else { return };
    sandbox.reel(&["providers", "check", "mock"]).expect_code(0);
    sandbox.reel(&["generate", "a harbour", "-s", "64x64", "-o", "harbour.png"]).expect_code(0);
    assert_eq!(fs::read(sandbox.work().join("harbour.png")).unwrap(), STANDARD.decode(picture()).unwrap());
    sandbox.reel(&["speak", "The lamp went out.", "-o", "line.mp3"]).expect_code(0);
    assert_eq!(fs::read(sandbox.work().join("line.mp3")).unwrap(), MP3);
}

#[test]
fn a_video_is_submitted_polled_and_fetched_from_its_url() {
    let files = FakeProvider::start();
    files.require_key(None);
    files.videos().submit_elsewhere("the file");
    let url = format!("{}/videos/video_1/content", files.base_url());
    let fixtures = json!([{
        "match": { "endpoint": "video", "userMessage": "waves" },
        "response": { "video": { "id": "video_abc", "status": "completed", "url": url } },
    }]);
    let Some((_peer, sandbox)) = behind_aimock(&fixtures) else { return };
    let mut connection = sandbox.connect();
    let id = connection.submit("video.generate", json!({ "prompt": "waves", "duration_s": 4 }));
    let task = connection.wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(fs::read(task["outputs"][0]["path"].as_str().unwrap()).unwrap(), FILM);
}

#[test]
fn texts_and_edits_match_the_fixtures() {
    let fixtures = json!([
        { "match": { "endpoint": "chat", "userMessage": "the lamp" }, "response": { "content": "The lamp burns oil." } },
        { "match": { "endpoint": "chat", "userMessage": "names" }, "response": { "content": "{\"names\":[\"Ada\"]}" } },
        { "match": { "endpoint": "image", "userMessage": "at night" }, "response": { "image": { "b64Json": picture() } } },
    ]);
    let Some((_peer, sandbox)) = behind_aimock(&fixtures) else { return };
    let asked = sandbox.reel(&["ask", "what does the lamp burn?"]);
    assert_eq!(asked.expect_code(0).stdout, "The lamp burns oil.\n");
    let schema = json!({
        "type": "object",
        "required": ["names"],
        "properties": { "names": { "type": "array", "items": { "type": "string" } } },
        "additionalProperties": false,
    });
    fs::write(sandbox.work().join("schema.json"), schema.to_string()).unwrap();
    let asked = sandbox.reel(&["ask", "which names?", "--schema", "schema.json"]);
    assert_eq!(asked.expect_code(0).json(), json!({ "names": ["Ada"] }));

    fs::write(sandbox.work().join("pier.png"), STANDARD.decode(picture()).unwrap()).unwrap();
    let edit = ["--image", "pier.png", "--mask", "pier.png", "-s", "64x64", "-o", "night.png"];
    sandbox.reel(&[&["generate", "at night"], &edit[..]].concat()).expect_code(0);
    assert_eq!(fs::read(sandbox.work().join("night.png")).unwrap(), STANDARD.decode(picture()).unwrap());
}

#[test]
fn its_refusals_keep_their_meaning() {
    let refused = |text: &str, status: u16, error: Value| json!({ "match": { "endpoint": "image", "userMessage": text }, "response": { "error": error, "status": status } });
    let fixtures = json!([
        refused(
            "moderated",
            400,
            json!({ "message": "Your request was rejected by the safety system.", "type": "image_generation_user_error", "code": "moderation_blocked" })
        ),
        refused(
            "no quota",
            429,
            json!({ "message": "You exceeded your current quota, please check your plan.", "type": "insufficient_quota", "code": "insufficient_quota" })
        ),
        refused(
            "no access",
            403,
            json!({ "message": "Your organization must be verified to use the model.", "type": "invalid_request_error" })
        ),
    ]);
    let Some((_peer, sandbox)) = behind_aimock(&fixtures) else { return };
    let mut connection = sandbox.connect();
    for (text, code) in [
        ("moderated", "moderated"),
        ("no quota", "quota_exceeded"),
        ("no access", "provider_auth"),
        ("no such fixture", "provider_unavailable"),
    ] {
        let id = connection
            .submit_as(json!({ "kind": "image.generate", "params": prompt(text), "max_attempts": 1 }));
        let task = connection.wait(id);
        assert_eq!(
            (&task["state"], &task["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{text}: {task}"
        );
    }
}
