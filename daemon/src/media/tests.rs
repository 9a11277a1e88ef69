//! Tests the readers of this module with the files of `samples/`: unchanged, cut, and damaged in thousands of ways.

use std::io::Cursor;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{Condition, InspectError, Inspection, Limits, inspect};

macro_rules! samples {
    ($($name:literal),+ $(,)?) => { &[$(($name, include_bytes!(concat!("samples/", $name)))),+] };
}

/// All files of `samples/` except the script that makes them.
const SAMPLES: &[(&str, &[u8])] = samples![
    "speech.wav",
    "mulaw.wav",
    "speech.mp3",
    "tagged.mp3",
    "speech.aac",
    "speech.m4a",
    "fragments.m4a",
    "speech.flac",
    "speech.opus",
    "speech.ogg",
    "speech.webm",
    "film.mp4",
    "silent.mp4",
    "ahead.mp4",
    "film.webm",
    "live.webm",
    "film.mkv",
    "film.mov",
];

fn sample(name: &str) -> &'static [u8] {
    SAMPLES.iter().find(|(found, _)| *found == name).unwrap().1
}

fn inspected(bytes: &[u8]) -> Inspection {
    inspect(&mut Cursor::new(bytes), Limits::default()).unwrap()
}

#[test]
fn samples_are_what_they_were_made_as() {
    // The speech lasts 0.5 s. If a format cannot declare that its last frame is padded, the duration is some frames longer.
    for (name, media_type, extension, sample_rate, seconds) in [
        ("speech.wav", "audio/wav", "wav", Some(8_000), 0.5..0.5001),
        ("mulaw.wav", "audio/wav", "wav", Some(8_000), 0.5..0.5001),
        ("speech.mp3", "audio/mpeg", "mp3", Some(22_050), 0.5..0.5001),
        ("tagged.mp3", "audio/mpeg", "mp3", Some(44_100), 0.5..0.5001),
        ("speech.aac", "audio/aac", "aac", Some(24_000), 0.5..0.6),
        ("speech.m4a", "audio/mp4", "m4a", Some(24_000), 0.5..0.5001),
        ("fragments.m4a", "audio/mp4", "m4a", Some(24_000), 0.5..0.55),
        ("speech.flac", "audio/flac", "flac", Some(8_000), 0.5..0.5001),
        ("speech.opus", "audio/ogg", "opus", Some(48_000), 0.5..0.5001),
        ("speech.ogg", "audio/ogg", "ogg", Some(22_050), 0.5..0.5001),
        ("speech.webm", "audio/webm", "webm", Some(48_000), 0.5..0.53),
        ("film.mp4", "video/mp4", "mp4", Some(22_050), 0.5..0.55),
        ("silent.mp4", "video/mp4", "mp4", None, 0.5..0.5001),
        ("ahead.mp4", "video/mp4", "mp4", None, 0.5..0.5001),
        ("film.webm", "video/webm", "webm", Some(48_000), 0.5..0.55),
        ("live.webm", "video/webm", "webm", None, 0.5..0.5001),
        ("film.mkv", "video/matroska", "mkv", Some(22_050), 0.5..0.6),
        ("film.mov", "video/quicktime", "mov", Some(22_050), 0.5..0.55),
    ] {
        let Inspection { facts, condition } = inspected(sample(name));
        assert_eq!(condition, Condition::Whole, "{name}");
        assert_eq!((facts.media_type.as_ref(), facts.extension.as_ref()), (media_type, extension), "{name}");
        assert_eq!(facts.sample_rate, sample_rate, "{name}");
        let channels = if name == "tagged.mp3" { 2 } else { 1 };
        assert_eq!(facts.channels, sample_rate.map(|_| channels), "{name}");
        let is_film = media_type.starts_with("video/");
        let pixels = facts.pixels.map(|pixels| (pixels.width, pixels.height));
        assert_eq!(pixels, is_film.then_some((64, 48)), "{name}");
        let duration_s = facts.duration_s.unwrap();
        assert!(seconds.contains(&(duration_s + 1e-9)), "{name} lasts {duration_s} s");
    }
}

#[test]
fn a_cut_file_is_said_to_be_cut() {
    // A frame of AAC, a fragment and a block of a live stream are each complete: nothing says that more should follow.
    let may_seem_whole = ["speech.aac", "fragments.m4a", "live.webm"];
    for (name, bytes) in SAMPLES {
        let mut seemed_whole = 0;
        for length in (16..bytes.len()).step_by(61) {
            let Inspection { facts, condition } = inspected(&bytes[..length]);
            match condition {
                Condition::Cut(_) => {}
                Condition::Whole if may_seem_whole.contains(name) => seemed_whole += 1,
                // The file was cut between two pages of Ogg.
                Condition::Unchecked(reason) if reason.contains("may be cut") => seemed_whole += 1,
                condition => {
                    panic!("{name} cut to {length} of {} bytes is {condition:?}, {facts:?}", bytes.len())
                }
            }
            assert!(facts.duration_s.unwrap_or(0.0) < 0.61, "{name} cut to {length} bytes: {facts:?}");
        }
        assert!(seemed_whole < 12, "{name} seems whole {seemed_whole} times");
    }
    // A tag after the audio is not part of the audio.
    let tagged = sample("tagged.mp3");
    assert_eq!(inspected(&tagged[..tagged.len() - 128]).condition, Condition::Whole);
}

#[test]
fn a_damaged_file_is_said_to_be_damaged() {
    for name in ["speech.flac", "speech.opus", "speech.ogg"] {
        let mut bytes = sample(name).to_vec();
        // One byte in the middle of the audio, or of its checksum.
        let middle = bytes.len() / 4 * 3;
        bytes[middle] ^= 0x10;
        let condition = inspected(&bytes).condition;
        assert!(matches!(condition, Condition::Damaged(_)), "{name}: {condition:?}");
    }
    for name in ["speech.mp3", "speech.aac"] {
        let mut bytes = sample(name).to_vec();
        let middle = bytes.len() / 2;
        bytes.splice(middle..middle, *b"these bytes belong to no frame");
        let condition = inspected(&bytes).condition;
        assert!(matches!(condition, Condition::Damaged(_)), "{name}: {condition:?}");
    }
}

#[test]
fn frames_that_hold_no_sound_are_damaged() {
    let sound = sample("speech.mp3");
    // Damage every byte after the first frame, which has the tag, except the first two bytes of each frame's header (0xff 0xf3).
    let mut bytes = sound.to_vec();
    let starts: Vec<usize> =
        (0..bytes.len() - 1).filter(|at| bytes[*at] == 0xff && bytes[at + 1] == 0xf3).collect();
    for (at, byte) in bytes.iter_mut().enumerate().skip(starts[1] + 4) {
        if !starts.iter().any(|start| (*start..start + 4).contains(&at)) {
            *byte = (at * 7 % 251) as u8 | 1;
        }
    }
    let condition = inspected(&bytes).condition;
    assert!(
        matches!(&condition, Condition::Damaged(reason) if reason.contains("cannot be decoded")),
        "{condition:?}"
    );
}

#[test]
fn waves_of_unknown_length_go_to_the_end_of_the_file() {
    // espeak-ng and ffmpeg write such sizes to a pipe.
    for (riff, data) in [(0x7fff_f024_u32, 0x7fff_f000_u32), (u32::MAX, u32::MAX), (0, 0)] {
        let mut bytes = sample("speech.wav").to_vec();
        let at = bytes.windows(4).position(|window| window == b"data").unwrap() + 4;
        bytes[4..8].copy_from_slice(&riff.to_le_bytes());
        bytes[at..at + 4].copy_from_slice(&data.to_le_bytes());
        let inspection = inspected(&bytes);
        assert_eq!(
            (inspection.condition, inspection.facts.duration_s),
            (Condition::Whole, Some(0.5)),
            "{data:#x}"
        );
    }
}

#[test]
fn texts_are_told_by_all_of_their_bytes() {
    let long = "很".repeat(50_000);
    let cut = &long.as_bytes()[..long.len() - 1];
    let mut latin1 = long.clone().into_bytes();
    latin1[100_000] = 0xe9;
    let deep = "[".repeat(100_000);
    for (bytes, media_type, condition) in [
        (&b"hello"[..], "text/plain", "Whole"),
        (long.as_bytes(), "text/plain", "Whole"),
        (cut, "text/plain", "Cut"),
        (&latin1, "text/plain", "Damaged"),
        (b" {\"a\": [1, \"b\"]}\n", "application/json", "Whole"),
        (b"\xef\xbb\xbf[]", "application/json", "Whole"),
        (b"{\"a\": [1, \"b\"", "application/json", "Cut"),
        (deep.as_bytes(), "application/json", "Cut"),
        (b"[music] hello", "text/plain", "Whole"),
        (b"{\"a\":1} and more", "text/plain", "Whole"),
        (b"<!DOCTYPE html><title>502</title>", "text/html", "Whole"),
        (b"\xef\xbb\xbf", "text/plain", "Whole"),
        (b"\x89PNG\r\n\x1a\nrest", "image/png", "Unchecked"),
        (b"\x01\x02\xff\xfe\0", "application/octet-stream", "Unchecked"),
    ] {
        let found = inspected(bytes);
        assert_eq!(found.facts.media_type, media_type, "{:?}", &bytes[..bytes.len().min(20)]);
        let name = format!("{:?}", found.condition);
        assert!(name.starts_with(condition), "{media_type}: {name}");
    }
    assert!(matches!(inspect(&mut Cursor::new(b""), Limits::default()), Err(InspectError::Empty)));
}

#[test]
fn what_is_longer_than_the_limit_is_counted_and_not_decoded() {
    for name in ["speech.mp3", "speech.aac"] {
        let found = inspect(&mut Cursor::new(sample(name)), Limits { decoded_s: 0.1 }).unwrap();
        assert!(matches!(found.condition, Condition::Unchecked(_)), "{:?}", found.condition);
        assert_eq!(found.facts, inspected(sample(name)).facts);
    }
}

/// One damage to a file.
#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Number(Index, u32),
    Cut(Index),
    Remove(Index, usize),
    Repeat(Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), prop_oneof![any::<u32>(), Just(u32::MAX), Just(0), Just(1), Just(i32::MAX as u32)])
            .prop_map(|(at, number)| Damage::Number(at, number)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), 1..64_usize).prop_map(|(at, bytes)| Damage::Remove(at, bytes)),
        (any::<Index>(), 1..512_usize).prop_map(|(at, bytes)| Damage::Repeat(at, bytes)),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let end = |at: usize, count: usize| (at + count).min(bytes.len());
    match damage {
        Damage::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Damage::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
        Damage::Number(at, number) => {
            let at = at.index(bytes.len());
            let end = end(at, 4);
            bytes[at..end].copy_from_slice(&number.to_be_bytes()[..end - at]);
        }
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Remove(at, count) => {
            let at = at.index(bytes.len());
            bytes.drain(at..end(at, *count));
        }
        Damage::Repeat(at, count) => {
            let at = at.index(bytes.len());
            let piece = bytes[at..end(at, *count)].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_a_reader_panic(which in any::<Index>(), damages in vec(damage(), 1..8)) {
        let mut bytes = which.get(SAMPLES).1.to_vec();
        for damage in &damages {
            apply(damage, &mut bytes);
        }
        if let Ok(found) = inspect(&mut Cursor::new(&bytes), Limits::default()) {
            prop_assert!(found.facts.duration_s.is_none_or(|seconds| seconds.is_finite() && seconds >= 0.0));
        }
    }

    #[test]
    fn no_bytes_behind_a_beginning_make_a_reader_panic(
        which in any::<Index>(), kept in 4..200_usize, rest in vec(any::<u8>(), 0..2_000)
    ) {
        let sample = which.get(SAMPLES).1;
        let mut bytes = sample[..kept].to_vec();
        bytes.extend(rest);
        let _ = inspect(&mut Cursor::new(&bytes), Limits::default());
    }
}
