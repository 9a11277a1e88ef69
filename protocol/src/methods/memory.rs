//! `memory.*`.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How tight memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryLevel {
    /// Below the watermarks.
    #[default]
    Normal,
    /// Above the high watermark, and not yet below the low one: caches are asked to shrink.
    High,
    /// Above the critical watermark, or the system is short: no new task starts.
    Critical,
    /// A level of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// Who holds how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatusResult {
    /// How tight it is.
    pub level: MemoryLevel,
    /// What the daemon may use: the smallest of `memory.limit_mb`, the control groups' bounds and the system's memory.
    pub limit_bytes: u64,
    /// Where the level becomes high.
    pub high_bytes: u64,
    /// Where it becomes normal again.
    pub low_bytes: u64,
    /// Where it becomes critical.
    pub critical_bytes: u64,
    /// Resident bytes of the daemon at the last sample.
    pub resident_bytes: u64,
    /// The most that was ever seen.
    pub peak_resident_bytes: u64,
    /// What the system could still give at the last sample.
    pub system_available_bytes: u64,
    /// What the system has.
    pub system_total_bytes: u64,
    /// Bytes promised to bodies, decoders and caches.
    pub reserved_bytes: u64,
    /// Those by holder.
    pub reservations: Vec<ReservationInfo>,
    /// Reservations that were refused since the start.
    pub refusals: u64,
    /// What memory can be asked back from, cheapest first.
    pub reclaimers: Vec<String>,
    /// Whose limit `limit_bytes` is; null from a daemon that does not tell.
    #[serde(default)]
    pub limit: Option<MemoryLimit>,
    /// The fullest of the control groups that bound the daemon.
    #[serde(default)]
    pub group: Option<MemoryGroup>,
    /// What makes the level what it is; null while it is normal.
    #[serde(default)]
    pub cause: Option<PressureCause>,
    /// Resident bytes of the programs that the daemon started, with all that those started.
    #[serde(default)]
    pub children_bytes: u64,
    /// When the level last changed, since the start.
    #[serde(default)]
    pub level_since: Option<Timestamp>,
    /// What was last given back, since the start.
    #[serde(default)]
    pub last_trim: Option<LastTrim>,
}

/// What was last given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTrim {
    /// When it was done.
    pub at: Timestamp,
    /// What it was done for.
    pub reason: TrimReason,
    /// Really given back to the system.
    pub freed_bytes: u64,
    /// What each reclaimer let go of.
    pub reclaimers: Vec<ReclaimerInfo>,
}

/// Why something was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrimReason {
    /// By `memory.trim`.
    Asked,
    /// The level was high or critical.
    Pressure,
    /// A flood was over, and the heap had kept its pages.
    Quiet,
    /// A reason of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// The smallest of the limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLimit {
    /// What may be used.
    pub bytes: u64,
    /// Who set it.
    pub source: LimitSource,
    /// The control group's path.
    pub detail: Option<String>,
}

/// Who set a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// `memory.limit_mb`.
    Configured,
    /// A control group: `memory.max` or `memory.high`, of the daemon's own one or of one above it.
    Cgroup,
    /// The system has no more.
    System,
    /// A source of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// A control group with a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryGroup {
    /// The path of the control group.
    pub path: String,
    /// What all processes in it may use together.
    pub limit_bytes: u64,
    /// What they use, without what the system takes back by itself, such as cached files.
    pub used_bytes: u64,
}

/// What presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PressureCause {
    /// The daemon's own resident memory.
    Resident,
    /// All processes of a control group together, though the daemon alone does not.
    Cgroup,
    /// The system has less than `memory.system_min_available_mb` left.
    System,
    /// A cause of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// One kind of holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationInfo {
    /// Such as `cache` or `drawing`.
    pub holder: String,
    /// How many bytes are held now.
    pub bytes: u64,
    /// The most at once since the start.
    pub peak_bytes: u64,
}

/// What a trim did. Resident bytes of the whole process; `freed_bytes` is their difference, never below zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryTrimResult {
    /// Resident bytes before the trim.
    pub before_bytes: u64,
    /// Resident bytes after the trim.
    pub after_bytes: u64,
    /// Really given back to the system.
    pub freed_bytes: u64,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What each reclaimer let go of.
    pub reclaimers: Vec<ReclaimerInfo>,
}

/// What one reclaimer did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReclaimerInfo {
    /// Its name.
    pub name: String,
    /// Bytes that it let go of.
    pub freed_bytes: u64,
}
