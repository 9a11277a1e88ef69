//! Requests that leave out a choice, or name one that does not exist, are refused with what can be chosen: a model of Ollama, and a voice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{FakeOllama, FakeProvider, Sandbox, fake_provider::Fault, studio::studio};

#[test]
fn ollama_without_a_model_names_those_that_it_has() {
    let ollama = FakeOllama::start(&["llama3.2:latest", "qwen3:8b"]);
    let sandbox = Sandbox::new();
    let base_url = ollama.base_url();
    let added = sandbox.reel(&["providers", "add", "--preset", "ollama", "--base-url", &base_url]);
    let said = &added.expect_code(0).stdout;
    assert!(said.contains("llama3.2:latest, qwen3:8b") && said.contains("none is configured"), "{said}");
    let asked = sandbox.reel(&["ask", "hi"]);
    let said = &asked.stderr;
    assert_ne!(asked.code, Some(0));
    assert!(said.contains("ollama has llama3.2:latest, qwen3:8b"), "{said}");
    assert!(said.contains("--model llama3.2:latest") && said.contains("[providers.ollama]"), "{said}");
    assert_eq!(ollama.chats_of("hi"), 0, "the server was not asked to answer");
    sandbox.reel(&["ask", "hi", "--model", "qwen3:8b"]).expect_code(0);
}

#[test]
fn a_refused_voice_that_the_provider_does_not_list_names_the_nearest() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "services = [\"voice\"]");
    provider.always(Fault::Invalid);
    let said = sandbox.reel(&["speak", "hello", "--voice", "alloi", "-o", "-"]).stderr;
    assert!(said.contains("did you mean alloy?") && said.contains("reel providers voices studio"), "{said}");
    let said = sandbox.reel(&["speak", "hello", "--voice", "alloy", "-o", "-"]).stderr;
    assert!(!said.contains("reel providers voices"), "{said}");
}
