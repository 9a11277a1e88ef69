//! `story.make` turns a project into steps, which are tasks, and a report.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    Connection, FakeProvider, Sandbox, eventually,
    fake_provider::Fault,
    needs,
    studio::{config, unhurried},
};
use serde_json::{Value, json};

/// Returns a small project with a shot for each text.
fn project(texts: &[&str]) -> Value {
    let shots: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({ "id": format!("a{}", index + 1), "text": text }))
        .collect();
    json!({ "version": 1, "video": { "size": "320x180", "style": "" }, "shots": shots })
}

/// Starts a daemon whose provider `studio` makes pictures and speech.
fn studio(provider: &FakeProvider, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let models = "models = { image = \"gpt-image-2\", voice = \"tts-1\" }";
    let config = config(&sandbox, provider, &format!("{models}\n{more}"));
    sandbox.configure(&unhurried(&config).replace("model = \"gpt-image-2\"\n", ""));
    sandbox.start();
    sandbox
}

fn submit(connection: &mut Connection, params: &Value) -> u64 {
    let answer = connection.ok("task.submit", json!({ "kind": "story.make", "params": params }));
    answer["id"].as_u64().unwrap()
}

/// Returns the report of a finished story.
fn report(task: &Value) -> Value {
    let outputs = task["outputs"].as_array().unwrap();
    let last = outputs.last().unwrap_or_else(|| panic!("no report: {task}"));
    assert_eq!(last["media_type"], "application/json", "{task}");
    serde_json::from_slice(&std::fs::read(last["path"].as_str().unwrap()).unwrap()).unwrap()
}

/// Returns the state of this part, such as `picture`, for each shot.
fn states(report: &Value, part: &str) -> Vec<String> {
    let shots = report["shots"].as_array().unwrap();
    shots.iter().map(|shot| shot[part]["state"].as_str().unwrap_or("none").to_owned()).collect()
}

#[test]
fn voices_and_pictures_are_steps_and_a_second_run_takes_them_from_the_cache() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let params =
        json!({ "project": project(&["The lamp was lit.", "The sea answered.", "—"]), "until": "pictures" });
    let id = submit(&mut connection, &params);
    let done = connection.wait(id);
    assert_eq!(done["state"], "succeeded", "{done}");
    let first = report(&done);
    assert_eq!(states(&first, "voice"), ["made", "made", "none"]);
    assert_eq!(states(&first, "picture"), ["made", "made", "made"]);
    assert_eq!(first["is_estimate"], false);
    assert_eq!(first["shots"][2]["speech_s"], 0.0, "nobody speaks a dash");
    let steps = connection.ok("task.list", json!({ "limit": 50 }))["tasks"].as_array().unwrap().clone();
    let mut names: Vec<_> =
        steps.iter().filter(|task| task["parent"] == id).map(|task| task["step"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["picture/a1", "picture/a2", "picture/a3", "voice/a1", "voice/a2"]);
    let calls = provider.calls();
    let id = submit(&mut connection, &params);
    let again = report(&connection.wait(id));
    assert_eq!(states(&again, "picture"), ["cached", "cached", "cached"]);
    assert_eq!(provider.calls(), calls, "nothing is asked for twice");
}

#[test]
fn drafts_are_reported_only_where_a_picture_or_a_voice_is_made() {
    // Without programs nobody but `draft` speaks.
    let sandbox = Sandbox::new().without_programs();
    sandbox.start();
    let mut connection = sandbox.connect();
    let mut output = |kind: &str, params: Value| {
        let answer =
            connection.ok("task.submit", json!({ "kind": kind, "params": params, "provider": "draft" }));
        connection.wait(answer["id"].as_u64().unwrap())["outputs"][0]["digest"].clone()
    };
    let picture = output("image.generate", json!({ "prompt": "the sea", "width": 320, "height": 180 }));
    let voice = output("voice.speak", json!({ "text": "The sea." }));
    for (own, downgrades) in [
        (json!({ "picture_file": picture, "voice_file": voice }), vec![]),
        (json!({ "picture_file": picture }), vec!["draft_voices"]),
        (json!({ "voice_file": voice }), vec!["draft_pictures"]),
        (json!({}), vec!["draft_pictures", "draft_voices"]),
    ] {
        let mut project = project(&["The sea answered.", "Nobody asked it."]);
        project["shots"][0].as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        // The second shot has nothing of its own, and is not requested.
        let params = json!({ "project": project, "until": "pictures", "only": ["a1"] });
        let id = submit(&mut connection, &params);
        let done = connection.wait(id);
        let told: Vec<_> =
            report(&done)["downgrades"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
        assert_eq!(told, downgrades, "{own}");
    }
}

#[test]
fn a_failed_shot_is_named_and_is_the_only_one_made_next_time() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let mut params = json!({ "project": project(&["—", "—", "—"]), "until": "pictures" });
    params["project"]["shots"][1]["picture"] = json!("a forbidden thing");
    provider.on_prompt("a forbidden thing", Fault::Moderated);
    let id = submit(&mut connection, &params);
    let failed = connection.wait(id);
    assert_eq!(
        (&failed["state"], &failed["error"]["code"]),
        (&json!("failed"), &json!("shots_missing")),
        "{failed}"
    );
    assert_eq!(states(&report(&failed), "picture"), ["made", "failed", "made"]);
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("1 shot is not complete: a2: "), "{message}");
    // A retry of the workflow retries what failed, and nothing else.
    let calls = provider.calls();
    provider.be_good();
    connection.ok("task.retry", json!({ "id": id }));
    let done = connection.wait(id);
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(provider.calls(), calls + 1);
}

#[test]
fn a_story_goes_on_after_a_crash_of_the_daemon_and_nothing_is_made_twice() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "billing = \"free\"\n");
    let mut connection = sandbox.connect();
    let params = json!({ "project": project(&["One.", "Two.", "Three."]), "until": "pictures" });
    let id = submit(&mut connection, &params);
    provider.wait_for_calls(2);
    // Steps that are submitted from now on have another priority than those of before.
    connection.ok("task.set_priority", json!({ "id": id, "priority": 5 }));
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    let done = connection.wait(id);
    assert_eq!(done["state"], "succeeded", "{done}");
    let steps = connection.ok("task.list", json!({ "limit": 50 }))["tasks"].as_array().unwrap().clone();
    assert_eq!(steps.iter().filter(|task| task["parent"] == id).count(), 6, "the steps of before are found");
}

#[test]
fn a_crash_of_the_daemon_does_not_repeat_a_failed_step() {
    const FORBIDDEN: &str = "a forbidden thing";
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "billing = \"free\"\n");
    let mut connection = sandbox.connect();
    let mut params = json!({ "project": project(&["—", "—"]), "until": "pictures" });
    params["project"]["shots"][0]["picture"] = json!("a slow thing");
    params["project"]["shots"][1]["picture"] = json!(FORBIDDEN);
    provider.on_prompt("a slow thing", Fault::Never);
    provider.on_prompt(FORBIDDEN, Fault::Moderated);
    let id = submit(&mut connection, &params);
    eventually("the forbidden picture has failed", || {
        let failed = connection.ok("task.list", json!({ "state": "failed" }));
        (!failed["tasks"].as_array()?.is_empty()).then_some(())
    });
    provider.wait_for_in_flight(1);
    sandbox.kill();
    provider.be_good();
    sandbox.start();
    let mut connection = sandbox.connect();
    let failed = connection.wait(id);
    assert_eq!(failed["error"]["code"], "shots_missing", "{failed}");
    assert_eq!(states(&report(&failed), "picture"), ["made", "failed"]);
    assert_eq!(provider.calls_of(FORBIDDEN), 1);
    // When a person retries the workflow, the failed step is tried again.
    connection.ok("task.retry", json!({ "id": id }));
    let done = connection.wait(id);
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(provider.calls_of(FORBIDDEN), 2);
}

#[test]
fn a_film_whose_frames_do_not_fit_the_memory_budget_is_refused_before_anything_is_paid() {
    if !needs::program("ffmpeg") {
        return;
    }
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "[memory]\nlimit_mb = 512\n");
    let mut connection = sandbox.connect();
    let mut params = json!({ "project": project(&["One.", "Two."]) });
    params["project"]["video"]["size"] = json!("4096x4096");
    let id = submit(&mut connection, &params);
    let failed = connection.wait(id);
    assert_eq!(failed["error"]["code"], "over_memory", "{failed}");
    assert!(failed["error"]["hint"].as_str().unwrap().contains("memory.limit_mb to 2"), "{failed}");
    assert_eq!(provider.calls(), 0);
    // Pictures alone need no frames.
    params["until"] = json!("pictures");
    let id = submit(&mut connection, &params);
    assert_eq!(connection.wait(id)["state"], "succeeded");
}

#[test]
fn a_cancelled_story_cancels_its_steps() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "max_concurrent = 1\nbilling = \"free\"\n");
    let mut connection = sandbox.connect();
    provider.hold();
    let params = json!({ "project": project(&["—", "—", "—"]), "until": "pictures" });
    let id = submit(&mut connection, &params);
    provider.wait_for_in_flight(1);
    connection.ok("task.cancel", json!({ "id": id }));
    provider.release();
    for step in [id + 1, id + 2, id + 3] {
        assert_eq!(connection.wait(step)["state"], "cancelled");
    }
    assert_eq!(connection.wait(id)["state"], "cancelled");
    // A step that a person retries by itself afterwards goes on, also after a restart.
    provider.hold();
    connection.ok("task.retry", json!({ "id": id + 2 }));
    provider.wait_for_in_flight(1);
    sandbox.kill();
    provider.release();
    sandbox.start();
    assert_eq!(sandbox.connect().wait(id + 2)["state"], "succeeded");
}

#[test]
fn a_budget_limits_the_total_cost_of_the_steps() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "price = { image = 0.04 }\n");
    let mut connection = sandbox.connect();
    let mut params = json!({ "project": project(&["—", "—", "—"]), "until": "pictures", "budget_usd": 0.1 });
    for (index, picture) in ["the lamp", "the sea", "the stairs"].iter().enumerate() {
        params["project"]["shots"][index]["picture"] = json!(picture);
    }
    let id = submit(&mut connection, &params);
    let failed = connection.wait(id);
    assert_eq!(failed["error"]["code"], "over_budget", "{failed}");
    let report = report(&failed);
    assert_eq!(states(&report, "picture"), ["made", "made", "failed"]);
    assert!((report["cost"]["amount"].as_f64().unwrap() - 0.08).abs() < 1e-9, "{report}");
    assert_eq!(provider.calls(), 2);
}

#[test]
fn a_budget_counts_failed_calls_that_may_have_been_charged() {
    for fault in [Fault::ResetAfterRequest, Fault::NotAPicture] {
        let provider = FakeProvider::start();
        let sandbox = studio(&provider, "price = { image = 0.04 }\n");
        let mut connection = sandbox.connect();
        let mut params =
            json!({ "project": project(&["—", "—", "—"]), "until": "pictures", "budget_usd": 0.1 });
        for (index, picture) in ["the lamp", "the sea", "the stairs"].iter().enumerate() {
            params["project"]["shots"][index]["picture"] = json!(picture);
        }
        provider.always(fault);
        let id = submit(&mut connection, &params);
        let failed = connection.wait(id);
        assert_eq!(failed["error"]["code"], "over_budget", "{failed}");
        assert_eq!(provider.calls(), 2, "{failed}");
    }
}
