//! The notes of a task: fewer, smaller, other or more pictures than requested, and what they cost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    Connection, FakeProvider,
    fake_provider::Fault,
    studio::{prompt, studio},
};
use serde_json::{Value, json};

/// Returns the base64 of a valid PNG with this width and 64 rows.
fn png(width: u32, shade: u8) -> String {
    let mut file = Vec::new();
    let mut writer = png::Encoder::new(&mut file, width, 64).write_header().unwrap();
    writer.write_image_data(&vec![shade; width as usize * 64]).unwrap();
    writer.finish().unwrap();
    STANDARD.encode(file)
}

fn body(pictures: &[String]) -> String {
    json!({ "data": pictures.iter().map(|text| json!({ "b64_json": text })).collect::<Vec<_>>() }).to_string()
}

fn with_cost(header: Option<&str>, body: &str) -> Fault {
    let headers = header.map(|cost| ("x-litellm-response-cost", cost.to_owned()));
    let headers = headers.into_iter().collect();
    Fault::Answered { status: 200, media_type: "application/json", headers, body: body.into() }
}

/// Returns the codes and messages of a task's notes.
fn notes(task: &Value) -> Vec<(String, String)> {
    let notes = task["notes"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    notes.map(|note| (text(&note["code"]), text(&note["message"]))).collect()
}

#[track_caller]
fn generate(connection: &mut Connection, name: &str, n: u32) -> Value {
    connection.generate(json!({ "prompt": name, "n": n, "width": 64, "height": 64 }))
}

#[test]
fn differences_from_the_request_are_noted_and_the_notes_persist() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let gif = STANDARD.encode(b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff;");
    let beside = body(&[png(64, 9)]).replacen('{', r#"{"error":{"message":"one was blocked"},"#, 1);
    let cases = [
        ("as asked", 1, body(&[png(64, 0)]), vec![]),
        ("fewer", 3, body(&[png(64, 1)]), vec![("fewer_outputs", "1 of 3 pictures")]),
        ("more", 1, body(&[png(64, 2), png(64, 3)]), vec![("more_outputs", "2 pictures came where 1")]),
        ("smaller", 1, body(&[png(32, 4)]), vec![("other_size", "studio made 32x64, not 64x64")]),
        ("unknown", 1, body(&[gif]), vec![("not_decoded", "image/gif")]),
        ("beside", 1, beside, vec![("provider_message", "one was blocked")]),
    ];
    let mut ids = Vec::new();
    for (name, n, body, wanted) in &cases {
        provider.on_prompt(name, Fault::answered(200, body.clone()));
        let task = generate(&mut connection, name, *n);
        let found = notes(&task);
        assert_eq!(found.len(), wanted.len(), "{name}: {task}");
        for ((code, message), (wanted, words)) in found.iter().zip(wanted) {
            assert!(code == wanted && message.contains(words), "{name}: {task}");
        }
        ids.push((task["id"].as_u64().unwrap(), task["notes"].clone()));
        // A result from the cache has the same notes.
        assert_eq!(generate(&mut connection, name, *n)["notes"], task["notes"], "{name}");
    }
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    for (id, notes) in ids {
        assert_eq!(connection.task(id)["notes"], notes, "they are in the journal");
    }
    for (name, n, ..) in cases {
        let task = generate(&mut connection, name, n);
        assert_eq!(task["source"], "cache");
        assert_eq!(notes(&task).is_empty(), name == "as asked", "{name}: {task}");
    }
}

#[test]
fn notes_are_shown_by_show_generate_and_batch() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.always(Fault::answered(200, body(&[png(32, 5), png(32, 6)])));
    let made = sandbox.reel(&["generate", "small ones", "-s", "64x64", "-o", "a.png"]);
    assert!(made.expect_code(0).stderr.contains("32x64, not 64x64"), "{}", made.stderr);
    assert_eq!(made.stderr.matches("note: ").count(), 1, "one line: {}", made.stderr);
    // The first picture gets the requested name, and the other one is kept too.
    for name in ["a.png", "a-2.png"] {
        assert!(fs::read(sandbox.work().join(name)).unwrap().starts_with(b"\x89PNG"), "{name}");
    }
    let shown = sandbox.reel(&["show", "1"]);
    assert!(
        shown.expect_code(0).stdout.contains("2 pictures came where 1 was asked for"),
        "{}",
        shown.stdout
    );
    fs::write(sandbox.work().join("lines.txt"), "small ones\n").unwrap();
    let batch = sandbox.reel(&["batch", "lines.txt", "-s", "64x64", "-o", "out"]);
    assert!(batch.expect_code(0).stderr.contains("001-small-ones.png: note: "), "{}", batch.stderr);
    let piped = sandbox.reel(&["generate", "piped", "-s", "64x64", "-o", "-"]);
    assert!(piped.expect_code(0).stderr.contains("2 pictures came"), "{}", piped.stderr);
}

#[test]
fn the_cost_that_a_provider_reports_is_kept_with_the_task_that_paid() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let plain = body(&[png(64, 7)]);
    let field = |field: &str| plain.replacen('{', &format!("{{{field},"), 1);
    let mut first = None;
    for (name, fault, amount) in [
        ("in a header", with_cost(Some("0.0085"), &plain), Some(0.0085)),
        ("in the answer", with_cost(None, &field(r#""cost":0.04"#)), Some(0.04)),
        ("in its usage", with_cost(None, &field(r#""usage":{"cost":1.25,"total_tokens":7}"#)), Some(1.25)),
        ("nothing", with_cost(Some("0"), &plain), Some(0.0)),
        ("not at all", with_cost(None, &plain), None),
        ("nonsense", with_cost(Some("-1"), &plain), None),
        ("no number", with_cost(Some("NaN"), &field(r#""cost":NaN"#)), None),
    ] {
        provider.on_prompt(name, fault);
        let task = connection.generate(prompt(name));
        let cost = amount.map(|amount| json!({ "amount": amount, "currency": "USD", "is_estimate": false }));
        assert_eq!(task["cost"], json!(cost), "{name}");
        first.get_or_insert(task);
    }
    let first = first.unwrap();
    let again = connection.generate(prompt("in a header"));
    assert_eq!(
        (&again["source"], &again["cost"]["amount"]),
        (&json!("cache"), &json!(0.0)),
        "it was paid once"
    );
    sandbox.kill();
    sandbox.start();
    assert_eq!(sandbox.connect().task(first["id"].as_u64().unwrap())["cost"], first["cost"]);
    let shown = sandbox.reel(&["show", "1"]);
    assert!(shown.expect_code(0).stdout.contains("0.0085 USD"), "{}", shown.stdout);
}
