//! A provider with every possible fault. It is called only as often as its responses allow, never paid twice, and its key is shown to nobody.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path, time::Duration};

use reel_tests::{
    FakeProvider, eventually,
    fake_provider::{Cut, Fault, RetryAfter},
    studio::{ask_once, key_file, prompt, studio, submit},
};
use serde_json::{Value, json};

#[test]
fn permanent_faults_are_not_retried() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let link_local = "http://169.254.169.254/latest/meta-data";
    for (fault, code, status) in [
        (Fault::Unauthorized, "provider_auth", Some(401)),
        (Fault::Forbidden, "provider_auth", Some(403)),
        (Fault::InsufficientQuota, "quota_exceeded", Some(429)),
        (Fault::Moderated, "moderated", Some(400)),
        (Fault::Invalid, "provider_refused", Some(400)),
        (Fault::ModelNotFound, "provider_refused", Some(404)),
        (Fault::NoPicture, "provider_failed", Some(200)),
        (Fault::ErrorInside, "provider_failed", Some(200)),
        (Fault::Html, "provider_failed", Some(200)),
        (Fault::OtherJson, "provider_failed", Some(200)),
        (Fault::BadBase64, "provider_failed", Some(200)),
        (Fault::NotAPicture, "provider_failed", None),
        (Fault::redirect("http://example.invalid/v1"), "provider_failed", Some(302)),
        (Fault::redirect("file:///etc/passwd"), "provider_failed", Some(302)),
        (Fault::redirect(link_local), "provider_failed", Some(302)),
    ] {
        let name = format!("{fault:?}");
        provider.on_prompt(&name, fault);
        let id = submit(&mut connection, &name);
        let task = connection.wait(id);
        assert_eq!(
            (&task["state"], &task["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{name}: {task}"
        );
        assert_eq!(task["error"]["provider_status"], json!(status), "{name}");
        assert!(task["error"]["hint"].is_string(), "{name}");
        assert_eq!(provider.calls_of(&name), 1, "{name}");
    }
    sandbox.reel(&["generate", &format!("{:?}", Fault::Moderated), "-s", "64x64"]).expect_code(1);
    sandbox.reel(&["generate", &format!("{:?}", Fault::Unauthorized), "-s", "64x64"]).expect_code(77);
}

#[test]
fn temporary_faults_are_retried_and_not_before_the_provider_allows_it() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    for retry_after in [
        RetryAfter::Seconds(1),
        RetryAfter::Float(0.6),
        RetryAfter::Milliseconds(700),
        RetryAfter::DateIn(Duration::from_secs(2)),
    ] {
        provider.forget();
        provider.script([Fault::RateLimited { retry_after }, Fault::Good]);
        let id = submit(&mut connection, &format!("{retry_after:?}"));
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["attempts"]), (&json!("succeeded"), &json!(2)), "{task}");
        let times = provider.times();
        let least = match retry_after {
            RetryAfter::Seconds(seconds) => Duration::from_secs(seconds),
            RetryAfter::Float(seconds) => Duration::from_secs_f64(seconds),
            RetryAfter::Milliseconds(millis) => Duration::from_millis(millis),
            // A date has whole seconds, rounded down.
            _ => Duration::from_secs(1),
        };
        assert!(times[1] - times[0] >= least, "{retry_after:?}: {:?}", times[1] - times[0]);
    }
    for faults in
        [vec![Fault::Unavailable, Fault::Good], vec![Fault::ServerError, Fault::ServerError, Fault::Good]]
    {
        let attempts = faults.len();
        let name = format!("{faults:?}");
        provider.script(faults);
        let id = submit(&mut connection, &name);
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["attempts"]), (&json!("succeeded"), &json!(attempts)), "{task}");
        assert_eq!(task["error"], Value::Null, "what a later attempt mended is no error");
    }
    provider.always(Fault::ServerError);
    let task = ask_once(&mut connection, "broken for good");
    assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!("provider_unavailable")));
    provider.be_good();
}

#[test]
fn a_task_that_waits_for_its_next_attempt_says_why_and_survives_a_crash() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.script([Fault::rate_limited(3), Fault::Good]);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "patience");
    let task = eventually("the task waits", || {
        let task = connection.task(id);
        (task["state"] == "queued" && task["not_before"].is_string()).then_some(task)
    });
    assert_eq!(task["error"]["code"], "rate_limited", "{task}");
    sandbox.kill();
    sandbox.start();
    let task = sandbox.connect().wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
    let times = provider.times();
    assert!(times[1] - times[0] >= Duration::from_secs(3), "{:?}", times[1] - times[0]);
}

/// Returns all faults after which it is unknown whether the request was carried out.
fn ambiguous() -> Vec<Fault> {
    let cuts = [Cut::StatusLine, Cut::Headers, Cut::AfterHead, Cut::Base64];
    let cuts = cuts.into_iter().chain([1, 40, 200, 300, 500].map(Cut::At)).map(Fault::Cut);
    let others = [
        Fault::ResetAfterRequest,
        Fault::CloseAfterRequest,
        Fault::Garbage,
        Fault::Never,
        Fault::StallAfterHead,
        Fault::PictureGone,
        Fault::PictureAt("http://169.254.169.254/latest/meta-data".to_owned()),
        Fault::PictureAt("file:///etc/passwd".to_owned()),
    ];
    cuts.chain(others).collect()
}

#[test]
fn a_paid_call_whose_response_was_lost_is_held_and_a_free_one_is_repeated() {
    let provider = FakeProvider::start();
    let paid = studio(&provider, "max_concurrent = 100");
    let mut connection = paid.connect();
    let faults = ambiguous();
    let names: Vec<_> = faults.iter().map(|fault| format!("{fault:?}")).collect();
    for (name, fault) in names.iter().zip(faults) {
        provider.on_prompt(name, fault);
    }
    let ids: Vec<_> = names.iter().map(|name| submit(&mut connection, name)).collect();
    for (id, name) in ids.iter().zip(&names) {
        let task = connection.wait(*id);
        assert_eq!(
            (&task["state"], &task["hold_reason"]),
            (&json!("held"), &json!("outcome_unknown")),
            "{name}: {task}"
        );
        assert_eq!(task["error"]["code"], "answer_lost", "{name}");
        assert_eq!(provider.calls_of(name), 1, "{name}");
    }
    // The same faults from a free provider.
    let free = studio(&provider, "max_concurrent = 100\nbilling = \"free\"");
    let mut connection = free.connect();
    let ids: Vec<_> = names
        .iter()
        .map(|name| {
            connection
                .submit_as(json!({ "kind": "image.generate", "params": prompt(name), "max_attempts": 2 }))
        })
        .collect();
    for (id, name) in ids.iter().zip(&names) {
        let task = connection.wait(*id);
        assert_eq!((&task["state"], &task["attempts"]), (&json!("failed"), &json!(2)), "{name}: {task}");
        assert_eq!(provider.calls_of(name), 3, "{name}");
    }
}

#[test]
fn a_provider_that_fails_repeatedly_is_paused_and_used_again_when_it_recovers() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.always(Fault::ServerError);
    let mut connection = sandbox.connect();
    let ids: Vec<_> = (0..5)
        .map(|n| {
            connection.submit_as(
                json!({ "kind": "image.generate", "params": prompt(&format!("{n}")), "max_attempts": 1 }),
            )
        })
        .collect();
    for id in ids {
        assert_eq!(connection.wait(id)["state"], "failed");
    }
    provider.be_good();
    let waiting = submit(&mut connection, "after the storm");
    let task = connection.task(waiting);
    assert_eq!((&task["state"], &task["wait_reason"]), (&json!("queued"), &json!("provider_down")), "{task}");
    let listed = sandbox.reel(&["providers"]);
    assert!(listed.stdout.contains("failed several times in a row, tried again in"), "{}", listed.stdout);
    let drawn = connection.ok(
        "service.call",
        json!({ "service": "image", "method": "generate", "params": prompt("d"), "provider": "draft" }),
    );
    assert_eq!(drawn["state"], "succeeded", "others go on");
    assert_eq!(provider.calls(), 5, "it is left alone");
    assert_eq!(connection.wait(waiting)["state"], "succeeded");
}

#[test]
fn the_key_is_found_nowhere_after_every_fault() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "max_concurrent = 100\nbilling = \"free\"");
    let mut connection = sandbox.connect();
    connection.ok("daemon.log_level", json!({ "filter": "trace" }));
    let mut events = sandbox.connect();
    events.ok("events.subscribe", json!({ "topics": ["task", "cache", "memory", "provider", "daemon"] }));
    let echo =
        format!("{{\"error\":{{\"message\":\"Incorrect API key provided: {}.\"}}}}", FakeProvider::KEY);
    let echo = format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n{echo}", echo.len());
    let mut faults = ambiguous();
    faults.extend([
        Fault::Raw(echo.into_bytes()),
        Fault::Unauthorized,
        Fault::ServerError,
        Fault::Html,
        Fault::Good,
    ]);
    for (n, fault) in faults.into_iter().enumerate() {
        provider.on_prompt(&format!("fault {n}"), fault);
        let task = ask_once(&mut connection, &format!("fault {n}"));
        assert!(!task.to_string().contains(FakeProvider::KEY), "{task}");
    }
    connection.ok("daemon.status", json!({}));
    let last = connection.submit("debug.noop", json!({}));
    connection.wait(last);
    loop {
        let event = events.next_event();
        assert!(!event.to_string().contains(FakeProvider::KEY), "{event}");
        if event["task"]["id"] == last && event["task"]["state"] == "succeeded" {
            break;
        }
    }
    sandbox.stop();
    let found = files(sandbox.root()).into_iter().filter(|path| *path != key_file(sandbox.root()));
    for path in found {
        let bytes = fs::read(&path).unwrap_or_default();
        let key = FakeProvider::KEY.as_bytes();
        assert!(!bytes.windows(key.len()).any(|part| part == key), "{}", path.display());
    }
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
