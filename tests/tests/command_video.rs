//! Videos by a user's own program: here ffmpeg, which makes a film of a picture.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{Sandbox, needs};
use serde_json::json;

const FILMER: &str = r#"
[providers.filmer]
kind = "command"
services = ["video"]
program = "ffmpeg"
argv = ["-nostdin", "-v", "error", "-y", "-loop", "1", "-i", "{input_image}", ["-t", "{duration}"], ["-r", "{fps}"],
        "-pix_fmt", "yuv420p", "-metadata", "title={prompt}", "{output}"]
output = "mp4"
"#;

#[test]
fn a_program_makes_a_video_of_the_requested_length() {
    if !needs::program("ffmpeg") {
        return;
    }
    let sandbox = Sandbox::started_with(FILMER);
    sandbox.reel(&["generate", "a pier", "-s", "320x180", "-o", "pier.png"]).expect_code(0);
    let ran = sandbox.reel(&[
        "animate",
        "pier.png",
        "waves; it's 50 %",
        "--seconds",
        "1.5",
        "-o",
        "pier.mp4",
        "--json",
    ]);
    let task = &ran.expect_code(0).json()["task"];
    assert_eq!(task["provider"], "filmer");
    let output = &task["outputs"][0];
    assert_eq!((&output["media_type"], &output["width"]), (&json!("video/mp4"), &json!(320)), "{output}");
    let seconds = output["duration_s"].as_f64().unwrap();
    assert!((1.4..1.7).contains(&seconds), "{output}");
    assert!(sandbox.work().join("pier.mp4").exists());

    // Params for which the program has no placeholder are refused before it runs.
    let mut connection = sandbox.connect();
    let spec = |params| json!({ "kind": "video.generate", "params": params, "provider": "filmer" });
    let error = connection.err("task.submit", spec(json!({ "prompt": "a", "seed": 7 })));
    assert!(error.message.contains("seed"), "{}", error.message);
    let id = connection.submit_as(spec(json!({ "prompt": "a", "width": 64, "height": 64 })));
    let task = connection.wait(id);
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("provider_refused")),
        "{task}"
    );
    assert!(task["error"]["message"].as_str().unwrap().contains("cannot be told a width"), "{task}");
}
