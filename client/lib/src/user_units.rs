//! The daemon's units of the systemd user manager: where their files are, whether `reel` wrote them, and how to run commands of the manager.
//!
//! If the units are installed, systemd listens on the socket and starts the daemon with the first connection.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use reel_protocol::endpoint::{Locations, LockText};
use tokio::time::{Instant, sleep};

/// A line at the top of every file that `reel daemon install` writes. A file without it belongs to somebody else.
pub const MARKER: &str = "Written by `reel daemon install`";

/// The name of the unit that runs the daemon.
pub const SERVICE: &str = "reeld.service";

/// The name of the unit that listens on the daemon's socket.
pub const SOCKET: &str = "reeld.socket";

/// Interval for polling whether a command of the service manager has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Most bytes at the end of a command's stderr that are read for its last line.
const STDERR_BYTES: u64 = 4 * 1024;

/// Longest time for starting the socket unit, which takes two messages on a local bus.
const START_LIMIT: Duration = Duration::from_secs(5);

/// What exists at the path of a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing exists there.
    Nothing,
    /// A file that `reel daemon install` wrote. The field is its text.
    Ours(String),
    /// Something else: a file without [`MARKER`], a symbolic link, a directory.
    Foreign,
}

/// Tells what exists at the path, without following a symbolic link.
pub fn inspect_unit_file(path: &Path) -> Found {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Ok(metadata) if metadata.is_file() => match fs::read_to_string(path) {
            Ok(text) if text.contains(MARKER) => Found::Ours(text),
            _ => Found::Foreign,
        },
        _ => Found::Foreign,
    }
}

/// Returns the directory of the user's own units: `XDG_CONFIG_HOME/systemd/user`, else `HOME/.config/systemd/user`. None if neither variable is an
/// absolute path.
pub fn directory(get: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("systemd/user"))
}

/// Whether the socket of `locations` is the one that the socket unit serves, which is the default without `REEL_HOME` and `REEL_SOCKET`.
pub fn is_socket_of_unit(locations: &Locations) -> bool {
    env::var_os("XDG_RUNTIME_DIR")
        .is_some_and(|runtime| locations.socket == Path::new(&runtime).join("reel/reeld.sock"))
}

/// Whether the socket unit is installed and serves these locations.
pub(crate) fn serves(locations: &Locations) -> bool {
    is_socket_of_unit(locations)
        && directory(|name| env::var_os(name))
            .is_some_and(|directory| matches!(inspect_unit_file(&directory.join(SOCKET)), Found::Ours(_)))
}

/// Whether a connection would start a daemon, because systemd listens and no daemon runs.
pub(crate) fn would_start(locations: &Locations) -> bool {
    serves(locations) && !is_holder_alive(locations)
}

/// Whether the process that the lock file names is running. The lock itself is not tried, so that a starting daemon is not disturbed.
fn is_holder_alive(locations: &Locations) -> bool {
    let text = fs::read_to_string(locations.lock_file()).ok();
    text.and_then(|text| LockText::decode(&text)).is_some_and(|lock| is_alive(lock.pid))
}

/// Returns the effective user id of this process.
#[cfg(unix)]
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
pub(crate) fn own_uid() -> u32 {
    0
}

#[cfg(unix)]
fn is_alive(pid: u32) -> bool {
    use rustix::{
        io::Errno,
        process::{Pid, test_kill_process},
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(not(unix))]
fn is_alive(_pid: u32) -> bool {
    true
}

/// Makes systemd listen on the socket. False if no user manager answers.
pub(crate) async fn start_socket() -> bool {
    ask("systemctl", &["--user", "start", SOCKET], START_LIMIT).await.is_ok()
}

/// Runs a command of the service manager, such as `systemctl`, and waits for its exit. The error is the last line of its stderr, for a person.
pub async fn ask(program: &str, arguments: &[&str], limit: Duration) -> Result<(), String> {
    // Its stderr goes to a file and not to a pipe, which would hold up a command that prints more than a pipe takes. Without such a file, the error is
    // the exit status.
    let stderr = tempfile::tempfile().ok();
    let to_file =
        stderr.as_ref().and_then(|file| file.try_clone().ok()).map_or_else(Stdio::null, Stdio::from);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(to_file);
    let mut child = command.spawn().map_err(|error| format!("cannot run {program}: {error}"))?;
    let begun = Instant::now();
    while begun.elapsed() < limit {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                let line = stderr.and_then(last_line);
                return Err(line.unwrap_or_else(|| format!("{program} ended with {status}")));
            }
            Ok(None) => sleep(POLL_INTERVAL).await,
            Err(error) => return Err(format!("cannot wait for {program}: {error}")),
        }
    }
    // The child is killed and reaped, so that it does not stay as a zombie. If that fails, the result is the same.
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("{program} did not answer within {} s", limit.as_secs()))
}

/// Returns the last line that is not empty, within the last [`STDERR_BYTES`] of the file.
fn last_line(mut file: File) -> Option<String> {
    let end = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(end.saturating_sub(STDERR_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(STDERR_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_with_our_mark_is_ours() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(SOCKET);
        assert_eq!(inspect_unit_file(&path), Found::Nothing);
        fs::write(&path, "[Socket]\n").unwrap();
        assert_eq!(inspect_unit_file(&path), Found::Foreign);
        let text = format!("# {MARKER}\n");
        fs::write(&path, &text).unwrap();
        assert_eq!(inspect_unit_file(&path), Found::Ours(text));
        #[cfg(unix)]
        {
            let link = root.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            assert_eq!(inspect_unit_file(&link), Found::Foreign);
        }
    }

    #[test]
    fn units_lie_where_systemd_looks_for_them() {
        let of = |variables: &[(&str, &str)]| {
            directory(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        assert_eq!(of(&[("HOME", "/h")]), Some("/h/.config/systemd/user".into()));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]), Some("/c/systemd/user".into()));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "c")]), Some("/h/.config/systemd/user".into()));
        assert_eq!(of(&[]), None);
    }

    #[tokio::test]
    async fn a_command_that_fails_or_hangs_is_an_answer() {
        let limit = Duration::from_secs(20);
        assert_eq!(ask("true", &[], limit).await, Ok(()));
        let failed = ask("sh", &["-c", "echo first >&2; echo no bus >&2; exit 1"], limit).await;
        assert_eq!(failed, Err("no bus".to_owned()));
        let many = "for i in $(seq 20000); do echo much is said here; done >&2; echo no bus >&2; exit 1";
        assert_eq!(ask("sh", &["-c", many], limit).await, Err("no bus".to_owned()), "more than a pipe takes");
        let long = "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1";
        assert_eq!(ask("sh", &["-c", long], limit).await.unwrap_err().len(), 4096);
        assert!(ask("no-such-program-of-reel", &[], limit).await.is_err());
        let hung = ask("sleep", &["60"], Duration::from_millis(20)).await.unwrap_err();
        assert!(hung.contains("did not answer"), "{hung}");
    }
}
