//! Providers of the kind `sdcpp`: pictures and videos are jobs at a server of stable-diffusion.cpp.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    Connection, FakeSdcpp, Sandbox, eventually,
    fake_sdcpp::{SdcppPlan, WEBM},
    mask,
    raw_server::png,
    studio::prompt,
};
use serde_json::{Value, json};

fn submit(connection: &mut Connection, text: &str) -> u64 {
    connection.submit("image.generate", prompt(text))
}

/// The task succeeded with pictures of the server, and with no note.
#[track_caller]
fn assert_made(task: &Value, count: usize) {
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("machine")), "{task}");
    let outputs = task["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), count, "{task}");
    for output in outputs {
        assert_eq!(fs::read(output["path"].as_str().unwrap()).unwrap(), png());
        assert_eq!((&output["width"], &output["height"]), (&json!(64), &json!(64)), "{task}");
    }
    assert!(task["notes"].as_array().is_none_or(Vec::is_empty), "{task}");
}

#[test]
fn a_picture_is_a_job_whose_last_answer_has_the_result() {
    let server = FakeSdcpp::start();
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    server.on_prompt("a boat", SdcppPlan { polls_until_done: 1, ..SdcppPlan::default() });
    let params = json!({ "prompt": "a boat", "width": 64, "height": 64, "n": 2, "seed": 7, "steps": 20, "guidance": 4.5 });
    let id = connection.submit("image.generate", params.clone());
    assert_made(&connection.wait(id), 2);
    let jobs = server.jobs();
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert_eq!((job.kind.as_str(), job.polls), ("img_gen", 2));
    let sampling = json!({ "sample_steps": 20, "guidance": { "txt_cfg": 4.5 } });
    assert_eq!((&job.body["seed"], &job.body["sample_params"]), (&json!(7), &sampling));
    // The same request is answered from the cache.
    let again = connection.submit("image.generate", params.clone());
    assert_eq!(connection.wait(again)["source"], "cache");
    assert_eq!(server.jobs().len(), 1);
    let dry =
        connection.ok("provider.dry_run", json!({ "kind": "image.generate", "params": prompt("a hut") }));
    let planned = &dry["requests"][0];
    assert!(planned["url"].as_str().is_some_and(|url| url.ends_with("/sdcpp/v1/img_gen")), "{dry}");
    assert_eq!(planned["body"]["prompt"], "a hut", "{dry}");
    let checked = sandbox.reel(&["providers", "check", "machine"]);
    assert!(checked.expect_code(0).stdout.contains("answers; its model is sd"), "{checked:?}");
    let models = sandbox.reel(&["providers", "models", "machine"]);
    assert!(models.expect_code(0).stderr.contains("machine lists no models"), "{models:?}");
}

#[test]
fn a_video_is_a_job_too_and_pictures_to_start_from_are_sent() {
    let server = FakeSdcpp::start();
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    let data = STANDARD.encode(mask::coloured());
    let path = sandbox.work().join("start.png");
    fs::write(&path, mask::coloured()).unwrap();
    let digest = connection.ok("artifact.put", json!({ "path": path }))["digest"].clone();
    let params = json!({ "prompt": "waves", "duration_s": 2, "image": digest });
    let id = connection.submit("video.generate", params);
    let task = connection.wait(id);
    assert_eq!(
        (&task["state"], &task["outputs"][0]["media_type"]),
        (&json!("succeeded"), &json!("video/webm"))
    );
    assert_eq!(fs::read(task["outputs"][0]["path"].as_str().unwrap()).unwrap(), WEBM);
    // The server ignores transparency, and changes what is white.
    for mask in [mask::transparent_left(), mask::white_left()] {
        fs::write(&path, mask).unwrap();
        let mask = connection.ok("artifact.put", json!({ "path": path }))["digest"].clone();
        let params = json!({
            "prompt": "a red boat", "width": 64, "height": 64, "input_images": [digest], "mask": mask, "strength": 0.5,
        });
        let id = connection.submit("image.generate", params);
        assert_made(&connection.wait(id), 1);
    }
    // The server refuses pictures in shades of grey.
    fs::write(&path, mask::grey()).unwrap();
    let grey = connection.ok("artifact.put", json!({ "path": path }))["digest"].clone();
    let params = json!({ "prompt": "a red boat", "width": 64, "height": 64, "input_images": [grey] });
    let id = connection.submit("image.generate", params);
    assert_made(&connection.wait(id), 1);
    let jobs = server.jobs();
    let sent = STANDARD.decode(jobs[3].body["init_image"].as_str().unwrap()).unwrap();
    assert_eq!(mask::first_row(&sent), (vec![200; 3], vec![30; 3]));
    assert_eq!((jobs[0].kind.as_str(), &jobs[0].body["video_frames"]), ("vid_gen", &json!(33)));
    assert_eq!((&jobs[0].body["init_image"], &jobs[0].body["end_image"]), (&json!(data), &Value::Null));
    for job in &jobs[1..3] {
        assert_eq!((&job.body["init_image"], &job.body["strength"]), (&json!(data), &json!(0.5)));
        let sent = STANDARD.decode(job.body["mask_image"].as_str().unwrap()).unwrap();
        assert_eq!(mask::first_row(&sent), (vec![255], vec![0]));
    }
}

#[test]
fn a_full_queue_is_waited_for_and_fails_no_task() {
    let server = FakeSdcpp::start();
    server.queue_size(1);
    server.hold();
    let sandbox = Sandbox::started_with(&server.config("max_concurrent = 3"));
    let mut connection = sandbox.connect();
    let ids: Vec<_> = (0..3)
        .map(|number| {
            let spec = json!({ "kind": "image.generate", "params": prompt(&format!("boat {number}")), "max_attempts": 1 });
            connection.submit_as(spec)
        })
        .collect();
    eventually("a submission is refused", || (server.refused() > 0).then_some(()));
    for id in &ids {
        let task = connection.task(*id);
        assert!(matches!(task["state"].as_str(), Some("queued" | "running")), "{task}");
    }
    server.release();
    for id in ids {
        assert_made(&connection.wait(id), 1);
    }
    assert_eq!(server.jobs().len(), 3);
}

#[test]
fn a_restarted_daemon_goes_on_polling_and_submits_nothing() {
    let server = FakeSdcpp::start();
    server.hold();
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a storm");
    server.wait_until_polled("a storm");
    sandbox.kill();
    server.release();
    sandbox.start();
    assert_made(&sandbox.connect().wait(id), 1);
    assert_eq!(server.jobs().len(), 1);
}

#[test]
fn a_job_that_the_server_has_lost_is_submitted_again() {
    let server = FakeSdcpp::start();
    server.hold();
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    // The server was restarted while a job ran: its queue is empty.
    let id = submit(&mut connection, "a storm");
    server.wait_until_polled("a storm");
    server.forget_jobs();
    server.release();
    assert_made(&connection.wait(id), 1);
    assert_eq!(server.jobs_of("a storm").len(), 2);
    // The result expired while the daemon was down.
    server.hold();
    let id = submit(&mut connection, "a calm");
    server.wait_until_polled("a calm");
    sandbox.kill();
    server.on_prompt("a calm", SdcppPlan { is_expired: true, ..SdcppPlan::default() });
    server.release();
    sandbox.start();
    eventually("the expired job is polled", || {
        server.jobs_of("a calm").first().filter(|job| job.is_over).map(|_| ())
    });
    server.on_prompt("a calm", SdcppPlan::default());
    assert_made(&sandbox.connect().wait(id), 1);
    assert_eq!(server.jobs_of("a calm").len(), 2);
}

#[test]
fn the_server_is_down_for_a_while_during_a_job() {
    let server = FakeSdcpp::start();
    server.hold();
    let address = server.address();
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a storm");
    server.wait_until_polled("a storm");
    drop(server);
    eventually("the failed poll is shown", || {
        let task = connection.task(id);
        let message = task["progress"]["message"].as_str().unwrap_or_default().to_owned();
        message.contains("does not report the state of the job").then_some(())
    });
    let server = FakeSdcpp::start_at(address);
    assert_made(&connection.wait(id), 1);
    assert_eq!(server.jobs().len(), 1);
}

#[test]
fn errors_are_shown_in_the_words_of_the_server() {
    let server = FakeSdcpp::start();
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    let plan = SdcppPlan::default();
    for (text, plan, code, message) in [
        (
            "a crash",
            SdcppPlan { fails_with: Some("no memory"), ..plan.clone() },
            "provider_failed",
            "the job is failed: no memory",
        ),
        (
            "an odd size",
            SdcppPlan { refuses: Some((400, "invalid generation parameters")), ..plan.clone() },
            "provider_refused",
            "invalid generation parameters",
        ),
        ("a word", SdcppPlan { garbage: Some("AAAA!!!!"), ..plan.clone() }, "provider_failed", "not base64"),
        (
            "no picture",
            SdcppPlan { garbage: Some("aGVsbG8gd29ybGQ="), ..plan },
            "provider_failed",
            "is not a picture",
        ),
    ] {
        server.on_prompt(text, plan);
        let id = submit(&mut connection, text);
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!(code)), "{task}");
        assert!(task["error"]["message"].as_str().unwrap().contains(message), "{task}");
        assert!(!task["error"]["hint"].as_str().unwrap().contains("pay"), "nothing is paid: {task}");
        server.on_prompt(text, SdcppPlan::default());
        connection.ok("task.retry", json!({ "id": id }));
        assert_made(&connection.wait(id), 1);
    }
    let refused = connection
        .err("task.submit", json!({ "kind": "image.generate", "params": { "prompt": "a", "width": 32 } }));
    assert!(refused.message.contains("width 32 is not from 64 to 4096"), "{refused:?}");
}

#[test]
fn a_job_in_the_queue_is_cancelled_and_one_that_is_generating_goes_on() {
    let server = FakeSdcpp::start();
    server.hold();
    let sandbox = Sandbox::started_with(&server.config("max_concurrent = 2"));
    let mut connection = sandbox.connect();
    let generating = submit(&mut connection, "a storm");
    server.wait_until_polled("a storm");
    let waiting = submit(&mut connection, "a calm");
    server.wait_until_polled("a calm");
    eventually("its place in the queue is shown", || {
        let message = connection.task(waiting)["progress"]["message"].clone();
        (message == "machine: queued, place 1").then_some(())
    });
    for id in [waiting, generating] {
        connection.ok("task.cancel", json!({ "id": id }));
        assert_eq!(connection.wait(id)["state"], "cancelled");
    }
    eventually("both are asked to end", || {
        let jobs = server.jobs();
        (jobs[0].is_cancel_refused && jobs[1].is_cancelled).then_some(())
    });
    // The server works on until the first job is done, and the next one waits for that.
    let next = submit(&mut connection, "a dawn");
    server.wait_until_polled("a dawn");
    server.release();
    assert_made(&connection.wait(next), 1);
    assert_eq!(server.jobs().len(), 3);
}

#[test]
fn more_pictures_than_the_server_makes_are_noted() {
    let server = FakeSdcpp::start();
    let sandbox = Sandbox::started_with(&server.config(""));
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "a boat", "width": 64, "height": 64, "n": 9 });
    let id = connection.submit("image.generate", params);
    let task = connection.wait(id);
    assert_eq!((&task["state"], task["outputs"].as_array().map(Vec::len)), (&json!("succeeded"), Some(8)));
    assert_eq!(task["notes"][0]["message"], "8 of 9 pictures came", "{task}");
}

#[test]
fn a_wrong_setting_is_named() {
    let sandbox = Sandbox::new();
    sandbox.configure("[providers.machine]\nkind = \"sdcpp\"\ninput_use = \"both\"\n");
    let failed = sandbox.reeld_fails();
    assert!(
        failed.stderr.contains("providers.machine.input_use must be \"init\" or \"reference\""),
        "{failed:?}"
    );
}
