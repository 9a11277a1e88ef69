//! How tight memory is: from one sample, the watermarks, and the level so far, which makes it stay where it is near a watermark.

use reel_protocol::methods::MemoryLevel;

use crate::config::MemoryConfig;

/// Bytes of a MiB; the configuration counts in MiB.
const MIB: u64 = 1024 * 1024;

/// One look at memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// Of our process.
    pub resident_bytes: u64,
    /// What the system, or the control group we live in, can still give.
    pub system_available_bytes: u64,
    /// What it has.
    pub system_total_bytes: u64,
}

/// The bounds between the levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// What the daemon may use.
    pub limit_bytes: u64,
    /// Below it, high ends.
    pub low_bytes: u64,
    /// From it, high begins; below it, critical ends.
    pub high_bytes: u64,
    /// From it, critical begins.
    pub critical_bytes: u64,
    /// Below it, critical begins too.
    pub system_min_available_bytes: u64,
}

impl Watermarks {
    /// In bytes, from a checked configuration.
    pub fn new(config: &MemoryConfig) -> Self {
        let limit_bytes = config.limit_mb.saturating_mul(MIB);
        let part = |of: f64| (limit_bytes as f64 * of) as u64;
        Self {
            limit_bytes,
            low_bytes: part(config.low),
            high_bytes: part(config.high),
            critical_bytes: part(config.critical),
            system_min_available_bytes: config.system_min_available_mb.saturating_mul(MIB),
        }
    }

    /// What the daemon should give back: down to the low watermark, and what the system lacks.
    pub fn excess_bytes(&self, sample: &Sample) -> u64 {
        let own = sample.resident_bytes.saturating_sub(self.low_bytes);
        let lacking = self.system_min_available_bytes.saturating_sub(sample.system_available_bytes);
        own.max(lacking)
    }
}

/// The level after `sample`.
///
/// What the system has left trembles by itself, so a shortage ends only with a fifth more than it began with.
pub fn next_level(marks: &Watermarks, current: MemoryLevel, sample: &Sample) -> MemoryLevel {
    let resident = sample.resident_bytes;
    let shortage_bytes = marks.system_min_available_bytes;
    let relief_bytes = shortage_bytes.saturating_add(shortage_bytes / 5);
    let stays_critical = current == MemoryLevel::Critical
        && (resident >= marks.high_bytes || sample.system_available_bytes < relief_bytes);
    let is_high = match current {
        MemoryLevel::Normal | MemoryLevel::Unknown => resident >= marks.high_bytes,
        MemoryLevel::High | MemoryLevel::Critical => resident >= marks.low_bytes,
    };
    if resident >= marks.critical_bytes || sample.system_available_bytes < shortage_bytes || stays_critical {
        MemoryLevel::Critical
    } else if is_high {
        MemoryLevel::High
    } else {
        MemoryLevel::Normal
    }
}

#[cfg(test)]
mod tests {
    use MemoryLevel::{Critical, High, Normal};

    use super::*;

    const MARKS: Watermarks = Watermarks {
        limit_bytes: 100,
        low_bytes: 70,
        high_bytes: 80,
        critical_bytes: 95,
        system_min_available_bytes: 50,
    };

    #[test]
    fn levels_follow_the_watermarks_with_hysteresis() {
        // Level before, resident, available, level after.
        let cases = [
            (Normal, 0, 500, Normal),
            (Normal, 79, 500, Normal),
            (Normal, 80, 500, High),
            (Normal, 95, 500, Critical),
            (Normal, 0, 49, Critical),
            (Normal, 0, 50, Normal),
            (High, 79, 500, High),
            (High, 70, 500, High),
            (High, 69, 500, Normal),
            (High, 95, 500, Critical),
            (High, 10, 10, Critical),
            (Critical, 94, 500, Critical),
            (Critical, 80, 500, Critical),
            (Critical, 79, 500, High),
            (Critical, 69, 500, Normal),
            (Critical, 10, 59, Critical),
            (Critical, 10, 60, Normal),
            (Critical, 75, 60, High),
            (MemoryLevel::Unknown, 75, 500, Normal),
        ];
        for (before, resident_bytes, system_available_bytes, after) in cases {
            let sample = Sample { resident_bytes, system_available_bytes, system_total_bytes: 1000 };
            assert_eq!(next_level(&MARKS, before, &sample), after, "{before:?} {sample:?}");
        }
    }

    #[test]
    fn watermarks_are_parts_of_the_limit_and_the_excess_is_the_larger_lack() {
        let marks = Watermarks::new(&MemoryConfig::default());
        assert_eq!(marks.limit_bytes, 2048 * MIB);
        assert_eq!(
            (marks.low_bytes / MIB, marks.high_bytes / MIB, marks.critical_bytes / MIB),
            (1433, 1638, 1945)
        );
        for (resident_bytes, system_available_bytes, excess) in
            [(60, 500, 0), (90, 500, 20), (90, 10, 40), (0, 45, 5)]
        {
            let sample = Sample { resident_bytes, system_available_bytes, system_total_bytes: 1000 };
            assert_eq!(MARKS.excess_bytes(&sample), excess, "{sample:?}");
        }
    }
}
