//! A running process group: signals reach it as a whole, and never a stranger that has its number by now.

use std::{
    io,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

/// A process group that this daemon started. Dropped before its end, it is killed.
#[derive(Debug)]
pub(super) struct Group(Arc<Leader>);

/// The number of the leader, until the leader was waited for: only until then the number belongs to nobody else.
#[derive(Debug)]
struct Leader(Mutex<Option<Pid>>);

impl Group {
    /// The group that a child leads. The second part waits for its end on a thread that may block.
    pub(super) fn of(child: Child) -> (Self, impl FnOnce() -> io::Result<ExitStatus> + Send + use<>) {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let leader = Arc::new(Leader(Mutex::new(pid)));
        let waited = Arc::clone(&leader);
        (Self(leader), move || wait(child, pid, &waited))
    }

    /// Sends a signal to all processes of the group; nothing where it has ended.
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
            // A launcher that has just been started leads no group yet.
            let _ = kill_process_group(pid, signal).or_else(|_| kill_process(pid, signal));
        }
    }
}

/// Waits until the leader has ended, and kills what it left behind in its group before its number is free for others.
fn wait(mut child: Child, pid: Option<Pid>, leader: &Leader) -> io::Result<ExitStatus> {
    if let Some(pid) = pid {
        // It leaves the ended leader in the table of processes. The one error that would end this early is a missing child.
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .is_err_and(|error| error == rustix::io::Errno::INTR)
        {}
        leader.signal(Signal::KILL);
    }
    let mut number = leader.0.lock().unwrap_or_else(PoisonError::into_inner);
    *number = None;
    child.wait()
}
