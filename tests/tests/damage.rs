//! Damaged and missing files of pictures: what a request and `cache verify` do about them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, io::Cursor, path::Path};

use reel_tests::Sandbox;
use serde_json::{Value, json};

/// Returns the params of a small picture, because the drawing itself is not tested.
fn small(prompt: &str) -> Value {
    json!({ "prompt": prompt, "width": 64, "height": 64 })
}

fn path_of(task: &Value) -> &str {
    task["outputs"][0]["path"].as_str().expect("an output has a path")
}

fn digest_of(task: &Value) -> &str {
    task["outputs"][0]["digest"].as_str().expect("an output has a digest")
}

/// Decodes the whole picture and returns its width and height.
#[track_caller]
fn decoded_size(bytes: &[u8]) -> (u32, u32) {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).expect("whole to its last row");
    assert!(pixels.iter().any(|byte| *byte != pixels[0]), "something is drawn");
    (info.width, info.height)
}

/// The name of a way to damage a file without the daemon's knowledge, and a function that does it.
type Damage = (&'static str, fn(&Path));

fn damages() -> [Damage; 4] {
    [
        ("a flipped byte", |path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::write(path, bytes).unwrap();
        }),
        ("cut in half", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("emptied", |path| fs::write(path, b"").unwrap()),
        ("deleted", |path| fs::remove_file(path).unwrap()),
    ]
}

#[test]
fn a_damaged_or_missing_file_is_a_miss_and_never_an_error() {
    let sandbox = Sandbox::started();
    for (how, damage) in damages() {
        let mut connection = sandbox.connect();
        let first = connection.generate(small(how));
        // Clear the memory tier, whose bytes are intact.
        connection.ok("cache.clear", json!({ "memory_only": true }));
        damage(Path::new(path_of(&first)));
        let second = connection.generate(small(how));
        assert_eq!(digest_of(&second), digest_of(&first), "{how}");
        decoded_size(&fs::read(path_of(&second)).unwrap());
        assert_eq!(connection.generate(small(how))["source"], "cache", "{how}");
    }
}

#[test]
fn damage_while_the_daemon_is_down_is_found_by_verify_and_repaired_by_a_request() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let tasks: Vec<Value> = damages().iter().map(|(how, _)| connection.generate(small(how))).collect();
    sandbox.kill();
    for ((_, damage), task) in damages().iter().zip(&tasks) {
        damage(Path::new(path_of(task)));
    }
    sandbox.start();
    let mut connection = sandbox.connect();
    let found = connection.ok("cache.verify", json!({}));
    let bad = found["corrupt"].as_u64().unwrap() + found["missing"].as_u64().unwrap();
    assert_eq!((bad, &found["missing"]), (4, &json!(1)), "{found}");
    for ((how, _), task) in damages().iter().zip(&tasks) {
        let again = connection.generate(small(how));
        assert_eq!((&again["source"], digest_of(&again)), (&json!("made"), digest_of(task)), "{how}");
    }
    let found = connection.ok("cache.verify", json!({}));
    assert_eq!((&found["corrupt"], &found["missing"]), (&json!(0), &json!(0)), "{found}");
}
