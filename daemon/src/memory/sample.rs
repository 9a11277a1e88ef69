//! Takes samples of memory: of this process, of the system, and of control groups, whose limits may be lower than the system's memory.

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{children, group_tree::GroupTree, levels::Sample};

/// A source of samples. Tests have their own.
pub trait SampleSource: Send + 'static {
    /// Takes a sample.
    fn sample(&mut self) -> Sample;
}

/// Samples the real memory of this process and its system.
pub struct Sampler {
    system: System,
    pid: Pid,
    groups: GroupTree,
}

/// The system does not report the memory of this process.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the memory of this process")]
pub struct SamplerError(#[source] sysinfo::Error);

impl Sampler {
    /// Creates a sampler for the calling process.
    pub fn new() -> Result<Self, SamplerError> {
        let system = System::new().map_err(SamplerError)?;
        let pid = sysinfo::get_current_pid().map_err(SamplerError)?;
        Ok(Self { system, pid, groups: GroupTree::default() })
    }
}

impl SampleSource for Sampler {
    fn sample(&mut self) -> Sample {
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        // The threads are left out: they share the memory, and each would be one more file to read.
        let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), false, kind);
        let process = self.system.process(self.pid);
        Sample {
            resident_bytes: process.map_or(0, sysinfo::Process::memory),
            children_bytes: children::resident_bytes(),
            system_available_bytes: self.system.available_memory(),
            system_total_bytes: self.system.total_memory(),
            groups: self.groups.read(),
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
        // The median is checked, because other programs may interrupt a single sample.
        assert!(costs[50] < Duration::from_millis(1), "{:?}", costs[50]);
    }
}
