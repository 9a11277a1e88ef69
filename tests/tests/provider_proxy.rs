//! A proxy in the environment is used for requests to the internet, and for nothing else.

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

/// Starts a daemon with this proxy in its environment, under a name that resolves to this machine.
fn behind(proxy: &FakeProvider, config: impl FnOnce(&Sandbox) -> String) -> Sandbox {
    let proxy = format!("http://localhost:{}", proxy.address().port());
    let sandbox = Sandbox::new().with_variable("HTTP_PROXY", proxy);
    sandbox.configure(&config(&sandbox));
    sandbox.start();
    sandbox
}

#[test]
fn a_provider_on_this_machine_is_called_without_the_proxy() {
    let (provider, proxy) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = behind(&proxy, |sandbox| config(sandbox, &provider, ""));
    let task = ask_once(&mut sandbox.connect(), "near");
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!((provider.calls(), proxy.connections()), (1, 0), "its key is nobody else's");
}

#[test]
fn a_remote_service_is_called_by_the_proxy_and_cannot_make_it_call_this_machine() {
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

#[test]
fn a_proxy_that_cannot_be_reached_is_named_with_its_variable_and_without_its_password() {
    let sandbox = Sandbox::new().with_variable("ALL_PROXY", "socks5h://user:word@127.0.0.1:9".to_owned());
    sandbox.configure("[providers.studio]\nkind = \"openai\"\nbase_url = \"http://studio.invalid/v1\"\n");
    sandbox.start();
    let checked = sandbox.reel(&["providers", "check", "studio"]);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(checked.code != Some(0) && said.contains("socks5h://127.0.0.1:9 (ALL_PROXY)"), "{said}");
    assert!(said.contains("NO_PROXY") && !said.contains("word"), "{said}");
}

#[test]
fn no_proxy_star_applies_to_every_address() {
    let proxy = FakeProvider::start();
    let address = format!("http://{}", proxy.address());
    let sandbox =
        Sandbox::new().with_variable("HTTP_PROXY", address).with_variable("NO_PROXY", "*".to_owned());
    // This address is reserved for documentation. It is not reachable, and the proxy is not used for it.
    sandbox.configure(
        "[http]\nconnect_s = 1\n[providers.studio]\nkind = \"openai\"\nbase_url = \"http://192.0.2.1/v1\"\n",
    );
    sandbox.start();
    sandbox.reel(&["providers", "check", "studio"]);
    assert_eq!(proxy.connections(), 0);
}
