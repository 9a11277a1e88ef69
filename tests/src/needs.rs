//! What a few tests need beyond Rust and a C compiler: other programs, and root's rights for disks of their own.
//!
//! A test that cannot be run passes, and says so on the real standard error, which the test harness does not swallow; the test binary
//! `zz_skipped`, the last one of the suite, lists all of them. With `REEL_TESTS_REQUIRE_ALL=1` it fails instead.

use std::{
    env, fs,
    io::Write as _,
    os::unix::process::parent_id,
    path::{Path, PathBuf},
    process::Command,
};

/// The variable that makes a skipped test fail.
const REQUIRE_ALL: &str = "REEL_TESTS_REQUIRE_ALL";

/// Whether a program is on the path; else the test is counted as skipped, and has to return.
#[must_use = "the test has to return where the program is missing"]
pub fn program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|directory| directory.join(name).is_file());
    if !is_there {
        skipped(&format!("{name} is not installed"));
    }
    is_there
}

/// Whether there is an `nc` that speaks to Unix sockets, as that of OpenBSD does.
#[must_use = "the test has to return where the program is missing"]
pub fn nc_with_unix_sockets() -> bool {
    let is_there = Command::new("nc").arg("-h").output().is_ok_and(|help| {
        let text = [help.stdout, help.stderr].concat();
        String::from_utf8_lossy(&text).contains("-U")
    });
    if !is_there {
        skipped("nc of OpenBSD (Debian: netcat-openbsd) is not installed");
    }
    is_there
}

/// Notes that the running test, or a part of it, cannot be run here.
///
/// # Panics
///
/// Where everything is required to be run.
pub fn skipped(reason: &str) {
    let binary = env::current_exe().ok();
    let binary = binary.as_deref().and_then(Path::file_stem).and_then(|stem| stem.to_str()).unwrap_or("?");
    // Cargo appends a hash to the name.
    let binary = binary.rsplit_once('-').map_or(binary, |(name, _)| name);
    let thread = std::thread::current();
    let line = format!("SKIPPED {binary}::{}: {reason}\n", thread.name().unwrap_or("?"));
    assert!(env::var_os(REQUIRE_ALL).is_none_or(|value| value != "1"), "{line}");
    // Not by `eprint!`, whose text the harness keeps of a test that passes.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Ok(mut list) = fs::File::options().create(true).append(true).open(list()) {
        let _ = list.write_all(line.as_bytes());
    }
}

/// What was skipped since this was asked before, by the tests that the same cargo runs.
pub fn take_skipped() -> Vec<String> {
    let text = fs::read_to_string(list()).unwrap_or_default();
    let _ = fs::remove_file(list());
    text.lines().map(str::to_owned).collect()
}

/// A file of this run of cargo, which is the parent of each test binary.
fn list() -> PathBuf {
    env::temp_dir().join(format!("reel-tests-skipped-{}", parent_id()))
}
