//! `hello` and `daemon.*`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CacheStatsResult, MemoryLevel};
use crate::{Digest, Timestamp, WaitReason};

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloParams {
    /// The program's name, at most 256 bytes; tasks are shown and shared out fairly by it.
    pub client: String,
    /// Capabilities that the client has; none are defined yet.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// Who the daemon is, and what it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloResult {
    /// The program's name, which is always `reeld`.
    pub daemon: String,
    /// The daemon's version.
    pub version: String,
    /// The version of this specification; grows only with an incompatible change.
    pub protocol: u32,
    /// The methods it serves.
    pub capabilities: Vec<String>,
    /// Its process id.
    pub pid: u32,
    /// Differs at each start: event sequence numbers belong to one instance.
    pub instance: String,
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatusResult {
    /// Its process id.
    pub pid: u32,
    /// The daemon's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: f64,
    /// Whether a client started it, so that it ends itself after 30 idle minutes.
    pub is_auto_started: bool,
    /// Whether `queue.pause` is in force.
    pub is_paused: bool,
    /// Why no queued task starts, whatever it is; absent where they do.
    #[serde(default)]
    pub wait_reason: Option<WaitReason>,
    /// How many tasks stand in each state, finished ones as far as the history reaches.
    pub tasks: BTreeMap<String, u64>,
    /// Memory in short; `memory.status` says more.
    pub memory: MemorySummary,
    /// What the cache holds and how it did.
    pub cache: CacheStatsResult,
    /// Each provider: permits in use and in all.
    pub providers: BTreeMap<String, ProviderSummary>,
    /// Providers that are not configured any more, and how many unfinished tasks wait for each.
    #[serde(default)]
    pub missing_providers: BTreeMap<String, u64>,
    /// How many connections are open.
    pub connections: u32,
    /// The path of the daemon's socket.
    pub socket: String,
    /// The path of the daemon's home directory.
    pub home: String,
    /// Its configuration file, whether or not it exists.
    pub config: String,
    /// What of that file is in force; a daemon of before this field says nothing.
    #[serde(default)]
    pub config_in_force: Option<ConfigInForce>,
    /// What a person should know and can do something about; a daemon of before this field says nothing.
    #[serde(default)]
    pub notices: Vec<DaemonNotice>,
}

/// Something that a person should know about the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonNotice {
    /// A stable name, such as `journal_set_aside`.
    pub code: String,
    /// What is so.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The configuration in force, beside its file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConfigInForce {
    /// The digest of the file's bytes when they were read; null where there was no file. A file with another one was changed since.
    pub digest: Option<Digest>,
    /// Why a newer reading of the file was refused; null after one that holds.
    pub refused: Option<String>,
    /// Keys whose value in the file waits for a restart.
    pub needs_restart: Vec<String>,
}

/// Memory in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySummary {
    /// How tight it is.
    pub level: MemoryLevel,
    /// The daemon's resident bytes at the last sample.
    pub resident_bytes: u64,
    /// The memory budget in bytes.
    pub limit_bytes: u64,
}

/// One provider in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSummary {
    /// Attempts under way.
    pub running: u32,
    /// Most at once.
    pub max_concurrent: u32,
    /// Why no attempt may begin now; absent where one may.
    #[serde(default)]
    pub wait_reason: Option<WaitReason>,
    /// When that is over by itself.
    #[serde(default)]
    pub waits_until: Option<Timestamp>,
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShutdownParams {
    /// Seconds that running tasks may take to end; the rest is queued again at the next start.
    #[serde(default)]
    pub drain_s: Option<crate::Seconds>,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadResult {
    /// Keys whose new value is in force.
    pub changed: Vec<String>,
    /// Keys whose value in the file waits for a restart, since this reading or an earlier one.
    pub needs_restart: Vec<String>,
}

/// What to log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevelParams {
    /// Such as `info` or `reeld::tasks=debug,info`.
    pub filter: String,
}
