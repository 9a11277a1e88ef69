//! A proxy in the environment: the way to the internet, and to nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use reel_tests::{
    FakeProvider, Sandbox,
    fake_provider::Fault,
    studio::{ask_once, config},
};

/// A daemon in whose environment is this proxy, by a name that leads to this machine.
fn behind(proxy: &FakeProvider, config: impl FnOnce(&Sandbox) -> String) -> Sandbox {
    let proxy = format!("http://localhost:{}", proxy.address().port());
    let sandbox = Sandbox::new().with_variable("HTTP_PROXY", proxy);
    sandbox.configure(&config(&sandbox));
    sandbox.start();
    sandbox
}

#[test]
fn a_provider_on_this_machine_is_asked_past_the_proxy() {
    let (provider, proxy) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = behind(&proxy, |sandbox| config(sandbox, &provider, ""));
    let task = ask_once(&mut sandbox.connect(), "near");
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!((provider.calls(), proxy.connections()), (1, 0), "its key is nobody else's");
}

#[test]
fn a_service_elsewhere_is_asked_through_the_proxy_and_cannot_have_it_ask_this_machine() {
    let proxy = FakeProvider::start();
    let sandbox = behind(&proxy, |sandbox| {
        config(sandbox, &proxy, "").replace(&proxy.base_url(), "http://studio.invalid/v1")
    });
    let mut connection = sandbox.connect();
    let task = ask_once(&mut connection, "in the answer");
    assert_eq!(task["state"], "succeeded", "{task}");
    proxy.on_prompt("at an address", Fault::PictureAt("http://pictures.invalid/files/64-64-0-7.png".into()));
    let task = ask_once(&mut connection, "at an address");
    assert_eq!(task["state"], "succeeded", "{task}");
    for inside in ["http://localhost:9/files/64-64-0-8.png", "http://127.0.0.1:9/files/64-64-0-8.png"] {
        proxy.on_prompt(inside, Fault::PictureAt(inside.into()));
        let task = ask_once(&mut connection, inside);
        assert_eq!(task["state"], "held", "{task}");
        assert!(task["error"]["message"].as_str().unwrap().contains("may not be asked"), "{task}");
    }
    let paths: Vec<_> = proxy.requests().into_iter().map(|request| request.path).collect();
    assert!(paths.iter().any(|path| path == "/files/64-64-0-7.png"), "{paths:?}");
    assert!(!paths.iter().any(|path| path == "/files/64-64-0-8.png"), "{paths:?}");
}
