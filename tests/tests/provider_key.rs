//! `reel providers key` stores the key of a provider, and `remove` removes the key files that reel has written, never those of the user.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use reel_tests::{FakeProvider, Sandbox};

fn own_key(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.config().with_file_name("keys").join(name)
}

/// Returns a sandbox whose provider `studio` has no key, and the service that wants one.
fn studio() -> (Sandbox, FakeProvider) {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new();
    sandbox.configure(&format!(
        "# mine\n[providers.studio]\nkind = \"openai\" # the kind\nbase_url = \"{}\"\napi_key = {{ env = \"REEL_TEST_NO_SUCH_KEY\" }}\nmodel = \"m\"\n",
        provider.base_url()
    ));
    sandbox.start();
    (sandbox, provider)
}

#[test]
fn a_missing_key_is_stored_by_the_command_that_the_error_names() {
    let (sandbox, _provider) = studio();
    let failed = sandbox.reel(&["generate", "a pier", "-s", "64x64", "-o", "-"]);
    assert!(failed.expect_code(78).stderr.contains("REEL_TEST_NO_SUCH_KEY"), "{}", failed.stderr);
    assert!(failed.stderr.contains("reel providers key studio"), "{}", failed.stderr);
    let stored = sandbox.reel_with_stdin(&["providers", "key", "studio", "--stdin"], FakeProvider::KEY);
    assert!(stored.expect_code(0).stdout.contains("studio is usable"), "{stored:?}");
    let file = own_key(&sandbox, "studio");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let config = fs::read_to_string(sandbox.config()).unwrap();
    assert!(config.starts_with("# mine\n[providers.studio]\nkind = \"openai\" # the kind\n"), "{config}");
    sandbox.reel(&["generate", "a pier", "-s", "64x64", "-o", "-"]).expect_code(0);
    // Another place of the key leaves no file behind that holds it.
    sandbox.reel(&["providers", "key", "studio", "--env", "REEL_TEST_NO_SUCH_KEY"]).expect_code(1);
    assert!(!file.parent().unwrap().exists());
    let unknown = sandbox.reel_with_stdin(&["providers", "key", "nobody", "--stdin"], "sk-a-key");
    assert!(unknown.expect_code(66).stderr.contains("has no provider \"nobody\""), "{unknown:?}");
    assert!(!own_key(&sandbox, "nobody").exists());
    assert!(sandbox.reel(&["providers", "key", "studio"]).expect_code(64).stderr.contains("--stdin"));
}

#[test]
fn a_removed_provider_leaves_no_key_behind_and_the_files_of_the_user_alone() {
    let (sandbox, provider) = studio();
    let base_url = provider.base_url();
    let add = ["providers", "add", "second", "--kind", "openai", "--base-url", &base_url, "--model", "m"];
    sandbox.reel_with_stdin(&[&add[..], &["--key-stdin"]].concat(), FakeProvider::KEY).expect_code(0);
    assert!(own_key(&sandbox, "second").exists());
    let removed = sandbox.reel(&["providers", "remove", "second", "--json"]);
    let file = removed.expect_code(0).json()["removed_key_file"].as_str().unwrap().to_owned();
    assert_eq!(PathBuf::from(file), own_key(&sandbox, "second"));
    assert!(!own_key(&sandbox, "second").parent().unwrap().exists());

    let mine = sandbox.root().join("my-key");
    fs::write(&mine, FakeProvider::KEY).unwrap();
    let file = mine.display().to_string();
    sandbox.reel(&[&add[..], &["--key-file", &file]].concat()).expect_code(0);
    let removed = sandbox.reel(&["providers", "remove", "second"]);
    assert!(removed.expect_code(0).stderr.contains("is yours and was kept"), "{removed:?}");
    assert!(mine.exists());

    // A file that another section names is kept until that section is removed.
    sandbox.reel_with_stdin(&[&add[..], &["--key-stdin"]].concat(), FakeProvider::KEY).expect_code(0);
    let shared = own_key(&sandbox, "second");
    let name = shared.display().to_string();
    sandbox.reel(&["providers", "key", "studio", "--file", &name]).expect_code(0);
    let removed = sandbox.reel(&["providers", "remove", "second"]);
    assert!(removed.expect_code(0).stderr.contains("[providers.studio] names"), "{removed:?}");
    assert!(shared.exists());
}

#[test]
fn adding_and_removing_say_which_provider_is_used_now() {
    let (sandbox, provider) = studio();
    let base_url = provider.base_url();
    let add = ["providers", "add", "second", "--kind", "openai", "--base-url", &base_url, "--model", "m"];
    let first = sandbox.reel(&[&add[..], &["--key-env", "NO_SUCH_KEY", "--rank", "1"]].concat());
    assert!(first.stderr.contains("pictures are now made by second, no longer by studio"), "{first:?}");
    assert!(first.stderr.contains("image = \"studio\" below [defaults]"), "{first:?}");
    let removed = sandbox.reel(&["providers", "remove", "second"]);
    assert!(removed.expect_code(0).stderr.contains("pictures are now made by studio"), "{removed:?}");
    let last = sandbox.reel(&[&add[..], &["--key-env", "NO_SUCH_KEY", "--rank", "900"]].concat());
    assert!(last.stderr.contains("pictures are still made by studio"), "{last:?}");
}
