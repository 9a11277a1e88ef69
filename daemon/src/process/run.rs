//! Runs a program, from the start of the launcher to the end of the last process of its group.

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
/// The interval at which a program's memory is checked.
const MEMORY_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait for a killed group. Only a process that waits for a broken disk takes longer than a moment.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// A shell adds this to the number of the signal that ended its child, and exits with the sum.
const SHELL_SIGNALLED: i32 = 128;
/// How long output is read after the program's end. A process that left the group may keep the pipe open.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Runs a program to its end. Dropping the future kills the program's group.
///
/// # Errors
///
/// Fails if the program was not executed. How an executed program ended is in the value.
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

/// A started program.
struct Started {
    group: Group,
    leader: u32,
    exit: JoinHandle<io::Result<ExitStatus>>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// Starts the launcher, records its group, and sends it the plan. If the daemon dies before the last step, the launcher ends by itself.
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
    // From here on, dropping the group ends the launcher if anything fails.
    let (group, wait) = Group::of(child);
    let exit = tokio::task::spawn_blocking(wait);
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(io::Error::other("the launcher has no pipes"));
    };
    if let Some(identity) = GroupIdentity::of_leader(leader) {
        directory.note_group(&identity)?;
    }
    // If the launcher was killed meanwhile, its pipe is closed. Its exit status reports that.
    let _ = stdin.write_all(&serde_json::to_vec(&plan)?);
    Ok(Started { group, leader, exit, stdout: stdout.into(), stderr: stderr.into() })
}

fn how_it_ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        // A shell that ran the program for us reports the signal this way.
        (Some(code), _) if code == SHELL_SIGNALLED + Signal::XFSZ.as_raw() => Ended::FileTooLarge,
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) if signal == Signal::XFSZ.as_raw() => Ended::FileTooLarge,
        (None, signal) => Ended::Signalled(signal.unwrap_or_default()),
    }
}

/// Waits until the caller cancels.
async fn cancelled(mut cancel: watch::Receiver<bool>) {
    // A dropped sender never cancels. The caller then drops the future that runs the program.
    if cancel.wait_for(|is_cancelled| *is_cancelled).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until the program and its children hold more than `limit_bytes`. Returns the number of bytes.
async fn over_memory(leader: u32, limit_bytes: u64) -> u64 {
    let mut ticks = time::interval(MEMORY_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looking = tokio::task::spawn_blocking(move || memory::unshared_tree_bytes(leader));
        let held_bytes = looking.await.unwrap_or_default();
        if held_bytes > limit_bytes {
            return held_bytes;
        }
    }
}

/// Ends a group with SIGTERM, and with SIGKILL if the leader still runs after the grace period.
async fn end(group: &Group, exit: &mut JoinHandle<io::Result<ExitStatus>>, grace: Duration, leader: u32) {
    group.signal(Signal::TERM);
    if time::timeout(grace, &mut *exit).await.is_ok() {
        return;
    }
    group.signal(Signal::KILL);
    if time::timeout(KILL_TIMEOUT, exit).await.is_err() {
        tracing::error!(process = leader, "a killed program does not end");
    }
}

/// Reads a pipe to its end, so that the program never blocks on writing, and keeps the last bytes.
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

    /// Returns the last bytes, once the program has ended.
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
