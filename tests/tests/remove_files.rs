//! `reel rm --with-files` removes results from the store together with their tasks, except files that another task names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread,
};

use reel_tests::{FakeProvider, Sandbox, process, studio::studio};
use serde_json::{Value, json};

fn file(task: &Value) -> PathBuf {
    task["outputs"][0]["path"].as_str().unwrap().into()
}

#[test]
fn a_removed_task_loses_its_files_except_those_of_other_tasks() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let mut draw = |prompt: &str| connection.generate(json!({ "prompt": prompt, "width": 64, "height": 64 }));
    let (pier, harbour) = (draw("a pier"), draw("a harbour"));
    // The cache answers this, so there is another task with the same file.
    let again = draw("a harbour");
    assert_eq!(file(&again), file(&harbour));
    let id = |task: &Value| task["id"].to_string();

    let refused = sandbox.reel(&["rm", &id(&pier), "--with-files"]);
    refused.expect_code(64);
    assert!(refused.stderr.contains("--yes") && file(&pier).exists(), "{}", refused.stderr);

    let removed = sandbox.reel(&["rm", &id(&pier), &id(&harbour), "--with-files", "--yes"]);
    removed.expect_code(0);
    assert!(removed.stderr.contains("1 file removed"), "{}", removed.stderr);
    assert!(removed.stderr.contains("1 is kept, because another task has it too"), "{}", removed.stderr);
    assert!(!file(&pier).exists() && file(&again).exists());
    let stats = sandbox.connect().ok("cache.stats", json!({}));
    assert_eq!((&stats["artifacts"], &stats["entries"]), (&json!(1), &json!(1)), "{stats}");

    // The removed request is made again. Without the flag, files stay.
    let new = sandbox.connect().generate(json!({ "prompt": "a pier", "width": 64, "height": 64 }));
    assert_eq!(new["source"], "made");
    sandbox.reel(&["rm", &id(&new)]).expect_code(0);
    assert!(file(&new).exists());
    sandbox.reel(&["rm", "99", "--with-files", "--yes"]).expect_code(66);
}

#[test]
fn the_input_of_an_unfinished_task_stays() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    let mut connection = sandbox.connect();
    let pier = connection.generate(json!({ "prompt": "a pier", "width": 64, "height": 64 }));
    provider.hold();
    let params = json!({
        "prompt": "at night", "width": 64, "height": 64, "input_images": [pier["outputs"][0]["digest"]],
    });
    let night = connection.submit("image.generate", params);
    provider.wait_for_in_flight(1);
    let removed = sandbox.reel(&["rm", &pier["id"].to_string(), "--with-files", "--yes"]);
    removed.expect_code(0);
    assert!(removed.stderr.contains("1 is kept"), "{}", removed.stderr);
    assert!(file(&pier).exists());
    provider.release();
    assert_eq!(connection.wait(night)["state"], "succeeded");
    let removed = connection.ok("artifact.remove", json!({ "digests": [pier["outputs"][0]["digest"]] }));
    assert_eq!((&removed["removed"], &removed["kept"]), (&json!(1), &json!(0)), "{removed}");
    assert!(!file(&pier).exists());
}

/// Passes lines between clients and the daemon at `daemon`, but refuses every `artifact.remove` itself.
fn refusing_proxy(listener: UnixListener, daemon: &Path) {
    let daemon = daemon.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = UnixStream::connect(&daemon).unwrap();
            let (mut to_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let mut answers = client.try_clone().unwrap();
            thread::spawn(move || std::io::copy(&mut BufReader::new(server), &mut to_client));
            thread::spawn(move || {
                for line in BufReader::new(client).lines().map_while(Result::ok) {
                    let request: Value = serde_json::from_str(&line).unwrap();
                    let sent = if request["method"] == "artifact.remove" {
                        let error = json!({ "code": -32_000, "message": "the disk is broken",
                            "data": { "code": "storage_failed", "hint": null } });
                        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
                        writeln!(answers, "{answer}")
                    } else {
                        writeln!(to_server, "{line}")
                    };
                    if sent.is_err() {
                        break;
                    }
                }
            });
        }
    });
}

#[test]
fn json_of_a_removal_is_one_document_also_if_the_files_could_not_be_removed() {
    let sandbox = Sandbox::started();
    let pier = sandbox.connect().generate(json!({ "prompt": "a pier", "width": 64, "height": 64 }));
    let id = pier["id"].to_string();
    let proxy = sandbox.root().join("proxy");
    refusing_proxy(UnixListener::bind(&proxy).unwrap(), sandbox.socket());
    let mut command = sandbox.reel_command(&["rm", &id, "--with-files", "--yes", "--json"]);
    command.args(["--socket", proxy.to_str().unwrap()]).env("REEL_ENCODING", "json");
    let removed = process::run(&mut command);
    assert!(removed.expect_code(74).stderr.contains("the disk is broken"), "{}", removed.stderr);
    // `json` fails if there is more than one document.
    let document = removed.json();
    assert_eq!(document["results"], json!([{ "id": pier["id"], "task": null, "error": null }]));
    assert_eq!(document["files"]["error"]["code"], "storage_failed", "{document}");
    assert_eq!(document["files"]["removed"], 0, "{document}");
    let whole = sandbox.reel(&["rm", "99", "--with-files", "--yes", "--json"]);
    assert_eq!(whole.expect_code(66).json()["results"][0]["error"]["code"], "task_not_found");
}
