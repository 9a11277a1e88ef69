//! Calculates how tight memory is, and why. It uses a sample, the watermarks, and the former levels, as the levels have hysteresis at the watermarks.

use std::sync::Arc;

use reel_protocol::methods::{LimitSource, MemoryLevel, PressureCause};

use super::group::{self, Group};
use crate::config::MemoryConfig;

/// Bytes of a MiB. The configuration is in MiB.
const MIB: u64 = 1024 * 1024;

/// A sample of the memory of the process, the system and the control groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Resident bytes of this process.
    pub resident_bytes: u64,
    /// Resident bytes of the child processes. They have limits of their own, so they count in our control groups but against no watermark of ours.
    pub children_bytes: u64,
    /// Memory that the system has available.
    pub system_available_bytes: u64,
    /// All memory of the system; 0 if it is not known.
    pub system_total_bytes: u64,
    /// The control groups with a memory limit, innermost first.
    pub groups: Vec<Group>,
}

/// How much memory the daemon may use, and where that limit comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The smallest of all limits that apply.
    pub bytes: u64,
    /// The source of the limit.
    pub source: LimitSource,
    /// The path of the control group, if the limit is that of one.
    pub path: Option<Arc<str>>,
}

impl Limit {
    /// Returns the smallest limit. Of equal ones it chooses the one that is easiest to change: the configuration, then a group, then the system.
    pub fn smallest(config: &MemoryConfig, sample: &Sample) -> Self {
        let configured = config.limit_mb.saturating_mul(MIB);
        let mut limit = Self { bytes: configured, source: LimitSource::Configured, path: None };
        if let Some(group) = group::smallest(&sample.groups).filter(|group| group.limit_bytes < limit.bytes) {
            let path = Some(Arc::clone(&group.path));
            limit = Self { bytes: group.limit_bytes, source: LimitSource::Cgroup, path };
        }
        // Zero means that the system's memory is not known.
        if (1..limit.bytes).contains(&sample.system_total_bytes) {
            limit = Self { bytes: sample.system_total_bytes, source: LimitSource::System, path: None };
        }
        limit
    }
}

/// The bounds between the levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Below it, the level high ends.
    pub low_bytes: u64,
    /// From it, the level high begins. Below it, the level critical ends.
    pub high_bytes: u64,
    /// From it, the level critical begins.
    pub critical_bytes: u64,
}

impl Watermarks {
    /// Calculates the watermarks as parts of a limit. The configuration was checked before.
    pub fn new(config: &MemoryConfig, limit_bytes: u64) -> Self {
        let part = |of: f64| (limit_bytes as f64 * of) as u64;
        Self {
            low_bytes: part(config.low),
            high_bytes: part(config.high),
            critical_bytes: part(config.critical),
        }
    }

    /// Returns the level that follows `current` when so many bytes are used.
    fn next(&self, current: MemoryLevel, used_bytes: u64) -> MemoryLevel {
        let stays_critical = current == MemoryLevel::Critical && used_bytes >= self.high_bytes;
        let stays_high = current != MemoryLevel::Normal && used_bytes >= self.low_bytes;
        if used_bytes >= self.critical_bytes || stays_critical {
            MemoryLevel::Critical
        } else if used_bytes >= self.high_bytes || stays_high {
            MemoryLevel::High
        } else {
            MemoryLevel::Normal
        }
    }
}

/// The levels by cause. Each has its own hysteresis: a cause that stays near its watermark must not prolong the level that another one began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    resident: MemoryLevel,
    group: MemoryLevel,
    system: MemoryLevel,
}

impl Pressure {
    /// Returns the levels after `sample`.
    ///
    /// The available memory of the system fluctuates by itself, so a shortage ends only when a fifth more is available than when it began.
    #[must_use]
    pub fn next(self, config: &MemoryConfig, marks: &Watermarks, sample: &Sample) -> Self {
        let group = group::fullest(&sample.groups).map_or(MemoryLevel::Normal, |(group, used_bytes)| {
            Watermarks::new(config, group.limit_bytes).next(self.group, used_bytes)
        });
        let shortage_bytes = shortage_bytes(config);
        let relief_bytes = shortage_bytes.saturating_add(shortage_bytes / 5);
        let bound_bytes = if self.system == MemoryLevel::Critical { relief_bytes } else { shortage_bytes };
        let is_short = sample.system_available_bytes < bound_bytes;
        let system = if is_short { MemoryLevel::Critical } else { MemoryLevel::Normal };
        Self { resident: marks.next(self.resident, sample.resident_bytes), group, system }
    }

    /// Returns the highest level of all causes.
    pub fn level(&self) -> MemoryLevel {
        self.resident.max(self.group).max(self.system)
    }

    /// Returns the highest level of all causes but the daemon's own size.
    pub fn machine(&self) -> MemoryLevel {
        self.group.max(self.system)
    }

    /// Returns the cause of the level. Of several it returns the one about which the daemon can do most.
    pub fn cause(&self) -> Option<PressureCause> {
        match self.level() {
            MemoryLevel::Normal => None,
            level if level == self.resident => Some(PressureCause::Resident),
            level if level == self.group => Some(PressureCause::Cgroup),
            _ => Some(PressureCause::System),
        }
    }
}

/// Returns how many bytes the daemon should free: the largest of what is above the low watermark, what the system lacks, and what its fullest group
/// has above its low watermark.
pub fn excess_bytes(config: &MemoryConfig, marks: &Watermarks, pressure: Pressure, sample: &Sample) -> u64 {
    let own = sample.resident_bytes.saturating_sub(marks.low_bytes);
    let lacking = shortage_bytes(config).saturating_sub(sample.system_available_bytes);
    let in_group = group::fullest(&sample.groups)
        .filter(|_| pressure.group > MemoryLevel::Normal)
        .map_or(0, |(group, used_bytes)| {
            used_bytes.saturating_sub(Watermarks::new(config, group.limit_bytes).low_bytes)
        });
    own.max(lacking).max(in_group)
}

const fn shortage_bytes(config: &MemoryConfig) -> u64 {
    config.system_min_available_mb.saturating_mul(MIB)
}

#[cfg(test)]
mod tests {
    use LimitSource::{Cgroup, Configured, System};
    use MemoryLevel::{Critical, High, Normal};

    use super::*;

    /// With a limit of 100 MiB: low 70, high 80, critical 95.
    fn config() -> MemoryConfig {
        MemoryConfig { limit_mb: 100, system_min_available_mb: 50, ..MemoryConfig::default() }
    }

    fn marks() -> Watermarks {
        Watermarks { low_bytes: 70 * MIB, high_bytes: 80 * MIB, critical_bytes: 95 * MIB }
    }

    fn sample(resident_mib: u64, available_mib: u64) -> Sample {
        Sample {
            resident_bytes: resident_mib * MIB,
            children_bytes: 0,
            system_available_bytes: available_mib * MIB,
            system_total_bytes: 1000 * MIB,
            groups: vec![],
        }
    }

    fn group(path: &str, limit_mib: u64, used_mib: u64) -> Group {
        Group { path: path.into(), limit_bytes: limit_mib * MIB, used_bytes: Some(used_mib * MIB) }
    }

    #[test]
    fn levels_follow_the_watermarks_with_hysteresis() {
        // Level before, resident MiB, level after.
        let cases = [
            (Normal, 0, Normal),
            (Normal, 79, Normal),
            (Normal, 80, High),
            (Normal, 95, Critical),
            (High, 79, High),
            (High, 70, High),
            (High, 69, Normal),
            (High, 95, Critical),
            (Critical, 94, Critical),
            (Critical, 80, Critical),
            (Critical, 79, High),
            (Critical, 69, Normal),
        ];
        for (before, resident_mib, after) in cases {
            assert_eq!(marks().next(before, resident_mib * MIB), after, "{before:?} {resident_mib}");
        }
    }

    #[test]
    fn each_cause_has_its_own_hysteresis_and_the_highest_is_named() {
        let mut pressure = Pressure::default();
        // Resident, available, and used in a group with a limit of 1,000, all in MiB; then the level and the cause.
        let steps = [
            (10, 500, 100, Normal, None),
            (10, 49, 100, Critical, Some(PressureCause::System)),
            (10, 59, 100, Critical, Some(PressureCause::System)),
            (75, 60, 100, Normal, None),
            (75, 500, 800, High, Some(PressureCause::Cgroup)),
            (80, 500, 800, High, Some(PressureCause::Resident)),
            (80, 500, 950, Critical, Some(PressureCause::Cgroup)),
            (80, 500, 799, High, Some(PressureCause::Resident)),
            (69, 500, 700, High, Some(PressureCause::Cgroup)),
            (75, 500, 699, Normal, None),
        ];
        for (resident, available, used, level, cause) in steps {
            let sample = Sample { groups: vec![group("/a", 1000, used)], ..sample(resident, available) };
            pressure = pressure.next(&config(), &marks(), &sample);
            assert_eq!((pressure.level(), pressure.cause()), (level, cause), "{resident} {available} {used}");
        }
    }

    #[test]
    fn the_smallest_limit_is_named() {
        let unknown = Sample { system_total_bytes: 0, ..sample(0, 0) };
        let tiny = Sample { system_total_bytes: 64 * MIB, ..sample(0, 0) };
        let cases = [
            (sample(0, 0), vec![], 100, Configured, None),
            (unknown, vec![], 100, Configured, None),
            (sample(0, 0), vec![group("/a", 100, 0)], 100, Configured, None),
            (sample(0, 0), vec![group("/a/b", 90, 0), group("/a", 80, 0)], 80, Cgroup, Some("/a")),
            (tiny.clone(), vec![group("/a", 64, 0)], 64, Cgroup, Some("/a")),
            (tiny, vec![group("/a", 65, 0)], 64, System, None),
        ];
        for (sample, groups, mib, source, path) in cases {
            let limit = Limit::smallest(&config(), &Sample { groups, ..sample });
            assert_eq!((limit.bytes, limit.source, limit.path.as_deref()), (mib * MIB, source, path));
        }
    }

    #[test]
    fn watermarks_are_parts_of_the_limit_and_the_excess_is_the_largest_lack() {
        let marks = Watermarks::new(&MemoryConfig::default(), 2048 * MIB);
        assert_eq!(
            (marks.low_bytes / MIB, marks.high_bytes / MIB, marks.critical_bytes / MIB),
            (1433, 1638, 1945)
        );
        let marks = self::marks();
        for (resident, available, used, excess_mib) in [
            (60, 500, 0, 0),
            (90, 500, 0, 20),
            (90, 10, 0, 40),
            (0, 45, 0, 5),
            (0, 500, 790, 0),
            (90, 500, 850, 150),
        ] {
            let sample = Sample { groups: vec![group("/a", 1000, used)], ..sample(resident, available) };
            let pressure = Pressure::default().next(&config(), &marks, &sample);
            let excess = excess_bytes(&config(), &marks, pressure, &sample);
            assert_eq!(excess.div_ceil(MIB), excess_mib, "{sample:?}");
        }
    }
}
