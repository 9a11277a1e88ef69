//! `reel batch`: makes a picture for each line. When it runs again, it makes only what is missing or has changed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use reel_tests::{Lines, Ran, Sandbox, eventually, process};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Starts a daemon, and writes a file of prompts into the working directory. Returns the sandbox and the path of the output directory.
fn with_prompts(text: &[u8]) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::started();
    fs::write(sandbox.work().join("prompts.txt"), text).unwrap();
    let out = sandbox.work().join("out");
    (sandbox, out)
}

fn batch(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.reel(&[&["batch", "prompts.txt", "-o", "out", "-s", "64x64"], more].concat())
}

/// Returns the names and bytes of the pictures in a directory, sorted by name.
fn pictures(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let pictures = entries.filter(|path| path.extension().is_some_and(|extension| extension == "png"));
    let mut found: Vec<_> = pictures
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

fn names(directory: &Path) -> Vec<String> {
    pictures(directory).into_iter().map(|(name, _)| name).collect()
}

/// Returns the counts in a run's summary: made, from the cache, kept and failed.
#[track_caller]
fn counts(ran: &Ran) -> [u64; 4] {
    let document = ran.json();
    let summary = if document["summary"].is_object() { &document["summary"] } else { &document };
    ["made", "from_cache", "kept", "failed"]
        .map(|key| summary[key].as_u64().unwrap_or_else(|| panic!("no number `{key}`: {document}")))
}

#[test]
fn each_line_becomes_a_file_in_the_order_of_the_lines() {
    let (sandbox, out) = with_prompts("a boat\na hill\n灯台、夕暮れ\n".as_bytes());
    let ran = batch(&sandbox, &["--json"]);
    assert_eq!(counts(ran.expect_code(0)), [3, 0, 0, 0]);
    let names = names(&out);
    assert_eq!(names[..2], ["001-a-boat.png", "002-a-hill.png"]);
    assert!(names[2].starts_with("003-灯台"), "{names:?}");
    assert!(out.join(".reel-batch.json").exists());
}

#[test]
fn a_second_run_keeps_all_files_and_a_run_in_another_directory_uses_the_cache() {
    let (sandbox, out) = with_prompts(b"one\ntwo\nthree\n");
    batch(&sandbox, &[]).expect_code(0);
    let before = pictures(&out);
    assert_eq!(counts(batch(&sandbox, &["--json"]).expect_code(0)), [0, 0, 3, 0]);
    assert_eq!(pictures(&out), before);
    let other = sandbox.reel(&["batch", "prompts.txt", "-o", "other", "-s", "64x64", "--json"]);
    assert_eq!(counts(other.expect_code(0)), [0, 3, 0, 0]);
    assert_eq!(pictures(&sandbox.work().join("other")), before);
    // A missing file is written again, an added line is made, and the rest is kept.
    fs::remove_file(out.join("002-two.png")).unwrap();
    fs::write(sandbox.work().join("prompts.txt"), "one\ntwo\nthree\nfour\n").unwrap();
    assert_eq!(counts(batch(&sandbox, &["--json"]).expect_code(0)), [1, 1, 2, 0]);
    assert_eq!(pictures(&out)[..3], before[..]);
}

#[test]
fn a_dry_run_foresees_the_renames_of_files_whose_lines_moved() {
    let (sandbox, out) = with_prompts(b"a boat\na hill\na pier\n");
    batch(&sandbox, &[]).expect_code(0);
    fs::write(sandbox.work().join("prompts.txt"), "a cave\na boat\na hill\na pier\n").unwrap();
    let before = pictures(&out);
    let dry = batch(&sandbox, &["--dry-run", "--json"]).expect_code(0).json();
    let counts_of = |dry: &Value| ["kept", "cached"].map(|key| dry[key].as_u64().unwrap());
    assert_eq!(counts_of(&dry), [3, 0], "{dry}");
    assert_eq!(pictures(&out), before, "a dry run renames nothing");
    let fresh = batch(&sandbox, &["--dry-run", "--fresh", "--json"]).expect_code(0).json();
    assert_eq!(counts_of(&fresh), [0, 0], "{fresh}");
    assert_eq!(counts(batch(&sandbox, &["--json"]).expect_code(0)), [1, 0, 3, 0]);
}

#[test]
fn a_changed_line_is_made_again() {
    let (sandbox, out) = with_prompts(b"one\ntwo\n");
    batch(&sandbox, &[]).expect_code(0);
    fs::write(sandbox.work().join("prompts.txt"), "one\nanother\n").unwrap();
    assert_eq!(counts(batch(&sandbox, &["--json"]).expect_code(0)), [1, 0, 1, 0]);
    assert!(names(&out).contains(&"002-another.png".to_owned()));
}

#[test]
fn a_file_of_another_program_or_a_changed_file_fails_only_its_line() {
    let (sandbox, out) = with_prompts(b"one\ntwo\nthree\n");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("001-one.png"), "not ours").unwrap();
    let ran = batch(&sandbox, &["--json"]);
    assert_ne!(ran.code, Some(0));
    assert_eq!(counts(&ran), [2, 0, 0, 1]);
    assert_eq!(fs::read(out.join("001-one.png")).unwrap(), b"not ours");
    fs::write(out.join("002-two.png"), "changed").unwrap();
    let ran = batch(&sandbox, &["--json"]);
    assert_eq!(counts(&ran), [0, 0, 1, 2], "{}", ran.stdout);
    assert_eq!(fs::read(out.join("002-two.png")).unwrap(), b"changed");
    let ran = batch(&sandbox, &["--force", "--json"]);
    assert_eq!(counts(ran.expect_code(0))[3], 0);
    assert!(pictures(&out).iter().all(|(_, bytes)| bytes.starts_with(b"\x89PNG")));
}

#[test]
fn equal_lines_become_different_pictures() {
    let (sandbox, out) = with_prompts(b"the same\nthe same\nthe same\n");
    assert_eq!(counts(batch(&sandbox, &["--json"]).expect_code(0)), [3, 0, 0, 0]);
    let bytes: HashSet<Vec<u8>> = pictures(&out).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(bytes.len(), 3);
    assert_eq!(counts(batch(&sandbox, &["--json"]).expect_code(0)), [0, 0, 3, 0]);
}

#[test]
fn a_byte_order_mark_crlf_blank_lines_and_a_missing_last_newline_are_accepted() {
    let (sandbox, out) = with_prompts(b"\xef\xbb\xbfone\r\n\r\n   \r\ntwo\r\nthree");
    assert_eq!(counts(batch(&sandbox, &["--json"]).expect_code(0)), [3, 0, 0, 0]);
    assert_eq!(names(&out), ["001-one.png", "002-two.png", "003-three.png"]);
}

#[test]
fn json_lines_carry_their_own_params() {
    let lines =
        [json!({ "prompt": "wide", "width": 128, "height": 64 }), json!({ "prompt": "tall", "height": 128 })];
    let text: String = lines.map(|line| line.to_string()).join("\n");
    let (sandbox, out) = with_prompts(text.as_bytes());
    let ran = batch(&sandbox, &["--json"]);
    assert_eq!(counts(ran.expect_code(0)), [2, 0, 0, 0]);
    let size = |index: usize| {
        let bytes = pictures(&out)[index].1.clone();
        let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        (side(16), side(20))
    };
    assert_eq!(size(0), (128, 64));
    assert_eq!(size(1), (64, 128), "what a line leaves out comes from the command line");
}

#[test]
fn a_bad_line_is_named_before_anything_is_made() {
    let (sandbox, out) = with_prompts(b"{\"prompt\":\"fine\"}\n{\"promt\":\"mistyped\"}\n");
    let ran = batch(&sandbox, &[]);
    assert_eq!(ran.code, Some(65), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("line 2: unknown field `promt`; did you mean `prompt`?"), "{}", ran.stderr);
    assert!(!out.exists() || names(&out).is_empty());
    let (sandbox, _) = with_prompts(b"fine\n\xff\xfe not text\n");
    assert_eq!(batch(&sandbox, &[]).code, Some(65));
    let (sandbox, _) = with_prompts(b"\n \n");
    let empty = batch(&sandbox, &[]);
    assert!(matches!(empty.code, Some(0 | 65)), "{empty:?}");
}

#[test]
fn prompts_come_from_standard_input_too() {
    let (sandbox, out) = with_prompts(b"");
    let mut command = sandbox.reel_command(&["batch", "-", "-o", "out", "-s", "64x64", "--json"]);
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"from a pipe\n").unwrap();
    assert_eq!(counts(reel_tests::process::finish(child).expect_code(0)), [1, 0, 0, 0]);
    assert_eq!(names(&out), ["001-from-a-pipe.png"]);
}

#[test]
fn many_lines_are_one_batch_of_the_daemon() {
    let text = (0..60).map(|number| format!("prompt {number}")).collect::<Vec<_>>().join("\n");
    let (sandbox, out) = with_prompts(text.as_bytes());
    let ran = batch(&sandbox, &[]);
    assert!(ran.expect_code(0).stderr.contains("60"), "the summary counts: {}", ran.stderr);
    assert_eq!(names(&out).len(), 60);
    let listed = sandbox.connect().ok("task.list", json!({ "limit": 100 }));
    let batches: HashSet<String> =
        listed["tasks"].as_array().unwrap().iter().map(|task: &Value| task["batch"].to_string()).collect();
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert!(!batches.contains("null"));
}

/// Starts a batch of `prompts.txt`, waits until its tasks are recorded, and presses Ctrl-C `times` times. Returns its messages.
fn interrupt_batch(sandbox: &Sandbox, times: usize) -> Vec<String> {
    let mut command = sandbox.reel_command(&["batch", "prompts.txt", "-o", "out"]);
    let record = sandbox.work().join("out/.reel-batch.json");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Lines::of(child.stderr.take().unwrap());
    eventually("the tasks are recorded", || {
        let record = fs::read_to_string(&record).ok()?;
        (record.contains("\"task\"") && !record.contains("\"submitting\"")).then_some(())
    });
    if times > 1 {
        lines.with("continuing 2 tasks of an earlier run");
    }
    process::signal(child.id(), Signal::INT);
    lines.with("press Ctrl-C again");
    if times > 1 {
        process::signal(child.id(), Signal::INT);
    }
    let lines = lines.all();
    process::finish(child).expect_code(130);
    lines
}

#[test]
fn the_same_command_after_an_interrupt_returns_to_the_tasks_and_a_second_interrupt_cancels_them() {
    let lines = "{\"kind\":\"debug.sleep\",\"ms\":600000}\n{\"kind\":\"debug.sleep\",\"ms\":600001}\n";
    let (sandbox, _) = with_prompts(lines.as_bytes());
    interrupt_batch(&sandbox, 1);
    let messages = interrupt_batch(&sandbox, 2);
    assert!(messages.iter().any(|line| line.contains("cancelled 2 of 2")), "{messages:?}");
    let list = sandbox.connect().ok("task.list", json!({}));
    let states: Vec<_> =
        list["tasks"].as_array().unwrap().iter().map(|task| task["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["cancelled", "cancelled"], "the second run submits no second tasks");
    // Cancelled tasks are not returned to.
    fs::write(sandbox.work().join("prompts.txt"), lines.replace("60000", "")).unwrap();
    sandbox.reel(&["batch", "prompts.txt", "-o", "out"]).expect_code(1);
    let list = sandbox.connect().ok("task.list", json!({}));
    assert_eq!(list["tasks"].as_array().unwrap().len(), 4);
}
