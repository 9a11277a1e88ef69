//! The choice of a provider for a request that names none: the default of its service, then the others by rank, and espeak-ng if no other provider
//! speaks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, os::unix::fs::symlink, path::Path};

use reel_tests::{FakeProvider, Sandbox, fake_provider::Fault, needs, studio::prompt};
use serde_json::{Value, json};

/// Returns a configuration of two providers with ranks, followed by `more`.
fn two(studio: &FakeProvider, spare: &FakeProvider, more: &str) -> String {
    let section = |name: &str, provider: &FakeProvider, rank: u32| {
        let url = provider.base_url();
        format!(
            "[providers.{name}]\nkind = \"openai\"\nbase_url = \"{url}\"\napi_key = \"{}\"\nrank = {rank}\n",
            FakeProvider::KEY
        )
    };
    format!("{}{}{more}", section("studio", studio, 1), section("spare", spare, 2))
}

#[test]
fn the_default_provider_is_used_first_and_then_the_others_by_rank() {
    let (studio, spare) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = Sandbox::started_with(&two(&studio, &spare, ""));
    let mut connection = sandbox.connect();
    let make = |connection: &mut reel_tests::Connection, text: &str| -> Value {
        let id = connection.submit("image.generate", prompt(text));
        connection.wait(id)
    };
    assert_eq!(make(&mut connection, "by rank")["provider"], "studio");
    sandbox.configure(&two(&studio, &spare, "[defaults]\nimage = \"spare\"\n"));
    let reloaded = connection.ok("daemon.reload", json!({}));
    // The daemon may have loaded the file by itself.
    assert!([json!([]), json!(["defaults.image"])].contains(&reloaded["changed"]), "{reloaded}");
    assert_eq!(make(&mut connection, "by default")["provider"], "spare");
    let shown = sandbox.reel(&["providers"]).expect_code(0).stdout.clone();
    assert!(shown.contains("image (default)"), "{shown}");
    // If the default refuses for reasons that concern only itself, the next provider by rank is used.
    spare.script([Fault::Unauthorized]);
    assert_eq!(make(&mut connection, "after the default")["provider"], "studio");
    // If the default may have been paid, no other provider is used.
    let calls = studio.calls();
    spare.script([Fault::ResetAfterRequest]);
    let held = make(&mut connection, "may be paid");
    assert_eq!((&held["state"], &held["provider"]), (&json!("held"), &json!("spare")), "{held}");
    assert_eq!(studio.calls(), calls);
    sandbox.configure(&two(&studio, &spare, "[defaults]\nimage = \"draft\"\n"));
    connection.ok("daemon.reload", json!({}));
    assert_eq!(make(&mut connection, "a draft")["provider"], "draft");
    assert_eq!((studio.calls(), spare.calls()), (calls, 3));
}

#[test]
fn an_unknown_default_provider_is_refused_with_the_nearest_name() {
    let (studio, spare) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = Sandbox::new();
    for (defaults, part) in [
        ("image = \"studoi\"", "defaults.image names no provider of this file; did you mean studio?"),
        ("imag = \"studio\"", "unknown key defaults.imag; did you mean image?"),
        ("voice = \"studio\"", "defaults.voice names studio, which is not configured for voice"),
        ("image = 3", "defaults.image must be a provider's name, not a whole number"),
    ] {
        sandbox.configure(&two(&studio, &spare, &format!("[defaults]\n{defaults}\n")));
        let ran = sandbox.reel(&["config", "check"]);
        assert!(ran.expect_code(78).stderr.contains(part), "{defaults}\n{}", ran.stderr);
    }
}

/// Makes a directory with only these programs, for use as a daemon's `PATH`.
fn programs(sandbox: &Sandbox, names: &[&str]) -> String {
    let directory = sandbox.root().join("programs");
    fs::create_dir_all(&directory).unwrap();
    for name in names {
        let path = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.exists());
        symlink(found.unwrap(), directory.join(name)).unwrap();
    }
    directory.to_str().unwrap().to_owned()
}

#[test]
fn espeak_ng_speaks_if_no_other_provider_does() {
    if !needs::program("espeak-ng") {
        return;
    }
    let sandbox = Sandbox::new();
    let path = programs(&sandbox, &["espeak-ng"]);
    let sandbox = sandbox.with_variable("PATH", path);
    let spoken = sandbox.reel(&["speak", "The lamp went out.", "-o", "line.wav", "--json"]);
    let task = spoken.expect_code(0).json()["task"].clone();
    assert_eq!((&task["provider"], &task["notes"]), (&json!("espeak-ng"), &json!([])), "{task}");
    assert!(fs::metadata(sandbox.work().join("line.wav")).unwrap().len() > 10_000);
    let shown = sandbox.reel(&["providers"]).expect_code(0).stdout.clone();
    assert!(shown.contains("command, built in") && shown.contains("draft, built in"), "{shown}");
    // Pictures are still drafts.
    let task = sandbox
        .connect()
        .ok("service.call", json!({ "service": "image", "method": "generate", "params": prompt("a") }));
    assert_eq!(task["provider"], "draft");
    // A configured provider that speaks replaces espeak-ng.
    let studio = FakeProvider::start();
    let voice = "services = [\"voice\"]\n";
    sandbox.configure(&two(&studio, &studio, "").replace("rank = 2\n", voice));
    sandbox.connect().ok("daemon.reload", json!({}));
    assert!(!sandbox.reel(&["providers"]).stdout.contains("espeak-ng"));
    sandbox.configure(
        &(two(&studio, &studio, "").replace("rank = 2\n", voice) + "[defaults]\nvoice = \"espeak-ng\"\n"),
    );
    sandbox.connect().ok("daemon.reload", json!({}));
    sandbox.reel(&["speak", "The lamp is lit.", "-o", "lit.wav"]).expect_code(0);
    assert_eq!(studio.calls(), 0);
}

#[test]
fn a_program_that_is_installed_later_is_found_by_a_reload() {
    if !needs::program("espeak-ng") {
        return;
    }
    let sandbox = Sandbox::new();
    let path = programs(&sandbox, &[]);
    let sandbox = sandbox.with_variable("PATH", path);
    sandbox.reel(&["speak", "The lamp went out.", "-o", "line.wav"]).expect_code(78);
    programs(&sandbox, &["espeak-ng"]);
    sandbox.reel(&["daemon", "reload"]).expect_code(0);
    sandbox.reel(&["speak", "The lamp went out.", "-o", "line.wav"]).expect_code(0);
}

#[test]
fn without_espeak_ng_speech_is_refused_with_its_package() {
    let sandbox = Sandbox::new().without_programs();
    let refused = sandbox.reel(&["speak", "Hello.", "--json"]);
    let error = refused.expect_code(78).json()["error"].clone();
    assert!(error["hint"].as_str().unwrap().contains("apt install espeak-ng"), "{error}");
    assert!(!Path::new(&sandbox.work()).join("hello.wav").exists());
}
