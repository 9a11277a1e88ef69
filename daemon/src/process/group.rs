//! A running process group. Signals reach the whole group, and never another process that has reused its number.

use std::{
    io,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

/// A process group that this daemon started. Dropping it before its end kills it.
#[derive(Debug)]
pub(super) struct Group(Arc<Leader>);

/// The process id of the leader. None once the leader was waited for, because its number may be reused from then on.
#[derive(Debug)]
struct Leader(Mutex<Option<Pid>>);

impl Group {
    /// Returns the group that a child leads, and a function that waits for the child's end. The function blocks.
    pub(super) fn of(child: Child) -> (Self, impl FnOnce() -> io::Result<ExitStatus> + Send + use<>) {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let leader = Arc::new(Leader(Mutex::new(pid)));
        let waited = Arc::clone(&leader);
        (Self(leader), move || wait(child, pid, &waited))
    }

    /// Sends a signal to all processes of the group. Does nothing if the group has ended.
    pub(super) fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Leader {
    fn signal(&self, signal: Signal) {
        let leader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *leader {
            // A launcher that was just started does not lead its group yet.
            let _ = kill_process_group(pid, signal).or_else(|_| kill_process(pid, signal));
        }
    }
}

/// Waits until the leader has ended. Kills the other processes of its group before its number can be reused.
fn wait(mut child: Child, pid: Option<Pid>, leader: &Leader) -> io::Result<ExitStatus> {
    if let Some(pid) = pid {
        // This call leaves the ended leader in the process table. The only error that could end the loop early is a missing child.
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .is_err_and(|error| error == rustix::io::Errno::INTR)
        {}
        leader.signal(Signal::KILL);
    }
    let mut number = leader.0.lock().unwrap_or_else(PoisonError::into_inner);
    *number = None;
    child.wait()
}
