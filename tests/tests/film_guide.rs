//! The guide `docs/film.md`: each of its commands is run as it stands there, against servers that answer as the real ones do. Only the addresses, the
//! models and the size of the film differ.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, where it stands")]

use std::{fs, path::Path};

use reel_tests::{FakeComfyui, FakeProvider, Sandbox, fake_ollama::FakeOllama, needs, process};

const STORY: &str =
    "# The Lamp\n\nThe keeper climbed the stairs. He lit the lamp. \"Is anybody there?\" he called.\n";

/// Returns the part of the guide under this heading.
fn section(heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/film.md");
    let guide = fs::read_to_string(path).unwrap();
    let (_, rest) = guide.split_once(&format!("## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

fn config(section: &str) -> String {
    let (_, rest) = section.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Runs all commands of the section in a directory with the story. Returns what they printed.
fn run(sandbox: &Sandbox, section: &str) -> Vec<String> {
    let directory = sandbox.work();
    fs::write(directory.join("story.txt"), STORY).unwrap();
    let commands = section.lines().filter_map(|line| line.strip_prefix("$ reel "));
    let ran = commands.map(|command| {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        if command.starts_with("make ") {
            arguments.extend(["--size", "320x180"]);
        }
        let ran = process::run(sandbox.reel_command(&arguments).current_dir(&directory));
        ran.expect_code(0);
        format!("{}{}", ran.stdout, ran.stderr)
    });
    ran.collect()
}

fn has_programs() -> bool {
    needs::program("ffmpeg") && needs::program("espeak-ng")
}

#[test]
fn the_film_that_is_made_offline() {
    if !has_programs() {
        return;
    }
    let sandbox = Sandbox::new();
    let said = run(&sandbox, &section("Offline"));
    assert_eq!(said.len(), 3);
    assert!(sandbox.work().join("film.mp4").exists(), "{said:?}");
}

#[test]
fn the_film_that_one_cloud_provider_makes() {
    if !has_programs() {
        return;
    }
    let service = FakeProvider::start();
    service.require_key(None);
    let section = section("With one cloud provider");
    let config = config(&section)
        .replace("https://api.openai.com/v1", &service.base_url())
        .replace("api_key = { env = \"OPENAI_API_KEY\" }\n", "")
        .replace("gpt-5-mini", "director");
    let sandbox = Sandbox::new();
    sandbox.configure(&config);
    let said = run(&sandbox, &section);
    let [dry, storyboard, pictures, redone, film] = &said[..] else { panic!("{said:?}") };
    assert!(dry.contains("the storyboard would be made by studio"), "{dry}");
    assert!(
        storyboard.contains("storyboard by studio") && storyboard.contains("review.html"),
        "{storyboard}"
    );
    assert!(pictures.contains("review.html"), "{pictures}");
    assert!(redone.contains("a1: picture (asked for)") && redone.contains("2 sheets"), "{redone}");
    assert!(film.contains("film.mp4"), "{film}");
    let calls = service.calls();
    // The film needs nothing that is not in the cache.
    let mut again = sandbox.reel_command(&["make", "story.txt", "-o", "film.mp4"]);
    process::run(again.current_dir(sandbox.work())).expect_code(0);
    assert_eq!(service.calls(), calls);
}

#[test]
fn the_film_that_comfyui_and_a_local_model_make() {
    if !has_programs() {
        return;
    }
    let (comfy, ollama) = (FakeComfyui::start(), FakeOllama::start(&["director:latest"]));
    let section = section("With ComfyUI and a local language model");
    let config = config(&section)
        .replace("http://127.0.0.1:8188", &comfy.base_url())
        .replace("http://127.0.0.1:11434", &ollama.base_url())
        .replace("qwen3:8b", "director");
    let sandbox = Sandbox::new();
    sandbox.configure(&config);
    let said = run(&sandbox, &section);
    assert!(said.iter().any(|one| one.contains("storyboard by local")), "{said:?}");
    assert!(sandbox.work().join("film.mp4").exists(), "{said:?}");
    assert!(comfy.posts().iter().any(|post| post.prompt().contains("the keeper in picture 1")));
}
