//! Tasks that start from outputs which do not exist yet: `{"$output": id}` in params.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    Connection, FakeProvider, Sandbox,
    fake_provider::Fault,
    studio::{prompt, studio, submit},
};
use serde_json::{Value, json};

fn from_output(text: &str, id: u64) -> Value {
    let params = json!({ "prompt": text, "width": 64, "height": 64, "input_images": [{ "$output": id }] });
    json!({ "kind": "image.generate", "params": params })
}

/// Returns the digest of a task's first output.
fn digest(task: &Value) -> &Value {
    &task["outputs"][0]["digest"]
}

fn edits(provider: &FakeProvider) -> usize {
    provider.requests().iter().filter(|request| request.path == "/v1/images/edits").count()
}

#[test]
fn a_task_waits_for_its_input_and_then_has_the_digest_in_its_params() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    provider.hold();
    let first = submit(&mut connection, "a harbour");
    let second = connection.submit_as(from_output("the same at night", first));
    let waiting = connection.task(second);
    assert_eq!((&waiting["state"], &waiting["after"]), (&json!("waiting"), &json!([first])), "{waiting}");
    assert_eq!(waiting["params"]["input_images"], json!([{ "$output": first }]));
    provider.wait_for_in_flight(1);
    provider.release();
    let second = connection.wait(second);
    assert_eq!(second["state"], "succeeded", "{second}");
    let first = connection.task(first);
    assert_eq!(&second["params"]["input_images"][0], digest(&first));
    assert_eq!(edits(&provider), 1);

    // The task to which it refers has ended. The cache key contains the digest, so the same result is in the cache.
    let third = connection.submit_as(from_output("the same at night", first["id"].as_u64().unwrap()));
    let third = connection.wait(third);
    assert_eq!((&third["state"], &third["source"]), (&json!("succeeded"), &json!("cache")), "{third}");
    assert_eq!(edits(&provider), 1);
}

#[test]
fn references_survive_a_restart() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let first = submit(&mut connection, "a harbour");
    let second = connection.submit_as(from_output("the same at night", first));
    // A held task with the same reference. It resolves the reference when it is released.
    let third = connection.submit_as(from_output("the same in snow", first));
    connection.ok("task.hold", json!({ "id": third }));
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    connection.ok("queue.resume", json!({}));
    assert_eq!(connection.wait(second)["state"], "succeeded");
    assert_eq!(connection.task(third)["state"], "held");
    connection.ok("task.release", json!({ "id": third }));
    let task = connection.wait(third);
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(&task["params"]["input_images"][0], digest(&connection.task(first)));
}

#[test]
fn an_unusable_reference_fails_its_task_with_a_reason() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "services = [\"image\", \"voice\"]\n");
    let mut connection = sandbox.connect();
    let error = connection.err("task.submit", from_output("a", 99));
    assert_eq!(error.data.code, "dependency_not_found", "{}", error.message);
    let mut refused = |inputs: Value| {
        let params = json!({ "prompt": "a", "input_images": inputs });
        connection.err("task.submit", json!({ "kind": "image.generate", "params": params }))
    };
    let error = refused(json!([{ "$output": "1" }]));
    assert!(error.message.contains("is no reference to an output"), "{}", error.message);
    // Other mistakes in the params are refused at once, not when the picture exists.
    let params = json!({ "promt": "a", "input_images": [{ "$output": 1 }] });
    let error = connection.err("task.submit", json!({ "kind": "image.generate", "params": params }));
    assert_eq!(error.data.hint.as_deref(), Some("did you mean prompt?"), "{}", error.message);

    // The task to which it refers has no such output.
    let first = submit(&mut connection, "a harbour");
    let params = json!({ "prompt": "a", "input_images": [{ "$output": first, "index": 3 }] });
    let id = connection.submit("image.generate", params);
    let task = connection.wait(id);
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("dependency_failed")),
        "{task}"
    );
    assert!(task["error"]["message"].as_str().unwrap().contains("has no output 3"), "{task}");

    // The output is not a picture.
    let spoken = connection.submit("voice.speak", json!({ "text": "The lamp went out." }));
    let id = connection.submit_as(from_output("a", spoken));
    let task = connection.wait(id);
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("invalid_params")),
        "{task}"
    );
    assert!(task["error"]["message"].as_str().unwrap().contains("no picture"), "{task}");

    // The task to which it refers fails, and is retried first.
    provider.on_prompt("forbidden", Fault::Moderated);
    let forbidden = connection.submit("image.generate", prompt("forbidden"));
    let id = connection.submit_as(from_output("a", forbidden));
    assert_eq!(connection.wait(id)["error"]["code"], "dependency_failed");
    assert_eq!(edits(&provider), 0);
    provider.be_good();
    retry(&mut connection, forbidden);
    retry(&mut connection, id);
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(edits(&provider), 1);
}

fn retry(connection: &mut Connection, id: u64) {
    connection.ok("task.retry", json!({ "id": id }));
    connection.wait(id);
}

#[test]
fn a_chain_of_drafts_needs_no_provider() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let first = connection.submit("image.generate", json!({ "prompt": "a pier", "width": 64, "height": 64 }));
    connection.wait(first);
    // draft makes pictures from text only, and refuses this at once.
    let error = connection.err("task.submit", from_output("a", first));
    assert!(error.message.contains("draft makes no pictures from other pictures"), "{}", error.message);
}

#[test]
fn a_reference_where_no_digest_belongs_is_refused_in_the_words_of_its_sender() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let digest = "0".repeat(64);
    for (params, message) in [
        (
            json!({ "prompt": "q", "width": { "$output": 1 } }),
            "width: a reference to an output, expected a whole number",
        ),
        (json!({ "prompt": "q", "style": { "$output": 1 } }), "there is no style"),
    ] {
        let error = connection.err("task.submit", json!({ "kind": "image.generate", "params": params }));
        assert!(error.message.contains(message), "{}", error.message);
        assert!(!error.message.contains(&digest), "{}", error.message);
        assert!(error.data.hint.as_ref().unwrap().contains("$output"), "{:?}", error.data.hint);
    }
    let error = connection.err(
        "task.submit",
        json!({ "kind": "video.generate", "params": { "prompt": "q", "image": { "$output": 99_999 } } }),
    );
    assert_eq!(error.data.code, "dependency_not_found");
    assert_eq!(error.message, "task 99999, which `after` or a reference in the params names, does not exist");
}
