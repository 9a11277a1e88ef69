//! Starts a daemon in the background and waits until it answers. Many clients may do so at once: the daemon's own lock lets one win.

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

/// The file below the logs that takes what a daemon says before its own log is open.
pub const START_LOG: &str = "start.log";

/// A cold start with a million tasks in the history takes a few seconds; past this something is wrong.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Between two tries; a warm daemon answers after about ten milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(3);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The daemon's exit code when another one holds the home.
const EXIT_LOCKED: i32 = 75;

/// When ours found the home locked and nobody answers after this, the other one was stopping: start again.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Where the start log is begun anew.
const LOG_BYTES: u64 = 256 * 1024;

/// What is shown of a failed daemon's words.
const REASON_BYTES: u64 = 4 * 1024;
const REASON_LINES: usize = 8;

/// The daemon's program: beside this one, else on PATH.
pub fn daemon_program() -> Option<PathBuf> {
    let file = format!("reeld{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|own| own.parent().map(|dir| dir.join(&file)));
    let path = env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(env::split_paths(&path).map(|dir| dir.join(&file)))
        .find(|program| program.is_file())
}

/// Starts the daemon and connects to it, or to the one that was faster.
pub(crate) async fn start_and_dial(options: &ConnectOptions) -> Result<Stream, ClientError> {
    // Where our unit is installed, systemd listens, starts the daemon and looks after it.
    if options.daemon.is_none()
        && user_units::serves(&options.locations)
        && user_units::start_socket().await
        && let Some(stream) = discover::dial(&options.locations).await?
    {
        return Ok(stream);
    }
    let program = options.daemon.clone().or_else(daemon_program).ok_or_else(|| ClientError::StartFailed {
        reason: "reeld is neither beside this program nor on PATH".to_owned(),
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

/// Whether the home's daemon listens on another socket than the one that was given: it will not come here, however long one waits.
fn is_elsewhere(locations: &Locations) -> bool {
    locations.is_socket_given
        && Holder::find(locations).is_some_and(|holder| holder.socket != locations.socket)
}

/// One try to start a daemon.
struct Launch {
    child: Child,
    log: PathBuf,
    /// Where this try's words begin in the log, which others share.
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

/// The daemon leaves our session by itself (`--auto-started`), so that closing the terminal does not end it.
fn spawn(program: &Path, locations: &Locations, log: File) -> io::Result<Child> {
    Command::new(program)
        .arg("--auto-started")
        // It must not keep our directory busy; what the variables name relative to it is handed on absolute.
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
    // Parents above the home are the user's, and get the user's own mode.
    if let Some(above) = path.parent().and_then(Path::parent) {
        fs::create_dir_all(above)?;
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The last lines after `start`.
fn tail(path: &Path, start: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(REASON_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(REASON_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // It names itself, as on a terminal; whoever reads the reason knows whose it is.
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
