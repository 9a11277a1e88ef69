//! Looks at memory: our process, the system, and the control group that may bound us more tightly than the system does.

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::levels::Sample;

/// Samples between two looks for a control group's limit while there is none: finding the group means reading the list of all mounts, the
/// dearest part of a sample, and a limit seldom appears later.
const GROUP_INTERVAL: u32 = 60;

/// Where samples come from; tests have their own.
pub trait SampleSource: Send + 'static {
    /// Looks now.
    fn sample(&mut self) -> Sample;
}

/// The real memory of this process and its system.
pub struct Sampler {
    system: System,
    pid: Pid,
    /// Samples until a control group is looked for again.
    group_wait: u32,
}

/// The system does not tell about memory.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the memory of this process")]
pub struct SamplerError(#[source] sysinfo::Error);

impl Sampler {
    /// For the process that calls it.
    pub fn new() -> Result<Self, SamplerError> {
        let system = System::new().map_err(SamplerError)?;
        let pid = sysinfo::get_current_pid().map_err(SamplerError)?;
        Ok(Self { system, pid, group_wait: 0 })
    }
}

impl SampleSource for Sampler {
    fn sample(&mut self) -> Sample {
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        // Without the threads: they share the memory, and each would be a file more to read.
        let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), false, kind);
        let process = self.system.process(self.pid);
        let group = if let Some(rest) = self.group_wait.checked_sub(1) {
            self.group_wait = rest;
            None
        } else {
            let group = process.and_then(sysinfo::Process::cgroup_limits);
            self.group_wait = if group.is_some() { 0 } else { GROUP_INTERVAL };
            group
        };
        let total = self.system.total_memory();
        let available = self.system.available_memory();
        Sample {
            resident_bytes: process.map_or(0, sysinfo::Process::memory),
            // Not the group's own "free": the page cache counts as used there, though it is given back at once.
            system_available_bytes: group
                .as_ref()
                .map_or(available, |group| available.min(group.total_memory.saturating_sub(group.rss))),
            system_total_bytes: group.map_or(total, |group| total.min(group.total_memory)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_sample_is_plausible_and_counts_what_we_hold() {
        const BLOCK_BYTES: usize = 128 << 20;
        let _alone = super::super::RESIDENT_TESTS.lock();
        let mut sampler = Sampler::new().unwrap();
        let block = vec![1_u8; BLOCK_BYTES];
        let sample = sampler.sample();
        drop(block);
        assert!(sample.resident_bytes > BLOCK_BYTES as u64, "{sample:?}");
        assert!(sample.resident_bytes < sample.system_total_bytes, "{sample:?}");
        assert!(sample.system_available_bytes < sample.system_total_bytes, "{sample:?}");
    }

    #[test]
    fn a_sample_costs_less_than_a_millisecond() {
        let mut sampler = Sampler::new().unwrap();
        let mut costs: Vec<Duration> = (0..101)
            .map(|_| {
                let start = Instant::now();
                sampler.sample();
                start.elapsed()
            })
            .collect();
        costs.sort();
        // The median: one sample may be interrupted by whatever else runs here.
        assert!(costs[50] < Duration::from_millis(1), "{:?}", costs[50]);
    }
}
