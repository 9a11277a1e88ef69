//! `reel make` while the daemon, the command or both are killed. Nothing is lost, and nothing that may have been paid for is requested again
//! automatically.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    FakeProvider, Random, process,
    tale::{SHOTS, Tale, speaking_studio},
};
use serde_json::Value;

const PICTURES: [&str; 3] = ["--until", "pictures", "--json"];
/// Number of deaths for each kind of billing. `REEL_TEST_LIVES` overrides it.
const DEATHS: usize = 10;

fn deaths() -> usize {
    std::env::var("REEL_TEST_LIVES").ok().and_then(|number| number.parse().ok()).unwrap_or(DEATHS)
}

/// Kills the command, the daemon or both after a number of calls. In every second round the provider holds the calls, so that some are in flight.
fn die(tale: &Tale, provider: &FakeProvider, random: &mut Random, round: usize) {
    let is_held = round.is_multiple_of(2);
    let calls = if is_held { 1 } else { random.below(2 * SHOTS.len() as u64) as usize };
    if is_held {
        provider.hold();
    }
    let child = tale.begin(&PICTURES);
    provider.wait_for_calls(calls);
    let whom = if is_held { 2 } else { random.below(3) };
    if whom != 1 {
        process::kill(child.id());
    }
    if whom != 0 {
        tale.sandbox.kill();
    }
    provider.release();
    process::finish(child);
}

/// Runs the command until everything is made. In place of a person, it releases the held tasks. Returns the number of releases.
fn finish(tale: &Tale) -> usize {
    let mut releases = 0;
    for _ in 0..20 {
        let ran = tale.make(&PICTURES);
        let document = ran.json();
        if ran.code == Some(0) {
            return releases;
        }
        let troubles = document["troubles"].as_array().unwrap_or_else(|| panic!("{document}")).clone();
        let mut tasks: Vec<u64> =
            troubles.iter().filter(|trouble| trouble["is_held"] == true).map(held_task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        assert!(!tasks.is_empty(), "{document}");
        for id in tasks {
            let id = id.to_string();
            if tale.sandbox.reel(&["release", &id]).code == Some(0) {
                releases += 1;
            }
            tale.sandbox.reel(&["wait", &id, "--timeout", "60s"]);
        }
    }
    panic!("twenty runs were not enough");
}

/// Returns the id of the held task that the hint names.
fn held_task(trouble: &Value) -> u64 {
    let words: Vec<&str> = trouble["hint"].as_str().unwrap().split(' ').collect();
    let number = words.windows(2).find(|pair| matches!(pair[0], "release" | "show")).map(|pair| pair[1]);
    number.and_then(|number| number.trim_end_matches(',').parse().ok()).unwrap_or_else(|| panic!("{trouble}"))
}

fn survive(billing: &str, is_paid: bool) {
    let mut random = Random::new(if is_paid { 7 } else { 11 });
    let mut all_releases = 0;
    for round in 0..deaths() {
        let provider = FakeProvider::start();
        provider.vary();
        let tale = Tale::new(speaking_studio(&provider, billing));
        die(&tale, &provider, &mut random, round);
        let releases = finish(&tale);
        all_releases += releases;
        let most = 2 * SHOTS.len() + releases;
        assert!(
            !is_paid || provider.calls() <= most,
            "round {round}: {} calls, {most} may be",
            provider.calls()
        );
        for shot in SHOTS {
            for ending in ["png", "mp3"] {
                assert!(
                    tale.path(format!("story.reel/{shot}.{ending}")).exists(),
                    "round {round}: {shot}.{ending}"
                );
            }
        }
        let calls = provider.calls();
        let again = tale.make(&PICTURES).expect_code(0).json();
        assert_eq!((provider.calls(), &again["counts"]["made"]), (calls, &serde_json::json!({})), "{round}");
    }
    assert_eq!(all_releases > 0, is_paid, "what may be paid and was not answered is held: {all_releases}");
}

#[test]
fn a_free_story_survives_kills_at_random_times() {
    survive("billing = \"free\"\n", false);
}

#[test]
fn a_paid_story_survives_kills_and_nothing_is_paid_twice_automatically() {
    survive("", true);
}
