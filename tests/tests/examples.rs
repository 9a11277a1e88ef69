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
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Stdio,
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
fn plain_python_reports_in_one_line_that_no_daemon_runs_or_that_the_file_cannot_be_written() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let ask = |file: &str| {
        let picture = example("picture.py");
        process::run(sandbox.command("python3").arg(picture).args(["a lighthouse", file]))
    };
    for (file, part) in [("a.png", "reel daemon start"), ("missing/a.png", "missing/a.png cannot be written")]
    {
        let ran = ask(file);
        ran.expect_code(1);
        assert!(ran.stderr.contains(part) && ran.stderr.lines().count() == 1, "{ran:?}");
    }
}

#[test]
fn plain_python_finds_the_daemon_by_its_lock_file() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::started();
    let data = sandbox.root().join("data");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(sandbox.home(), data.join("reel")).unwrap();
    let mut command = sandbox.command("python3");
    command.env_remove("REEL_SOCKET").env_remove("REEL_HOME").env("XDG_DATA_HOME", &data);
    command.arg(example("picture.py")).args(["a lighthouse", "a.png"]);
    process::run(&mut command).expect_code(0);
    assert!(is_png(&sandbox.work().join("a.png")));
}

#[test]
fn plain_python_continues_after_its_subscription_was_dropped_and_prints_no_missing_hint() {
    if !needs::program("python3") {
        return;
    }
    let sandbox = Sandbox::new();
    let socket = sandbox.root().join("fake.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut command = sandbox.command("python3");
    command.env("REEL_SOCKET", &socket).arg(example("picture.py")).args(["a lighthouse", "a.png"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (connection, _) = listener.accept().unwrap();
    let requests = BufReader::new(connection.try_clone().unwrap());
    let dropped = r#"{"jsonrpc":"2.0","method":"event","params":{"seq":9,"event":"subscription_dropped","task":null,"missed":7}}"#;
    let failed = r#"{"tasks":[{"id":7,"state":"failed","hold_reason":null,"error":{"code":"moderated","message":"no lighthouses","hint":null}}]}"#;
    // The requests are hello, events.subscribe, task.submit and task.wait.
    let results = ["{}", "{}", r#"{"id":7,"state":"queued"}"#, failed];
    for (index, (request, result)) in requests.lines().zip(results).enumerate() {
        request.unwrap();
        let id = index + 1;
        writeln!(&connection, "{dropped}\n{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}").unwrap();
    }
    let ran = process::finish(child);
    ran.expect_code(1);
    assert_eq!(ran.stderr, "task 7 failed: moderated: no lighthouses\n");
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
