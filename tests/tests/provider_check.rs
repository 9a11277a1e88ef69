//! `reel providers check` claims only what it has tried. A malformed key is refused before it is sent to anybody.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, Sandbox,
    raw_server::{RawRequest, RawServer, response},
    studio::{config, studio},
};
use serde_json::json;

/// Returns whether the provider is usable, and the detail of the check.
fn check(sandbox: &Sandbox) -> (bool, String) {
    let result = sandbox.connect().ok("provider.check", json!({ "name": "studio" }));
    (result["is_usable"].as_bool().unwrap(), result["detail"].as_str().unwrap().to_owned())
}

fn answering(answer: impl Fn(&RawRequest) -> Vec<u8> + Send + Sync + 'static) -> (RawServer, Sandbox) {
    let server = RawServer::answering(answer);
    let sandbox = Sandbox::started_with(&server.config("api_key = \"sk-wrong-0123\""));
    (server, sandbox)
}

#[test]
fn a_key_is_called_valid_only_if_the_provider_has_checked_it() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let (is_usable, detail) = check(&sandbox);
    assert!(is_usable && detail.contains("takes the key"), "{detail}");
    assert_eq!(provider.calls(), 0, "it cost nothing");
    provider.require_key(Some("another"));
    let (is_usable, detail) = check(&sandbox);
    assert!(!is_usable && detail.contains("reel providers key studio"), "{detail}");

    let (_server, sandbox) = answering(|_| response("200 OK", &[], b"{\"data\":[{\"id\":\"x\"}]}"));
    let (is_usable, detail) = check(&sandbox);
    assert!(is_usable && !detail.contains("takes the key") && detail.contains("a wrong key"), "{detail}");

    let (_server, sandbox) = answering(|_| response("404 Not Found", &[], b"{\"detail\":\"Not Found\"}"));
    let (is_usable, detail) = check(&sandbox);
    assert!(is_usable && !detail.contains("takes the key") && detail.contains("404"), "{detail}");
}

#[test]
fn a_web_page_is_not_usable_and_json_is_accepted_with_any_content_type() {
    let page = b"\n <!doctype html><title>One API</title>";
    for headers in [vec!["content-type: text/html".to_owned()], Vec::new()] {
        let (_server, sandbox) = answering(move |_| response("200 OK", &headers, page));
        let (is_usable, detail) = check(&sandbox);
        assert!(!is_usable && detail.contains("web page") && detail.contains("base_url"), "{detail}");
    }
    let headers = ["content-type: text/html; charset=utf-8".to_owned()];
    let (_server, sandbox) = answering(move |_| response("200 OK", &headers, b"{\"data\":[]}"));
    assert!(check(&sandbox).0);
}

#[test]
fn a_base_url_with_the_path_of_a_request_is_refused_with_the_right_one() {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new();
    let wrong = format!("{}/images/generations/", provider.base_url());
    sandbox.configure(&config(&sandbox, &provider, "").replace(&provider.base_url(), &wrong));
    sandbox.start();
    let (is_usable, detail) = check(&sandbox);
    let right = format!("base_url = \"{}\"", provider.base_url());
    assert!(!is_usable && detail.contains("/images/generations") && detail.contains(&right), "{detail}");
}

#[test]
fn a_check_ends_with_a_step_of_a_check_and_names_the_port() {
    let words = b"{\"error\":{\"type\":\"busy\",\"message\":\"the disk is full\"}}";
    for kind in ["openai", "sdcpp", "a1111", "ollama", "comfyui"] {
        for status in ["500 Internal Server Error", "503 Service Unavailable"] {
            let server = RawServer::answering(move |_| response(status, &[], words));
            let config = server.config("").replace("kind = \"openai\"", &format!("kind = \"{kind}\""));
            let config = config.replace("/v1\"", "\"");
            let sandbox = Sandbox::started_with(&config);
            let (is_usable, detail) = check(&sandbox);
            assert!(!is_usable && detail.contains("the disk is full"), "{kind}: {detail}");
            for part in ["retry", "tried again", "the task", "{"] {
                assert!(!detail.contains(part), "{kind}: {part}: {detail}");
            }
        }
    }
    let sandbox =
        Sandbox::started_with("[providers.studio]\nkind = \"sdcpp\"\nbase_url = \"http://127.0.0.1:1\"\n");
    let (_, detail) = check(&sandbox);
    assert!(detail.contains("127.0.0.1:1 cannot be reached"), "{detail}");
}

#[test]
fn a_key_file_with_a_byte_order_mark_is_read_and_a_malformed_key_is_refused() {
    let server = RawServer::answering(|_| response("200 OK", &[], b"{\"data\":[]}"));
    for (key, told) in [
        (&b"\xef\xbb\xbfsk-test-01\r\n"[..], None),
        ("sk-test-01\u{200b}\n".as_bytes(), Some("zero-width space (U+200B)")),
        ("sk-proj-\u{2022}\u{2022}\u{2022}".as_bytes(), Some("bullet")),
        (b"sk-1\nsk-2\n", Some("a line break")),
        (b"\xff\xfes\0k\0", Some("not UTF-8")),
    ] {
        let sandbox = Sandbox::new();
        let file = sandbox.root().join("key");
        fs::write(&file, key).unwrap();
        sandbox.configure(&server.config(&format!("api_key = {{ file = \"{}\" }}", file.display())));
        sandbox.start();
        let before = server.requests().len();
        let (is_usable, detail) = check(&sandbox);
        let sent = server.requests().split_off(before);
        assert_eq!(is_usable, told.is_none(), "{detail}");
        if let Some(told) = told {
            assert!(sent.is_empty() && detail.contains(told) && !detail.contains("sk-"), "{detail}");
        } else {
            assert!(sent[0].headers.contains(&"authorization: Bearer sk-test-01".to_owned()), "{sent:?}");
        }
    }
}
