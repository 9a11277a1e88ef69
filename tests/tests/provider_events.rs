//! What programs learn about providers: events when requests to a provider stop and resume, and the outcomes of each provider's attempts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    FakeProvider,
    fake_provider::{Fault, RetryAfter},
    studio::{prompt, studio, submit},
};
use serde_json::json;

#[test]
fn events_tell_of_a_pause_and_an_open_circuit_and_when_they_end() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut watcher = sandbox.connect();
    watcher.ok("events.subscribe", json!({ "topics": ["provider"] }));
    provider.script([Fault::RateLimited { retry_after: RetryAfter::Seconds(1) }, Fault::Good]);
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a harbour");
    let paused = watcher.next_event();
    assert_eq!((&paused["topic"], &paused["event"]), (&json!("provider"), &json!("changed")));
    let told = &paused["provider"];
    assert_eq!((&told["name"], &told["model"]), (&json!("studio"), &json!("gpt-image-2")));
    assert_eq!(told["wait_reason"], "provider_pause");
    assert!(told["waits_until"].as_str().unwrap().ends_with('Z'), "{told}");
    assert_eq!(connection.wait(id)["state"], "succeeded");

    // The circuit opens after five failures, and closes with the first success.
    let unavailable = vec![Fault::Unavailable; 5];
    provider.script(unavailable);
    for number in 0..5 {
        let text = format!("failure {number}");
        connection.submit_as(json!({ "kind": "image.generate", "params": prompt(&text), "max_attempts": 1 }));
    }
    let open = watcher.next_event();
    assert_eq!(open["provider"]["wait_reason"], "provider_down", "{open}");
}

#[test]
fn events_tell_when_a_provider_becomes_unreachable_and_reachable() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let address = provider.address();
    drop(provider);
    let mut watcher = sandbox.connect();
    watcher.ok("events.subscribe", json!({ "topics": ["provider"] }));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "a harbour");
    assert_eq!(watcher.next_event()["provider"]["wait_reason"], "provider_unreachable");
    let provider = FakeProvider::start_at(address);
    assert_eq!(connection.wait(id)["state"], "succeeded");
    assert_eq!(provider.calls(), 1);
    // The connection may have failed more than once.
    while watcher.next_event()["provider"]["wait_reason"] != json!(null) {}
}

#[test]
fn attempts_are_counted_by_service_and_provider() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    provider.on_prompt("forbidden", Fault::Moderated);
    for text in ["a harbour", "forbidden", "a pier", "a harbour"] {
        let id = submit(&mut connection, text);
        connection.wait(id);
    }
    let status = connection.ok("service.status", json!({}));
    let image = &status["services"]["image"];
    // The second request for the harbour was answered from the cache.
    assert_eq!((&image["requests"], &image["errors"]), (&json!(3), &json!(1)), "{image}");
    let studio = &image["by_provider"]["studio"];
    assert_eq!((&studio["requests"], &studio["successes"]), (&json!(3), &json!(2)), "{studio}");
    assert_eq!(studio["errors"], json!({ "moderated": 1 }));
    assert!(studio["last_error"].as_str().unwrap().starts_with("moderated: "), "{studio}");
    let latency = &studio["latency_ms"];
    assert!(latency["p50"].as_u64().unwrap() <= latency["p95"].as_u64().unwrap(), "{latency}");
    assert_eq!(status["services"]["debug"]["by_provider"], json!({}));
}
