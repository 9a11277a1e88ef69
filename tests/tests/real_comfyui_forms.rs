//! The forms of the answers of a server of ComfyUI, which are the same at every one. The tests use the real server that `REEL_TEST_COMFYUI_URL` names, or
//! else the imitation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    any_comfyui::{AnyComfyui, blank, colour, slow},
    eventually, http,
};
use serde_json::{Map, Value, json};

/// Returns the type of an error, and for each node the types of its errors with the names of what is said besides.
fn form(answer: &Value) -> Value {
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    let mut nodes = Map::new();
    for (id, node) in answer["node_errors"].as_object().into_iter().flatten() {
        let errors = node["errors"].as_array().unwrap().iter();
        let errors: Vec<_> = errors.map(|error| json!([error["type"], keys(&error["extra_info"])])).collect();
        nodes.insert(id.clone(), Value::from(errors));
    }
    json!([answer["error"]["type"], nodes])
}

/// Returns a valid workflow with other nodes, or with other inputs of nodes. Null removes one.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut graph = blank();
    for (at, value) in changes {
        let (place, name) = match at.split_once('.') {
            Some((node, input)) => (&mut graph[node]["inputs"], input),
            None => (&mut graph, *at),
        };
        if value.is_null() {
            place.as_object_mut().unwrap().remove(name);
        } else {
            place[name] = value.clone();
        }
    }
    graph
}

#[test]
fn each_refusal_has_its_form() {
    let server = AnyComfyui::start();
    let failed = "prompt_outputs_failed_validation";
    let value = json!(["input_config", "input_name", "received_value"]);
    let raised = json!(["exception_type", "traceback"]);
    let image = json!({ "class_type": "LoadImage", "inputs": { "image": "none.png" } });
    let scale = json!({ "class_type": "ImageScale", "inputs": { "image": ["1", 0], "upscale_method": "bad", "width": 8, "height": 8, "crop": "disabled" } });
    let invert = |from: &str| json!({ "class_type": "ImageInvert", "inputs": { "image": [from, 0] } });
    let case = |changes: &[(&str, Value)], expected: Value| {
        let (status, answer) = server.post("/prompt", &json!({ "prompt": changed(changes) }));
        assert_eq!((status, form(&answer)), (400, expected), "{changes:?}: {answer}");
    };
    case(&[("4", json!({ "class_type": "Nonsense", "inputs": {} }))], json!(["invalid_prompt", {}]));
    case(&[("4", json!({ "inputs": {} }))], json!(["invalid_prompt", {}]));
    case(&[("2", Value::Null)], json!(["prompt_no_outputs", {}]));
    case(
        &[("2.images", Value::Null)],
        json!([failed, { "2": [["required_input_missing", ["input_name"]]] }]),
    );
    case(&[("2.images", json!(["1", 0, 5]))], json!([failed, { "2": [["bad_linked_input", value]] }]));
    let mismatch = json!(["input_config", "input_name", "linked_node", "received_type"]);
    case(&[("2.images", json!(["3", 0]))], json!([failed, { "2": [["return_type_mismatch", mismatch]] }]));
    case(
        &[("2.images", json!(["77", 0]))],
        json!([failed, { "2": [["exception_during_validation", raised]] }]),
    );
    case(
        &[("2.images", json!(["1", 9]))],
        json!([failed, { "2": [["exception_during_validation", raised]] }]),
    );
    let inner = json!([
        "exception_message",
        "exception_type",
        "input_config",
        "input_name",
        "linked_node",
        "traceback"
    ]);
    case(
        &[("2.images", json!(["5", 0])), ("5", invert("77"))],
        json!([failed, { "5": [["exception_during_inner_validation", inner]] }]),
    );
    case(&[("2.images", json!(["5", 0])), ("5", invert("6")), ("6", invert("5"))], json!([failed, {}]));
    let wrong = json!(["exception_message", "input_config", "input_name", "received_value"]);
    case(&[("1.width", json!("wide"))], json!([failed, { "1": [["invalid_input_type", wrong]] }]));
    case(&[("1.width", json!(99_999))], json!([failed, { "1": [["value_bigger_than_max", value]] }]));
    case(&[("1.width", json!(0))], json!([failed, { "1": [["value_smaller_than_min", value]] }]));
    case(
        &[("2.images", json!(["5", 0])), ("5", scale)],
        json!([failed, { "5": [["value_not_in_list", value]] }]),
    );
    case(
        &[("2.images", json!(["5", 0])), ("5", image)],
        json!([failed, { "5": [["custom_validation_failed", ["input_name"]]] }]),
    );
    let (status, answer) = server.post("/prompt", &json!({ "client_id": "x" }));
    assert_eq!((status, form(&answer)), (400, json!(["no_prompt", {}])));
    let (status, _) = http::json(&server.url, "POST", "/prompt", None);
    assert_eq!(status, 500, "a body that is no JSON");
}

#[test]
fn the_queue_the_history_and_the_files_have_their_form() {
    let server = AnyComfyui::start();
    let (colour, id) = (colour(), format!("form-{}", colour()));
    let mut graph = slow();
    graph["1"]["inputs"]["color"] = json!(colour);
    graph["2"]["inputs"]["filename_prefix"] = json!(format!("reel/{id}"));
    server.hold();
    let body = json!({ "prompt": graph, "prompt_id": id, "client_id": "me", "extra_data": { "reel": 1 } });
    let (status, answer) = server.post("/prompt", &body);
    assert_eq!((status, &answer["prompt_id"], &answer["node_errors"]), (200, &json!(id), &json!({})));
    assert_eq!(server.wait_until_running(colour), id);
    let queue = server.get("/queue");
    let item = &queue["queue_running"][0];
    assert_eq!((&item[0], &item[2]), (&answer["number"], &graph));
    assert_eq!((&item[3], &item[4]), (&json!({ "reel": 1, "client_id": "me" }), &json!(["2"])));
    assert_eq!(server.get(&format!("/history/{id}")), json!({}), "a job that runs is not in it");
    // The server answers 200 and ends nothing if the job to interrupt is unknown, or if the job to delete is already running.
    assert_eq!(server.post("/interrupt", &json!({ "prompt_id": "nobody" })).0, 200);
    assert_eq!(server.post("/queue", &json!({ "delete": ["nobody", id] })).0, 200);
    assert_eq!(server.jobs_of(colour)[0], std::slice::from_ref(&id));
    server.release();
    let entry = eventually("it is done", || server.get(&format!("/history/{id}")).get(&id).cloned());
    let file = json!({ "filename": format!("{id}_00001_.png"), "subfolder": "reel", "type": "output" });
    assert_eq!(entry["outputs"], json!({ "2": { "images": [file] } }));
    assert_eq!((&entry["prompt"][1], &entry["status"]["status_str"]), (&json!(id), &json!("success")));
    let messages: Vec<_> =
        entry["status"]["messages"].as_array().unwrap().iter().map(|one| &one[0]).collect();
    assert_eq!(messages, ["execution_start", "execution_cached", "execution_success"]);
    for (query, expected) in [
        (format!("filename={id}_00001_.png&subfolder=reel&type=output"), 200),
        (format!("filename={id}_00002_.png&subfolder=reel&type=output"), 404),
        (format!("filename={id}_00001_.png&subfolder=reel&type=nothing"), 400),
        (format!("filename=..{id}&subfolder=reel&type=output"), 400),
        (format!("filename={id}_00001_.png&subfolder=..&type=output"), 403),
    ] {
        assert_eq!(
            http::exchange(&server.url, "GET", &format!("/view?{query}"), None).0,
            expected,
            "{query}"
        );
    }
    assert_eq!(server.get("/object_info/Nonsense"), json!({}));
}
