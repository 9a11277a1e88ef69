//! `events.*` and the notification `event`.

use serde::{Deserialize, Serialize};

use super::MemoryLevel;
use crate::{BatchId, HoldReason, Progress, Source, TaskError, TaskId, TaskState, Timestamp, WaitReason};

/// The method of the notification that carries an [`Event`].
pub const EVENT: &str = "event";

/// What events are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Tasks: `accepted`, `changed`, `progress`, `removed`, and `partial` where that is asked for.
    Task,
    /// Memory: `pressure_changed`, `trimmed`.
    Memory,
    /// The cache: `evicted`, `corrupt`.
    Cache,
    /// Providers: `changed`.
    Provider,
    /// The daemon: `reloaded`, `reload_failed`, `stopping`.
    Daemon,
    /// A topic of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// Which events to send.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubscribeParams {
    /// At least one.
    pub topics: Vec<Topic>,
    /// Only events of these tasks; all if absent.
    #[serde(default)]
    pub task_ids: Option<Vec<TaskId>>,
    /// Only events of this batch's tasks; all if absent.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// Whether to send the events `partial` of topic `task` as well, with what tasks have written so far.
    #[serde(default)]
    pub partial: bool,
    /// Whether to send the events of the steps of the tasks in `task_ids` as well.
    #[serde(default)]
    pub steps: bool,
}

/// A running subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribeResult {
    /// Its number on this connection.
    pub subscription: u64,
    /// The daemon's instance, as in `hello`.
    pub instance: String,
    /// The last event before this subscription: what is read by other methods after this answer is at least as new.
    pub seq: u64,
}

/// Which subscription to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsubscribeParams {
    /// Its number.
    #[serde(deserialize_with = "crate::ids::whole_number")]
    pub subscription: u64,
}

/// The params of the notification `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The subscription it belongs to.
    pub subscription: u64,
    /// Grows with every event of the instance.
    pub seq: u64,
    /// What it is about.
    pub topic: Topic,
    /// What happened, such as `progress`; `subscription_dropped` is the last one of a reader that was too slow.
    pub event: String,
    /// The task as it now is, on topic `task`.
    #[serde(default)]
    pub task: Option<TaskEvent>,
    /// Memory as it now is, on topic `memory`.
    #[serde(default)]
    pub memory: Option<MemoryEvent>,
    /// What a reading of the configuration came to, with `reloaded` and `reload_failed`.
    #[serde(default)]
    pub reload: Option<ReloadEvent>,
    /// The provider as it now is, on topic `provider`.
    #[serde(default)]
    pub provider: Option<ProviderEvent>,
    /// A piece of a result that is being written, with `partial`.
    #[serde(default)]
    pub partial: Option<PartialEvent>,
    /// How many events a dropped subscription did not get.
    #[serde(default)]
    pub missed: Option<u64>,
}

/// A task in an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// The task's number.
    pub id: TaskId,
    /// Its revision after this change.
    pub rev: u64,
    /// The service and its method, such as `image.generate`.
    pub kind: String,
    /// The caller's label.
    pub name: Option<String>,
    /// The program that asked.
    pub client: String,
    /// The batch that the task belongs to, if any.
    pub batch: Option<BatchId>,
    /// The workflow that the task is a step of, if any.
    #[serde(default)]
    pub parent: Option<TaskId>,
    /// The name of the step in that workflow, such as `voice/a1`.
    #[serde(default)]
    pub step: Option<String>,
    /// Where it stands.
    pub state: TaskState,
    /// Why, if held.
    pub hold_reason: Option<HoldReason>,
    /// How far it is.
    pub progress: Progress,
    /// Where the outputs came from, once it succeeded.
    pub source: Option<Source>,
    /// Why it failed.
    pub error: Option<TaskError>,
}

/// A piece of a task's result, before the result is there. An attempt that is repeated begins at offset 0 again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialEvent {
    /// The task's number.
    pub id: TaskId,
    /// The batch that the task belongs to, if any.
    pub batch: Option<BatchId>,
    /// Which of the task's outputs this is a piece of.
    pub index: u32,
    /// Bytes of the text, in UTF-8, before this piece; of a picture, the number of this preview. A piece may be missing: then the finished
    /// output has it.
    pub offset: u64,
    /// The text of the piece; empty for a picture.
    pub text: String,
    /// The file of a picture that is not finished. It is removed when the attempt ends.
    #[serde(default)]
    pub preview_path: Option<String>,
}

/// Memory in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEvent {
    /// How tight it is.
    pub level: MemoryLevel,
    /// Resident bytes of the daemon.
    pub resident_bytes: u64,
    /// What was given back, after a trim.
    pub freed_bytes: Option<u64>,
}

/// Whether a provider may be asked, in an event: its rate, its pause, its circuit, or whether it can be reached has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderEvent {
    /// The instance's name.
    pub name: String,
    /// The model that this is about, where a request named one. A rate, and whether the provider can be reached, are the same for all models.
    pub model: Option<String>,
    /// Why no attempt may begin now; absent where one may.
    pub wait_reason: Option<WaitReason>,
    /// When that is over by itself, which no other event tells.
    pub waits_until: Option<Timestamp>,
}

/// A reading of the configuration in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadEvent {
    /// Keys whose new value is in force.
    pub changed: Vec<String>,
    /// Keys whose new value waits for a restart.
    pub needs_restart: Vec<String>,
    /// Why the file does not hold, after `reload_failed`: what was in force stays.
    pub reason: Option<String>,
}
