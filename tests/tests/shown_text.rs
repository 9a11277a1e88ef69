//! Text from other people on a terminal and in the log. It cannot control the terminal, reorder a line or hide in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{FakeProvider, Ran, Sandbox, fake_provider::Fault, studio};
use serde_json::json;

/// Characters that must not reach a terminal: bidirectional formatting, zero-width and control characters, line separators and tags.
const HIDDEN: [char; 12] = [
    '\u{202e}',
    '\u{2066}',
    '\u{2069}',
    '\u{200b}',
    '\u{200e}',
    '\u{2028}',
    '\u{2029}',
    '\u{feff}',
    '\u{9b}',
    '\u{1b}',
    '\u{7f}',
    '\u{e0041}',
];

fn hidden() -> String {
    HIDDEN.iter().flat_map(|character| ['x', *character]).collect::<String>() + "end"
}

#[track_caller]
fn assert_clean(ran: &Ran) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(["xx", "x x", "x-x"].iter().any(|shown| all.contains(shown)), "the text is shown: {all}");
    assert!(!all.contains(HIDDEN), "{:?}", all.chars().filter(|c| HIDDEN.contains(c)).collect::<Vec<_>>());
}

#[test]
fn prompts_and_names_are_shown_without_hidden_characters_and_json_is_the_same_document() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let text = format!("{} 👩\u{200d}🚀 क्\u{200d}ष", hidden());
    let params = json!({ "prompt": text, "width": 64, "height": 64 });
    let metadata = json!({ "note": text });
    let submitted = connection.ok(
        "task.submit",
        json!({ "kind": "image.generate", "params": params, "name": text, "metadata": metadata }),
    );
    let id = submitted["id"].to_string();
    connection.wait(submitted["id"].as_u64().unwrap());
    for arguments in [&["ls"][..], &["show", &id], &["follow", &id], &["generate", &text, "-s", "64x64"]] {
        let ran = sandbox.reel(arguments);
        assert_clean(ran.expect_code(0));
    }
    assert!(
        sandbox.reel(&["show", &id]).stdout.contains("👩\u{200d}🚀 क्\u{200d}ष"),
        "joiners that are needed stay"
    );
    for arguments in [&["ls", "--json"][..], &["show", &id, "--json"]] {
        let ran = sandbox.reel(arguments);
        assert!(!ran.expect_code(0).stdout.trim_end().contains(HIDDEN), "{}", ran.stdout);
        let document = ran.json();
        let task = if document["tasks"].is_array() { &document["tasks"][0] } else { &document };
        let task = if task["name"].is_null() { &document["tasks"][1] } else { task };
        assert_eq!(task["name"], text);
    }
}

#[test]
fn hidden_characters_of_a_providers_message_are_removed_from_terminal_and_log() {
    let provider = FakeProvider::start();
    let body = json!({ "error": { "message": hidden(), "type": "x", "code": "invalid_value" } }).to_string();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    provider.always(Fault::Raw((head + &body).into_bytes()));
    let sandbox = studio::studio(&provider, "");
    for arguments in [&["generate", "a", "-s", "64x64"][..], &["show", "1"]] {
        assert_clean(&sandbox.reel(arguments));
    }
    let log = fs::read_to_string(sandbox.home().join("logs/reeld.log")).unwrap();
    assert!(!log.contains(&HIDDEN[..]), "{log}");
}

#[test]
fn a_client_name_with_hidden_characters_is_refused() {
    let sandbox = Sandbox::started();
    for character in HIDDEN {
        let mut connection = sandbox.connect();
        let error = connection.err("hello", json!({ "client": format!("edit{character}or"), "protocol": 1 }));
        assert_eq!(error.data.code, "invalid_params", "{character:?}");
    }
}
