//! `reel make` up to the film, with the real `ffmpeg` and `espeak-ng`, at a small size.

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
    process::Command,
};

use reel_tests::{
    Connection, FakeProvider, Sandbox, eventually,
    fake_provider::Fault,
    needs, process,
    tale::{Tale, programs, speaking_studio},
};
use serde_json::{Value, json};

fn can_film() -> bool {
    needs::program("ffmpeg") && needs::program("ffprobe") && needs::program("espeak-ng")
}

fn tale() -> Tale {
    Tale::new(Sandbox::new())
}

fn made(tale: &Tale, flags: &[&str]) -> Value {
    tale.make(&[flags, &["--json"]].concat()).expect_code(0).json()
}

/// Returns the JSON that ffprobe prints about a film.
fn probe(film: &Path) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", "-i"])
        .arg(format!("file:{}", film.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the first stream of this type, such as `video`; None if there is none.
fn stream<'a>(probed: &'a Value, kind: &str) -> Option<&'a Value> {
    probed["streams"].as_array().unwrap().iter().find(|stream| stream["codec_type"] == kind)
}

/// Returns the names of the story's steps that were carried out, without those that the cache answered.
fn steps_made(sandbox: &Sandbox, task: &Value) -> Vec<String> {
    let tasks =
        sandbox.connect().ok("task.list", json!({ "limit": 200 }))["tasks"].as_array().unwrap().clone();
    let is_made = |step: &&Value| step["parent"] == *task && step["source"] == "made";
    let mut names: Vec<String> =
        tasks.iter().filter(is_made).map(|step| step["step"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_story_becomes_a_film_that_the_next_run_reuses() {
    if !can_film() {
        return;
    }
    let tale = tale();
    let ran = tale.make(&[]);
    assert_eq!(ran.expect_code(0).stdout, "story.mp4\n", "{}", ran.stderr);
    for words in [
        "the pictures will be drafts",
        "made now: 4 voices by espeak-ng, 4 pictures by draft",
        "cost: nothing",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    let film = tale.path("story.mp4");
    let first = fs::read(&film).unwrap();
    let document = made(&tale, &[]);
    assert_eq!(document["counts"]["made"], json!({}), "{document}");
    assert_eq!(fs::read(&film).unwrap(), first);
    let probed = probe(&film);
    let (video, audio) = (stream(&probed, "video").unwrap(), stream(&probed, "audio").unwrap());
    assert_eq!(
        (&video["codec_name"], &video["width"], &video["height"], &video["pix_fmt"], &audio["codec_name"]),
        (&json!("h264"), &json!(320), &json!(180), &json!("yuv420p"), &json!("aac"))
    );
    assert_eq!(video["nb_read_frames"], document["frames"].to_string(), "{video}");
    let (length, told) = (&probed["format"]["duration"], document["duration_s"].as_f64().unwrap());
    assert!((length.as_str().unwrap().parse::<f64>().unwrap() - told).abs() < 0.03, "{length} {told}");
    let subtitles = fs::read_to_string(tale.path("story.srt")).unwrap();
    assert!(subtitles.contains("called\ninto the wind that night."), "{subtitles}");
    let state: Value =
        serde_json::from_slice(&fs::read(tale.path(".story.reel-state.json")).unwrap()).unwrap();
    assert_eq!(state["film"]["digest"], blake3::hash(&first).to_hex().as_str(), "{state}");
    assert_eq!(state["running"], Value::Null);
}

/// An edit, the steps that must be carried out after it, and the expected message.
type Case = (fn(&Tale), &'static [&'static str], &'static str);

#[test]
fn an_edit_makes_exactly_the_dependent_steps_again() {
    if !can_film() {
        return;
    }
    let tale = tale();
    made(&tale, &[]);
    let cases: [Case; 4] = [
        (
            |tale| tale.edit("picture = \"He looked", "picture = \"An old man looked"),
            &["join", "picture/a2", "render/a2", "transition/a2", "transition/a3"],
            "a2: picture (prompt changed), frames",
        ),
        (
            |tale| {
                tale.set("a2", "speak = \"He looked out for a very long time indeed, and then once more.\"");
            },
            &["join", "mix", "render/a2", "transition/a3", "voice/a2"],
            "a2: voice (text changed), frames",
        ),
        (
            |tale| tale.set("a3", "subtitle = \"Is anybody there?\""),
            &["join", "render/a3"],
            "a3: frames (subtitles changed)",
        ),
        (
            |tale| tale.edit("camera = \"in\"", "camera = \"still\""),
            &["join", "render/a1", "transition/a2"],
            "a1: frames (camera changed)",
        ),
    ];
    for (edit, steps, words) in cases {
        edit(&tale);
        let ran = tale.make(&[]);
        assert!(ran.expect_code(0).stderr.contains(words), "{words}: {}", ran.stderr);
        let newest = tale.sandbox.connect().ok("task.list", json!({ "limit": 200 }));
        let story =
            newest["tasks"].as_array().unwrap().iter().find(|task| task["kind"] == "story.make").unwrap();
        assert_eq!(steps_made(&tale.sandbox, &story["id"]), steps, "{words}");
    }
    let redone = made(&tale, &["--redo", "b1:render"]);
    assert!(steps_made(&tale.sandbox, &redone["task"]).contains(&"render/b1".to_owned()), "{redone}");
}

#[test]
fn a_film_is_replaced_only_if_nobody_has_changed_it() {
    if !can_film() {
        return;
    }
    let tale = tale();
    made(&tale, &["-o", "my film.mp4"]);
    let film = tale.path("my film.mp4");
    fs::write(&film, "cut by hand").unwrap();
    let ran = tale.make(&["-o", "my film.mp4"]);
    assert!(ran.expect_code(73).stderr.contains("my film.mp4 exists"), "{}", ran.stderr);
    assert_eq!(fs::read(&film).unwrap(), b"cut by hand");
    made(&tale, &["-o", "my film.mp4", "--force"]);
    let forced = fs::read(&film).unwrap();
    tale.edit("camera = \"in\"", "camera = \"still\"");
    made(&tale, &["-o", "my film.mp4"]);
    assert_ne!(fs::read(&film).unwrap(), forced);
    // The files that were written under another name stay.
    made(&tale, &["-o", "./-it's 100%.mp4"]);
    assert!(tale.path("-it's 100%.mp4").exists() && tale.path("-it's 100%.srt").exists() && film.exists());
}

#[test]
fn a_failed_shot_leaves_the_film_unchanged_unless_a_card_may_replace_it() {
    if !can_film() {
        return;
    }
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, "services = [\"image\"]\n"));
    let first = made(&tale, &[]);
    let film = fs::read(tale.path("story.mp4")).unwrap();
    tale.edit("picture = \"He looked", "picture = \"A forbidden look");
    provider.on_prompt("A forbidden look out over the dark water for a long time.", Fault::Moderated);
    let ran = tale.make(&[]);
    assert!(
        ran.expect_code(1).stderr.contains("1 of 4 shots is missing, so no film was joined"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read(tale.path("story.mp4")).unwrap(), film);
    let carded = made(&tale, &["--allow-missing"]);
    assert_eq!((&carded["cards"], &carded["silent"]), (&json!(["a2"]), &json!([])), "{carded}");
    let card = carded["shots"][1]["render"]["digest"].clone();
    assert_ne!(card, first["shots"][1]["render"]["digest"]);
    let again = tale.make(&["--allow-missing"]);
    let line = "1 of 4 shots shows a card, as its picture is missing: a2";
    assert!(again.expect_code(0).stderr.contains(line), "{}", again.stderr);
    assert_eq!(carded["frames"], first["frames"]);
    assert_ne!(fs::read(tale.path("story.mp4")).unwrap(), film);
    provider.be_good();
    provider.forget();
    let done = made(&tale, &[]);
    assert_eq!((provider.calls(), &done["frames"]), (1, &first["frames"]), "{done}");
}

#[test]
fn after_ffmpeg_is_installed_the_film_is_made_from_existing_parts() {
    if !can_film() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    programs(directory.path(), &["espeak-ng"]);
    let sandbox = Sandbox::new().with_variable("PATH", directory.path().display().to_string());
    let tale = Tale::new(sandbox);
    tale.make(&[]).expect_code(78);
    programs(directory.path(), &["ffmpeg"]);
    tale.sandbox.reel(&["daemon", "restart"]).expect_code(0);
    let done = made(&tale, &[]);
    let made: Vec<&String> = done["counts"]["made"].as_object().unwrap().keys().collect();
    assert!(made.iter().all(|what| !what.contains("voice") && !what.contains("picture")), "{made:?}");
    assert!(tale.path("story.mp4").exists());
}

/// Waits until one shot is rendered.
fn wait_for_frames(sandbox: &Sandbox) {
    eventually("a shot is rendered", || {
        let mut connection = Connection::open(sandbox.socket()).ok()?;
        let tasks = connection.ok("task.list", json!({ "limit": 200 }));
        let is_done = |task: &Value| {
            task["step"].as_str().is_some_and(|step| step.starts_with("render/"))
                && task["state"] == "succeeded"
        };
        tasks["tasks"].as_array()?.iter().any(is_done).then_some(())
    });
}

#[test]
fn a_crash_during_rendering_costs_only_time() {
    if !can_film() {
        return;
    }
    let reference = tale();
    made(&reference, &[]);
    let film = fs::read(reference.path("story.mp4")).unwrap();
    for (kills_daemon, kills_command) in [(true, false), (false, true), (true, true)] {
        let tale = tale();
        let child = tale.begin(&[]);
        wait_for_frames(&tale.sandbox);
        if kills_command {
            process::kill(child.id());
        }
        if kills_daemon {
            tale.sandbox.kill();
        }
        let ran = process::finish(child);
        if kills_command {
            made(&tale, &[]);
            let tasks = tale.sandbox.connect().ok("task.list", json!({ "limit": 200 }));
            let is_story = |task: &&Value| task["kind"] == "story.make";
            let stories = tasks["tasks"].as_array().unwrap().iter().filter(is_story).count();
            assert_eq!(stories, 1, "the second run comes back to the task of the first one");
        } else {
            ran.expect_code(0);
        }
        assert_eq!(fs::read(tale.path("story.mp4")).unwrap(), film, "{kills_daemon} {kills_command}");
    }
}

#[test]
fn subtitles_are_in_a_track_or_only_in_a_file_as_requested() {
    if !can_film() {
        return;
    }
    let tale = tale();
    // With `none`, the file of the run before is removed, because players show a file of that name by themselves.
    for (form, has_track) in [("track", true), ("none", false), ("srt", false), ("none", false)] {
        made(&tale, &["--subtitles", form]);
        let probed = probe(&tale.path("story.mp4"));
        assert_eq!(stream(&probed, "subtitle").is_some(), has_track, "{form}");
        assert_eq!(tale.path("story.srt").exists(), form != "none", "{form}");
    }
    fs::write(tale.path("story.srt"), "mine").unwrap();
    made(&tale, &["--subtitles", "none"]);
    assert_eq!(fs::read(tale.path("story.srt")).unwrap(), b"mine");
}

#[test]
fn invalid_music_is_refused_and_music_changes_only_the_sound() {
    if !can_film() {
        return;
    }
    let tale = tale();
    made(&tale, &[]);
    let song: PathBuf = tale.path("a song.wav");
    fs::write(&song, "la la la").unwrap();
    let ran = tale.make(&["--music", "a song.wav"]);
    assert!(
        ran.expect_code(65).stderr.contains("[video] music: a song.wav is not a sound"),
        "{}",
        ran.stderr
    );
    let project = fs::read_to_string(tale.project()).unwrap();
    assert!(!project.contains("song.wav"), "a file that is no music is not noted: {project}");
    fs::copy(tale.path("story.reel/a1.wav"), &song).unwrap();
    let done = made(&tale, &["--music", "a song.wav"]);
    assert_eq!(steps_made(&tale.sandbox, &done["task"]), ["join", "mix"], "{done}");
}

#[test]
fn pictures_that_wait_for_a_held_sheet_are_not_called_complete() {
    let provider = FakeProvider::start();
    let tale = Tale::new(speaking_studio(&provider, ""));
    tale.make(&["--until", "storyboard"]).expect_code(0);
    tale.edit(
        "[[shots]]\nid = \"a2\"",
        "[[places]]\nid = \"tower\"\nlook = \"a white tower\"\n\n[[shots]]\nid = \"a2\"",
    );
    tale.edit("[[scenes]]\nid = \"a\"\n", "[[scenes]]\nid = \"a\"\nplace = \"tower\"\n");
    let sheet = "a white tower. The place alone in a wide view, without people, no text";
    provider.on_prompt(sheet, Fault::ResetAfterRequest);
    let ran = tale.make(&["--until", "pictures"]);
    let said = &ran.expect_code(1).stderr;
    for words in [
        "error: 3 pictures wait for your decision about the sheet of tower; everything else is kept",
        "hint: release or cancel what is held, then reel make ",
        "reel release ",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
