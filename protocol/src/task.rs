//! Tasks: how they are submitted, and how they are shown.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{BatchId, Cost, Digest, JsonText, Seconds, TaskId, TaskNote, Timestamp, WaitReason};

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// The task waits for other tasks to succeed: those of `after`, and those whose outputs its params refer to.
    Waiting,
    /// The task waits for a slot, a permit, the time of its next attempt, or an equal request.
    Queued,
    /// An attempt is in flight. It holds a permit of its provider, if it needs one, and one of the `tasks.max_concurrent` slots. A workflow, and an
    /// attempt that only polls a service or fetches its results, hold no slot.
    Running,
    /// The task has ended, and its outputs are there.
    Succeeded,
    /// The task has ended with an error. It may have outputs all the same, such as an answer that does not fit its schema.
    Failed,
    /// A person or a program cancelled the task.
    Cancelled,
    /// The task does nothing until a person or a program decides. `hold_reason` says why.
    Held,
    /// A state that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

impl TaskState {
    /// All states but `Unknown`.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Held,
    ];

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Held => "held",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the state with this name on the wire; None if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the task has ended: it succeeded, failed or was cancelled.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether a wait for the task returns: it has ended, or it is held until somebody decides.
    pub const fn is_settled(self) -> bool {
        self.is_finished() || matches!(self, Self::Held)
    }
}

/// Why a task is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// A client held it with `task.hold`.
    User,
    /// A paid request was sent, and its response or its results were lost. Releasing the task may pay a second time.
    OutcomeUnknown,
    /// The daemon died twice while the task was running, so the task may be the cause.
    CrashSuspect,
    /// A reason that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

impl HoldReason {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::CrashSuspect => "crash_suspect",
            Self::Unknown => "unknown",
        }
    }
}

/// How a task uses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// The cached result of an equal request is used, or that of one in flight is shared. Else the task's own result is cached.
    #[default]
    Use,
    /// A provider is asked although the cache has a result. The new result replaces the cached one.
    Fresh,
    /// The cache is neither read nor written.
    Off,
}

/// Where a task's outputs came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The task's own attempt made them.
    Made,
    /// The cache had them from an earlier request.
    Cache,
    /// An equal task in flight made them for both.
    Shared,
    /// A source that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// The params of `task.submit`, and an entry of `task.submit_batch`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskSpec {
    /// The service and its method, such as `image.generate`. If there is no such method, the answer is `unknown_kind`.
    pub kind: String,
    /// The params of the method, an object; `{}` if absent. Params that do not fit, and unknown fields, are `invalid_params`. In place of an
    /// artifact's digest they may hold `{"$output": id, "index": n}`, at most 64 times: the digest of output `n` (0 if absent) of that task, on which
    /// this one then depends as if `after` named it.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    #[serde(default)]
    pub params: JsonText,
    /// A name for this request, at most 256 bytes and unique per client name. Sending the same task with it again answers the id of before; another
    /// task is `request_id_conflict`. It is remembered for as long as the task is in the history. None if absent. In an entry of a batch it is
    /// `invalid_params`.
    #[serde(default)]
    pub request_id: Option<String>,
    /// A label for people, at most 256 bytes; none if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The name of the provider's instance to use; if absent, the daemon chooses, and may go to the next provider if the first one fails for a reason
    /// of its own. An unknown name is `unknown_provider`, and a provider of other services is `invalid_params`.
    #[serde(default)]
    pub provider: Option<String>,
    /// The priority, -100 to 100, else `invalid_params`; 0 if absent. Tasks with a higher one start first.
    #[serde(default, deserialize_with = "priority")]
    pub priority: i8,
    /// Tasks that must succeed before this one starts, at most 1,000; none if absent. One that does not exist is `dependency_not_found`. If one fails
    /// or is cancelled, this task fails with `dependency_failed`.
    #[serde(default)]
    pub after: Vec<TaskId>,
    /// How the task uses the cache; `use` if absent.
    #[serde(default)]
    pub cache: CacheMode,
    /// Most attempts, 1 to 100, else `invalid_params`; the configured `tasks.default_attempts` if absent. Attempts that a rate limit refused or that
    /// did not reach the provider do not count.
    #[serde(default)]
    pub max_attempts: Option<u32>,
    /// Seconds from the acceptance of the task after which it fails with `deadline_exceeded` if it has not ended; no deadline if absent. A task that
    /// is held as `outcome_unknown` does not fail by it, and `task.retry` removes it.
    #[serde(default)]
    pub deadline_s: Option<Seconds>,
    /// An object of the client's own, which is returned unchanged; none if absent.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Object>"))]
    #[serde(default)]
    pub metadata: Option<JsonText>,
}

/// Reads a priority. The error for a number that no `i8` holds names the range that is allowed.
pub(crate) fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i8, D::Error> {
    struct Priority;

    impl de::Visitor<'_> for Priority {
        type Value = i8;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number from -100 to 100")
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<i8, E> {
            i8::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<i8, E> {
            i8::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
        }
    }

    deserializer.deserialize_i8(Priority)
}

/// How far the attempt of a task is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Progress {
    /// The part that is done, from 0 to 1. It is 1 for a task that succeeded.
    pub fraction: f64,
    /// What the attempt does now, for a person; at most 200 bytes, and often empty.
    pub message: String,
}

/// Why a task failed, was cancelled or is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskError {
    /// The stable name: that of an error in the table of the specification, or one that the service defines.
    pub code: String,
    /// What went wrong, for a person.
    pub message: String,
    /// What to do next, for a person; null if there is nothing to say.
    pub hint: Option<String>,
    /// Whether `task.retry` may succeed without any other change. It is false for `dependency_failed`: first retry the tasks that this one depends on, or
    /// `task.retry` answers `illegal_state`. A task that is held needs `task.release` instead, whatever this says.
    pub retryable: bool,
    /// The HTTP status of the provider's response; null if there was none.
    pub provider_status: Option<u16>,
}

/// An output of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Output {
    /// BLAKE3 of the bytes, by which `artifact.read`, `artifact.path` and the params of other tasks name the artifact.
    pub digest: Digest,
    /// The media type, such as `image/png`.
    pub media_type: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// The width of a picture or a video in pixels; null for other media, and if it is unknown.
    pub width: Option<u32>,
    /// The height of a picture or a video in pixels; null for other media, and if it is unknown.
    pub height: Option<u32>,
    /// The duration of sound or a video in seconds; null for other media, and if it is unknown.
    pub duration_s: Option<f64>,
    /// The absolute path of the file in the daemon's own store. Read it, never change it.
    pub path: String,
    /// The content of an output of the type `text/*` or `application/json` with at most 64 KiB; null for other outputs,
    /// and if the file cannot be read.
    #[serde(default)]
    pub text: Option<String>,
}

/// A task as `task.get`, `task.list` and `task.wait` show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskView {
    /// The id of the task.
    pub id: TaskId,
    /// A number that grows with each change of the task. The task's events have it as well.
    pub rev: u64,
    /// The service and its method, such as `image.generate`.
    pub kind: String,
    /// The label that the client gave the task; null if it gave none.
    pub name: Option<String>,
    /// The state of the task.
    pub state: TaskState,
    /// Why the task is held; null in any other state.
    pub hold_reason: Option<HoldReason>,
    /// Why the task does not run yet; null unless it is waiting or queued.
    #[serde(default)]
    pub wait_reason: Option<WaitReason>,
    /// The priority, -100 to 100. Tasks with a higher one start first.
    pub priority: i8,
    /// The name of the client that submitted the task.
    pub client: String,
    /// The batch that the task belongs to; null if it belongs to none.
    pub batch: Option<BatchId>,
    /// The tasks that must succeed before this one starts.
    pub after: Vec<TaskId>,
    /// The workflow that the task is a step of; null for other tasks.
    #[serde(default)]
    pub parent: Option<TaskId>,
    /// The name of the step in that workflow, such as `voice/a1`; null for other tasks.
    #[serde(default)]
    pub step: Option<String>,
    /// The `request_id` of the request that submitted the task, for a task of a batch that of the whole batch; null if it had none.
    #[serde(default)]
    pub request_id: Option<String>,
    /// How far the attempt is.
    pub progress: Progress,
    /// The provider that made the results, or that is planned to; null if the task needs none.
    pub provider: Option<String>,
    /// The model of that provider; null if none is named.
    pub model: Option<String>,
    /// The number of attempts that have begun.
    pub attempts: u32,
    /// Where the outputs came from; null unless the task has succeeded, or has failed with outputs.
    pub source: Option<Source>,
    /// When the task was accepted.
    pub created_at: Timestamp,
    /// When the last attempt began; null if none has.
    pub started_at: Option<Timestamp>,
    /// When the task ended; null until then.
    pub finished_at: Option<Timestamp>,
    /// When the next attempt may begin; null if the task does not wait for a time.
    pub not_before: Option<Timestamp>,
    /// The params with their defaults applied, an object.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Object"))]
    pub params: JsonText,
    /// What the task has made, in order; empty until the task has ended.
    pub outputs: Vec<Output>,
    /// Why the task failed, was cancelled or is held, or why its last attempt failed; null if there is nothing to say.
    pub error: Option<TaskError>,
    /// The cost, that of failed attempts included; null if it is unknown. It is 0 for results that were cached or shared: the task that had them made
    /// has their cost.
    pub cost: Option<Cost>,
    /// Notes about the results, such as that there are fewer than were requested; empty if there is nothing to say.
    #[serde(default)]
    pub notes: Vec<TaskNote>,
    /// The client's own object, unchanged; null if it gave none.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Object>"))]
    pub metadata: Option<JsonText>,
}
