//! The params and results of `memory.*`.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The memory level, which says how short memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemoryLevel {
    /// Memory is below the watermarks.
    #[default]
    Normal,
    /// Memory has reached the high watermark, and has not fallen below the low one yet. Caches are asked to shrink.
    High,
    /// Memory has reached the critical watermark, or the system is short of it. No new task starts.
    Critical,
    /// A level that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// The result of `memory.status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryStatusResult {
    /// The memory level.
    pub level: MemoryLevel,
    /// Most memory that the daemon may use, in bytes: the smallest of `memory.limit_mb`, the limits of its control groups, and the system's memory.
    pub limit_bytes: u64,
    /// The high watermark, in bytes. From it on, the level is high.
    pub high_bytes: u64,
    /// The low watermark, in bytes. Below it, the level becomes normal again.
    pub low_bytes: u64,
    /// The critical watermark, in bytes. From it on, the level is critical, until memory falls below the high watermark.
    pub critical_bytes: u64,
    /// Resident memory of the daemon at the last sample, in bytes.
    pub resident_bytes: u64,
    /// Largest resident memory of any sample since the daemon started, in bytes.
    pub peak_resident_bytes: u64,
    /// Memory that was available on the system at the last sample, in bytes.
    pub system_available_bytes: u64,
    /// Memory of the system, in bytes; 0 if it is unknown.
    pub system_total_bytes: u64,
    /// Bytes that are reserved in the memory budget, for example for bodies, decoders and caches.
    pub reserved_bytes: u64,
    /// These reservations, by kind of holder.
    pub reservations: Vec<ReservationInfo>,
    /// Reservations that were refused since the daemon started.
    pub refusals: u64,
    /// The names of what memory can be reclaimed from, cheapest first, such as `cache` and `heap`.
    pub reclaimers: Vec<String>,
    /// Where `limit_bytes` comes from; null from a daemon that is older than this field.
    #[serde(default)]
    pub limit: Option<MemoryLimit>,
    /// The control group that limits the daemon and is the fullest of these; null if no group limits it.
    #[serde(default)]
    pub group: Option<MemoryGroup>,
    /// What makes the level high or critical; null while it is normal.
    #[serde(default)]
    pub cause: Option<PressureCause>,
    /// Resident memory of the programs that the daemon started and of their children, in bytes. It is not a part of `resident_bytes`.
    #[serde(default)]
    pub children_bytes: u64,
    /// When the level last changed; null if it has not changed since the daemon started.
    #[serde(default)]
    pub level_since: Option<Timestamp>,
    /// The last reclaim of memory; null if there was none since the daemon started.
    #[serde(default)]
    pub last_trim: Option<LastTrim>,
}

/// The last reclaim of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastTrim {
    /// When it ended.
    pub at: Timestamp,
    /// Why memory was reclaimed.
    pub reason: TrimReason,
    /// Bytes by which the daemon's resident memory has fallen; 0 if it has not.
    pub freed_bytes: u64,
    /// What each reclaimer has freed, in the order in which they were asked.
    pub reclaimers: Vec<ReclaimerInfo>,
}

/// Why memory was reclaimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TrimReason {
    /// A client sent `memory.trim`.
    Asked,
    /// The level was high or critical.
    Pressure,
    /// A reason that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// The limit that is in force, which is the smallest one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryLimit {
    /// The limit in bytes.
    pub bytes: u64,
    /// Who set the limit.
    pub source: LimitSource,
    /// The path of the control group; null for other sources.
    pub detail: Option<String>,
}

/// Who set a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// The configuration, with `memory.limit_mb`.
    Configured,
    /// A control group, with `memory.max` or `memory.high`: the daemon's own group or one above it.
    Cgroup,
    /// The system, which has no more memory.
    System,
    /// A source that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// A control group that limits memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryGroup {
    /// The path of the control group, which begins with `/`.
    pub path: String,
    /// Most memory that all processes of the group may use together, in bytes.
    pub limit_bytes: u64,
    /// Memory that they use, in bytes, without what the system can reclaim by itself, such as cached files.
    pub used_bytes: u64,
}

/// What makes the memory level high or critical. If several causes do, the first of these is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PressureCause {
    /// The daemon's own resident memory.
    Resident,
    /// All processes of a control group together.
    Cgroup,
    /// The system has less than `memory.system_min_available_mb` available.
    System,
    /// A cause that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// The reservations of one kind of holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReservationInfo {
    /// The kind of holder, such as `cache`, `drawing`, `request`, `response`, `body` or `decode`.
    pub holder: String,
    /// Bytes that are reserved now.
    pub bytes: u64,
    /// Most bytes that were reserved at once since the daemon started.
    pub peak_bytes: u64,
}

/// The result of `memory.trim`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryTrimResult {
    /// Resident memory of the daemon before the trim, in bytes.
    pub before_bytes: u64,
    /// Resident memory of the daemon after the trim, in bytes.
    pub after_bytes: u64,
    /// `before_bytes` minus `after_bytes`; 0 if that is negative.
    pub freed_bytes: u64,
    /// The duration of the trim in milliseconds.
    pub elapsed_ms: u64,
    /// What each reclaimer has freed, in the order in which they were asked.
    pub reclaimers: Vec<ReclaimerInfo>,
}

/// What one reclaimer has freed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReclaimerInfo {
    /// The name of the reclaimer, such as `cache`.
    pub name: String,
    /// Bytes that it released. For `heap`, bytes by which the resident memory has fallen.
    pub freed_bytes: u64,
}
