//! Requirements of a few tests beyond Rust and a C compiler: other programs, and root rights to mount disks.
//!
//! A test that cannot run here passes and prints `SKIPPED` to the real standard error, because the test harness captures the usual one. The last test
//! binary of the suite, `zz_skipped`, lists all of them. With `REEL_TESTS_REQUIRE_ALL=1` such a test fails instead.

use std::{
    env, fs,
    io::Write as _,
    os::unix::process::parent_id,
    path::{Path, PathBuf},
    process::Command,
};

/// The environment variable that makes a skipped test fail if it is `1`.
const REQUIRE_ALL: &str = "REEL_TESTS_REQUIRE_ALL";

/// Returns whether a program is on `PATH`. If not, it records the test as skipped, and the test must return.
#[must_use = "the test has to return where the program is missing"]
pub fn program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|directory| directory.join(name).is_file());
    if !is_there {
        skipped(&format!("{name} is not installed"));
    }
    is_there
}

/// Returns whether `nc` is installed and supports Unix sockets, as OpenBSD's does. If not, it records the test as skipped.
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

/// Records that the running test, or a part of it, cannot run here.
///
/// # Panics
///
/// If `REEL_TESTS_REQUIRE_ALL` is `1`.
pub fn skipped(reason: &str) {
    let binary = env::current_exe().ok();
    let binary = binary.as_deref().and_then(Path::file_stem).and_then(|stem| stem.to_str()).unwrap_or("?");
    // Cargo appends a hash to the name of a test binary.
    let binary = binary.rsplit_once('-').map_or(binary, |(name, _)| name);
    let thread = std::thread::current();
    let line = format!("SKIPPED {binary}::{}: {reason}\n", thread.name().unwrap_or("?"));
    assert!(env::var_os(REQUIRE_ALL).is_none_or(|value| value != "1"), "{line}");
    // The harness captures what a passing test prints with `eprint!`, so write to standard error directly.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Ok(mut list) = fs::File::options().create(true).append(true).open(list()) {
        let _ = list.write_all(line.as_bytes());
    }
}

/// Returns the tests that this run of cargo has skipped so far, and clears the list.
pub fn take_skipped() -> Vec<String> {
    let text = fs::read_to_string(list()).unwrap_or_default();
    let _ = fs::remove_file(list());
    text.lines().map(str::to_owned).collect()
}

/// Returns the path of the list of skipped tests. Its name has the pid of cargo, the parent process of each test binary.
fn list() -> PathBuf {
    env::temp_dir().join(format!("reel-tests-skipped-{}", parent_id()))
}
