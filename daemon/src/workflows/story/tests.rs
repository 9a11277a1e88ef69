//! Tests in which the steps of a story end in any order, and any of them may fail. Each step keeps its params, and a film is joined only if it has
//! all of its parts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reel_protocol::{
    AudioMixParams, Digest, JsonText, Output, RenderJoinParams, RenderShotParams, RenderTransitionParams,
    StepState, StoryReport, TaskError, TaskId, TaskSpec,
};
use serde_json::{Value, json};

use super::*;
use crate::workflows::step::StepEnd;

fn story(params: Value, shots: &[Value]) -> Story {
    story_of(params, json!({ "version": 1, "video": { "size": "320x180" }, "shots": shots }))
}

fn story_of(mut params: Value, project: Value) -> Story {
    params["project"] = project;
    let spec = StorySpec::accepted(&JsonText::parse(params.to_string()).unwrap()).unwrap();
    let abilities = Abilities {
        can_render: true,
        has_draft_pictures: true,
        burns_subtitles: true,
        ..Abilities::default()
    };
    Story::new(spec, abilities, BTreeMap::new())
}

pub(super) fn spoken(count: usize) -> Vec<Value> {
    (0..count)
        .map(|index| json!({ "id": format!("a{index}"), "text": format!("Sentence number {index}.") }))
        .collect()
}

/// Returns the output of a step. Its digest depends on the params, and the length of a voice on the number of characters of its params.
fn made(spec: &TaskSpec) -> Output {
    let digest = Digest::from_bytes(*blake3::hash(spec.params.as_str().as_bytes()).as_bytes());
    let (media_type, duration_s) = match spec.kind.as_str() {
        "voice.speak" => ("audio/wav", Some(spec.params.as_str().len() as f64 / 50.0)),
        "image.generate" => ("image/png", None),
        "audio.mix" => ("audio/wav", None),
        _ => ("video/mp4", None),
    };
    Output {
        digest,
        media_type: media_type.to_owned(),
        size_bytes: 1,
        width: None,
        height: None,
        duration_s,
        path: String::new(),
        text: None,
    }
}

pub(super) fn end(spec: &TaskSpec, is_good: bool) -> StepEnd {
    let error = TaskError {
        code: "provider_failed".to_owned(),
        message: "no".to_owned(),
        hint: None,
        retryable: false,
        provider_status: None,
    };
    StepEnd {
        task: Some(TaskId(1)),
        state: if is_good { StepState::Made } else { StepState::Failed },
        output: is_good.then(|| made(spec)),
        provider: Some("draft".to_owned()),
        error: (!is_good).then_some(error),
        cost: None,
        seconds: 1.0,
    }
}

/// Carries steps out one after the other. `choose` returns which of the open steps ends next, and whether it succeeds. Each ready step must stay the
/// same.
fn carry_out(
    story: &Story,
    mut choose: impl FnMut(&[String]) -> (usize, bool),
) -> (StepEnds, BTreeMap<String, TaskSpec>) {
    let (mut ends, mut known) = (StepEnds::new(), BTreeMap::<String, TaskSpec>::new());
    loop {
        let ready = story.ready(&ends, &|_| false);
        let fresh = story.ready(&ends, &|name| known.contains_key(name));
        assert!(fresh.iter().all(|step| !known.contains_key(&step.name)));
        let names: Vec<_> = ready.iter().map(|step| step.name.clone()).collect();
        for step in ready {
            let before = known.entry(step.name.clone()).or_insert_with(|| step.spec.clone());
            assert_eq!(*before, step.spec, "{} asks for something else than before", step.name);
        }
        assert!(known.keys().all(|name| names.contains(name)), "a ready step is not ready any more");
        let open: Vec<_> = names.into_iter().filter(|name| !ends.contains_key(name)).collect();
        if open.is_empty() {
            return (ends, known);
        }
        let (index, is_good) = choose(&open);
        let name = &open[index % open.len()];
        ends.insert(name.clone(), end(&known[name], is_good));
        let (fraction, words) = story.progress(&ends, &|name| known.contains_key(name));
        assert!((0.0..1.0).contains(&fraction) && !words.is_empty(), "{fraction} {words}");
    }
}

fn params<T: serde::de::DeserializeOwned>(known: &BTreeMap<String, TaskSpec>, name: &str) -> T {
    known[name].params.decode().unwrap()
}

#[test]
fn a_film_is_bodies_and_transitions_that_add_up_and_one_sound() {
    let mut shots = spoken(4);
    shots[2]["transition"] = json!("cut");
    shots[3]["text"] = json!("");
    let story = story(json!({}), &shots);
    let (ends, known) = carry_out(&story, |_| (0, true));
    let join: RenderJoinParams = params(&known, "join");
    let sound: AudioMixParams = params(&known, "mix");
    let frames: u64 = join.clips.iter().map(|clip| clip.frames).sum();
    assert_eq!(frames * 1600, sound.samples);
    // There are four bodies and two dissolves, because there is no transition at the cut.
    assert_eq!(join.clips.len(), 6);
    assert!(!known.contains_key("transition/a2") && !known.contains_key("voice/a3"));
    assert_eq!(sound.voices.len(), 3);
    let first: RenderShotParams = params(&known, "render/a0");
    let dissolve: RenderTransitionParams = params(&known, "transition/a1");
    assert_eq!((dissolve.frames, dissolve.from.first_frame), (12, first.frames));
    assert_eq!(first.subtitles[0].first_frame, 12, "nothing is shown within a dissolve");
    let outcome = story.outcome(&ends);
    assert!(outcome.flaw.is_none());
    assert_eq!(outcome.outputs[0].digest, ends["join"].output.as_ref().unwrap().digest);
    let report: StoryReport = serde_json::from_slice(&outcome.files[1].bytes).unwrap();
    assert_eq!((report.frames, report.is_estimate, report.steps.len()), (frames, false, 4));
}

#[test]
fn an_edited_prompt_makes_its_picture_its_frames_and_both_dissolves_again() {
    let (_, before) = carry_out(&story(json!({}), &spoken(5)), |_| (0, true));
    let changed = |edit: &dyn Fn(&mut Value)| -> Vec<String> {
        let mut shots = spoken(5);
        edit(&mut shots[2]);
        let (_, after) = carry_out(&story(json!({}), &shots), |_| (0, true));
        after
            .iter()
            .filter(|(name, spec)| before.get(*name) != Some(spec))
            .map(|(name, _)| name.clone())
            .collect()
    };
    assert_eq!(
        changed(&|shot| shot["picture"] = json!("another")),
        ["join", "picture/a2", "render/a2", "transition/a2", "transition/a3"]
    );
    assert_eq!(
        changed(&|shot| shot["speak"] = json!("Sentence number two, and more.")),
        ["join", "mix", "render/a2", "transition/a3", "voice/a2"],
        "a longer narration leaves the beginning of its shot as it is"
    );
    assert_eq!(changed(&|shot| shot["subtitle"] = json!("2.")), ["join", "render/a2"]);
    assert_eq!(
        changed(&|shot| shot["camera"] = json!("out")),
        ["join", "render/a2", "transition/a2", "transition/a3"]
    );
}

#[test]
fn a_part_of_the_film_that_failed_is_named_also_if_shots_may_be_missing() {
    let story = story(json!({ "allow_missing": true }), &spoken(2));
    let (mut ends, known) = carry_out(&story, |_| (0, true));
    ends.insert("render/a1".to_owned(), end(&known["render/a1"], false));
    ends.remove("join");
    let flaw = story.outcome(&ends).flaw.unwrap();
    assert_eq!((flaw.code.as_str(), flaw.message.as_str()), ("provider_failed", "render/a1 failed: no"));
}

#[test]
fn a_title_makes_only_the_frames_that_show_it_again() {
    let mut project = json!({
        "version": 1,
        "video": { "size": "320x180", "title": "The Lamp", "end_card": "The End" },
        "scenes": [{ "id": "a", "title": "I" }, { "id": "b", "title": "II" }],
        "shots": spoken(4),
    });
    for (index, shot) in project["shots"].as_array_mut().unwrap().iter_mut().enumerate() {
        shot["scene"] = json!(if index < 2 { "a" } else { "b" });
        shot["clip"] = json!(index == 0);
    }
    let steps = |project: &Value| carry_out(&story_of(json!({}), project.clone()), |_| (0, true)).1;
    let changed = |project: &Value, edit: &dyn Fn(&mut Value)| -> Vec<String> {
        let before = steps(project);
        let mut edited = project.clone();
        edit(&mut edited);
        let after = steps(&edited).into_iter();
        after.filter(|(name, spec)| before.get(name) != Some(spec)).map(|(name, _)| name).collect()
    };
    assert_eq!(
        changed(&project, &|project| project["video"]["title"] = json!("The Sea")),
        ["join", "render/a0"]
    );
    assert_eq!(
        changed(&project, &|project| project["video"]["end_card"] = json!("Fin")),
        ["join", "render/a3"]
    );
    // The clip of the shot is neither longer nor made again, but it ends elsewhere.
    assert_eq!(
        changed(&project, &|project| project["video"]["title"] = json!("")),
        ["join", "mix", "render/a0", "transition/a1"]
    );
    assert_eq!(
        changed(&project, &|project| project["video"]["end_card"] = json!("")),
        ["join", "mix", "render/a3"]
    );
    assert_eq!(
        changed(&project, &|project| project["video"]["chapter_titles"] = json!(true)),
        ["join", "mix", "render/a0", "render/a2", "transition/a3"],
        "the first shot shows both titles at a time"
    );
    project["video"]["chapter_titles"] = json!(true);
    assert_eq!(
        changed(&project, &|project| project["scenes"][1]["title"] = json!("2")),
        ["join", "render/a2"]
    );
    let known = steps(&project);
    let first: RenderShotParams = params(&known, "render/a0");
    let [title] = &first.titles[..] else { panic!("{first:?}") };
    assert_eq!((title.title.as_deref(), title.chapter.as_deref()), (Some("The Lamp"), Some("I")));
    // It is shown for three seconds, and then the narration begins.
    assert_eq!((title.first_frame, title.frames), (12, 90));
    assert_eq!(first.subtitles[0].first_frame, 102);
    let last: RenderShotParams = params(&known, "render/a3");
    let [end] = &last.titles[..] else { panic!("{last:?}") };
    assert_eq!((end.first_frame + end.frames, end.frames), (last.show.first_frame + last.frames, 90));
}

#[test]
fn a_clip_waits_for_the_picture_that_it_ends_with() {
    let mut shots = spoken(2);
    shots[0]["clip"] = json!(true);
    shots[0]["last_picture"] = json!("next");
    let story = story(json!({ "until": "clips" }), &shots);
    // The picture of the next shot ends after everything else.
    let (ends, known) = carry_out(&story, |open| {
        (open.iter().position(|name| name != "picture/a1").unwrap_or_default(), true)
    });
    let clip: reel_protocol::VideoParams = params(&known, "clip/a0");
    assert_eq!(clip.last_image, ends["picture/a1"].output.as_ref().map(|output| output.digest));
    assert!(clip.image.is_some() && story.outcome(&ends).flaw.is_none());
}

#[test]
fn a_silent_shot_shows_the_subtitle_that_it_has_of_its_own() {
    let mut shots = spoken(1);
    shots.push(json!({ "id": "b1", "text": "", "subtitle": "Ten years later", "min_s": 4.0 }));
    shots.push(json!({ "id": "b2", "text": "—" }));
    let story = story(json!({}), &shots);
    let (_, known) = carry_out(&story, |_| (0, true));
    let silent: RenderShotParams = params(&known, "render/b1");
    assert_eq!(silent.subtitles[0].lines, ["Ten years later"]);
    assert!(silent.subtitles[0].frames > 90, "{silent:?}");
    let mark: RenderShotParams = params(&known, "render/b2");
    assert!(mark.subtitles.is_empty());
    let mut last = self::story(json!({}), &shots[1..2]);
    last.spec.project.video.end_card = "The End".to_owned();
    let (_, known) = carry_out(&last, |_| (0, true));
    let RenderShotParams { subtitles, titles, .. } = params(&known, "render/b1");
    assert!(
        subtitles[0].first_frame + subtitles[0].frames <= titles[0].first_frame,
        "{subtitles:?} {titles:?}"
    );
}

#[test]
fn stages_and_parts_end_where_they_were_asked_to() {
    for (params, last, has_srt) in [
        (json!({ "until": "storyboard" }), None, false),
        (json!({ "until": "voices" }), Some("voice/a1"), true),
        (json!({ "until": "pictures" }), Some("voice/a1"), true),
        (json!({ "only": ["a1"] }), Some("voice/a1"), false),
    ] {
        let story = story(params.clone(), &spoken(2));
        let (ends, known) = carry_out(&story, |_| (0, true));
        assert_eq!(known.keys().next_back().map(String::as_str), last, "{params}");
        assert!(known.keys().all(|name| !name.starts_with("render")), "{params}");
        let outcome = story.outcome(&ends);
        assert_eq!((outcome.flaw, outcome.files.len() == 2), (None, has_srt), "{params}");
    }
}

#[test]
fn without_a_renderer_all_else_is_made_and_the_error_says_so() {
    let mut story = story(json!({}), &spoken(2));
    story.abilities.can_render = false;
    let (ends, known) = carry_out(&story, |_| (0, true));
    assert_eq!(known.len(), 4);
    let outcome = story.outcome(&ends);
    assert_eq!(outcome.flaw.unwrap().code, "no_renderer");
    assert_eq!(outcome.files.len(), 2);
}

proptest! {
    #[test]
    fn in_any_order_a_film_has_all_of_its_parts_or_none_is_joined(
        count in 1_usize..7,
        allow_missing in any::<bool>(),
        choices in prop::collection::vec((any::<usize>(), prop::bool::weighted(0.9)), 0..60),
        transitions in prop::collection::vec(prop::sample::select(vec!["", "cut", "dissolve"]), 7),
        clips in prop::collection::vec(prop::bool::weighted(0.2), 7),
    ) {
        let mut shots = spoken(count);
        for ((shot, transition), clip) in shots.iter_mut().zip(&transitions).zip(&clips) {
            shot["transition"] = json!(transition);
            shot["clip"] = json!(clip);
        }
        let story = story(json!({ "allow_missing": allow_missing }), &shots);
        let mut choices = choices.into_iter();
        let (ends, known) = carry_out(&story, |_| choices.next().unwrap_or((0, true)));
        let outcome = story.outcome(&ends);
        let has_failed = ends.values().any(|end| end.output.is_none());
        let has_film = ends.get("join").is_some_and(|end| end.output.is_some());
        prop_assert_eq!(outcome.flaw.is_none(), has_film);
        prop_assert!(has_film || has_failed);
        if let Some(join) = known.get("join") {
            let join: RenderJoinParams = join.params.decode().unwrap();
            let sound: AudioMixParams = params(&known, "mix");
            let frames: u64 = join.clips.iter().map(|clip| clip.frames).sum();
            prop_assert_eq!(frames * 1600, sound.samples);
            // Each clip of the join is the output of its step, and has the same number of frames.
            for (name, spec) in known.iter().filter(|(name, _)| name.starts_with("render/")) {
                let shot: RenderShotParams = spec.params.decode().unwrap();
                let clip = join.clips.iter().find(|clip| Some(clip.clip) == ends[name].output.as_ref().map(|it| it.digest));
                prop_assert!(clip.is_some_and(|clip| clip.frames == shot.frames), "{}", name);
            }
        }
        let is_lost = |name: &str| ["voice/", "picture/"].iter().any(|stage| name.starts_with(stage));
        if !allow_missing && ends.iter().any(|(name, end)| is_lost(name) && end.output.is_none()) {
            prop_assert!(!known.contains_key("join"));
        }
    }
}

#[test]
fn subtitles_are_a_file_if_the_project_says_so_or_the_film_cannot_have_them() {
    use reel_story::project::Subtitles::{Burn, Srt, Track};
    for (forms, can_render, burns_subtitles, expected) in [
        (&[][..], true, false, false),
        (&[], false, false, false),
        (&[Burn, Srt], true, true, true),
        (&[Burn], true, true, false),
        (&[Track], true, false, false),
        // No font has the letters, or there is no ffmpeg.
        (&[Burn], true, false, true),
        (&[Burn], false, true, true),
        (&[Track], false, false, true),
    ] {
        let mut story = story(json!({}), &spoken(1));
        story.spec.project.video.subtitles = forms.to_vec();
        story.abilities = Abilities { can_render, burns_subtitles, ..story.abilities };
        assert_eq!(story.has_subtitle_file(), expected, "{forms:?} {can_render} {burns_subtitles}");
    }
}

#[test]
fn the_progress_counts_only_what_this_run_makes() {
    let story = story(json!({}), &spoken(4));
    let (mut ends, known) = carry_out(&story, |_| (0, true));
    for end in ends.values_mut() {
        end.state = StepState::Cached;
    }
    let all = |_: &str| true;
    assert_eq!(story.progress(&ends, &all), (0.999, "everything was made before".to_owned()));
    // The picture of a2 is made again. What is made of it is not submitted yet, and neither is the film.
    let of_a2 = ["picture/a2", "render/a2", "transition/a2", "transition/a3", "join"];
    let later = |name: &str| name.starts_with("render") || name.starts_with("transition") || name == "join";
    let mut begun = ends.clone();
    begun.retain(|name, _| !later(name) && name != "picture/a2");
    let progress =
        |ends: &StepEnds| story.progress(ends, &|name| ends.contains_key(name) || name == "picture/a2");
    assert_eq!(progress(&begun), (0.0, "pictures 0/1, frames 0/4".to_owned()));
    // A result of the cache changes nothing, and a step that ran does.
    begun.insert("render/a1".to_owned(), ends["render/a1"].clone());
    assert_eq!(progress(&begun), (0.0, "pictures 0/1, frames 0/4".to_owned()));
    let mut before = 0.0;
    for (index, name) in of_a2.iter().enumerate() {
        // Without a measured time, the usual one counts.
        let ran = StepEnd { seconds: 0.0, ..end(&known[*name], true) };
        begun.insert((*name).to_owned(), ran);
        let (fraction, words) = progress(&begun);
        assert!(fraction > before, "{name}: {before} {fraction}");
        assert_eq!(words, format!("pictures 1/1, frames {index}/4"));
        before = fraction;
    }
    // A step that was submitted, although everything that it is made from is the same, has something else to do.
    let mut other_size = ends.clone();
    other_size.retain(|name, _| !later(name));
    assert_eq!(story.progress(&other_size, &all).1, "frames 0/8");
}
