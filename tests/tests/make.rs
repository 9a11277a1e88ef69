//! `reel make`, as far as it needs no daemon: from a story to its storyboard.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::PathBuf};

use reel_tests::Sandbox;

const STORY: &str = "# The Lamp\n\nThe keeper climbed the stairs every evening and lit the lamp. \
    He looked out over the dark water for a long time.\n\n\"Is anybody there?\" he called into the wind that night.\n";

/// A sandbox with a story in a directory whose name needs quotes.
fn with_story(story: &[u8]) -> (Sandbox, PathBuf, PathBuf) {
    let sandbox = Sandbox::new();
    let directory = sandbox.root().join("it's 50% a:b");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("story.txt"), story).unwrap();
    let (story, project) = (directory.join("story.txt"), directory.join("story.reel.toml"));
    (sandbox, story, project)
}

#[test]
fn a_dry_run_shows_the_shots_and_writes_nothing() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let ran = sandbox.reel(&["make", story.to_str().unwrap(), "--dry-run"]);
    let shown = &ran.expect_code(0).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("SHOT  AT    TAKES  TEXT"), "{shown}");
    assert!(lines[1].starts_with("a1    0:00  5.0 s  The keeper climbed the stairs"), "{shown}");
    assert_eq!(lines.len(), 4, "{shown}");
    let totals = "3 shots in 1 scene, about 0:14 at 1920x1080 and 30 frames a second; 166 characters to speak, 3 pictures to make";
    assert!(ran.stderr.contains(totals), "{}", ran.stderr);
    assert!(ran.stderr.contains("--until storyboard writes the shots"), "{}", ran.stderr);
    assert!(!project.exists());
    assert!(sandbox.daemons().is_empty());
}

#[test]
fn the_storyboard_is_written_once_and_stays_as_a_person_edits_it() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let make = ["make", story.to_str().unwrap(), "--until", "storyboard", "--size", "9:16", "--json"];
    let first = sandbox.reel(&make).expect_code(0).json();
    assert_eq!((&first["is_written"], &first["pictures"]), (&true.into(), &3.into()), "{first}");
    assert_eq!(first["shots"][2]["id"], "a3");
    let written = fs::read_to_string(&project).unwrap();
    assert!(written.contains("size = \"1080x1920\""), "{written}");

    let edited = written.replacen("id = \"a2\"", "id = \"a2\" # the night", 1).replacen(
        "[[shots]]\nid = \"a3\"",
        "# My own card.\n[[shots]]\ntext = \"\"\nmin_s = 4\n\n[[shots]]\nid = \"a3\"",
        1,
    );
    fs::write(&project, &edited).unwrap();
    let second = sandbox.reel(&make).expect_code(0).json();
    assert_eq!((&second["is_written"], &second["shots"][2]["id"]), (&true.into(), &"s1".into()), "{second}");
    let expected = edited.replacen("[[shots]]\ntext = \"\"", "[[shots]]\nid = \"s1\"\ntext = \"\"", 1);
    assert_eq!(fs::read_to_string(&project).unwrap(), expected);

    let third = sandbox.reel(&["make", project.to_str().unwrap(), "--until", "storyboard", "--json"]);
    assert_eq!(third.expect_code(0).json()["is_written"], false);
    assert_eq!(fs::read_to_string(&project).unwrap(), expected);
}

#[test]
fn a_story_that_was_changed_since_is_told_and_the_storyboard_wins() {
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    let make = ["make", story.to_str().unwrap(), "--until", "storyboard"];
    sandbox.reel(&make).expect_code(0);
    let written = fs::read_to_string(&project).unwrap();
    fs::write(&story, STORY.replace("lamp.", "big lamp.")).unwrap();
    let ran = sandbox.reel(&make);
    assert!(ran.expect_code(0).stderr.contains("the story was changed since"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&project).unwrap(), written);
}

#[test]
fn bad_input_is_named_and_writes_nothing() {
    let gbk =
        b"\xb4\xd3\xc7\xb0\xd3\xd0\xd7\xf9\xc9\xbd\xa3\xac\xc9\xbd\xc0\xef\xd3\xd0\xd7\xf9\xc3\xed\xa1\xa3";
    for (bytes, words) in [
        (&b""[..], "the story is empty"),
        (b"# One\n\n## Two\n", "headings and no text below them"),
        (b"A sto\0ry.", "a NUL byte"),
        (b"\xff\xfeA\0", "it looks like UTF-16LE"),
        (gbk, "it looks like GBK"),
        (&vec![b'a'; 2 * 1024 * 1024 + 1], "split it into several files"),
    ] {
        let (sandbox, story, project) = with_story(bytes);
        let ran = sandbox.reel(&["make", story.to_str().unwrap(), "--until", "storyboard"]);
        assert!(ran.expect_code(65).stderr.contains(words), "{}", ran.stderr);
        assert!(!project.exists());
    }
    let (sandbox, story, project) = with_story(STORY.as_bytes());
    fs::write(&project, "version = 1\n[[shots]]\ntext = \"One.\"\ncamra = \"in\"\n").unwrap();
    let ran = sandbox.reel(&["make", story.to_str().unwrap(), "--dry-run"]);
    let words = "story.reel.toml: line 4, column 1: there is no field `camra`: did you mean `camera`?";
    assert!(ran.expect_code(65).stderr.contains(words), "{}", ran.stderr);
    let nowhere = sandbox.root().join("nowhere.txt");
    sandbox.reel(&["make", nowhere.to_str().unwrap(), "--dry-run"]).expect_code(66);
    sandbox.reel(&["make", story.to_str().unwrap()]).expect_code(64);
}
