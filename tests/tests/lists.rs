//! `reel ls`, `reel show` and `reel status`: what a person reads of tasks, on one line each and on one screen.

use reel_tests::{
    FakeProvider, Sandbox,
    fake_provider::Fault,
    needs,
    tale::{Tale, speaking_studio},
};
use serde_json::json;

/// A prompt that is longer than any line of a list.
fn long_prompt() -> String {
    "a lighthouse on a rocky coast at dusk, ".repeat(60)
}

#[test]
fn a_list_in_a_pipe_has_one_short_line_for_each_task() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    let prompt = long_prompt();
    let id = connection.submit("image.generate", json!({ "prompt": prompt, "width": 64, "height": 64 }));
    connection.wait(id);
    let listed = sandbox.reel(&["ls"]);
    let lines: Vec<&str> = listed.expect_code(0).stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", listed.stdout);
    assert!(lines[0].starts_with("ID  STATE") && !lines[0].contains("COST"), "{}", listed.stdout);
    assert!(lines[1].chars().count() <= 120 && lines[1].ends_with('…'), "{}", lines[1]);
    let shown = sandbox.reel(&["show", &id.to_string()]);
    assert!(shown.expect_code(0).stdout.contains(prompt.trim_end()), "{}", shown.stdout);
    let document = sandbox.reel(&["ls", "--json"]).expect_code(0).json();
    assert_eq!(document["tasks"][0]["params"]["prompt"], prompt);
}

#[test]
fn a_list_of_failed_tasks_says_that_steps_of_films_failed_too() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    tale.make(&["--until", "storyboard"]).expect_code(0);
    tale.edit("picture = \"He looked", "picture = \"A forbidden look");
    provider.on_prompt("A forbidden look out over the dark water for a long time.", Fault::Moderated);
    tale.make(&["--until", "pictures"]).expect_code(1);
    let listed = tale.sandbox.reel(&["ls", "--state", "failed"]);
    let note = "1 failed step of films: reel ls --state failed --steps\n";
    assert!(listed.expect_code(0).stderr.contains(note), "{}", listed.stderr);
    let steps = tale.sandbox.reel(&["ls", "--state", "failed", "--steps"]);
    assert!(!steps.expect_code(0).stderr.contains("of films"), "{}", steps.stderr);
    assert_eq!(tale.sandbox.reel(&["ls", "--state", "held"]).expect_code(0).stderr, "no tasks\n");
}

#[test]
fn a_batch_that_does_not_exist_is_one_error_for_every_command() {
    let sandbox = Sandbox::started();
    for arguments in [
        &["ls", "--batch", "7"][..],
        &["ls", "--batch", "7", "--state", "failed"],
        &["follow", "--batch", "7"],
    ] {
        let ran = sandbox.reel(&[arguments, &["--json"]].concat());
        let error = ran.expect_code(66).json()["error"].clone();
        assert_eq!(error["code"], "batch_not_found", "{arguments:?}: {error}");
        assert_eq!(error["message"], "no batch 7", "{arguments:?}: {error}");
        assert!(error["hint"].is_string(), "{arguments:?}: {error}");
    }
    let (batch, _) = sandbox.connect().submit_batch(vec![json!({ "kind": "debug.noop" })]);
    let none = sandbox.reel(&["ls", "--batch", &batch.to_string(), "--state", "failed"]);
    assert_eq!(none.expect_code(0).stderr, "no tasks\n");
    let listed = sandbox.reel(&["ls", "--batch", &batch.to_string()]);
    assert!(listed.expect_code(0).stdout.contains("BATCH"), "{}", listed.stdout);
}

#[test]
fn a_film_is_shown_on_one_screen_with_the_command_that_continues_it() {
    if !needs::program("ffmpeg") {
        return;
    }
    let tale = Tale::new(Sandbox::started());
    let (story, film) = (tale.path("story.txt"), tale.path("films/the night.mp4"));
    std::fs::create_dir(tale.path("films")).unwrap();
    let (story, film) = (story.to_str().unwrap(), film.to_str().unwrap());
    let make = ["make", story, "-o", film, "--size", "160x90"];
    tale.sandbox.reel(&make).expect_code(0);
    let id = tale.sandbox.reel(&["ls", "--json"]).expect_code(0).json()["tasks"][0]["id"].to_string();
    let shown = tale.sandbox.reel(&["show", &id]).expect_code(0).stdout.clone();
    assert!(shown.lines().count() <= 40 && shown.len() < 4_000, "{shown}");
    for expected in [
        "4 shots in 2 scenes",
        "160x90",
        "pictures: 4 of 4 done",
        "video/mp4, 160x90",
        "application/x-subrip",
        film,
        story,
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(shown.lines().any(|line| line.starts_with("cost ") && line.ends_with(" nothing")), "{shown}");
    let next = shown.lines().find(|line| line.starts_with("next step")).unwrap();
    let command = &next[next.find("reel make").unwrap()..next.find(" writes them again").unwrap()];
    // A shell takes the command apart as it was meant.
    let script = format!("set -- {command}; printf '%s\\n' \"$@\"");
    let words = std::process::Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
    let words = String::from_utf8(words).unwrap();
    assert_eq!(words.lines().collect::<Vec<_>>(), ["reel", "make", story, "-o", film], "{next}");
    // The film is made from what there is, which its steps tell.
    tale.sandbox.reel(&make).expect_code(0);
    let again = tale.sandbox.reel(&["ls", "--json"]).expect_code(0).json()["tasks"][0]["id"].to_string();
    let shown = tale.sandbox.reel(&["show", &again]).expect_code(0).stdout.clone();
    assert!(shown.contains("pictures: 4 of 4 done, from before"), "{shown}");
}

#[test]
fn a_dry_run_says_what_is_made_and_what_is_there() {
    let tale = Tale::new(Sandbox::started());
    let story = tale.path("story.txt");
    let story = story.to_str().unwrap();
    let dry_run = |expected: &[&str]| {
        let said = tale.sandbox.reel(&["make", story, "--dry-run"]).expect_code(0).stderr.clone();
        for line in expected {
            assert!(said.lines().any(|said| said == *line), "{line}: {said}");
        }
    };
    dry_run(&["pictures: 4 to make by draft; cost: nothing", "cost of the run: nothing"]);
    tale.sandbox.reel(&["make", story, "--until", "pictures"]).expect_code(0);
    dry_run(&[
        "pictures: 4 are in the cache, nothing to make; cost: nothing",
        "this was a dry run: nothing was made or written",
    ]);
}

#[test]
fn a_batch_names_itself_and_the_command_that_follows_it() {
    let sandbox = Sandbox::started();
    std::fs::write(sandbox.work().join("lines.txt"), "a boat\na storm\n").unwrap();
    let made = sandbox.reel(&["batch", "lines.txt", "-s", "64x64", "-o", "out"]);
    let said = &made.expect_code(0).stderr;
    let line = said.lines().find(|line| line.starts_with("this is batch ")).unwrap_or_default();
    let id = line.trim_start_matches("this is batch ").split(':').next().unwrap_or_default().to_owned();
    assert!(line.contains(&format!("reel follow --batch {id} ")), "{said}");
    sandbox.reel(&["follow", "--batch", &id]).expect_code(0);
    let again = sandbox.reel(&["batch", "lines.txt", "-s", "64x64", "-o", "other", "--json"]);
    let batch = again.expect_code(0).json()["batch"].as_u64().unwrap();
    assert_eq!(
        sandbox.connect().ok("task.list", json!({ "batch": batch }))["tasks"].as_array().unwrap().len(),
        2
    );
    // Files that are there need no task, and so no batch.
    let kept = sandbox.reel(&["batch", "lines.txt", "-s", "64x64", "-o", "other", "--json"]);
    assert!(kept.expect_code(0).json()["batch"].is_null(), "{}", kept.stdout);
}

#[test]
fn the_status_counts_the_steps_of_films_apart() {
    let tale = Tale::new(Sandbox::started());
    let story = tale.path("story.txt");
    tale.sandbox.reel(&["make", story.to_str().unwrap(), "--until", "pictures"]).expect_code(0);
    let status = tale.sandbox.reel(&["status"]).expect_code(0).stdout.clone();
    let row = |name: &str| {
        let line = status.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("{name}: {status}")).to_owned()
    };
    assert!(row("tasks").ends_with(" 1 succeeded"), "{status}");
    assert!(row("steps").contains(" 8 succeeded; these are the parts of films"), "{status}");
    assert!(row("cache").contains("it had 0 of "), "{status}");
    let cache = tale.sandbox.reel(&["cache"]).expect_code(0).stdout.clone();
    assert!(cache.contains("can be answered without a provider") && !cache.contains("coalesced"), "{cache}");
    let memory = tale.sandbox.reel(&["memory"]).expect_code(0).stdout.clone();
    assert!(memory.contains("panels being drawn") && !memory.contains("resident"), "{memory}");
}

#[test]
fn a_film_is_shown_with_what_its_steps_cost() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, "price = { image = 0.04 }"));
    tale.make(&["--until", "pictures"]).expect_code(0);
    let id = tale.sandbox.reel(&["ls", "--json"]).expect_code(0).json()["tasks"][0]["id"].to_string();
    let shown = tale.sandbox.reel(&["show", &id]).expect_code(0).stdout.clone();
    let cost = shown.lines().find(|line| line.starts_with("cost ")).unwrap_or_default();
    assert!(cost.contains("about 0.16 USD"), "{shown}");
}
