//! Tests that pass at every server of ComfyUI. They use the real server that `REEL_TEST_COMFYUI_URL` names, or else the imitation. Run them against
//! both, so that the imitation keeps answering as the real server does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use reel_tests::{
    Connection,
    any_comfyui::{AnyComfyui, SLOW_NODES, blank, colour, slow},
    eventually, mask,
};
use serde_json::{Value, json};

fn params(colour: u64) -> Value {
    json!({ "prompt": "nothing", "width": 768, "height": 768, "extra": { "colour": colour } })
}

fn submit(connection: &mut Connection, colour: u64) -> u64 {
    connection.submit("image.generate", params(colour))
}

#[track_caller]
fn assert_made(task: &Value, media_type: &str) {
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(task["outputs"][0]["media_type"], media_type, "{task}");
    assert!(fs::metadata(task["outputs"][0]["path"].as_str().unwrap()).unwrap().len() > 0);
}

#[test]
fn pictures_without_a_model_are_made_and_wrong_values_are_named() {
    let server = AnyComfyui::start();
    let sandbox = server.sandbox(&blank(), "workflow = \"mine.json\"");
    let check = sandbox.reel(&["providers", "check", "comfy"]);
    assert!(check.expect_code(0).stdout.contains("runs ComfyUI"), "{}", check.stdout);
    let mut connection = sandbox.connect();
    let task = connection.generate(
        json!({ "prompt": "nothing", "width": 96, "height": 64, "n": 2, "extra": { "colour": colour() } }),
    );
    assert_made(&task, "image/png");
    let outputs = task["outputs"].as_array().unwrap();
    assert_eq!((outputs.len(), &outputs[1]["width"]), (2, &json!(96)), "{task}");
    for (extra, words) in [
        (
            json!({ "colour": -7 }),
            "node 1 (reel:width,height,n,colour=color): color is -7, and the least is 0",
        ),
        (json!({ "tone": 7 }), "no place for \"tone\""),
    ] {
        let params = json!({ "prompt": "nothing", "width": 96, "height": 64, "extra": extra });
        let id = connection.submit("image.generate", params);
        let task = connection.wait(id);
        assert_eq!(task["error"]["code"], "provider_refused", "{task}");
        assert!(task["error"]["message"].as_str().unwrap().contains(words), "{task}");
    }
}

#[test]
fn a_part_of_a_workflow_that_is_valid_runs_and_the_other_part_is_noted() {
    let server = AnyComfyui::start();
    let mut graph = blank();
    graph["7"] = json!({ "class_type": "SaveImage", "inputs": { "filename_prefix": "b" }, "_meta": { "title": "Broken" } });
    let sandbox = server.sandbox(&graph, "workflow = \"mine.json\"");
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, colour());
    let task = connection.wait(id);
    assert_made(&task, "image/png");
    let note = task["notes"][0]["message"].as_str().unwrap_or_default();
    assert!(note.contains("node 7 (Broken): the input images is missing"), "{task}");
}

#[test]
fn the_progress_of_a_workflow_without_a_sampler_counts_its_nodes() {
    let server = AnyComfyui::start();
    let sandbox = server.sandbox(&slow(), "workflow = \"mine.json\"");
    let mut connection = sandbox.connect();
    let mut events = sandbox.connect();
    events.ok("events.subscribe", json!({ "topics": ["task"] }));
    server.hold();
    let colour = colour();
    let id = submit(&mut connection, colour);
    server.wait_until_running(colour);
    // Every node of the workflow counts: the empty picture, the blurs, the node that saves, and the node of the prompt, although it does not run.
    let nodes = (SLOW_NODES + 3) as f64;
    let progress = eventually("a part is told", || {
        let progress = connection.task(id)["progress"].clone();
        (progress["fraction"].as_f64()? > 0.2).then_some(progress)
    });
    assert!(progress["message"].as_str().unwrap().contains("% (Blur "), "{progress}");
    server.release();
    assert_made(&connection.wait(id), "image/png");
    let mut last = 0.0;
    loop {
        let event = events.next_event();
        let task = &event["task"];
        let fraction = task["progress"]["fraction"].as_f64().unwrap();
        let count = fraction * nodes;
        let is_whole =
            (count - count.round()).abs() < 1e-6 || task["state"] == "succeeded" || fraction >= 1.0;
        assert!(fraction >= last && is_whole, "{event}");
        last = fraction;
        if task["state"] == "succeeded" {
            break;
        }
    }
}

#[test]
fn cancelled_jobs_are_stopped_and_that_of_another_program_is_not() {
    let server = AnyComfyui::start();
    let sandbox = server.sandbox(&slow(), "workflow = \"mine.json\"\nmax_concurrent = 2");
    let mut connection = sandbox.connect();
    let first = colour();
    let [ours, theirs, waiting] = [0, 1, 2].map(|more| (first + more) % 0xff_ffff);
    server.hold();
    let running = submit(&mut connection, ours);
    let job = server.wait_until_running(ours);
    let mut graph = slow();
    graph["1"]["inputs"]["color"] = json!(theirs);
    let other = format!("other-{first}");
    let body = json!({ "prompt": graph, "prompt_id": other, "client_id": "another" });
    assert_eq!(server.post("/prompt", &body).0, 200);
    let last = submit(&mut connection, waiting);
    eventually("the last one waits", || server.jobs_of(waiting)[1].first().cloned());
    for id in [last, running] {
        connection.ok("task.cancel", json!({ "id": id }));
        assert_eq!(connection.wait(id)["state"], "cancelled");
    }
    eventually("only theirs is left", || {
        let (ours, waiting) = (server.jobs_of(ours), server.jobs_of(waiting));
        (ours[0].is_empty() && waiting[..2].iter().all(Vec::is_empty)).then_some(())
    });
    server.release();
    let ended = |id: &str| {
        let path = format!("/history/{id}");
        eventually("the job is over", || server.get(&path).get(id).cloned())["status"].clone()
    };
    assert_eq!(ended(&other)["status_str"], "success");
    let status = ended(&job);
    assert_eq!((&status["status_str"], &status["completed"]), (&json!("error"), &json!(false)));
    let last = &status["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last[0], "execution_interrupted");
    assert_eq!(server.jobs_of(waiting), [const { Vec::<String>::new() }; 3], "it never ran");
}

#[test]
fn a_job_that_somebody_interrupts_fails_and_its_retry_is_made() {
    let server = AnyComfyui::start();
    let sandbox = server.sandbox(&slow(), "workflow = \"mine.json\"");
    let mut connection = sandbox.connect();
    let colour = colour();
    server.hold();
    let id = submit(&mut connection, colour);
    server.wait_until_running(colour);
    assert_eq!(server.post("/interrupt", &json!({})).0, 200);
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!("provider_failed")));
    assert!(task["error"]["message"].as_str().unwrap().contains("has interrupted it"), "{task}");
    server.release();
    connection.ok("task.retry", json!({ "id": id }));
    assert_made(&connection.wait(id), "image/png");
}

#[test]
fn a_killed_daemon_finds_its_job_and_submits_nothing_again() {
    let server = AnyComfyui::start();
    let sandbox = server.sandbox(&slow(), "workflow = \"mine.json\"");
    let colour = colour();
    server.hold();
    let id = submit(&mut sandbox.connect(), colour);
    let job = server.wait_until_running(colour);
    sandbox.kill();
    server.release();
    sandbox.start();
    assert_made(&sandbox.connect().wait(id), "image/png");
    assert_eq!(server.jobs_of(colour), [vec![], vec![], vec![job]]);
}

#[test]
fn a_video_is_made_by_a_workflow() {
    let server = AnyComfyui::start();
    let mut graph = blank();
    graph["1"]["_meta"]["title"] = json!("reel:width,height,frames=batch_size,colour=color");
    graph["4"] = json!({ "class_type": "PrimitiveFloat", "inputs": { "value": 8.0 }, "_meta": { "title": "reel:fps" } });
    graph["5"] = json!({ "class_type": "CreateVideo", "inputs": { "images": ["1", 0], "fps": ["4", 0] } });
    graph["2"] = json!({ "class_type": "SaveVideo", "inputs": { "video": ["5", 0], "filename_prefix": "video/ComfyUI", "format": "auto", "codec": "auto" } });
    let sandbox = server.sandbox(&graph, "video_workflow = \"mine.json\"\nservices = [\"video\"]");
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "waves", "duration_s": 2, "width": 64, "height": 64, "extra": { "colour": colour() } });
    let id = connection.submit("video.generate", params);
    let task = connection.wait(id);
    assert_made(&task, "video/mp4");
    if server.fake.is_none() {
        let seconds = task["outputs"][0]["duration_s"].as_f64().unwrap();
        assert!((2.0..2.3).contains(&seconds), "17 frames at 8 a second: {task}");
    }
}

/// Needs a checkpoint that holds a whole model. A server without one is not asked.
#[test]
fn a_checkpoint_makes_pictures_from_texts_and_from_pictures_with_a_mask() {
    let server = AnyComfyui::start();
    let loader = server.get("/object_info/CheckpointLoaderSimple");
    let checkpoints = &loader["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0];
    if checkpoints.as_array().is_none_or(Vec::is_empty) {
        return;
    }
    let sandbox = server.sandbox(&blank(), "");
    let mut connection = sandbox.connect();
    let mut events = sandbox.connect();
    events.ok("events.subscribe", json!({ "topics": ["task"], "partial": true }));
    let params = json!({ "prompt": "a lighthouse", "width": 64, "height": 64, "steps": 4, "seed": colour() });
    let task = connection.generate(params);
    assert_made(&task, "image/png");
    loop {
        let event = events.next_event();
        if let Some(preview) = event["partial"]["preview_path"].as_str() {
            assert_eq!(Path::new(preview).extension().unwrap(), "jpg", "{event}");
            continue;
        }
        let fraction = event["task"]["progress"]["fraction"].as_f64().unwrap();
        assert!([0.0, 0.25, 0.5, 0.75, 1.0].contains(&fraction), "a step is a quarter: {event}");
        if event["task"]["state"] == "succeeded" {
            break;
        }
    }
    for mask in [mask::transparent_left(), mask::white_left()] {
        let path = sandbox.work().join("mask.png");
        fs::write(&path, mask).unwrap();
        let mask = connection.ok("artifact.put", json!({ "path": path }))["digest"].clone();
        let inputs = [&task["outputs"][0]["digest"]];
        let params = json!({ "prompt": "at night", "width": 64, "height": 64, "steps": 1, "seed": colour(), "input_images": inputs, "mask": mask });
        assert_made(&connection.generate(params), "image/png");
    }
}

/// The node that reads masks takes the transparency. A mask without one reaches it with transparency where it is white.
#[test]
fn a_mask_without_transparency_means_its_white_parts() {
    let server = AnyComfyui::start();
    let mut graph = blank();
    graph["1"] = json!({ "class_type": "LoadImage", "inputs": { "image": "example.png" }, "_meta": { "title": "reel:image" } });
    graph["4"] = json!({ "class_type": "LoadImageMask", "inputs": { "image": "example.png", "channel": "alpha" }, "_meta": { "title": "reel:mask" } });
    graph["5"] = json!({ "class_type": "MaskToImage", "inputs": { "mask": ["4", 0] } });
    graph["2"]["inputs"]["images"] = json!(["5", 0]);
    let sandbox = server.sandbox(&graph, "workflow = \"mine.json\"");
    let mut connection = sandbox.connect();
    let mut put = |bytes: Vec<u8>| {
        let path = sandbox.work().join("mask.png");
        fs::write(&path, bytes).unwrap();
        connection.ok("artifact.put", json!({ "path": path }))["digest"].clone()
    };
    let (picture, masks) =
        (put(mask::white_left()), [put(mask::transparent_left()), put(mask::white_left())]);
    for mask in masks {
        let params =
            json!({ "prompt": "x", "width": 64, "height": 64, "input_images": [picture], "mask": mask });
        let id =
            connection.submit_as(json!({ "kind": "image.generate", "params": params, "cache": "fresh" }));
        let task = connection.wait(id);
        assert_made(&task, "image/png");
        let Some(fake) = &server.fake else {
            let bytes = fs::read(task["outputs"][0]["path"].as_str().unwrap()).unwrap();
            assert_eq!(mask::first_row(&bytes), (vec![255; 3], vec![0; 3]));
            continue;
        };
        // The imitation computes no pixels, so the mask that it received is checked.
        let graph = fake.posts().last().unwrap().graph.clone();
        let sent = fake.input(graph["4"]["inputs"]["image"].as_str().unwrap()).unwrap();
        assert_eq!(mask::first_row(&sent), (vec![0, 0], vec![0, 255]));
    }
}
