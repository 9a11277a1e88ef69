//! Pictures: the requested size, all modes of the cache, equal requests in flight, bad params, and damaged files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write their params in place: `json!({ .. })`")]

use std::{fs, io::Cursor, path::Path};

use reel_protocol::{ErrorCode, limits::PROMPT_BYTES};
use reel_tests::{Connection, Sandbox};
use serde_json::{Value, json};

/// Returns the params of a small picture, because the drawing itself is not tested.
fn small(prompt: &str) -> Value {
    json!({ "prompt": prompt, "width": 64, "height": 64 })
}

/// Returns `params` with more fields.
fn with(mut params: Value, more: Value) -> Value {
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

/// Decodes the whole picture and returns its width and height.
#[track_caller]
fn decoded_size(bytes: &[u8]) -> (u32, u32) {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).expect("whole to its last row");
    assert!(pixels.iter().any(|byte| *byte != pixels[0]), "something is drawn");
    (info.width, info.height)
}

fn path_of(task: &Value) -> &str {
    task["outputs"][0]["path"].as_str().expect("an output has a path")
}

fn digest_of(task: &Value) -> &str {
    task["outputs"][0]["digest"].as_str().expect("an output has a digest")
}

/// Calls `image.generate` with this cache mode. The task must succeed.
#[track_caller]
fn call(connection: &mut Connection, params: Value, cache: &str) -> Value {
    let call = json!({ "service": "image", "method": "generate", "params": params, "cache": cache });
    let task = connection.ok("service.call", call);
    assert_eq!(task["state"], "succeeded", "{task}");
    task
}

#[test]
fn a_picture_has_the_requested_size_and_the_fields_of_the_specification() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    for (width, height) in [(64, 64), (640, 360), (99, 257)] {
        let task = connection.generate(json!({ "prompt": "a lighthouse", "width": width, "height": height }));
        let output = &task["outputs"][0];
        let bytes = fs::read(path_of(&task)).unwrap();
        assert_eq!(decoded_size(&bytes), (width, height));
        assert_eq!((&output["width"], &output["height"]), (&json!(width), &json!(height)));
        assert_eq!(output["media_type"], "image/png");
        assert_eq!(output["size_bytes"], bytes.len());
        assert!(path_of(&task).ends_with(&format!("{}.png", digest_of(&task))), "{output}");
        assert_eq!((&task["source"], &task["provider"]), (&json!("made"), &json!("draft")));
        let read = json!({ "digest": digest_of(&task), "offset": 0, "length": 8 });
        assert_eq!(connection.ok("artifact.read", read)["data"], "iVBORw0KGgo=");
        let found = connection.ok("artifact.path", json!({ "digest": digest_of(&task) }));
        assert_eq!(found["path"], path_of(&task));
    }
}

#[test]
fn the_largest_default_works_and_is_deterministic() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let first = connection.generate(json!({ "prompt": "灯台、夕暮れ — маяк, منارة" }));
    assert_eq!(decoded_size(&fs::read(path_of(&first)).unwrap()), (1024, 1024));
    let again = call(&mut connection, json!({ "prompt": "灯台、夕暮れ — маяк, منارة" }), "off");
    assert_eq!(digest_of(&again), digest_of(&first));
}

#[test]
fn several_pictures_of_one_task_are_different() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let task = connection.generate(with(small("three birds"), json!({ "n": 3 })));
    let outputs = task["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 3);
    for output in outputs {
        decoded_size(&fs::read(output["path"].as_str().unwrap()).unwrap());
        let equal = outputs.iter().filter(|other| other["digest"] == output["digest"]).count();
        assert_eq!(equal, 1, "{task}");
    }
    let again = connection.generate(with(small("three birds"), json!({ "n": 3 })));
    assert_eq!((&again["source"], &again["outputs"]), (&json!("cache"), &task["outputs"]));
}

#[test]
fn an_equal_request_is_answered_from_the_cache_also_after_a_restart() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let first = connection.generate(small("a boat"));
    let second = connection.generate(small("a boat"));
    assert_eq!((&first["source"], &second["source"]), (&json!("made"), &json!("cache")));
    assert_eq!(first["outputs"], second["outputs"]);
    assert_ne!(first["id"], second["id"]);
    let submitted =
        connection.ok("task.submit", json!({ "kind": "image.generate", "params": small("a boat") }));
    assert_eq!(submitted["state"], "succeeded", "a hit needs no wait");
    // A request that states the defaults is the same request.
    let spelled = with(small("a boat"), json!({ "n": 1, "sample": 0, "input_images": [] }));
    assert_eq!(connection.generate(spelled)["source"], "cache");
    sandbox.kill();
    sandbox.start();
    let task = sandbox.connect().generate(small("a boat"));
    assert_eq!((&task["source"], &task["outputs"]), (&json!("cache"), &first["outputs"]));
}

#[test]
fn every_param_changes_the_cache_key() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.generate(small("a tree"));
    let styles = connection.ok("service.status", json!({}))["services"]["image"]["styles"].clone();
    for more in [
        json!({ "negative_prompt": "leaves" }),
        json!({ "width": 65 }),
        json!({ "height": 65 }),
        json!({ "n": 2 }),
        json!({ "seed": 1 }),
        json!({ "sample": 1 }),
        json!({ "steps": 5 }),
        json!({ "guidance": 2.5 }),
        json!({ "style": styles[0]["name"] }),
        json!({ "prompt": "a tree " }),
    ] {
        let shown = more.to_string();
        let task = connection.generate(with(small("a tree"), more));
        // White space around a prompt may or may not matter. Everything else must.
        if shown != r#"{"prompt":"a tree "}"# {
            assert_eq!(task["source"], "made", "{shown}");
        }
    }
    let other = connection.generate(with(small("a tree"), json!({ "sample": 2 })));
    assert_ne!(digest_of(&other), digest_of(&connection.generate(small("a tree"))));
}

#[test]
fn fresh_makes_again_and_off_does_not_change_the_cache() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    assert_eq!(call(&mut connection, small("a hill"), "off")["source"], "made");
    assert_eq!(connection.generate(small("a hill"))["source"], "made", "off kept nothing");
    assert_eq!(connection.generate(small("a hill"))["source"], "cache");
    assert_eq!(call(&mut connection, small("a hill"), "fresh")["source"], "made");
    assert_eq!(call(&mut connection, small("a hill"), "off")["source"], "made");
    assert_eq!(connection.generate(small("a hill"))["source"], "cache");
}

#[test]
fn sixty_four_equal_requests_draw_one_picture() {
    let sandbox = Sandbox::started();
    let mut connections: Vec<_> = (0..64).map(|_| sandbox.connect()).collect();
    let params = json!({ "prompt": "one for all", "width": 512, "height": 512 });
    let request = json!({ "service": "image", "method": "generate", "params": params });
    for (index, connection) in connections.iter_mut().enumerate() {
        connection.hello(&format!("client {index}"));
        connection.request("service.call", request.clone());
    }
    let tasks: Vec<Value> = connections.iter_mut().map(|connection| connection.answer(2).unwrap()).collect();
    let count = |source: &str| tasks.iter().filter(|task| task["source"] == source).count();
    assert_eq!(count("made"), 1);
    assert_eq!(count("shared") + count("cache"), 63);
    assert!(tasks.iter().all(|task| task["outputs"] == tasks[0]["outputs"]));
    let attempts: u64 = tasks.iter().map(|task| task["attempts"].as_u64().unwrap()).sum();
    assert_eq!(attempts, 1, "followers hold no slot and make no attempt");
}

#[test]
fn a_leader_that_is_cancelled_leaves_its_followers_their_picture() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "a relay", "width": 1024, "height": 1024 });
    let ids: Vec<u64> = (0..8).map(|_| connection.submit("image.generate", params.clone())).collect();
    let cancelled = connection.call("task.cancel", json!({ "id": ids[0] }));
    for id in &ids[1..] {
        assert_eq!(connection.wait(*id)["state"], "succeeded");
    }
    if cancelled.is_ok() {
        assert_eq!(connection.wait(ids[0])["state"], "cancelled");
    }
}

#[test]
fn bad_params_are_refused_with_a_next_step() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let table = [
        (json!({ "prompt": "" }), "prompt"),
        (json!({ "prompt": " \t\n " }), "prompt"),
        (json!({ "prompt": "x".repeat(PROMPT_BYTES + 1) }), "prompt"),
        (json!({ "prompt": 5 }), ""),
        (json!({ "width": 0 }), "width"),
        (json!({ "height": 0 }), "height"),
        (json!({ "width": 63 }), "width"),
        (json!({ "height": 100_000 }), "height"),
        (json!({ "width": -64 }), ""),
        (json!({ "width": 64.5 }), ""),
        (json!({ "n": 0 }), "n"),
        (json!({ "n": 17 }), "n"),
        (json!({ "seed": 9_007_199_254_740_992_u64 }), "seed"),
        (json!({ "seed": -1 }), ""),
        (json!({ "steps": 0 }), "steps"),
        (json!({ "guidance": 101 }), "guidance"),
        (json!({ "strength": 2 }), "strength"),
        (json!({ "extra": [1] }), "extra"),
        (json!({ "widht": 64 }), "widht"),
    ];
    for (more, names) in table {
        let shown = more.to_string().chars().take(60).collect::<String>();
        let submit = json!({ "kind": "image.generate", "params": with(small("x"), more) });
        let error = connection.err("task.submit", submit);
        assert_eq!(error.known(), Some(ErrorCode::InvalidParams), "{shown}: {error:?}");
        assert!(error.data.hint.is_some(), "{shown}: {error:?}");
        assert!(error.message.contains(names), "{shown} is not named: {error:?}");
    }
    assert_eq!(connection.ok("task.list", json!({}))["tasks"], json!([]));
}

#[test]
fn unknown_styles_and_providers_name_the_nearest() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let styles = connection.ok("service.status", json!({}))["services"]["image"]["styles"].clone();
    let style = styles[0]["name"].as_str().expect("there are styles").to_owned();
    let mistyped = format!("{style}x");
    let submit =
        json!({ "kind": "image.generate", "params": with(small("x"), json!({ "style": mistyped })) });
    let error = connection.err("task.submit", submit);
    assert_eq!(error.known(), Some(ErrorCode::UnknownStyle), "{error:?}");
    assert!(error.data.hint.unwrap().contains(&style));
    let submit = json!({ "kind": "image.generate", "params": small("x"), "provider": "darft" });
    let error = connection.err("task.submit", submit);
    assert_eq!(error.known(), Some(ErrorCode::UnknownProvider), "{error:?}");
    assert!(error.data.hint.unwrap().contains("draft"));
    let unknown = json!({ "input_images": ["00".repeat(32)] });
    let submit = json!({ "kind": "image.generate", "params": with(small("x"), unknown) });
    let error = connection.call("task.submit", submit);
    let code = error.as_ref().err().and_then(reel_protocol::RpcError::known);
    assert!(
        matches!(code, Some(ErrorCode::ArtifactNotFound | ErrorCode::InvalidParams | ErrorCode::NoProvider)),
        "{error:?}"
    );
}

#[test]
fn clearing_the_cache_keeps_what_tasks_of_the_history_name() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let kept = connection.generate(small("kept"));
    let removed = connection.generate(small("removed"));
    connection.ok("task.remove", json!({ "id": removed["id"] }));
    // What was used within the last minute is kept, so that it can still be read. A restart ends that.
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    let cleared = connection.ok("cache.clear", json!({}));
    assert_eq!(cleared["pinned"], 1, "{cleared}");
    assert!(Path::new(path_of(&kept)).exists());
    assert!(!Path::new(path_of(&removed)).exists());
    assert_eq!(connection.generate(small("removed"))["source"], "made");
}

#[test]
fn reel_generate_writes_what_the_daemon_made() {
    let sandbox = Sandbox::new();
    let arguments = ["generate", "a lighthouse at dusk", "-o", "lighthouse.png", "-s", "320x200", "--json"];
    let ran = sandbox.reel(&arguments);
    ran.expect_code(0).json();
    let bytes = fs::read(sandbox.work().join("lighthouse.png")).unwrap();
    assert_eq!(decoded_size(&bytes), (320, 200));
    let params = json!({ "prompt": "a lighthouse at dusk", "width": 320, "height": 200 });
    let task = sandbox.connect().generate(params);
    assert_eq!(task["source"], "cache");
    assert_eq!(fs::read(path_of(&task)).unwrap(), bytes);
}

#[test]
fn a_task_that_the_cache_answered_can_be_read_at_once() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.generate(small("asked again and again"));
    for _ in 0..100 {
        let hit = connection.generate(small("asked again and again"));
        assert_eq!(hit["source"], "cache");
        let read = connection.task(hit["id"].as_u64().unwrap());
        assert_eq!((&read["state"], &read["outputs"]), (&hit["state"], &hit["outputs"]));
    }
}

#[test]
fn a_repeated_call_depends_on_the_cache_its_mode_and_the_configuration() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let made = call(&mut connection, small("a mill"), "use");
    let hits: Vec<_> = (0..3).map(|_| call(&mut connection, small("a mill"), "use")).collect();
    for (task, before) in hits.iter().zip([&made, &hits[0], &hits[1]]) {
        assert_eq!(task["source"], "cache");
        assert!(task["id"].as_u64() > before["id"].as_u64(), "each is a task of its own");
        let shown = |task: &Value| [&task["params"], &task["outputs"], &task["provider"]].map(Clone::clone);
        assert_eq!(shown(task), shown(&made));
    }
    let stats = connection.ok("cache.stats", json!({}));
    assert_eq!((&stats["hits"], &stats["misses"]), (&json!(3), &json!(1)));
    assert_eq!(call(&mut connection, small("a mill"), "off")["source"], "made");
    connection.ok("cache.clear", json!({}));
    assert_eq!(call(&mut connection, small("a mill"), "use")["source"], "made");
    assert_eq!(call(&mut connection, small("a mill"), "use")["source"], "cache");

    sandbox.configure("[providers.studio]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n");
    connection.ok("queue.pause", json!({}));
    connection.ok("daemon.reload", json!({}));
    let other = connection.call(
        "service.call",
        json!({ "service": "image", "method": "generate", "params": small("a mill"), "timeout_s": 0 }),
    );
    let other = other.unwrap();
    assert_eq!((&other["source"], &other["provider"]), (&json!(null), &json!("studio")), "{other}");
}
