//! File systems that refuse what the journal needs: one whose quota is used up while its counters show free space, and one that supports no file
//! locks.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::fs;

use reel_tests::{Sandbox, preload};
use serde_json::json;

/// Makes writes to files below `QUOTA_OF`, except in `logs/`, fail while the file `USED_UP` exists.
const QUOTA: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int is_used_up(int file) {
    const char *flag = getenv("USED_UP"), *below = getenv("QUOTA_OF");
    char link[64], path[4096];
    if (!flag || !below || access(flag, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return strncmp(path, below, strlen(below)) == 0 && !strstr(path, "/logs/");
}
ssize_t write(int file, const void *bytes, size_t length) {
    if (is_used_up(file)) return errno = EDQUOT, -1;
    ssize_t (*real)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return real(file, bytes, length);
}
#define PWRITE(name) ssize_t name(int file, const void *bytes, size_t length, off_t at) { \
    if (is_used_up(file)) return errno = EDQUOT, -1; \
    ssize_t (*real)(int, const void *, size_t, off_t) = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, #name); \
    return real(file, bytes, length, at); }
PWRITE(pwrite)
PWRITE(pwrite64)
"#;

#[test]
fn an_exhausted_quota_is_reported_as_a_full_disk_with_its_cause_in_the_log() {
    let sandbox = Sandbox::new();
    let flag = sandbox.root().join("used-up");
    let library = preload::library(sandbox.root(), QUOTA);
    let home = sandbox.home().to_str().unwrap().to_owned();
    let sandbox = sandbox
        .with_variable("LD_PRELOAD", library.to_str().unwrap().to_owned())
        .with_variable("USED_UP", flag.to_str().unwrap().to_owned())
        .with_variable("QUOTA_OF", home);
    sandbox.start();
    let mut connection = sandbox.connect();
    let id = connection.submit("debug.noop", json!({}));
    connection.wait(id);
    fs::write(&flag, "").unwrap();
    let refused = connection.err("task.submit", json!({ "kind": "debug.noop" }));
    assert_eq!(refused.data.code, "storage_full", "{refused:?}");
    assert!(refused.data.hint.is_some(), "{refused:?}");
    sandbox.wait_for_log("a commit failed");
    let log = sandbox.log();
    let line = log.lines().find(|line| line.contains("a commit failed")).unwrap();
    assert!(line.contains("disk I/O error"), "{line}");
    fs::remove_file(&flag).unwrap();
    let id = connection.submit("debug.noop", json!({}));
    assert_eq!(connection.wait(id)["state"], "succeeded");
}

/// Makes file locks fail in the function that `NO_LOCKS_BY` names.
const NO_LOCKS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
static int is_refused(const char *name) {
    const char *refused = getenv("NO_LOCKS_BY");
    return refused && strcmp(refused, name) == 0;
}
int flock(int file, int operation) {
    if (is_refused("flock")) return errno = ENOLCK, -1;
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    return real(file, operation);
}
#define FCNTL(name) int name(int file, int command, ...) { \
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest); \
    if (is_refused("fcntl") && command == F_SETLK) return errno = ENOLCK, -1; \
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, #name); \
    return real(file, command, argument); }
FCNTL(fcntl)
FCNTL(fcntl64)
"#;

#[test]
fn a_file_system_without_locks_is_reported_with_a_next_step() {
    for function in ["flock", "fcntl"] {
        let sandbox = Sandbox::new();
        let library = preload::library(sandbox.root(), NO_LOCKS);
        let sandbox = sandbox
            .with_variable("LD_PRELOAD", library.to_str().unwrap().to_owned())
            .with_variable("NO_LOCKS_BY", function.to_owned());
        let ended = sandbox.reeld_fails();
        assert_ne!(ended.code, Some(0), "{function}");
        assert!(ended.stderr.contains("set REEL_HOME to a"), "{function}: {}", ended.stderr);
    }
}
