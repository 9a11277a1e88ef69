//! Providers of the kind `ollama`: answers, what an error says, downloads of models, and what a dying server or daemon loses.
//!
//! With `REEL_TEST_OLLAMA_URL` the tests whose names begin with `plain` run against a real server, with the model `REEL_TEST_OLLAMA_MODEL` or the
//! first one that it has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, path::Path, time::Duration};

use reel_tests::{
    Connection, FakeOllama, Random, Sandbox, eventually,
    fake_ollama::{ChatFault, PullFault, VERSION},
    pause,
    process::{binary, run},
};
use serde_json::{Value, json};

const MODEL: &str = "llama3.2";

fn section(url: &str, model: &str, more: &str) -> String {
    format!(
        "[http]\nfirst_byte_s = 240\nread_s = 240\ntotal_s = 480\n\
         [providers.local]\nkind = \"ollama\"\nbase_url = \"{url}\"\nmodel = \"{model}\"\n{more}\n"
    )
}

fn started(ollama: &FakeOllama, more: &str) -> Sandbox {
    Sandbox::started_with(&section(&ollama.base_url(), MODEL, more))
}

fn fake() -> FakeOllama {
    FakeOllama::start(&["llama3.2:latest", "qwen3:8b"])
}

/// Returns a server and a daemon that uses it: the real server if the environment names one.
fn plain() -> (Option<FakeOllama>, Sandbox) {
    let Ok(url) = std::env::var("REEL_TEST_OLLAMA_URL") else {
        let ollama = fake();
        let sandbox = started(&ollama, "");
        return (Some(ollama), sandbox);
    };
    let model = std::env::var("REEL_TEST_OLLAMA_MODEL").unwrap_or_else(|_| {
        let sandbox = Sandbox::started_with(&section(&url, "x", ""));
        let listed = sandbox.connect().ok("provider.models", json!({ "name": "local" }));
        listed["models"][0].as_str().expect("the server has no model").to_owned()
    });
    (None, Sandbox::started_with(&section(&url, &model, "")))
}

fn ask(connection: &mut Connection, params: &Value, attempts: u32) -> Value {
    let id = connection.submit_as(json!({ "kind": "text.chat", "params": params, "max_attempts": attempts }));
    connection.wait(id)
}

fn check(sandbox: &Sandbox) -> (bool, String) {
    let result = sandbox.connect().ok("provider.check", json!({ "name": "local" }));
    (result["is_usable"].as_bool().unwrap(), result["detail"].as_str().unwrap().to_owned())
}

fn words_of(task: &Value) -> String {
    let word = |name: &str| task["error"][name].as_str().unwrap_or_default();
    format!("{} {}", word("message"), word("hint"))
}

#[test]
fn plain_answers_texts_json_and_translations_are_made() {
    let (fake, sandbox) = plain();
    let mut connection = sandbox.connect();
    let task = ask(
        &mut connection,
        &json!({ "prompt": "Say hello.", "temperature": 0.5, "extra": { "seed": 7 } }),
        1,
    );
    assert_eq!(task["state"], "succeeded", "{task}");
    assert!(!task["outputs"][0]["text"].as_str().unwrap().is_empty());
    assert_eq!(task["cost"]["amount"], json!(0.0));

    let schema =
        json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    let task = ask(&mut connection, &json!({ "prompt": "Name a town, in JSON.", "schema": schema }), 1);
    assert_eq!(
        (&task["state"], &task["outputs"][0]["media_type"]),
        (&json!("succeeded"), &json!("application/json")),
        "{task}"
    );

    let task = ask(&mut connection, &json!({ "prompt": "Count from 1 to 100.", "max_tokens": 3 }), 1);
    assert_eq!(
        (&task["state"], &task["notes"][0]["code"]),
        (&json!("succeeded"), &json!("truncated")),
        "{task}"
    );

    let translated = sandbox.reel(&["translate", "Good morning", "--to", "de"]);
    assert!(!translated.expect_code(0).stdout.trim().is_empty());
    if let Some(ollama) = fake {
        let chats = ollama.chats();
        assert_eq!(chats[0]["options"], json!({ "temperature": 0.5, "seed": 7 }));
        assert_eq!((&chats[1]["format"], &chats[1]["stream"]), (&schema, &json!(true)));
        assert_eq!(chats[2]["options"], json!({ "num_predict": 3 }));
    }
}

#[test]
fn plain_a_server_says_its_version_and_its_models() {
    let (fake, sandbox) = plain();
    let (is_usable, detail) = check(&sandbox);
    assert!(is_usable && detail.contains("Ollama ") && detail.contains("is there"), "{detail}");
    let listed = sandbox.reel(&["providers", "models", "local"]);
    assert!(!listed.expect_code(0).stdout.trim().is_empty());
    if fake.is_some() {
        assert!(detail.contains(VERSION) && detail.contains(MODEL), "{detail}");
        assert!(
            listed.stdout.contains("llama3.2:latest") && listed.stdout.contains("qwen3:8b"),
            "{}",
            listed.stdout
        );
    }
}

#[test]
fn subscribers_get_pieces_before_the_answer_is_complete() {
    let ollama = fake();
    let sandbox = started(&ollama, "");
    let mut listener = sandbox.connect();
    listener.ok("events.subscribe", json!({ "topics": ["task"], "partial": true }));
    let question = "one two three four five six";
    ollama.on_prompt(question, ChatFault::Half);
    let mut connection = sandbox.connect();
    let id = connection.submit("text.chat", json!({ "prompt": question }));
    let first = loop {
        let event = listener.next_event();
        if event["event"] == "partial" {
            break event["partial"].clone();
        }
    };
    assert_eq!((&first["id"], &first["offset"]), (&json!(id), &json!(0)));
    let text = first["text"].as_str().unwrap();
    assert!(text.starts_with("You") && !text.contains("six"), "{text}");
    assert_eq!(connection.task(id)["state"], "running");
    ollama.release();
    assert_eq!(connection.wait(id)["outputs"][0]["text"], format!("You asked: {question}"));
}

#[test]
fn the_keys_of_the_section_are_sent_and_change_the_cache_key() {
    let ollama = fake();
    let sandbox = started(&ollama, "keep_alive = \"10m\"\nthink = true\noptions = { num_ctx = 8192 }");
    let params = json!({ "prompt": "a question" });
    let mut connection = sandbox.connect();
    let task = ask(&mut connection, &params, 1);
    assert_eq!(task["outputs"][0]["text"], "You asked: a question", "thoughts are no part of the text");
    let sent = &ollama.chats()[0];
    assert_eq!((&sent["keep_alive"], &sent["think"]), (&json!("10m"), &json!(true)));
    assert_eq!(sent["options"], json!({ "num_ctx": 8192 }));
    assert_eq!(ask(&mut connection, &params, 1)["source"], "cache");
    drop(connection);
    sandbox.stop();
    // How long the model stays in memory changes no answer, and the size of the context does.
    for (more, chats) in [
        ("think = true\noptions = { num_ctx = 8192 }", 1),
        ("think = true\noptions = { num_ctx = 4096 }", 2),
        ("think = \"high\"\noptions = { num_ctx = 4096 }", 3),
    ] {
        sandbox.configure(&section(&ollama.base_url(), MODEL, more));
        sandbox.start();
        ask(&mut sandbox.connect(), &params, 1);
        assert_eq!(ollama.chats().len(), chats, "{more}");
        sandbox.stop();
    }
    for (more, words) in [
        ("keep_alive = \"ten minutes\"", "providers.local.keep_alive must be"),
        ("think = \"hard\"", "providers.local.think must be"),
        ("options = 7", "providers.local.options must be"),
        ("pull = \"yes\"", "providers.local.pull must be"),
    ] {
        sandbox.configure(&section(&ollama.base_url(), MODEL, more));
        let mut check = sandbox.command(binary("reeld"));
        let checked = run(check.arg("--check-config"));
        assert!(checked.code != Some(0) && checked.stderr.contains(words), "{more}: {}", checked.stderr);
    }
}

#[test]
fn an_error_of_the_server_ends_the_task_or_is_tried_again() {
    let ollama = fake();
    let sandbox = started(&ollama, "");
    let mut connection = sandbox.connect();
    let status = |status, words: &str| ChatFault::Status(status, words.to_owned());
    for (text, fault, code, words) in [
        (
            "refused",
            status(400, "\"llama3.2\" does not support thinking"),
            "provider_refused",
            "does not support thinking",
        ),
        ("unauthorized", status(401, "unauthorized"), "provider_auth", "reel providers key local"),
        ("forbidden", status(403, "forbidden"), "provider_auth", "reel providers key local"),
        (
            "busy",
            status(503, "server busy, please try again.  maximum pending requests exceeded"),
            "provider_unavailable",
            "server busy",
        ),
        (
            "crashed",
            status(500, "llama runner process has terminated: exit status 2"),
            "provider_unavailable",
            "has terminated",
        ),
        (
            "memory",
            status(500, "model requires more system memory (8.4 GiB) than is available (3.2 GiB)"),
            "provider_failed",
            "smaller model",
        ),
        (
            "error line",
            ChatFault::ErrorLine("unexpected EOF".into()),
            "provider_unavailable",
            "unexpected EOF",
        ),
        ("cut", ChatFault::Cut, "answer_lost", "was lost"),
        ("unfinished", ChatFault::Unfinished, "answer_lost", "before its end"),
        ("page", ChatFault::WebPage, "provider_failed", "web page"),
    ] {
        ollama.on_prompt(text, fault);
        let task = ask(&mut connection, &json!({ "prompt": text }), 1);
        assert_eq!(
            (task["state"].as_str(), task["error"]["code"].as_str()),
            (Some("failed"), Some(code)),
            "{text}: {task}"
        );
        assert!(words_of(&task).contains(words), "{text}: {}", words_of(&task));
        assert_eq!(task["outputs"], json!([]), "{text}");
    }
    let task = ask(&mut connection, &json!({ "prompt": "b", "extra": { "num_ctx": "many" } }), 3);
    assert_eq!((&task["error"]["code"], ollama.chats_of("b")), (&json!("provider_refused"), 1), "{task}");
    ollama.on_prompt("garbage", ChatFault::Garbage);
    assert_eq!(ask(&mut connection, &json!({ "prompt": "garbage" }), 1)["state"], "succeeded");
    // A request that costs nothing is tried again by itself.
    for (text, fault) in [("later", ChatFault::Cut), ("soon", ChatFault::ErrorLine("unexpected EOF".into()))]
    {
        ollama.on_prompt(text, fault);
        let id = connection.submit("text.chat", json!({ "prompt": text }));
        eventually("it was asked", || (ollama.chats_of(text) > 0).then_some(()));
        ollama.be_good();
        let task = connection.wait(id);
        assert_eq!(task["outputs"][0]["text"], format!("You asked: {text}"), "{task}");
    }
}

#[test]
fn a_missing_model_names_those_that_are_there() {
    let ollama = fake();
    let sandbox = started(&ollama, "");
    let task = ask(&mut sandbox.connect(), &json!({ "prompt": "a", "model": "lama3.2" }), 1);
    assert_eq!((&task["state"], &task["error"]["code"]), (&json!("failed"), &json!("provider_refused")));
    let words = words_of(&task);
    for part in ["llama3.2:latest, qwen3:8b", "did you mean llama3.2", "ollama pull lama3.2", "pull = true"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    sandbox.stop();
    sandbox.configure(&section(&ollama.base_url(), "qwen3", ""));
    sandbox.start();
    let (is_usable, detail) = check(&sandbox);
    assert!(
        !is_usable && detail.contains("qwen3 is not there") && detail.contains("ollama pull qwen3"),
        "{detail}"
    );
    sandbox.stop();
    sandbox.configure(&section(&format!("{}/v1", ollama.base_url()), MODEL, ""));
    sandbox.start();
    let (is_usable, detail) = check(&sandbox);
    assert!(!is_usable && detail.contains("ends in /v1"), "{detail}");
    let task = ask(&mut sandbox.connect(), &json!({ "prompt": "a" }), 1);
    assert!(words_of(&task).contains("ends in /v1"), "{task}");
}

#[test]
fn a_missing_model_is_pulled_if_the_section_says_so() {
    let ollama = FakeOllama::start(&[]);
    let sandbox = started(&ollama, "pull = true");
    let (is_usable, detail) = check(&sandbox);
    assert!(is_usable && detail.contains("is pulled when"), "{detail}");
    // The connection breaks once, and the download is continued.
    ollama.on_pull([PullFault::Cut, PullFault::Half]);
    let mut connection = sandbox.connect();
    let id = connection.submit("text.chat", json!({ "prompt": "a" }));
    ollama.wait_for_half();
    let progress = eventually("the progress is shown", || {
        let progress = connection.task(id)["progress"].clone();
        progress["message"].as_str().filter(|message| message.contains("GB")).map(str::to_owned)
    });
    assert_eq!(progress, "pulling llama3.2: 0.9 of 1.8 GB");
    ollama.release();
    assert_eq!(connection.wait(id)["outputs"][0]["text"], "You asked: a");
    assert_eq!(ollama.pulls(), 2);
    ask(&mut connection, &json!({ "prompt": "b" }), 1);
    assert_eq!(ollama.pulls(), 2, "the model is there now");
    for (error, code) in [
        ("pull model manifest: file does not exist", "provider_refused"),
        ("dial tcp: lookup registry.ollama.ai: no such host", "provider_unavailable"),
        ("write /blobs: no space left on device", "provider_failed"),
    ] {
        ollama.on_pull([PullFault::ErrorLine(error.into())]);
        let task = ask(&mut connection, &json!({ "prompt": "c", "model": "other" }), 1);
        assert_eq!(task["error"]["code"], code, "{task}");
        assert!(words_of(&task).contains(error), "{task}");
    }
}

#[test]
fn a_cancelled_task_stops_its_download() {
    let ollama = FakeOllama::start(&[]);
    let sandbox = started(&ollama, "pull = true");
    ollama.on_pull([PullFault::Half]);
    let mut connection = sandbox.connect();
    let id = connection.submit("text.chat", json!({ "prompt": "a" }));
    ollama.wait_for_half();
    connection.ok("task.cancel", json!({ "id": id }));
    assert_eq!(connection.wait(id)["state"], "cancelled");
    assert_eq!(ollama.chats().len(), 0);
}

#[test]
fn a_server_that_does_not_run_is_waited_for_and_one_that_restarts_is_asked_again() {
    let mut ollama = fake();
    let sandbox = started(&ollama, "");
    ollama.stop();
    let (is_usable, detail) = check(&sandbox);
    assert!(!is_usable && detail.contains("ollama serve"), "{detail}");
    let listed = sandbox.reel(&["providers", "models", "local"]);
    assert!(listed.code != Some(0) && listed.stderr.contains("ollama serve"), "{}", listed.stderr);
    let mut connection = sandbox.connect();
    let id = connection.submit("text.chat", json!({ "prompt": "early" }));
    eventually("the task waits", || (connection.task(id)["attempts"].as_u64() > Some(0)).then_some(()));
    ollama.restart();
    assert_eq!(connection.wait(id)["outputs"][0]["text"], "You asked: early");
    ollama.on_prompt("during", ChatFault::Half);
    let id = connection.submit("text.chat", json!({ "prompt": "during" }));
    ollama.wait_for_half();
    ollama.be_good();
    ollama.restart();
    assert_eq!(connection.wait(id)["outputs"][0]["text"], "You asked: during");
}

#[test]
fn nothing_is_lost_when_the_daemon_is_killed_at_any_time() {
    let ollama = fake();
    let sandbox = started(&ollama, "");
    let seed = Random::seed_from_env();
    let mut random = Random::new(seed);
    let mut accepted = Vec::new();
    for life in 0..8 {
        let mut connection = sandbox.connect();
        for task in 0..3 {
            let text = format!("life {life}, task {task}");
            let id = connection
                .submit_as(json!({ "kind": "text.chat", "params": { "prompt": text }, "max_attempts": 50 }));
            accepted.push((text, id));
        }
        pause(Duration::from_micros(random.below(40_000)));
        sandbox.kill();
        sandbox.start();
    }
    let mut connection = sandbox.connect();
    for (text, id) in accepted {
        let task = connection.wait(id);
        // A task that was running at two deaths is held for a person.
        let is_suspect = task["hold_reason"] == "crash_suspect";
        assert!(
            is_suspect || task["outputs"][0]["text"] == format!("You asked: {text}"),
            "REEL_TEST_SEED={seed}: {task}"
        );
    }
}

#[test]
fn the_examples_in_the_documentation_are_valid() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/providers/ollama.md");
    let page = fs::read_to_string(page).unwrap();
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 2);
    for example in examples {
        let sandbox = Sandbox::new();
        sandbox.configure(example);
        run(sandbox.command(binary("reeld")).arg("--check-config")).expect_code(0);
    }
    for key in ["base_url", "api_key", "keep_alive", "think", "options", "pull", "max_concurrent"] {
        assert!(page.contains(&format!("| `{key}` |")), "the page does not explain {key}");
    }
}
