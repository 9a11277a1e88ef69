//! Starts a daemon in the background and waits until it answers. Many clients may do so at once: the daemon's own lock lets only one run.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use interprocess::local_socket::tokio::Stream;
use reel_protocol::endpoint::Locations;
use tokio::time::{Instant, sleep};

use crate::{ClientError, ConnectOptions, Holder, discover, user_units};

/// The file in the log directory with the output of a daemon before its own log is open.
pub const START_LOG: &str = "start.log";

/// Longest time for a start. A cold start with a million tasks in the history takes a few seconds; a longer one has failed.
const START_LIMIT: Duration = Duration::from_secs(15);

/// First pause between two connection attempts, doubled up to the longest. A warm daemon answers after about ten milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(3);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The daemon's exit code if another daemon holds the home's lock.
const EXIT_LOCKED: i32 = 75;

/// If the started daemon found the home locked and no daemon answers after this time, the other one was stopping. Then a daemon is started again.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Size above which the start log is truncated, in bytes.
const LOG_BYTES: u64 = 256 * 1024;

/// The most bytes and lines of the start log that an error shows.
const REASON_BYTES: u64 = 4 * 1024;
const REASON_LINES: usize = 8;

/// Finds the daemon's program: beside this executable, else on PATH.
pub fn daemon_program() -> Option<PathBuf> {
    let file = format!("reeld{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|own| own.parent().map(|dir| dir.join(&file)));
    let path = env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(env::split_paths(&path).map(|dir| dir.join(&file)))
        .find(|program| program.is_file())
}

/// Starts the daemon and connects to it, or to a daemon that another client started first.
pub(crate) async fn start_and_dial(options: &ConnectOptions) -> Result<Stream, ClientError> {
    // If the socket unit is installed, systemd listens, starts the daemon and supervises it.
    if options.daemon.is_none()
        && user_units::serves(&options.locations)
        && user_units::start_socket().await
        && let Some(stream) = discover::dial(&options.locations).await?
    {
        return Ok(stream);
    }
    let program = options.daemon.clone().or_else(daemon_program).ok_or_else(|| ClientError::StartFailed {
        reason: "the program reeld is neither in the directory of this program nor on PATH".to_owned(),
        exit_code: None,
    })?;
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut launch = Launch::begin(&program, &options.locations)?;
    while begun.elapsed() < START_LIMIT {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        if let Some(stream) = discover::dial(&options.locations).await? {
            return Ok(stream);
        }
        match launch.ended() {
            Some(status) if status.code() != Some(EXIT_LOCKED) || is_elsewhere(&options.locations) => {
                return Err(launch.failure(status));
            }
            Some(_) if launch.begun.elapsed() > START_AGAIN_AFTER => {
                launch = Launch::begin(&program, &options.locations)?;
            }
            _ => {}
        }
    }
    let pid = Holder::find(&options.locations).map(|holder| holder.pid());
    Err(ClientError::NotReady { pid, waited: START_LIMIT })
}

/// Whether the home's daemon listens on another socket than the given one. Waiting for it is then pointless.
fn is_elsewhere(locations: &Locations) -> bool {
    locations.is_socket_given
        && Holder::find(locations).is_some_and(|holder| holder.socket != locations.socket)
}

/// One attempt to start a daemon.
struct Launch {
    child: Child,
    log: PathBuf,
    /// Offset in the log, which other attempts share, at which the output of this attempt begins.
    log_start: u64,
    begun: Instant,
}

impl Launch {
    fn begin(program: &Path, locations: &Locations) -> Result<Self, ClientError> {
        let log = locations.logs().join(START_LOG);
        let cannot = |source| ClientError::io(format!("cannot write {}", log.display()), source);
        private_dir(&locations.logs()).map_err(cannot)?;
        let file = open_log(&log).map_err(cannot)?;
        let log_start = file.metadata().map_err(cannot)?.len();
        let child = spawn(program, locations, file).map_err(|source| ClientError::StartFailed {
            reason: format!("cannot run {}: {source}", program.display()),
            exit_code: None,
        })?;
        Ok(Self { child, log, log_start, begun: Instant::now() })
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn failure(&self, status: ExitStatus) -> ClientError {
        let words = tail(&self.log, self.log_start).unwrap_or_default();
        let reason = if words.is_empty() { format!("reeld ended with {status}") } else { words };
        ClientError::StartFailed { reason, exit_code: status.code() }
    }
}

/// Starts the child process. With `--auto-started` the daemon leaves the terminal's session by itself, so that closing the terminal does not end it.
fn spawn(program: &Path, locations: &Locations, log: File) -> io::Result<Child> {
    Command::new(program)
        .arg("--auto-started")
        // The daemon must not keep the current directory in use. Paths that are relative to it are passed as absolute ones.
        .current_dir(&locations.home)
        .env("REEL_HOME", &locations.home)
        .env("REEL_SOCKET", &locations.socket)
        .env("REEL_CONFIG", &locations.config)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn open_log(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    if file.metadata()?.len() > LOG_BYTES {
        file.set_len(0)?;
    }
    Ok(file)
}

fn private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    // Directories above the home belong to the user and get the default mode.
    if let Some(above) = path.parent().and_then(Path::parent) {
        fs::create_dir_all(above)?;
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Returns the last lines of the file after the offset `start`.
fn tail(path: &Path, start: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(REASON_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(REASON_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The daemon prefixes lines with its name, as on a terminal. A reader of the reason knows it already.
    let lines: Vec<&str> =
        text.trim().lines().map(|line| line.strip_prefix("reeld: ").unwrap_or(line)).collect();
    Ok(lines.split_at(lines.len().saturating_sub(REASON_LINES)).1.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_end_of_what_this_try_said() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("start.log");
        fs::write(&log, "of another try\nreeld: line 17: unknown key `portt`\n").unwrap();
        assert_eq!(tail(&log, 15).unwrap(), "line 17: unknown key `portt`");
        let many: Vec<String> = (0..1000).map(|line| format!("line {line}")).collect();
        fs::write(&log, many.join("\n")).unwrap();
        assert_eq!(tail(&log, 0).unwrap().lines().count(), REASON_LINES);
        assert!(tail(&log, 0).unwrap().ends_with("line 999"));
    }
}
