//! The params and results of `hello` and `daemon.*`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CacheStatsResult, MemoryLevel};
use crate::{Digest, Timestamp, WaitReason};

/// The params of `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HelloParams {
    /// The program's name, 1 to 256 bytes without control or invisible characters; else `invalid_params`. Tasks carry it and are scheduled fairly
    /// between names, and a `request_id` is unique per name. Without `hello` the daemon uses the name of the process, which is `python3` for every
    /// Python program.
    pub client: String,
    /// Capabilities of the client; none if absent. None are defined, so the daemon ignores them.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// The result of `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HelloResult {
    /// The program's name, which is always `reeld`.
    pub daemon: String,
    /// The daemon's version.
    pub version: String,
    /// The version of this specification, which is 1. It grows only with an incompatible change.
    pub protocol: u32,
    /// The names of the methods that the daemon serves.
    pub capabilities: Vec<String>,
    /// The daemon's process id.
    pub pid: u32,
    /// A text that differs at each start of the daemon. Sequence numbers of events are comparable only within one instance.
    pub instance: String,
}

/// The result of `daemon.status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DaemonStatusResult {
    /// The daemon's process id.
    pub pid: u32,
    /// The daemon's version.
    pub version: String,
    /// Seconds since the daemon started, with a fraction.
    pub uptime_s: f64,
    /// Whether a client started the daemon. It then ends by itself after 30 minutes without work and without connections.
    pub is_auto_started: bool,
    /// Whether `queue.pause` is in force.
    pub is_paused: bool,
    /// Why no queued task starts: `paused`, `stopping` or `memory`. Null while tasks start.
    #[serde(default)]
    pub wait_reason: Option<WaitReason>,
    /// The number of tasks in each state, by the state's name. Finished tasks count for as long as they are in the history.
    pub tasks: BTreeMap<String, u64>,
    /// The number of those that are steps of workflows, by the state's name.
    #[serde(default)]
    pub steps: BTreeMap<String, u64>,
    /// The most important numbers of `memory.status`.
    pub memory: MemorySummary,
    /// The same as the result of `cache.stats`.
    pub cache: CacheStatsResult,
    /// The permits of each provider, by its name.
    pub providers: BTreeMap<String, ProviderSummary>,
    /// Providers that are not configured although waiting or queued tasks need them, each with the number of these tasks. The tasks go on when the
    /// provider is configured again.
    #[serde(default)]
    pub missing_providers: BTreeMap<String, u64>,
    /// Open connections, this one included.
    pub connections: u32,
    /// The path of the daemon's socket.
    pub socket: String,
    /// The path of the daemon's home directory.
    pub home: String,
    /// The path of the configuration file, whether or not it exists.
    pub config: String,
    /// Which content of the configuration file is in force; null from a daemon that is older than this field.
    #[serde(default)]
    pub config_in_force: Option<ConfigInForce>,
    /// Problems that a person should know and can do something about, oldest first. Empty from a daemon that is older than this field.
    #[serde(default)]
    pub notices: Vec<DaemonNotice>,
}

/// A problem that a person should know about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DaemonNotice {
    /// The stable name of the problem, such as `journal_set_aside`. The specification lists them, and later versions may have more.
    pub code: String,
    /// What the problem is, for a person.
    pub message: String,
    /// What to do about it, for a person.
    pub hint: Option<String>,
}

/// Which content of the configuration file is in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigInForce {
    /// BLAKE3 of the file's bytes when they were read; null if there was no file. A file with another digest was changed since.
    pub digest: Option<Digest>,
    /// Why the newest reading of the file was refused; null if it was accepted.
    pub refused: Option<String>,
    /// Keys whose value in the file takes effect only at a restart.
    pub needs_restart: Vec<String>,
}

/// The most important numbers of `memory.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemorySummary {
    /// The memory level.
    pub level: MemoryLevel,
    /// Resident memory of the daemon at the last sample, in bytes.
    pub resident_bytes: u64,
    /// Most memory that the daemon may use, in bytes.
    pub limit_bytes: u64,
}

/// The permits of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderSummary {
    /// Attempts in flight, each of which holds a permit.
    pub running: u32,
    /// Most attempts in flight at once.
    pub max_concurrent: u32,
    /// Why no attempt may begin now, with the model that is configured for all services; null if one may.
    #[serde(default)]
    pub wait_reason: Option<WaitReason>,
    /// When that ends by itself; null if an attempt may begin, or if something else ends it, such as a permit that is given back.
    #[serde(default)]
    pub waits_until: Option<Timestamp>,
}

/// The params of `daemon.shutdown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShutdownParams {
    /// Seconds that running tasks may take to end, at most 86,400; more are `invalid_params`. The rest is queued again for the next start. If absent,
    /// tasks have 30 seconds, and calls that may have been paid have `http.total_s` if that is longer.
    #[serde(default)]
    pub drain_s: Option<crate::Seconds>,
}

/// The result of `daemon.reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReloadResult {
    /// Keys whose value has changed and is in force.
    pub changed: Vec<String>,
    /// Keys whose value in the file takes effect only at a restart. They were changed by this reading or by an earlier one.
    pub needs_restart: Vec<String>,
}

/// The params of `daemon.log_level`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogLevelParams {
    /// A level, or `target=level` parts with commas between, such as `info` or `reeld::tasks=debug,info`; at most 1,024 bytes. Anything else is
    /// `invalid_params`.
    pub filter: String,
}
