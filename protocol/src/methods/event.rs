//! The params and results of `events.*`, and the notification `event`.

use serde::{Deserialize, Serialize};

use super::MemoryLevel;
use crate::{BatchId, HoldReason, Progress, Source, TaskError, TaskId, TaskState, Timestamp, WaitReason};

/// The method of the notification that carries an [`Event`].
pub const EVENT: &str = "event";

/// The topics of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Tasks: each change, progress, partial result and removal.
    Task,
    /// Memory: each change of the level, and bytes that were reclaimed.
    Memory,
    /// The cache: evicted artifacts, and files that were found damaged or missing.
    Cache,
    /// Providers: why one takes no requests now, and that it takes them again.
    Provider,
    /// The daemon: that it stops, and that its configuration was read again.
    Daemon,
    /// A topic that this version of the crate does not know. A subscription that names one is refused with `invalid_params`.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

impl Topic {
    /// All topics but `Unknown`.
    pub const ALL: [Self; 5] = [Self::Task, Self::Memory, Self::Cache, Self::Provider, Self::Daemon];

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Memory => "memory",
            Self::Cache => "cache",
            Self::Provider => "provider",
            Self::Daemon => "daemon",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the events of the topic, each with what it tells. Any topic may have [`SUBSCRIPTION_DROPPED`] in addition.
    pub const fn events(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Task => &[
                ("accepted", "A task was accepted."),
                ("changed", "The task has another state, or another reason for it."),
                (
                    "progress",
                    "The task's attempt is further; at most ten of these a second for each task, and always the last one.",
                ),
                ("removed", "The task was removed from the history with `task.remove`."),
                (
                    "partial",
                    "The task has written a piece of its result; only for subscriptions with `partial`.",
                ),
            ],
            Self::Memory => &[
                ("pressure_changed", "The memory level is another one."),
                ("trimmed", "Memory was reclaimed."),
            ],
            Self::Cache => &[
                ("evicted", "Artifacts were evicted to make room for others."),
                ("corrupt", "A file of the store was found to be damaged or missing."),
            ],
            Self::Provider => {
                &[("changed", "Attempts may begin at the provider again, or may not any more.")]
            }
            Self::Daemon => &[
                ("reloaded", "The configuration was read again and is in force."),
                (
                    "reload_failed",
                    "The configuration was read again and refused; the former one stays in force.",
                ),
                ("stopping", "The daemon accepts no more tasks and will end."),
            ],
            Self::Unknown => &[],
        }
    }
}

/// The event that is the last one of a subscription whose reader was too slow, whatever its topic.
pub const SUBSCRIPTION_DROPPED: &str = "subscription_dropped";

/// The params of `events.subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubscribeParams {
    /// The topics, at least one; none are `invalid_params`.
    pub topics: Vec<Topic>,
    /// The tasks whose events of topic `task` are sent, at most 1,000; more are `invalid_params`. All tasks if absent; an empty list selects none.
    #[serde(default)]
    pub task_ids: Option<Vec<TaskId>>,
    /// The batch whose tasks' events of topic `task` are sent; all tasks if absent. With `task_ids` as well, a task must be in both.
    #[serde(default)]
    pub batch: Option<BatchId>,
    /// Whether events `partial` are sent as well, which have pieces of results that tasks are writing; false if absent.
    #[serde(default)]
    pub partial: bool,
    /// Whether the events of the steps of the workflows in `task_ids` are sent as well, but for their events `partial`; false if absent.
    #[serde(default)]
    pub steps: bool,
}

/// The result of `events.subscribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubscribeResult {
    /// The number of the subscription, which is unique on this connection.
    pub subscription: u64,
    /// The daemon's instance, as in the result of `hello`.
    pub instance: String,
    /// The sequence number of the last event before this subscription. What other methods answer after this is at least as new.
    pub seq: u64,
}

/// The params of `events.unsubscribe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnsubscribeParams {
    /// The number of the subscription. One that this connection does not have is answered with `subscription_not_found`.
    #[serde(deserialize_with = "crate::ids::whole_number")]
    pub subscription: u64,
}

/// The params of the notification `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// The number of the subscription that the event is sent for.
    pub subscription: u64,
    /// The sequence number of the event. It grows with every event of the instance; numbers are left out where the subscription does not select an
    /// event.
    pub seq: u64,
    /// The topic of the event.
    pub topic: Topic,
    /// The name of the event, such as `progress`. The event `subscription_dropped` is the last one of a subscription whose reader was too slow, or
    /// for whose events the memory budget had no room. It has the first topic of the subscription.
    pub event: String,
    /// The task after the change, on topic `task` but for `partial`; else null.
    #[serde(default)]
    pub task: Option<TaskEvent>,
    /// The memory after the change, on topic `memory`; else null.
    #[serde(default)]
    pub memory: Option<MemoryEvent>,
    /// The outcome of reading the configuration, with `reloaded` and `reload_failed`; else null.
    #[serde(default)]
    pub reload: Option<ReloadEvent>,
    /// The provider after the change, on topic `provider`; else null.
    #[serde(default)]
    pub provider: Option<ProviderEvent>,
    /// A piece of a result that a task is writing, with `partial`; else null.
    #[serde(default)]
    pub partial: Option<PartialEvent>,
    /// The number of events that were not looked at for the subscription, whatever their topic, with `subscription_dropped`; else null.
    #[serde(default)]
    pub missed: Option<u64>,
}

/// A task in an event. `task.get` has its outputs, notes and cost as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskEvent {
    /// The id of the task.
    pub id: TaskId,
    /// The task's revision after this change. An event `progress` repeats that of the last change.
    pub rev: u64,
    /// The service and its method, such as `image.generate`.
    pub kind: String,
    /// The label that the client gave the task; null if it gave none.
    pub name: Option<String>,
    /// The name of the client that submitted the task.
    pub client: String,
    /// The batch that the task belongs to; null if it belongs to none.
    pub batch: Option<BatchId>,
    /// The workflow that the task is a step of; null for other tasks.
    #[serde(default)]
    pub parent: Option<TaskId>,
    /// The name of the step in that workflow, such as `voice/a1`; null for other tasks.
    #[serde(default)]
    pub step: Option<String>,
    /// The state of the task after this change.
    pub state: TaskState,
    /// Why the task is held; null in any other state.
    pub hold_reason: Option<HoldReason>,
    /// The progress of the task.
    pub progress: Progress,
    /// Where the outputs came from; null unless the task has succeeded, or has failed with outputs.
    pub source: Option<Source>,
    /// Why the task failed, was cancelled or is held, or why its last attempt failed; null if there is nothing to say.
    pub error: Option<TaskError>,
}

/// A piece of a task's result, before the result is complete. Pieces are not kept and may be missing. A repeated attempt begins at offset 0 again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PartialEvent {
    /// The id of the task.
    pub id: TaskId,
    /// The batch that the task belongs to; null if it belongs to none.
    pub batch: Option<BatchId>,
    /// The index of the output that this is a piece of, from 0.
    pub index: u32,
    /// For a text, the number of its bytes in UTF-8 before this piece. For an unfinished picture, the number of the preview.
    pub offset: u64,
    /// The text of the piece; empty for a picture.
    pub text: String,
    /// The path of the file of an unfinished picture; null for a text. The file is removed when the attempt ends, and may be removed when several newer ones were shown.
    #[serde(default)]
    pub preview_path: Option<String>,
}

/// The memory in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryEvent {
    /// The memory level.
    pub level: MemoryLevel,
    /// Resident memory of the daemon at the last sample, in bytes.
    pub resident_bytes: u64,
    /// Bytes by which the resident memory has fallen, with `trimmed`; null with `pressure_changed`.
    pub freed_bytes: Option<u64>,
}

/// Whether attempts may begin at a provider, in an event. It is sent when the provider's rate limit, pause, circuit or reachability changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderEvent {
    /// The name of the provider's instance.
    pub name: String,
    /// The model of the attempt that caused the event; null if the attempt named none. A rate limit, and whether the provider can be reached, concern
    /// all models.
    pub model: Option<String>,
    /// Why no attempt may begin now; null if one may.
    pub wait_reason: Option<WaitReason>,
    /// When that ends by itself, of which no event is sent; null if an attempt may begin.
    pub waits_until: Option<Timestamp>,
}

/// The outcome of reading the configuration, in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReloadEvent {
    /// Keys whose value has changed and is in force.
    pub changed: Vec<String>,
    /// Keys whose value in the file takes effect only at a restart.
    pub needs_restart: Vec<String>,
    /// Why the file was refused, with `reload_failed`; the former configuration stays in force. Null with `reloaded`.
    pub reason: Option<String>,
}
