//! Our units of systemd's user manager: where they lie, whether they are ours, and how the manager is asked.
//!
//! With them installed, systemd listens on the socket and starts the daemon with the first connection.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use reel_protocol::endpoint::{Locations, LockText};
use tokio::time::{Instant, sleep};

/// Stands at the head of every file that `reel daemon install` writes; a file without it is somebody else's.
pub const MARKER: &str = "Written by `reel daemon install`";

/// The unit that runs the daemon.
pub const SERVICE: &str = "reeld.service";

/// The unit that listens for it.
pub const SOCKET: &str = "reeld.socket";

/// Between two looks at a service manager's command.
const LOOK: Duration = Duration::from_millis(5);

/// How long asking for the socket may take: it is two messages on a local bus.
const START_LIMIT: Duration = Duration::from_secs(5);

/// What stands where a file of ours is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A file of ours, with its text.
    Ours(String),
    /// Something that is not ours: a file without [`MARKER`], a link, a directory.
    Foreign,
}

/// Looks at a file without following a link.
pub fn look_at(path: &Path) -> Found {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Ok(metadata) if metadata.is_file() => match fs::read_to_string(path) {
            Ok(text) if text.contains(MARKER) => Found::Ours(text),
            _ => Found::Foreign,
        },
        _ => Found::Foreign,
    }
}

/// The directory of the user's own units: `XDG_CONFIG_HOME/systemd/user`, else `HOME/.config/systemd/user`.
pub fn directory(get: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("systemd/user"))
}

/// Whether `locations` are those that our socket unit serves, as they are without `REEL_HOME` and `REEL_SOCKET`.
pub fn is_socket_of_unit(locations: &Locations) -> bool {
    env::var_os("XDG_RUNTIME_DIR")
        .is_some_and(|runtime| locations.socket == Path::new(&runtime).join("reel/reeld.sock"))
}

/// Whether our unit is installed for these places.
pub(crate) fn serves(locations: &Locations) -> bool {
    is_socket_of_unit(locations)
        && directory(|name| env::var_os(name))
            .is_some_and(|directory| matches!(look_at(&directory.join(SOCKET)), Found::Ours(_)))
}

/// Whether connecting would start a daemon, as systemd listens and none runs.
pub(crate) fn would_start(locations: &Locations) -> bool {
    serves(locations) && !is_holder_alive(locations)
}

/// Whether the process that the lock file names lives: read rather than locked, so that a daemon that starts is not disturbed.
fn is_holder_alive(locations: &Locations) -> bool {
    let text = fs::read_to_string(locations.lock_file()).ok();
    text.and_then(|text| LockText::decode(&text)).is_some_and(|lock| is_alive(lock.pid))
}

/// The user that this process acts as.
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

/// Has systemd listen on the socket; false where no user systemd answers.
pub(crate) async fn start_socket() -> bool {
    ask("systemctl", &["--user", "start", SOCKET], START_LIMIT).await.is_ok()
}

/// Runs a service manager's command, such as `systemctl`, and waits for its end. The error is its last line, for a person.
pub async fn ask(program: &str, arguments: &[&str], limit: Duration) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot run {program}: {error}"))?;
    let begun = Instant::now();
    while begun.elapsed() < limit {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                return Err(
                    last_words(&mut child).unwrap_or_else(|| format!("{program} ended with {status}"))
                );
            }
            Ok(None) => sleep(LOOK).await,
            Err(error) => return Err(format!("cannot wait for {program}: {error}")),
        }
    }
    // Killed and reaped, so that no process stays behind whom nobody waits for; a failure changes nothing about the answer.
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("{program} did not answer within {} s", limit.as_secs()))
}

fn last_words(child: &mut Child) -> Option<String> {
    let words = io::read_to_string(child.stderr.take()?).ok()?;
    words.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_with_our_mark_is_ours() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(SOCKET);
        assert_eq!(look_at(&path), Found::Nothing);
        fs::write(&path, "[Socket]\n").unwrap();
        assert_eq!(look_at(&path), Found::Foreign);
        let text = format!("# {MARKER}\n");
        fs::write(&path, &text).unwrap();
        assert_eq!(look_at(&path), Found::Ours(text));
        #[cfg(unix)]
        {
            let link = root.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            assert_eq!(look_at(&link), Found::Foreign);
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
        assert!(ask("no-such-program-of-reel", &[], limit).await.is_err());
        let hung = ask("sleep", &["60"], Duration::from_millis(20)).await.unwrap_err();
        assert!(hung.contains("did not answer"), "{hung}");
    }
}
