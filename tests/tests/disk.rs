//! A disk that fills up while tasks run. The tests mount a small disk, which needs root rights; without them they are skipped (see `needs`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use reel_tests::{Connection, SmallDisk};
use serde_json::{Value, json};

/// What happens to a task for which the disk has no space.
enum Stopped {
    /// It was refused or it failed. The field is the error.
    Refused(Value),
    /// Not even its end could be journaled, so it waits for space. The field is its id.
    Waits(u64),
}

/// Requests new pictures until one is not made. Returns the tasks that succeeded, and how the last one stopped.
fn generate_until_full(connection: &mut Connection) -> (Vec<Value>, Stopped) {
    let mut done = Vec::new();
    for number in 0..500 {
        let params = json!({ "prompt": format!("fill {number}"), "width": 512, "height": 512 });
        let call = json!({
            "service": "image", "method": "generate", "params": params, "cache": "fresh", "timeout_s": 5,
        });
        match connection.call("service.call", call) {
            Ok(task) if task["state"] == "succeeded" => done.push(task),
            Ok(task) if task["state"] == "failed" => {
                return (done, Stopped::Refused(task["error"]["code"].clone()));
            }
            Ok(task) => return (done, Stopped::Waits(task["id"].as_u64().unwrap())),
            Err(error) => return (done, Stopped::Refused(json!(error.data.code))),
        }
    }
    panic!("the small disk never fills");
}

#[test]
fn a_full_disk_refuses_new_work_and_loses_nothing_until_there_is_space() {
    let Some(disk) = SmallDisk::mounted(24) else { return };
    let sandbox = disk.sandbox();
    let mut connection = sandbox.connect();
    let filler = disk.fill_up_to(1024);
    let (done, stopped) = generate_until_full(&mut connection);
    connection.ok("daemon.status", json!({}));
    for task in &done {
        let id = task["id"].as_u64().unwrap();
        assert_eq!(connection.task(id)["state"], "succeeded");
        let output = &task["outputs"][0];
        let path = output["path"].as_str().unwrap();
        assert_eq!(output["size_bytes"], fs::metadata(path).unwrap().len());
    }
    let leftovers = temporary_files(&sandbox.home().join("artifacts"));
    assert!(leftovers.is_empty(), "half a file stays behind: {leftovers:?}");
    fs::remove_file(filler).unwrap();
    match stopped {
        Stopped::Refused(code) => assert_eq!(code, "storage_full", "{}", sandbox.log()),
        Stopped::Waits(id) => {
            let task = connection.wait(id);
            assert!(task["state"] == "succeeded" || task["error"]["code"] == "storage_full", "{task}");
        }
    }
    let task = connection.generate(json!({ "prompt": "room again", "width": 64, "height": 64 }));
    assert_eq!(task["source"], "made");
}

/// Returns the files below `directory` that are not named after a digest.
fn temporary_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() {
            found.extend(temporary_files(&path));
        } else if stem.len() != 64 {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_journal_without_space_acknowledges_nothing_and_loses_nothing() {
    let Some(disk) = SmallDisk::mounted(24) else { return };
    let sandbox = disk.sandbox();
    let mut connection = sandbox.connect();
    connection.ok("queue.pause", json!({}));
    let mut acknowledged = Vec::new();
    let filler = disk.fill_up_to(512);
    let padding = "x".repeat(20_000);
    let refusal = (0..500).find_map(|number| {
        let spec =
            json!({ "kind": "debug.noop", "name": format!("n{number}"), "metadata": { "padding": padding } });
        match connection.call("task.submit", spec) {
            Ok(result) => {
                acknowledged.push(result["id"].as_u64().unwrap());
                None
            }
            Err(error) => Some(error),
        }
    });
    let error = refusal.expect("the small disk fills up");
    assert_eq!(error.data.code, "storage_full", "{error:?}");
    assert!(error.data.hint.is_some(), "{error:?}");
    sandbox.kill();
    fs::remove_file(filler).unwrap();
    sandbox.start();
    let mut connection = sandbox.connect();
    let counts = connection.ok("daemon.status", json!({}))["tasks"].clone();
    assert_eq!(
        counts.as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>(),
        acknowledged.len() as u64
    );
    connection.ok("queue.resume", json!({}));
    for id in acknowledged {
        assert_eq!(connection.wait(id)["state"], "succeeded");
    }
}

#[test]
fn tasks_that_run_while_the_disk_fills_end_with_an_outcome() {
    let Some(disk) = SmallDisk::mounted(24) else { return };
    let sandbox = disk.sandbox();
    let mut connection = sandbox.connect();
    let ids: Vec<u64> = (0..30)
        .map(|number| {
            let params = json!({ "prompt": format!("p{number}"), "width": 256, "height": 256 });
            connection.submit("image.generate", params)
        })
        .collect();
    let filler = disk.fill_up_to(16);
    // An end that could not be journaled for lack of space is journaled once there is some.
    fs::remove_file(filler).unwrap();
    for id in &ids {
        let task = connection.wait(*id);
        let code = task["error"]["code"].as_str().unwrap_or_default();
        assert!(task["state"] == "succeeded" || code.starts_with("storage_"), "{task}");
    }
}
