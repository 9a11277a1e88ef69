//! Kills the daemon and `reel make` with SIGKILL at random times while films are made. Each film is identical, frame for frame, to one that was made
//! without kills. Nothing is paid for twice, unless a person releases it.
//!
//! The seed is printed. Set `REEL_TEST_SEED` to it to repeat the same times. `REEL_TEST_LIVES` sets the number of films.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{env, fs, path::Path, process::Command, time::Duration};

use reel_tests::{
    Connection, FakeProvider, Random, Sandbox, needs, pause,
    studio::{config, unhurried},
};
use serde_json::{Value, json};

/// Default number of films per test.
const LIVES: u64 = 10;
/// Number of shots of each film.
const SHOTS: usize = 6;

fn lives() -> u64 {
    env::var("REEL_TEST_LIVES").map_or(LIVES, |lives| lives.parse().unwrap())
}

#[expect(clippy::print_stdout, reason = "a failure can only be run again with its seed")]
fn seeded() -> Random {
    let seed = Random::seed_from_env();
    println!("REEL_TEST_SEED={seed}");
    Random::new(seed)
}

/// Starts a daemon whose provider `studio` makes pictures and speech.
fn studio(provider: &FakeProvider, billing: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let models = "models = { image = \"gpt-image-2\", voice = \"tts-1\" }";
    let config = config(&sandbox, provider, &format!("{models}\nbilling = \"{billing}\"\n"));
    sandbox.configure(&unhurried(&config).replace("model = \"gpt-image-2\"\n", ""));
    sandbox.start();
    sandbox
}

fn texts() -> Vec<String> {
    (1..=SHOTS).map(|number| format!("This is sentence number {number} of the story.")).collect()
}

fn params() -> Value {
    let shots: Vec<_> = texts()
        .iter()
        .enumerate()
        .map(|(index, text)| json!({ "id": format!("a{index}"), "text": text, "picture": text }))
        .collect();
    let video = json!({ "size": "320x180", "style": "" });
    json!({ "project": { "version": 1, "video": video, "shots": shots } })
}

/// Returns a digest of all frames and samples of a film.
fn content(path: &Path) -> String {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i", path.to_str().unwrap(), "-f", "md5", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn film_of(task: &Value) -> String {
    assert_eq!(task["outputs"][0]["media_type"], "video/mp4", "{task}");
    content(Path::new(task["outputs"][0]["path"].as_str().unwrap()))
}

/// Makes the film without kills. Returns its digest and how long it took.
fn undisturbed() -> (String, Duration) {
    let provider = FakeProvider::start();
    let sandbox = studio(&provider, "free");
    let mut connection = sandbox.connect();
    let began = std::time::Instant::now();
    let id = connection.submit("story.make", params());
    let film = film_of(&connection.wait(id));
    (film, began.elapsed())
}

/// Releases the held tasks of a workflow, and returns their number.
fn release_held(connection: &mut Connection, workflow: u64) -> usize {
    let tasks = connection.ok("task.list", json!({ "limit": 100, "state": "held" }))["tasks"].clone();
    let held: Vec<_> = tasks.as_array().unwrap().iter().filter(|task| task["parent"] == workflow).collect();
    for task in &held {
        assert_eq!(task["hold_reason"], "outcome_unknown", "{task}");
        connection.ok("task.release", json!({ "id": task["id"] }));
    }
    held.len()
}

#[test]
fn a_film_is_identical_whenever_the_daemon_dies_and_nothing_is_paid_twice() {
    if !["ffmpeg", "ffprobe"].iter().all(|program| needs::program(program)) {
        return;
    }
    let mut random = seeded();
    let (film, length) = undisturbed();
    let mut interrupted = 0;
    for life in 0..lives() {
        let billing = if life % 2 == 0 { "free" } else { "paid" };
        let provider = FakeProvider::start();
        provider.delay(Duration::from_millis(random.below(40)));
        let sandbox = studio(&provider, billing);
        let mut connection = sandbox.connect();
        let id = connection.submit("story.make", params());
        pause(Duration::from_micros(random.below(length.as_micros() as u64)));
        sandbox.kill();
        sandbox.start();
        let mut connection = sandbox.connect();
        let mut releases = 0;
        let task = loop {
            let task = connection.wait(id);
            if task["state"] == "succeeded" {
                break task;
            }
            assert_eq!(task["error"]["code"], "shots_missing", "{billing}: {task}");
            let released = release_held(&mut connection, id);
            assert!(released > 0 && billing == "paid", "nothing is held: {task}");
            releases += released;
            connection.ok("task.retry", json!({ "id": id }));
        };
        interrupted += usize::from(task["attempts"].as_u64() > Some(1));
        assert_eq!(film_of(&task), film, "{billing}, life {life}");
        // Each shot needs a picture and a voice.
        assert!(billing == "free" || provider.calls() <= 2 * SHOTS + releases, "{} calls", provider.calls());
        for text in texts().iter().filter(|_| billing == "paid" && releases == 0) {
            assert!(provider.calls_of(text) <= 2, "{text}: {} calls", provider.calls_of(text));
        }
    }
    assert!(interrupted > 0, "no film was interrupted");
}

#[test]
fn reel_make_resumes_its_film_whenever_it_or_the_daemon_dies() {
    if !["ffmpeg", "ffprobe"].iter().all(|program| needs::program(program)) {
        return;
    }
    let mut random = seeded();
    let (_, length) = undisturbed();
    let story = texts().join("\n\n");
    let mut films = Vec::new();
    for life in 0..lives() {
        let provider = FakeProvider::start();
        provider.delay(Duration::from_millis(random.below(40)));
        let sandbox = studio(&provider, "free");
        fs::write(sandbox.work().join("story.txt"), &story).unwrap();
        let arguments = ["make", "story.txt", "--size", "320x180", "--style", "plain"];
        // The first film of the test is made without kills.
        let deaths = if life == 0 { 0 } else { 1 + random.below(2) };
        for death in 0..deaths {
            let mut client = sandbox.reel_command(&arguments).spawn().unwrap();
            pause(Duration::from_micros(random.below(length.as_micros() as u64)));
            // Kill the daemon at most once per film. A step that runs at two deaths would be suspected of causing them.
            if death == 0 && random.below(2) == 0 {
                // The command starts another one itself.
                sandbox.kill();
            }
            client.kill().unwrap();
            client.wait().unwrap();
        }
        let ran = sandbox.reel(&arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        films.push(content(&sandbox.work().join("story.mp4")));
        let entries = fs::read_dir(sandbox.work()).unwrap();
        let names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        // A command that is killed between writing a temporary file and renaming it leaves that file.
        let (temporary, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.starts_with(".reel-"));
        assert!(temporary.len() as u64 <= deaths, "{names:?}");
        assert!(others.iter().all(|name| name.contains("story")), "{names:?}");
    }
    assert!(films.iter().all(|film| *film == films[0]), "a film differs from the one that was not disturbed");
}
