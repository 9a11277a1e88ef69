//! Concurrent commands that change one task. The command that loses the race gets a stable error, and the log has no errors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::collections::BTreeMap;

use reel_tests::Sandbox;
use serde_json::json;

/// Number of tries of each order. About one in sixty met the race.
const TRIES: usize = 150;

#[test]
fn the_command_that_loses_a_race_about_one_task_gets_a_stable_error() {
    let sandbox = Sandbox::started();
    let mut connections = [sandbox.connect(), sandbox.connect(), sandbox.connect()];
    let mut answers = BTreeMap::new();
    for n in 0..TRIES {
        for methods in [
            ["task.retry", "task.remove", "task.retry", "task.cancel", "task.set_priority"],
            ["task.remove", "task.retry", "task.cancel", "task.retry", "task.remove"],
            ["task.retry", "task.cancel", "task.remove", "task.hold", "task.retry"],
        ] {
            let id = connections[0].submit("debug.sleep", json!({ "ms": 20 }));
            connections[0].ok("task.cancel", json!({ "id": id }));
            let sent: Vec<_> = methods
                .into_iter()
                .enumerate()
                .map(|(place, method)| {
                    let by = if n % 2 == 0 { 0 } else { place % 3 };
                    let mut params = json!({ "id": id });
                    if method == "task.set_priority" {
                        params["priority"] = json!(3);
                    }
                    (by, method, connections[by].request(method, params))
                })
                .collect();
            for (by, method, request) in sent {
                let answer = connections[by].answer(request).map_err(|error| error.data.code);
                let code = answer.err().unwrap_or_default();
                *answers.entry((method, code)).or_insert(0) += 1;
            }
        }
    }
    let odd: Vec<_> = answers
        .iter()
        .filter(|((_, code), _)| !["", "illegal_state", "task_not_found"].contains(&code.as_str()))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    let log = sandbox.log();
    assert!(!log.contains("ERROR"), "{log}");
    // Afterwards the list of tasks and the counts agree.
    let status = connections[0].ok("daemon.status", json!({}));
    let counted: u64 =
        status["tasks"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    let mut listed = 0;
    let mut cursor = json!(null);
    loop {
        let page = connections[0].ok("task.list", json!({ "limit": 1000, "cursor": cursor }));
        listed += page["tasks"].as_array().unwrap().len() as u64;
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(listed, counted);
}
