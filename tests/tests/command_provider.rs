//! Providers of kind `command`, from the configuration to the picture, and what happens to their programs when a task is cancelled or the daemon
//! dies.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use image::{DynamicImage, GenericImageView as _};
use reel_tests::{Sandbox, eventually, needs};
use serde_json::{Value, json};

/// Returns a configuration with the provider `poster`. It runs a script with the output path as `$1` and the prompt as `$2`.
fn poster(script: &str, more: &str) -> String {
    format!(
        "[providers.poster]\nkind = 'command'\nservices = ['image']\nprogram = 'sh'\noutput = 'png'\n\
         argv = ['-c', '''{script}''', 'sh', '{{output}}', '{{prompt}}', ['{{seed}}']]\n{more}"
    )
}

/// Writes a picture of 64×48 pixels into the sandbox and returns its path.
fn picture(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.root().join("picture.png");
    DynamicImage::new_rgb8(64, 48).save(&path).unwrap();
    path
}

fn params(prompt: &str) -> Value {
    json!({ "prompt": prompt, "width": 64, "height": 48 })
}

/// Submits a task for a picture, waits until it has ended or is held, and returns it.
fn run(sandbox: &Sandbox, params: Value) -> Value {
    let mut connection = sandbox.connect();
    let id = connection.submit("image.generate", params);
    connection.wait(id)
}

fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.trim())).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn written(path: &Path) -> String {
    eventually("the program writes", || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')))
}

#[test]
fn a_program_makes_pictures_that_are_kept_and_cached() {
    let sandbox = Sandbox::new();
    let (picture, prompts) = (picture(&sandbox), sandbox.root().join("prompts"));
    let script = format!("echo \"$2 $3\" >> {}; cp {} \"$1\"", prompts.display(), picture.display());
    sandbox.configure(&poster(&script, ""));
    sandbox.start();
    let mut connection = sandbox.connect();
    let task = connection
        .generate(json!({ "prompt": "--help; $(id)", "width": 64, "height": 48, "seed": 7, "n": 2 }));
    assert_eq!(
        (&task["state"], &task["provider"], &task["notes"]),
        (&json!("succeeded"), &json!("poster"), &json!([]))
    );
    assert_eq!(fs::read_to_string(&prompts).unwrap(), " --help; $(id) 7\n --help; $(id) 8\n");
    let output = &task["outputs"][0];
    assert_eq!((&output["media_type"], &output["width"]), (&json!("image/png"), &json!(64)));
    let kept = image::open(output["path"].as_str().unwrap()).unwrap();
    assert_eq!(kept.dimensions(), (64, 48));
    assert_eq!(fs::read_dir(sandbox.home().join("runs")).unwrap().count(), 0);
    let again = connection
        .generate(json!({ "prompt": "--help; $(id)", "width": 64, "height": 48, "seed": 7, "n": 2 }));
    assert_eq!(again["source"], "cache");
    let other_size = connection.generate(json!({ "prompt": "a", "width": 32, "height": 32 }));
    assert_eq!(other_size["notes"][0]["code"], "other_size");

    let refused = connection
        .err("task.submit", json!({ "kind": "image.generate", "params": { "prompt": "a", "steps": 3 } }));
    assert!(refused.message.contains("poster has no steps"), "{}", refused.message);
}

#[test]
fn a_program_that_writes_no_picture_fails_its_task_with_its_output() {
    let sandbox = Sandbox::started_with(&poster("echo oops >&2; echo text > \"$1\"", ""));
    let task = run(&sandbox, params("a"));
    assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!("provider_failed")));
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("sh exited with 0 and its file is wrong"), "{message}");
    assert_eq!(task["attempts"], 1);
}

#[test]
fn a_program_that_is_not_installed_is_named_by_the_check_and_by_the_task() {
    let sandbox = Sandbox::new();
    let more = "install = 'apt install nothing'";
    sandbox.configure(&poster("", more).replace("'sh'\n", "'reel-no-such-program'\n"));
    let mut check = sandbox.command(reel_tests::process::binary("reeld"));
    let checked = reel_tests::process::run(check.arg("--check-config"));
    checked.expect_code(0);
    assert!(checked.stderr.contains("reel-no-such-program is not installed"), "{}", checked.stderr);
    assert!(checked.stderr.contains("apt install nothing"), "{}", checked.stderr);
    sandbox.start();
    let checked = sandbox.connect().ok("provider.check", json!({ "name": "poster" }));
    assert_eq!(checked["is_usable"], false, "{checked}");
    let task = run(&sandbox, params("a"));
    assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!("provider_unavailable")));
    assert!(task["error"]["hint"].as_str().unwrap().contains("apt install nothing"), "{task}");
}

#[test]
fn a_cancelled_task_ends_the_program_and_its_children() {
    let sandbox = Sandbox::new();
    let pids = sandbox.root().join("pids");
    sandbox.configure(&poster(&format!("sleep 6000 & echo $$ $! > {}; wait", pids.display()), ""));
    sandbox.start();
    let mut connection = sandbox.connect();
    let id = connection.submit("image.generate", params("a"));
    let pids = written(&pids);
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    for process in pids.split_whitespace() {
        eventually("the process ends", || (!is_running(process)).then_some(()));
    }
}

#[test]
fn after_a_crash_the_old_program_is_ended_before_the_next_attempt() {
    let sandbox = Sandbox::new();
    let (picture, pids) = (picture(&sandbox), sandbox.root().join("pids"));
    // The first run never ends. The second run finds the file that the first wrote.
    let script = format!(
        "if [ -e {0} ]; then cp {1} \"$1\"; else sleep 6000 & echo $$ $! > {0}; wait; fi",
        pids.display(),
        picture.display()
    );
    sandbox.configure(&poster(&script, ""));
    sandbox.start();
    let id = sandbox.connect().submit("image.generate", params("a"));
    let pids = written(&pids);
    sandbox.kill();
    assert!(pids.split_whitespace().all(is_running), "a program outlives its daemon");
    sandbox.start();
    assert!(!pids.split_whitespace().any(is_running), "{pids}");
    let task = sandbox.connect().wait(id);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("succeeded"), &json!(2)), "{task}");
}

#[test]
fn a_paid_program_that_a_crash_interrupted_is_not_run_again_automatically() {
    let sandbox = Sandbox::new();
    let pids = sandbox.root().join("pids");
    sandbox
        .configure(&poster(&format!("echo $$ >> {}; exec sleep 6000", pids.display()), "billing = 'paid'"));
    sandbox.start();
    let id = sandbox.connect().submit("image.generate", params("a"));
    let process = written(&pids);
    sandbox.kill();
    sandbox.start();
    let task = sandbox.connect().wait(id);
    assert_eq!((&task["state"], &task["hold_reason"]), (&json!("held"), &json!("outcome_unknown")), "{task}");
    assert!(!is_running(&process));
    assert_eq!(fs::read_to_string(&pids).unwrap(), process, "it was run once");
}

#[test]
fn espeak_ng_can_be_configured_as_a_command() {
    if !needs::program("espeak-ng") {
        return;
    }
    let sandbox = Sandbox::started_with("[providers.line]\nkind = 'command'\ndefinition = 'espeak-ng'");
    let mut connection = sandbox.connect();
    let mut speak = |params: Value| {
        let id = connection.submit("voice.speak", params);
        connection.wait(id)
    };
    let task = speak(json!({ "text": "-1 degrees at the lighthouse.", "language": "en-GB" }));
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("line")), "{task}");
    assert_eq!(task["outputs"][0]["media_type"], "audio/wav");
    assert!(task["outputs"][0]["duration_s"].as_f64().unwrap() > 0.5, "{task}");
    assert_eq!(speak(json!({ "text": "你好，世界", "language": "zh" }))["state"], "succeeded");
    let wrong = speak(json!({ "text": "hello", "voice": "en-uss" }));
    assert_eq!((&wrong["state"], &wrong["error"]["code"]), (&json!("failed"), &json!("provider_refused")));
    let message = wrong["error"]["message"].as_str().unwrap();
    assert!(message.contains("there is no voice en-uss; did you mean en-us?"), "{message}");
}

#[test]
fn the_examples_in_the_documentation_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/providers/command.md");
    let page = fs::read_to_string(page).unwrap();
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        let sandbox = Sandbox::new();
        sandbox.configure(example);
        let mut check = sandbox.command(reel_tests::process::binary("reeld"));
        reel_tests::process::run(check.arg("--check-config")).expect_code(0);
    }
    for name in reeld::provider::command::names() {
        assert!(page.contains(&format!("| `{name}` |")), "the page does not name {name}");
    }
    for (_, name, _) in reeld::provider::command::Placeholder::ALL {
        assert!(page.contains(&format!("`{{{name}}}`")), "the page does not name {{{name}}}");
    }
}
