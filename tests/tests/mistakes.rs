//! Common mistakes on the command line: each is refused before any work, with a sentence that says what is expected.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, process::Stdio};

use reel_tests::{Lines, Sandbox, needs, process, tale::Tale};
use rustix::process::Signal;
use serde_json::json;

/// Runs `reel`, and checks the exit code and that stderr has all of the words.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32, words: &[&str]) {
    let ran = sandbox.reel(arguments);
    for words in words {
        assert!(ran.expect_code(code).stderr.contains(words), "{arguments:?}: {words}: {}", ran.stderr);
    }
}

/// Returns the number of tasks that were submitted.
fn tasks(sandbox: &Sandbox) -> usize {
    sandbox.connect().ok("task.list", json!({}))["tasks"].as_array().unwrap().len()
}

#[test]
fn a_mistyped_command_is_refused_before_any_task_with_what_is_expected() {
    let sandbox = Sandbox::started().without_programs();
    sandbox.reel(&["generate", "a", "-s", "64x64", "-o", "a.png"]).expect_code(0);
    sandbox.reel(&["speak", "One.", "--provider", "draft", "-o", "line.wav"]).expect_code(0);
    let before = tasks(&sandbox);
    for (arguments, code, words) in [
        (&["animate", "a.png", "x", "-o", "x.mov"][..], 64, &["x.mov does not end in .mp4 (or .webm)"][..]),
        (&["animate", "line.wav", "x", "-o", "x.mp4"], 65, &["line.wav is no picture"]),
        (&["generate", "x", "--image", "line.wav"], 65, &["line.wav is no picture"]),
        (
            &["speak", "One.", "--provider", "draft", "-o", "line.mp3"],
            64,
            &["draft makes no mp3", "name the file line.wav, or install ffmpeg"],
        ),
        (&["speak", "One.", "-o", "line.ogg"], 64, &["line.ogg does not end in .wav or .mp3"]),
        (&["speak", "One.", "--speed", "fast"], 64, &["a speed is a number from 0.25 to 4"]),
        (&["generate", "x", "--seed", "abc"], 64, &["a seed is a whole number"]),
        (&["generate", "x", "-n", "0"], 64, &["1 to 16 pictures"]),
        (&["generate", "x", "-s", "5:7"], 64, &["or a ratio: 16:9"]),
        (&["generate", "x", "-s", "99999x64"], 64, &["each from 16 to 16384"]),
        (
            &["generate", "a", "lighthouse"],
            64,
            &["unexpected argument", "put the prompt into quotes: reel generate 'a lighthouse'\n"],
        ),
        (&["show", "9999"], 66, &["there is no task 9999"]),
        (&["retry", "1"], 1, &["task 1 has succeeded already"]),
    ] {
        refused(&sandbox, arguments, code, words);
    }
    assert_eq!(tasks(&sandbox), before);
    let wide = sandbox.reel(&["generate", "x", "-s", "16:9", "--json"]).expect_code(0).json();
    assert_eq!(
        (&wide["task"]["params"]["width"], &wide["task"]["params"]["height"]),
        (&json!(1280), &json!(720))
    );
}

#[test]
fn speech_is_converted_to_mp3_where_ffmpeg_is_installed() {
    if !needs::program("ffmpeg") {
        return;
    }
    let sandbox = Sandbox::started();
    sandbox.reel(&["speak", "One.", "--provider", "draft", "-o", "line.mp3"]).expect_code(0);
    let bytes = fs::read(sandbox.work().join("line.mp3")).unwrap();
    assert!(bytes.starts_with(b"ID3") || bytes.starts_with(&[0xff]), "{:?}", bytes.get(..4));
}

#[test]
fn unknown_styles_voices_and_speakers_of_a_story_are_named_before_anything_is_written() {
    let tale = Tale::new(Sandbox::started());
    let story = tale.path("story.txt");
    let make = |more: &[&str]| tale.sandbox.reel(&[&["make", story.to_str().unwrap()], more].concat());
    for more in [&["--style", "cinematc"][..], &["--style", "cinematc", "--dry-run"]] {
        let ran = make(more);
        let words = "there is no style cinematc; did you mean cinematic?";
        assert!(ran.expect_code(64).stderr.contains(words), "{}", ran.stderr);
    }
    let own = make(&["--style", "oil on old wood", "--dry-run"]);
    assert!(own.expect_code(0).stderr.contains("the provider gets it unchanged"), "{}", own.stderr);
    let nobody = make(&["--speaker", "giant=en-us"]);
    assert!(nobody.expect_code(64).stderr.contains("the speakers are narrator"), "{}", nobody.stderr);
    if needs::program("espeak-ng") {
        for more in [&["--voice", "germen"][..], &["--voice", "germen", "--dry-run"]] {
            let ran = make(more);
            assert!(ran.expect_code(64).stderr.contains("there is no voice germen"), "{}", ran.stderr);
            assert!(ran.stderr.contains("reel providers voices lists them"), "{}", ran.stderr);
        }
    }
    assert!(!tale.path("story.reel.toml").exists());
    assert_eq!(tasks(&tale.sandbox), 0);
}

#[test]
fn a_wrong_voice_in_the_project_file_is_found_before_anything_is_asked_for() {
    if !needs::program("espeak-ng") {
        return;
    }
    let tale = Tale::new(Sandbox::started());
    tale.make(&["--until", "storyboard"]).expect_code(0);
    tale.edit("[voices]\n", "[voices]\nnarrator = \"zz-zz\"\n");
    let ran = tale.make(&["--until", "pictures"]);
    let said = &ran.expect_code(65).stderr;
    assert!(said.contains("story.reel.toml: there is no voice zz-zz"), "{said}");
    assert!(said.contains("change the voice in [voices]"), "{said}");
    assert_eq!(tasks(&tale.sandbox), 0);
}

#[test]
fn files_given_in_place_of_texts_are_noticed() {
    let sandbox = Sandbox::started().without_programs();
    let file = |name: &str, text: &str| fs::write(sandbox.work().join(name), text).unwrap();
    file("tale.txt", "The keeper lit the lamp.");
    file("tale.srt", "1\n00:00:01,000 --> 00:00:04,000\nThe keeper lit the lamp.\n");
    file("empty.txt", "  \n\n");
    let named = sandbox.reel(&["speak", "tale.txt", "--provider", "draft", "-o", "a.wav"]);
    let words = "tale.txt is a file, and only its name is sent; its content: @tale.txt";
    assert!(named.expect_code(0).stderr.contains(words), "{}", named.stderr);
    let before = tasks(&sandbox);
    refused(&sandbox, &["batch", "tale.srt"], 65, &["line 2: this is a line of subtitles", "reel batch -"]);
    refused(&sandbox, &["make", "empty.txt"], 65, &["empty.txt: "]);
    let model = ["providers", "add", "mine", "--kind", "openai", "--model", "pictures=m"];
    refused(&sandbox, &model, 64, &["no service is called pictures (did you mean image?)"]);
    refused(&sandbox, &["ls", "--limit", "0"], 64, &["a limit is a whole number from 1"]);
    assert_eq!(tasks(&sandbox), before);
    let help = sandbox.reel(&["help", "make"]);
    assert_eq!(help.expect_code(0).stdout, sandbox.reel(&["make", "--help"]).expect_code(0).stdout);
}

#[test]
fn kanji_that_espeak_cannot_read_are_told_once() {
    if !needs::program("espeak-ng") {
        return;
    }
    let sandbox = Sandbox::started();
    let said = |text: &str| {
        let ran = sandbox.reel(&["speak", text, "--language", "ja", "-o", "a.wav", "--force"]);
        ran.expect_code(0).stderr.matches("espeak-ng cannot read kanji").count()
    };
    assert_eq!((said("灯台守はランプに火をともした。"), said("ランプにひをともした。")), (1, 0));
    let tale = Tale::named(sandbox, "d", "story.txt", "灯台守はランプに火をともした。\n");
    let ran = tale.make(&["--until", "voices"]);
    assert_eq!(ran.expect_code(0).stderr.matches("espeak-ng cannot read kanji").count(), 1, "{}", ran.stderr);
}

#[test]
fn a_list_of_tasks_has_no_steps_unless_they_are_asked_for() {
    let tale = Tale::new(Sandbox::started());
    let story = tale.path("story.txt");
    let made = tale.sandbox.reel(&["make", story.to_str().unwrap(), "--until", "pictures"]);
    let said = &made.expect_code(0).stderr;
    assert!(said.contains("story.reel/; no film was joined"), "{said}");
    let noop = tale.sandbox.reel(&["submit", "debug", "noop"]).expect_code(0).stdout.trim().to_owned();
    tale.sandbox.reel(&["wait", &noop]).expect_code(0);
    let all = tasks(&tale.sandbox);
    let listed = |more: &[&str]| {
        let found = tale.sandbox.reel(&[&["ls", "--json"], more].concat()).expect_code(0).json();
        found["tasks"].as_array().unwrap().clone()
    };
    let top = listed(&[]);
    assert_eq!(top.len(), 2, "{top:?}");
    assert_eq!(listed(&["--steps"]).len(), all);
    let film = top[1]["id"].to_string();
    assert_eq!(listed(&["--parent", &film]).len(), all - 2);
    let shown = tale.sandbox.reel(&["ls"]);
    let hint = format!("reel ls --parent {film} shows the steps of that task");
    assert!(shown.stderr.contains(&hint), "{}", shown.stderr);
    // The daemon lists without steps by itself, and counts them apart.
    let mut connection = tale.sandbox.connect();
    let counted = connection.ok("daemon.status", json!({}));
    assert_eq!(counted["tasks"]["succeeded"], all, "{counted}");
    assert_eq!(counted["steps"]["succeeded"], all - 2, "{counted}");
    let own = connection.ok("task.list", json!({ "steps": false }));
    assert_eq!(own["tasks"].as_array().unwrap().len(), 2, "{own}");
    let refused = connection.err("task.list", json!({ "steps": false, "parent": 1 }));
    assert_eq!(refused.data.code, "invalid_params", "{refused:?}");
    let step = connection.ok("task.list", json!({ "parent": top[1]["id"], "limit": 1 }))["tasks"][0].clone();
    assert!(step["request_id"].is_string() && top[1]["request_id"].is_string(), "{step}");
    // A daemon that starts anew counts the same, and a step that is removed is not counted any more.
    drop(connection);
    tale.sandbox.stop();
    tale.sandbox.start();
    let mut connection = tale.sandbox.connect();
    assert_eq!(connection.ok("daemon.status", json!({}))["steps"], counted["steps"]);
    connection.ok("task.remove", json!({ "id": step["id"] }));
    assert_eq!(connection.ok("daemon.status", json!({}))["steps"]["succeeded"], all - 3);
    // The cursor of a page continues behind the last task that was listed.
    let page = tale.sandbox.reel(&["ls", "--limit", "1", "--json"]).expect_code(0).json();
    let rest = tale.sandbox.connect().ok("task.list", json!({ "cursor": page["next_cursor"] }));
    assert!(rest["tasks"].as_array().unwrap().iter().any(|task| task["id"] == top[1]["id"]), "{page}");
}

#[test]
fn an_interrupted_wait_for_tasks_of_others_offers_no_second_interrupt() {
    let sandbox = Sandbox::started();
    let id = sandbox.connect().submit("debug.sleep", json!({ "ms": 600_000 })).to_string();
    let mut command = sandbox.reel_command(&["wait", &id]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Lines::of(child.stderr.take().unwrap());
    lines.with(&format!("task {id} is"));
    process::signal(child.id(), Signal::INT);
    let line = lines.with("still running");
    assert!(line.contains(&format!("reel cancel {id}")) && !line.contains("Ctrl-C again"), "{line}");
    process::finish(child).expect_code(130);
}
