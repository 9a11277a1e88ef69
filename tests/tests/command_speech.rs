//! Speech by real programs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use reel_tests::{Sandbox, needs, process::binary};
use reeld::{
    budget::Budget,
    process::Launcher,
    provider::command::{
        CommandDefinition, CommandError, CommandRunner, Placeholder, Values, for_language, named, shipped,
    },
};
use serde_json::json;
use tokio::sync::watch;

/// Asserts that a file is a WAV file, and returns its length in seconds if it has 22,050 Hz, 16 bits and one channel.
fn seconds(path: &Path) -> f64 {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"RIFF") && &bytes[8..12] == b"WAVE", "{}", path.display());
    assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize + 8, bytes.len());
    (bytes.len() - 44) as f64 / 44_100.0
}

#[tokio::test]
async fn espeak_ng_speaks() {
    if !needs::program("espeak-ng") {
        return;
    }
    let root = tempfile::Builder::new().prefix("reel-").tempdir().unwrap();
    let runner =
        CommandRunner::new(Launcher(binary("reeld")), &root.path().join("runs"), Budget::new(1 << 30));
    let espeak = CommandDefinition::check(&shipped("espeak-ng").unwrap()).unwrap();
    let list = espeak.voice_list.clone().unwrap();
    let voices = runner.voices("line", &espeak, &list).await.unwrap();
    assert!(voices.len() > 50, "{} voices", voices.len());
    let chinese = for_language(&voices, &espeak.languages, "zh-CN").unwrap();
    assert_eq!(chinese, "cmn-latn-pinyin");
    let wrong = named(&voices, "en-uss").unwrap_err().to_string();
    assert_eq!(wrong, "there is no voice en-uss; did you mean en-us?");

    let speak = async |text: &str, voice: &str, speed: f64| {
        let mut values = Values::default().with(Placeholder::Text, text).with(Placeholder::Voice, voice);
        values.set_speed(speed);
        let (_caller, cancel) = watch::channel(false);
        let made = runner.make("line", &espeak, values, cancel).await;
        made.map(|made| seconds(&made.path))
    };
    let usual = speak("The lighthouse keeper climbs the stairs.", "en-us", 1.0).await.unwrap();
    let slow = speak("The lighthouse keeper climbs the stairs.", "en-us", 0.5).await.unwrap();
    assert!((1.0..6.0).contains(&usual) && slow > usual * 1.4, "{usual} s, {slow} s");
    assert!(speak("你好，世界", &chinese, 1.0).await.unwrap() > 0.5);
    assert!(speak("--help", "en-us", 1.0).await.unwrap() > 0.3, "a text is no option");
    // espeak-ng would take `no-such-voice` for Norwegian, so reel first looks the voice up in the program's list.
    let error = speak("hello", "zzz", 1.0).await.unwrap_err();
    let CommandError::Failed(failure) = error else { panic!("{error:?}") };
    assert_eq!(failure.error.code, "provider_refused");
    assert!(failure.error.message.contains("voice does not exist"), "{}", failure.error.message);
}

#[test]
fn espeak_refuses_what_it_would_ignore_before_there_is_a_task() {
    if !needs::program("espeak-ng") {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    for (field, value) in [("model", json!("tts-1")), ("extra", json!({ "pitch": 1 }))] {
        let mut params = json!({ "text": "The sea." });
        params[field] = value;
        let submit = json!({ "kind": "voice.speak", "params": params, "provider": "espeak-ng" });
        let error = connection.err("task.submit", submit);
        assert_eq!(error.data.code, "invalid_params");
        assert_eq!(error.message, format!("espeak-ng takes no {field}"));
    }
    assert!(connection.ok("task.list", json!({}))["tasks"].as_array().unwrap().is_empty());
    let both = json!({ "text": "The sea.", "voice": "de", "language": "fr" });
    let spoken = connection.submit("voice.speak", both);
    assert_eq!(connection.wait(spoken)["state"], "succeeded", "the voice wins over the language");
}
