//! The programs in `examples/`, run as a reader runs them, against a real daemon.

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

use reel_tests::{Sandbox, needs, process};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples").join(name)
}

fn is_png(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| {
        bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xae\x42\x60\x82")
    })
}

#[test]
fn plain_python_submits_follows_and_saves_a_picture() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let picture = sandbox.work().join("lighthouse.png");
    let ask = |prompt: &str| {
        process::run(sandbox.command("python3").arg(example("picture.py")).arg(prompt).arg(&picture))
    };
    let ran = ask("a lighthouse at dusk");
    ran.expect_code(0);
    assert!(ran.stdout.contains("768x432 from draft (made)"), "{ran:?}");
    assert!(ran.stderr.contains('%') && ran.stderr.contains("succeeded"), "no progress was shown: {ran:?}");
    assert!(is_png(&picture));
    let refused = ask(" ");
    refused.expect_code(1);
    assert!(refused.stderr.contains("invalid_params"), "{refused:?}");
}

#[test]
fn the_library_submits_a_batch_follows_it_and_saves_each_shot() {
    let sandbox = Sandbox::started();
    let directory = sandbox.work().join("shots");
    for run in ["made", "from the cache"] {
        let ran = process::run(sandbox.command(process::binary("examples/shots")).arg(&directory));
        ran.expect_code(0);
        let paths: Vec<_> = ran.stdout.lines().map(Path::new).collect();
        assert_eq!(paths.len(), 3, "{run}: {ran:?}");
        assert!(paths.iter().all(|path| is_png(path)), "{run}: {ran:?}");
    }
}

#[test]
fn the_blocking_example_makes_a_picture_and_reports_a_failure() {
    let sandbox = Sandbox::started();
    let ask = |prompt: &str, file: &str| {
        process::run(sandbox.command(process::binary("examples/picture")).args([prompt, file]))
    };
    let ran = ask("a lighthouse", "lighthouse.png");
    assert!(ran.expect_code(0).stdout.starts_with("lighthouse.png: "), "{ran:?}");
    assert!(is_png(&sandbox.work().join("lighthouse.png")));
    assert!(ask(" ", "nothing.png").expect_code(1).stderr.contains("prompt"), "{ran:?}");
}

#[test]
fn the_story_of_the_readme_becomes_twelve_pictures() {
    let sandbox = Sandbox::new();
    let story = example("lighthouse.txt");
    let story = story.to_str().unwrap();
    let batch = |directory: &str| {
        let ran = sandbox.reel(&["batch", story, "-s", "128x128", "-o", directory]);
        ran.expect_code(0);
        ran.stderr.lines().last().unwrap_or_default().to_owned()
    };
    assert!(batch("out/").starts_with("12 pictures: 12 made, 0 from cache, 0 kept, 0 failed in "));
    assert!(batch("out/").starts_with("12 pictures: 0 made, 0 from cache, 12 kept, 0 failed in "));
    assert!(batch("other/").starts_with("12 pictures: 0 made, 12 from cache, 0 kept, 0 failed in "));
    let pictures = fs::read_dir(sandbox.work().join("out")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(pictures.filter(|path| is_png(path)).count(), 12);
}
