//! `translate.text` and `reel translate`: what a model is told. Apart from that, a translation works like `text.chat`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path};

use reel_tests::{
    FakeProvider, Sandbox,
    fake_provider::Fault,
    process::{binary, run},
    studio::studio,
};
use serde_json::json;

#[test]
fn a_text_is_translated_by_a_text_provider_and_paid_once() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "models = { text = \"writer-1\" }");
    let body =
        json!({ "choices": [{ "message": { "content": "Das Licht ging aus." }, "finish_reason": "stop" }] });
    provider.always(Fault::answered(200, body.to_string()));
    let text = ["translate", "The lamp went out.", "--to", "de"];
    let translated = sandbox.reel(&[&text[..], &["--from", "en"]].concat());
    assert_eq!(translated.expect_code(0).stdout, "Das Licht ging aus.\n");
    let sent = provider.requests().last().unwrap().json();
    assert_eq!(
        (&sent["model"], &sent["messages"][1]["content"]),
        (&json!("writer-1"), &json!("The lamp went out."))
    );
    let told = sent["messages"][0]["content"].as_str().unwrap();
    assert!(told.contains("\"en\" into the language \"de\""), "{told}");
    let again = [&text[..], &["--from", "en", "-o", "lampe.txt", "--json"]].concat();
    let again = sandbox.reel(&again).expect_code(0).json();
    assert_eq!(
        (&again["task"]["source"], &again["task"]["kind"]),
        (&json!("cache"), &json!("translate.text"))
    );
    assert_eq!(fs::read_to_string(sandbox.work().join("lampe.txt")).unwrap(), "Das Licht ging aus.");
    assert_eq!(provider.calls(), 1);
    sandbox.reel(&text).expect_code(0);
    assert_eq!(provider.calls(), 2, "another question");
    let status = sandbox.connect().ok("service.status", json!({}));
    assert_eq!(status["services"]["translate"]["providers"], json!(["studio"]));

    for (arguments, code, words) in [
        (&["translate", "a", "--to", "German, please"][..], 65, "no language tag"),
        (&["translate", " ", "--to", "de"], 65, "the text is empty"),
        (&["translate", "a"], 64, "--to"),
        (&["translate", "a", "--to", "de", "--provider", "draft"], 65, "draft is not configured for text"),
        (&["translate", "a", "--to", "de", "-o", "a.png"], 64, "the name of a picture"),
    ] {
        let ran = sandbox.reel(arguments);
        assert!(ran.expect_code(code).stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(provider.calls(), 2);
    let nobody = Sandbox::started();
    nobody.reel(&text).expect_code(78);
}

#[test]
fn the_examples_in_the_openai_documentation_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/providers/openai.md");
    let page = fs::read_to_string(page).unwrap();
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 4);
    for example in examples {
        let sandbox = Sandbox::new();
        sandbox.configure(example);
        let mut check = sandbox.command(binary("reeld"));
        run(check.arg("--check-config")).expect_code(0);
    }
    // The page explains every key that this kind reads.
    for key in [
        "base_url",
        "api_key",
        "voice",
        "structured_output",
        "stream",
        "job_timeout_s",
        "partial_images",
        "billing",
    ] {
        assert!(page.contains(&format!("| `{key}` |")), "the page does not explain {key}");
    }
}
