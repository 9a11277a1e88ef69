//! Ctrl-C while results are being written: the command ends at once, leaves nothing half-written, and names the command that writes the rest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use reel_tests::{
    FakeProvider, Sandbox, eventually, fake_provider::Fault, process, process::wait_gone, studio,
};
use rustix::process::Signal;

/// Writes a program `ffmpeg` that names its process in `started` and does not end, or that only copies its input if `started.copy` exists.
fn put_ffmpeg(sandbox: &Sandbox) -> PathBuf {
    let directory = sandbox.root().join("programs");
    fs::create_dir(&directory).unwrap();
    let program = directory.join("ffmpeg");
    let started = sandbox.root().join("started");
    let script = format!(
        "#!/bin/sh\nif [ -e '{0}.copy' ]; then eval out=\\${{$#}}; cp \"${{6#file:}}\" \"${{out#file:}}\"; exit; fi\n\
         echo $$ > '{0}.new'\nmv '{0}.new' '{0}'\nexec sleep 600\n",
        started.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    started
}

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    let mut command = sandbox.reel_command(arguments);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", sandbox.root().join("programs").display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn pid_in(started: &Path) -> u32 {
    eventually("the result is being converted", || fs::read_to_string(started).ok()?.trim().parse().ok())
}

/// Returns the names of all files in the directory of the commands, also of hidden ones.
fn files(sandbox: &Sandbox) -> Vec<String> {
    let found = fs::read_dir(sandbox.work()).unwrap();
    found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_interrupted_delivery_ends_at_once_and_its_hint_writes_the_file() {
    let sandbox = Sandbox::started();
    let started = put_ffmpeg(&sandbox);
    let child = start(&sandbox, &["speak", "Hello.", "--provider", "draft", "-o", "my line.mp3"]);
    let converter = pid_in(&started);
    process::signal(child.id(), Signal::INT);
    let ran = process::finish(child);
    let said = &ran.expect_code(130).stderr;
    assert!(said.contains("interrupted, and 0 of 1 file was written"), "{said}");
    let hint = "hint: reel fetch 1 -o 'my line.mp3' writes it";
    assert!(said.contains(hint), "{said}");
    assert!(wait_gone(converter, Duration::from_secs(20)), "the converter outlives the command");
    assert_eq!(files(&sandbox), [""; 0]);

    fs::write(started.with_extension("copy"), "").unwrap();
    let fetched = process::finish(start(&sandbox, &["fetch", "1", "-o", "my line.mp3"]));
    fetched.expect_code(0);
    assert_eq!(files(&sandbox), ["my line.mp3"]);
}

#[test]
fn an_interrupted_fetch_leaves_no_file_and_prints_one_document() {
    let sandbox = Sandbox::started();
    let started = put_ffmpeg(&sandbox);
    sandbox.reel(&["speak", "Hello.", "--provider", "draft", "-o", "line.wav"]).expect_code(0);
    let child = start(&sandbox, &["fetch", "1", "-o", "line.mp3", "--json"]);
    let converter = pid_in(&started);
    process::signal(child.id(), Signal::TERM);
    let ran = process::finish(child);
    assert_eq!(ran.expect_code(130).json()["error"]["code"], "interrupted");
    assert!(wait_gone(converter, Duration::from_secs(20)), "the converter outlives the command");
    assert_eq!(files(&sandbox), ["line.wav"]);
}

#[test]
fn an_interrupted_batch_knows_what_it_wrote_and_the_same_command_writes_the_rest() {
    let provider = FakeProvider::start();
    let sandbox = Sandbox::new();
    sandbox.configure(&studio::unhurried(&studio::config(&sandbox, &provider, "")));
    sandbox.start();
    provider.on_prompt("a boat", Fault::Half);
    fs::write(sandbox.work().join("list.txt"), "a pier\na boat\n").unwrap();
    let child = start(&sandbox, &["batch", "list.txt", "-o", "out/"]);
    eventually("a picture is written", || {
        let written = fs::read_dir(sandbox.work().join("out")).ok()?;
        written
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .find(|name| name.starts_with("001"))
    });
    process::signal(child.id(), Signal::INT);
    let ran = process::finish(child);
    assert!(ran.expect_code(130).stderr.contains("the same batch command"), "{}", ran.stderr);
    provider.finish_halves();
    let again = process::finish(start(&sandbox, &["batch", "list.txt", "-o", "out/"]));
    again.expect_code(0);
    assert_eq!(provider.calls(), 2);
}
