//! A temporary home with its own socket and configuration, and all processes that use it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use reel_protocol::endpoint::LockText;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Connection, Ran,
    process::{self, binary, processes_of, wait_gone},
    wait::{DEADLINE, eventually},
};

/// The environment of one test. Dropping it kills every daemon that was started in it and removes its files.
#[derive(Debug)]
pub struct Sandbox {
    root: TempDir,
    home: PathBuf,
    socket: PathBuf,
    config: PathBuf,
    /// Additional environment variables of its processes.
    variables: Vec<(&'static str, String)>,
    /// Daemons that [`Sandbox::spawn`] started and that have to be reaped.
    children: Mutex<Vec<Child>>,
    /// The directory of a home outside the root. It is removed with the sandbox.
    disk: Option<TempDir>,
}

impl Sandbox {
    /// Returns a sandbox with an empty home. No daemon runs.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("reel-").tempdir().unwrap();
        let home = root.path().join("home");
        let socket = root.path().join("s");
        let config = root.path().join("config.toml");
        for directory in ["user", "run", "work"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        Self { root, home, socket, config, variables: Vec::new(), children: Mutex::default(), disk: None }
    }

    /// Returns a sandbox with an empty home below `directory`, for example on a disk that is to be measured. The path may be longer than a socket's
    /// path can be.
    pub fn on_disk(directory: &Path) -> Self {
        let disk = tempfile::Builder::new().prefix("reel-").tempdir_in(directory).unwrap();
        let mut sandbox = Self::new();
        sandbox.home = disk.path().join("home");
        sandbox.disk = Some(disk);
        sandbox
    }

    /// Returns a sandbox with an empty home and a running daemon.
    #[track_caller]
    pub fn started() -> Self {
        let sandbox = Self::new();
        sandbox.start();
        sandbox
    }

    /// Returns a sandbox with this configuration and a running daemon.
    #[track_caller]
    pub fn started_with(config: &str) -> Self {
        let sandbox = Self::new();
        sandbox.configure(config);
        sandbox.start();
        sandbox
    }

    /// Replaces the home, for example by one on a small disk.
    #[must_use]
    pub fn with_home(mut self, home: PathBuf) -> Self {
        self.home = home;
        self
    }

    /// Replaces the path of the socket.
    #[must_use]
    pub fn with_socket(mut self, socket: PathBuf) -> Self {
        self.socket = socket;
        self
    }

    /// Replaces the path of the configuration file. Its directory need not exist.
    #[must_use]
    pub fn with_config(mut self, config: PathBuf) -> Self {
        self.config = config;
        self
    }

    /// Adds an environment variable for all processes.
    #[must_use]
    pub fn with_variable(mut self, name: &'static str, value: String) -> Self {
        self.variables.push((name, value));
        self
    }

    /// Sets `PATH` so that the daemon finds no program, such as one that speaks.
    #[must_use]
    pub fn without_programs(self) -> Self {
        let nowhere = self.root().join("run").display().to_string();
        self.with_variable("PATH", nowhere)
    }

    /// Returns the directory that contains everything of this sandbox.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Returns the daemon's home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the path of the daemon's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the directory in which commands run and write pictures.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Returns the path of the configuration file.
    pub fn config(&self) -> PathBuf {
        self.config.clone()
    }

    /// Replaces the configuration file by a rename, as editors do. A daemon that watches the file therefore never reads half of it.
    pub fn configure(&self, text: &str) {
        let new = self.config().with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.config()).unwrap();
    }

    /// Returns a command that inherits only `PATH` and `REEL_ENCODING` from the test's environment.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let root = self.root.path();
        let mut command = Command::new(program.as_ref());
        command.env_clear().current_dir(self.work());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", root.join("user")).env("XDG_RUNTIME_DIR", root.join("run"));
        command.env("REEL_HOME", &self.home).env("REEL_SOCKET", &self.socket);
        command.env("REEL_CONFIG", self.config()).env("NO_COLOR", "1").env("LANG", "C.UTF-8");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // The whole suite can be run with the other encoding.
        if let Some(encoding) = std::env::var_os("REEL_ENCODING") {
            command.env("REEL_ENCODING", encoding);
        }
        command
    }

    /// Returns the command `reel` with these arguments.
    pub fn reel_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(binary("reel"));
        command.args(arguments);
        command
    }

    /// Runs `reel` to its end.
    #[track_caller]
    pub fn reel(&self, arguments: &[&str]) -> Ran {
        process::run(&mut self.reel_command(arguments))
    }

    /// Runs `reel` to its end with this text on its standard input. A command may end without reading it.
    #[track_caller]
    pub fn reel_with_stdin(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.reel_command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        process::finish(child)
    }

    /// Runs `reeld` to its end, for starts that must fail.
    #[track_caller]
    pub fn reeld_fails(&self) -> Ran {
        process::run(&mut self.command(binary("reeld")))
    }

    /// Starts `reeld` and returns its pid at once.
    #[track_caller]
    pub fn spawn(&self) -> u32 {
        let log = fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = self.command(binary("reeld"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let pid = child.id();
        self.children.lock().unwrap().push(child);
        pid
    }

    /// Starts `reeld`, waits until it accepts connections and returns its pid.
    #[track_caller]
    pub fn start(&self) -> u32 {
        let pid = self.spawn();
        eventually("the daemon answers", || {
            assert!(!wait_gone(pid, std::time::Duration::ZERO), "the daemon ended at once:\n{}", self.log());
            self.try_connect().filter(|_| self.daemon_pid() == Some(pid))
        });
        pid
    }

    fn log_path(&self) -> PathBuf {
        self.root.path().join("daemon.log")
    }

    /// Returns the output of all daemons that [`Sandbox::spawn`] started.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Waits until the log contains `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("the log says {text:?}"), || self.log().contains(text).then_some(()));
    }

    /// Returns the pid in the lock file: that of the daemon that holds it, or that held it last.
    pub fn daemon_pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.home.join("reeld.lock")).ok()?;
        LockText::decode(&text).map(|lock| lock.pid)
    }

    /// Returns the pids of the living daemons of this sandbox.
    pub fn daemons(&self) -> Vec<u32> {
        let mut pids = processes_of(self.root.path());
        pids.retain(|pid| process::runs_binary(*pid, "reeld"));
        pids
    }

    /// Connects to the running daemon.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(&self.socket)
            .unwrap_or_else(|error| panic!("nobody listens: {error}\n{}", self.log()))
    }

    fn try_connect(&self) -> Option<Connection> {
        Connection::open(&self.socket).ok()
    }

    /// Kills the daemon with SIGKILL and returns when it has ended and is reaped.
    #[track_caller]
    pub fn kill(&self) {
        if let Some(pid) = self.daemon_pid() {
            process::kill(pid);
        }
        self.reap();
    }

    /// Stops the daemon with SIGTERM and waits until it has ended. Returns its exit code; None if a signal ended it or it is not a child of the test.
    #[track_caller]
    pub fn stop(&self) -> Option<i32> {
        let pid = self.daemon_pid().expect("a daemon runs");
        process::signal(pid, Signal::TERM);
        assert!(wait_gone(pid, DEADLINE), "the daemon does not stop:\n{}", self.log());
        let mut children = self.children.lock().unwrap();
        let child = children.iter_mut().find(|child| child.id() == pid)?;
        child.wait().ok()?.code()
    }

    fn reap(&self) {
        let mut children = self.children.lock().unwrap();
        children.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for pid in processes_of(self.root.path()) {
            process::signal(pid, Signal::KILL);
            wait_gone(pid, DEADLINE);
        }
        for child in self.children.get_mut().into_iter().flatten() {
            let _ = child.wait();
        }
        if std::thread::panicking() {
            self.show_log();
        }
    }
}

impl Sandbox {
    #[expect(clippy::print_stderr, reason = "the end of the daemon's log belongs to a failed test's output")]
    fn show_log(&self) {
        let log = self.log();
        let tail: Vec<_> = log.lines().rev().take(40).collect();
        for line in tail.iter().rev() {
            eprintln!("reeld: {line}");
        }
    }
}
