//! Pictures from a provider that are small to send and large to decode. The memory budget covers the memory that decoding takes, and a picture that
//! does not fit is kept undecoded.

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
    process::peak_bytes,
    studio::{ask_once, config, submit},
};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;
/// A lossless WebP of 40 bytes that has 9,400 × 9,400 pixels.
const WEBP_9400: &[u8] =
    b"RIFF \x00\x00\x00WEBPVP8L\x14\x00\x00\x00/\xb7\xe4-\t\x07P\x81T\x08 \x00\n\x9a\xfe\xc7\x88\x88\xfe\x07";
/// A lossless WebP of 40 bytes that has 4,000 × 4,000 pixels.
const WEBP_4000: &[u8] = b"RIFF \x00\x00\x00WEBPVP8L\x14\x00\x00\x00/\x9f\xcf\xe7\x03\x07P\x81T\x08 \x00\n\x9a\xfe\xc7\x88\x88\xfe\x07";

/// Writes the bits of a lossless WebP, the lowest bit of each number first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= (((value >> bit) & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// Writes a Huffman code with one symbol.
    fn single(&mut self, symbol: u32) {
        self.put(0b101, 3);
        self.put(symbol, 8);
    }

    /// Writes a Huffman code with 1,025 symbols. The code of the first symbol has one bit, and those of all others have eleven.
    fn large(&mut self) {
        self.put(0, 1);
        // The lengths of the codes that encode code lengths, in the order 17, 18, 0, 1, … 16, … 11. The code for "repeat" (16) has one bit, and those
        // for the lengths 1 and 11 have two.
        let lengths = [0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2];
        self.put(lengths.len() as u32 - 4, 4);
        for length in lengths {
            self.put(length, 3);
        }
        // The number of encoded code lengths: two, and 171 repetitions. Each repeats six times, but the last one three times.
        self.put(1, 1);
        self.put(3, 3);
        self.put(2 + 171 - 2, 8);
        // The code of length 1 is 01, that of 11 is 11, and that of a repetition is 0. Codes are written from their highest bit on.
        self.put(0b01, 2);
        self.put(0b11, 2);
        for _ in 0..170 {
            self.put(0, 1);
            self.put(3, 2);
        }
        self.put(0, 1);
        self.put(0, 2);
    }
}

/// Returns a lossless WebP of one pixel with this many groups of Huffman codes. Their tables are as large as possible for the bytes that they take in
/// the file.
fn webp_of_tables(groups: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x2f, 8);
    // Width and height; then no transparency, the version, and no transform.
    bits.put(0, 14 + 14);
    bits.put(0, 1 + 3 + 1);
    // A cache of 2,048 colours, which makes the first alphabet of a group larger.
    bits.put(1, 1);
    bits.put(11, 4);
    // An image of one pixel whose red and green are the number of the last group.
    bits.put(1, 1);
    bits.put(7, 3);
    bits.put(0, 1);
    for symbol in [(groups - 1) & 0xff, (groups - 1) >> 8, 0, 0, 0] {
        bits.single(symbol);
    }
    for _ in 0..groups {
        bits.large();
        (0..4).for_each(|_| bits.single(0));
    }
    let data = bits.bytes;
    let padding = vec![0; data.len() % 2];
    let length = data.len() as u32;
    let riff = 12 + length + padding.len() as u32;
    [b"RIFF", &riff.to_le_bytes()[..], b"WEBPVP8L", &length.to_le_bytes(), &data, &padding].concat()
}

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
fn the_memory_for_decoding_is_reserved() {
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

#[test]
fn the_huffman_tables_of_a_lossless_webp_are_reserved() {
    const GROUPS: u32 = 6_000;
    let picture = webp_of_tables(GROUPS);
    assert!(picture.len() < 600_000, "{} bytes", picture.len());
    let provider = FakeProvider::start();
    provider.always(answer(&picture));
    let (sandbox, pid) = started(&provider, 1_024);
    let mut connection = sandbox.connect();
    let before = peak_bytes(pid);
    let task = ask_once(&mut connection, "a small sheet with large tables");
    assert_eq!((&task["state"], &task["outputs"][0]["width"]), (&json!("succeeded"), &json!(1)), "{task}");
    let reserved = decode_peak(&connection.ok("memory.status", json!({})));
    // The decoder makes tables of up to 36 KiB for each group. This says that the picture is a hard one, and not how hard.
    let tables = u64::from(GROUPS) * 36 * 1024 * 8 / 10;
    let peak = peak_bytes(pid);
    assert!(
        peak > before + tables,
        "the tables are not as large as they could be: {peak} bytes at most, {before} before"
    );
    assert!(peak < before + reserved, "{peak} bytes at most, {before} before, {reserved} reserved");
}

#[test]
fn a_webp_whose_tables_do_not_fit_into_the_limit_is_kept_undecoded() {
    let picture = webp_of_tables(6_000);
    let provider = FakeProvider::start();
    provider.always(answer(&picture));
    let (sandbox, pid) = started(&provider, 64);
    let mut connection = sandbox.connect();
    let task = ask_once(&mut connection, "a small sheet with large tables");
    assert_eq!((&task["state"], &task["outputs"][0]["width"]), (&json!("succeeded"), &json!(1)), "{task}");
    let notes = task["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note["code"] == "not_decoded"), "{task}");
    assert!(peak_bytes(pid) < 64 * MIB, "{} bytes", peak_bytes(pid));
}
