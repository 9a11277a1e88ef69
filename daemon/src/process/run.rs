//! One run of a program, from the launcher's start to the end of the last process of its group.

use std::{
    fs, io,
    io::Write as _,
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    sync::watch,
    task::JoinHandle,
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    Launcher, RunDirectory,
    group::Group,
    identity::{GroupIdentity, RUN_VARIABLE},
    launcher::{ARGUMENT, LaunchPlan},
    output_tail::OutputTail,
    spec::{Ended, Finished, ProcessSpec, StartError},
};
use crate::memory;

/// Bytes of standard error that are kept for the error message.
const STDERR_TAIL_BYTES: usize = 4 * 1024;
/// The time between two looks at the memory of a program.
const MEMORY_LOOK: Duration = Duration::from_millis(250);
/// How long a killed group may take until it is given up: only a process that waits for a broken disk needs longer than a moment.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// What a shell adds to the number of the signal that ended its child, for its own exit code.
const SHELL_SIGNALLED: i32 = 128;
/// How long the last output is read after the end: a process that left the group may hold the pipe open.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Runs a program to its end. Dropping the future kills the program's group.
///
/// # Errors
///
/// Where the program was not executed. How an executed program ended is a value.
pub async fn run(
    launcher: &Launcher,
    spec: ProcessSpec,
    directory: &Arc<RunDirectory>,
    cancel: watch::Receiver<bool>,
) -> Result<Finished, StartError> {
    let (limits, tail_bytes) = (spec.limits, spec.stdout_tail_bytes);
    let (launcher, shared, program) = (launcher.clone(), Arc::clone(directory), spec.program.clone());
    let starting = tokio::task::spawn_blocking(move || start(&launcher, spec, &shared));
    let started = starting.await.map_err(|_| StartError::Thread)?.map_err(StartError::Launcher)?;
    let stderr = Reader::start(started.stderr, STDERR_TAIL_BYTES).map_err(StartError::Launcher)?;
    let stdout = Reader::start(started.stdout, tail_bytes).map_err(StartError::Launcher)?;
    let mut exit = started.exit;
    let leader = started.leader;

    let early = tokio::select! {
        status = &mut exit => Err(status),
        () = cancelled(cancel) => Ok(Ended::Cancelled),
        () = time::sleep(limits.timeout) => Ok(Ended::TimedOut),
        held_bytes = over_memory(leader, limits.memory_bytes) => Ok(Ended::OverMemory(held_bytes)),
    };
    let ended = match early {
        Ok(reason) => {
            end(&started.group, &mut exit, limits.grace, leader).await;
            reason
        }
        Err(status) => how_it_ended(status.map_err(|_| StartError::Thread)?.map_err(StartError::Launcher)?),
    };
    let (stderr, stdout) = (stderr.finish().await, stdout.finish().await);
    match fs::read_to_string(directory.launch_error_path()) {
        Ok(reason) => Err(StartError::Program { program, reason }),
        Err(_) => Ok(Finished { ended, stderr, stdout }),
    }
}

/// A program that was started.
struct Started {
    group: Group,
    leader: u32,
    exit: JoinHandle<io::Result<ExitStatus>>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// Starts the launcher, notes its group, and tells it to go on. Where the daemon dies before the last step, the launcher ends by itself.
fn start(launcher: &Launcher, spec: ProcessSpec, directory: &RunDirectory) -> io::Result<Started> {
    let stdin = spec.stdin.map(|bytes| directory.write_stdin(&bytes)).transpose()?;
    let plan = LaunchPlan {
        program: spec.program,
        arguments: spec.arguments,
        directory: directory.work(),
        stdin,
        file_bytes: spec.limits.file_bytes,
        error_path: directory.launch_error_path(),
    };
    let mut child = Command::new(&launcher.0)
        .arg(ARGUMENT)
        .env_clear()
        .envs(spec.environment)
        .env(RUN_VARIABLE, directory.name())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let leader = child.id();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // From here on the launcher is ended where anything fails.
    let (group, wait) = Group::of(child);
    let exit = tokio::task::spawn_blocking(wait);
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(io::Error::other("the launcher has no pipes"));
    };
    if let Some(identity) = GroupIdentity::of_leader(leader) {
        directory.note_group(&identity)?;
    }
    // A launcher that was killed meanwhile has closed its end: its exit says so.
    let _ = stdin.write_all(&serde_json::to_vec(&plan)?);
    Ok(Started { group, leader, exit, stdout: stdout.into(), stderr: stderr.into() })
}

fn how_it_ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        // A shell says so of the program that it ran for us.
        (Some(code), _) if code == SHELL_SIGNALLED + Signal::XFSZ.as_raw() => Ended::FileTooLarge,
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) if signal == Signal::XFSZ.as_raw() => Ended::FileTooLarge,
        (None, signal) => Ended::Signalled(signal.unwrap_or_default()),
    }
}

/// Returns when the caller asks for the end, or is gone.
async fn cancelled(mut cancel: watch::Receiver<bool>) {
    // A sender that is gone without having asked for it never will; the future that runs the program is dropped then.
    if cancel.wait_for(|is_cancelled| *is_cancelled).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns with the number of bytes once the program and its children hold more than `limit_bytes`.
async fn over_memory(leader: u32, limit_bytes: u64) -> u64 {
    let mut looks = time::interval(MEMORY_LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let looking = tokio::task::spawn_blocking(move || memory::unshared_tree_bytes(leader));
        let held_bytes = looking.await.unwrap_or_default();
        if held_bytes > limit_bytes {
            return held_bytes;
        }
    }
}

/// Ends a group: SIGTERM first, and SIGKILL where the leader is there after the grace.
async fn end(group: &Group, exit: &mut JoinHandle<io::Result<ExitStatus>>, grace: Duration, leader: u32) {
    group.signal(Signal::TERM);
    if time::timeout(grace, &mut *exit).await.is_ok() {
        return;
    }
    group.signal(Signal::KILL);
    if time::timeout(KILL_PATIENCE, exit).await.is_err() {
        tracing::error!(process = leader, "a killed program does not end");
    }
}

/// Reads a pipe to its end, so that the program never waits for a reader, and keeps the last bytes.
struct Reader {
    tail: Arc<Mutex<OutputTail>>,
    reading: JoinHandle<()>,
}

impl Reader {
    fn start(pipe: OwnedFd, tail_bytes: usize) -> io::Result<Self> {
        let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
        let tail = Arc::new(Mutex::new(OutputTail::new(tail_bytes)));
        let kept = Arc::clone(&tail);
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                let piece = buffer.get(..count).unwrap_or_default();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
            }
        });
        Ok(Self { tail, reading })
    }

    /// The last bytes, once the program has ended.
    async fn finish(mut self) -> Vec<u8> {
        let deadline = Instant::now() + LAST_OUTPUT;
        let _ = time::timeout_at(deadline, &mut self.reading).await;
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
