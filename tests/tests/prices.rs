//! What tasks cost: what the provider reports, what its configured price says, and what is estimated before a request.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    FakeProvider, Sandbox,
    raw_server::{RawServer, response},
    studio::{prompt, studio},
};
use serde_json::{Value, json};

fn estimate(amount: f64) -> Value {
    json!({ "amount": amount, "currency": "USD", "is_estimate": true })
}

fn exact(amount: f64) -> Value {
    json!({ "amount": amount, "currency": "USD", "is_estimate": false })
}

/// Starts a daemon whose provider `studio` has all services of its kind, at these prices.
fn priced(provider: &FakeProvider, price: &str) -> Sandbox {
    studio(provider, &format!("services = [\"image\", \"text\", \"voice\"]\nprice = {price}"))
}

#[test]
fn a_task_costs_what_its_price_says_and_a_cached_one_nothing() {
    let provider = FakeProvider::start();
    let sandbox = priced(&provider, "{ image = { \"64x64\" = 0.04, default = 0.5 }, character = 0.000015 }");
    let mut connection = sandbox.connect();
    let made = |connection: &mut reel_tests::Connection, kind: &str, params: Value| {
        let id = connection.submit(kind, params);
        connection.wait(id)["cost"].clone()
    };
    let two = json!({ "prompt": "a", "width": 64, "height": 64, "n": 2 });
    assert_eq!(made(&mut connection, "image.generate", two.clone()), estimate(0.08));
    assert_eq!(made(&mut connection, "image.generate", two.clone()), exact(0.0), "it came from the cache");
    let call =
        connection.ok("service.call", json!({ "service": "image", "method": "generate", "params": two }));
    assert_eq!((&call["source"], &call["cost"]), (&json!("cache"), &exact(0.0)));
    let large = json!({ "prompt": "a", "width": 64, "height": 32 });
    assert_eq!(made(&mut connection, "image.generate", large), estimate(0.5));
    assert_eq!(made(&mut connection, "voice.speak", json!({ "text": "Hello." })), estimate(0.00009));
    // The cost is unknown if the price does not cover the service. draft is free.
    assert_eq!(made(&mut connection, "text.chat", json!({ "prompt": "Hello?" })), Value::Null);
    let draft =
        connection.submit_as(json!({ "kind": "image.generate", "params": prompt("d"), "provider": "draft" }));
    assert_eq!(connection.wait(draft)["cost"], exact(0.0));
    let shown = sandbox.reel(&["show", "1"]).expect_code(0).stdout.clone();
    assert!(shown.contains("about 0.08 USD"), "{shown}");
    let listed = sandbox.reel(&["ls"]).expect_code(0).stdout.clone();
    assert!(listed.contains("COST") && listed.contains("about 0.5 USD"), "{listed}");
    // The cost is the same after a restart.
    drop(connection);
    sandbox.stop();
    sandbox.start();
    assert_eq!(sandbox.connect().task(1)["cost"], estimate(0.08));
}

#[test]
fn a_reported_cost_takes_precedence_over_a_configured_price() {
    let chat = json!({
        "choices": [{ "message": { "content": "Yes." }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1_000, "completion_tokens": 500 },
    });
    let server = RawServer::answering(move |request| {
        let is_priced = String::from_utf8_lossy(&request.body).contains("by header");
        let headers: &[String] = if is_priced { &["x-litellm-response-cost: 0.25".to_owned()] } else { &[] };
        response("200 OK", headers, chat.to_string().as_bytes())
    });
    let section = "api_key = \"sk-x\"\nservices = [\"text\"]\nprice = { input_mtok = 2.0, output_mtok = 8, currency = \"CNY\" }\n[rates]\nCNY = 0.14";
    let sandbox = Sandbox::started_with(&server.config(section));
    let mut connection = sandbox.connect();
    for (text, cost) in [("by tokens", exact(0.00084)), ("by header", exact(0.25))] {
        let id = connection.submit("text.chat", json!({ "prompt": text }));
        let task = connection.wait(id);
        assert_eq!(task["cost"], cost, "{text}: {task}");
    }
}

#[test]
fn a_failure_that_was_charged_says_so_and_a_picture_beside_an_error_has_its_cost() {
    let picture = Sandbox::started();
    picture.reel(&["generate", "a", "-s", "64x64", "-o", "a.png"]).expect_code(0);
    let picture = STANDARD.encode(fs::read(picture.work().join("a.png")).unwrap());
    let server = RawServer::answering(move |request| {
        let words = String::from_utf8_lossy(&request.body).into_owned();
        let cost = ["x-litellm-response-cost: 0.25".to_owned()];
        let usage = json!({ "prompt_tokens": 1_000, "completion_tokens": 500 });
        if words.contains("a picture all the same") {
            let body = json!({ "error": { "message": "late" }, "data": [{ "b64_json": picture }] });
            return response("500 Internal Server Error", &cost, body.to_string().as_bytes());
        }
        if words.contains("no words") {
            let choice = json!({ "message": { "content": "" }, "finish_reason": "stop" });
            let body = json!({ "choices": [choice], "usage": usage });
            return response("200 OK", &[], body.to_string().as_bytes());
        }
        let body =
            json!({ "error": { "message": "not that", "code": "moderation_blocked" }, "usage": usage });
        response(
            "400 Bad Request",
            if words.contains("header") { &cost } else { &[] },
            body.to_string().as_bytes(),
        )
    });
    let section = "api_key = \"sk-x\"\nservices = [\"text\", \"image\", \"voice\"]\nprice = { input_mtok = 2, output_mtok = 8 }";
    let sandbox = Sandbox::started_with(&server.config(section));
    let mut connection = sandbox.connect();
    let mut run = |kind: &str, params: Value| {
        let id = connection.submit_as(json!({ "kind": kind, "params": params, "max_attempts": 1 }));
        connection.wait(id)
    };
    for (kind, params, cost) in [
        ("text.chat", json!({ "prompt": "by header" }), "0.25"),
        ("text.chat", json!({ "prompt": "by tokens" }), "0.006"),
        ("text.chat", json!({ "prompt": "no words" }), "0.006"),
        ("image.generate", json!({ "prompt": "by header" }), "0.25"),
        ("image.generate", json!({ "prompt": "by tokens" }), "0.006"),
        ("voice.speak", json!({ "text": "by header" }), "0.25"),
    ] {
        let task = run(kind, params);
        assert_eq!(task["state"], "failed", "{task}");
        let message = task["error"]["message"].as_str().unwrap();
        assert!(
            message.ends_with(&format!("; the answer reports a cost of {cost} USD")),
            "{kind}: {message}"
        );
        assert_eq!(task["cost"], exact(cost.parse().unwrap()), "{kind}: {task}");
    }
    let task =
        run("image.generate", json!({ "prompt": "a picture all the same", "width": 64, "height": 64 }));
    assert_eq!((&task["state"], &task["cost"]), (&json!("succeeded"), &exact(0.25)), "{task}");
}

#[test]
fn a_dry_run_shows_the_provider_and_the_price_without_a_request() {
    let provider = FakeProvider::start();
    let sandbox = priced(&provider, "{ image = 0.04, character = 0.00001 }");
    sandbox.reel(&["generate", "made before", "-s", "64x64", "-o", "before.png"]).expect_code(0);
    let calls = provider.calls();
    let ran = sandbox.reel(&["generate", "a cat", "-s", "64x64", "-n", "2", "--dry-run", "-o", "cat.png"]);
    assert_eq!(ran.expect_code(0).stdout, "2 pictures: by studio (gpt-image-2), about 0.08 USD\n");
    let ran = sandbox.reel(&["generate", "made before", "-s", "64x64", "--dry-run"]);
    assert!(ran.expect_code(0).stdout.contains("from the cache"), "{}", ran.stdout);
    let ran = sandbox.reel(&["speak", "0123456789", "--dry-run", "--json"]);
    let dry = ran.expect_code(0).json();
    assert_eq!((&dry["cost"], &dry["is_cached"]), (&estimate(0.0001), &json!(false)), "{dry}");
    let request = &dry["requests"][0];
    assert_eq!(request["url"], format!("{}/audio/speech", provider.base_url()));
    assert_eq!(
        (&request["headers"]["authorization"], &request["body"]["input"]),
        (&json!("Bearer ***"), &json!("0123456789"))
    );
    assert!(!ran.stdout.contains(FakeProvider::KEY));
    let ran = sandbox.reel(&["ask", "Why?", "--dry-run"]);
    assert!(ran.expect_code(0).stdout.contains("for an unknown price"), "{}", ran.stdout);
    let ran = sandbox.reel(&["generate", "a cat", "--provider", "draft", "--dry-run"]);
    assert!(ran.expect_code(0).stdout.contains("by draft, free"), "{}", ran.stdout);
    sandbox.reel(&["generate", "a cat", "--provider", "studoi", "--dry-run"]).expect_code(65);

    fs::write(sandbox.work().join("lines.txt"), "made before\na dog\na cow\n").unwrap();
    let batch =
        |more: &[&str]| sandbox.reel(&[&["batch", "lines.txt", "-s", "64x64", "-o", "out"], more].concat());
    let ran = batch(&["--dry-run"]);
    assert_eq!(
        ran.expect_code(0).stdout,
        "3 tasks: 1 is in the cache, 2 to make by studio; cost: about 0.08 USD\n"
    );
    assert!(!sandbox.work().join("out").exists(), "a dry run writes nothing");
    assert_eq!(provider.calls(), calls, "no provider was asked");
    assert_eq!(sandbox.reel(&["ls", "--json"]).json()["tasks"].as_array().unwrap().len(), 1);
    batch(&[]).expect_code(0);
    let ran = batch(&["--dry-run", "--json"]);
    let dry = ran.expect_code(0).json();
    assert_eq!((&dry["kept"], &dry["by_provider"]), (&json!(3), &json!({})), "{dry}");
}

#[test]
fn a_video_is_priced_by_its_length_before_it_is_made() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "services = [\"video\"]\nprice = { second = 0.1 }");
    sandbox.reel(&["generate", "a", "--provider", "draft", "-s", "64x64", "-o", "a.png"]).expect_code(0);
    let animate = |more: &[&str]| sandbox.reel(&[&["animate", "a.png", "waves", "--dry-run"], more].concat());
    let ran = animate(&["--seconds", "4"]);
    assert!(ran.expect_code(0).stdout.contains("by studio (gpt-image-2), about 0.4 USD"), "{}", ran.stdout);
    let ran = animate(&[]);
    assert!(ran.expect_code(0).stdout.contains("for an unknown price"), "{}", ran.stdout);
    assert_eq!(provider.calls(), 0);
}

#[test]
fn providers_list_their_models_and_voices() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "models = { image = \"pencil\", voice = \"tts-1\" }");
    let ran = sandbox.reel(&["providers", "models", "studio"]);
    assert!(!ran.expect_code(0).stdout.is_empty(), "{}", ran.stderr);
    let ran = sandbox.reel(&["providers", "voices", "studio", "--json"]);
    let voices = ran.expect_code(0).json()["providers"][0]["voices"].clone();
    assert!(voices.as_array().unwrap().iter().any(|voice| voice["id"] == "alloy"), "{voices}");
    let ran = sandbox.reel(&["providers", "voices", "draft"]);
    assert!(ran.expect_code(0).stderr.contains("it has no voices"), "{}", ran.stderr);
    let ran = sandbox.reel(&["providers", "models", "studoi"]);
    assert!(ran.expect_code(65).stderr.contains("did you mean studio?"), "{}", ran.stderr);
    provider.require_key(Some("another"));
    let ran = sandbox.reel(&["providers", "models", "studio"]);
    assert!(ran.expect_code(77).stderr.contains("providers key studio"), "{}", ran.stderr);
    assert_eq!(provider.calls(), 0);

    let server = RawServer::answering(|request| {
        let is_list = request.line.starts_with("GET /v1/models ");
        if is_list { response("404 Not Found", &[], b"{}") } else { response("500 Oops", &[], b"") }
    });
    let sandbox = Sandbox::started_with(&server.config(""));
    let ran = sandbox.reel(&["providers", "models", "studio"]);
    assert_eq!(ran.expect_code(0).stdout, "m\n");
    assert!(ran.stderr.contains("lists no models"), "{}", ran.stderr);
}

#[test]
fn espeak_ng_lists_its_voices() {
    if !reel_tests::needs::program("espeak-ng") {
        return;
    }
    let sandbox = Sandbox::started();
    let ran = sandbox.reel(&["providers", "voices"]);
    let listed = &ran.expect_code(0).stdout;
    assert!(
        listed.starts_with("VOICE") && listed.contains("espeak-ng") && listed.lines().count() > 50,
        "{listed}"
    );
}
