//! `reel make` with options that change single shots in the project file: `--clips`, `--takes` and `--take`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{Sandbox, tale::Tale};

const STORYBOARD: [&str; 2] = ["--until", "storyboard"];

fn edited(tale: &Tale, flags: &[&str]) -> (String, String) {
    let ran = tale.make(&[&STORYBOARD[..], flags].concat());
    let said = ran.expect_code(0).stderr.clone();
    (said, fs::read_to_string(tale.project()).unwrap())
}

#[test]
fn clips_edits_the_shots_of_the_project_file_and_keeps_comments() {
    let sandbox = Sandbox::new();
    sandbox.configure("");
    let tale = Tale::new(sandbox);
    let (said, text) = edited(&tale, &["--clips", "all"]);
    assert!(said.contains("set clip = true for 4 shots (a1, a2, a3, b1) in story.reel.toml"), "{said}");
    assert_eq!(text.matches("clip = true").count(), 4, "{text}");
    tale.edit("clip = true\n", "clip = true # the first one moves\n");
    tale.edit("id = \"a2\"", "# Mine.\nid = \"a2\" # the second");
    let before = fs::read_to_string(tale.project()).unwrap();

    let (said, text) = edited(&tale, &["--clips", "none"]);
    assert!(said.contains("set clip = false for 4 shots"), "{said}");
    assert_eq!(text.matches("clip = false # the first one moves").count(), 1, "{text}");
    assert_eq!(text.matches("clip = ").count(), 1, "{text}");
    for comment in ["# Mine.", "# the second"] {
        assert!(text.contains(comment), "{comment}: {text}");
    }
    let (said, text) = edited(&tale, &["--clips", "a3, b1"]);
    assert!(said.contains("set clip = true for 2 shots (a3, b1)"), "{said}");
    assert_eq!(text.matches("clip = true").count(), 2, "{text}");
    let (said, again) = edited(&tale, &["--clips", "a3"]);
    assert!(!said.contains("set clip") && again == text, "a value that is there changes nothing: {said}");
    // The others keep what they have.
    let (said, _) = edited(&tale, &["--clips", "all"]);
    assert!(said.contains("set clip = true for 2 shots (a1, a2)"), "{said}");
    let without =
        |text: &str| text.lines().filter(|line| !line.starts_with("clip")).collect::<Vec<_>>().join("\n");
    assert_eq!(without(&fs::read_to_string(tale.project()).unwrap()), without(&before));
}

#[test]
fn clips_of_unknown_shots_are_refused_with_the_nearest_id() {
    let sandbox = Sandbox::new();
    sandbox.configure("");
    let tale = Tale::new(sandbox);
    let (_, before) = edited(&tale, &[]);
    for (ids, words) in [
        ("a1,b11", "there is no shot b11, did you mean b1?; the shots are a1, a2, a3, b1"),
        ("a1,,b1", "write none, all, or ids of shots"),
        ("", "write none, all, or ids of shots"),
    ] {
        let ran = tale.make(&["--clips", ids]);
        assert!(ran.expect_code(64).stderr.contains(words), "{ids}: {}", ran.stderr);
        assert_eq!(fs::read_to_string(tale.project()).unwrap(), before, "{ids}");
    }
    tale.set("a3", "clip_file = \"mine.mp4\"");
    let ran = tale.make(&["--clips", "a3"]);
    assert!(ran.expect_code(64).stderr.contains("a clip of your own"), "{}", ran.stderr);
    tale.edit("clip_file = \"mine.mp4\"\n", "");
    let (said, _) = edited(&tale, &["--clips", "a1", "--dry-run"]);
    assert!(!said.contains("wrote"), "{said}");
    assert!(!fs::read_to_string(tale.project()).unwrap().contains("clip = true"), "a dry run writes nothing");
}
