//! Pictures and speech through `litellm`, a proxy that people use between a tool and its services. It has its own routes, errors and headers. Behind
//! it is the fake provider.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, RealPeer, Sandbox,
    fake_provider::Fault,
    needs,
    studio::{key_file, prompt},
};
use serde_json::json;

const MASTER_KEY: &str = "sk-of-the-proxy";

/// A plug-in model in Python for the proxy. It calls the fake provider with `httpx`, and reports a cost.
const HANDLER: &str = r#"
import os
import httpx
from litellm import CustomLLM
from litellm.types.utils import ImageObject, ImageResponse


class Handler(CustomLLM):
    async def aimage_generation(self, model, prompt, *args, **kwargs):
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(
                os.environ["UPSTREAM"] + "/images/generations",
                json={"model": "gpt-image-2", "prompt": prompt, "n": 1, "size": "64x64"},
                headers={"Authorization": "Bearer " + os.environ["UPSTREAM_KEY"]},
            )
        answer.raise_for_status()
        data = [ImageObject(**one) for one in answer.json()["data"]]
        response = ImageResponse(created=1, data=data)
        response._hidden_params = {"response_cost": 0.0085}
        return response


handler = Handler()
"#;

/// The JSON schema of an answer.
const YEAR: &str = r#"{"type":"object","properties":{"year":{"type":"integer"}},"required":["year"],"additionalProperties":false}"#;

/// Returns a chat response that is streamed in these pieces of text.
fn answer_in_pieces(pieces: &[&str]) -> Fault {
    let event = |delta: serde_json::Value, finish: serde_json::Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        let chunk = json!({ "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "writer", "choices": choices });
        format!("data: {chunk}\n\n")
    };
    let mut events: Vec<_> =
        pieces.iter().map(|piece| event(json!({ "content": piece }), serde_json::Value::Null)).collect();
    events.push(event(json!({}), json!("stop")));
    let body = events.concat() + "data: [DONE]\n\n";
    Fault::Answered {
        status: 200,
        media_type: "text/event-stream",
        headers: Vec::new(),
        body: body.into_bytes(),
    }
}

/// The proxy, and a daemon whose provider `proxy` is that proxy.
struct LitellmSetup {
    upstream: FakeProvider,
    sandbox: Sandbox,
    _proxy: RealPeer,
}

fn behind_litellm() -> Option<LitellmSetup> {
    if !needs::program("litellm") {
        return None;
    }
    let upstream = FakeProvider::start();
    let sandbox = Sandbox::new();
    fs::write(
        sandbox.root().join("studio_handler.py"),
        HANDLER
            .replace("os.environ[\"UPSTREAM\"]", &format!("{:?}", upstream.base_url()))
            .replace("os.environ[\"UPSTREAM_KEY\"]", &format!("{:?}", FakeProvider::KEY)),
    )
    .unwrap();
    let route = |name: &str, model: &str| {
        format!(
            "  - model_name: {name}\n    litellm_params: {{ model: \"{model}\", api_base: \"{}\", api_key: \"{}\" }}\n",
            upstream.base_url(),
            FakeProvider::KEY
        )
    };
    let config = format!(
        "model_list:\n{}{}{}{}\
         general_settings: {{ master_key: {MASTER_KEY} }}\n\
         litellm_settings:\n  telemetry: false\n  custom_provider_map:\n    - {{ provider: studio, custom_handler: studio_handler.handler }}\n",
        route("gpt-image-2", "openai/gpt-image-2"),
        route("tts-1", "openai/tts-1"),
        route("writer", "openai/writer"),
        route("own", "studio/own"),
    );
    let proxy = RealPeer::litellm(sandbox.root(), &config);
    let key = key_file(sandbox.root());
    fs::write(&key, MASTER_KEY).unwrap();
    sandbox.configure(&format!(
        "[providers.proxy]\nkind = \"openai\"\nbase_url = \"{}\"\napi_key = {{ file = \"{}\" }}\n\
         models = {{ image = \"gpt-image-2\", voice = \"tts-1\", text = \"writer\" }}\n",
        proxy.base_url(),
        key.display()
    ));
    sandbox.start();
    Some(LitellmSetup { upstream, sandbox, _proxy: proxy })
}

#[test]
fn pictures_and_speech_come_through_the_proxy() {
    let Some(setup) = behind_litellm() else { return };
    let LitellmSetup { upstream, sandbox, .. } = &setup;
    let checked = sandbox.reel(&["providers", "check", "proxy"]);
    checked.expect_code(0);

    sandbox.reel(&["generate", "a harbour", "-s", "64x64", "-o", "harbour.png"]).expect_code(0);
    let picture = fs::read(sandbox.work().join("harbour.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"), "{:?}", &picture[..8]);
    sandbox.reel(&["speak", "The lamp went out.", "-o", "line.mp3"]).expect_code(0);
    assert!(fs::metadata(sandbox.work().join("line.mp3")).unwrap().len() > 1_000);
    assert_eq!(upstream.calls(), 2);

    // A model of a plug-in. The proxy reports its cost in a header.
    let made =
        sandbox.reel(&["generate", "a pier", "-s", "64x64", "--model", "own", "-o", "pier.png", "--json"]);
    let task = &made.expect_code(0).json()["task"];
    assert_eq!(task["model"], "own");
    assert_eq!(task["cost"], json!({ "amount": 0.0085, "currency": "USD", "is_estimate": false }), "{task}");
    assert_eq!(upstream.calls_of("a pier"), 1);

    // A streamed text, and a picture made from a picture.
    let asked = sandbox.reel(&["ask", "why is the sea salt?"]);
    assert!(!asked.expect_code(0).stdout.trim().is_empty(), "{}", asked.stderr);
    assert_eq!(upstream.calls_of("why is the sea salt?"), 1);
    let edit = ["--image", "harbour.png", "-s", "64x64", "-o", "night.png"];
    sandbox.reel(&[&["generate", "at night"], &edit[..]].concat()).expect_code(0);
    assert_eq!(upstream.calls_of("at night"), 1);
    assert!(upstream.requests().iter().any(|request| request.path == "/v1/images/edits"));
    let masked = ["--image", "harbour.png", "--mask", "harbour.png", "-s", "64x64", "-o", "boat.png"];
    sandbox.reel(&[&["generate", "a boat"], &masked[..]].concat()).expect_code(0);
    let sent = upstream.requests().pop().unwrap().parts();
    let files = |name: &str| sent.iter().filter(|part| part.file_name.is_some() && part.name == name).count();
    assert_eq!((files("image") + files("image[]"), files("mask")), (1, 1), "{sent:?}");

    // JSON that fits a schema. The proxy passes the schema on.
    fs::write(sandbox.work().join("year.json"), YEAR).unwrap();
    upstream.on_prompt("since when?", answer_in_pieces(&["{\"year\":", " 1891}"]));
    let asked = sandbox.reel(&["ask", "since when?", "--schema", "year.json"]);
    assert_eq!(asked.expect_code(0).stdout, "{\"year\": 1891}\n");
    let sent = upstream.requests().pop().unwrap().json();
    let schema: serde_json::Value = serde_json::from_str(YEAR).unwrap();
    assert_eq!(sent["response_format"]["json_schema"]["schema"], schema, "{sent}");
    upstream.on_prompt("until when?", answer_in_pieces(&["{\"year\":", " \"never\"}"]));
    let asked = sandbox.reel(&["ask", "until when?", "--schema", "year.json", "--json"]);
    assert_eq!(asked.expect_code(1).json()["error"]["code"], "schema_mismatch");

    // Equal requests make one call, also behind a proxy.
    let mut connection = sandbox.connect();
    upstream.hold();
    let equal = vec![json!({ "kind": "image.generate", "params": prompt("the same") }); 64];
    let (_, ids) = connection.submit_batch(equal);
    upstream.wait_for_in_flight(1);
    upstream.release();
    for id in ids {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
    assert_eq!(upstream.calls_of("the same"), 1);
}

#[test]
fn faults_behind_the_proxy_keep_their_meaning() {
    let Some(setup) = behind_litellm() else { return };
    let LitellmSetup { upstream, sandbox, .. } = &setup;
    let mut connection = sandbox.connect();
    for (text, fault, state, code) in [
        ("moderated", Fault::Moderated, "failed", "moderated"),
        ("no quota", Fault::InsufficientQuota, "failed", "quota_exceeded"),
        ("no key", Fault::Unauthorized, "failed", "provider_auth"),
    ] {
        upstream.on_prompt(text, fault.clone());
        // The proxy's SDK retries by itself where it considers that safe, so provide the fault three times.
        for _ in 0..3 {
            upstream.on_prompt(text, fault.clone());
        }
        let spec = json!({ "kind": "image.generate", "params": prompt(text), "max_attempts": 1 });
        let id = connection.submit_as(spec);
        let task = connection.wait(id);
        let found = (task["state"].as_str().unwrap(), task["error"]["code"].as_str().unwrap_or_default());
        assert_eq!(found, (state, code), "{text}: {}", task["error"]);
        assert!(!task["error"]["message"].as_str().unwrap().is_empty());
    }
    // The proxy does not know this key.
    fs::write(key_file(sandbox.root()), "sk-wrong").unwrap();
    let id = connection
        .submit_as(json!({ "kind": "image.generate", "params": prompt("a wrong key"), "max_attempts": 1 }));
    let task = connection.wait(id);
    assert_eq!(task["state"], "failed", "{task}");
    let said = task["error"].to_string();
    assert!(said.contains("proxy"), "{said}");
    assert_eq!(upstream.calls_of("a wrong key"), 0);
}
