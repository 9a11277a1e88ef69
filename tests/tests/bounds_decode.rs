//! Pictures of a provider that are small to send and large to decode: what decoding takes is in the memory budget, and what does not fit
//! is kept undecoded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    FakeProvider, Sandbox,
    fake_provider::Fault,
    process::status_number,
    studio::{ask_once, config, submit},
};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;
/// A lossless WebP of 40 bytes with 9,400 × 9,400 pixels.
const WEBP_9400: &[u8] =
    b"RIFF \x00\x00\x00WEBPVP8L\x14\x00\x00\x00/\xb7\xe4-\t\x07P\x81T\x08 \x00\n\x9a\xfe\xc7\x88\x88\xfe\x07";
/// The same with 4,000 × 4,000 pixels.
const WEBP_4000: &[u8] = b"RIFF \x00\x00\x00WEBPVP8L\x14\x00\x00\x00/\x9f\xcf\xe7\x03\x07P\x81T\x08 \x00\n\x9a\xfe\xc7\x88\x88\xfe\x07";

fn answer(picture: &[u8]) -> Fault {
    let body = json!({ "data": [{ "b64_json": STANDARD.encode(picture) }] }).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    Fault::Raw((head + &body).into_bytes())
}

fn started(provider: &FakeProvider, limit_mb: u64) -> (Sandbox, u32) {
    let sandbox = Sandbox::new();
    let text = config(&sandbox, provider, "max_concurrent = 8");
    sandbox.configure(&format!("{text}\n[memory]\nlimit_mb = {limit_mb}\n"));
    let pid = sandbox.start();
    (sandbox, pid)
}

/// The most that the daemon ever held, in bytes.
fn peak_bytes(pid: u32) -> u64 {
    status_number(pid, "VmHWM").unwrap() * 1024
}

fn decode_peak(memory: &Value) -> u64 {
    let reservations = memory["reservations"].as_array().unwrap();
    let decode = reservations.iter().find(|reservation| reservation["holder"] == "decode").unwrap();
    decode["peak_bytes"].as_u64().unwrap()
}

#[test]
fn a_picture_that_does_not_fit_into_the_limit_is_kept_undecoded_and_takes_no_memory() {
    let provider = FakeProvider::start();
    provider.always(answer(WEBP_9400));
    let (sandbox, pid) = started(&provider, 64);
    let mut connection = sandbox.connect();
    let task = ask_once(&mut connection, "a sheet");
    let output = &task["outputs"][0];
    assert_eq!(
        (&task["state"], &output["media_type"], &output["width"], &output["size_bytes"]),
        (&json!("succeeded"), &json!("image/webp"), &json!(9400), &json!(40)),
        "{task}"
    );
    assert!(peak_bytes(pid) < 64 * MIB, "{} bytes", peak_bytes(pid));
}

#[test]
fn what_decoding_takes_is_reserved() {
    let provider = FakeProvider::start();
    provider.always(answer(WEBP_4000));
    let (sandbox, pid) = started(&provider, 512);
    let mut connection = sandbox.connect();
    let ids: Vec<_> = (0..6).map(|number| submit(&mut connection, &format!("sheet {number}"))).collect();
    for id in ids {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    let reserved = decode_peak(&connection.ok("memory.status", json!({})));
    let (peak, pixels) = (peak_bytes(pid), 4000 * 4000 * 3);
    assert!(reserved >= pixels * 2, "{reserved} bytes were reserved");
    assert!(peak < reserved + 48 * MIB, "{peak} bytes at most, {reserved} reserved");
}
