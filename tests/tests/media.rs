//! Compares the daemon's inspection of media with ffmpeg. The files are made by ffmpeg and espeak-ng, and ffprobe and ffmpeg's decoders tell the
//! durations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reel_tests::needs;
use reeld::media::{Condition, Inspection, Limits, inspect};

/// Length of the sound, in seconds. It is not a whole number of frames of any codec.
const SECONDS: f64 = 12.345;
/// The sound files: name, media type, and the arguments with which ffmpeg makes them.
const SOUNDS: &[(&str, &str, &str)] = &[
    ("pcm.wav", "audio/wav", "-c:a pcm_s16le"),
    ("float.wav", "audio/wav", "-c:a pcm_f32le -ac 2"),
    ("surround.wav", "audio/wav", "-c:a pcm_s24le -ac 6"),
    ("alaw.wav", "audio/wav", "-c:a pcm_alaw -ar 8000"),
    ("constant.mp3", "audio/mpeg", "-b:a 64k"),
    ("variable.mp3", "audio/mpeg", "-ar 44100 -ac 2 -q:a 4"),
    ("low.mp3", "audio/mpeg", "-ar 11025 -b:a 16k"),
    ("untagged.mp3", "audio/mpeg", "-b:a 64k -write_xing 0 -id3v2_version 0"),
    ("sound.aac", "audio/aac", "-b:a 64k"),
    ("stereo.aac", "audio/aac", "-ar 48000 -ac 2 -b:a 96k"),
    ("sound.m4a", "audio/mp4", "-b:a 64k"),
    ("fragments.m4a", "audio/mp4", "-b:a 64k -movflags +frag_keyframe+empty_moov -frag_duration 1000000"),
    ("lossless.m4a", "audio/mp4", "-c:a alac"),
    ("sound.flac", "audio/flac", ""),
    ("stereo.flac", "audio/flac", "-ar 48000 -ac 2 -sample_fmt s32 -compression_level 12"),
    ("sound.opus", "audio/ogg", "-c:a libopus -b:a 24k"),
    ("short.opus", "audio/ogg", "-c:a libopus -frame_duration 2.5 -ac 2"),
    ("long.opus", "audio/ogg", "-c:a libopus -frame_duration 60 -b:a 12k"),
    ("sound.ogg", "audio/ogg", "-c:a libvorbis -q:a 3"),
    ("stereo.ogg", "audio/ogg", "-c:a libvorbis -ar 48000 -ac 2 -q:a 8"),
    ("sound.webm", "audio/webm", "-c:a libopus -b:a 24k"),
    ("vorbis.webm", "audio/webm", "-c:a libvorbis"),
    ("sound.mka", "audio/matroska", "-c:a aac"),
];
/// The films: name, media type, and the arguments with which ffmpeg makes them from pictures and the sound.
const FILMS: &[(&str, &str, &str)] = &[
    ("film.mp4", "video/mp4", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac"),
    (
        "fast.mp4",
        "video/mp4",
        "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -c:a aac -movflags +faststart",
    ),
    (
        "fragments.mp4",
        "video/mp4",
        "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -movflags +frag_keyframe+empty_moov",
    ),
    ("silent.mp4", "video/mp4", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -an"),
    ("film.mov", "video/quicktime", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac"),
    ("film.webm", "video/webm", "-c:v libvpx -deadline realtime -b:v 200k -c:a libopus"),
    ("film.mkv", "video/matroska", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a libmp3lame"),
];

fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Makes a file with sound that rises and falls. If it is a film, it also has moving pictures.
fn make(directory: &Path, name: &str, is_film: bool, arguments: &str) -> PathBuf {
    let path = directory.join(name);
    let sound = format!("aevalsrc='0.3*sin(440*2*PI*t)*sin(3*t)':s=22050:d={SECONDS}");
    let mut all = vec!["-f", "lavfi", "-i", &sound];
    let pictures = format!("testsrc2=size=320x180:rate=25:duration={SECONDS}");
    if is_film {
        all.extend(["-f", "lavfi", "-i", &pictures]);
    }
    all.extend(arguments.split_whitespace());
    all.push(path.to_str().unwrap());
    ffmpeg(&all);
    path
}

fn inspected(path: &Path) -> Inspection {
    inspect(&mut File::open(path).unwrap(), Limits::default()).unwrap()
}

/// Returns the numbers that ffprobe prints for these entries of a stream or of the whole file.
fn probed(path: &Path, entries: &str, more: &[&str]) -> Vec<f64> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "csv=p=0", "-show_entries", entries]).args(more).arg(path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let text = text.lines().next().unwrap_or_default();
    text.split(',').filter_map(|number| number.trim().parse().ok()).collect()
}

/// Returns the length of the sound that ffmpeg decodes, in seconds.
fn decoded_s(path: &Path) -> f64 {
    let rate = "48000";
    let samples =
        ffmpeg(&["-i", path.to_str().unwrap(), "-map", "0:a", "-f", "s16le", "-ac", "1", "-ar", rate, "-"]);
    samples.len() as f64 / 2.0 / 48_000.0
}

#[test]
fn sound_lasts_as_long_as_ffmpeg_decodes_and_ffprobe_says() {
    if !needs::program("ffmpeg") || !needs::program("ffprobe") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, media_type, arguments) in SOUNDS {
        let path = make(directory.path(), name, false, arguments);
        let Inspection { facts, condition } = inspected(&path);
        // The inspection does not decode ALAC. For it, this tests the container only.
        assert_eq!(condition, Condition::Whole, "{name}");
        assert_eq!(facts.media_type, *media_type, "{name}");
        let duration_s = facts.duration_s.unwrap();
        let stream = probed(&path, "stream=sample_rate,channels", &["-select_streams", "a:0"]);
        let found = [facts.sample_rate.map(f64::from), facts.channels.map(f64::from)];
        assert_eq!(found, [Some(stream[0]), Some(stream[1])], "{name}");
        let decoded = decoded_s(&path);
        // ffmpeg drops the samples that its AAC encoder added at the beginning, but not always those at the end: up to a frame of 1,024 samples.
        let tolerance =
            if name.contains("aac") || name.contains("m4") || name.contains("web") { 0.1 } else { 0.002 };
        assert!(
            (duration_s - decoded).abs() < tolerance,
            "{name} lasts {duration_s} s, and ffmpeg decodes {decoded} s"
        );
        let said = if *media_type == "audio/aac" {
            // For this format ffprobe guesses the duration from the bit rate, so count the frames.
            let frames =
                probed(&path, "stream=nb_read_packets", &["-count_packets", "-select_streams", "a:0"]);
            frames[0] * 1_024.0 / stream[0]
        } else {
            probed(&path, "format=duration", &[])[0]
        };
        // ffprobe includes the samples that the MP3 encoder added, at most three frames of 1,152 samples.
        assert!((duration_s - said).abs() < 0.16, "{name} lasts {duration_s} s, and ffprobe says {said} s");
    }
}

#[test]
fn films_have_the_size_and_duration_that_ffprobe_says() {
    if !needs::program("ffmpeg") || !needs::program("ffprobe") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, media_type, arguments) in FILMS {
        let path = make(directory.path(), name, true, arguments);
        let Inspection { facts, condition } = inspected(&path);
        assert_eq!(condition, Condition::Whole, "{name}");
        assert_eq!(facts.media_type, *media_type, "{name}");
        assert_eq!(facts.pixels.map(|pixels| (pixels.width, pixels.height)), Some((320, 180)), "{name}");
        let said = probed(&path, "format=duration", &[])[0];
        let duration_s = facts.duration_s.unwrap();
        assert!((duration_s - said).abs() < 0.1, "{name} lasts {duration_s} s, and ffprobe says {said} s");
        // The inspection of the first three quarters of a film says that it is cut, and describes what is there.
        let cut = directory.path().join("cut");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() / 4 * 3]).unwrap();
        assert!(matches!(inspected(&cut).condition, Condition::Cut(_)), "{name}: {:?}", inspected(&cut));
    }
}

#[test]
fn wav_files_that_a_program_writes_to_a_pipe_have_their_true_length() {
    if !needs::program("ffmpeg") || !needs::program("espeak-ng") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (file, piped) = (directory.path().join("file.wav"), directory.path().join("piped.wav"));
    let text = "The header of a pipe says two gigabytes, whatever follows.";
    let spoken = |more: &[&str]| Command::new("espeak-ng").args(more).arg(text).output().unwrap();
    assert!(spoken(&["-w", file.to_str().unwrap()]).status.success());
    std::fs::write(&piped, spoken(&["--stdout"]).stdout).unwrap();
    let expected = inspected(&file);
    assert_eq!(expected.condition, Condition::Whole);
    assert!(expected.facts.duration_s.unwrap() > 1.0);
    assert_eq!(inspected(&piped), expected);
    let bytes = ffmpeg(&["-i", file.to_str().unwrap(), "-bitexact", "-f", "wav", "-"]);
    std::fs::write(&piped, bytes).unwrap();
    assert_eq!(inspected(&piped), expected);
}
