//! Pictures and videos by workflows of ComfyUI. `real_comfyui` has what holds at a real server, too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{Connection, FakeComfyui, Sandbox, eventually, fake_provider::FILM, mask};
use serde_json::{Value, json};

/// A workflow of a user that saves a video. Its nodes are found by their titles.
const VIDEO: &str = r#"{
  "1": { "class_type": "CheckpointLoaderSimple", "inputs": { "ckpt_name": "dream.safetensors" } },
  "2": { "class_type": "CLIPTextEncode", "inputs": { "text": "old", "clip": ["1", 1] }, "_meta": { "title": "reel:prompt" } },
  "3": { "class_type": "KSampler", "inputs": { "seed": 5, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
         "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["4", 0] }, "_meta": { "title": "reel:seed,steps" } },
  "4": { "class_type": "EmptyLatentImage", "inputs": { "width": 320, "height": 240, "batch_size": 1 }, "_meta": { "title": "reel:frames=batch_size" } },
  "5": { "class_type": "PrimitiveFloat", "inputs": { "value": 8.0 }, "_meta": { "title": "reel:fps" } },
  "6": { "class_type": "SaveVideo", "inputs": { "filename_prefix": "video/ComfyUI", "format": "auto", "codec": "auto", "video": ["8", 0] } },
  "7": { "class_type": "VAEDecode", "inputs": { "samples": ["3", 0], "vae": ["1", 2] } },
  "8": { "class_type": "CreateVideo", "inputs": { "images": ["7", 0], "fps": ["5", 0] } }
}"#;

/// Starts a daemon whose provider `comfy` is this server, with the keys in `more` in its section. `files` are written beside the configuration.
#[track_caller]
fn comfy(server: &FakeComfyui, more: &str, files: &[(&str, &str)]) -> Sandbox {
    comfy_at(&server.base_url(), more, files)
}

#[track_caller]
fn comfy_at(base_url: &str, more: &str, files: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, text) in files {
        fs::write(sandbox.root().join(name), text).unwrap();
    }
    sandbox.configure(&format!("[providers.comfy]\nkind = \"comfyui\"\nbase_url = \"{base_url}\"\n{more}\n"));
    sandbox.start();
    sandbox
}

fn submit(connection: &mut Connection, prompt: &str) -> u64 {
    connection.submit("image.generate", json!({ "prompt": prompt, "width": 64, "height": 48 }))
}

/// Returns the nodes of the only job that the server was given.
#[track_caller]
fn only_graph(server: &FakeComfyui) -> Value {
    let posts = server.posts();
    let [post] = posts.as_slice() else { panic!("{posts:?}") };
    post.graph.clone()
}

#[track_caller]
fn assert_made(task: &Value, media_type: &str) {
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(task["outputs"][0]["media_type"], media_type, "{task}");
    assert!(fs::metadata(task["outputs"][0]["path"].as_str().unwrap()).unwrap().len() > 0);
}

#[test]
fn a_picture_is_made_by_the_default_workflow_with_the_first_checkpoint() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, "", &[]);
    let mut connection = sandbox.connect();
    let params = json!({
        "prompt": "a lighthouse", "negative_prompt": "fog", "width": 64, "height": 48, "n": 2, "seed": 7, "steps": 12, "guidance": 4.5,
    });
    let task = connection.generate(params.clone());
    assert_made(&task, "image/png");
    let output = &task["outputs"][1];
    assert_eq!((&output["width"], &output["height"]), (&json!(64), &json!(48)), "{task}");
    assert_eq!((task["outputs"].as_array().unwrap().len(), &task["notes"]), (2, &json!([])), "{task}");
    let graph = only_graph(&server);
    let input = |node: &str, name: &str| graph[node]["inputs"][name].clone();
    assert_eq!(
        (input("1", "ckpt_name"), input("2", "text")),
        (json!("dream.safetensors"), json!("a lighthouse"))
    );
    assert_eq!((input("3", "text"), input("5", "seed")), (json!("fog"), json!(7)));
    assert_eq!(
        (input("5", "steps"), input("5", "cfg"), input("4", "batch_size")),
        (json!(12), json!(4.5), json!(2))
    );
    let post = &server.posts()[0];
    assert_eq!(
        input("7", "filename_prefix"),
        format!("reel/{}", post.id),
        "each job saves under a name of its own"
    );
    let again = connection.generate(params);
    assert_eq!((&again["source"], server.posts().len()), (&json!("cache"), 1));
    // The other model makes another picture.
    let other = connection.generate(
        json!({ "prompt": "a lighthouse", "width": 64, "height": 48, "model": "sketch.safetensors" }),
    );
    assert_made(&other, "image/png");
    assert_eq!(server.posts()[1].graph["1"]["inputs"]["ckpt_name"], "sketch.safetensors");
}

#[test]
fn without_a_model_the_checkpoint_of_the_first_picture_is_used_whatever_the_server_gets_later() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, "", &[]);
    let used = |server: &FakeComfyui| {
        let posts = server.posts();
        posts.iter().map(|post| post.graph["1"]["inputs"]["ckpt_name"].clone()).collect::<Vec<_>>()
    };
    let make = |prompt: &str| {
        let mut connection = sandbox.connect();
        let id = submit(&mut connection, prompt);
        connection.wait(id)
    };
    assert_made(&make("a mill"), "image/png");
    // `art` is now the first, and the picture in the cache is one of `dream`.
    server.set_checkpoints(&["art.safetensors", "dream.safetensors"]);
    sandbox.kill();
    sandbox.start();
    assert_eq!(make("a mill")["source"], "cache");
    assert_made(&make("a barn"), "image/png");
    assert_eq!(used(&server), ["dream.safetensors", "dream.safetensors"]);
    let check = sandbox.reel(&["providers", "check", "comfy"]);
    assert!(check.expect_code(0).stdout.contains("so it uses dream.safetensors"), "{}", check.stdout);
    server.set_checkpoints(&["art.safetensors"]);
    let task = make("a bridge");
    assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!("provider_refused")));
    let (message, hint) = (task["error"]["message"].to_string(), task["error"]["hint"].to_string());
    assert!(
        message.contains("does not have dream.safetensors any more") && message.contains("art."),
        "{task}"
    );
    assert!(hint.contains("set providers.comfy.model"), "{task}");
    let check = sandbox.reel(&["providers", "check", "comfy"]);
    assert!(check.expect_code(1).stdout.contains("set providers.comfy.model"), "{check:?}");
    sandbox.configure(&format!(
        "[providers.comfy]\nkind = \"comfyui\"\nbase_url = \"{}\"\nmodel = \"art.safetensors\"\n",
        server.base_url()
    ));
    sandbox.reel(&["daemon", "reload"]).expect_code(0);
    // Another checkpoint makes another picture of the same request.
    assert_made(&make("a mill"), "image/png");
    assert_eq!(used(&server)[2..], ["art.safetensors"]);
}

#[test]
fn a_picture_is_made_from_a_picture_with_a_mask() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, "", &[]);
    let mut connection = sandbox.connect();
    let first = connection.generate(json!({ "prompt": "a harbour", "width": 64, "height": 48 }));
    let digest = &first["outputs"][0]["digest"];
    let params =
        json!({ "prompt": "at night", "width": 64, "height": 48, "input_images": [digest], "strength": 0.4 });
    assert_made(&connection.generate(params), "image/png");
    let graph = server.posts()[1].graph.clone();
    let (name, picture) = (
        graph["4"]["inputs"]["image"].as_str().unwrap(),
        fs::read(first["outputs"][0]["path"].as_str().unwrap()).unwrap(),
    );
    assert_eq!(server.input(name), Some(picture), "{name}");
    assert_eq!(graph["8"]["inputs"]["denoise"], 0.4);
    let square = connection.generate(json!({ "prompt": "a door", "width": 64, "height": 64 }));
    for (number, mask) in [mask::transparent_left(), mask::white_left()].iter().enumerate() {
        let path = sandbox.work().join("mask.png");
        fs::write(&path, mask).unwrap();
        let put = connection.ok("artifact.put", json!({ "path": path }));
        let inputs = [&square["outputs"][0]["digest"]];
        let params = json!({ "prompt": "a door", "width": 64, "height": 48, "input_images": inputs, "mask": put["digest"] });
        assert_made(&connection.generate(params), "image/png");
        let graph = server.posts()[3 + number].graph.clone();
        assert_eq!(graph["11"]["class_type"], "LoadImageMask");
        // The node reads only the transparency, so the white half of the other mask is transparent for the server.
        let sent = server.input(graph["11"]["inputs"]["image"].as_str().unwrap()).unwrap();
        assert_eq!(mask::first_row(&sent), (vec![0, 0], vec![0, 255]));
        // The mask is scaled and cropped as the picture is.
        for input in ["width", "height", "crop"] {
            assert_eq!(graph["14"]["inputs"][input], graph["5"]["inputs"][input], "{input}");
        }
    }
}

#[test]
fn a_video_is_made_by_the_workflow_of_the_user() {
    let server = FakeComfyui::start();
    let sandbox = comfy(&server, "video_workflow = \"video.json\"", &[("video.json", VIDEO)]);
    let mut connection = sandbox.connect();
    let id = connection.submit("video.generate", json!({ "prompt": "waves", "duration_s": 2, "seed": 9 }));
    let task = connection.wait(id);
    assert_made(&task, "video/mp4");
    assert_eq!(fs::read(task["outputs"][0]["path"].as_str().unwrap()).unwrap(), FILM);
    let graph = only_graph(&server);
    assert_eq!((&graph["2"]["inputs"]["text"], &graph["3"]["inputs"]["seed"]), (&json!("waves"), &json!(9)));
    assert_eq!(
        (&graph["4"]["inputs"]["batch_size"], &graph["3"]["inputs"]["steps"]),
        (&json!(17), &json!(20)),
        "2 s at 8 frames a second"
    );
    let (video, webm) = (
        r#""SaveVideo", "inputs": { "filename_prefix": "video/ComfyUI", "format": "auto", "codec": "auto", "video": ["8", 0] }"#,
        r#""SaveWEBM", "inputs": { "filename_prefix": "ComfyUI", "codec": "vp9", "crf": 32.0, "fps": ["5", 0], "images": ["7", 0] }"#,
    );
    assert!(VIDEO.contains(video));
    let webm = VIDEO.replace(video, webm).replace("reel:prompt", "Prompt");
    fs::write(sandbox.root().join("webm.json"), webm).unwrap();
    let patch = "video_workflow = \"webm.json\"\nvideo_patch = { prompt = \"/2/inputs/text\" }";
    sandbox.configure(&format!(
        "[providers.comfy]\nkind = \"comfyui\"\nbase_url = \"{}\"\n{patch}\n",
        server.base_url()
    ));
    sandbox.reel(&["daemon", "reload"]).expect_code(0);
    let id = connection.submit("video.generate", json!({ "prompt": "a calm" }));
    assert_made(&connection.wait(id), "video/webm");
    assert_eq!(server.posts()[1].prompt(), "a calm");
}

#[test]
fn progress_is_true_and_a_preview_is_shown() {
    let server = FakeComfyui::start();
    server.hold();
    let sandbox = comfy(&server, "", &[]);
    let mut connection = sandbox.connect();
    let mut events = sandbox.connect();
    events.ok("events.subscribe", json!({ "topics": ["task"], "partial": true }));
    let id = submit(&mut connection, "a bridge");
    server.wait_until_held();
    // The steps before the one that is held may be told one by one. The node has no title but the one that says what is set there.
    let progress = eventually("half of the steps are told", || {
        let progress = connection.task(id)["progress"].clone();
        (progress["message"] == "comfy: 50 % (KSampler)").then_some(progress)
    });
    assert!((0.45..=0.55).contains(&progress["fraction"].as_f64().unwrap()), "{progress}");
    let preview = eventually("a preview is told", || {
        events.next_event()["partial"]["preview_path"].as_str().map(str::to_owned)
    });
    assert!(fs::read(&preview).unwrap().starts_with(b"\xff\xd8"), "a JPEG");
    server.release();
    assert_made(&connection.wait(id), "image/png");
    assert!(!fs::exists(&preview).unwrap(), "a preview is removed with its attempt");
}

#[test]
fn a_server_without_a_websocket_is_polled() {
    let server = FakeComfyui::start();
    server.refuse_sockets();
    let sandbox = comfy(&server, "", &[]);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a mill");
    assert_made(&connection.wait(id), "image/png");
}

#[test]
fn an_old_server_that_chooses_ids_and_interrupts_anything_interrupts_only_the_job_of_reel() {
    let server = FakeComfyui::start();
    server.be_old();
    server.hold();
    let other = server.submit_elsewhere("a job of another program");
    assert_eq!(server.wait_until_held(), other);
    let sandbox = comfy(&server, "", &[]);
    let mut connection = sandbox.connect();
    let mut cancel_when = |prompt: &str, is_ready: &dyn Fn(&str) -> bool| {
        let id = submit(&mut connection, prompt);
        let job = eventually("the job is submitted", || Some(server.posts_of(prompt).first()?.id.clone()));
        assert!(job.starts_with("server-"), "{job}");
        eventually("the job is where it shall be cancelled", || is_ready(&job).then_some(()));
        connection.ok("task.cancel", json!({ "id": id }));
        eventually("the job is gone", || (!server.queue().contains(&job)).then_some(()));
        job
    };
    // Ours waits behind the other job, which nothing may interrupt.
    cancel_when("a mill", &|job| server.queue().get(1).is_some_and(|second| second == job));
    assert_eq!((server.queue(), server.interrupts()), (vec![other.clone()], Vec::new()));
    server.release();
    eventually("the other job is done", || server.has_done(&other).then_some(()));
    server.hold();
    let job = cancel_when("a barn", &|job| server.queue().first().is_some_and(|first| first == job));
    assert_eq!(server.interrupts(), [job]);
}

#[test]
fn a_cancelled_job_is_stopped_and_no_job_of_another_program_is() {
    let server = FakeComfyui::start();
    server.hold();
    let sandbox = comfy(&server, "max_concurrent = 2", &[]);
    let mut connection = sandbox.connect();
    // Ours runs, one of another program waits behind it, and another one of ours waits last.
    let running = submit(&mut connection, "ours, running");
    server.wait_until_held();
    let theirs = server.submit_elsewhere("theirs");
    let waiting = submit(&mut connection, "ours, waiting");
    eventually("three jobs are in the queue", || (server.queue().len() == 3).then_some(()));
    connection.ok("task.cancel", json!({ "id": waiting }));
    eventually("the waiting job is deleted", || (server.queue().len() == 2).then_some(()));
    assert_eq!(server.interrupts(), Vec::<String>::new());
    connection.ok("task.cancel", json!({ "id": running }));
    let ours = server.posts_of("ours, running")[0].id.clone();
    eventually("the next job runs", || (server.queue() == [theirs.clone()]).then_some(()));
    assert_eq!(server.interrupts(), [ours]);
    // A job that waits behind that of another program is cancelled without touching it.
    let third = submit(&mut connection, "ours, again");
    eventually("it waits", || (server.queue().len() == 2).then_some(()));
    connection.ok("task.cancel", json!({ "id": third }));
    eventually("it is deleted", || (server.queue() == [theirs.clone()]).then_some(()));
    server.release();
    eventually("theirs is done", || server.has_done(&theirs).then_some(()));
    assert_eq!(server.interrupts().len(), 1);
    for id in [running, waiting, third] {
        assert_eq!(connection.wait(id)["state"], "cancelled");
    }
}
