//! Stories of every kind in `reel make`, and what a person sees of it on a terminal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::process::Stdio;

use reel_tests::{
    FakeProvider, Sandbox, eventually, process,
    tale::{Tale, speaking_studio},
    terminal::Terminal,
};
use serde_json::{Value, json};

const PICTURES: [&str; 3] = ["--until", "pictures", "--json"];

/// Makes a story without any program that speaks, with pictures by `draft`, and returns the report.
fn made_of(story: &str) -> Value {
    let tale = Tale::named(Sandbox::new().without_programs(), "d", "story.txt", story);
    let document = tale.make(&PICTURES).expect_code(0).json();
    for shot in document["shots"].as_array().unwrap() {
        let id = shot["id"].as_str().unwrap();
        assert!(tale.path(format!("story.reel/{id}.png")).exists(), "{id} of {story}");
        assert!(shot["duration_s"].as_f64().unwrap() >= 2.0, "{shot}");
    }
    document
}

#[test]
fn stories_of_every_kind_are_made() {
    let sentence = format!("{}and that was the end of it.", "he walked on through the rain, ".repeat(160));
    for (story, shots) in [
        (sentence.as_str(), 30..200),
        ("“Who is there?”\n\n“Only me.”\n\n“Then come in.”\n", 1..4),
        ("🎉🎉🎉\n", 1..2),
        ("كان حارس المنارة يصعد الدرج كل مساء ويضيء المصباح.\n\nثم جاء قارب صغير.\n", 1..3),
        ("从前有座山。\n\n山里有座庙，庙里有个老和尚。\n", 1..3),
        ("{\\b1} it's 100% [done]; rm -rf / && echo \"$HOME\" <script>alert(1)</script>\n", 1..3),
        ("\u{feff}One line with a mark before it.\r\nAnd another one.\r\n", 1..3),
        ("word ", 1..2),
    ] {
        let document = made_of(story);
        let found = document["shots"].as_array().unwrap().len();
        assert!(shots.contains(&found), "{found} shots of {story}");
        assert_eq!(document["error"], Value::Null);
    }
}

#[test]
fn a_shot_without_text_is_silent_and_lasts_as_long_as_it_says() {
    let tale = Tale::new(Sandbox::new().without_programs());
    tale.make(&["--until", "storyboard"]).expect_code(0);
    let card = "[[shots]]\ntext = \"\"\npicture = \"a title card\"\nmin_s = 5.0\n\n[[shots]]\nid = \"a1\"";
    tale.edit("[[shots]]\nid = \"a1\"", card);
    let document = tale.make(&PICTURES).expect_code(0).json();
    let first = &document["shots"][0];
    assert_eq!(
        (&first["id"], &first["voice"], &first["duration_s"]),
        (&json!("s1"), &Value::Null, &json!(5.0)),
        "{first}"
    );
    assert!(tale.path("story.reel/s1.png").exists());
    assert!(std::fs::read_to_string(tale.project()).unwrap().contains("id = \"s1\"\ntext = \"\""));
}

#[test]
fn a_terminal_has_a_bar_for_each_part_and_for_the_whole() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    let terminal = Terminal::of_size(40, 100);
    provider.hold();
    let mut command = tale.sandbox.reel_command(&["make", "--until", "pictures", "--style", "", "story.txt"]);
    command.env("TERM", "xterm").current_dir(tale.path("")).stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.stderr(terminal.program_side()).spawn().unwrap();
    drop(command);
    for words in ["voices", "pictures", "the film", "0/4"] {
        eventually(words, || terminal.shown().contains(words).then_some(()));
    }
    assert!(!terminal.shown().contains("rendering"), "{}", terminal.shown());
    provider.release();
    let mut child = child;
    let pid = child.id();
    assert!(process::wait_gone(pid, reel_tests::DEADLINE) || child.try_wait().unwrap().is_some());
    assert!(child.wait().unwrap().success());
    eventually("the summary is shown", || {
        terminal.shown().contains("made now: 4 voices by studio, 4 pictures by studio").then_some(())
    });
}
