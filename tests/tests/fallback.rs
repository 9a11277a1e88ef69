//! When a provider refuses for reasons that concern only that provider, or is out of order, the next provider makes the task, unless the task names
//! its provider.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    Connection, FakeProvider, Sandbox, eventually,
    fake_provider::Fault,
    studio::{key_file, prompt, submit, unhurried},
};
use serde_json::{Value, json};

/// Starts a daemon with the providers `studio` and, after it, `spare`, each with its own model.
fn two(studio: &FakeProvider, spare: &FakeProvider) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(key_file(sandbox.root()), FakeProvider::KEY).unwrap();
    let section = |name: &str, provider: &FakeProvider, rank: u32| {
        format!(
            "[providers.{name}]\nkind = \"openai\"\nbase_url = \"{}\"\napi_key = {{ file = \"{}\" }}\nmodel = \"{name}-model\"\nrank = {rank}\n",
            provider.base_url(),
            key_file(sandbox.root()).display()
        )
    };
    let http = "[http]\nfirst_byte_s = 2\nread_s = 2\ntotal_s = 20\n";
    sandbox.configure(&format!("{http}{}{}", section("studio", studio, 1), section("spare", spare, 2)));
    sandbox.start();
    sandbox
}

fn asked(connection: &mut Connection, text: &str, more: &Value) -> Value {
    let mut spec = json!({ "kind": "image.generate", "params": prompt(text), "max_attempts": 1 });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = connection.submit_as(spec);
    connection.wait(id)
}

/// Returns the message of the only note, which says why another provider made the task.
#[track_caller]
fn other_provider(task: &Value) -> &str {
    assert_eq!(
        (task["notes"].as_array().map(Vec::len), &task["notes"][0]["code"]),
        (Some(1), &json!("other_provider")),
        "{task}"
    );
    task["notes"][0]["message"].as_str().unwrap()
}

#[test]
fn when_a_provider_refuses_the_next_makes_the_task_with_its_own_model() {
    let (studio, spare) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = two(&studio, &spare);
    let mut connection = sandbox.connect();
    for (calls, fault) in
        (1..).zip([Fault::Unauthorized, Fault::Forbidden, Fault::InsufficientQuota, Fault::Unavailable])
    {
        let name = format!("{fault:?}");
        studio.on_prompt(&name, fault);
        let task = asked(&mut connection, &name, &json!({}));
        assert_eq!(task["state"], "succeeded", "{name}: {task}");
        assert_eq!((&task["provider"], &task["model"]), (&json!("spare"), &json!("spare-model")), "{task}");
        assert_eq!((&task["attempts"], &task["error"]), (&json!(2), &Value::Null), "{task}");
        let note = other_provider(&task);
        assert!(note.starts_with("studio was not used: ") && note.ends_with("; spare made it"), "{note}");
        let status = ["401", "403", "429", "503"][calls - 1];
        assert!(note.contains(status), "{note}");
        assert_eq!((studio.calls(), spare.calls()), (calls, calls));
    }
    let body: Value = serde_json::from_slice(&spare.requests()[0].body).unwrap();
    assert_eq!(body["model"], "spare-model");
    // If the last provider refuses too, its error ends the task.
    studio.on_prompt("both", Fault::Unauthorized);
    spare.on_prompt("both", Fault::InsufficientQuota);
    let task = asked(&mut connection, "both", &json!({}));
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("quota_exceeded")),
        "{task}"
    );
    let message = task["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("studio: ") && message.contains("; then spare: "), "{message}");
    assert!(!message.contains("studio: studio: ") && !message.contains("spare: spare: "), "{message}");
    assert_eq!((studio.calls_of("both"), spare.calls_of("both")), (1, 1));
    // A retry may use all providers again.
    studio.on_prompt("both", Fault::Good);
    connection.ok("task.retry", json!({ "id": task["id"] }));
    let task = connection.wait(task["id"].as_u64().unwrap());
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("studio")), "{task}");
    // The retry begins with the provider that was planned last, `spare`. It refuses again.
    let note = other_provider(&task);
    assert!(note.starts_with("spare was not used: ") && note.ends_with("; studio made it"), "{note}");
}

#[test]
fn other_failures_use_no_other_provider() {
    let (studio, spare) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = two(&studio, &spare);
    let mut connection = sandbox.connect();
    for (fault, state, more) in [
        (Fault::Moderated, "failed", json!({})),
        (Fault::Invalid, "failed", json!({})),
        (Fault::NotAPicture, "failed", json!({})),
        (Fault::ResetAfterRequest, "held", json!({})),
        (Fault::Never, "held", json!({})),
        (Fault::Unauthorized, "failed", json!({ "provider": "studio" })),
        (Fault::Forbidden, "failed", json!({ "params": { "prompt": "Forbidden", "model": "studio-model" } })),
    ] {
        let name = format!("{fault:?}");
        studio.on_prompt(&name, fault);
        let task = asked(&mut connection, &name, &more);
        assert_eq!((&task["state"], &task["provider"]), (&json!(state), &json!("studio")), "{name}: {task}");
    }
    assert_eq!(spare.calls(), 0);
}

#[test]
fn equal_tasks_change_the_provider_together_unless_they_name_it() {
    let (studio, spare) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = two(&studio, &spare);
    sandbox.configure(&unhurried(&fs::read_to_string(sandbox.config()).unwrap()));
    let mut connection = sandbox.connect();
    connection.ok("daemon.reload", json!({}));
    studio.always(Fault::Unauthorized);
    studio.hold();
    let ids: Vec<_> = (0..5).map(|_| submit(&mut connection, "one for all")).collect();
    let named = connection.submit_as(
        json!({ "kind": "image.generate", "params": prompt("one for all"), "provider": "studio" }),
    );
    studio.wait_for_in_flight(1);
    studio.release();
    for id in ids {
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("spare")), "{task}");
    }
    assert_eq!(connection.wait(named)["error"]["code"], "provider_auth");
    assert_eq!((studio.calls(), spare.calls()), (1, 1));
}

#[test]
fn a_restart_does_not_go_back_to_a_provider_that_refused() {
    let (studio, spare) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = two(&studio, &spare);
    let mut connection = sandbox.connect();
    studio.always(Fault::Unauthorized);
    spare.script([Fault::rate_limited(3)]);
    let id = submit(&mut connection, "once each");
    eventually("the spare one is asked", || {
        (connection.task(id)["error"]["code"] == "rate_limited").then_some(())
    });
    sandbox.kill();
    sandbox.start();
    let task = sandbox.connect().wait(id);
    assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("spare")), "{task}");
    assert_eq!((studio.calls(), spare.calls()), (1, 2));
    let note = other_provider(&task);
    assert!(note.starts_with("studio was not used: ") && note.contains("401"), "{note}");
}

#[test]
fn tasks_leave_a_failing_provider_and_return_when_it_recovers() {
    let (studio, spare) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = two(&studio, &spare);
    let mut connection = sandbox.connect();
    studio.always(Fault::ServerError);
    let tasks = (0..40).map(|n| json!({ "kind": "image.generate", "params": prompt(&format!("{n}")) }));
    let (_, ids) = connection.submit_batch(tasks.collect());
    for id in ids {
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("spare")), "{task}");
    }
    assert!(studio.calls() < 20, "{}", studio.calls());
    let task = asked(&mut connection, "while it is out of order", &json!({}));
    assert_eq!((&task["provider"], &task["attempts"]), (&json!("spare"), &json!(1)), "{task}");
    assert!(other_provider(&task).contains("failed several times in a row"), "{task}");
    let named = connection
        .submit_as(json!({ "kind": "image.generate", "params": prompt("named"), "provider": "studio" }));
    assert_eq!(connection.task(named)["wait_reason"], "provider_down");
    let providers = &connection.ok("daemon.status", json!({}))["providers"];
    assert_eq!(providers["studio"]["wait_reason"], "provider_down", "{providers}");
    assert!(providers["studio"]["waits_until"].is_string(), "{providers}");
    assert_eq!(providers["spare"]["wait_reason"], Value::Null, "{providers}");
    studio.be_good();
    assert_eq!(connection.wait(named)["provider"], "studio");
    assert_eq!(asked(&mut connection, "once it is well", &json!({}))["provider"], "studio");
}

#[test]
fn tasks_leave_a_provider_that_is_unreachable_for_long() {
    let (studio, spare) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = two(&studio, &spare);
    drop(studio);
    let mut connection = sandbox.connect();
    let tasks = (0..10).map(|n| json!({ "kind": "image.generate", "params": prompt(&format!("{n}")) }));
    let (_, ids) = connection.submit_batch(tasks.collect());
    for id in ids {
        let task = connection.wait(id);
        assert_eq!((&task["state"], &task["provider"]), (&json!("succeeded"), &json!("spare")), "{task}");
    }
    assert_eq!(spare.calls(), 10);
}

#[test]
fn draft_is_never_a_fallback() {
    let studio = FakeProvider::start();
    let sandbox = reel_tests::studio::studio(&studio, "");
    studio.always(Fault::Unauthorized);
    let task = asked(&mut sandbox.connect(), "no sketch", &json!({}));
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("provider_auth")),
        "{task}"
    );
}
