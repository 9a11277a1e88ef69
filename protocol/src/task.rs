//! Tasks: how they are asked for, and how they are shown.

use serde::{Deserialize, Serialize};

use crate::{BatchId, Digest, JsonText, TaskId, TaskNote, Timestamp};

/// Where a task stands. `running` means that it holds a slot and a provider permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// For other tasks to succeed.
    Waiting,
    /// For a slot, a permit, or the time of its next attempt.
    Queued,
    /// An attempt is under way.
    Running,
    /// Done; its outputs are there.
    Succeeded,
    /// Done for bad; its error says why.
    Failed,
    /// Given up by a person or a program.
    Cancelled,
    /// Stands still until a person or a policy decides; `hold_reason` says why.
    Held,
    /// A state of a newer daemon.
    #[serde(other)]
    Unknown,
}

impl TaskState {
    /// Every state that this version knows.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Held,
    ];

    /// The name on the wire.
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

    /// The state of a name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the task is over for good.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether a wait returns: the task is over, or held until somebody decides.
    pub const fn is_settled(self) -> bool {
        self.is_finished() || matches!(self, Self::Held)
    }
}

/// Why a task is `held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// A person asked for it.
    User,
    /// A paid request left and its answer was lost: releasing it may pay twice.
    OutcomeUnknown,
    /// It was running at two deaths of the daemon.
    CrashSuspect,
    /// A reason of a newer daemon.
    #[serde(other)]
    Unknown,
}

impl HoldReason {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::CrashSuspect => "crash_suspect",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a task that is `waiting` or `queued` does not run yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Tasks that it names in `after` have not succeeded yet.
    Dependencies,
    /// An equal request stands for it, and its result will be taken.
    EqualRequest,
    /// Its next attempt has its time, which is `not_before`.
    Retry,
    /// The queue is paused.
    Paused,
    /// The daemon is stopping.
    Stopping,
    /// Memory is critical: no task starts until some is free again.
    Memory,
    /// As many tasks run as `tasks.max_concurrent` allows.
    Slots,
    /// Its provider works on as many as it may.
    Provider,
    /// Its provider was asked as often as `requests_per_minute` allows.
    ProviderRate,
    /// Its provider asked to be left alone for a while.
    ProviderPause,
    /// Its provider failed too often in a row, and is left alone for a while.
    ProviderDown,
    /// Its provider could not be reached, and is tried again at `not_before`.
    ProviderUnreachable,
    /// Its provider is not in the configuration; the task goes on when it is there again.
    ProviderMissing,
    /// Others are before it, or it is about to start.
    Turn,
    /// A reason of a newer daemon.
    #[serde(other)]
    Unknown,
}

impl WaitReason {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Dependencies => "for the tasks before it",
            Self::EqualRequest => "for an equal request",
            Self::Retry => "until its next attempt",
            Self::Paused => "the queue is paused: reel resume",
            Self::Stopping => "the daemon is stopping",
            Self::Memory => "memory is critical: reel memory",
            Self::Slots => "as many run as may",
            Self::Provider => "its provider is busy",
            Self::ProviderRate => "for its provider's minute",
            Self::ProviderPause => "its provider asked for a pause",
            Self::ProviderDown => "its provider is out of order: reel providers",
            Self::ProviderUnreachable => "its provider cannot be reached: reel providers",
            Self::ProviderMissing => {
                "its provider is not configured: reel config edit, or reel cancel gives up"
            }
            Self::Turn => "for its turn",
            Self::Unknown => "unknown",
        }
    }
}

/// How a task uses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// An equal request's result is taken, and this one's is kept.
    #[default]
    Use,
    /// Asked anew; the result replaces what was kept.
    Fresh,
    /// Neither read nor kept.
    Off,
}

/// Where a task's outputs came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Its own attempt made them.
    Made,
    /// An earlier request's result was taken from the cache.
    Cache,
    /// An equal request that was under way made them for both.
    Shared,
    /// A source of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// The params of `task.submit`, and one entry of `task.submit_batch`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskSpec {
    /// `service.method`, such as `image.generate`.
    pub kind: String,
    /// The method's own params, an object; checked at once, unknown fields refused.
    #[serde(default)]
    pub params: JsonText,
    /// Unique per client name; sending the same again answers the same task. Not for the entries of a batch.
    #[serde(default)]
    pub request_id: Option<String>,
    /// A label for people.
    #[serde(default)]
    pub name: Option<String>,
    /// The provider instance to use; else the daemon selects.
    #[serde(default)]
    pub provider: Option<String>,
    /// -100 to 100, higher first.
    #[serde(default)]
    pub priority: i8,
    /// Tasks that must succeed first.
    #[serde(default)]
    pub after: Vec<TaskId>,
    /// How the cache is used.
    #[serde(default)]
    pub cache: CacheMode,
    /// Attempts before it fails, 1 to 100; the configuration's `tasks.default_attempts` if absent.
    #[serde(default)]
    pub max_attempts: Option<u32>,
    /// Seconds from now after which it fails if it is not done.
    #[serde(default)]
    pub deadline_s: Option<f64_seconds::Seconds>,
    /// An object of the caller's own, given back as it came.
    #[serde(default)]
    pub metadata: Option<JsonText>,
}

/// Seconds as a JSON number with a fraction, kept as milliseconds so that equal values compare equal.
pub mod f64_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    /// A span of time; `1.5` in JSON.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Seconds(pub Duration);

    /// A hundred years: longer spans are a mistake and would overflow clocks.
    const MAX_SECONDS: f64 = 100.0 * 365.25 * 86_400.0;

    impl Serialize for Seconds {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_f64(self.0.as_millis() as f64 / 1000.0)
        }
    }

    impl<'de> Deserialize<'de> for Seconds {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let seconds = f64::deserialize(deserializer)?;
            if !(0.0..=MAX_SECONDS).contains(&seconds) {
                return Err(de::Error::custom("seconds are a number from 0 to a hundred years"));
            }
            Ok(Self(Duration::from_millis((seconds * 1000.0).round() as u64)))
        }
    }
}

/// How far a running task is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: f64,
    /// What it does now.
    pub message: String,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// A name of [`crate::ErrorCode`], or one that the service defines.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Whether `task.retry` has a chance.
    pub retryable: bool,
    /// The provider's own status, such as an HTTP status.
    pub provider_status: Option<u16>,
}

/// One result of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// BLAKE3 of the bytes; the name for `artifact.read` and `artifact.path`.
    pub digest: Digest,
    /// Such as `image/png`.
    pub media_type: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Pixels, for pictures and clips.
    pub width: Option<u32>,
    /// Pixels, for pictures and clips.
    pub height: Option<u32>,
    /// Seconds, for voices and clips.
    pub duration_s: Option<f64>,
    /// The file in the daemon's own store: read it, never change it.
    pub path: String,
    /// The content of a text or of JSON with at most [`crate::limits::INLINE_TEXT_BYTES`].
    #[serde(default)]
    pub text: Option<String>,
}

/// What a task cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The amount in `currency`.
    pub amount: f64,
    /// The currency by its code of ISO 4217.
    pub currency: String,
    /// Whether the amount follows from a price of the configuration rather than from what the provider reports.
    pub is_estimate: bool,
}

/// A task as `task.get`, `task.list` and `task.wait` show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// The task's number.
    pub id: TaskId,
    /// Grows with each change of the task; its events carry it too.
    pub rev: u64,
    /// The service and its method, such as `image.generate`.
    pub kind: String,
    /// The caller's label.
    pub name: Option<String>,
    /// Where it stands.
    pub state: TaskState,
    /// Why, if it is held.
    pub hold_reason: Option<HoldReason>,
    /// Why, if it is waiting or queued.
    #[serde(default)]
    pub wait_reason: Option<WaitReason>,
    /// -100 to 100.
    pub priority: i8,
    /// The name of the program that asked.
    pub client: String,
    /// Its batch, if it came with one.
    pub batch: Option<BatchId>,
    /// Tasks that had to succeed first.
    pub after: Vec<TaskId>,
    /// The workflow that the task is a step of, if any.
    #[serde(default)]
    pub parent: Option<TaskId>,
    /// The name of the step in that workflow, such as `voice/a1`.
    #[serde(default)]
    pub step: Option<String>,
    /// How far it is.
    pub progress: Progress,
    /// The provider instance that made it, or that it waits for.
    pub provider: Option<String>,
    /// That provider's model.
    pub model: Option<String>,
    /// How many attempts have begun.
    pub attempts: u32,
    /// Where the outputs came from.
    pub source: Option<Source>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// When its next attempt may begin.
    pub not_before: Option<Timestamp>,
    /// Its params with defaults applied, an object.
    pub params: JsonText,
    /// What the task has made, in order.
    pub outputs: Vec<Output>,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// What it cost; absent where nobody knows. What was made before, or for an equal request, costs nothing here: the task that had it made has
    /// its cost.
    pub cost: Option<Cost>,
    /// What is to be said about its results, such as that they are fewer or smaller than was asked for.
    #[serde(default)]
    pub notes: Vec<TaskNote>,
    /// The caller's own object.
    pub metadata: Option<JsonText>,
}
