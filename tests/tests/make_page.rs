//! The copies in `STORY.reel/` that belong to the user, and the page that shows a story.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, where it stands")]

use std::fs;

use reel_tests::{
    FakeProvider, Sandbox,
    fake_provider::Fault,
    needs,
    tale::{Tale, speaking_studio},
};

const PICTURES: [&str; 2] = ["--until", "pictures"];

#[test]
fn a_painting_among_the_copies_that_the_project_names_is_never_written_or_removed() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    tale.make(&PICTURES).expect_code(0);
    let painting = tale.path("story.reel/a2.png");
    let drawn = [
        "generate",
        "mine",
        "--provider",
        "draft",
        "-s",
        "64x64",
        "--force",
        "-o",
        painting.to_str().unwrap(),
    ];
    tale.sandbox.reel(&drawn).expect_code(0);
    let bytes = fs::read(&painting).unwrap();
    tale.set("a2", "picture_file = \"story.reel/a2.png\"");
    tale.make(&PICTURES).expect_code(0);
    // Without the field, the copy would get the generated picture, if it were a copy.
    tale.edit("picture_file = \"story.reel/a2.png\"\n", "");
    let ran = tale.make(&PICTURES);
    assert!(ran.expect_code(0).stderr.contains("a2.png"), "{}", ran.stderr);
    assert_eq!(fs::read(&painting).unwrap(), bytes);
    // Another shot uses the copy of a shot that is removed.
    let copy = tale.path("story.reel/a3.png");
    tale.set("b1", "picture_file = \"story.reel/a3.png\"");
    let project = fs::read_to_string(tale.project()).unwrap();
    let (before, rest) = project.split_once("[[shots]]\nid = \"a3\"").unwrap();
    let (_, after) = rest.split_once("[[shots]]").unwrap();
    fs::write(tale.project(), format!("{before}[[shots]]{after}")).unwrap();
    tale.make(&PICTURES).expect_code(0);
    assert!(copy.exists());
}

#[test]
fn every_run_writes_a_page_that_shows_what_was_made_and_what_is_missing() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, "price = { image = 0.04 }"));
    provider.on_prompt("In the morning a small boat lay on the beach below the tower.", Fault::Moderated);
    tale.make(&PICTURES).expect_code(1);
    let page = fs::read_to_string(tale.path("story.reel/review.html")).unwrap();
    for part in [
        "picture made by studio, about 0.04 USD",
        "src=\"a1.png\"",
        "src=\"a1.mp3\"",
        "class=\"bad\">voice failed",
        "4 shots",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    provider.be_good();
    tale.make(&PICTURES).expect_code(0);
    // A run for one shot shows what there is of the others.
    tale.make(&["--only", "a2", "--redo", "a2:picture"]).expect_code(0);
    let shown = fs::read_to_string(tale.path("story.reel/review.html")).unwrap();
    assert!(shown.contains("src=\"b1.png\"") && shown.contains("src=\"a1.mp3\""), "{shown}");
    assert!(!shown.contains("no picture yet"), "{shown}");
    // A review of the storyboard shows the pictures that there are.
    tale.edit("camera = \"in\"", "camera = \"out\"");
    let ran = tale.make(&["--review"]);
    assert!(ran.expect_code(0).stdout.contains("review.html"));
    let shown = fs::read_to_string(tale.path("story.reel/review.html")).unwrap();
    assert!(shown.contains("src=\"b1.png\"") && !shown.contains("no picture yet"), "{shown}");
}

#[test]
fn a_review_of_a_film_whose_pictures_are_made_stops_once() {
    if !needs::program("ffmpeg") {
        return;
    }
    let tale = Tale::new(Sandbox::started());
    tale.make(&PICTURES).expect_code(0);
    // The page has the pictures at once. A page of the storyboard would show the same.
    let reviewed = tale.make(&["--review", "--json"]).expect_code(0).json();
    assert!(reviewed["review"].is_string() && reviewed["film"].is_null(), "{reviewed}");
    let made = tale.make(&["--review", "--json"]).expect_code(0).json();
    assert!(made["film"].is_string(), "{made}");
}
