//! The current daemon reads the journal of each schema. A daemon of that schema wrote it; see `fixtures/journal/README.md`.

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

use reel_tests::{Connection, FakeProvider, Sandbox, studio};
use rusqlite::Connection as Database;
use serde_json::{Value, json};

/// A copy of a journal, and the daemon that runs on it.
struct Revived {
    sandbox: Sandbox,
    provider: FakeProvider,
    expected: Value,
}

impl Revived {
    fn start(schema: u32) -> Self {
        let revived = Self::copied(schema);
        revived.sandbox.start();
        revived
    }

    /// Copies a journal without starting a daemon.
    fn copied(schema: u32) -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/journal/schema-{schema}"));
        let expected = fs::read(fixture.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let provider = FakeProvider::start();
        let proxy = format!("http://127.0.0.1:{}", provider.address().port());
        let sandbox = Sandbox::new().with_variable("HTTP_PROXY", proxy);
        copy(&fixture.join("home"), sandbox.home());
        // Journals without `studio` are from a time without configured providers. Their requests went to the built-in one.
        if expected["tasks"].to_string().contains("\"studio\"") {
            let config = studio::config(&sandbox, &provider, "");
            // The base URL is part of a picture's cache key, so it must be the one with which the journal was written.
            sandbox.configure(&config.replace(&provider.base_url(), "http://studio.invalid/v1"));
        }
        Self { sandbox, provider, expected }
    }

    /// Returns the files of the pictures whose bytes were only in the journal.
    fn files_of_journal(&self) -> Vec<PathBuf> {
        let digests =
            self.expected["unsynced"].as_array().unwrap().iter().map(|digest| digest.as_str().unwrap());
        digests
            .map(|digest| self.sandbox.home().join(format!("artifacts/{}/{digest}.png", &digest[..2])))
            .collect()
    }

    /// Returns the tasks as the former daemon showed them, each with the state that it must have at the end of the test.
    fn tasks(&self) -> impl Iterator<Item = (&Value, &str)> {
        let tasks = self.expected["tasks"].as_array().unwrap().iter();
        tasks.map(|entry| (&entry["task"], entry["then"].as_str().unwrap()))
    }

    /// Returns the file of an output by its path in the fixture.
    fn file(&self, output: &Value) -> PathBuf {
        self.sandbox.home().join(output["path"].as_str().unwrap())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn digest_of(path: &Path) -> String {
    blake3::hash(&fs::read(path).unwrap()).to_hex().to_string()
}

fn id_of(task: &Value) -> u64 {
    task["id"].as_u64().unwrap()
}

/// The fields that a task keeps whatever happens to it.
const FOR_EVER: [&str; 11] = [
    "id",
    "kind",
    "name",
    "priority",
    "client",
    "batch",
    "after",
    "created_at",
    "params",
    "metadata",
    "provider",
];

#[track_caller]
fn assert_same<'a>(now: &Value, then: &Value, fields: impl IntoIterator<Item = &'a str>) {
    for field in fields {
        assert_eq!(now[field], then[field], "{field} of task {}: {now}", then["id"]);
    }
}

/// Every task exists and reaches its expected state. Tasks that had ended have the same values in every field.
fn check_tasks(revived: &Revived, connection: &mut Connection) {
    for (task, then) in revived.tasks() {
        let id = id_of(task);
        let now = match then {
            "waiting" => connection.task(id),
            _ => connection.wait(id),
        };
        assert_eq!(now["state"], then, "{now}");
        assert_same(&now, task, FOR_EVER);
        let was_over = ["succeeded", "failed", "cancelled"].contains(&task["state"].as_str().unwrap());
        if was_over {
            let fields = task.as_object().unwrap().keys().map(String::as_str);
            assert_same(&now, task, fields.filter(|field| !["outputs", "cost"].contains(field)));
            // A result from the cache costs nothing. Earlier daemons did not state that.
            let is_made_before = ["cache", "shared"].contains(&task["source"].as_str().unwrap_or_default());
            let nothing = json!({ "amount": 0.0, "currency": "USD", "is_estimate": false });
            assert_eq!(now["cost"], if is_made_before { nothing } else { task["cost"].clone() }, "{now}");
        }
        let reason = match task["state"].as_str().unwrap() {
            "held" => task["hold_reason"].clone(),
            // Its request was sent to a paid provider before the daemon ended.
            "running" if then == "held" => json!("outcome_unknown"),
            _ => Value::Null,
        };
        assert_eq!(now["hold_reason"], reason, "{now}");
    }
}

/// Every output is the same, and the bytes of its file match its digest.
fn check_outputs(revived: &Revived, connection: &mut Connection) {
    for (task, _) in revived.tasks() {
        let now = connection.task(id_of(task));
        for (index, output) in task["outputs"].as_array().unwrap().iter().enumerate() {
            let (found, path) = (&now["outputs"][index], revived.file(output));
            let fields = output.as_object().unwrap().keys().map(String::as_str);
            assert_same(found, output, fields.filter(|field| *field != "path"));
            assert_eq!(found["path"], path.to_str().unwrap());
            assert_eq!(output["digest"], digest_of(&path), "{task}");
        }
    }
}

/// What was paid for before is answered from the cache without a call. A submission with a known request id returns the same task.
fn check_repeats(revived: &Revived, connection: &mut Connection) {
    let calls = revived.provider.calls();
    let made = revived.tasks().filter(|(task, _)| {
        // The current built-in provider has another version, so it draws drafts again.
        task["provider"] == "studio" && task["state"] == "succeeded" && task["source"] == "made"
    });
    let mut hits = 0;
    for (task, _) in made {
        let call = json!({
            "service": "image", "method": "generate", "params": task["params"], "provider": task["provider"],
        });
        let again = connection.ok("service.call", call);
        assert_eq!(again["source"], "cache", "{task}: {again}");
        assert_eq!(again["outputs"][0]["digest"], task["outputs"][0]["digest"]);
        hits += 1;
    }
    assert!(hits > 5 || revived.expected["schema"].as_u64() < Some(3), "{hits}");
    assert_eq!(revived.provider.calls(), calls);
    // Request ids are unique only per client name, so connect with the same name.
    let mut requests = revived.sandbox.connect();
    requests.hello("fixtures");
    for request in revived.expected["requests"].as_array().unwrap() {
        requests.send_line(request["line"].as_str().unwrap());
        let again = requests.read_value().unwrap();
        let fields = request["result"].as_object().unwrap().keys().map(String::as_str);
        assert_same(&again["result"], &request["result"], fields);
    }
    let newest = revived.tasks().map(|(task, _)| id_of(task)).max();
    assert!(Some(connection.submit("debug.noop", json!({}))) > newest, "an id was given out again");
}

/// The commands of a person for held tasks work as for new tasks.
fn check_decisions(revived: &Revived, connection: &mut Connection) {
    for (task, then) in revived.tasks() {
        let (id, now) = (id_of(task), connection.task(id_of(task)));
        match now["hold_reason"].as_str() {
            Some("crash_suspect") => drop(connection.ok("task.cancel", json!({ "id": id }))),
            Some(_) => drop(connection.ok("task.release", json!({ "id": id }))),
            None => assert!(then != "held", "{now}"),
        }
    }
    for (task, then) in revived.tasks().filter(|(_, then)| ["held", "waiting"].contains(then)) {
        let end = if task["hold_reason"] == "crash_suspect" { "cancelled" } else { "succeeded" };
        assert_eq!(connection.wait(id_of(task))["state"], end, "{task}, {then}");
    }
}

fn check(schema: u32) {
    check_all(&Revived::start(schema));
}

fn check_all(revived: &Revived) {
    let mut connection = revived.sandbox.connect();
    for path in revived.files_of_journal() {
        assert_eq!(path.file_stem().unwrap().to_str().unwrap(), digest_of(&path));
    }
    check_tasks(revived, &mut connection);
    check_outputs(revived, &mut connection);
    check_repeats(revived, &mut connection);
    let calls = revived.provider.calls();
    check_decisions(revived, &mut connection);
    let held = revived.tasks().filter(|(task, then)| *then == "held" && task["kind"] == "image.generate");
    assert_eq!(revived.provider.calls() - calls, held.count(), "a release asks once");
    let verified = connection.ok("cache.verify", json!({}));
    assert_eq!((&verified["corrupt"], &verified["missing"]), (&json!(0), &json!(0)), "{verified}");
    assert_eq!(revived.sandbox.stop(), Some(0));
    let journal = Database::open(revived.sandbox.home().join("reel.db")).unwrap();
    let sound: String = journal.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn a_journal_of_schema_1_goes_on() {
    check(1);
}

#[test]
fn a_journal_of_schema_2_goes_on() {
    check(2);
}

#[test]
fn a_journal_of_schema_3_goes_on() {
    check(3);
}

#[test]
fn a_journal_of_schema_4_goes_on() {
    check(4);
}

#[test]
fn a_journal_of_schema_5_goes_on() {
    check(5);
}

#[test]
fn a_journal_of_schema_6_goes_on() {
    check(6);
}

#[test]
fn a_journal_of_schema_7_goes_on() {
    check(7);
}

#[test]
fn a_journal_of_schema_8_goes_on() {
    check(8);
}

#[test]
fn a_journal_of_schema_9_goes_on() {
    check(9);
}

#[test]
fn a_journal_of_schema_10_goes_on() {
    check(10);
}

#[test]
fn a_picture_that_is_only_in_the_journal_stays_until_its_file_can_be_written() {
    let revived = Revived::copied(4);
    let path = revived.files_of_journal().pop().unwrap();
    let directory = path.parent().unwrap();
    let aside = directory.with_extension("aside");
    fs::rename(directory, &aside).unwrap();
    fs::write(directory, "in the way").unwrap();
    let refused = revived.sandbox.reeld_fails();
    refused.expect_code(74);
    assert!(refused.stderr.contains(path.to_str().unwrap()), "{}", refused.stderr);
    assert!(refused.stderr.contains("the next start goes on"), "{}", refused.stderr);
    fs::remove_file(directory).unwrap();
    fs::rename(&aside, directory).unwrap();
    revived.sandbox.start();
    check_all(&revived);
}
