//! Providers of the kind `a1111`: pictures, progress and interruption at a server that others use too, its errors, and deaths of server and daemon.
//!
//! With `REEL_TEST_A1111_URL` the tests whose names begin with `plain` run against a real server, with the model that it has loaded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    Connection, Sandbox, eventually,
    fake_a1111::{Copy, FakeA1111, RunFault},
    studio::prompt,
};
use serde_json::{Value, json};

fn section(url: &str, more: &str) -> String {
    format!(
        "[http]\nfirst_byte_s = 240\nread_s = 240\ntotal_s = 480\n\
         [providers.local]\nkind = \"a1111\"\nbase_url = \"{url}\"\n{more}\n"
    )
}

fn started(web_ui: &FakeA1111, more: &str) -> Sandbox {
    Sandbox::started_with(&section(&web_ui.base_url(), more))
}

/// Returns a server and a daemon that uses it: the real server if the environment names one.
fn plain() -> (Option<FakeA1111>, Sandbox) {
    if let Ok(url) = std::env::var("REEL_TEST_A1111_URL") {
        return (None, Sandbox::started_with(&section(&url, "steps = 2")));
    }
    let web_ui = FakeA1111::start(Copy::WebUi);
    let sandbox = started(&web_ui, "steps = 2");
    (Some(web_ui), sandbox)
}

fn submit(connection: &mut Connection, params: &Value, attempts: u32) -> u64 {
    connection.submit_as(json!({ "kind": "image.generate", "params": params, "max_attempts": attempts }))
}

fn make(connection: &mut Connection, params: &Value, attempts: u32) -> Value {
    let id = submit(connection, params, attempts);
    connection.wait(id)
}

fn check(sandbox: &Sandbox) -> (bool, String) {
    let result = sandbox.connect().ok("provider.check", json!({ "name": "local" }));
    (result["is_usable"].as_bool().unwrap(), result["detail"].as_str().unwrap().to_owned())
}

fn words_of(task: &Value) -> String {
    let error = &task["error"];
    format!(
        "{} {}",
        error["message"].as_str().unwrap_or_default(),
        error["hint"].as_str().unwrap_or_default()
    )
}

/// Waits until the progress of a task says this.
#[track_caller]
fn wait_for_progress(connection: &mut Connection, id: u64, words: &str) {
    eventually("the progress is shown", || {
        let task = connection.task(id);
        task["progress"]["message"].as_str().unwrap_or_default().contains(words).then_some(())
    });
}

/// Writes a picture of 64×64 pixels whose pixels have this colour and opacity.
fn picture(path: &Path, alpha: u8) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::GrayscaleAlpha);
    let pixels = [90, alpha].repeat(64 * 64);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels)).unwrap();
    fs::write(path, &bytes).unwrap();
}

#[test]
fn plain_pictures_are_made_from_texts_and_from_pictures() {
    let (fake, sandbox) = plain();
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "a lighthouse", "negative_prompt": "fog", "width": 64, "height": 64, "n": 2, "seed": 7, "guidance": 5.0 });
    let task = make(&mut connection, &params, 1);
    assert_eq!((&task["state"], &task["notes"]), (&json!("succeeded"), &json!([])), "{task}");
    for output in task["outputs"].as_array().unwrap() {
        assert_eq!((&output["media_type"], &output["width"]), (&json!("image/png"), &json!(64)));
    }
    assert_eq!(task["outputs"].as_array().unwrap().len(), 2);

    picture(&sandbox.work().join("a.png"), 255);
    picture(&sandbox.work().join("mask.png"), 0);
    let arguments =
        ["--image", "a.png", "--mask", "mask.png", "--strength", "0.4", "-s", "64x64", "-o", "b.png"];
    sandbox.reel(&[&["generate", "the same at night"], &arguments[..]].concat()).expect_code(0);
    assert!(fs::read(sandbox.work().join("b.png")).unwrap().starts_with(b"\x89PNG"));
    let Some(web_ui) = fake else { return };
    let runs = web_ui.runs();
    let (path, body) = &runs[0];
    assert_eq!(path, "/sdapi/v1/txt2img");
    for (name, value) in [
        ("prompt", json!("a lighthouse")),
        ("negative_prompt", json!("fog")),
        ("n_iter", json!(2)),
        ("seed", json!(7)),
        ("steps", json!(2)),
        ("cfg_scale", json!(5.0)),
        ("save_images", json!(false)),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    let (path, body) = &runs[1];
    assert_eq!((path.as_str(), &body["denoising_strength"]), ("/sdapi/v1/img2img", &json!(0.4)));
    // Where the mask is transparent, it is white for the server, which changes what is white.
    let mask = STANDARD.decode(body["mask"].as_str().unwrap()).unwrap();
    let mut mask = png::Decoder::new(std::io::Cursor::new(mask)).read_info().unwrap();
    let mut pixels = vec![0; mask.output_buffer_size().unwrap()];
    let info = mask.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Grayscale);
    assert!(pixels.iter().all(|pixel| *pixel == 255));
    assert_eq!((&body["inpainting_mask_invert"], &body["inpainting_fill"]), (&json!(0), &json!(1)));
}

#[test]
fn plain_a_server_names_its_models() {
    let (fake, sandbox) = plain();
    let (is_usable, detail) = check(&sandbox);
    assert!(is_usable && detail.contains("models"), "{detail}");
    let listed = sandbox.reel(&["providers", "models", "local"]);
    assert!(!listed.expect_code(0).stdout.trim().is_empty());
    if fake.is_some() {
        assert!(listed.stdout.contains("base") && listed.stdout.contains("dreamy_v2"), "{}", listed.stdout);
    }
}

#[test]
fn the_key_is_a_user_and_a_password() {
    let web_ui = FakeA1111::start(Copy::WebUi);
    web_ui.require_key("ada:secret-0123");
    let sandbox = Sandbox::new();
    let key = sandbox.root().join("key");
    fs::write(&key, "ada:secret-0123\n").unwrap();
    let config = section(&web_ui.base_url(), &format!("api_key = {{ file = \"{}\" }}", key.display()));
    sandbox.configure(&config);
    sandbox.start();
    assert!(check(&sandbox).0);
    let mut connection = sandbox.connect();
    assert_eq!(make(&mut connection, &prompt("a"), 1)["state"], "succeeded");
    let dry = sandbox.reel(&["generate", "a", "--dry-run", "--json"]);
    assert!(!dry.expect_code(0).stdout.contains("secret-0123"), "{}", dry.stdout);
    fs::write(&key, "ada:wrong").unwrap();
    let (is_usable, detail) = check(&sandbox);
    assert!(!is_usable && detail.contains("USER:PASSWORD"), "{detail}");
    let task = make(&mut connection, &prompt("b"), 1);
    assert_eq!(task["error"]["code"], "provider_auth", "{task}");
    assert!(words_of(&task).contains("--api-auth"), "{task}");
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest_one() {
    let web_ui = FakeA1111::start(Copy::WebUi);
    let sandbox = started(&web_ui, "sampler = \"Euler b\"\nscheduler = \"karras\"");
    let mut connection = sandbox.connect();
    let task = make(&mut connection, &prompt("a"), 1);
    assert_eq!(task["error"]["code"], "provider_refused", "{task}");
    assert!(words_of(&task).contains("did you mean Euler a?"), "{task}");
    let with = |field: &str, value: Value| {
        let mut params = prompt("a");
        params[field] = value;
        params
    };
    let task = make(&mut connection, &with("extra", json!({ "sampler_name": "Euler" })), 1);
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(web_ui.runs().last().unwrap().1["scheduler"], "karras");
    // The server would use another model in silence, so it is not asked.
    let runs = web_ui.runs().len();
    let task = make(&mut connection, &with("model", json!("dreamy_v3")), 1);
    assert_eq!(task["error"]["code"], "provider_refused", "{task}");
    assert!(words_of(&task).contains("did you mean dreamy_v2?"), "{task}");
    assert_eq!(web_ui.runs().len(), runs);
    web_ui.add_model();
    let extra = json!({ "sampler_name": "Euler" });
    let params = json!({ "prompt": "a", "width": 64, "height": 64, "model": "fresh", "extra": extra });
    assert_eq!(
        make(&mut connection, &params, 1)["state"],
        "succeeded",
        "the server was told to look for new files"
    );
    assert_eq!(
        web_ui.runs().last().unwrap().1["override_settings"],
        json!({ "sd_model_checkpoint": "fresh.safetensors [31e35c80fc]" }),
        "the title is what the server knows"
    );
}

#[test]
fn an_error_of_the_server_ends_the_task_or_is_tried_again() {
    let web_ui = FakeA1111::start(Copy::WebUi);
    let sandbox = started(&web_ui, "");
    let mut connection = sandbox.connect();
    let exception = |kind: &str, words: &str| {
        json!({ "error": kind, "detail": "", "body": "", "errors": words }).to_string()
    };
    let status = |status, body: String| RunFault::Status(status, body);
    let memory = exception("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB");
    let field =
        json!({ "detail": [{ "loc": ["body", "width"], "msg": "ensure this value is less than 2048" }] })
            .to_string();
    for (text, fault, code, words) in [
        ("400", status(400, exception("HTTPException", "bad")), "provider_refused", "bad"),
        (
            "401",
            status(401, json!({ "detail": "Incorrect username or password" }).to_string()),
            "provider_auth",
            "--api-auth",
        ),
        ("403", status(403, json!({ "detail": "Forbidden" }).to_string()), "provider_auth", "Forbidden"),
        ("404", status(404, json!({ "detail": "Not Found" }).to_string()), "provider_refused", "--api"),
        ("422", status(422, field), "provider_refused", "width: ensure this value"),
        (
            "500",
            status(500, exception("AttributeError", "no attribute")),
            "provider_unavailable",
            "AttributeError: no attribute",
        ),
        ("503", status(503, "{}".to_owned()), "provider_unavailable", "503"),
        ("memory", status(500, memory), "provider_failed", "smaller or fewer pictures"),
        ("cut", RunFault::Cut, "answer_lost", "was lost"),
        ("no picture", RunFault::NoPicture, "provider_failed", "local"),
    ] {
        web_ui.on_prompt(text, fault);
        let task = make(&mut connection, &prompt(text), 1);
        assert_eq!(
            (task["state"].as_str(), task["error"]["code"].as_str()),
            (Some("failed"), Some(code)),
            "{text}: {task}"
        );
        assert!(words_of(&task).contains(words), "{text}: {}", words_of(&task));
        assert_eq!(task["outputs"], json!([]), "{text}");
    }
    web_ui.on_prompt("later", RunFault::Cut);
    let id = submit(&mut connection, &prompt("later"), 50);
    eventually("it was asked", || (web_ui.runs_of("later") > 0).then_some(()));
    web_ui.be_good();
    assert_eq!(connection.wait(id)["state"], "succeeded");
}

#[test]
fn only_the_progress_of_the_own_run_is_shown() {
    let web_ui = FakeA1111::start(Copy::WebUi);
    let sandbox = started(&web_ui, "");
    web_ui.on_prompt("a", RunFault::Held);
    web_ui.begin_foreign();
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, &prompt("a"), 1);
    wait_for_progress(&mut connection, id, "busy with another run");
    web_ui.end_foreign();
    wait_for_progress(&mut connection, id, "draws: 50 %");
    web_ui.release();
    assert_eq!(connection.wait(id)["state"], "succeeded");
}

#[test]
fn a_server_that_knows_no_ids_shows_progress_only_if_it_was_idle() {
    let web_ui = FakeA1111::start(Copy::WithoutIds);
    let sandbox = started(&web_ui, "");
    web_ui.on_prompt("a", RunFault::Held);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, &prompt("a"), 1);
    wait_for_progress(&mut connection, id, "draws: 50 %");
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    web_ui.wait_for_idle();
    assert_eq!(web_ui.interrupts(), 1);
    web_ui.begin_foreign();
    let id = submit(&mut connection, &prompt("b"), 1);
    web_ui.wait_for_queued();
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    web_ui.end_foreign();
    web_ui.wait_for_idle();
    assert_eq!(web_ui.interrupts(), 1, "nothing says whose run it was");
}

#[test]
fn a_cancelled_run_is_interrupted_and_that_of_another_program_never() {
    let web_ui = FakeA1111::start(Copy::WebUi);
    let sandbox = started(&web_ui, "");
    for text in ["a", "b"] {
        web_ui.on_prompt(text, RunFault::Held);
    }
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, &prompt("a"), 1);
    web_ui.wait_for_run();
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    web_ui.wait_for_idle();
    assert_eq!(web_ui.interrupts(), 1);
    // A run that waits for that of another program is interrupted once it begins.
    web_ui.begin_foreign();
    let id = submit(&mut connection, &prompt("b"), 1);
    web_ui.wait_for_queued();
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    assert_eq!(web_ui.interrupts(), 1, "the run of the other program goes on");
    web_ui.end_foreign();
    web_ui.wait_for_idle();
    assert_eq!(web_ui.interrupts(), 2);
}

#[test]
fn the_picture_of_an_interrupted_run_is_no_result() {
    let web_ui = FakeA1111::start(Copy::WebUi);
    let sandbox = started(&web_ui, "");
    web_ui.on_prompt("a", RunFault::Interrupted);
    let mut connection = sandbox.connect();
    let task = make(&mut connection, &prompt("a"), 1);
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("provider_unavailable")),
        "{task}"
    );
    assert_eq!(task["outputs"], json!([]));
    assert!(words_of(&task).contains("interrupted"), "{task}");
    web_ui.on_prompt("b", RunFault::Interrupted);
    let id = submit(&mut connection, &prompt("b"), 50);
    eventually("it was asked", || (web_ui.runs_of("b") > 0).then_some(()));
    web_ui.be_good();
    let task = connection.wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
}

#[test]
fn the_copy_of_the_api_in_stable_diffusion_cpp_works_with_what_it_knows() {
    let server = FakeA1111::start(Copy::SdCpp);
    let sandbox = started(&server, "model = \"base\"");
    assert!(check(&sandbox).0);
    let mut connection = sandbox.connect();
    let task = make(&mut connection, &json!({ "prompt": "a", "width": 64, "height": 64, "n": 4 }), 1);
    assert_eq!(task["outputs"].as_array().map(Vec::len), Some(4), "{task}");
    let body = &server.runs()[0].1;
    assert_eq!((&body["batch_size"], &body["n_iter"]), (&json!(4), &json!(1)), "it knows no rounds");
    // It makes at most eight pictures of one request.
    let task = make(&mut connection, &json!({ "prompt": "a", "width": 64, "height": 64, "n": 9 }), 1);
    assert_eq!((&task["state"], task["outputs"].as_array().map(Vec::len)), (&json!("succeeded"), Some(8)));
    assert_eq!(task["notes"][0]["message"], "8 of 9 pictures came", "{task}");
    server.on_prompt("b", RunFault::Held);
    let id = submit(&mut connection, &prompt("b"), 1);
    server.wait_for_run();
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    assert_eq!(server.interrupts(), 0);
}
