//! Ends programs that a former daemon left running, and removes its run directories. Blocks, and must be called before any task runs.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{identity::GroupIdentity, run_directory::noted_group};

/// How long a killed group may take to end. Only a process that waits for a broken disk takes longer than a moment.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which a killed group is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The result of the clean-up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Run directories that were removed.
    pub directories: usize,
    /// Process groups that were ended.
    pub groups: usize,
    /// Processes that did not end although they were killed.
    pub stubborn: Vec<u32>,
}

/// Ends the groups that are recorded below `runs`, and removes the directories there. Only the holder of the home's lock may call it.
pub fn end_leftovers(runs: &Path) -> io::Result<Leftovers> {
    let entries = match fs::read_dir(runs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Leftovers::default()),
        entries => entries?,
    };
    let mut leftovers = Leftovers::default();
    for entry in entries {
        let directory = entry?.path();
        if let Some(group) = noted_group(&directory) {
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            end(&group, &name, &mut leftovers);
        }
        match fs::remove_dir_all(&directory) {
            Ok(()) => leftovers.directories += 1,
            Err(error) => {
                tracing::warn!(%error, directory = %directory.display(), "a run directory could not be removed");
            }
        }
    }
    Ok(leftovers)
}

fn end(group: &GroupIdentity, directory: &str, leftovers: &mut Leftovers) {
    let mut running = group.running(directory);
    if running.is_empty() {
        return;
    }
    leftovers.groups += 1;
    tracing::warn!(
        group = group.leader,
        processes = running.len(),
        "ended a program that a former daemon had started"
    );
    let deadline = Instant::now() + KILL_TIMEOUT;
    while !running.is_empty() {
        if Instant::now() > deadline {
            tracing::error!(processes = ?running, "a former daemon's program does not end");
            leftovers.stubborn.append(&mut running);
            return;
        }
        if let Some(leader) = i32::try_from(group.leader).ok().and_then(Pid::from_raw) {
            // Nobody needs the program's result, so it gets no time to finish. It may have ended by itself meanwhile.
            let _ = kill_process_group(leader, Signal::KILL);
        }
        std::thread::park_timeout(CHECK_INTERVAL);
        running = group.running(directory);
    }
}
