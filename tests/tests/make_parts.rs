//! `reel make` up to pictures and voices: what is made again after a change, failures that shift nothing, and runs that find their task again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{
    FakeProvider, Sandbox, SmallDisk, eventually,
    fake_provider::Fault,
    process,
    tale::{SHOTS, STORY, Tale, speaking_studio},
};
use rustix::process::Signal;
use serde_json::{Value, json};

const PICTURES: [&str; 2] = ["--until", "pictures"];

fn pictures(tale: &Tale, more: &[&str]) -> Value {
    tale.make(&[&PICTURES[..], more, &["--json"]].concat()).expect_code(0).json()
}

/// Returns what was made again, each as `a2 picture (prompt changed)`.
fn stale(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for shot in document["stale"].as_array().unwrap() {
        for stage in shot["stages"].as_array().unwrap() {
            let why = stage["why"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
            found.push(format!(
                "{} {}{why}",
                shot["shot"].as_str().unwrap(),
                stage["stage"].as_str().unwrap()
            ));
        }
    }
    found
}

#[test]
fn a_change_makes_its_dependents_again_and_says_why() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    let first = pictures(&tale, &[]);
    assert_eq!(first["counts"]["made"], json!({ "picture by studio": 4, "voice by studio": 4 }), "{first}");
    assert_eq!((provider.calls(), stale(&first)), (8, vec![]));
    for shot in SHOTS {
        assert!(tale.path(format!("story.reel/{shot}.png")).exists(), "{shot}");
        assert!(tale.path(format!("story.reel/{shot}.mp3")).exists(), "a voice has the ending of what it is");
    }
    let again = pictures(&tale, &[]);
    assert_eq!((provider.calls(), &again["counts"]["made"]), (8, &json!({})), "{again}");

    tale.edit("picture = \"He looked", "picture = \"A man who looked");
    tale.set("a3", "speak = \"Who is there?\"");
    let changed = pictures(&tale, &[]);
    assert_eq!(stale(&changed), ["a2 picture (prompt changed)", "a3 voice (text changed)"]);
    assert_eq!(provider.calls(), 10);
    let redone = pictures(&tale, &["--redo", "a1:voice,b1:picture"]);
    assert_eq!(stale(&redone), ["a1 voice (asked for)", "b1 picture (asked for)"]);
    assert_eq!(provider.calls(), 12);
    // Nothing is requested a second time.
    assert_eq!(stale(&pictures(&tale, &[])), Vec::<String>::new());
    let some = tale.make(&["--only", "a1,b1", "--redo", "a1:picture", "--json"]).expect_code(0).json();
    assert_eq!((stale(&some), provider.calls()), (vec!["a1 picture (asked for)".to_owned()], 13));
    assert_eq!(
        (&some["film"], &some["shots"][1]["picture"]["state"]),
        (&Value::Null, &json!("skipped")),
        "{some}"
    );
}

#[test]
fn a_failed_shot_is_named_shifts_nothing_and_is_the_only_one_made_next_time() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    pictures(&tale, &[]);
    let before = fs::read(tale.path("story.reel/b1.png")).unwrap();
    tale.edit("picture = \"He looked", "picture = \"A forbidden look");
    tale.edit("picture = \"In the morning", "picture = \"One morning");
    let forbidden = "A forbidden look out over the dark water for a long time.";
    provider.on_prompt(forbidden, Fault::Moderated);
    provider.forget();
    let ran = tale.make(&PICTURES);
    let said = &ran.expect_code(1).stderr;
    for words in [
        "a2: picture failed: ",
        "1 of 4 shots is missing",
        "the same would fail again: change what the hints above name, then reel make ",
        "makes only what is missing",
        "b1: picture (prompt changed)",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_ne!(fs::read(tale.path("story.reel/b1.png")).unwrap(), before, "the others are written");
    assert_eq!(provider.calls(), 2);
    let failed = tale.make(&[&PICTURES[..], &["--json"]].concat());
    let document = failed.expect_code(1).json();
    assert_eq!(
        (&document["error"]["code"], &document["troubles"][0]["shot"], &document["troubles"][0]["code"]),
        (&json!("shots_missing"), &json!("a2"), &json!("moderated"))
    );
    provider.be_good();
    let calls = provider.calls();
    let done = pictures(&tale, &[]);
    assert_eq!(done["counts"]["made"], json!({ "picture by studio": 1 }), "{done}");
    assert_eq!(provider.calls(), calls + 1);
}

#[test]
fn a_held_call_is_reported_with_both_commands_that_decide_about_it() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, "max_concurrent = 1\n"));
    tale.make(&["--until", "storyboard"]).expect_code(0);
    tale.edit("picture = \"He looked", "picture = \"Look");
    provider.on_prompt("Look out over the dark water for a long time.", Fault::ResetAfterRequest);
    let document = tale.make(&[&PICTURES[..], &["--json"]].concat()).expect_code(1).json();
    let trouble = &document["troubles"][0];
    assert_eq!((&trouble["shot"], &trouble["is_held"]), (&json!("a2"), &json!(true)), "{document}");
    let id = trouble["task"].to_string();
    let hint = trouble["hint"].as_str().unwrap();
    assert!(
        hint.contains(&format!("reel release {id}")) && hint.contains(&format!("reel cancel {id}")),
        "{hint}"
    );
    assert_eq!(provider.calls(), 8);
    // Another run does not pay again, and there is still one task to decide about.
    let again = tale.make(&PICTURES);
    assert!(again.expect_code(1).stderr.contains(&format!("reel show {id} says why")), "{}", again.stderr);
    assert!(again.stderr.contains("release or cancel what is held, then reel make "), "{}", again.stderr);
    assert!(again.stderr.contains("cost: nothing, without what is held"), "{}", again.stderr);
    assert_eq!(provider.calls(), 8);
    provider.be_good();
    tale.sandbox.reel(&["cancel", &id]).expect_code(0);
    pictures(&tale, &[]);
    assert_eq!(provider.calls(), 9);
}

#[test]
fn ctrl_c_leaves_the_task_running_and_the_same_command_finds_it_again() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    provider.hold();
    let child = tale.begin(&PICTURES);
    provider.wait_for_calls(2);
    eventually("the task is noted", || {
        let state = fs::read_to_string(tale.path(".story.reel-state.json")).ok()?;
        serde_json::from_str::<Value>(&state).ok()?["running"]["task"].as_u64()
    });
    process::signal(child.id(), Signal::INT);
    let left = process::finish(child);
    let said = &left.expect_code(130).stderr;
    assert!(said.lines().any(|line| line.contains("reel make ") && line.contains(" continues it")), "{said}");
    let child = tale.begin(&PICTURES);
    provider.release();
    let ran = process::finish(child);
    assert!(ran.expect_code(0).stderr.contains("continuing task"), "{}", ran.stderr);
    assert_eq!(provider.calls(), 8);
    let mut connection = tale.sandbox.connect();
    let tasks = connection.ok("task.list", json!({ "limit": 50 }))["tasks"].as_array().unwrap().clone();
    assert_eq!(tasks.iter().filter(|task| task["kind"] == "story.make").count(), 1);
}

#[test]
fn the_command_survives_a_crash_of_the_daemon() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, "billing = \"free\"\n"));
    provider.hold();
    let child = tale.begin(&PICTURES);
    provider.wait_for_calls(2);
    tale.sandbox.kill();
    provider.release();
    let ran = process::finish(child);
    assert!(
        ran.expect_code(0).stderr.contains("the connection to the daemon was lost; connecting again"),
        "{}",
        ran.stderr
    );
    assert!(tale.path("story.reel/b1.png").exists());
}

#[test]
fn the_users_own_media_are_checked_and_used() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    tale.make(&["--until", "storyboard"]).expect_code(0);
    let own = tale.path("my own.png");
    let drawn = tale.sandbox.reel(&[
        "generate",
        "mine",
        "--provider",
        "draft",
        "-s",
        "64x64",
        "-o",
        own.to_str().unwrap(),
    ]);
    drawn.expect_code(0);
    tale.set("a2", "picture_file = \"my own.png\"");
    fs::write(tale.path("song.mp3"), "la la la").unwrap();
    for (field, words) in [
        ("voice_file = \"my own.png\"", "shot a3: voice_file: my own.png is not a sound: it is image/png"),
        ("clip_file = \"my own.png\"", "shot a3: clip_file: my own.png is not a video: it is image/png"),
        ("picture_file = \"song.mp3\"", "shot a3: picture_file: song.mp3 is not a picture"),
    ] {
        let before = fs::read_to_string(tale.project()).unwrap();
        tale.set("a3", field);
        let ran = tale.make(&PICTURES);
        assert!(ran.expect_code(65).stderr.contains(words), "{field}: {}", ran.stderr);
        fs::write(tale.project(), before).unwrap();
    }
    assert_eq!(provider.calls(), 0);
    let done = pictures(&tale, &[]);
    assert_eq!(done["counts"]["supplied"], json!({ "picture": 1 }), "{done}");
    assert_eq!(fs::read(tale.path("story.reel/a2.png")).unwrap(), fs::read(&own).unwrap());
    assert_eq!(provider.calls(), 7);
    // A picture with other bytes under the same name is another picture.
    let again =
        ["generate", "other", "--provider", "draft", "-s", "64x64", "--force", "-o", own.to_str().unwrap()];
    tale.sandbox.reel(&again).expect_code(0);
    assert_eq!(stale(&pictures(&tale, &[])), ["a2 picture (own file changed)"]);
}

#[test]
fn a_copy_that_a_person_changed_stays_and_is_named() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    pictures(&tale, &[]);
    let copy = tale.path("story.reel/a2.png");
    fs::write(&copy, "painted over").unwrap();
    let ran = tale.make(&PICTURES);
    assert!(ran.expect_code(0).stderr.contains("story.reel/a2.png was changed by hand"), "{}", ran.stderr);
    assert_eq!(fs::read(&copy).unwrap(), b"painted over");
    tale.make(&[&PICTURES[..], &["--force"]].concat()).expect_code(0);
    assert!(fs::read(&copy).unwrap().starts_with(b"\x89PNG"));
    // A copy that was deleted is written again.
    fs::remove_file(&copy).unwrap();
    pictures(&tale, &[]);
    assert!(copy.exists());
}

#[test]
fn copies_of_removed_shots_are_removed_unless_a_person_changed_them() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    pictures(&tale, &[]);
    let copy = |name: &str| tale.path(format!("story.reel/{name}"));
    fs::write(copy("a2.png"), "painted over").unwrap();
    let text = fs::read_to_string(tale.project()).unwrap();
    let (start, end) = (text.find("id = \"a2\"").unwrap(), text.find("id = \"a3\"").unwrap());
    let table = "[[shots]]";
    let cut = |at: usize| text[..at].rfind(table).unwrap();
    fs::write(tale.project(), format!("{}{}", &text[..cut(start)], &text[cut(end)..])).unwrap();
    let ran = tale.make(&PICTURES);
    assert!(ran.expect_code(0).stderr.contains("removed 1 file of shots that are gone"), "{}", ran.stderr);
    assert!(!copy("a2.mp3").exists() && copy("a1.mp3").exists() && copy("a3.png").exists());
    assert_eq!(fs::read(copy("a2.png")).unwrap(), b"painted over");
    assert!(!tale.make(&PICTURES).expect_code(0).stderr.contains("gone"));
}

#[test]
fn a_budget_ends_the_run_and_keeps_what_was_made() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, "price = { image = 0.04, character = 0.0 }\n"));
    let ran = tale.make(&[&PICTURES[..], &["--budget", "0.1"]].concat());
    assert!(ran.expect_code(77).stderr.contains("a larger --budget"), "{}", ran.stderr);
    assert_eq!(provider.calls(), 6, "four voices and two pictures: {}", ran.stderr);
    let done = pictures(&tale, &["--budget", "0.1"]);
    assert_eq!(done["counts"]["cached"], json!({ "picture": 2, "voice": 4 }), "{done}");
    assert!((done["cost"]["amount"].as_f64().unwrap() - 0.08).abs() < 1e-9, "{done}");
}

#[test]
fn file_names_with_special_characters_work() {
    for (directory, name) in [("-d", "-s.txt"), ("a\nb", "it's \"50%\" [c]:d.txt"), ("100%d", "雨 & 灯.txt")]
    {
        let sandbox = Sandbox::new();
        sandbox.configure("");
        let tale = Tale::named(sandbox, directory, name, "The keeper lit the lamp in the evening.\n");
        let document = tale.make(&[&PICTURES[..], &["--json"]].concat()).expect_code(0).json();
        let stem = name.strip_suffix(".txt").unwrap();
        assert_eq!(document["project"], format!("{stem}.reel.toml"));
        assert!(tale.path(format!("{stem}.reel/a1.png")).exists(), "{name}");
    }
}

#[test]
fn a_dry_run_predicts_the_prices_and_the_cache_hits_of_the_run() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, "price = { image = 0.04, character = 0.00001 }\n"));
    tale.make(&["--until", "storyboard"]).expect_code(0);
    tale.edit(
        "[[shots]]\nid = \"a2\"",
        "[[places]]\nid = \"tower\"\nlook = \"a white tower\"\n\n[[shots]]\nid = \"a2\"",
    );
    tale.edit("[[scenes]]\nid = \"a\"\n", "[[scenes]]\nid = \"a\"\nplace = \"tower\"\n");
    let dry = |flags: &[&str]| {
        tale.make(&[&["--dry-run", "--json"], flags].concat()).expect_code(0).json()["prices"].clone()
    };
    let before = dry(&[]);
    assert_eq!(before["pictures"]["by_provider"], json!({ "studio": 4 }), "{before}");
    assert_eq!(before["sheets"]["by_provider"], json!({ "studio": 1 }), "{before}");
    assert_eq!(
        (&before["voices"]["cached"], &before["pictures"]["cost"]["amount"]),
        (&json!(0), &json!(0.16))
    );
    assert_eq!(provider.calls(), 0);
    let words = tale.make(&["--dry-run"]);
    assert!(
        words.expect_code(0).stderr.contains("pictures: 4 to make by studio; cost: about 0.16 USD"),
        "{}",
        words.stderr
    );
    assert!(!tale.path("story.reel").exists());
    // The run does what the dry run said.
    let made = pictures(&tale, &[]);
    assert!((made["cost"]["amount"].as_f64().unwrap() - 0.20).abs() < 0.01, "{made}");
    let after = dry(&[]);
    assert_eq!((&after["voices"]["cached"], &after["pictures"]["cached"]), (&json!(4), &json!(4)), "{after}");
    let redone = dry(&["--redo", "a2:picture", "--only", "a1,a2"]);
    assert_eq!(
        (&redone["pictures"]["cached"], &redone["pictures"]["by_provider"], &redone["rendered"]),
        (&json!(1), &json!({ "studio": 1 }), &json!(0)),
        "{redone}"
    );
}

#[test]
fn what_cannot_be_written_or_sent_is_reported_before_any_request() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    fs::write(tale.path("story.reel"), "a file").unwrap();
    tale.make(&PICTURES).expect_code(73);
    fs::remove_file(tale.path("story.reel")).unwrap();
    let long = format!("{STORY}\n\n").repeat(3000);
    fs::write(tale.path("story.txt"), long).unwrap();
    fs::remove_file(tale.project()).unwrap();
    let ran = tale.make(&PICTURES);
    assert!(ran.expect_code(65).stderr.contains("split the story into several files"), "{}", ran.stderr);
    let planned = tale.make(&["--dry-run"]);
    assert!(planned.expect_code(65).stderr.contains("split the story into several"), "{}", planned.stderr);
    assert_eq!(provider.calls(), 0);
}

#[test]
fn a_dry_run_finds_the_drafts_of_a_film_in_the_cache() {
    let tale = Tale::new(Sandbox::new());
    tale.make(&PICTURES).expect_code(0);
    let planned = tale.make(&["--dry-run"]);
    let words = &planned.expect_code(0).stderr;
    let pictures =
        words.lines().find(|line| line.starts_with("pictures:")).unwrap_or_else(|| panic!("{words}"));
    assert!(!pictures.contains("by draft") && pictures.contains("in the cache"), "{words}");
}

#[test]
fn a_full_disk_loses_nothing_and_the_same_command_writes_the_rest() {
    let Some(disk) = SmallDisk::mounted(4) else { return };
    let provider = FakeProvider::start();
    provider.picture_bytes(300_000);
    let sandbox = speaking_studio(&provider, "");
    let tale = Tale::named(sandbox, disk.path().to_str().unwrap(), "story.txt", STORY);
    tale.make(&["--until", "storyboard"]).expect_code(0);
    let filler = disk.fill_up_to(400);
    let ran = tale.make(&PICTURES);
    let said = &ran.expect_code(74).stderr;
    assert!(said.contains("No space left") && said.contains("run the same command again"), "{said}");
    assert_eq!(provider.calls(), 8);
    fs::remove_file(filler).unwrap();
    let ran = tale.make(&PICTURES);
    assert!(ran.expect_code(0).stderr.contains("continuing task"), "{}", ran.stderr);
    for shot in SHOTS {
        assert!(fs::metadata(tale.path(format!("story.reel/{shot}.png"))).unwrap().len() > 250_000, "{shot}");
    }
    assert_eq!(provider.calls(), 8);
}
