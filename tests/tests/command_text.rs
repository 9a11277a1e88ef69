//! Programs that answer questions: what they receive, which part of their output is the answer, and what a person sees if there is none.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::Sandbox;
use serde_json::{Value, json};

/// Starts a daemon with the provider `writer`, which runs this script with the conversation on its standard input.
fn writer(script: &str, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&format!(
        "[providers.writer]\nkind = 'command'\nservices = ['text']\nprogram = 'sh'\n\
         argv = ['-c', '''{script}''', 'sh', ['--system', '{{system}}'], ['--model', '{{model}}']]\nstdin = '{{prompt}}'\n{more}"
    ));
    sandbox.start();
    sandbox
}

fn ask(sandbox: &Sandbox, params: &Value) -> Value {
    let mut connection = sandbox.connect();
    let id = connection.submit_as(json!({ "kind": "text.chat", "params": params, "max_attempts": 1 }));
    connection.wait(id)
}

#[test]
fn a_program_answers_and_translates_and_equal_requests_run_it_once() {
    let sandbox = writer("echo run >> \"$HOME/runs\"; echo \"args: $*\"; cat; echo", "model = 'small'\n");
    fs::create_dir_all(sandbox.root().join("user")).unwrap();
    let runs = || fs::read_to_string(sandbox.root().join("user/runs")).unwrap().lines().count();
    let asked = sandbox.reel(&["ask", "Why is the sea salt?", "--system", "Be brief."]);
    assert_eq!(asked.expect_code(0).stdout, "args: --system Be brief. --model small\nWhy is the sea salt?\n");
    let again = sandbox.reel(&["ask", "Why is the sea salt?", "--system", "Be brief.", "--json"]);
    let again = again.expect_code(0).json();
    assert_eq!((&again["task"]["source"], &again["task"]["provider"]), (&json!("cache"), &json!("writer")));
    assert_eq!(again["task"]["outputs"][0]["media_type"], "text/plain");
    assert_eq!(runs(), 1);
    sandbox.reel(&["ask", "Why?", "-o", "answer.md"]).expect_code(0);
    assert_eq!(fs::read_to_string(sandbox.work().join("answer.md")).unwrap(), "args: --model small\nWhy?");
    let translated = sandbox.reel(&["translate", "Good night.", "--to", "de"]);
    assert!(translated.expect_code(0).stdout.ends_with("\nGood night.\n"), "{}", translated.stdout);
    let long = "a long text ".repeat(20_000);
    let task = ask(&sandbox, &json!({ "prompt": long }));
    assert_eq!(task["state"], "succeeded", "{}", task["error"]);
    let path = task["outputs"][0]["path"].as_str().unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), format!("args: --model small\n{long}"));
}

#[test]
fn an_answer_that_must_be_json_is_validated_against_its_schema() {
    let sandbox = writer("cat > /dev/null; printf '```json\\n{{\"n\": 7}}\\n```\\n'", "");
    let schema = |kind: &str| json!({ "type": "object", "properties": { "n": { "type": kind } } });
    let task = ask(&sandbox, &json!({ "prompt": "a number", "schema": schema("integer") }));
    let output = &task["outputs"][0];
    assert_eq!(
        (&output["media_type"], &output["text"]),
        (&json!("application/json"), &json!("{\"n\": 7}")),
        "{task}"
    );
    let task = ask(&sandbox, &json!({ "prompt": "a number", "schema": schema("string") }));
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("schema_mismatch")),
        "{task}"
    );
    assert_eq!(task["outputs"][0]["text"], "{\"n\": 7}");
}

#[test]
fn each_reason_for_a_missing_answer_has_its_own_error() {
    for (script, more, code, words) in [
        ("exit 3", "", "provider_failed", "sh exited with 3"),
        ("echo out of credit >&2; exit 4", "exit = { 4 = 'quota' }\n", "quota_exceeded", "out of credit"),
        ("echo", "", "provider_failed", "sh exited with 0 and wrote nothing"),
        ("printf '\\377\\376'", "", "provider_failed", "not UTF-8"),
        ("head -c 3000000 /dev/zero | tr '\\0' a", "", "provider_failed", "wrote more than 2097152 bytes"),
        ("yes", "timeout_s = 1\n", "provider_failed", "did not end within 1 s"),
    ] {
        let sandbox = writer(script, more);
        let task = ask(&sandbox, &json!({ "prompt": "Why?" }));
        assert_eq!(
            (&task["state"], &task["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{script}: {task}"
        );
        assert!(task["error"]["message"].as_str().unwrap().contains(words), "{script}: {task}");
    }
}

#[test]
fn params_without_a_placeholder_are_refused_before_the_program_runs() {
    let sandbox = writer("cat", "");
    let mut connection = sandbox.connect();
    for (field, value) in [
        ("temperature", json!(0.5)),
        ("max_tokens", json!(7)),
        ("tools", json!([{ "type": "function" }])),
        ("extra", json!({ "seed": 1 })),
    ] {
        let params = json!({ "prompt": "Why?", field: value });
        let error = connection
            .err("task.submit", json!({ "kind": "text.chat", "params": params, "provider": "writer" }));
        assert_eq!(error.data.code, "invalid_params", "{}", error.message);
        assert!(error.message.contains(&format!("writer has no {field}")), "{}", error.message);
    }
    let image = json!([{ "role": "user", "content": [{ "type": "image_url" }] }]);
    let task = ask(&sandbox, &json!({ "messages": image }));
    assert!(task["error"]["message"].as_str().unwrap().contains("writer reads texts"), "{task}");
}

#[test]
fn a_program_may_write_its_answer_to_a_file() {
    let sandbox = Sandbox::new();
    sandbox.configure(
        "[providers.writer]\nkind = 'command'\nservices = ['text']\nprogram = 'cp'\nargv = ['{text_file}', '{output}']\n",
    );
    sandbox.start();
    assert_eq!(sandbox.reel(&["ask", "Why?"]).expect_code(0).stdout, "Why?\n");
}
