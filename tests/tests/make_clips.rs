//! `reel make` with clips that are not what was asked for: too short, with sound, without frames. The film keeps its length and its narration.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    FakeProvider, Sandbox,
    fake_provider::Fault,
    film::{film, needs_programs, samples},
    needs,
    tale::{Tale, speaking_studio},
};
use serde_json::json;

/// A provider of videos that ignores what it is asked for, with these arguments of ffmpeg.
fn filmer(arguments: &str) -> Tale {
    let config = format!(
        "[providers.filmer]\nkind = \"command\"\nservices = [\"video\"]\nprogram = \"ffmpeg\"\noutput = \"mp4\"\n\
         argv = [\"-nostdin\", \"-v\", \"error\", \"-y\", {arguments}, \"-metadata\", \"title={{prompt}}\", [\"-metadata\", \"comment={{input_image}}\"], \
         [\"-metadata\", \"genre={{duration}}\"], \"{{output}}\"]\n"
    );
    Tale::new(Sandbox::started_with(&config))
}

#[test]
fn a_short_clip_with_sound_fills_its_shot_and_leaves_the_narration() {
    if !needs_programs() || !needs::program("espeak-ng") {
        return;
    }
    let tale = filmer(
        "\"-f\", \"lavfi\", \"-i\", \"testsrc=s=160x90:r=24:d=0.5\", \"-f\", \"lavfi\", \"-i\", \"sine=d=9\", \"-pix_fmt\", \"yuv420p\"",
    );
    let still = tale.make(&["--json"]).expect_code(0).json();
    let sound = samples(&tale.path("story.mp4"));
    let moving = tale.make(&["--clips", "a2", "--json"]).expect_code(0).json();
    assert_eq!(moving["shots"][1]["clip"]["state"], "made", "{moving}");
    assert_eq!((&moving["frames"], &moving["duration_s"]), (&still["frames"], &still["duration_s"]));
    let made = film(&tale.path("story.mp4"));
    assert_eq!(json!(made.frames), moving["frames"]);
    assert!(samples(&tale.path("story.mp4")) == sound, "the sound of the clip is not in the film");
    assert!((made.video_s - made.audio_s).abs() < 0.05, "{made:?}");
    // Nothing is left to make, and the dry run says so. After a change, it says what.
    let dry = || tale.make(&["--dry-run", "--json"]).expect_code(0).json();
    let planned = dry();
    assert_eq!(planned["frames"], moving["frames"], "{planned}");
    let prices = &planned["prices"];
    let cached = ["voices", "pictures", "clips"].map(|part| prices[part]["cached"].as_u64().unwrap());
    assert_eq!((cached, &prices["rendered"]), ([4, 4, 1], &json!(0)), "{planned}");
    tale.set("a2", "subtitle = \"Other words.\"");
    let prices = dry()["prices"].clone();
    assert_eq!((&prices["clips"]["cached"], &prices["rendered"]), (&json!(1), &json!(1)), "{prices}");
    tale.set("a3", "speak = \"A much longer text, which takes longer to speak than it took before.\"");
    let prices = dry()["prices"].clone();
    assert_eq!((&prices["voices"]["cached"], &prices["rendered"]), (&json!(3), &json!(2)), "{prices}");
}

#[test]
fn a_clip_without_frames_is_an_error_of_its_shot_alone() {
    if !needs_programs() || !needs::program("espeak-ng") {
        return;
    }
    let tale = filmer("\"-f\", \"lavfi\", \"-i\", \"sine=d=2\", \"-vn\"");
    let document = tale.make(&["--clips", "a2", "--json"]).expect_code(1).json();
    let shots: Vec<_> =
        document["troubles"].as_array().unwrap().iter().map(|trouble| &trouble["shot"]).collect();
    assert_eq!(shots, ["a2"], "{document}");
    assert!(!tale.path("story.mp4").exists());
    let document = tale.make(&["--allow-missing", "--json"]).expect_code(0).json();
    assert_eq!(json!(film(&tale.path("story.mp4")).frames), document["frames"], "{document}");
}

#[test]
fn a_moderated_shot_among_twelve_neither_shifts_nor_loses_the_others() {
    let provider = FakeProvider::start();
    let text: String = (1..=12)
        .map(|day| format!("On day {day} the keeper climbed the stairs and lit the lamp above the sea.\n\n"))
        .collect::<Vec<_>>()
        .concat();
    let tale = Tale::named(speaking_studio(&provider, ""), "d", "story.txt", &text);
    provider.on_prompt(
        "On day 5 the keeper climbed the stairs and lit the lamp above the sea.",
        Fault::Moderated,
    );
    let document = tale.make(&["--until", "pictures", "--json"]).expect_code(1).json();
    let shots = document["shots"].as_array().unwrap();
    assert_eq!(shots.len(), 12, "{document}");
    for (index, shot) in shots.iter().enumerate() {
        let expected = if index == 4 { "failed" } else { "made" };
        for part in ["picture", "voice"] {
            assert_eq!(shot[part]["state"], expected, "{shot}");
        }
        let copy = tale.path(format!("story.reel/{}.png", shot["id"].as_str().unwrap()));
        assert_eq!(copy.exists(), index != 4, "{}", copy.display());
    }
}
