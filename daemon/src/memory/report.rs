//! Builds the answer to `memory.status` from the state of the supervisor. Pure.

use reel_protocol::{
    Timestamp,
    methods::{LastTrim, MemoryGroup, MemoryLimit, MemoryStatusResult, ReservationInfo},
};

use super::{
    group,
    levels::{Limit, Pressure, Sample, Watermarks},
};
use crate::budget::{Budget, HolderUsage};

/// The state that is reported.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The newest sample.
    pub sample: &'a Sample,
    /// The current limit.
    pub limit: &'a Limit,
    /// The current watermarks.
    pub marks: Watermarks,
    /// The levels after the sample.
    pub pressure: Pressure,
    /// Most resident bytes of any sample.
    pub peak_resident_bytes: u64,
    /// The budget with its reservations.
    pub budget: &'a Budget,
    /// The names of the reclaimers.
    pub reclaimers: Vec<String>,
    /// When the level last changed; None if it has not.
    pub level_since: Option<Timestamp>,
    /// The last trim, if there was one.
    pub last_trim: Option<LastTrim>,
}

/// Returns the answer.
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
