//! Processes: finds the workspace's binaries, runs a process to its end, and checks that a process has ended.

use std::{
    fs,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use crate::wait::DEADLINE;

/// Returns the path of a binary of this workspace. It is in the target directory, one level above the test's own executable.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test has a path");
    let profile = own.ancestors().nth(2).expect("tests run from target/<profile>/deps");
    let path = profile.join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// The exit code and the output of a process that has ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; None if a signal ended the process.
    pub code: Option<i32>,
    /// Standard output, as bytes.
    pub bytes: Vec<u8>,
    /// Standard output, as text.
    pub stdout: String,
    /// Standard error, as text.
    pub stderr: String,
}

impl Ran {
    /// Fails unless the exit code is `code`. The message has all output of the process.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        let Self { code: found, stdout, stderr, .. } = self;
        assert_eq!(*found, Some(code), "wrong exit code\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// Parses standard output, which must be one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("no JSON document ({error})\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
        })
    }
}

/// Runs a process to its end, with empty standard input.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Waits for the end of a process whose output is piped. Fails if that takes longer than twice [`DEADLINE`], or if a process that it left behind
/// keeps the output open.
#[track_caller]
pub fn finish(mut child: Child) -> Ran {
    let stdout = read_apart(child.stdout.take());
    let stderr = read_apart(child.stderr.take());
    let is_gone = wait_gone(child.id(), DEADLINE * 2);
    if !is_gone {
        let _ = child.kill();
    }
    let status = child.wait().expect("our own child can be waited for");
    let bytes = stdout.recv_timeout(DEADLINE).expect("something left behind keeps standard output open");
    let errors = stderr.recv_timeout(DEADLINE).expect("something left behind keeps standard error open");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&bytes), text(&errors));
    assert!(is_gone, "still running after two deadlines\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    Ran { code: status.code(), bytes, stdout, stderr }
}

fn read_apart(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = tx.send(bytes);
    });
    rx
}

/// Sends a signal. A process that has ended already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Sends SIGKILL and waits until the process has ended.
#[track_caller]
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
    assert!(wait_gone(pid, DEADLINE), "process {pid} survives SIGKILL");
}

/// Returns whether the process, a child or not, ends within `limit`.
pub fn wait_gone(pid: u32, limit: Duration) -> bool {
    let Some(handle) = raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return true;
    };
    let deadline = Instant::now() + limit;
    while !is_over(&handle, deadline.saturating_duration_since(Instant::now())) {
        if Instant::now() >= deadline {
            return false;
        }
    }
    true
}

/// Returns whether the process ends within `limit`. A pidfd becomes readable when its process ends, also while it is a zombie that another process
/// has to reap.
fn is_over(handle: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
}

fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Returns the pids of living processes, except this one, that were started with `root` in their environment.
pub fn processes_of(root: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_ours = |pid: &u32| {
        let needle = root.as_os_str().as_bytes();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        *pid != std::process::id() && environment.windows(needle.len()).any(|window| window == needle)
    };
    pids.filter(is_ours).collect()
}

/// Returns whether a living process runs the binary called `name`.
pub fn runs_binary(pid: u32, name: &str) -> bool {
    fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|path| path.file_name().is_some_and(|file| file == name))
}

/// Returns a number from `/proc/<pid>/status`, such as `VmRSS` in KiB.
pub fn status_number(pid: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    number_after(&text, key)
}

/// Returns the peak of the memory that a process held, in bytes. The pages of its program are counted as 16 MiB, the most that the daemon takes at
/// rest, because those of an unoptimised program are several times as many.
pub fn peak_bytes(pid: u32) -> u64 {
    let kib = |key| status_number(pid, key).unwrap();
    (kib("VmHWM") - kib("RssFile") + 16 * 1024) * 1024
}

/// Returns the processor time of a process and of the children that it has waited for, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    /// Linux always shows these times in hundredths of a second.
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the process may contain any character, so parse behind its closing parenthesis. Between it and the times are 11 fields.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

/// Returns how many times the threads of a process gave up the processor to wait, which is the number of their wake-ups.
pub fn voluntary_switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    texts.filter_map(|text| number_after(&text, "voluntary_ctxt_switches")).sum()
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}
