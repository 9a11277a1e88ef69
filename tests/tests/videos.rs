//! `video.generate` at a service with jobs: a job is submitted once, polled and fetched, also across a restart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    Connection, FakeProvider, Sandbox, eventually,
    fake_provider::{FILM, VideoPlan},
    studio::{studio, unhurried_studio},
};
use serde_json::{Value, json};

const VIDEO: &str = "services = [\"image\", \"video\"]\nmodels = { video = \"sora-2\" }";

fn submit(connection: &mut Connection, prompt: &str) -> u64 {
    connection.submit("video.generate", json!({ "prompt": prompt }))
}

/// Waits until a task's job exists at the service and has been polled.
fn wait_until_polled(provider: &FakeProvider, prompt: &str) {
    eventually("the job is polled", || {
        provider.videos().jobs_of(prompt).first().filter(|job| job.polls > 0).map(|_| ())
    });
}

fn assert_made(task: &Value) {
    assert_eq!(task["state"], "succeeded", "{task}");
    let output = &task["outputs"][0];
    assert_eq!(output["media_type"], "video/mp4", "{task}");
    assert!(output["duration_s"].as_f64().unwrap() > 0.0 && output["width"].as_u64().unwrap() > 0, "{task}");
    assert_eq!(fs::read(output["path"].as_str().unwrap()).unwrap(), FILM);
}

#[test]
fn a_video_is_submitted_once_polled_and_fetched() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "waves", "duration_s": 8, "width": 1280, "height": 720, "extra": { "quality": "high" } });
    let id = connection.submit("video.generate", params.clone());
    let task = connection.wait(id);
    assert_made(&task);
    let jobs = provider.videos().jobs();
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    let sent = |name: &str| job.fields.get(name).map(String::as_str);
    assert_eq!((sent("prompt"), sent("seconds"), sent("size")), (Some("waves"), Some("8"), Some("1280x720")));
    assert_eq!((sent("model"), sent("quality"), job.polls), (Some("sora-2"), Some("high"), 2));
    // The same request is answered from the cache.
    let again = connection.submit("video.generate", params);
    let again = connection.wait(again);
    assert_eq!((&again["source"], &again["outputs"]), (&json!("cache"), &task["outputs"]));
    assert_eq!(provider.videos().jobs().len(), 1);
}

#[test]
fn a_restarted_daemon_goes_on_polling_and_submits_nothing() {
    let provider = FakeProvider::start();
    provider.videos().hold();
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a storm");
    wait_until_polled(&provider, "a storm");
    sandbox.kill();
    provider.videos().release();
    sandbox.start();
    assert_made(&sandbox.connect().wait(id));
    assert_eq!(provider.videos().jobs().len(), 1);
    // A daemon that is stopped in good order also does not wait for the job, and does not cancel it.
    provider.videos().hold();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a calm");
    wait_until_polled(&provider, "a calm");
    sandbox.reel(&["daemon", "restart"]).expect_code(0);
    provider.videos().release();
    assert_made(&sandbox.connect().wait(id));
    let jobs = provider.videos().jobs_of("a calm");
    assert_eq!((jobs.len(), jobs[0].is_deleted), (1, false));
}

#[test]
fn ten_pending_videos_delay_no_picture() {
    let provider = FakeProvider::start();
    provider.videos().hold();
    let sandbox = Sandbox::new();
    let config = reel_tests::studio::config(&sandbox, &provider, &format!("{VIDEO}\nmax_concurrent = 11"));
    sandbox.configure(&format!("[tasks]\nmax_concurrent = 2\n{config}"));
    sandbox.start();
    let mut connection = sandbox.connect();
    let videos: Vec<_> = (0..10).map(|number| submit(&mut connection, &format!("video {number}"))).collect();
    eventually("all videos are submitted", || (provider.videos().jobs().len() == 10).then_some(()));
    let picture = connection.generate(json!({ "prompt": "a boat", "width": 64, "height": 64 }));
    assert_eq!((&picture["state"], &picture["provider"]), (&json!("succeeded"), &json!("studio")));
    for id in &videos {
        assert_eq!(connection.task(*id)["state"], "running");
    }
    provider.videos().release();
    for id in videos {
        assert_made(&connection.wait(id));
    }
}

#[test]
fn the_error_of_a_failed_job_is_shown_and_nothing_is_submitted_again() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    for (prompt, error, code, message) in [
        ("a crime", ("moderation_blocked", "Your request was blocked."), "moderated", "was blocked"),
        ("a crash", ("video_generation_failed", "GPU fell off."), "provider_failed", "GPU fell off"),
    ] {
        provider.videos().on_prompt(prompt, VideoPlan { fails_with: Some(error), ..VideoPlan::default() });
        let id = submit(&mut connection, prompt);
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!(code)), "{task}");
        assert!(task["error"]["message"].as_str().unwrap().contains(message), "{task}");
        assert_eq!(provider.videos().jobs_of(prompt).len(), 1);
    }
    // A person may submit it again.
    provider.videos().on_prompt("a crash", VideoPlan::default());
    let id = submit(&mut connection, "a crash");
    assert_made(&connection.wait(id));
    let refused =
        connection.err("task.submit", json!({ "kind": "video.generate", "params": { "promt": "a" } }));
    assert_eq!(refused.data.hint.as_deref(), Some("did you mean prompt?"));
}

#[test]
fn polls_and_fetches_that_fail_are_repeated() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, VIDEO);
    let plan = VideoPlan { unknown_polls: 1, failing_polls: 2, failing_fetches: 1, ..VideoPlan::default() };
    provider.videos().always(plan);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a stubborn one");
    assert_made(&connection.wait(id));
    let jobs = provider.videos().jobs();
    assert_eq!((jobs.len(), jobs[0].polls >= 5), (1, true), "{jobs:?}");
}

#[test]
fn a_cancelled_task_has_its_job_cancelled_at_the_service() {
    let provider = FakeProvider::start();
    provider.videos().hold();
    let sandbox = unhurried_studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "not wanted");
    wait_until_polled(&provider, "not wanted");
    let cancelled = connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(cancelled["state"], "cancelled");
    let message = cancelled["error"]["message"].as_str().unwrap();
    assert!(message.contains("studio is told to stop its job"), "{message}");
    eventually("the service is told", || {
        provider.videos().jobs_of("not wanted").iter().all(|job| job.is_deleted).then_some(())
    });
    provider.videos().release();
    connection.ok("task.retry", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.videos().jobs_of("not wanted").len(), 2);
}

#[test]
fn a_job_that_times_out_is_held_and_a_release_polls_it_again() {
    let provider = FakeProvider::start();
    provider.videos().hold();
    let sandbox = studio(&provider, &format!("{VIDEO}\njob_timeout_s = 1"));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "too slow");
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    let error = &task["error"];
    assert!(error["message"].as_str().unwrap().contains("did not finish the job within 1 s"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("asks studio for it first"), "{error}");
    // The job has been done meanwhile, so nothing is submitted.
    provider.videos().release();
    connection.ok("task.release", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.videos().jobs().len(), 1);
}

#[test]
fn draft_makes_a_video_of_its_panel_and_notes_that_it_is_a_draft() {
    let sandbox = Sandbox::started();
    let params = json!({ "prompt": "a lighthouse at dusk", "width": 321, "height": 180, "duration_s": 1.5, "fps": 12 });
    let mut connection = sandbox.connect();
    let id = connection.submit("video.generate", params);
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("draft")), "{task}");
    assert_eq!(task["notes"][0]["code"], "draft");
    let output = &task["outputs"][0];
    assert_eq!(
        (&output["media_type"], &output["width"], &output["height"], &output["duration_s"]),
        (&json!("video/mp4"), &json!(320), &json!(180), &json!(1.5))
    );
    let refused = connection.err(
        "task.submit",
        json!({ "kind": "video.generate", "params": { "prompt": "a", "duration_s": 61 } }),
    );
    assert!(refused.message.contains("60 s"), "{}", refused.message);
}

#[test]
fn without_ffmpeg_draft_says_what_to_install() {
    let empty = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new().with_variable("PATH", empty.path().display().to_string());
    sandbox.start();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a lighthouse");
    let task = connection.wait(id);
    let error = &task["error"];
    assert_eq!((&task["state"], &error["code"]), (&json!("failed"), &json!("no_provider")), "{task}");
    assert!(error["message"].as_str().unwrap().contains("ffmpeg is not installed"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("apt install ffmpeg"), "{error}");
}
