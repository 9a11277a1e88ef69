//! Results that one provider has made are fetched before another provider is paid for the same. The number of fetches per response is bounded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, Sandbox, eventually,
    fake_provider::{Delivery, Fault, FileFault},
    raw_server::{RawServer, png, response},
    studio::{patient_studio, prompt, submit},
};
use serde_json::json;

/// Starts a server whose responses name their pictures by URL.
fn naming() -> FakeProvider {
    let provider = FakeProvider::start();
    provider.deliver(Delivery::AbsoluteUrl);
    provider
}

/// Returns the configuration of the sandbox, whose provider is `studio`, with a second provider `spare` after it.
fn both(sandbox: &Sandbox, studio: &FakeProvider, spare: &FakeProvider) -> String {
    let configured = fs::read_to_string(sandbox.config()).unwrap();
    let (_, section) = configured.split_once("[providers.studio]").unwrap();
    let section = section.replace(&studio.base_url(), &spare.base_url());
    format!("{configured}\nrank = 1\n[providers.spare]{section}")
}

#[test]
fn results_are_fetched_from_the_provider_that_made_them_though_it_is_failing() {
    let (studio, spare) = (naming(), FakeProvider::start());
    studio.always_files(FileFault::Status(503, None));
    let sandbox = patient_studio(&studio, 1, "");
    let configured = both(&sandbox, &studio, &spare);
    sandbox.configure(&configured);
    sandbox.connect().ok("daemon.reload", json!({}));
    let mut connection = sandbox.connect();
    let id = submit(&mut connection, "made");
    assert_eq!(connection.wait(id)["hold_reason"], "outcome_unknown");
    studio.always(Fault::ServerError);
    let tasks = (0..20).map(|n| json!({ "kind": "image.generate", "params": prompt(&format!("{n}")) }));
    let (_, ids) = connection.submit_batch(tasks.collect());
    for id in ids {
        assert_eq!(connection.wait(id)["provider"], "spare");
    }
    studio.always_files(FileFault::Good);
    connection.ok("task.release", json!({ "id": id }));
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("studio")), "{task}");
    assert_eq!((studio.calls_of("made"), spare.calls_of("made")), (1, 0), "it is paid once");
}

#[test]
fn a_release_fetches_from_the_provider_that_made_the_results_once_it_is_configured_again() {
    let (studio, spare) = (naming(), FakeProvider::start());
    studio.always_files(FileFault::Status(503, None));
    let sandbox = patient_studio(&studio, 600, "");
    let id = submit(&mut sandbox.connect(), "moved");
    eventually("its address is known", || (studio.fetches() > 0).then_some(()));
    sandbox.kill();
    let both = both(&sandbox, &studio, &spare);
    let (_, spare_alone) = both.split_once("[providers.spare]").unwrap();
    sandbox.configure(&format!("[providers.spare]{spare_alone}"));
    sandbox.start();
    let mut connection = sandbox.connect();
    assert_eq!(connection.wait(id)["hold_reason"], "outcome_unknown");
    sandbox.configure(&both);
    connection.ok("daemon.reload", json!({}));
    studio.always_files(FileFault::Good);
    connection.ok("task.release", json!({ "id": id }));
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("studio")), "{task}");
    assert_eq!((studio.calls(), spare.calls()), (1, 0));
}

#[test]
fn a_bounded_number_of_a_thousand_named_pictures_is_fetched() {
    let server = RawServer::answering(|request| {
        if !request.is_post() {
            return response("200 OK", &[], &png());
        }
        let host = request.headers.iter().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let data: Vec<_> = (0..1_000).map(|n| json!({ "url": format!("http://{host}/{n}.png") })).collect();
        response("200 OK", &[], json!({ "data": data }).to_string().as_bytes())
    });
    let sandbox = Sandbox::started_with(&server.config(""));
    let task = sandbox.connect().generate(prompt("many"));
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(server.requests().len(), 1 + 64);
    assert!(task["notes"].to_string().contains("936"), "{task}");
}
