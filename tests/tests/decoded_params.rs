//! How params in JSON are decoded: whole numbers, the place of an error, and fields of another method.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_protocol::{ErrorCode, RpcError};
use reel_tests::Sandbox;
use serde_json::{Value, json};

#[track_caller]
fn assert_refused(error: &RpcError, code: ErrorCode, what: &str) {
    assert_eq!(error.data.code, code.name(), "{what}: {error:?}");
    assert_eq!(error.code, code.number(), "{what}: {error:?}");
    assert!(!error.message.is_empty(), "{what}: {error:?}");
    assert!(error.data.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "no hint: {what}: {error:?}");
}

#[test]
fn an_error_names_the_field_its_value_and_its_range() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let shots = json!([{ "text": "a" }]);
    let film = |video: Value| json!({ "project": { "version": 1, "video": video, "shots": shots } });
    let picture = |params: Value| ("image.generate", params);
    for ((kind, params), message) in [
        (
            picture(json!({ "prompt": "a", "width": 360.5 })),
            "width: 360.5, expected a whole number from 0 to 4294967295",
        ),
        (picture(json!({ "prompt": "a", "input_images": [7] })), "input_images[0]: 7, expected a string"),
        (("debug.sleep", json!({ "ms": "1" })), "ms: string \"1\", expected a whole number from 0 on"),
        (("story.make", film(json!({ "music": null }))), "video.music: null, expected a string"),
        (
            ("story.make", film(json!({ "fps": "30" }))),
            "video.fps: string \"30\", expected a whole number from 0 to 4294967295",
        ),
        (
            ("story.make", json!({ "project": { "version": 1, "shots": [{ "text": "a", "min_s": "1" }] } })),
            "shots[0].min_s: string \"1\", expected a number",
        ),
        (
            ("story.make", json!({ "project": { "version": 1, "shots": [] } })),
            "the project has no shots: `shots` is a list of objects with a `text`",
        ),
    ] {
        let error = connection.err("task.submit", json!({ "kind": kind, "params": params }));
        assert_refused(&error, ErrorCode::InvalidParams, message);
        assert!(error.message.ends_with(&format!(": {message}")), "{}", error.message);
    }
    let error = connection.err("task.submit", json!({ "kind": "debug.noop", "priority": 500 }));
    assert_eq!(
        error.message,
        "the params do not fit task.submit: priority: 500, expected a whole number from -100 to 100"
    );
}

#[test]
fn whole_numbers_may_be_written_with_a_fraction_of_zero() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "the sea", "width": 320.0, "height": 180.0, "n": 1.0, "seed": 7.0 });
    let submit =
        json!({ "kind": "image.generate", "params": params, "priority": 3.0, "metadata": { "w": 1.0 } });
    let task = connection.ok("task.submit", submit);
    let task = connection.wait(task["id"].as_u64().unwrap());
    assert_eq!(task["state"], "succeeded", "{task}");
    let params = &task["params"];
    assert_eq!((&params["width"], &params["seed"], &task["priority"]), (&json!(320), &json!(7), &json!(3)));
    assert_eq!(task["metadata"].to_string(), r#"{"w":1.0}"#);
    let video = json!({ "size": "320x180", "fps": 10.0 });
    let project = json!({ "version": 1.0, "video": video, "shots": [{ "text": "", "sample": 1.0 }] });
    let story = json!({ "kind": "story.make", "params": { "project": project, "until": "pictures" } });
    let story = connection.ok("task.submit", story);
    assert_eq!(connection.wait(story["id"].as_u64().unwrap())["state"], "succeeded");
    assert_eq!(connection.ok("task.list", json!({ "limit": 1.0 }))["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn service_call_refuses_fields_that_only_task_submit_has() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    for (field, value) in [
        ("request_id", json!("once")),
        ("name", json!("mine")),
        ("metadata", json!({ "shot": 3 })),
        ("priority", json!(1)),
        ("after", json!([1])),
        ("max_attempts", json!(1)),
        ("deadline_s", json!(1)),
    ] {
        let mut params = json!({ "service": "debug", "method": "noop", "unknown_to_all": 1 });
        params[field] = value;
        let error = connection.err("service.call", params);
        assert_refused(&error, ErrorCode::InvalidParams, field);
        assert_eq!(error.message, format!("service.call has no field {field}: it is a field of task.submit"));
        assert_eq!(error.data.hint.as_deref(), Some("use task.submit and task.wait"));
    }
    let listed = connection.ok("task.list", json!({}));
    assert!(listed["tasks"].as_array().unwrap().is_empty(), "{listed}");
}
