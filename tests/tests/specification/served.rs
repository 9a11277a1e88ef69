//! What a running daemon answers and tells, for every method.

use std::{collections::BTreeSet, fs};

use reel_protocol::methods::METHODS;
use reel_tests::{Connection, Sandbox};
use serde_json::{Value, json};

use crate::check::Checker;

/// A connection whose answers and events are all checked.
struct Checked {
    connection: Connection,
    checker: Checker,
    called: BTreeSet<String>,
    events: BTreeSet<String>,
}

impl Checked {
    /// Sends a request that must succeed, and checks its answer.
    #[track_caller]
    fn ok(&mut self, method: &str, params: Value) -> Value {
        let id = self.connection.request(method, params);
        loop {
            let message = self.connection.read_value().expect("the connection stays open");
            self.checker.message(Some(method), &message);
            if message["method"] == "event" {
                let event = &message["params"];
                self.events.insert(format!(
                    "{}.{}",
                    event["topic"].as_str().unwrap(),
                    event["event"].as_str().unwrap()
                ));
            } else if message["id"] == id {
                assert!(message.get("result").is_some(), "{method}: {message}");
                self.called.insert(method.to_owned());
                return message["result"].clone();
            }
        }
    }

    /// Submits a task and returns it once it is settled.
    #[track_caller]
    fn settled(&mut self, kind: &str, params: &Value) -> Value {
        let id = self.ok("task.submit", json!({ "kind": kind, "params": params }))["id"].clone();
        self.ok("task.wait", json!({ "ids": [id] }))["tasks"][0].clone()
    }
}

fn tasks(daemon: &mut Checked) {
    daemon.ok(
        "events.subscribe",
        json!({ "topics": ["task", "memory", "cache", "provider", "daemon"], "partial": true }),
    );
    daemon.settled("debug.noop", &json!({}));
    daemon.settled("debug.progress", &json!({ "steps": 3, "ms": 10 }));
    let failed = daemon.settled("debug.fail", &json!({}));
    daemon.ok("task.retry", json!({ "id": failed["id"] }));
    daemon.ok("task.wait", json!({ "ids": [failed["id"]] }));
    daemon.ok("queue.pause", json!({}));
    let batch = daemon.ok(
        "task.submit_batch",
        json!({ "name": "three", "tasks": vec![json!({ "kind": "debug.sleep", "params": { "ms": 1 } }); 3] }),
    );
    let id = &batch["ids"][0];
    daemon.ok("task.hold", json!({ "id": id }));
    daemon.ok("task.release", json!({ "id": id }));
    daemon.ok("task.set_priority", json!({ "id": id, "priority": 7 }));
    daemon.ok("task.cancel", json!({ "id": id }));
    daemon.ok("task.get", json!({ "id": batch["ids"][1] }));
    daemon.ok("task.wait", json!({ "batch": batch["batch"], "timeout_s": 0 }));
    daemon.ok("queue.resume", json!({}));
    daemon.ok("task.wait", json!({ "batch": batch["batch"] }));
    daemon.ok("task.remove", json!({ "id": id }));
}

fn media(daemon: &mut Checked, sandbox: &Sandbox) {
    let picture = json!({ "prompt": "a harbour", "width": 128, "height": 96, "style": "watercolor" });
    let made = daemon.settled("image.generate", &picture);
    let digest = &made["outputs"][0]["digest"];
    daemon.ok("service.call", json!({ "service": "image", "method": "generate", "params": picture }));
    daemon.settled("voice.speak", &json!({ "text": "Good morning.", "language": "en" }));
    let project = json!({ "version": 1, "video": { "size": "320x180" }, "shots": [{ "id": "a", "text": "Good morning." }] });
    let story = daemon.settled("story.make", &json!({ "project": project, "until": "storyboard" }));
    let outputs = story["outputs"].as_array().unwrap();
    let report = outputs
        .iter()
        .find(|output| output["media_type"] == "application/json")
        .unwrap_or_else(|| panic!("{story}"));
    daemon.checker.output("story.make", &serde_json::from_str(report["text"].as_str().unwrap()).unwrap());
    daemon.ok("artifact.read", json!({ "digest": digest, "length": 10 }));
    daemon.ok("artifact.path", json!({ "digest": digest }));
    daemon.ok("artifact.thumbnail", json!({ "digest": digest, "max_px": 64 }));
    let path = sandbox.work().join("note.txt");
    fs::write(&path, "hello").unwrap();
    let put = daemon.ok("artifact.put", json!({ "path": path }));
    daemon.ok("artifact.remove", json!({ "digests": [put["digest"]] }));
    daemon.ok("task.list", json!({ "limit": 100 }));
}

#[test]
fn every_task_that_the_specification_submits_is_accepted() {
    let specification = fs::read_to_string(crate::protocol("src/specification.md")).unwrap();
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let mut kinds = BTreeSet::new();
    for line in specification.lines().filter(|line| line.contains(r#""method":"task.submit""#)) {
        let spec = serde_json::from_str::<Value>(line).unwrap()["params"].take();
        // Nobody serves chats here, and what a dry run checks, a submit checks too.
        let needs_provider = spec["kind"] == "text.chat";
        let call = json!({ "kind": spec["kind"], "params": spec["params"] });
        match connection.call("provider.dry_run", call) {
            Err(error) if needs_provider => assert_eq!(error.data.code, "no_provider", "{line}"),
            Err(error) => panic!("{error:?}: {line}"),
            Ok(_) => assert!(!needs_provider, "{line}"),
        }
        kinds.insert(spec["kind"].as_str().unwrap().to_owned());
    }
    for kind in ["image.generate", "voice.speak", "video.generate", "story.make", "video.assemble"] {
        assert!(kinds.contains(kind), "{kind} has no example");
    }
}

#[test]
fn every_method_answers_what_its_schema_says() {
    let sandbox = Sandbox::started();
    let mut daemon = Checked {
        connection: sandbox.connect(),
        checker: Checker::new(),
        called: BTreeSet::new(),
        events: BTreeSet::new(),
    };
    daemon.ok("hello", json!({ "client": "specification" }));
    tasks(&mut daemon);
    media(&mut daemon, &sandbox);
    let services = daemon.ok("service.status", json!({}))["services"].clone();
    let names = |service: &Value| {
        service["methods"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let services = services.as_object().unwrap();
    let served: BTreeSet<_> = services
        .iter()
        .flat_map(|(service, info)| names(info).into_iter().map(move |name| format!("{service}.{name}")))
        .collect();
    assert_eq!(
        served,
        daemon.checker.kinds().map(str::to_owned).collect(),
        "the kinds that are served and that are specified"
    );
    for method in [
        "daemon.status",
        "daemon.reload",
        "provider.list",
        "provider.voices",
        "cache.stats",
        "cache.verify",
        "memory.status",
        "memory.trim",
    ] {
        daemon.ok(method, json!({}));
    }
    daemon.ok("memory.status", json!({}));
    daemon.ok("daemon.log_level", json!({ "filter": "info" }));
    daemon.ok("provider.check", json!({ "name": "draft" }));
    daemon.ok("provider.models", json!({ "name": "draft" }));
    daemon.ok("provider.dry_run", json!({ "kind": "image.generate", "params": { "prompt": "a harbour" } }));
    daemon.ok("cache.clear", json!({}));
    daemon.ok("events.unsubscribe", json!({ "subscription": 1 }));
    daemon.ok("daemon.shutdown", json!({ "drain_s": 0 }));
    assert_eq!(daemon.called, METHODS.iter().map(|method| (*method).to_owned()).collect());
    for event in [
        "task.accepted",
        "task.changed",
        "task.progress",
        "task.removed",
        "memory.trimmed",
        "daemon.reloaded",
    ] {
        assert!(daemon.events.contains(event), "{event}: {:?}", daemon.events);
    }
}
