//! Pins both ends of a round trip to processor cores.
//!
//! Without pinning, a round trip takes 3 µs or 60 µs, depending on whether both ends share a core or one has to wake a sleeping core. That says
//! nothing about the code. A bench therefore chooses the cores, and chooses the same for its reference.

use std::fs;

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The core on which the other end runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerCore {
    /// The same core. A hand-over is a plain context switch, so only the computation of both ends is measured.
    Same,
    /// Another core, as is usual for a program and a daemon. A hand-over has to wake it.
    Another,
}

/// Pins the current thread to one core until it is dropped. Threads that it starts meanwhile inherit the core.
#[derive(Debug)]
pub struct Pinned {
    same: CpuSet,
    another: CpuSet,
    before: CpuSet,
}

impl Pinned {
    /// Pins the current thread to the last core that it may use. The first cores of a machine serve more interrupts.
    pub fn here() -> Self {
        let before = sched_getaffinity(None).expect("a thread may ask where it may run");
        let mut cores = (0..CpuSet::MAX_CPU).rev().filter(|core| before.is_set(*core));
        let same = cores.next().expect("it runs somewhere");
        let [same, another] = [same, cores.next().unwrap_or(same)].map(|core| {
            let mut only = CpuSet::new();
            only.set(core);
            only
        });
        sched_setaffinity(None, &same).expect("a thread may give cores up");
        Self { same, another, before }
    }

    /// Pins all threads of a process to a core. Threads that they start later inherit it.
    pub fn hold_process(&self, pid: u32, other: PeerCore) {
        let mut held = Vec::new();
        // Repeat until there is no new thread, because a thread that is not pinned yet may start another one.
        loop {
            let mut threads = threads(pid);
            threads.retain(|thread| !held.contains(thread));
            if threads.is_empty() {
                return;
            }
            for thread in &threads {
                // A thread that has ended meanwhile is skipped.
                let _ = sched_setaffinity(Some(*thread), self.core(other));
            }
            held.append(&mut threads);
        }
    }

    /// Returns a closure that pins the thread that runs it. The thread must belong to this process.
    pub fn hold_thread(&self, other: PeerCore) -> impl FnOnce() + Send + use<> {
        let core = *self.core(other);
        move || sched_setaffinity(None, &core).expect("a thread may choose among the process's cores")
    }

    const fn core(&self, other: PeerCore) -> &CpuSet {
        match other {
            PeerCore::Same => &self.same,
            PeerCore::Another => &self.another,
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
