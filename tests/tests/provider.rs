//! A configured provider is used before `draft`, within its limits, and can be changed while the daemon runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reel_tests::{
    Connection, DEADLINE, FakeProvider, Sandbox, eventually,
    fake_provider::{Delivery, Fault},
    pause,
    studio::{ask_once, config, key_file, prompt, studio, submit, unhurried_studio},
};
use serde_json::{Value, json};

#[test]
fn a_configured_provider_is_used_before_draft_and_its_picture_is_kept() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let made = sandbox.reel(&["generate", "a lighthouse", "-s", "128x96", "-o", "l.png", "--json"]);
    let task = &made.expect_code(0).json()["task"];
    assert_eq!((&task["provider"], &task["model"]), (&json!("studio"), &json!("gpt-image-2")), "{task}");
    let output = &task["outputs"][0];
    assert_eq!((&output["width"], &output["height"]), (&json!(128), &json!(96)));
    let saved = fs::read(sandbox.work().join("l.png")).unwrap();
    assert!(saved.starts_with(b"\x89PNG"));
    assert_eq!(saved, fs::read(output["path"].as_str().unwrap()).unwrap());
    let requests = provider.requests();
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(body, json!({ "model": "gpt-image-2", "prompt": "a lighthouse", "n": 1, "size": "128x96" }));
    let again = sandbox.reel(&["generate", "a lighthouse", "-s", "128x96", "-o", "again.png"]);
    assert!(again.expect_code(0).stderr.contains("the same request was made"), "{}", again.stderr);
    assert!(!made.stderr.contains("draft") && !again.stderr.contains("draft"));
    assert_eq!(provider.calls(), 1);
    let named = sandbox.connect().ok(
        "service.call",
        json!({ "service": "image", "method": "generate", "params": prompt("a"), "provider": "draft" }),
    );
    assert_eq!((&named["provider"], provider.calls()), (&json!("draft"), 1));
}

#[test]
fn providers_are_listed_with_draft_last_and_a_check_makes_no_paid_call() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "billing = \"free\"");
    let listed = sandbox.reel(&["providers", "--json"]);
    let mut names: Vec<_> =
        listed.json()["providers"].as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
    // These providers are built in if their programs are installed.
    names.retain(|name| name != "espeak-ng" && name != "ffmpeg");
    assert_eq!(names, ["studio", "draft"]);
    let checked = sandbox.reel(&["providers", "check", "studio"]);
    assert!(checked.expect_code(0).stdout.contains("usable"), "{}", checked.stdout);
    fs::write(key_file(sandbox.root()), "sk-wrong").unwrap();
    let checked = sandbox.reel(&["providers", "check", "studio"]);
    assert!(checked.expect_code(1).stdout.contains("not usable"), "{}", checked.stdout);
    fs::remove_file(key_file(sandbox.root())).unwrap();
    let failed = sandbox.reel(&["generate", "a cat"]);
    failed.expect_code(78);
    assert!(failed.stderr.contains("key file"), "{}", failed.stderr);
    assert_eq!(provider.calls(), 0, "a check costs nothing, and no key asks nobody");
}

#[test]
fn pictures_are_read_from_every_kind_of_response() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    for fault in [Fault::Good, Fault::Chunked, Fault::GoodThenClose, Fault::Good] {
        provider.script([fault.clone()]);
        let task = connection.generate(prompt(&format!("{fault:?} {}", provider.calls())));
        assert_eq!(task["outputs"][0]["width"], 64);
    }
    for delivery in [Delivery::AbsoluteUrl, Delivery::RelativeUrl] {
        provider.deliver(delivery);
        let task = connection
            .generate(json!({ "prompt": format!("{delivery:?}"), "n": 3, "width": 64, "height": 64 }));
        assert_eq!(task["outputs"].as_array().unwrap().len(), 3, "{task}");
    }
    provider.deliver(Delivery::Base64);
    provider.picture_bytes(8 << 20);
    let task = connection.generate(prompt("a large one"));
    assert!(task["outputs"][0]["size_bytes"].as_u64().unwrap() > 8 << 20);
}

#[test]
fn no_more_calls_are_in_flight_than_the_provider_allows() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "max_concurrent = 3");
    provider.hold();
    let mut connection = sandbox.connect();
    let tasks = (0..40).map(|n| json!({ "kind": "image.generate", "params": prompt(&format!("{n}")) }));
    let (batch, _) = connection.submit_batch(tasks.collect());
    provider.wait_for_in_flight(3);
    provider.release();
    let done = connection.ok("task.wait", json!({ "batch": batch, "timeout_s": 60 }));
    assert_eq!(done["timed_out"], false);
    assert_eq!((provider.calls(), provider.most_at_once()), (40, 3));
}

#[test]
fn the_limit_per_minute_holds_across_crashes_of_the_daemon() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "max_concurrent = 100\nrequests_per_minute = 4\nbilling = \"free\"");
    let mut connection = sandbox.connect();
    let tasks = (0..6).map(|n| json!({ "kind": "image.generate", "params": prompt(&format!("{n}")) }));
    let (_, ids) = connection.submit_batch(tasks.collect());
    provider.wait_for_calls(4);
    for id in &ids[..4] {
        connection.wait(*id);
    }
    sandbox.kill();
    sandbox.start();
    // Other work goes on meanwhile.
    let mut connection = sandbox.connect();
    let other = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(other)["state"], "succeeded");
    let begun = Instant::now();
    while provider.calls() < 6 {
        assert!(begun.elapsed() < DEADLINE * 2, "the minute is over");
        pause(Duration::from_millis(50));
    }
    let times = provider.times();
    assert!(times[4] - times[0] >= Duration::from_mins(1), "{:?}", times[4] - times[0]);
    for id in ids {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
}

#[test]
fn sixty_four_equal_requests_are_one_call() {
    let provider = FakeProvider::start();
    let sandbox = unhurried_studio(&provider, "");
    provider.hold();
    let mut connections: Vec<_> = (0..64).map(|_| sandbox.connect()).collect();
    let call = json!({ "service": "image", "method": "generate", "params": prompt("one for all") });
    let ids: Vec<_> = connections.iter_mut().map(|it| it.request("service.call", call.clone())).collect();
    provider.wait_for_in_flight(1);
    provider.release();
    let answers = connections.iter_mut().zip(ids).map(|(connection, id)| connection.answer(id).unwrap());
    let digests: Vec<_> = answers.map(|task| task["outputs"][0]["digest"].clone()).collect();
    assert!(digests.iter().all(|digest| digest == &digests[0] && digest.is_string()));
    assert_eq!(provider.calls(), 1);
}

#[test]
fn a_changed_configuration_changes_the_providers_and_tasks_follow() {
    let (first, second) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let drafted = submit(&mut connection, "a preview");
    sandbox.configure(&config(&sandbox, &first, "max_concurrent = 1"));
    // `changed` is empty if the daemon has already read the new file by itself.
    connection.ok("daemon.reload", json!({}));
    let listed = connection.ok("provider.list", json!({}));
    assert!(listed.to_string().contains("studio"), "{listed}");
    let asked = submit(&mut connection, "a picture");
    sandbox.configure(&config(&sandbox, &second, "max_concurrent = 1"));
    connection.ok("daemon.reload", json!({}));
    connection.ok("queue.resume", json!({}));
    let (drafted, asked) = (connection.wait(drafted), connection.wait(asked));
    assert_eq!(drafted["provider"], "draft", "a preview is not paid for because a key came: {drafted}");
    assert_eq!(asked["provider"], "studio", "{asked}");
    assert_eq!((first.calls(), second.calls()), (0, 1), "the address that is configured now");
    // Tasks that need the removed provider wait.
    connection.ok("queue.pause", json!({}));
    let named = connection
        .submit_as(json!({ "kind": "image.generate", "params": prompt("c"), "provider": "studio" }));
    let unnamed = submit(&mut connection, "d");
    sandbox.configure("");
    connection.ok("daemon.reload", json!({}));
    connection.ok("queue.resume", json!({}));
    for id in [named, unnamed] {
        eventually("a draft is not what was asked for", || {
            (connection.task(id)["wait_reason"] == "provider_missing").then_some(())
        });
    }
}

#[test]
fn a_new_server_does_not_inherit_the_open_circuit_of_the_former_one() {
    let (broken, good) = (FakeProvider::start(), FakeProvider::start());
    let sandbox = studio(&broken, "");
    broken.always(Fault::ServerError);
    let mut connection = sandbox.connect();
    for n in 0..5 {
        assert_eq!(ask_once(&mut connection, &format!("{n}"))["state"], "failed");
    }
    let standing = |connection: &mut Connection| {
        connection.ok("provider.list", json!({}))["providers"][0]["wait_reason"].clone()
    };
    assert_eq!(standing(&mut connection), "provider_down");
    sandbox.configure(&config(&sandbox, &broken, "max_concurrent = 5"));
    connection.ok("daemon.reload", json!({}));
    assert_eq!(standing(&mut connection), "provider_down", "the same server, with another limit");
    let waiting = submit(&mut connection, "elsewhere");
    sandbox.configure(&config(&sandbox, &good, ""));
    connection.ok("daemon.reload", json!({}));
    assert_eq!(standing(&mut connection), Value::Null);
    assert_eq!(connection.wait(waiting)["state"], "succeeded");
    assert_eq!((broken.calls(), good.calls()), (5, 1));
}

#[test]
fn the_good_pictures_of_a_response_are_kept_whatever_else_it_has() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let mut base64 = |width: u32| {
        let task = connection.generate(json!({ "prompt": "a model", "width": width, "height": 64 }));
        STANDARD.encode(fs::read(task["outputs"][0]["path"].as_str().unwrap()).unwrap())
    };
    let (small, picture) = (base64(32), base64(64));
    let (held, gone) = (json!({ "b64_json": picture }), json!({ "url": "/files/gone" }));
    let there = json!({ "url": "/files/64-64-0-7.png", "b64_json": "" });
    let whole = |data: Value| json!({ "data": data }).to_string();
    let cut = whole(json!([held, held]));
    for (name, body, n, outputs) in [
        ("more than were asked for", whole(json!([held, held, held, held, held, held, held])), 1, 7),
        ("an empty text beside an address", whole(json!([there])), 1, 1),
        (
            "a preview",
            format!("{{\"preview\":{{\"b64_json\":\"{small}\"}},{}", &whole(json!([held]))[1..]),
            1,
            1,
        ),
        ("one that is gone", whole(json!([held, gone])), 2, 1),
        ("one that is no text of a picture", whole(json!([{ "b64_json": "*" }, held])), 2, 1),
        ("a cut in the second", cut[..cut.len() - 20].to_owned(), 2, 1),
        ("a cut behind the last", cut[..cut.len() - 2].to_owned(), 2, 2),
    ] {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
        let length = if name.starts_with("a cut") { cut.len() } else { body.len() };
        provider.on_prompt(name, Fault::Raw(format!("{head}{length}\r\n\r\n{body}").into_bytes()));
        let task = connection.generate(json!({ "prompt": name, "n": n, "width": 64, "height": 64 }));
        let made = task["outputs"].as_array().unwrap();
        assert!(made.len() == outputs && made.iter().all(|output| output["width"] == 64), "{name}: {task}");
        assert_eq!(provider.calls_of(name), 1, "{name}");
    }
}

#[test]
fn the_provider_list_agrees_with_the_services_about_who_serves_what() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let listed = connection.ok("provider.list", json!({}));
    let status = connection.ok("service.status", json!({}));
    let mut compared = 0;
    for (service, info) in status["services"].as_object().unwrap() {
        for provider in info["providers"].as_array().unwrap() {
            let listed = listed["providers"].as_array().unwrap();
            let listed = listed.iter().find(|one| one["name"] == *provider).unwrap();
            // Texts are translated by whoever serves chats.
            let service = if service == "translate" { "text" } else { service };
            assert!(listed["services"].as_array().unwrap().contains(&json!(service)), "{service}: {listed}");
            compared += 1;
        }
    }
    assert!(compared >= 3, "draft alone serves three: {status}");
}
