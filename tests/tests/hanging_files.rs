//! Something else in place of a cached file, and a disk that does not answer: calls keep their timeouts, others go on, and the daemon ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use reel_tests::{Connection, Sandbox, process};
use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::Signal,
};
use serde_json::{Value, json};

/// Sends the call that all tests make.
fn request(connection: &mut Connection, timeout_s: u64) -> u64 {
    let params = json!({ "prompt": "a harbour", "width": 128, "height": 128 });
    let call = json!({ "service": "image", "method": "generate", "params": params, "timeout_s": timeout_s });
    connection.request("service.call", call)
}

fn call(connection: &mut Connection) -> Value {
    let request = request(connection, 60);
    connection.answer(request).unwrap()
}

fn path_of(task: &Value) -> std::path::PathBuf {
    task["outputs"][0]["path"].as_str().unwrap().into()
}

fn replace(path: &Path, what: &str) {
    fs::remove_file(path).unwrap();
    match what {
        "a pipe" => mkfifoat(CWD, path, Mode::from(0o600)).unwrap(),
        "a directory" => fs::create_dir(path).unwrap(),
        "a link to an endless device" => symlink("/dev/zero", path).unwrap(),
        _ => symlink("/etc/hostname", path).unwrap(),
    }
}

#[test]
fn something_else_in_place_of_a_cached_file_is_set_aside_and_the_picture_is_made_anew() {
    let sandbox = Sandbox::started();
    let mut connection = sandbox.connect();
    for what in ["a pipe", "a directory", "a link to an endless device", "a link"] {
        let made = call(&mut connection);
        replace(&path_of(&made), what);
        let again = call(&mut connection);
        assert_eq!((&again["state"], &again["source"]), (&json!("succeeded"), &json!("made")), "{what}");
        assert!(path_of(&again).symlink_metadata().unwrap().is_file(), "{what}");
        let digest = again["outputs"][0]["digest"].clone();
        connection.ok("artifact.read", json!({ "digest": digest, "length": 10 }));
    }
    assert_eq!(sandbox.stop(), Some(0));
}

/// Makes every opening of an artifact wait for ever, as soon as the file named by `HANG` exists.
const HANGING_DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int opened(const char *name, const char *path, int flags, int mode) {
    const char *flag = getenv("HANG");
    if (flag && strstr(path, "/artifacts/") && (flags & O_ACCMODE) == O_RDONLY && access(flag, F_OK) == 0)
        for (;;) pause();
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    return real(path, flags, mode);
}
#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); return opened(#name, path, flags, mode); }
OPEN(open)
OPEN(open64)
"#;

/// The library that is loaded before the system's own.
fn hanging_disk(directory: &Path) -> std::path::PathBuf {
    let (source, library) = (directory.join("hang.c"), directory.join("hang.so"));
    fs::write(&source, HANGING_DISK).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
    assert!(compiled.unwrap().success(), "the C compiler that reel is built with");
    library
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_disk_that_hangs_calls_keep_their_timeouts_others_go_on_and_the_daemon_ends() {
    let sandbox = Sandbox::new();
    let (library, flag) = (hanging_disk(sandbox.root()), sandbox.root().join("hangs"));
    let sandbox = sandbox
        .with_variable("LD_PRELOAD", library.to_str().unwrap().to_owned())
        .with_variable("HANG", flag.to_str().unwrap().to_owned());
    let pid = sandbox.start();
    let mut connection = sandbox.connect();
    let made = call(&mut connection);
    fs::write(&flag, "").unwrap();
    // With another time the file is read again before it is handed out.
    fs::File::open(path_of(&made)).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let requests = [request(&mut connection, 1), request(&mut connection, 1)];
    for request in requests {
        let error = connection.answer(request).unwrap_err();
        assert_eq!(error.data.code, "storage_failed", "{error:?}");
    }
    let mut other = sandbox.connect();
    let id = other.submit("debug.noop", json!({}));
    assert_eq!(other.wait(id)["state"], "succeeded");
    process::signal(pid, Signal::TERM);
    assert!(process::wait_gone(pid, reel_tests::DEADLINE * 2), "SIGTERM is not obeyed");
    assert!(sandbox.log().contains("the process ends without it"), "{}", sandbox.log());
}
