//! `reel make` without `ffmpeg`: everything except the film is made, and a page shows it in a browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use reel_tests::{
    Sandbox, needs,
    tale::{SHOTS, Tale, programs},
};

/// Returns a sandbox whose `PATH` has only these programs, if they are installed.
fn with_programs(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    let directory = sandbox.root().join("programs");
    fs::create_dir(&directory).unwrap();
    programs(&directory, names);
    let directory = directory.display().to_string();
    sandbox.with_variable("PATH", directory)
}

/// Returns the samples of a WAV file with one channel of 16 bits.
fn samples(path: &Path) -> Vec<i16> {
    let file = fs::read(path).unwrap();
    file[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn loudest(samples: &[i16]) -> i16 {
    samples.iter().map(|sample| sample.saturating_abs()).max().unwrap_or(0)
}

#[test]
fn without_ffmpeg_the_story_can_be_watched_and_heard_in_a_browser() {
    if !needs::program("espeak-ng") {
        return;
    }
    let tale = Tale::new(with_programs(&["espeak-ng"]));
    let ran = tale.make(&[]);
    let said = &ran.expect_code(78).stderr;
    let install = "hint: install ffmpeg (Debian: apt install ffmpeg), then reel make ";
    assert!(said.contains(install), "{said}");
    assert_eq!(ran.stdout, "story.reel/player.html\n");
    assert!(!tale.path("story.mp4").exists());
    let subtitles = fs::read_to_string(tale.path("story.srt")).unwrap();
    assert!(subtitles.contains("He looked out over the\ndark water"), "{subtitles}");

    let document = tale.make(&["--json"]).expect_code(78).json();
    assert_eq!(document["error"]["code"], "no_renderer");
    assert_eq!(document["counts"]["made"], serde_json::json!({}), "nothing is made twice");
    let page = fs::read_to_string(tale.path("story.reel/player.html")).unwrap();
    for shot in SHOTS {
        assert!(page.contains(&format!("\"picture\":\"{shot}.png\"")), "{page}");
        assert!(tale.path(format!("story.reel/{shot}.png")).exists());
    }
    // Each voice is heard where the film would have it, with silence before it.
    let narration = samples(&tale.path("story.reel/narration.wav"));
    let at = |seconds: f64| (seconds * 48_000.0) as usize;
    let length = document["duration_s"].as_f64().unwrap();
    assert!(narration.len().abs_diff(at(length)) <= 48, "{} {length}", narration.len());
    for shot in document["shots"].as_array().unwrap() {
        let time = |key: &str| shot[key].as_f64().unwrap();
        let (start, speech) = (at(time("start_s")), at(time("speech_start_s")));
        assert_eq!(loudest(&narration[start..speech - 48]), 0, "{shot}");
        assert!(loudest(&narration[speech..speech + at(time("speech_s"))]) > 3000, "{shot}");
    }
}

#[test]
fn without_any_program_the_downgrades_are_named_once_before_the_work_begins() {
    let tale = Tale::new(with_programs(&[]));
    let ran = tale.make(&[]);
    let said = &ran.expect_code(78).stderr;
    let (start, end) = said.split_once("made now: ").unwrap();
    for words in
        ["the voices will be silence", "the pictures will be drafts", "no film can be joined: ffmpeg"]
    {
        assert!(start.contains(words), "{words}: {said}");
    }
    assert!(!end.contains("silence") && !end.contains("drafts"), "{said}");
    assert_eq!(loudest(&samples(&tale.path("story.reel/narration.wav"))), 0);
}
