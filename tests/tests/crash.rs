//! Kills the daemon with SIGKILL at random times. What was acknowledged is kept, what was journaled is not made twice, and every waiting client gets
//! an outcome.
//!
//! The seed is printed. Set `REEL_TEST_SEED` to it to repeat the same times.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, where it stands"
)]

use std::{collections::HashMap, fs, io::Write, process::Stdio, thread::JoinHandle, time::Duration};

use reel_tests::{
    Connection, FakeProvider, Random, Sandbox, eventually, pause, process,
    studio::{config, submit, unhurried, unhurried_studio},
};
use rusqlite::{Connection as Database, OpenFlags};
use serde_json::{Value, json};

/// Number of times that the long test starts the daemon. Each time the daemon is killed after a few hundred milliseconds.
const LIVES: usize = 14;

#[expect(clippy::print_stdout, reason = "a failure can only be run again with its seed")]
fn seeded() -> Random {
    let seed = Random::seed_from_env();
    println!("REEL_TEST_SEED={seed}");
    Random::new(seed)
}

/// Returns a short task of a random kind. All of them succeed if they may run to their end.
fn some_task(random: &mut Random, serial: &mut u64) -> Value {
    *serial += 1;
    match random.below(6) {
        0 => json!({ "kind": "debug.noop" }),
        1 => json!({ "kind": "debug.progress", "params": { "steps": 5, "ms": 10 } }),
        2 | 3 => {
            let params = json!({ "prompt": format!("picture {serial}"), "width": 64, "height": 64 });
            json!({ "kind": "image.generate", "params": params })
        }
        _ => json!({ "kind": "debug.sleep", "params": { "ms": random.below(40) } }),
    }
}

/// Repeatedly submits tasks and waits a little, until the daemon dies. Returns the ids of the tasks that were acknowledged.
fn submit_until_death(mut connection: Connection, mut random: Random, first: u64) -> JoinHandle<Vec<u64>> {
    std::thread::spawn(move || {
        let mut serial = first;
        let mut acknowledged: Vec<u64> = Vec::new();
        loop {
            let count = 1 + random.below(4);
            let mut tasks: Vec<Value> = (0..count).map(|_| some_task(&mut random, &mut serial)).collect();
            if let Some(id) = acknowledged.last().filter(|_| random.below(3) == 0) {
                tasks[0]["after"] = json!([id]);
            }
            let submit = ask(&mut connection, "task.submit_batch", json!({ "tasks": tasks }));
            let Some(result) = submit else { return acknowledged };
            acknowledged.extend(result["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()));
            let wait = json!({ "batch": result["batch"], "timeout_s": 0.01 });
            if ask(&mut connection, "task.wait", wait).is_none() {
                return acknowledged;
            }
        }
    })
}

/// Returns a request's result; None if the daemon died before it responded.
fn ask(connection: &mut Connection, method: &str, params: Value) -> Option<Value> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    connection.stream().write_all(format!("{request}\n").as_bytes()).ok()?;
    let mut answer: Value = serde_json::from_str(&connection.try_read_line()?).ok()?;
    assert!(answer["result"].is_object(), "refused: {answer}");
    Some(answer["result"].take())
}

/// Waits until all tasks have ended, and releases those that are held. Returns the tasks by id.
fn settle_all(connection: &mut Connection, ids: &[u64]) -> HashMap<u64, Value> {
    let mut over = HashMap::new();
    for id in ids {
        let task = eventually("the task is over", || {
            let task = connection.wait(*id);
            if task["state"] == "held" {
                assert_eq!(task["hold_reason"], "crash_suspect", "{task}");
                connection.ok("task.release", json!({ "id": id }));
            }
            (task["state"] != "held").then_some(task)
        });
        over.insert(*id, task);
    }
    over
}

/// Returns from the journal how many attempts of each task succeeded.
fn successes(sandbox: &Sandbox) -> HashMap<u64, u64> {
    let database =
        Database::open_with_flags(sandbox.home().join("reel.db"), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let sql = "SELECT task, count(*) FROM attempts WHERE outcome = 'succeeded' GROUP BY task";
    let mut rows = database.prepare(sql).unwrap();
    let pairs = rows.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap();
    pairs.map(|pair| pair.unwrap()).map(|(task, count)| (task as u64, count as u64)).collect()
}

#[test]
fn kills_at_random_times_lose_nothing_that_was_acknowledged() {
    let sandbox = Sandbox::new();
    let mut random = seeded();
    let mut acknowledged = Vec::new();
    for life in 0..LIVES {
        sandbox.start();
        let submitters: Vec<_> = (0..3_u64)
            .map(|index| {
                let mut connection = sandbox.connect();
                connection.hello(&format!("client {index}"));
                let first = (life as u64 * 3 + index) * 100_000;
                submit_until_death(connection, Random::new(random.next_u64()), first)
            })
            .collect();
        pause(Duration::from_millis(random.below(200)));
        sandbox.kill();
        acknowledged.extend(submitters.into_iter().flat_map(|thread| thread.join().unwrap()));
    }
    assert!(!acknowledged.is_empty());
    sandbox.start();
    let over = settle_all(&mut sandbox.connect(), &acknowledged);
    let wrong: Vec<_> = over.values().filter(|task| task["state"] != "succeeded").collect();
    assert!(wrong.is_empty(), "{} of {} did not succeed, first {}", wrong.len(), over.len(), wrong[0]);
    sandbox.stop();
    let successes = successes(&sandbox);
    let twice: Vec<_> = successes.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "made again although their result was journaled: {twice:?}");
    for (id, task) in &over {
        let expected = u64::from(task["source"] == "made");
        assert_eq!(successes.get(id).copied().unwrap_or(0), expected, "{task}");
        for output in task["outputs"].as_array().unwrap() {
            let size = fs::metadata(output["path"].as_str().unwrap()).unwrap().len();
            assert_eq!(output["size_bytes"], size, "{task}");
        }
    }
    let mut ids = acknowledged.clone();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), acknowledged.len(), "an id was given twice");
}

#[test]
fn a_task_that_ran_at_two_crashes_is_held_and_a_release_lets_it_go_on() {
    let provider = FakeProvider::start();
    provider.hold();
    let sandbox = unhurried_studio(&provider, "billing = \"free\"");
    let id = submit(&mut sandbox.connect(), "a harbour");
    let innocent = sandbox.connect().submit_as(json!({ "kind": "debug.noop", "after": [id] }));
    for _ in 0..2 {
        let mut connection = sandbox.connect();
        eventually("it runs", || (connection.task(id)["state"] == "running").then_some(()));
        sandbox.kill();
        sandbox.start();
    }
    let mut connection = sandbox.connect();
    let held = connection.wait(id);
    assert_eq!((&held["state"], &held["hold_reason"]), (&json!("held"), &json!("crash_suspect")));
    assert_eq!(connection.task(innocent)["state"], "waiting");
    connection.ok("task.release", json!({ "id": id }));
    provider.release();
    assert_eq!(connection.wait(innocent)["state"], "succeeded");
    let task = connection.wait(id);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("succeeded"), &json!(3)), "{task}");
}

#[test]
fn every_state_survives_a_crash() {
    let sandbox = Sandbox::started_with("[tasks]\nmax_concurrent = 1\n");
    let mut connection = sandbox.connect();
    let done = connection.generate(json!({ "prompt": "kept", "width": 64, "height": 64 }));
    let failed = connection.submit("debug.fail", json!({ "code": "broken", "retryable": false }));
    let failed = connection.wait(failed);
    let running = connection.submit("debug.sleep", json!({ "ms": 600_000 }));
    eventually("it runs", || (connection.task(running)["state"] == "running").then_some(()));
    let queued = connection.submit_as(json!({ "kind": "debug.noop", "priority": -3, "name": "q" }));
    let waiting = connection.submit_as(json!({ "kind": "debug.noop", "after": [queued] }));
    let held = connection.submit("debug.noop", json!({}));
    connection.ok("task.hold", json!({ "id": held }));
    let cancelled = connection.submit("debug.noop", json!({}));
    connection.ok("task.cancel", json!({ "id": cancelled }));
    let before: Vec<Value> =
        [queued, waiting, held, cancelled].iter().map(|id| connection.task(*id)).collect();
    sandbox.kill();
    sandbox.start();
    let mut connection = sandbox.connect();
    eventually("it runs again, before all others", || {
        (connection.task(running)["state"] == "running").then_some(())
    });
    let after: Vec<Value> =
        [queued, waiting, held, cancelled].iter().map(|id| connection.task(*id)).collect();
    assert_eq!(before, after);
    assert_eq!(connection.task(done["id"].as_u64().unwrap()), done);
    assert_eq!(connection.task(failed["id"].as_u64().unwrap()), failed);
    connection.ok("task.cancel", json!({ "id": running }));
    assert_eq!(connection.wait(waiting)["state"], "succeeded");
}

#[test]
fn a_waiting_client_restarts_the_daemon_and_gets_its_outcome() {
    let provider = FakeProvider::start();
    provider.hold();
    let sandbox = Sandbox::new();
    sandbox.configure(&unhurried(&config(&sandbox, &provider, "billing = \"free\"")));
    let mut command = sandbox.reel_command(&["generate", "a harbour", "-s", "64x64", "--json"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("its task runs", || {
        let mut connection = Connection::open(sandbox.socket()).ok()?;
        (connection.ok("daemon.status", json!({}))["tasks"]["running"] == 1).then_some(())
    });
    let first = sandbox.daemon_pid();
    sandbox.kill();
    provider.release();
    let document = process::finish(child).expect_code(0).json();
    assert_eq!(document["task"]["state"], "succeeded");
    assert_ne!(sandbox.daemon_pid(), first);
    let listed = sandbox.connect().ok("task.list", json!({}));
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1, "the same task, not another one");
}

/// Counts the pictures in the directory that have their final names.
fn pictures(directory: &std::path::Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_picture = |name: &str| {
        let extension = std::path::Path::new(name).extension();
        extension.is_some_and(|extension| extension == "png") && !name.starts_with('.')
    };
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_picture)).count()
}

/// Whether a task is unfinished that ran when the daemon died: it has begun more often than it runs now.
fn has_interrupted(sandbox: &Sandbox) -> bool {
    let tasks = sandbox.connect().ok("task.list", json!({ "limit": 200 }))["tasks"].clone();
    tasks.as_array().unwrap().iter().any(|task| match task["state"].as_str() {
        Some("queued") => task["attempts"] != 0,
        Some("running") => task["attempts"] != 1,
        _ => false,
    })
}

#[test]
fn reel_batch_survives_kills_of_the_daemon_and_ends_with_every_picture() {
    const PICTURES: usize = 90;
    let sandbox = Sandbox::new();
    let mut random = seeded();
    let text: Vec<String> = (0..PICTURES).map(|number| format!("shot {number}")).collect();
    fs::write(sandbox.work().join("prompts.txt"), text.join("\n")).unwrap();
    let out = sandbox.work().join("out");
    let arguments = ["batch", "prompts.txt", "-o", "out", "-s", "256x256"];
    let mut command = sandbox.reel_command(&arguments);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..3 {
        let goal = pictures(&out) + 12 + random.below(8) as usize;
        eventually("further pictures are there", || (pictures(&out) >= goal).then_some(()));
        // A task that runs at two deaths is suspect and held, so those that ran at the last one must have ended.
        eventually("no interrupted task is left", || (!has_interrupted(&sandbox)).then_some(()));
        pause(Duration::from_millis(random.below(20)));
        sandbox.kill();
    }
    process::finish(child).expect_code(0);
    assert_eq!(pictures(&out), PICTURES);
    let mut connection = sandbox.connect();
    let counts = connection.ok("daemon.status", json!({}))["tasks"].clone();
    assert_eq!(counts["succeeded"], PICTURES, "no picture was asked for twice: {counts}");
    sandbox.kill();
    assert!(successes(&sandbox).values().all(|count| *count == 1));
    sandbox.start();
    let again = sandbox.reel(&arguments);
    again.expect_code(0);
    assert_eq!(
        sandbox.connect().ok("daemon.status", json!({}))["tasks"]["succeeded"],
        PICTURES,
        "all were kept"
    );
}
