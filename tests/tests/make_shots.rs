//! `reel make` with options that change single shots in the project file: `--clips`, `--takes` and `--take`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, Sandbox,
    fake_provider::Fault,
    tale::{Tale, speaking_studio},
};
use serde_json::{Value, json};

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

#[test]
fn a_chosen_take_is_the_picture_that_was_shown_and_is_not_paid_for_again() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, "price = { image = 0.04, character = 0.0 }\n"));
    tale.make(&["--until", "pictures"]).expect_code(0);
    assert_eq!(provider.calls(), 8);
    tale.edit("id = \"a2\"", "# Mine.\nid = \"a2\" # the second");
    let before = fs::read_to_string(tale.project()).unwrap();

    let ran = tale.make(&["--takes", "a2=4"]);
    let files: Vec<String> = (0..4).map(|take| format!("story.reel/a2-take-{take}.png")).collect();
    assert_eq!(ran.expect_code(0).stdout.lines().collect::<Vec<_>>(), files);
    for words in
        ["a2, take 0: from the cache", "a2, take 3: made by studio", "cost: about 0.12 USD", "--take a2=K"]
    {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!(provider.calls(), 11, "the first take is the picture that there is, and nothing is spoken");
    let pictures: Vec<Vec<u8>> = files.iter().map(|file| fs::read(tale.path(file)).unwrap()).collect();
    assert_eq!(pictures[0], fs::read(tale.path("story.reel/a2.png")).unwrap());
    assert_eq!(fs::read_to_string(tale.project()).unwrap(), before, "nothing is chosen yet");
    let document = tale.make(&["--takes", "a2=4", "--json"]).expect_code(0).json();
    let states: Vec<&Value> =
        document["takes"].as_array().unwrap().iter().map(|take| &take["state"]).collect();
    assert_eq!((states, provider.calls()), (vec![&json!("cached"); 4], 11), "{document}");

    let ran = tale.make(&["--take", "a2=9", "--until", "pictures"]);
    assert!(ran.expect_code(64).stderr.contains("a2 has no take 9"), "{}", ran.stderr);
    let ran = tale.make(&["--take", "a2=2", "--until", "pictures"]);
    assert!(ran.expect_code(0).stderr.contains("set sample = 2 for a2 in story.reel.toml"), "{}", ran.stderr);
    let text = fs::read_to_string(tale.project()).unwrap();
    let added: Vec<&str> = text.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    assert_eq!((added, text.lines().count()), (vec!["sample = 2"], before.lines().count() + 1));
    assert_eq!(fs::read(tale.path("story.reel/a2.png")).unwrap(), pictures[2]);
    assert_eq!(provider.calls(), 11, "neither its picture nor its voice is made again");
}

#[test]
fn a_take_that_fails_does_not_lose_the_others() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    tale.make(&STORYBOARD).expect_code(0);
    tale.edit("picture = \"He looked", "picture = \"A forbidden look");
    provider.on_prompt("A forbidden look out over the dark water for a long time.", Fault::Moderated);
    let ran = tale.make(&["--takes", "a2=1,a1=2"]);
    assert_eq!(ran.expect_code(64).stdout, "", "one option for each shot");
    let ran = tale.make(&["--takes", "a2=1", "--takes", "a1=2"]);
    assert_eq!(
        ran.expect_code(1).stdout,
        "story.reel/a1-take-0.png\nstory.reel/a1-take-1.png\n",
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("a2, take 0: failed: "), "{}", ran.stderr);
    for (flags, words) in [
        (["--takes", "a22=2"], "there is no shot a22, did you mean a2?"),
        (["--take", "c1=2"], "there is no shot c1"),
        (["--takes", "a2=99"], "1 to 16 takes"),
        (["--take", "a2=x"], "write ID=K"),
    ] {
        let ran = tale.make(&flags);
        assert!(ran.expect_code(64).stderr.contains(words), "{flags:?}: {}", ran.stderr);
    }
}
