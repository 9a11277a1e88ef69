//! One core for both ends of a conversation.
//!
//! A round trip between two cores takes 8 µs or 50 µs, as the scheduler happens to wake a core that sleeps or one that does not; that says
//! nothing about either end. On one core every hand-over is a plain switch, on our side and on the reference's.

use std::fs;

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Holds this thread to one core until it is dropped. Threads that are started meanwhile stay there.
#[derive(Debug)]
pub struct Pinned {
    core: CpuSet,
    before: CpuSet,
}

impl Pinned {
    /// The last core that this thread may use: the first ones serve more of a machine's interrupts.
    pub fn here() -> Self {
        let before = sched_getaffinity(None).expect("a thread may ask where it may run");
        let last = (0..CpuSet::MAX_CPU).rev().find(|core| before.is_set(*core)).expect("it runs somewhere");
        let mut core = CpuSet::new();
        core.set(last);
        sched_setaffinity(None, &core).expect("a thread may give cores up");
        Self { core, before }
    }

    /// Holds all threads of a process to the same core, and with them all that they start.
    #[must_use]
    pub fn with_process(self, pid: u32) -> Self {
        let mut held = Vec::new();
        // Looked at again until nothing is new: a thread may have been started by one that was not held yet.
        loop {
            let mut threads = threads(pid);
            threads.retain(|thread| !held.contains(thread));
            if threads.is_empty() {
                return self;
            }
            for thread in &threads {
                // One that has ended meanwhile needs no core.
                let _ = sched_setaffinity(Some(*thread), &self.core);
            }
            held.append(&mut threads);
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}

fn threads(pid: u32) -> Vec<Pid> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}
