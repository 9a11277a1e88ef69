//! The hints of `reel`: each names the command that helps, with the right ids and files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{FakeProvider, Sandbox, fake_provider::Fault, studio::studio};

#[test]
fn a_held_picture_is_written_by_the_commands_that_its_hint_names() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.script([Fault::ResetAfterRequest]);
    let file = sandbox.root().join("lost one.png");
    let shown = file.display().to_string();
    let held = sandbox.reel(&["generate", "a cat", "-s", "64x64", "-o", &shown]);
    let way = format!("reel wait 1 && reel fetch 1 -o '{shown}' writes the file");
    assert!(held.expect_code(1).stderr.contains(&way), "{}", held.stderr);
    assert!(held.stderr.contains("reel release 1 "), "{}", held.stderr);
    let released = sandbox.reel(&["release", "1"]);
    let words = "1 is released; reel fetch 1 -o FILE saves its picture when it is done\n";
    assert_eq!(released.expect_code(0).stdout, words);
    sandbox.reel(&["wait", "1"]).expect_code(0);
    sandbox.reel(&["fetch", "1", "-o", &shown]).expect_code(0);
    assert!(file.is_file());
}

#[test]
fn an_interrupted_wait_says_how_to_write_the_file() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.always(Fault::Never);
    let file = sandbox.root().join("lost.png").display().to_string();
    let waited = sandbox.reel(&["generate", "a cat", "-s", "64x64", "--timeout", "0.2s", "-o", &file]);
    let way = format!("reel wait 1 && reel fetch 1 -o {file}, or reel cancel 1 cancels it");
    assert!(waited.expect_code(124).stderr.contains(&way), "{}", waited.stderr);
}

#[test]
fn a_batch_distinguishes_held_from_failed_tasks_and_prints_each_error_once() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.on_prompt("lost", Fault::ResetAfterRequest);
    provider.on_prompt("naughty", Fault::Moderated);
    let (lines, out) = (sandbox.root().join("lines.txt"), sandbox.root().join("out"));
    fs::write(&lines, "lost\nfine\nnaughty\n").unwrap();
    let (lines, out) = (lines.display().to_string(), out.display().to_string());
    let ran = sandbox.reel(&["batch", &lines, "-s", "64x64", "-o", &out]);
    let said = &ran.expect_code(1).stderr;
    assert!(said.contains("3 pictures: 1 made, 0 from cache, 0 kept, 1 held, 1 failed in "), "{said}");
    let hint = "reel release 2 asks again (may pay again), reel cancel 2 cancels it";
    assert_eq!(said.lines().last(), Some(hint), "{said}");
    assert_eq!(said.matches("line 1, 001-lost.png: task 2 is held: outcome unknown").count(), 1, "{said}");
    assert_eq!(said.matches("task 2 is held").count(), 1, "{said}");
    assert_eq!(said.matches("task 4 failed").count(), 1, "{said}");
}

#[test]
fn the_new_configuration_file_holds_an_example_of_a_provider() {
    let sandbox = Sandbox::new();
    sandbox.reel_command(&["config", "edit"]).env("EDITOR", "true").status().unwrap();
    let template = fs::read_to_string(sandbox.config()).unwrap();
    let lines: Vec<_> = template.lines().skip(2).map(|line| line.trim_start_matches("# ")).collect();
    let uncommented = lines.join("\n");
    assert!(uncommented.contains("[providers.studio]"), "{uncommented}");
    fs::write(sandbox.config(), uncommented).unwrap();
    let checked = sandbox.reel_command(&["config", "check"]).env("OPENAI_API_KEY", "key").status().unwrap();
    assert!(checked.success());
    sandbox.reel(&["daemon", "status"]).expect_code(69);
}

#[test]
fn clearing_the_cache_warns_that_equal_requests_are_paid_again() {
    let sandbox = Sandbox::started();
    let words = "equal requests are made, and paid for, again";
    let cleared = sandbox.reel(&["cache", "clear"]);
    assert!(cleared.expect_code(0).stdout.contains(words), "{}", cleared.stdout);
    let kept = sandbox.reel(&["cache", "clear", "--memory-only"]);
    assert!(!kept.expect_code(0).stdout.contains(words), "{}", kept.stdout);
    let help = sandbox.reel(&["cache", "clear", "--help"]);
    assert!(help.expect_code(0).stdout.contains(words), "{}", help.stdout);
}

#[test]
fn a_refusal_names_the_command_to_run_next() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.always(Fault::Unauthorized);
    let failed = sandbox.reel(&["generate", "a cat", "-s", "64x64"]);
    let way = "reel providers key studio stores another one; then reel retry 1\n";
    assert!(failed.stderr.contains(way), "{}", failed.stderr);
    provider.always(Fault::Good);
    let file = sandbox.root().join("cat.png").display().to_string();
    sandbox.reel(&["retry", "1"]).expect_code(0);
    sandbox.reel(&["wait", "1"]).expect_code(0);
    sandbox.reel(&["fetch", "1", "-o", &file]).expect_code(0);
    let retried = sandbox.reel(&["retry", "1"]);
    assert!(
        retried.stderr.contains("reel fetch 1") && retried.stderr.contains("--fresh"),
        "{}",
        retried.stderr
    );
    let lines = sandbox.root().join("lines.txt");
    fs::write(&lines, "a\n").unwrap();
    let batch = sandbox.reel(&["batch", &lines.display().to_string(), "-o", &file]);
    assert!(batch.expect_code(73).stderr.contains("cat.png is no directory"), "{}", batch.stderr);
}

#[test]
fn drafts_are_noted_only_where_there_is_no_other_provider() {
    let note = "no provider of pictures is configured";
    for (sandbox, is_noted) in [(Sandbox::started(), true), (studio(&FakeProvider::start(), ""), false)] {
        let (lines, out) = (sandbox.root().join("lines.txt"), sandbox.root().join("out"));
        fs::write(&lines, "a\n").unwrap();
        let (lines, out) = (lines.display().to_string(), out.display().to_string());
        let ran = sandbox.reel(&["batch", &lines, "--provider", "draft", "-s", "64x64", "-o", &out]);
        assert_eq!(ran.expect_code(0).stderr.contains(note), is_noted, "{}", ran.stderr);
    }
}

#[test]
fn a_cancelled_task_that_may_have_been_paid_says_how_to_get_its_picture() {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "");
    provider.script([Fault::ResetAfterRequest]);
    sandbox.reel(&["generate", "a cat", "-s", "64x64"]).expect_code(1);
    sandbox.reel(&["cancel", "1"]).expect_code(0);
    let shown = sandbox.reel(&["show", "1"]);
    let hint = shown.expect_code(0).stdout.lines().find(|line| line.starts_with("hint ")).unwrap_or_default();
    assert!(hint.contains("reel retry 1 asks again, and may pay again"), "{}", shown.stdout);
    let waited = sandbox.reel(&["wait", "1"]);
    let said = "task 1 was cancelled; it may have been paid\n  hint: reel retry 1 ";
    assert!(waited.expect_code(1).stderr.contains(said), "{}", waited.stderr);
}

#[test]
fn mistakes_of_a_new_user_are_explained() {
    let sandbox = Sandbox::new();
    let status = sandbox.reel(&["status"]);
    assert_eq!(status.expect_code(69).stdout, "not running\n");
    assert!(status.stderr.contains("reel daemon start"), "{}", status.stderr);
    let shown = sandbox.reel(&["show", "abc"]);
    let words = "a task is named by its id, a number that reel ls shows";
    assert!(shown.expect_code(64).stderr.contains(words), "{}", shown.stderr);
    fs::write(sandbox.work().join("empty.txt"), "\n\n").unwrap();
    let batch = sandbox.reel(&["batch", "empty.txt", "-o", "out"]);
    assert!(batch.expect_code(65).stderr.contains("empty.txt has no prompt"), "{}", batch.stderr);
    let id = sandbox.reel(&["submit", "debug", "noop"]).expect_code(0).stdout.trim().to_owned();
    let other = sandbox.root().join("other");
    let missed = sandbox.reel(&["ls", "--socket", other.to_str().unwrap()]);
    assert!(
        missed.expect_code(69).stderr.contains("name its socket with --socket or REEL_SOCKET"),
        "{}",
        missed.stderr
    );
    sandbox.reel(&["wait", &id]).expect_code(0);
}
