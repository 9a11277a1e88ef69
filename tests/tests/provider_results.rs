//! Results that a response names only by URL. They are fetched with retries and across restarts, and never paid for again while they may still be
//! fetched.

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
    fake_provider::{Delivery, Fault, FileFault},
    studio::{patient_studio, prompt, submit},
};
use rusqlite::Connection as Database;
use serde_json::{Value, json};

/// The value of `fetch_s`, far longer than any of these tests waits.
const PATIENT: u32 = 600;
const UNAVAILABLE: FileFault = FileFault::Status(503, None);
const NOT_FOUND: FileFault = FileFault::Status(404, None);

/// Starts a server whose responses name their pictures by URL.
fn naming() -> FakeProvider {
    let provider = FakeProvider::start();
    provider.deliver(Delivery::AbsoluteUrl);
    provider
}

#[track_caller]
fn assert_made(task: &Value) {
    assert_eq!(task["state"], "succeeded", "{task}");
    for output in task["outputs"].as_array().unwrap() {
        let bytes = fs::read(output["path"].as_str().unwrap()).unwrap();
        assert_eq!(json!(bytes.len()), output["size_bytes"], "{task}");
    }
}

#[track_caller]
fn assert_held(task: &Value) {
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    assert_eq!(task["error"]["code"], "answer_lost", "{task}");
}

/// Waits until the task waits between two fetches.
#[track_caller]
fn wait_for_pause(connection: &mut Connection, id: u64) {
    eventually("the task waits until its picture can be fetched", || {
        let task = connection.task(id);
        let message = task["progress"]["message"].as_str().unwrap_or_default().to_owned();
        message.starts_with("the result is made; waiting until it can be fetched (next try in").then_some(())
    });
}

/// Submits a task whose picture cannot be fetched, waits until it is held, and returns its id.
#[track_caller]
fn held(sandbox: &Sandbox, provider: &FakeProvider, text: &str, fault: FileFault) -> u64 {
    provider.always_files(fault);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, text);
    assert_held(&connection.wait(id));
    assert_eq!(provider.calls(), 1);
    id
}

/// Returns the `remote_id` that the journal has for each attempt of a task, oldest first.
fn remote_ids(sandbox: &Sandbox, task: u64) -> Vec<Option<String>> {
    let database = Database::open(sandbox.home().join("reel.db")).unwrap();
    let mut rows = database.prepare("SELECT remote_id FROM attempts WHERE task = ? ORDER BY number").unwrap();
    rows.query_map([task], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_late_picture_is_awaited_whatever_its_server_responds_meanwhile() {
    let provider = naming();
    let sandbox = patient_studio(&provider, PATIENT, "");
    let mut connection = sandbox.connect();
    let late = [
        NOT_FOUND,
        FileFault::Status(403, None),
        UNAVAILABLE,
        FileFault::Status(503, Some(1)),
        FileFault::Status(429, Some(1)),
        FileFault::Close,
        FileFault::Cut,
    ];
    for (number, fault) in late.into_iter().enumerate() {
        provider.forget();
        // The fault comes more often than a few quick retries would cover.
        provider.script_files(vec![fault.clone(); 3]);
        let text = format!("{fault:?}");
        let id = submit(&mut connection, &text);
        let task = connection.wait(id);
        assert_made(&task);
        assert_eq!((provider.calls(), provider.fetches()), (1, 4), "{number}: {fault:?}");
        assert_eq!(remote_ids(&sandbox, id), [None], "no address is kept once its picture is here");
    }
}

#[test]
fn a_restart_goes_on_fetching_and_submits_nothing() {
    for billing in ["paid", "free"] {
        let provider = naming();
        provider.always_files(UNAVAILABLE);
        let sandbox = patient_studio(&provider, PATIENT, &format!("billing = \"{billing}\""));
        let mut connection = sandbox.connect();
        let id = submit(&mut connection, "late");
        wait_for_pause(&mut connection, id);
        assert!(
            remote_ids(&sandbox, id)[0].as_ref().unwrap().contains("/files/"),
            "on disk before the first fetch"
        );
        for _ in 0..2 {
            sandbox.kill();
            let before = provider.fetches();
            sandbox.start();
            eventually("the new daemon fetches", || (provider.fetches() > before).then_some(()));
        }
        // The second restart is an orderly stop, which does not wait for the fetch.
        sandbox.connect().ok("daemon.shutdown", json!({ "drain_s": 0 }));
        eventually("the daemon is gone", || sandbox.daemons().is_empty().then_some(()));
        provider.always_files(FileFault::Good);
        sandbox.start();
        assert_made(&sandbox.connect().wait(id));
        assert_eq!(provider.calls(), 1, "{billing}");
    }
}

#[test]
fn a_paid_picture_that_cannot_be_fetched_is_held_and_a_release_fetches_it() {
    let provider = naming();
    let sandbox = patient_studio(&provider, 1, "");
    let id = held(&sandbox, &provider, "away", UNAVAILABLE);
    let mut connection = sandbox.connect();
    let error = connection.task(id)["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("studio made the picture") && message.contains("127.0.0.1"), "{message}");
    assert!(message.contains("503") && !message.contains("/files/"), "{message}");
    assert_eq!(error["provider_status"], 503, "{error}");
    let hint = error["hint"].as_str().unwrap();
    assert!(
        hint.contains(&format!("reel release {id} fetches")) && hint.contains("only if it is gone"),
        "{hint}"
    );
    // While the picture cannot be fetched, neither a release nor a restart makes a new call.
    connection.ok("task.release", json!({ "id": id }));
    assert_held(&connection.wait(id));
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    assert_held(&connection.task(id));
    provider.always_files(FileFault::Good);
    connection.ok("task.release", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.calls(), 1);
    let log = sandbox.log();
    assert!(!log.contains("/files/"), "no address is logged:\n{log}");
}

#[test]
fn a_release_pays_again_only_where_the_picture_is_gone() {
    let provider = naming();
    let sandbox = patient_studio(&provider, 1, "");
    let id = held(&sandbox, &provider, "gone", NOT_FOUND);
    let mut connection = sandbox.connect();
    let tried = provider.fetches();
    assert!(tried > 1, "404 passes at some");
    provider.script_files([FileFault::Status(410, None), FileFault::Good]);
    connection.ok("task.release", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(
        (provider.calls(), provider.fetches()),
        (2, tried + 2),
        "it was fetched before it was asked for"
    );
    assert!(remote_ids(&sandbox, id).iter().all(Option::is_none));
}

#[test]
fn a_retry_of_a_task_that_was_given_up_fetches_first() {
    let provider = naming();
    let sandbox = patient_studio(&provider, 1, "");
    let id = held(&sandbox, &provider, "given up", NOT_FOUND);
    let mut connection = sandbox.connect();
    let cancelled = connection.ok("task.cancel", json!({ "id": id }));
    let error = &connection.task(id)["error"];
    assert_eq!((&cancelled["error"], &error["code"]), (error, &json!("cancelled")), "{cancelled}");
    assert!(error["message"].as_str().unwrap().contains("the result was made"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains(&format!("reel retry {id} fetches it")), "{error}");
    provider.always_files(FileFault::Good);
    connection.ok("task.retry", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.calls(), 1);
}

#[test]
fn equal_tasks_get_the_picture_whose_url_one_of_them_knows() {
    let provider = naming();
    let sandbox = patient_studio(&provider, 1, "");
    let first = held(&sandbox, &provider, "the same", UNAVAILABLE);
    let mut connection = sandbox.connect();
    let second = submit(&mut connection, "the same");
    assert_held(&connection.wait(second));
    let third = submit(&mut connection, "the same");
    assert_held(&connection.wait(third));
    provider.always_files(FileFault::Good);
    // The task that knows the URL is given up. The other tasks then know it.
    connection.ok("task.cancel", json!({ "id": first }));
    connection.ok("task.release", json!({ "id": third }));
    for id in [second, third] {
        eventually("it is made", || (connection.task(id)["state"] == "succeeded").then_some(()));
    }
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_cancelled_paid_task_leaves_its_picture_to_the_next_equal_request() {
    let provider = naming();
    provider.always_files(UNAVAILABLE);
    let sandbox = patient_studio(&provider, PATIENT, "");
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "never mind");
    wait_for_pause(&mut connection, id);
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    let next = submit(&mut connection, "never mind");
    eventually("it takes the call over", || (connection.task(next)["state"] == "running").then_some(()));
    eventually("it knows the address", || remote_ids(&sandbox, next)[0].is_some().then_some(()));
    sandbox.kill();
    provider.always_files(FileFault::Good);
    sandbox.start();
    assert_made(&sandbox.connect().wait(next));
    assert_eq!(provider.calls(), 1);
}

#[test]
fn several_pictures_are_fetched_independently_and_the_good_ones_are_kept() {
    let provider = naming();
    let sandbox = patient_studio(&provider, PATIENT, "");
    let mut connection = sandbox.connect();
    let three = |text: &str| json!({ "prompt": text, "n": 3, "width": 64, "height": 64 });
    provider.script_files([FileFault::Good, UNAVAILABLE, FileFault::Good, UNAVAILABLE]);
    let task = connection.generate(three("one is late"));
    assert_eq!((task["outputs"].as_array().unwrap().len(), provider.fetches()), (3, 5), "{task}");
    provider.script_files([FileFault::Good, FileFault::Status(410, None), FileFault::Good]);
    let task = connection.generate(three("one is gone"));
    assert_eq!(task["outputs"].as_array().unwrap().len(), 2, "{task}");
    sandbox.wait_for_log("2 of 3 results are kept");
    assert_eq!(provider.calls(), 2);
}

#[test]
fn a_free_picture_that_cannot_be_fetched_is_requested_again_and_a_bad_file_is_given_up() {
    let provider = naming();
    let sandbox = patient_studio(&provider, 1, "billing = \"free\"");
    provider.always_files(NOT_FOUND);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "free");
    provider.wait_for_calls(2);
    provider.always_files(FileFault::Good);
    let task = connection.wait(id);
    assert_made(&task);
    assert_eq!((provider.calls(), &task["attempts"]), (2, &json!(2)), "{task}");
    provider.always_files(UNAVAILABLE);
    let spec = json!({ "kind": "image.generate", "params": prompt("one attempt"), "max_attempts": 1 });
    let id = connection.submit_as(spec);
    assert_eq!(connection.wait(id)["error"]["code"], "answer_lost");
    provider.always_files(FileFault::Good);
    connection.ok("task.retry", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.calls(), 3, "a retry fetches first");
    provider.script_files([FileFault::Text]);
    let id = submit(&mut connection, "a text");
    assert_eq!(connection.wait(id)["error"]["code"], "provider_failed");
    connection.ok("task.retry", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.calls(), 5);
}

#[test]
fn waiting_for_a_picture_holds_no_slot_of_the_queue() {
    let provider = naming();
    provider.always_files(UNAVAILABLE);
    let sandbox = Sandbox::new();
    let config =
        reel_tests::studio::config(&sandbox, &provider, "").replace("fetch_s = 1\n", "fetch_s = 600\n");
    sandbox.configure(&format!("[tasks]\nmax_concurrent = 1\n{config}"));
    sandbox.start();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "late");
    wait_for_pause(&mut connection, id);
    let other = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(other)["state"], "succeeded");
    assert_eq!(connection.task(id)["state"], "running");
}

#[test]
fn the_key_is_sent_to_no_other_host_after_a_restart() {
    let (provider, elsewhere) = (naming(), FakeProvider::start());
    elsewhere.always_files(UNAVAILABLE);
    let url = format!("http://{}/files/64-64-0-7.png?sig=secret", elsewhere.address());
    provider.on_prompt("elsewhere", Fault::PictureAt(url));
    let sandbox = patient_studio(&provider, PATIENT, "");
    let mut connection = sandbox.connect();
    let id = connection.submit("image.generate", prompt("elsewhere"));
    wait_for_pause(&mut connection, id);
    sandbox.kill();
    elsewhere.always_files(FileFault::Good);
    sandbox.start();
    assert_made(&sandbox.connect().wait(id));
    let asked = elsewhere.requests();
    assert!(asked.len() > 1 && asked.iter().all(|request| request.header("authorization").is_none()));
    assert!(asked.iter().all(|request| request.path.ends_with("?sig=secret")), "{asked:?}");
    assert_eq!(provider.calls(), 1);
    assert!(!sandbox.log().contains("secret"), "{}", sandbox.log());
}

#[test]
fn a_task_whose_results_another_provider_made_waits_for_it_or_for_a_person() {
    let (provider, other) = (naming(), FakeProvider::start());
    provider.always_files(UNAVAILABLE);
    let sandbox = patient_studio(&provider, PATIENT, "");
    let configured = fs::read_to_string(sandbox.config()).unwrap();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "moved");
    wait_for_pause(&mut connection, id);
    sandbox.kill();
    sandbox.configure("");
    sandbox.start();
    assert_eq!(sandbox.connect().task(id)["wait_reason"], "provider_missing");
    sandbox.kill();
    let elsewhere = configured.replace("providers.studio", "providers.other");
    sandbox.configure(&elsewhere.replace(&provider.base_url(), &other.base_url()));
    sandbox.start();
    let task = sandbox.connect().wait(id);
    assert_held(&task);
    assert!(task["error"]["message"].as_str().unwrap().contains("studio made its results"), "{task}");
    assert_eq!((provider.calls(), other.calls()), (1, 0));
    sandbox.kill();
    sandbox.configure(&configured);
    sandbox.start();
    provider.always_files(FileFault::Good);
    let mut connection = sandbox.connect();
    connection.ok("task.release", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!((provider.calls(), other.calls()), (1, 0));
}

#[test]
fn a_bad_picture_beside_a_missing_one_does_not_fail_a_paid_task() {
    let provider = naming();
    provider.always_files(UNAVAILABLE);
    let url = format!("http://{}/files/64-64-0-7.png", provider.address());
    let body = json!({ "data": [{ "b64_json": "no base64*" }, { "url": url }] }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
    provider.on_prompt("mixed", Fault::Raw(format!("{head}\r\n\r\n{body}").into_bytes()));
    let sandbox = patient_studio(&provider, 1, "");
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "mixed", "n": 2, "width": 64, "height": 64 });
    let id = connection.submit("image.generate", params);
    assert_held(&connection.wait(id));
    provider.always_files(FileFault::Good);
    connection.ok("task.release", json!({ "id": id }));
    assert_made(&connection.wait(id));
    assert_eq!(provider.calls(), 1);
}
