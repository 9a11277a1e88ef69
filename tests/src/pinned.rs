//! Which cores both ends of a conversation run on.
//!
//! Left to the scheduler, a round trip takes 3 µs or 60 µs, as it happens to stay on one core or to wake another one that sleeps; that says
//! nothing about either end. So a bench says which it is, and does the same with its reference.

use std::fs;

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Where the other end runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// On the same core: a hand-over is a plain switch, and what both ends compute is all that is seen.
    Here,
    /// On another one, as a program and a daemon usually do: a hand-over wakes it.
    Beside,
}

/// Holds this thread to one core until it is dropped. Threads that are started meanwhile stay there.
#[derive(Debug)]
pub struct Pinned {
    here: CpuSet,
    beside: CpuSet,
    before: CpuSet,
}

impl Pinned {
    /// The last core that this thread may use: the first ones serve more of a machine's interrupts.
    pub fn here() -> Self {
        let before = sched_getaffinity(None).expect("a thread may ask where it may run");
        let mut cores = (0..CpuSet::MAX_CPU).rev().filter(|core| before.is_set(*core));
        let here = cores.next().expect("it runs somewhere");
        let [here, beside] = [here, cores.next().unwrap_or(here)].map(|core| {
            let mut only = CpuSet::new();
            only.set(core);
            only
        });
        sched_setaffinity(None, &here).expect("a thread may give cores up");
        Self { here, beside, before }
    }

    /// Holds all threads of a process to a core, and with them all that they start.
    pub fn hold_process(&self, pid: u32, other: Other) {
        let mut held = Vec::new();
        // Looked at again until nothing is new: a thread may have been started by one that was not held yet.
        loop {
            let mut threads = threads(pid);
            threads.retain(|thread| !held.contains(thread));
            if threads.is_empty() {
                return;
            }
            for thread in &threads {
                // One that has ended meanwhile needs no core.
                let _ = sched_setaffinity(Some(*thread), self.core(other));
            }
            held.append(&mut threads);
        }
    }

    /// What a thread of this process does to run there.
    pub fn hold_thread(&self, other: Other) -> impl FnOnce() + Send + use<> {
        let core = *self.core(other);
        move || sched_setaffinity(None, &core).expect("a thread may choose among the process's cores")
    }

    const fn core(&self, other: Other) -> &CpuSet {
        match other {
            Other::Here => &self.here,
            Other::Beside => &self.beside,
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
