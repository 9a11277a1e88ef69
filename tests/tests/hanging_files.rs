//! Another kind of file in place of a cached file, and a disk that does not respond. Calls keep their timeouts, other calls go on, and the daemon can
//! end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use reel_tests::{Connection, FakeProvider, Sandbox, eventually, preload, process, studio::submit};
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

fn path_of(task: &Value) -> PathBuf {
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
fn another_kind_of_file_in_the_cache_is_set_aside_and_the_picture_is_made_again() {
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

/// Makes every attempt to open a file whose path contains `HANG_AT` block for ever, once the file `HANG` exists. The first such attempt creates the
/// file `HANG_REACHED`.
const HANGING_DISK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int opened(const char *name, const char *path, int flags, int mode) {
    const char *flag = getenv("HANG"), *at = getenv("HANG_AT"), *reached = getenv("HANG_REACHED");
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    if (flag && at && strstr(path, at) && (flags & O_ACCMODE) == O_RDONLY && access(flag, F_OK) == 0) {
        close(real(reached, O_CREAT | O_WRONLY, 0600));
        for (;;) pause();
    }
    return real(path, flags, mode);
}
#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); return opened(#name, path, flags, mode); }
OPEN(open)
OPEN(open64)
"#;

/// Returns a sandbox in which files with `at` in their path hang, the file whose existence starts that, and the file that shows that one was opened.
fn hanging_at(at: &str) -> (Sandbox, PathBuf, PathBuf) {
    let sandbox = Sandbox::new();
    let (library, flag) = (preload::library(sandbox.root(), HANGING_DISK), sandbox.root().join("hangs"));
    let reached = sandbox.root().join("reached");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let sandbox = sandbox
        .with_variable("LD_PRELOAD", text(&library))
        .with_variable("HANG", text(&flag))
        .with_variable("HANG_AT", at.to_owned())
        .with_variable("HANG_REACHED", text(&reached));
    (sandbox, flag, reached)
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_hanging_disk_calls_keep_their_timeouts_and_the_daemon_can_stop() {
    let (sandbox, flag, _) = hanging_at("/artifacts/");
    let pid = sandbox.start();
    let mut connection = sandbox.connect();
    let made = call(&mut connection);
    fs::write(&flag, "").unwrap();
    // A changed modification time makes the daemon read the file again before it returns it.
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

#[test]
#[cfg(target_os = "linux")]
fn a_key_file_or_certificates_on_a_hanging_disk_delay_no_other_call() {
    let provider = FakeProvider::start();
    for (file, scheme) in [("the-key", "http"), ("the-certificates", "https")] {
        let (sandbox, flag, reached) = hanging_at(file);
        let (key, certificates) = (sandbox.root().join("the-key"), sandbox.root().join("the-certificates"));
        for path in [&key, &certificates] {
            fs::write(path, FakeProvider::KEY).unwrap();
        }
        let sandbox = sandbox.with_variable("SSL_CERT_FILE", certificates.to_str().unwrap().to_owned());
        sandbox.configure(&format!(
            "[providers.studio]\nkind = \"openai\"\nbase_url = \"{scheme}://{}/v1\"\napi_key = {{ file = \"{}\" }}\nmodel = \"m\"\n",
            provider.address(),
            key.display()
        ));
        sandbox.start();
        fs::write(&flag, "").unwrap();
        submit(&mut sandbox.connect(), "a lighthouse");
        eventually(&format!("{file} is being opened"), || reached.exists().then_some(()));
        let mut other = sandbox.connect();
        let id = other.submit("debug.noop", json!({}));
        assert_eq!(other.wait(id)["state"], "succeeded", "{file}");
    }
}
