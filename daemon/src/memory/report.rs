//! What `memory.status` answers, out of what the supervisor has seen. Pure.

use reel_protocol::{
    Timestamp,
    methods::{LastTrim, MemoryGroup, MemoryLimit, MemoryStatusResult, ReservationInfo},
};

use super::{
    group,
    levels::{Limit, Pressure, Sample, Watermarks},
};
use crate::budget::{Budget, HolderUsage};

/// What there is to report.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The newest.
    pub sample: &'a Sample,
    /// In force.
    pub limit: &'a Limit,
    /// In force.
    pub marks: Watermarks,
    /// After the sample.
    pub pressure: Pressure,
    /// The most that a sample had.
    pub peak_resident_bytes: u64,
    /// Who was promised what.
    pub budget: &'a Budget,
    /// Who can be asked.
    pub reclaimers: Vec<String>,
    /// When the level last changed.
    pub level_since: Option<Timestamp>,
    /// What was last given back.
    pub last_trim: Option<LastTrim>,
}

/// The answer.
pub fn status(seen: Seen<'_>) -> MemoryStatusResult {
    let Seen { sample, limit, marks, pressure, budget, .. } = seen;
    MemoryStatusResult {
        level: pressure.level(),
        limit_bytes: limit.bytes,
        high_bytes: marks.high_bytes,
        low_bytes: marks.low_bytes,
        critical_bytes: marks.critical_bytes,
        resident_bytes: sample.resident_bytes,
        peak_resident_bytes: seen.peak_resident_bytes,
        system_available_bytes: sample.system_available_bytes,
        system_total_bytes: sample.system_total_bytes,
        reserved_bytes: budget.reserved_bytes(),
        reservations: budget.usage().map(reservation).into(),
        refusals: budget.refusals(),
        reclaimers: seen.reclaimers,
        limit: Some(MemoryLimit {
            bytes: limit.bytes,
            source: limit.source,
            detail: limit.path.as_deref().map(str::to_owned),
        }),
        group: group::fullest(&sample.groups).map(|(group, used_bytes)| MemoryGroup {
            path: group.path.as_ref().to_owned(),
            limit_bytes: group.limit_bytes,
            used_bytes,
        }),
        cause: pressure.cause(),
        children_bytes: sample.children_bytes,
        level_since: seen.level_since,
        last_trim: seen.last_trim,
    }
}

fn reservation(usage: HolderUsage) -> ReservationInfo {
    ReservationInfo {
        holder: usage.holder.name().to_owned(),
        bytes: usage.bytes,
        peak_bytes: usage.peak_bytes,
    }
}
