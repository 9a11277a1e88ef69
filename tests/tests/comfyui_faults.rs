//! What a server of ComfyUI refuses, how its jobs fail, and what `reel providers` says about it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{Connection, FakeComfyui, Sandbox, eventually};
use serde_json::{Value, json};

/// A workflow that the server runs, before a test changes it.
const WORKFLOW: &str = r#"{
  "1": { "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": "dream.safetensors" }, "_meta": { "title": "Load it" } },
  "2": { "class_type": "CLIPTextEncode", "inputs": { "text": "", "clip": ["1", 1] }, "_meta": { "title": "reel:prompt" } },
  "3": { "class_type": "KSampler", "inputs": { "seed": 5, "steps": 8, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
         "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["5", 0] }, "_meta": { "title": "Draw" } },
  "4": { "class_type": "SaveImage", "inputs": { "filename_prefix": "mine", "images": ["6", 0] } },
  "5": { "class_type": "EmptyLatentImage", "inputs": { "width": 64, "height": 64, "batch_size": 1 } },
  "6": { "class_type": "VAEDecode", "inputs": { "samples": ["3", 0], "vae": ["1", 2] }, "_meta": { "title": "Decode" } }
}"#;

/// Returns the workflow with a node that saves a video in place of the one that saves a picture.
fn with_video() -> String {
    let video =
        r#""SaveWEBM", "inputs": { "codec": "vp9", "fps": 8.0, "crf": 32.0, "filename_prefix": "mine","#;
    let picture = r#""SaveImage", "inputs": { "filename_prefix": "mine","#;
    assert!(WORKFLOW.contains(picture));
    WORKFLOW.replace(picture, video)
}

#[track_caller]
fn comfy(server: &FakeComfyui, workflow: Option<&str>, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let mut config =
        format!("[providers.comfy]\nkind = \"comfyui\"\nbase_url = \"{}\"\n{more}\n", server.base_url());
    if let Some(workflow) = workflow {
        fs::write(sandbox.root().join("mine.json"), workflow).unwrap();
        config.push_str("workflow = \"mine.json\"\n");
    }
    sandbox.configure(&config);
    sandbox.start();
    sandbox
}

fn picture(connection: &mut Connection, prompt: &str) -> Value {
    draw(connection, json!({ "prompt": prompt, "width": 64, "height": 64 }))
}

fn draw(connection: &mut Connection, params: Value) -> Value {
    let id = connection.submit("image.generate", params);
    connection.wait(id)
}

#[track_caller]
fn assert_failed(task: &Value, code: &str, words: &str) {
    let message = task["error"]["message"].as_str().unwrap_or_default();
    assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!(code)), "{task}");
    assert!(message.contains(words), "{words}\n{message}");
}

#[test]
fn each_refusal_of_a_workflow_names_the_node_and_the_input() {
    let server = FakeComfyui::start();
    for (from, to, words) in [
        (
            "dream.safetensors",
            "gone.safetensors",
            "node 1 (Load it): ckpt_name is \"gone.safetensors\", and the server has dream.safetensors, sketch.safetensors",
        ),
        ("\"steps\": 8", "\"steps\": 20000", "node 3 (Draw): steps is 20000, and the most is 10000"),
        (", \"clip\": [\"1\", 1]", "", "node 2 (reel:prompt): the input clip is missing"),
        ("\"KSampler\"", "\"FluxSamplerDeluxe\"", "node 3 (Draw), of the type FluxSamplerDeluxe"),
        ("\"SaveImage\"", "\"VAEEncode\"", "Prompt has no outputs"),
        (
            "VAEDecode\", \"inputs\": {",
            "LoadImage\", \"inputs\": { \"image\": \"x.png\",",
            "Invalid image file: x.png",
        ),
        (
            "\"steps\": 8",
            "\"steps\": \"many\"",
            "node 3 (Draw): Failed to convert an input value to a INT value",
        ),
        (
            "\"vae\": [\"1\", 2]",
            "\"vae\": [\"1\", 1]",
            "node 6 (Decode): Return type mismatch between linked nodes",
        ),
        (
            "\"vae\": [\"1\", 2]",
            "\"vae\": [\"77\", 0]",
            "node 6 (Decode): vae is linked to node 77, which the workflow does not have",
        ),
        ("\"images\": [\"6\", 0]", "\"images\": [\"6\", 0, 1]", "node 4 (SaveImage): Bad linked input"),
        (
            "\"EmptyLatentImage\"",
            "\"RepeatLatentBatch\"",
            "node 5 (RepeatLatentBatch): the input amount is missing",
        ),
    ] {
        assert!(WORKFLOW.contains(from), "{from}");
        let sandbox = comfy(&server, Some(&WORKFLOW.replace(from, to)), "");
        let task = picture(&mut sandbox.connect(), "a cat");
        assert_failed(&task, "provider_refused", words);
        assert_eq!(task["error"]["provider_status"], 400, "{task}");
    }
    assert_eq!(server.posts().len(), 0);
}

#[test]
fn what_the_workflow_has_no_place_for_is_refused_before_anything_is_sent() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, Some(WORKFLOW), "");
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "a cat", "steps": 9 });
    let error = connection.err("task.submit", json!({ "kind": "image.generate", "params": params }));
    assert!(error.message.contains("steps"), "{error:?}");
    let params = json!({ "prompt": "a cat", "model": "sketch.safetensors" });
    let error = connection.err("task.submit", json!({ "kind": "image.generate", "params": params }));
    let is_invalid = error.data.code == "invalid_params";
    assert!(is_invalid && error.message.contains("comfy has no place for a model"), "{error:?}");
    assert_eq!(server.posts().len(), 0);
}

#[test]
fn a_video_workflow_without_a_place_for_a_param_refuses_it_when_the_task_is_submitted() {
    let server = FakeComfyui::start();
    let no_place = with_video();
    let frames = no_place.replace("\"title\": \"Draw\"", "\"title\": \"reel:frames=steps\"");
    for (workflow, params, words, remedy) in [
        (&no_place, json!({ "duration_s": 4 }), "comfy makes nothing of duration_s", "reel:frames"),
        (&no_place, json!({ "width": 320, "height": 240 }), "comfy makes nothing of width", "reel:PARAM"),
        (&frames, json!({ "duration_s": 4 }), "comfy makes nothing of duration_s", "reel:PARAM"),
        (&no_place, json!({ "model": "a.safetensors" }), "comfy makes nothing of model", "reel:PARAM"),
    ] {
        let sandbox = comfy(&server, Some(workflow), "video_workflow = \"mine.json\"");
        let mut connection = sandbox.connect();
        let mut params = params;
        params["prompt"] = json!("waves");
        let error = connection.err("task.submit", json!({ "kind": "video.generate", "params": params }));
        assert!(error.data.code == "invalid_params" && error.message.contains(words), "{error:?}");
        assert!(error.data.hint.as_deref().unwrap_or_default().contains(remedy), "{error:?}");
    }
    assert_eq!(server.posts().len(), 0);
}

#[test]
fn a_job_that_fails_says_where_and_why() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, Some(WORKFLOW), "");
    let mut connection = sandbox.connect();
    server.fail("broken", "RuntimeError", "mat1 and mat2 shapes cannot be multiplied");
    assert_failed(
        &picture(&mut connection, "broken"),
        "provider_failed",
        "node 3 (Draw): RuntimeError: mat1 and mat2 shapes",
    );
    server.fail("large", "torch.OutOfMemoryError", "Allocation on device");
    assert_failed(
        &picture(&mut connection, "large"),
        "provider_failed",
        "ran out of memory at node 3 (Draw)",
    );
    // Somebody presses the button that stops the running job.
    server.hold();
    let id = connection.submit("image.generate", json!({ "prompt": "stopped", "width": 64, "height": 64 }));
    server.wait_until_held();
    server.interrupt_elsewhere();
    assert_failed(&connection.wait(id), "provider_failed", "has interrupted it");
    server.release();
    // Nothing of the failed jobs is left: a retry is a new job.
    connection.ok("task.retry", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "succeeded");
}

#[test]
fn a_task_that_was_cancelled_while_it_ran_is_made_by_its_first_retry() {
    let server = FakeComfyui::start();
    server.hold();
    let sandbox = comfy(&server, Some(WORKFLOW), "");
    let mut connection = sandbox.connect();
    let id = connection.submit("image.generate", json!({ "prompt": "a cat", "width": 64, "height": 64 }));
    server.wait_until_held();
    connection.ok("task.cancel", json!({ "id": id }));
    eventually("the server has stopped the job", || server.queue().is_empty().then_some(()));
    server.release();
    connection.ok("task.retry", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(server.posts().len(), 2);
}

#[test]
fn a_result_that_the_server_has_only_in_its_cache_is_made_once_more() {
    let server = FakeComfyui::start();
    // This node saves under the same name each time, so the server takes the second result from its cache.
    let workflow =
        WORKFLOW.replace("\"SaveImage\"", "\"PreviewImage\"").replace("\"filename_prefix\": \"mine\", ", "");
    let sandbox = comfy(&server, Some(&workflow), "");
    let mut connection = sandbox.connect();
    assert_eq!(picture(&mut connection, "a cat")["state"], "succeeded");
    server.delete_outputs();
    let fresh = json!({ "kind": "image.generate", "params": { "prompt": "a cat", "width": 64, "height": 64 }, "cache": "fresh" });
    let id = connection.submit_as(fresh);
    assert_failed(&connection.wait(id), "provider_failed", "does not have its file");
    assert_eq!(server.posts().len(), 3, "the second job was submitted once more");
    // With a prefix for each job, the same happens to nobody.
    let sandbox = comfy(&server, Some(WORKFLOW), "");
    let mut connection = sandbox.connect();
    assert_eq!(picture(&mut connection, "a cat")["state"], "succeeded");
    server.delete_outputs();
    let id = connection.submit_as(json!({ "kind": "image.generate", "params": { "prompt": "a cat", "width": 64, "height": 64 }, "cache": "fresh" }));
    assert_eq!(connection.wait(id)["state"], "succeeded");
}

#[test]
fn what_the_server_leaves_out_of_a_workflow_is_noted() {
    let server = FakeComfyui::start();
    let broken = r#""7": { "class_type": "SaveImage", "inputs": { "filename_prefix": "b" }, "_meta": { "title": "Broken" } },"#;
    let workflow = WORKFLOW.replacen('{', &format!("{{ {broken}"), 1);
    let sandbox = comfy(&server, Some(&workflow), "");
    let task = picture(&mut sandbox.connect(), "a cat");
    assert_eq!(task["state"], "succeeded", "{task}");
    let note = task["notes"][0]["message"].as_str().unwrap_or_default();
    assert!(note.contains("node 7 (Broken): the input images is missing"), "{task}");
}

#[test]
fn a_workflow_that_saves_no_picture_says_so() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, Some(&with_video()), "");
    assert_failed(
        &picture(&mut sandbox.connect(), "a cat"),
        "provider_failed",
        "saved no picture (it saved: ",
    );
}

#[test]
fn the_check_names_nodes_and_models_that_the_server_lacks() {
    let server = FakeComfyui::start();
    let check = |sandbox: &Sandbox| {
        let ran = sandbox.reel(&["providers", "check", "comfy"]);
        (ran.code, format!("{}{}", ran.stdout, ran.stderr))
    };
    let (code, said) = check(&comfy(&server, None, ""));
    assert!(code == Some(0) && said.contains("runs ComfyUI 0.3.64 with 2 checkpoints"), "{said}");
    let broken = WORKFLOW.replace("dream.", "gone.").replace("KSampler", "FluxSamplerDeluxe");
    let (code, said) = check(&comfy(&server, Some(&broken), ""));
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("node 1 (Load it): ckpt_name is \"gone.safetensors\""), "{said}");
    assert!(said.contains("node 3 (Draw) is of the type FluxSamplerDeluxe"), "{said}");
    let (_, said) = check(&comfy(&server, None, "model = \"gone.safetensors\""));
    assert!(said.contains("no checkpoint \"gone.safetensors\"; the server has dream.safetensors"), "{said}");
    let broken = WORKFLOW.replace("\"samples\": [\"3\", 0]", "\"samples\": [\"33\", 0]");
    let (code, said) = check(&comfy(&server, Some(&broken), ""));
    let words = "node 6 (Decode): samples is linked to node 33, which the workflow does not have";
    assert!(code != Some(0) && said.contains(words), "{said}");
    let listed = comfy(&server, None, "").reel(&["providers", "models", "comfy"]);
    assert!(
        listed.stdout.contains("dream.safetensors") && listed.stdout.contains("sketch.safetensors"),
        "{}",
        listed.stdout
    );
    server.set_checkpoints(&[]);
    let sandbox = comfy(&server, None, "");
    let (_, said) = check(&sandbox);
    assert!(said.contains("it has no checkpoint for the default workflow"), "{said}");
    assert_failed(&picture(&mut sandbox.connect(), "a cat"), "provider_refused", "comfy has no checkpoint");
    server.kill();
    let (code, said) = check(&sandbox);
    assert!(code != Some(0) && said.contains("cannot be reached"), "{said}");
    assert!(said.contains(&format!("is ComfyUI running at {}", server.base_url())), "{said}");
    // Somebody adds the server by its name, in place of the section that was written by hand.
    let ran = sandbox.reel(&["providers", "add", "--preset", "comfyui", "--base-url", &server.base_url()]);
    assert!(ran.stdout.contains("added [providers.comfyui]"), "{ran:?}");
}

#[test]
fn a_server_that_is_down_is_waited_for_also_without_a_configured_model() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, None, "");
    server.kill();
    let mut connection = sandbox.connect();
    let spec = json!({ "kind": "image.generate", "params": { "prompt": "a boat", "width": 32, "height": 32 }, "max_attempts": 1 });
    let id = connection.submit_as(spec);
    eventually("the task says that the server cannot be reached", || {
        let task = connection.task(id);
        let message = task["error"]["message"].as_str().unwrap_or_default().to_owned();
        (task["state"] == "queued" && message.contains("cannot be reached")).then_some(())
    });
    server.start_again();
    let done = connection.wait(id);
    assert_eq!(done["state"], "succeeded", "{done}");
}
