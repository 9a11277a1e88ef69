//! `reel make` when programs are installed later, fail or hang, and when the daemon's disk is full while a film is rendered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{env, fs, os::unix::fs::PermissionsExt as _};

use reel_tests::{
    FakeProvider, Sandbox, SmallDisk, needs, process,
    studio::{config, unhurried},
    tale::{STORY, Tale, programs},
};
use serde_json::{Value, json};

/// Returns the counts of what this run made, without what was made before.
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
    assert!(ran.stderr.contains("the voices will be silence"), "{}", ran.stderr);
    assert!(ran.stderr.contains("makes only what is missing"), "{}", ran.stderr);
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
fn a_result_of_the_wrong_length_is_refused() {
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
fn a_failing_ffmpeg_is_quoted_and_a_working_one_renders_only_what_is_missing() {
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

#[test]
fn a_hanging_ffmpeg_is_stopped_with_its_children_and_the_film_goes_on() {
    if !["ffmpeg", "espeak-ng"].iter().all(|program| needs::program(program)) {
        return;
    }
    let sandbox = Sandbox::new();
    let directory = sandbox.root().join("programs");
    fs::create_dir(&directory).unwrap();
    let usual = env::var("PATH").unwrap();
    let hung = sandbox.root().join("hung");
    let script = format!(
        "#!/bin/bash\nPATH='{usual}'\nfor last; do :; done\n\
         if [ ! -e '{0}' ]; then : > '{0}'; printf half > \"$last\"; FROM='{0}' sleep 3600 & wait; fi\nexec ffmpeg \"$@\"\n",
        hung.display()
    );
    let program = directory.join("ffmpeg");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let tale = Tale::new(sandbox.with_variable("PATH", format!("{}:{usual}", directory.display())));
    tale.make(&[]).expect_code(0);
    assert!(tale.path("story.mp4").exists());
    let steps = tale.sandbox.connect().ok("task.list", json!({ "limit": 50 }))["tasks"].clone();
    let attempts: Vec<_> = steps.as_array().unwrap().iter().map(|task| &task["attempts"]).collect();
    let again = attempts.iter().filter(|attempts| **attempts == 2).count();
    assert_eq!(again, 1, "the step whose program hung is tried once more: {attempts:?}");
    let left = process::processes_of(&hung);
    assert!(left.is_empty(), "a child of the program that hung still runs: {left:?}");
}

#[test]
fn a_disk_that_is_full_while_a_film_is_rendered_loses_nothing_that_was_made() {
    if !["ffmpeg", "ffprobe"].iter().all(|program| needs::program(program)) {
        return;
    }
    let Some(disk) = SmallDisk::mounted(128) else { return };
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new().with_home(disk.path().join("home"));
    let models = "models = { image = \"gpt-image-2\", voice = \"tts-1\" }";
    sandbox
        .configure(&unhurried(&config(&sandbox, &provider, models)).replace("model = \"gpt-image-2\"\n", ""));
    sandbox.start();
    let tale = Tale::named(sandbox, "story", "story.txt", STORY);
    tale.make(&["--until", "pictures"]).expect_code(0);
    let calls = provider.calls();
    let filler = disk.fill_up_to(1_300);
    let ran = tale.make(&["--json"]);
    let troubles = ran.expect_code(1).json()["troubles"].clone();
    let codes: Vec<_> = troubles.as_array().unwrap().iter().map(|trouble| trouble["code"].clone()).collect();
    assert!(!codes.is_empty() && codes.iter().all(|code| code == "storage_full"), "{troubles:#}");
    assert!(!tale.path("story.mp4").exists());
    fs::remove_file(filler).unwrap();
    let filmed = tale.make(&["--json"]).expect_code(0).json();
    assert!(!made(&filmed).contains("voice") && !made(&filmed).contains("picture"), "{filmed}");
    assert_eq!(provider.calls(), calls, "nothing is asked for twice");
    assert!(tale.path("story.mp4").exists());
}
