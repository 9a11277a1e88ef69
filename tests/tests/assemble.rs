//! `video.assemble`: makes a film of pictures, clips and voices that a program has put into the store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::PathBuf};

use reel_tests::{
    Connection, Sandbox,
    film::{film, find_sound, frames, needs_programs, samples},
};
use serde_json::{Value, json};

/// Puts a picture of one brightness into the store.
fn card(sandbox: &Sandbox, connection: &mut Connection, brightness: u8) -> Value {
    let path = sandbox.work().join(format!("{brightness}.png"));
    let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 64, 36);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[brightness; 64 * 36]).unwrap();
    connection.ok("artifact.put", json!({ "path": path }))["digest"].clone()
}

/// Puts a tone that grows louder into the store, and also writes it to a file.
fn voice(sandbox: &Sandbox, connection: &mut Connection) -> (Value, PathBuf) {
    let path = sandbox.work().join("voice.wav");
    let mut bytes =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data\0\0\0\0"
            .to_vec();
    for sample in 0..36_000_i32 {
        let wave = (f64::from(sample) * f64::from(sample) / 40_000.0).sin() * f64::from(sample) / 4.0;
        bytes.extend((wave as i16).to_le_bytes());
    }
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&(length - 8).to_le_bytes());
    bytes[40..44].copy_from_slice(&(length - 44).to_le_bytes());
    fs::write(&path, bytes).unwrap();
    (connection.ok("artifact.put", json!({ "path": path }))["digest"].clone(), path)
}

#[test]
fn a_film_has_each_picture_and_each_voice_at_its_time() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let (dark, bright) = (card(&sandbox, &mut connection, 40), card(&sandbox, &mut connection, 200));
    let (voice, voice_file) = voice(&sandbox, &mut connection);
    let timeline = json!({
        "format": { "width": 320, "height": 180, "fps": 25 },
        "transition_s": 0.2,
        "subtitles": "track",
        "shots": [
            { "visual": dark, "frames": 40, "subtitle": "Dark." },
            { "visual": bright, "frames": 60, "voice": voice, "voice_at_s": 0.5, "subtitle": "Bright.", "camera": "out" },
        ],
    });
    let id = connection.submit("video.assemble", json!({ "timeline": timeline }));
    let task = connection.wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
    let path = PathBuf::from(task["outputs"][0]["path"].as_str().unwrap());
    let found = film(&path);
    assert_eq!(
        (found.frames, found.size, found.subtitles.clone()),
        (100, (320, 180), vec!["und".to_owned()])
    );
    assert!((found.video_s - 4.0).abs() < 0.001 && (found.audio_s - 4.0).abs() < 0.001, "{found:?}");
    let brightness: Vec<u8> =
        frames(&path, &[10, 39, 42, 45, 80], (320, 180)).iter().map(|frame| frame[160 * 90]).collect();
    // The dissolve from the dark picture to the bright one takes five frames.
    assert!(
        brightness[0].abs_diff(brightness[1]) < 3 && brightness[3].abs_diff(brightness[4]) < 3,
        "{brightness:?}"
    );
    assert!(brightness[1] + 40 < brightness[2] && brightness[2] + 40 < brightness[3], "{brightness:?}");
    let expected = (40 * 48_000 / 25) + 24_000;
    let (lag, likeness) = find_sound(&samples(&path), &samples(&voice_file), expected, 96);
    assert!(lag.abs() < 48 && likeness > 0.9, "{lag} samples away, {likeness}");
    // Assembling the same film again takes each step from the cache.
    let again = connection.submit("video.assemble", json!({ "timeline": timeline }));
    assert_eq!(connection.wait(again)["outputs"], task["outputs"]);
    let steps = connection.ok("task.list", json!({ "limit": 50 }))["tasks"].as_array().unwrap().clone();
    let of_again: Vec<_> = steps.iter().filter(|step| step["parent"] == again).collect();
    assert!(of_again.len() == 5 && of_again.iter().all(|step| step["source"] == "cache"), "{of_again:?}");
}

#[test]
fn inputs_that_cannot_become_a_film_are_refused_by_name() {
    if !needs_programs() {
        return;
    }
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let picture = card(&sandbox, &mut connection, 90);
    let format = json!({ "width": 320, "height": 180, "fps": 25 });
    let timeline = |shot: Value| json!({ "timeline": { "format": format, "shots": [shot] } });
    let picture_as_voice = timeline(json!({ "visual": picture, "frames": 40, "voice": picture }));
    let id = connection.submit("video.assemble", picture_as_voice);
    let task = connection.wait(id);
    assert_eq!(task["error"]["code"], "invalid_params", "{task}");
    assert_eq!(task["error"]["message"], "s1: the artifact is image/png, and audio is needed");
    for (shot, code) in [
        (json!({ "visual": "00".repeat(32), "frames": 40 }), "artifact_not_found"),
        (json!({ "visual": picture, "frames": 0 }), "invalid_params"),
        (json!({ "visual": picture, "frames": 40, "visuals": 1 }), "invalid_params"),
    ] {
        let params = json!({ "kind": "video.assemble", "params": timeline(shot.clone()) });
        assert_eq!(connection.err("task.submit", params).data.code, code, "{shot}");
    }
    let mut params = timeline(json!({ "visual": picture, "frames": 40 }));
    params["timeline"]["format"]["tempo"] = json!(2);
    let error = connection.err("task.submit", json!({ "kind": "video.assemble", "params": params }));
    assert_eq!(error.data.code, "invalid_params");
    assert!(error.message.contains("tempo"), "{error:?}");
}

#[test]
fn without_ffmpeg_the_error_says_what_to_install() {
    let sandbox = Sandbox::new().without_programs();
    sandbox.start();
    let mut connection = sandbox.connect();
    let picture = card(&sandbox, &mut connection, 90);
    let format = json!({ "width": 320, "height": 180, "fps": 25 });
    let timeline =
        json!({ "timeline": { "format": format, "shots": [{ "visual": picture, "frames": 40 }] } });
    let id = connection.submit("video.assemble", timeline);
    let task = connection.wait(id);
    assert_eq!(task["error"]["code"], "no_provider", "{task}");
    assert!(task["error"]["hint"].as_str().unwrap().contains("apt install ffmpeg"), "{task}");
}
