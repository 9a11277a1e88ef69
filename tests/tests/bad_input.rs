//! Mistakes of users, made with the real commands. Each leads to a clear error with a stable code and a next step, before anything is paid for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown, symlink},
};

use reel_tests::{FakeProvider, Sandbox, eventually, needs, process::binary, studio::studio};
use serde_json::{Value, json};

/// Runs a command with `--json` and returns its error, which must have a hint.
fn error_of(sandbox: &Sandbox, arguments: &[&str], exit: i32) -> Value {
    let ran = sandbox.reel(&[arguments, &["--json"]].concat());
    let error = ran.expect_code(exit).json()["error"].clone();
    // For a missing file (exit code 66) there is no hint to give.
    assert!(error["hint"].is_string() || exit == 66, "{arguments:?}: {error}");
    error
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap()
}

#[test]
fn a_text_of_a_mebibyte_is_not_spoken() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "models = { voice = \"tts-1\" }\n");
    fs::write(sandbox.work().join("book.txt"), "a word ".repeat(150_000)).unwrap();
    let error = error_of(&sandbox, &["speak", "@book.txt", "-o", "book.wav"], 65);
    assert_eq!(error["code"], "bad_data", "{error}");
    assert!(message(&error).contains("65536"), "{error}");
    let mut connection = sandbox.connect();
    let params = json!({ "text": "a word ".repeat(100_000) });
    let error = connection.err("task.submit", json!({ "kind": "voice.speak", "params": params }));
    assert_eq!(error.data.code, "invalid_params", "{}", error.message);
    assert!(error.message.contains("longer than 65536") && error.data.hint.is_some(), "{}", error.message);
    assert_eq!(provider.calls(), 0);
}

#[test]
fn an_unknown_voice_is_refused_with_the_nearest_name() {
    if !needs::program("espeak-ng") {
        return;
    }
    let sandbox = Sandbox::started();
    let error = error_of(&sandbox, &["speak", "Hello.", "--voice", "en-uss", "-o", "a.wav"], 1);
    assert_eq!(error["code"], "provider_refused", "{error}");
    assert!(message(&error).contains("there is no voice en-uss; did you mean en-us?"), "{error}");
    assert!(!sandbox.work().join("a.wav").exists());
    sandbox.reel(&["speak", "Hello.", "--voice", "en-us", "-o", "a.wav"]).expect_code(0);
}

#[test]
fn a_key_in_plain_text_works_and_causes_a_warning_that_does_not_show_it() {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new();
    sandbox.configure(&format!(
        "[providers.studio]\nkind = \"openai\"\nbase_url = \"{}\"\nmodel = \"gpt-image-2\"\napi_key = \"{}\"\n",
        provider.base_url(),
        FakeProvider::KEY
    ));
    let mut check = sandbox.command(binary("reeld"));
    let checked = reel_tests::process::run(check.arg("--check-config"));
    checked.expect_code(0);
    assert!(
        checked.stderr.contains("providers.studio.api_key is in the configuration file itself"),
        "{}",
        checked.stderr
    );
    assert!(!checked.stderr.contains(FakeProvider::KEY));
    sandbox.start();
    sandbox.wait_for_log("api_key is in the configuration file itself");
    let made = sandbox.reel(&["generate", "a cat", "-s", "64x64", "-o", "a.png"]);
    made.expect_code(0);
    let key = format!("Bearer {}", FakeProvider::KEY);
    assert_eq!(provider.requests()[0].header("authorization"), Some(key.as_str()));
    assert!(!sandbox.log().contains(FakeProvider::KEY));
}

#[test]
fn a_provider_without_the_service_is_refused_with_the_services_that_it_has() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let error = error_of(&sandbox, &["speak", "Hello.", "--provider", "studio", "-o", "a.wav"], 65);
    assert!(message(&error).contains("studio") && message(&error).contains("voice"), "{error}");
    let error = error_of(&sandbox, &["ask", "Why?", "--provider", "studio"], 65);
    assert!(message(&error).contains("studio") && message(&error).contains("text"), "{error}");
    let text = fs::read_to_string(sandbox.config()).unwrap();
    sandbox.configure(&format!("{text}services = [\"imagee\"]\n"));
    let checked = sandbox.reel(&["config", "check"]);
    checked.expect_code(78);
    assert!(checked.stderr.contains("image"), "{}", checked.stderr);
    assert_eq!(provider.calls(), 0);
}

#[test]
fn an_input_file_that_is_not_a_picture_is_refused_before_anything_is_paid() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let at = |name: &str| sandbox.work().join(name);
    fs::write(at("words.png"), "these are words, whatever the name says").unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(at("wide.png")).unwrap(), 30_000, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&vec![0; 30_000]).unwrap();
    fs::write(at("foreign.png"), "x").unwrap();
    let is_root = fs::metadata(at("foreign.png")).unwrap().uid() == 0;
    let foreign = if is_root {
        chown(at("foreign.png"), Some(65_534), Some(65_534)).unwrap();
        at("foreign.png").display().to_string()
    } else {
        "/etc/passwd".to_owned()
    };
    symlink("nowhere.png", at("dangling.png")).unwrap();
    for (name, exit, words) in [
        ("words.png", 65, "is no picture: it is text/plain"),
        ("wide.png", 65, "30000"),
        (foreign.as_str(), 65, "another user"),
        ("dangling.png", 66, "dangling.png"),
    ] {
        let arguments = ["generate", "a", "--image", name, "-s", "64x64", "-o", "out.png"];
        let error = error_of(&sandbox, &arguments, exit);
        assert!(message(&error).contains(words), "{name}: {error}");
    }
    assert!(!at("out.png").exists());
    assert_eq!(provider.calls(), 0);
}

#[test]
fn an_answer_that_breaks_its_schema_is_fetched_with_a_warning() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "models = { text = \"writer-1\" }\n");
    fs::write(sandbox.work().join("number.json"), r#"{"type": "integer"}"#).unwrap();
    let error = error_of(&sandbox, &["ask", "A number, please.", "--schema", "number.json"], 1);
    assert_eq!(error["code"], "schema_mismatch", "{error}");
    let id = error["task"].to_string();
    let fetched = sandbox.reel(&["fetch", &id, "-o", "answer.txt"]);
    assert_eq!(fetched.expect_code(0).stdout, "answer.txt\n");
    assert!(fetched.stderr.contains("does not fit the schema"), "{}", fetched.stderr);
    assert_eq!(
        fs::read_to_string(sandbox.work().join("answer.txt")).unwrap(),
        "You asked: A number, please."
    );
    let shown = sandbox.reel(&["fetch", &id, "-o", "-"]);
    assert_eq!(shown.expect_code(0).stdout.trim_end(), "You asked: A number, please.");
    assert_eq!(provider.calls(), 1);
}

#[test]
fn each_failure_of_a_program_ends_the_command_with_a_next_step() {
    let sandbox = Sandbox::new();
    let pid = sandbox.root().join("pid");
    let section = |name: &str, script: &str, more: &str| {
        format!(
            "[providers.{name}]\nkind = 'command'\nservices = ['image']\nprogram = 'sh'\noutput = 'png'\n\
             argv = ['-c', '''{script}''', 'sh', '{{output}}', '{{prompt}}']\n{more}\n"
        )
    };
    let child = format!("sleep 6000 & echo $! > {}; exit 5", pid.display());
    let config = [
        section("missing", "true", "install = 'apt install nothing'")
            .replace("'sh'\noutput", "'reel-no-such-program'\noutput"),
        section("three", "echo no paper >&2; exit 3", ""),
        section("silent", "true", ""),
        section("large", "exec head -c 10000000000 /dev/zero > \"$1\"", "output_max_mb = 1"),
        section("endless", "while :; do sleep 1; done", "timeout_s = 1"),
        section("parent", &child, ""),
    ];
    sandbox.configure(&config.concat());
    sandbox.start();
    for (name, code, words) in [
        ("missing", "provider_unavailable", "reel-no-such-program is not installed"),
        ("three", "provider_failed", "sh exited with 3: no paper"),
        ("silent", "provider_failed", "sh exited with 0 and wrote no file"),
        ("large", "provider_failed", "sh wrote a file of more than 1 MiB"),
        ("endless", "provider_failed", "sh did not end within 1 s"),
        ("parent", "provider_failed", "sh exited with 5"),
    ] {
        let ran =
            sandbox.reel(&["generate", "a", "--provider", name, "-s", "64x64", "-o", "a.png", "--json"]);
        let error = ran.json()["error"].clone();
        assert_eq!(error["code"], code, "{name}: {error}");
        assert!(message(&error).contains(words) && error["hint"].is_string(), "{name}: {error}");
        assert!(!sandbox.work().join("a.png").exists(), "{name}");
    }
    let left = fs::read_to_string(&pid).unwrap();
    eventually("the child that was left behind ends", || {
        let status = fs::read_to_string(format!("/proc/{}/status", left.trim())).unwrap_or_default();
        (status.is_empty() || status.contains("State:\tZ")).then_some(())
    });
    let runs = || fs::read_dir(sandbox.home().join("runs")).map_or(0, Iterator::count);
    eventually("the directories of the runs are removed", || (runs() == 0).then_some(()));
}
