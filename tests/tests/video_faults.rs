//! `video.generate` when the response to the submission is lost, the service cannot cancel, a job is gone, or many jobs are polled at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::time::Duration;

use reel_tests::{
    Connection, FakeProvider, eventually,
    fake_provider::{VideoJob, VideoPlan},
    studio::studio,
};
use serde_json::{Value, json};

const VIDEO: &str = "services = [\"video\"]\nmodels = { video = \"sora-2\" }";

fn submit(connection: &mut Connection, prompt: &str) -> u64 {
    connection.submit("video.generate", json!({ "prompt": prompt }))
}

fn assert_made(task: &Value) {
    assert_eq!(
        (&task["state"], &task["outputs"][0]["media_type"]),
        (&json!("succeeded"), &json!("video/mp4")),
        "{task}"
    );
}

/// Asserts that a paid task is held, and returns its error's message and hint.
fn assert_held(task: &Value) -> (String, String) {
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    let text = |name: &str| task["error"][name].as_str().unwrap().to_owned();
    (text("message"), text("hint"))
}

fn losing() -> VideoPlan {
    VideoPlan { loses_answer: true, ..VideoPlan::default() }
}

#[test]
fn a_job_without_a_submission_response_is_found_in_the_services_list() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    provider.videos().on_prompt("a lost one", losing());
    provider.videos().submit_elsewhere("another one");
    let id = submit(&mut connection, "a lost one");
    assert_made(&connection.wait(id));
    assert_eq!(provider.videos().jobs().len(), 1);
    // Two tasks have the same prompt. Each has its own job, and neither uses the other's.
    provider.videos().on_prompt("twins", VideoPlan::default());
    let first = connection.submit("video.generate", json!({ "prompt": "twins", "sample": 0 }));
    assert_made(&connection.wait(first));
    provider.videos().on_prompt("twins", losing());
    let second = connection.submit("video.generate", json!({ "prompt": "twins", "sample": 1 }));
    assert_made(&connection.wait(second));
    let polls: Vec<_> = provider.videos().jobs_of("twins").iter().map(|job| job.polls).collect();
    assert!(polls.len() == 2 && polls.iter().all(|polls| *polls > 0), "{polls:?}");
}

#[test]
fn a_lost_job_is_not_mistaken_for_one_that_a_task_had_before_the_daemon_restarted() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, VIDEO);
    provider.videos().hold();
    let mut connection = sandbox.connect();
    let first = connection.submit("video.generate", json!({ "prompt": "twins", "sample": 0 }));
    eventually("the first job is polled", || {
        provider.videos().jobs_of("twins").first().filter(|job| job.polls > 0).map(|_| ())
    });
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    provider.videos().on_prompt("twins", losing());
    let second = connection.submit("video.generate", json!({ "prompt": "twins", "sample": 1 }));
    eventually("the second job is polled", || {
        let state = connection.task(second)["state"].clone();
        assert_ne!(state, "held", "two jobs were found, of which one is known");
        provider.videos().jobs_of("twins").get(1).filter(|job| job.polls > 0).map(|_| ())
    });
    provider.videos().release();
    assert_made(&connection.wait(first));
    assert_made(&connection.wait(second));
    assert_eq!(provider.videos().jobs_of("twins").len(), 2);
}

#[test]
fn a_lost_job_that_cannot_be_identified_is_held_and_searched_for_again_on_release() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    provider.videos().on_prompt("a common one", losing());
    provider.videos().submit_elsewhere("a common one");
    let id = submit(&mut connection, "a common one");
    let (message, hint) = assert_held(&connection.wait(id));
    assert!(message.contains("its answer was lost"), "{message}");
    assert!(hint.contains("looks for it at studio first"), "{hint}");
    // A person allows a second payment by releasing the task.
    provider.videos().on_prompt("a common one", VideoPlan::default());
    connection.ok("task.release", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.videos().jobs_of("a common one").len(), 2);
    // This service does not list its jobs.
    provider.videos().list_nothing();
    provider.videos().on_prompt("nowhere", losing());
    let id = submit(&mut connection, "nowhere");
    assert_held(&connection.wait(id));
    let cancelled = connection.ok("task.cancel", json!({ "id": id }));
    assert!(cancelled["error"]["message"].as_str().unwrap().contains("it may have been paid"), "{cancelled}");
}

#[test]
fn a_job_that_the_service_forgot_is_held_and_a_release_submits_it_again() {
    let provider = FakeProvider::start();
    provider.videos().hold();
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "forgotten");
    eventually("the job is polled", || {
        provider.videos().jobs_of("forgotten").first().filter(|job| job.polls > 0).map(|_| ())
    });
    // The service may not know a new job for up to half a minute. After that, the job is gone.
    provider.videos().on_prompt("forgotten", VideoPlan { is_gone: true, ..VideoPlan::default() });
    let (message, hint) = assert_held(&connection.wait(id));
    assert!(message.contains("does not have it any more"), "{message}");
    assert!(hint.contains("again only if it is gone"), "{hint}");
    provider.videos().on_prompt("forgotten", VideoPlan::default());
    provider.videos().delete_all();
    provider.videos().release();
    connection.ok("task.release", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.videos().jobs_of("forgotten").len(), 2);
}

#[test]
fn the_result_of_a_paid_job_that_cannot_be_cancelled_is_kept_for_equal_requests() {
    let provider = FakeProvider::start();
    provider.videos().hold();
    provider.videos().always(VideoPlan { is_cancellable: false, ..VideoPlan::default() });
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "unstoppable");
    eventually("the job is polled", || {
        provider.videos().jobs_of("unstoppable").first().filter(|job| job.polls > 0).map(|_| ())
    });
    assert_eq!(connection.ok("task.cancel", json!({ "id": id }))["state"], "cancelled");
    sandbox.wait_for_log("cannot be cancelled at its service");
    let next = submit(&mut connection, "unstoppable");
    provider.videos().release();
    assert_made(&connection.wait(next));
    assert_eq!(provider.videos().jobs().len(), 1);
}

#[test]
fn two_hundred_jobs_are_polled_at_most_once_a_second_each() {
    const JOBS: usize = 200;
    let provider = FakeProvider::start();
    provider.videos().always(VideoPlan { polls_until_done: 3, hint_ms: Some(1_000), ..VideoPlan::default() });
    let sandbox = studio(&provider, &format!("{VIDEO}\nmax_concurrent = 1000"));
    let mut connection = sandbox.connect();
    let spec =
        |number: usize| json!({ "kind": "video.generate", "params": { "prompt": format!("job {number}") } });
    let (_, ids) = connection.submit_batch((0..JOBS).map(spec).collect());
    for id in ids {
        assert_made(&connection.wait(id));
    }
    let jobs = provider.videos().jobs();
    assert_eq!(jobs.len(), JOBS);
    let shortest = jobs.iter().filter_map(|job: &VideoJob| job.shortest_pause).min().unwrap();
    assert!(shortest >= Duration::from_millis(999), "{shortest:?}");
}

#[test]
fn a_result_on_another_host_is_fetched_without_the_key() {
    let (provider, elsewhere) = (FakeProvider::start(), FakeProvider::start());
    elsewhere.require_key(None);
    elsewhere.videos().submit_elsewhere("there");
    let at = |url: &str| VideoPlan { url: Some(url.to_owned()), ..VideoPlan::default() };
    provider.videos().always(at(&format!("{}/videos/video_1/content", elsewhere.base_url())));
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "elsewhere");
    assert_made(&connection.wait(id));
    let fetched: Vec<_> =
        elsewhere.requests().into_iter().filter(|request| request.path.ends_with("/content")).collect();
    assert_eq!((fetched.len(), fetched[0].header("authorization")), (1, None), "{fetched:?}");
    // A file of this machine is not a result.
    provider.videos().always(at("file:///etc/passwd"));
    let id = submit(&mut connection, "a trap");
    let (message, _) = assert_held(&connection.wait(id));
    assert!(message.contains("its result cannot be fetched"), "{message}");
}

#[test]
fn a_free_job_is_polled_after_a_crash_and_submitted_again_only_if_its_response_was_lost() {
    let provider = FakeProvider::start();
    provider.videos().hold();
    let sandbox = studio(&provider, &format!("{VIDEO}\nbilling = \"free\""));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "of our own");
    eventually("the job is polled", || {
        provider.videos().jobs_of("of our own").first().filter(|job| job.polls > 0).map(|_| ())
    });
    // A task that runs at two deaths is suspected of causing them, unless it only polls.
    for _ in 0..3 {
        sandbox.kill();
        sandbox.start();
    }
    provider.videos().release();
    let mut connection = sandbox.connect();
    assert_made(&connection.wait(id));
    assert_eq!(provider.videos().jobs().len(), 1);
    provider.videos().on_prompt("lost", losing());
    let id = submit(&mut connection, "lost");
    eventually("the job is submitted", || {
        (!provider.videos().jobs_of("lost").is_empty()).then(|| {
            provider.videos().on_prompt("lost", VideoPlan::default());
        })
    });
    assert_made(&connection.wait(id));
    assert!(provider.videos().jobs_of("lost").len() >= 2);
}

#[test]
fn a_task_whose_deadline_passes_has_its_job_cancelled() {
    let provider = FakeProvider::start();
    provider.videos().hold();
    let sandbox = studio(&provider, VIDEO);
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "video.generate", "params": { "prompt": "too late" }, "deadline_s": 3 });
    let id = connection.submit_as(spec);
    let task = connection.wait(id);
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("deadline_exceeded")),
        "{task}"
    );
    eventually("the service is told", || {
        provider.videos().jobs().iter().all(|job| job.is_deleted).then_some(())
    });
}
