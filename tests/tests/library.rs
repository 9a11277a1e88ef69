//! The library `reel_client` against a real daemon: what the calls of `Reel` return, what they report, and what they survive.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    sync::{Arc, Mutex},
    thread,
};

use reel_client::{
    ChatRequest, ClientError, ConnectOptions, ImageRequest, SpeechRequest, Start, Update, blocking,
    protocol::{
        CacheMode, TaskState,
        endpoint::Locations,
        methods::{TaskList, TaskListParams},
    },
};
use reel_tests::{FakeProvider, Sandbox, eventually, fake_provider::Fault, process, studio::studio};
use serde_json::json;

fn options(sandbox: &Sandbox) -> ConnectOptions {
    let locations = Locations {
        home: sandbox.home().to_owned(),
        socket: sandbox.socket().to_owned(),
        is_socket_given: true,
        config: sandbox.config(),
    };
    ConnectOptions { daemon: Some(process::binary("reeld")), ..ConnectOptions::new(locations, "my-tool") }
}

fn connect(sandbox: &Sandbox) -> blocking::Reel {
    blocking::Reel::connect_with(options(sandbox)).unwrap()
}

fn small(prompt: &str) -> ImageRequest {
    ImageRequest::new(prompt).size(64, 64)
}

/// The number of tasks in the daemon's history.
fn tasks(reel: &blocking::Reel) -> usize {
    reel.call::<TaskList>(&TaskListParams::default()).unwrap().tasks.len()
}

#[test]
fn a_picture_is_made_saved_and_the_start_of_another_one() {
    // No daemon runs yet: the library starts it.
    let sandbox = Sandbox::new();
    let reel = connect(&sandbox);
    let path = sandbox.work().join("pier.png");
    let pier = reel.image("a pier").unwrap();
    pier.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xae\x42\x60\x82"));
    assert!(pier.bytes().unwrap() == bytes);
    assert_eq!(
        (pier.media_type(), pier.output().width, pier.task().client.as_str()),
        ("image/png", Some(1024), "my-tool")
    );
    // Saving replaces the file, and leaves no temporary file behind.
    fs::write(&path, "old").unwrap();
    pier.save(&path).unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(fs::read_dir(sandbox.work()).unwrap().count(), 1);
    let error = pier.save(sandbox.work().join("no/such/directory.png")).unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");

    // An equal request is answered from the cache, and a fresh one is made anew.
    assert_eq!(reel.image("a pier").unwrap().task().cost.as_ref().map(|cost| cost.amount), Some(0.0));
    assert_eq!(reel.image("a pier").unwrap().digest(), pier.digest());
    let own = reel.put(&path).unwrap();
    assert_eq!(own, pier.digest());
    let error = reel.put(sandbox.work().join("nothing.png")).unwrap_err();
    assert!(error.to_string().contains("nothing.png"), "{error}");

    // A file of the store that is not whole is not used: the daemon has the bytes in memory.
    fs::write(&pier.output().path, "damaged").unwrap();
    assert!(pier.bytes().unwrap() == bytes);
}

#[test]
fn pictures_of_a_batch_come_in_order_and_a_failed_one_is_an_error_in_its_place() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.on_prompt("noon", Fault::Invalid);
    let updates: Arc<Mutex<Vec<Update>>> = Arc::default();
    let seen = Arc::clone(&updates);
    let reel = connect(&sandbox).on_progress(move |update| seen.lock().unwrap().push(update.clone()));
    let shots = reel.images(["dawn", "noon", "dusk"].map(small)).unwrap();
    let prompts = ["dawn", "noon", "dusk"];
    for (prompt, shot) in prompts.iter().zip(&shots) {
        match shot {
            Ok(shot) => assert!(shot.task().params.as_str().contains(prompt)),
            Err(ClientError::NotMade(task)) => {
                assert_eq!((*prompt, task.state), ("noon", TaskState::Failed));
            }
            Err(error) => panic!("{prompt}: {error}"),
        }
    }
    assert_eq!(shots.iter().filter(|shot| shot.is_ok()).count(), 2);
    let updates = updates.lock().unwrap();
    for index in 0..3 {
        let of_one: Vec<_> = updates.iter().filter(|update| update.index == index).collect();
        assert!(of_one.iter().all(|update| update.total == 3), "{of_one:?}");
        assert!(of_one.last().unwrap().state.is_settled(), "{of_one:?}");
    }
    assert!(reel.images(Vec::<ImageRequest>::new()).unwrap().is_empty());
    let before = tasks(&reel);
    let error = reel.images([small("ok"), small(" ")]).unwrap_err();
    assert!(matches!(&error, ClientError::Rpc(error) if error.message.starts_with("tasks[1]: ")), "{error}");
    assert_eq!(tasks(&reel), before, "an invalid request makes nothing of the batch");
}

#[test]
fn speech_and_answers_come_from_whoever_makes_them_and_silence_only_if_it_is_asked_for() {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new().without_programs();
    sandbox.start();
    let reel = connect(&sandbox);
    let error = reel.speak("The lamp went out.").unwrap_err();
    assert!(matches!(error, ClientError::NoSpeaker), "{error}");
    assert_eq!(tasks(&reel), 0);
    let path = sandbox.work().join("line.wav");
    let silence = reel.speak(SpeechRequest::new("The lamp went out.").provider("draft")).unwrap();
    silence.save(&path).unwrap();
    assert!(fs::read(path).unwrap().starts_with(b"RIFF"));
    assert!(silence.output().duration_s.unwrap() > 0.5);

    let sandbox = studio(&provider, "models = { text = \"writer-1\" }\n");
    let reel = connect(&sandbox);
    let answer = reel.ask(ChatRequest::new("Why is the sea salt?").system("Be brief.")).unwrap();
    assert_eq!(answer.text().unwrap(), "You asked: Why is the sea salt?");
    // This is longer than what the task itself holds.
    let long = "salt ".repeat(40_000);
    let answer = reel.ask(&long).unwrap();
    assert_eq!(answer.output().text, None);
    assert_eq!(answer.text().unwrap(), format!("You asked: {long}"));
}

#[test]
fn calls_of_several_threads_survive_the_death_of_the_daemon_and_pay_once_each() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let reel = connect(&sandbox);
    // The tasks are accepted and wait when the daemon dies. The next daemon keeps the pause until the queue is resumed.
    sandbox.connect().ok("queue.pause", json!({}));
    let sizes = thread::scope(|scope| {
        let call = |prompt| {
            let reel = &reel;
            scope.spawn(move || reel.image(small(prompt)).unwrap().bytes().unwrap().len())
        };
        let calls = ["one", "two", "three"].map(call);
        let accepted = || sandbox.connect().ok("task.list", json!({}))["tasks"].as_array().unwrap().len();
        eventually("they are accepted", || (accepted() == 3).then_some(()));
        sandbox.kill();
        sandbox.reel(&["resume"]).expect_code(0);
        calls.map(|call| call.join().unwrap())
    });
    assert!(sizes.iter().all(|bytes| *bytes > 0));
    assert_eq!(provider.calls(), 3);
}

#[test]
fn a_request_id_makes_a_repeated_call_the_same_task() {
    let sandbox = Sandbox::started();
    let request = || small("a pier").request_id("shot-1").fresh();
    let first = connect(&sandbox).image(request()).unwrap();
    let again = connect(&sandbox).image(request()).unwrap();
    assert_eq!((again.task().id, again.digest()), (first.task().id, first.digest()));
    let spec = request().into_spec().unwrap();
    assert_eq!(spec.cache, CacheMode::Fresh);
}

#[test]
fn a_tool_that_must_not_start_the_daemon_is_told_that_none_runs() {
    let sandbox = Sandbox::new();
    let options = ConnectOptions { start: Start::Never, ..options(&sandbox) };
    assert!(matches!(blocking::Reel::connect_with(options), Err(ClientError::NoDaemon)));
}
