//! `reeld --launch`: the process that becomes the program. It reads a plan from its standard input, and does nothing before the plan is complete. If
//! the daemon dies before that, the launcher ends.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid};
use serde::{Deserialize, Serialize};

/// The argument that makes `reeld` a launcher.
pub(super) const ARGUMENT: &str = "--launch";
/// The exit code if the program could not be executed, which is that of a shell.
const NOT_EXECUTED: u8 = 127;
/// Most open files of a program. The daemon raises its own limit, with which programs that use `select` can fail.
const OPEN_FILES: u64 = 1_024;
/// If the system runs out of memory, it ends the program rather than the daemon (`proc_pid_oom_score_adj(5)`).
#[cfg(target_os = "linux")]
const OOM_SCORE: &str = "500";

/// The executable file that is started with `--launch`.
#[derive(Debug, Clone)]
pub struct Launcher(pub PathBuf);

impl Launcher {
    /// Returns the running daemon's own executable file, even if that file was replaced meanwhile.
    pub fn this_executable() -> Self {
        if cfg!(target_os = "linux") {
            return Self(PathBuf::from("/proc/self/exe"));
        }
        // If the system does not name the file, the one on the PATH is the most likely one.
        Self(std::env::current_exe().unwrap_or_else(|_| PathBuf::from("reeld")))
    }
}

/// The plan that the daemon sends to the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LaunchPlan {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub directory: PathBuf,
    pub stdin: Option<PathBuf>,
    pub file_bytes: u64,
    pub error_path: PathBuf,
}

/// Reads the plan and becomes the program. Returns only if that failed.
pub fn launch() -> ExitCode {
    // A new session has no terminal, so the program can neither read passwords from it nor be interrupted with the daemon.
    let _ = setsid();
    let mut text = Vec::new();
    let Ok(plan) = io::stdin().read_to_end(&mut text).and_then(|_| Ok(serde_json::from_slice(&text)?)) else {
        return ExitCode::from(NOT_EXECUTED);
    };
    let LaunchPlan { error_path, .. } = &plan;
    let error = execute(&plan);
    // The daemon reads this file first, before it considers the exit code.
    let _ = fs::write(error_path, error.to_string());
    ExitCode::from(NOT_EXECUTED)
}

/// Executes the program in place of this process. Returns the error if that failed.
fn execute(plan: &LaunchPlan) -> io::Error {
    let stdin = plan.stdin.as_deref().map_or_else(|| Ok(Stdio::null()), open);
    let stdin = match stdin.and_then(|stdin| set_limits(plan.file_bytes).map(|()| stdin)) {
        Ok(stdin) => stdin,
        Err(error) => return error,
    };
    Command::new(&plan.program).args(&plan.arguments).current_dir(&plan.directory).stdin(stdin).exec()
}

fn open(path: &Path) -> io::Result<Stdio> {
    Ok(Stdio::from(File::open(path)?))
}

fn set_limits(file_bytes: u64) -> io::Result<()> {
    lower(Resource::Fsize, file_bytes)?;
    lower(Resource::Core, 0)?;
    let open_files = getrlimit(Resource::Nofile);
    let soft = open_files.current.map_or(OPEN_FILES, |soft| soft.min(OPEN_FILES));
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: open_files.maximum })?;
    #[cfg(target_os = "linux")]
    // A process may always raise its own score. If `/proc` is read-only, the system chooses by memory size.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    super::os::close_others_on_exec()
}

/// Lowers the soft and the hard limit, unless a lower one is in force already.
fn lower(resource: Resource, value: u64) -> io::Result<()> {
    let limit = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    Ok(setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?)
}
