//! Reads films with `ffmpeg` and `ffprobe`: their frames, their sound and their lengths.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::needs;

/// Runs a program, which must succeed, and returns its standard output.
#[track_caller]
fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The properties of a film's streams.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Number of frames, counted by decoding all of them.
    pub frames: u64,
    /// Length of the video stream, in seconds.
    pub video_s: f64,
    /// Length of the audio stream, in seconds; 0 if there is none.
    pub audio_s: f64,
    /// Width and height, in pixels.
    pub size: (u64, u64),
    /// The properties by which players decide how to show it: codec, pixel format and colours.
    pub form: String,
    /// The languages of the subtitle tracks.
    pub subtitles: Vec<String>,
}

/// Reads the properties of a film.
#[track_caller]
pub fn film(path: &Path) -> Film {
    let path = path.to_str().unwrap();
    let printed = output(
        "ffprobe",
        &["-v", "error", "-count_frames", "-show_streams", "-of", "json", &format!("file:{path}")],
    );
    let probed: Value = serde_json::from_slice(&printed).unwrap();
    let streams = probed["streams"].as_array().unwrap();
    let text = |stream: &Value, key: &str| stream[key].as_str().unwrap_or("-").to_owned();
    let seconds =
        |stream: Option<&Value>| stream.map_or(0.0, |stream| text(stream, "duration").parse().unwrap());
    let of = |kind: &str| streams.iter().find(|stream| stream["codec_type"] == kind);
    let video = of("video").unwrap();
    let tracks = streams.iter().filter(|stream| stream["codec_type"] == "subtitle");
    Film {
        frames: text(video, "nb_read_frames").parse().unwrap(),
        video_s: seconds(Some(video)),
        audio_s: seconds(of("audio")),
        size: (video["width"].as_u64().unwrap(), video["height"].as_u64().unwrap()),
        form: ["codec_name", "pix_fmt", "color_range", "color_space"].map(|key| text(video, key)).join(" "),
        subtitles: tracks.map(|track| text(&track["tags"], "language")).collect(),
    }
}

/// Decodes the frames with these numbers, each to `width * height` bytes of brightness.
#[track_caller]
pub fn frames(path: &Path, numbers: &[u64], (width, height): (u32, u32)) -> Vec<Vec<u8>> {
    let chosen = numbers.iter().map(|number| format!("eq(n\\,{number})")).collect::<Vec<_>>().join("+");
    let filter = format!("select='{chosen}',scale={width}:{height},format=gray");
    let input = format!("file:{}", path.display());
    let arguments = ["-v", "error", "-i", &input, "-vf", &filter, "-vsync", "0", "-f", "rawvideo", "-"];
    let bytes = output("ffmpeg", &arguments);
    let found: Vec<_> = bytes.chunks((width * height) as usize).map(<[u8]>::to_vec).collect();
    assert_eq!(found.len(), numbers.len(), "{numbers:?} of {input}");
    found
}

/// Decodes the sound of a file to samples at 48 kHz, mixed to one channel.
#[track_caller]
pub fn samples(path: &Path) -> Vec<f32> {
    let input = format!("file:{}", path.display());
    let bytes =
        output("ffmpeg", &["-v", "error", "-i", &input, "-ac", "1", "-ar", "48000", "-f", "f32le", "-"]);
    bytes.chunks_exact(4).map(|sample| f32::from_le_bytes(sample.try_into().unwrap())).collect()
}

/// Finds where `piece` is in `whole`, at most `reach` samples from `expected`. Returns the offset from `expected` in samples, and the similarity at
/// that point, from -1 to 1.
pub fn find_sound(whole: &[f32], piece: &[f32], expected: usize, reach: usize) -> (i64, f64) {
    let energy =
        |samples: &[f32]| samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>().sqrt();
    let first = expected.saturating_sub(reach);
    let last = (expected + reach).min(whole.len().saturating_sub(piece.len()));
    let mut best = (0, f64::MIN);
    for at in first..=last {
        let there = &whole[at..at + piece.len()];
        let product: f64 =
            there.iter().zip(piece).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum();
        let likeness = product / (energy(there) * energy(piece)).max(1e-9);
        if likeness > best.1 {
            best = (at as i64 - expected as i64, likeness);
        }
    }
    best
}

/// Returns the loudness of a file in LUFS, and its true peak in decibels.
#[track_caller]
pub fn loudness(path: &Path) -> (f64, f64) {
    let input = format!("file:{}", path.display());
    let measured = Command::new("ffmpeg")
        .args([
            "-hide_banner",
            "-nostats",
            "-i",
            &input,
            "-map",
            "0:a",
            "-af",
            "ebur128=peak=true",
            "-f",
            "null",
            "-",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&measured.stderr).into_owned();
    let number = |mark: &str| {
        let line =
            text.lines().rev().find(|line| line.trim().starts_with(mark)).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (number("I:"), number("Peak:"))
}

/// Whether the programs that make and examine films are installed. If not, the test is noted as skipped.
pub fn needs_programs() -> bool {
    ["ffmpeg", "ffprobe"].iter().all(|program| needs::program(program))
}

/// Returns the mean of a frame's samples, from 0 to 255.
pub fn mean(frame: &[u8]) -> f64 {
    frame.iter().map(|sample| f64::from(*sample)).sum::<f64>() / frame.len() as f64
}

/// Returns the mean absolute difference of two pictures of the same size, from 0 to 255.
pub fn difference(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| f64::from(one.abs_diff(*other))).sum::<f64>() / one.len() as f64
}
