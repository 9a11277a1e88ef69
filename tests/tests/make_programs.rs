//! `reel make` where programs are installed while the daemon runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{env, fs, os::unix::fs::PermissionsExt as _};

use reel_tests::{
    Sandbox, needs,
    tale::{Tale, programs},
};
use serde_json::Value;

/// The names of what was made now, and not taken from before.
fn made(document: &Value) -> String {
    document["counts"]["made"].to_string()
}

#[test]
fn programs_that_are_installed_later_are_found_without_a_restart() {
    if !["ffmpeg", "espeak-ng"].iter().all(|program| needs::program(program)) {
        return;
    }
    let sandbox = Sandbox::new();
    let directory = sandbox.root().join("programs");
    fs::create_dir(&directory).unwrap();
    let tale = Tale::new(sandbox.with_variable("PATH", directory.display().to_string()));
    let ran = tale.make(&[]);
    ran.expect_code(78);
    assert!(ran.stderr.contains("silence in place of voices"), "{}", ran.stderr);
    assert!(ran.stderr.contains("run the same command again"), "{}", ran.stderr);
    programs(&directory, &["espeak-ng"]);
    let ran = tale.make(&["--json"]);
    let voiced = ran.expect_code(78).json();
    assert!(!ran.stderr.contains("silence"), "{}", ran.stderr);
    assert!(made(&voiced).contains("voice") && !made(&voiced).contains("picture"), "{voiced}");
    let planned = tale.make(&["--dry-run"]);
    assert!(planned.expect_code(0).stderr.contains("ffmpeg is not installed"), "{}", planned.stderr);
    programs(&directory, &["ffmpeg"]);
    let ran = tale.make(&["--json"]);
    let filmed = ran.expect_code(0).json();
    assert!(!ran.stderr.contains("ffmpeg"), "{}", ran.stderr);
    assert!(!made(&filmed).contains("voice") && !made(&filmed).contains("picture"), "{filmed}");
    assert!(tale.path("story.mp4").exists());
}

#[test]
fn a_file_of_another_length_is_not_taken_for_the_one_that_was_asked_for() {
    if !["ffmpeg", "espeak-ng"].iter().all(|program| needs::program(program)) {
        return;
    }
    let sandbox = Sandbox::new();
    let directory = sandbox.root().join("programs");
    fs::create_dir(&directory).unwrap();
    let usual = env::var("PATH").unwrap();
    let tale = Tale::new(sandbox.with_variable("PATH", format!("{}:{usual}", directory.display())));
    let fake = directory.join("ffmpeg");
    let script = format!(
        "#!/bin/bash\nPATH='{usual}'\nfor last; do :; done\nexec ffmpeg -v error -y -f lavfi -i color=s=320x180:r=30:d=0.1 -f mp4 \"$last\"\n"
    );
    fs::write(&fake, script).unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = tale.make(&[]);
    assert!(ran.expect_code(1).stderr.contains("a file of 0.100 s, where"), "{}", ran.stderr);
    fs::remove_file(&fake).unwrap();
    tale.make(&[]).expect_code(0);
    assert!(tale.path("story.mp4").exists());
}

#[test]
fn an_ffmpeg_that_dies_is_quoted_and_a_good_one_renders_what_is_missing_and_nothing_else() {
    if !["ffmpeg", "espeak-ng"].iter().all(|program| needs::program(program)) {
        return;
    }
    let sandbox = Sandbox::new();
    let directory = sandbox.root().join("programs");
    fs::create_dir(&directory).unwrap();
    programs(&directory, &["espeak-ng"]);
    let broken = directory.join("ffmpeg");
    fs::write(&broken, "#!/bin/sh\necho 'the encoder is broken today' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let tale = Tale::new(sandbox.with_variable("PATH", directory.display().to_string()));
    let ran = tale.make(&[]);
    assert!(ran.expect_code(1).stderr.contains("the encoder is broken today"), "{}", ran.stderr);
    assert!(!tale.path("story.mp4").exists());
    fs::remove_file(&broken).unwrap();
    programs(&directory, &["ffmpeg"]);
    let filmed = tale.make(&["--json"]).expect_code(0).json();
    assert!(!made(&filmed).contains("voice") && !made(&filmed).contains("picture"), "{filmed}");
    assert!(tale.path("story.mp4").exists());
}
