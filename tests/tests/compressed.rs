//! Responses that are compressed although reel asked for `identity`. reel decodes those whose coding it knows, and treats the others as lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use reel_tests::{
    Connection, FakeProvider, Sandbox,
    fake_provider::Fault,
    raw_server::{RawServer, response},
    studio::{ask_once, studio},
};
use serde_json::{Value, json};

const MP3: &[u8] = include_bytes!("../../daemon/src/media/samples/speech.mp3");
const MODELS: &str =
    "models = { image = \"pencil\", voice = \"tts-1\", text = \"writer-1\" }\nvoice = \"nova\"\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns a response with this `Content-Encoding`.
fn coded(status: u16, coding: &str, body: Vec<u8>) -> Fault {
    let headers = vec![("content-encoding", coding.to_owned())];
    Fault::Answered { status, media_type: "application/json", headers, body }
}

fn chat(connection: &mut Connection, text: &str) -> Value {
    let id =
        connection.submit_as(json!({ "kind": "text.chat", "params": { "prompt": text }, "max_attempts": 1 }));
    connection.wait(id)
}

#[test]
fn compressed_pictures_texts_and_voices_are_decoded() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, MODELS);
    for (number, fault) in [Fault::Gzip, Fault::Deflate].into_iter().enumerate() {
        provider.always(fault.clone());
        let name = |ending: &str| format!("{number}.{ending}");
        let prompt = format!("a cat in {fault:?}");
        sandbox.reel(&["generate", &prompt, "-s", "64x64", "-o", &name("png")]).expect_code(0);
        assert!(fs::read(sandbox.work().join(name("png"))).unwrap().starts_with(b"\x89PNG"));
        let asked = sandbox.reel(&["ask", &prompt]);
        assert_eq!(asked.expect_code(0).stdout, format!("You asked: {prompt}\n"));
        sandbox.reel(&["speak", &prompt, "-o", &name("mp3")]).expect_code(0);
        assert_eq!(fs::read(sandbox.work().join(name("mp3"))).unwrap(), MP3);
    }
    assert_eq!(provider.calls(), 6);
    // Reel asks for no compression, because it saves little and costs the decoder's work.
    assert!(provider.requests().iter().all(|request| request.header("accept-encoding") == Some("identity")));

    // A response that is not streamed, and one with a wrong header: a proxy decompressed the body but left the header.
    let message = json!({ "role": "assistant", "content": "Because." });
    let body =
        json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] }).to_string();
    provider.script([
        coded(200, "x-gzip", gzip(body.as_bytes())),
        coded(200, "gzip", body.clone().into_bytes()),
        coded(200, "identity", body.into_bytes()),
    ]);
    let mut connection = sandbox.connect();
    for text in ["why", "why not", "why ever"] {
        let task = chat(&mut connection, text);
        assert_eq!(task["outputs"][0]["text"], "Because.", "{task}");
    }
}

#[test]
fn the_message_of_a_compressed_refusal_is_shown() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, MODELS);
    let words =
        json!({ "error": { "message": "The easel is on fire.", "code": "invalid_value" } }).to_string();
    provider.always(coded(400, "gzip", gzip(words.as_bytes())));
    let mut connection = sandbox.connect();
    let tasks = [ask_once(&mut connection, "a cat"), chat(&mut connection, "why")];
    for task in tasks {
        assert_eq!(task["error"]["code"], "provider_refused", "{task}");
        assert!(task["error"]["message"].as_str().unwrap().contains("The easel is on fire."), "{task}");
    }
}

/// Asks for one picture, one text and one voice, and returns their tasks.
fn one_of_each(sandbox: &Sandbox) -> [Value; 3] {
    let mut connection = sandbox.connect();
    let picture = ask_once(&mut connection, "a cat");
    let text = chat(&mut connection, "why");
    let voice = json!({ "kind": "voice.speak", "params": { "text": "Hello." }, "max_attempts": 1 });
    let id = connection.submit_as(voice);
    [picture, text, connection.wait(id)]
}

#[test]
fn a_paid_response_in_an_unknown_coding_is_held_and_not_paid_again() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, MODELS);
    for coding in ["br", "zstd", "gzip, br"] {
        provider.forget();
        provider.always(coded(200, coding, b"\x0b\x02\x80\x00\x00".to_vec()));
        for task in one_of_each(&sandbox) {
            assert_eq!(
                (&task["state"], &task["hold_reason"]),
                (&json!("held"), &json!("outcome_unknown")),
                "{task}"
            );
            let message = task["error"]["message"].as_str().unwrap();
            assert!(message.contains(&format!("compressed ({coding})")), "{task}");
            assert!(task["error"]["hint"].as_str().unwrap().contains("reel release"), "{task}");
            let mut connection = sandbox.connect();
            connection.ok("task.cancel", json!({ "id": task["id"] }));
        }
        assert_eq!(provider.calls(), 3, "{coding}");
    }
    // A failure status says what happened, even if its body cannot be read.
    provider.always(coded(401, "br", b"\x0b\x02\x80".to_vec()));
    for task in one_of_each(&sandbox) {
        assert_eq!(task["error"]["code"], "provider_auth", "{task}");
    }
}

#[test]
fn a_paid_job_whose_submission_response_has_an_unknown_coding_is_held() {
    let server = RawServer::answering(|request| {
        let is_submission = request.line.starts_with("POST ");
        let headers = [format!("content-encoding: {}", if is_submission { "br" } else { "identity" })];
        response("200 OK", &headers, if is_submission { b"\x0b\x02\x80" } else { b"{\"data\":[]}" })
    });
    let sandbox = Sandbox::started_with(&server.config("api_key = \"sk-x\"\nservices = [\"video\"]\n"));
    let mut connection = sandbox.connect();
    let id = connection.submit("video.generate", json!({ "prompt": "waves" }));
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    assert!(task["error"]["message"].as_str().unwrap().contains("compressed (br)"), "{task}");
}

#[test]
fn a_compressed_response_that_is_cut_damaged_or_endless_is_lost() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, MODELS);
    let whole = gzip(format!("{{\"data\":[{}]}}", " ".repeat(100_000)).as_bytes());
    let mut damaged = whole.clone();
    damaged[12..20].fill(0xff);
    let bomb = gzip(&vec![0; 200 * 1024 * 1024]);
    for body in [whole[..whole.len() / 2].to_vec(), damaged, bomb] {
        provider.always(coded(200, "gzip", body));
        for task in one_of_each(&sandbox) {
            let (state, code) = (&task["state"], &task["error"]["code"]);
            assert!(state == "held" || (state == "failed" && code == "provider_failed"), "{task}");
            let mut connection = sandbox.connect();
            let _ = connection.call("task.cancel", json!({ "id": task["id"] }));
        }
    }
}
