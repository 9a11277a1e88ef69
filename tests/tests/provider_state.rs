//! `reel providers` says which providers work, and what is wrong with the others: it names a missing key, a refused key, and a server that cannot be
//! reached.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{FakeProvider, Sandbox};
use serde_json::{Value, json};

/// Returns a section for a provider of pictures.
fn section(name: &str, base_url: &str, key: &str) -> String {
    format!(
        "[providers.{name}]\nkind = \"openai\"\nbase_url = \"{base_url}\"\napi_key = {key}\nmodel = \"m\"\n"
    )
}

/// Returns the line of `reel providers` about one of them.
fn line(sandbox: &Sandbox, name: &str) -> String {
    let shown = sandbox.reel(&["providers"]).expect_code(0).stdout.clone();
    let line = shown.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} is not in {shown}")).to_owned()
}

fn condition(sandbox: &Sandbox, name: &str) -> Value {
    let listed = sandbox.connect().ok("provider.list", json!({}));
    let providers = listed["providers"].as_array().unwrap();
    providers.iter().find(|provider| provider["name"] == name).unwrap()["condition"].clone()
}

#[test]
fn a_missing_key_is_named_before_anybody_asks() {
    let sandbox = Sandbox::new();
    let missing = sandbox.root().join("no-such-key");
    let file = format!("{{ file = \"{}\" }}", missing.display());
    let config = [
        section("unset", "http://127.0.0.1:9/v1", "{ env = \"REEL_TEST_NO_SUCH_KEY\" }"),
        section("unread", "http://127.0.0.1:9/v1", &file),
    ];
    sandbox.configure(&config.concat());
    sandbox.start();
    for name in ["unset", "unread"] {
        assert!(line(&sandbox, name).contains(" no key "), "{}", line(&sandbox, name));
        assert_eq!(condition(&sandbox, name)["error"]["code"], "key_missing");
    }
    let shown = sandbox.reel(&["providers"]);
    assert!(
        shown.stderr.contains("REEL_TEST_NO_SUCH_KEY") && shown.stderr.contains("no-such-key"),
        "{shown:?}"
    );
    // The key is there now, and nobody has asked the service yet.
    fs::write(missing, "sk-a-key-of-a-test").unwrap();
    assert!(line(&sandbox, "unread").contains(" not tried yet "), "{}", line(&sandbox, "unread"));
    assert_eq!(condition(&sandbox, "unread"), Value::Null);
}

#[test]
fn a_refused_key_is_shown_until_a_check_or_a_call_succeeds() {
    let provider = FakeProvider::start();
    provider.require_key(Some("sk-the-right-key"));
    let sandbox = Sandbox::new();
    let key = sandbox.root().join("key");
    fs::write(&key, "sk-a-wrong-key").unwrap();
    let file = format!("{{ file = \"{}\" }}", key.display());
    sandbox.configure(&section("studio", &provider.base_url(), &file));
    sandbox.start();
    assert!(line(&sandbox, "studio").contains(" not tried yet "));
    sandbox.reel(&["generate", "a pier", "--size", "64x64", "-o", "-"]).expect_code(77);
    assert!(line(&sandbox, "studio").contains(" key refused "), "{}", line(&sandbox, "studio"));
    assert_eq!(condition(&sandbox, "studio")["error"]["code"], "provider_auth");
    let checked = sandbox.reel(&["providers", "check", "studio", "--json"]);
    assert_eq!(checked.expect_code(1).json()["providers"][0]["code"], "provider_auth");
    fs::write(&key, "sk-the-right-key").unwrap();
    sandbox.reel(&["providers", "check", "studio"]).expect_code(0);
    assert!(line(&sandbox, "studio").contains(" ready "), "{}", line(&sandbox, "studio"));
}

#[test]
fn a_check_shows_that_a_server_cannot_be_reached() {
    let address = FakeProvider::start().base_url();
    let sandbox = Sandbox::new();
    sandbox.configure(&section("studio", &address, "\"sk-a-key-of-a-test\""));
    sandbox.start();
    sandbox.reel(&["providers", "check", "studio"]).expect_code(1);
    assert!(line(&sandbox, "studio").contains(" cannot be reached "), "{}", line(&sandbox, "studio"));
    assert_eq!(condition(&sandbox, "studio")["error"]["code"], "provider_unavailable");
}

#[test]
fn a_program_that_is_not_installed_is_named() {
    let sandbox = Sandbox::new();
    sandbox.configure("[providers.teller]\nkind = \"command\"\ndefinition = \"piper\"\nprogram = \"/nowhere/piper\"\nmodel = \"m\"\n");
    sandbox.start();
    assert!(line(&sandbox, "teller").contains(" not installed "), "{}", line(&sandbox, "teller"));
}
