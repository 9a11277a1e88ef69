//! Tests of the sheets of a story: which pictures wait for them, and what is made without them.

use std::collections::BTreeMap;

use reel_protocol::{JsonText, StepState, StoryReport};
use serde_json::{Value, json};

use super::{
    tests::{end, spoken},
    *,
};

/// Returns a story of three shots in which a character is seen twice, and whose provider takes reference pictures.
fn story_with_sheet(mut params: Value) -> Story {
    let mut shots = spoken(3);
    shots[0]["characters"] = json!(["giant"]);
    shots[2]["characters"] = json!(["giant"]);
    params["until"] = json!("pictures");
    params["project"] = json!({
        "version": 1, "shots": shots, "characters": [{ "id": "giant", "look": "a red beard" }],
    });
    let spec = StorySpec::accepted(&JsonText::parse(params.to_string()).unwrap()).unwrap();
    Story::new(spec, Abilities { max_references: 4, ..Abilities::default() }, BTreeMap::new())
}

/// Returns the ends of all steps of a story whose sheet ends in this state without a picture.
fn without_sheet(story: &Story, state: StepState) -> StepEnds {
    let mut ends = StepEnds::new();
    loop {
        let fresh = story.ready(&ends, &|name| ends.contains_key(name));
        if fresh.is_empty() {
            return ends;
        }
        for step in fresh {
            let is_sheet = step.name == "sheet/giant";
            let mut ended = end(&step.spec, !is_sheet);
            if is_sheet {
                ended.state = state;
            }
            ends.insert(step.name, ended);
        }
    }
}

#[test]
fn pictures_wait_for_a_held_sheet_and_do_without_a_failed_one() {
    let pictures = |ends: &StepEnds| ends.keys().filter(|name| name.starts_with("picture/")).count();
    let story = story_with_sheet(json!({}));
    let ends = without_sheet(&story, StepState::Held);
    assert_eq!(pictures(&ends), 1, "only the picture without the character is made");
    let outcome = story.outcome(&ends);
    let report: StoryReport = serde_json::from_slice(&outcome.files.last().unwrap().bytes).unwrap();
    let states: Vec<_> = report.shots.iter().map(|shot| shot.picture.as_ref().unwrap().state).collect();
    assert_eq!(states, [StepState::Blocked, StepState::Made, StepState::Blocked]);
    assert_eq!((report.steps[0].state, report.downgrades.len()), (StepState::Held, 0));
    let flaw = outcome.flaw.unwrap();
    assert_eq!(flaw.code, "shots_missing");
    assert!(
        flaw.message.contains("a0: its picture waits for the sheet of giant, which is held (no)"),
        "{}",
        flaw.message
    );
    for (params, state) in
        [(json!({}), StepState::Failed), (json!({ "allow_missing": true }), StepState::Held)]
    {
        let story = story_with_sheet(params);
        let ends = without_sheet(&story, state);
        assert_eq!(pictures(&ends), 3);
        let outcome = story.outcome(&ends);
        let report: StoryReport = serde_json::from_slice(&outcome.files.last().unwrap().bytes).unwrap();
        assert_eq!(report.downgrades[0].code, "no_sheet", "{state:?}");
    }
}
