//! Tests that pass at every `sd-server` of stable-diffusion.cpp. They use the real server that `REEL_TEST_SDCPP_URL` names, or else the imitation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{Connection, FakeSdcpp, Sandbox, eventually, http, mask};
use serde_json::{Value, json};

/// A server. A real one is used by one test at a time, because it has one queue.
struct Server {
    url: String,
    fake: Option<FakeSdcpp>,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Server {
    fn start() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        if let Ok(url) = std::env::var("REEL_TEST_SDCPP_URL") {
            let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
            return Self { url, fake: None, _alone: Some(alone) };
        }
        let fake = FakeSdcpp::start();
        Self { url: format!("http://{}", fake.address()), fake: Some(fake), _alone: None }
    }

    /// Keeps jobs running. A real server does so by itself, as it is slow.
    fn hold(&self) {
        if let Some(fake) = &self.fake {
            fake.hold();
        }
    }

    fn release(&self) {
        if let Some(fake) = &self.fake {
            fake.release();
        }
    }

    fn sandbox(&self, more: &str) -> Sandbox {
        let url = &self.url;
        Sandbox::started_with(&format!(
            "[providers.machine]\nkind = \"sdcpp\"\nbase_url = \"{url}\"\n{more}\n"
        ))
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        http::json(&self.url, "POST", &format!("/sdcpp/v1/{path}"), Some(body))
    }

    /// Returns the state of a job.
    #[track_caller]
    fn job(&self, id: &Value) -> Value {
        let path = format!("/sdcpp/v1/jobs/{}", id.as_str().unwrap());
        let (status, job) = http::json(&self.url, "GET", &path, None);
        assert_eq!(status, 200, "{job}");
        job
    }

    #[track_caller]
    fn wait(&self, id: &Value) -> Value {
        eventually("the job is over", || {
            let job = self.job(id);
            (!matches!(job["status"].as_str(), Some("queued" | "generating"))).then_some(job)
        })
    }
}

fn params(prompt: &str, more: &Value) -> Value {
    let mut params = json!({ "prompt": prompt, "width": 64, "height": 64, "steps": 1, "seed": 7 });
    params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    params
}

fn make(connection: &mut Connection, params: &Value) -> Value {
    let id = connection.submit_as(json!({ "kind": "image.generate", "params": params, "max_attempts": 1 }));
    connection.wait(id)
}

/// Returns the smallest request, as the server takes it.
fn body(prompt: &str) -> Value {
    json!({ "prompt": prompt, "width": 64, "height": 64, "seed": 7, "sample_params": { "sample_steps": 1 } })
}

#[test]
fn pictures_are_made_and_what_is_wrong_is_said() {
    let server = Server::start();
    let sandbox = server.sandbox("");
    let check = sandbox.reel(&["providers", "check", "machine"]);
    assert!(check.expect_code(0).stdout.contains("answers; its model is "), "{}", check.stdout);
    let mut connection = sandbox.connect();
    let task = make(&mut connection, &params("a boat", &json!({ "n": 2 })));
    assert_eq!((&task["state"], task["outputs"].as_array().map(Vec::len)), (&json!("succeeded"), Some(2)));
    assert_eq!(
        (&task["outputs"][1]["media_type"], &task["outputs"][1]["width"]),
        (&json!("image/png"), &json!(64))
    );
    let wrong = json!({ "extra": { "lora": [{ "path": "none.safetensors" }] } });
    let task = make(&mut connection, &params("a hut", &wrong));
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("provider_refused")),
        "{task}"
    );
    assert!(task["error"]["message"].as_str().unwrap().contains("invalid generation parameters"), "{task}");
    let models = sandbox.reel(&["providers", "models", "machine"]);
    assert!(models.expect_code(0).stderr.contains("machine lists no models"), "{models:?}");
}

#[test]
fn jobs_have_their_form_and_one_that_is_generating_cannot_be_cancelled() {
    let server = Server::start();
    server.hold();
    let (status, first) = server.post("img_gen", &body("first"));
    assert_eq!(
        (status, &first["kind"], &first["status"]),
        (202, &json!("img_gen"), &json!("queued")),
        "{first}"
    );
    assert_eq!(first["poll_url"], format!("/sdcpp/v1/jobs/{}", first["id"].as_str().unwrap()));
    let (_, second) = server.post("img_gen", &body("second"));
    let keys = |job: &Value| job.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let expected =
        ["completed", "created", "error", "id", "kind", "queue_position", "result", "started", "status"];
    let first = eventually("the first one runs", || {
        let job = server.job(&first["id"]);
        (job["status"] == "generating").then_some(job)
    });
    assert_eq!((keys(&first), &first["queue_position"]), (expected.map(str::to_owned).to_vec(), &json!(0)));
    assert!(first["started"].is_number() && first["completed"].is_null(), "{first}");
    let waiting = server.job(&second["id"]);
    assert_eq!((&waiting["status"], &waiting["queue_position"]), (&json!("queued"), &json!(1)), "{waiting}");
    let cancel =
        |job: &Value| server.post(&format!("jobs/{}/cancel", job["id"].as_str().unwrap()), &json!({}));
    let (status, refused) = cancel(&first);
    let words = "job is currently generating and cannot be interrupted yet";
    assert_eq!((status, &refused["error"]), (409, &json!(words)));
    let (status, cancelled) = cancel(&second);
    assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")));
    assert_eq!(cancelled["error"], json!({ "code": "cancelled", "message": "job cancelled by client" }));
    server.release();
    let done = server.wait(&first["id"]);
    assert_eq!((&done["status"], keys(&done)), (&json!("completed"), expected.map(str::to_owned).to_vec()));
    assert_eq!(
        (&done["result"]["output_format"], &done["result"]["images"][0]["index"]),
        (&json!("png"), &json!(0))
    );
    for (method, path, expected, words) in [
        ("GET", "/sdcpp/v1/jobs/job_none", 404, "job not found"),
        ("POST", "/sdcpp/v1/jobs/job_none/cancel", 404, "job not found"),
        // JSON that is no object raises an exception in the server.
        ("POST", "/sdcpp/v1/img_gen", 500, "server_error"),
    ] {
        let body = (method == "POST").then(|| json!("no object"));
        let (status, answer) = http::json(&server.url, method, path, body.as_ref());
        assert_eq!((status, &answer["error"]), (expected, &json!(words)), "{path}: {answer}");
    }
}

#[test]
fn a_picture_in_shades_of_grey_is_refused() {
    let server = Server::start();
    let mut body = body("a hut");
    body["init_image"] = json!(STANDARD.encode(mask::grey()));
    let (status, answer) = server.post("img_gen", &body);
    assert_eq!((status, &answer["error"]), (400, &json!("invalid generation parameters")));
}

#[test]
fn a_task_is_cancelled_whatever_its_job_does() {
    let server = Server::start();
    let sandbox = server.sandbox("max_concurrent = 2");
    let mut connection = sandbox.connect();
    server.hold();
    let generating = connection.submit("image.generate", params("a storm", &json!({ "steps": 4 })));
    let shows = |connection: &mut Connection, id: u64, words: &str| {
        eventually("the state of the job is shown", || {
            let message = connection.task(id)["progress"]["message"].as_str().unwrap_or_default().to_owned();
            message.contains(words).then_some(())
        });
    };
    shows(&mut connection, generating, "generating");
    let waiting = connection.submit("image.generate", params("a calm", &json!({})));
    shows(&mut connection, waiting, "queued, place 1");
    for id in [waiting, generating] {
        connection.ok("task.cancel", json!({ "id": id }));
        assert_eq!(connection.wait(id)["state"], "cancelled");
    }
    server.release();
    assert_eq!(make(&mut connection, &params("a dawn", &json!({})))["state"], "succeeded");
}

#[test]
fn a_killed_daemon_finds_its_job_and_submits_nothing_again() {
    let server = Server::start();
    let sandbox = server.sandbox("");
    let mut connection = sandbox.connect();
    // An id ends with the number of the job.
    let number = |prompt: &str| {
        let id = server.post("img_gen", &body(prompt)).1["id"].clone();
        server.wait(&id);
        u64::from_str_radix(id.as_str().unwrap().rsplit('_').next().unwrap(), 16).unwrap()
    };
    let before = number("before");
    server.hold();
    let id = connection.submit("image.generate", params("a river", &json!({ "steps": 4 })));
    eventually("the job runs", || {
        (connection.task(id)["progress"]["message"] == "machine: generating").then_some(())
    });
    sandbox.kill();
    server.release();
    sandbox.start();
    let task = sandbox.connect().wait(id);
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(number("after"), before + 2, "one job was submitted");
}

/// The server takes masks without transparency, and changes what is white. Both forms of masks must come to the same.
#[test]
fn both_forms_of_masks_make_the_same_picture() {
    let server = Server::start();
    let sandbox = server.sandbox("");
    let mut connection = sandbox.connect();
    let path = sandbox.work().join("file.png");
    let mut put = |bytes: Vec<u8>| {
        fs::write(&path, bytes).unwrap();
        connection.ok("artifact.put", json!({ "path": path }))["digest"].clone()
    };
    let start = put(mask::grey());
    let masks = [put(mask::transparent_left()), put(mask::white_left())];
    let made = masks.map(|mask| {
        let params = params("a red boat", &json!({ "input_images": [start], "mask": mask, "strength": 1.0 }));
        let task = make(&mut connection, &params);
        assert_eq!(task["state"], "succeeded", "{task}");
        fs::read(task["outputs"][0]["path"].as_str().unwrap()).unwrap()
    });
    assert_eq!(made[0], made[1]);
    // The server itself takes a mask without white for one where nothing may change, whatever is transparent in it.
    let Some(fake) = &server.fake else {
        let change = |mask: Vec<u8>| {
            let mut body = body("a red boat");
            body["init_image"] = json!(STANDARD.encode(mask::coloured()));
            body["mask_image"] = json!(STANDARD.encode(mask));
            body["strength"] = json!(1.0);
            let job = server.wait(&server.post("img_gen", &body).1["id"]);
            job["result"]["images"][0]["b64_json"].clone()
        };
        assert_ne!(change(mask::transparent_left()), change(mask::white_left()));
        return;
    };
    for job in fake.jobs() {
        let sent = STANDARD.decode(job.body["mask_image"].as_str().unwrap()).unwrap();
        assert_eq!(mask::first_row(&sent), (vec![255], vec![0]));
    }
}
