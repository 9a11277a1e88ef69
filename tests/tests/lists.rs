//! `reel ls`, `reel show` and `reel status`: what a person reads of tasks, on one line each and on one screen.

use reel_tests::Sandbox;
use serde_json::json;

/// A prompt that is longer than any line of a list.
fn long_prompt() -> String {
    "a lighthouse on a rocky coast at dusk, ".repeat(60)
}

#[test]
fn a_list_in_a_pipe_has_one_short_line_for_each_task() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let prompt = long_prompt();
    let id = connection.submit("image.generate", json!({ "prompt": prompt, "width": 64, "height": 64 }));
    connection.wait(id);
    let listed = sandbox.reel(&["ls"]);
    let lines: Vec<&str> = listed.expect_code(0).stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", listed.stdout);
    assert!(lines[0].starts_with("ID  STATE") && !lines[0].contains("COST"), "{}", listed.stdout);
    assert!(lines[1].chars().count() <= 120 && lines[1].ends_with('…'), "{}", lines[1]);
    let shown = sandbox.reel(&["show", &id.to_string()]);
    assert!(shown.expect_code(0).stdout.contains(prompt.trim_end()), "{}", shown.stdout);
    let document = sandbox.reel(&["ls", "--json"]).expect_code(0).json();
    assert_eq!(document["tasks"][0]["params"]["prompt"], prompt);
}

#[test]
fn a_batch_that_does_not_exist_is_one_error_for_every_command() {
    let sandbox = Sandbox::started();
    for arguments in [
        &["ls", "--batch", "7"][..],
        &["ls", "--batch", "7", "--state", "failed"],
        &["follow", "--batch", "7"],
    ] {
        let ran = sandbox.reel(&[arguments, &["--json"]].concat());
        let error = ran.expect_code(66).json()["error"].clone();
        assert_eq!(error["code"], "batch_not_found", "{arguments:?}: {error}");
        assert_eq!(error["message"], "no batch 7", "{arguments:?}: {error}");
        assert!(error["hint"].is_string(), "{arguments:?}: {error}");
    }
    let (batch, _) = sandbox.connect().submit_batch(vec![json!({ "kind": "debug.noop" })]);
    let none = sandbox.reel(&["ls", "--batch", &batch.to_string(), "--state", "failed"]);
    assert_eq!(none.expect_code(0).stderr, "no tasks\n");
    let listed = sandbox.reel(&["ls", "--batch", &batch.to_string()]);
    assert!(listed.expect_code(0).stdout.contains("BATCH"), "{}", listed.stdout);
}
