//! `reel make` of one story in two processes at once, and after its record was lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, process,
    tale::{Tale, speaking_studio},
};

const PICTURES: [&str; 2] = ["--until", "pictures"];

#[test]
fn both_runs_succeed_and_nothing_is_requested_twice() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    tale.make(&["--until", "storyboard"]).expect_code(0);
    let project = fs::read_to_string(tale.project()).unwrap();
    // The slower run finds files that the other run has written meanwhile.
    for round in 1..=4 {
        let anew = format!("sample = {round}\nscene = ");
        fs::write(tale.project(), project.replace("scene = \"", &format!("{anew}\""))).unwrap();
        let before = provider.calls();
        provider.hold();
        let children = [tale.begin(&PICTURES), tale.begin(&PICTURES)];
        provider.wait_for_calls(before + 2);
        provider.release();
        for child in children {
            process::finish(child).expect_code(0);
        }
        // Another sample makes other pictures. The voices are made in the first round.
        assert_eq!(provider.calls() - before, if round == 1 { 8 } else { 4 });
        fs::remove_dir_all(tale.path("story.reel")).unwrap();
        fs::remove_file(tale.path(".story.reel-state.json")).unwrap();
    }
}

#[test]
fn files_are_recognized_by_their_bytes_after_the_record_was_lost() {
    let provider = FakeProvider::start();
    provider.vary();
    let tale = Tale::new(speaking_studio(&provider, ""));
    tale.make(&PICTURES).expect_code(0);
    let record = tale.path(".story.reel-state.json");
    fs::remove_file(&record).unwrap();
    tale.make(&PICTURES).expect_code(0);
    // The previous run recorded the copies as its own, so this change may replace them.
    let project = fs::read_to_string(tale.project()).unwrap();
    fs::write(tale.project(), project.replace("scene = \"", "sample = 1\nscene = \"")).unwrap();
    let ran = tale.make(&PICTURES);
    assert!(!ran.expect_code(0).stderr.contains("changed by hand"), "{}", ran.stderr);
    assert_eq!(provider.calls(), 12, "another sample makes other pictures, and no other voices");
}
