//! Why a task does not run yet, and why a provider is not asked.

use serde::{Deserialize, Serialize};

/// Why a task that is `waiting` or `queued` does not run yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Tasks that it depends on have not succeeded yet.
    Dependencies,
    /// It is behind an equal task in the queue or in flight, whose result it will share.
    EqualRequest,
    /// Its next attempt may begin at `not_before`.
    Retry,
    /// `queue.pause` is in force.
    Paused,
    /// The daemon is stopping.
    Stopping,
    /// Memory is critical. No task starts until some is free again.
    Memory,
    /// As many tasks run as `tasks.max_concurrent` allows.
    Slots,
    /// Its provider has as many attempts in flight as its `max_concurrent` allows.
    Provider,
    /// The `requests_per_minute` of its provider are used up.
    ProviderRate,
    /// Its provider answered with a rate limit, and the pause after that has not ended.
    ProviderPause,
    /// Its provider failed too often in a row, so that its circuit is open. It is asked again at `not_before`.
    ProviderDown,
    /// Its provider could not be reached. It is asked again at `not_before`.
    ProviderUnreachable,
    /// The server of its provider is being started, or loads its model. It is asked again at `not_before`.
    ProviderLoading,
    /// Its provider is not in the configuration. The task goes on when it is configured again.
    ProviderMissing,
    /// Other tasks are before it in the queue, or it is about to start.
    Turn,
    /// A reason that this version of the crate does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

impl WaitReason {
    /// Returns the reason as a text for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Dependencies => "the tasks that it comes after are not done",
            Self::EqualRequest => "an equal request is under way",
            Self::Retry => "its last attempt failed",
            Self::Paused => "the queue is paused (reel resume)",
            Self::Stopping => "the daemon is stopping",
            Self::Memory => "memory is critical (reel memory)",
            Self::Slots => "the limit of running tasks is reached (tasks.max_concurrent)",
            Self::Provider => "its provider is busy",
            Self::ProviderRate => "the requests of this minute to its provider are used up",
            Self::ProviderPause => "its provider asked for a pause",
            Self::ProviderDown => "its provider failed several times in a row (reel providers)",
            Self::ProviderUnreachable => "its provider cannot be reached (reel providers)",
            Self::ProviderLoading => "its provider starts or loads its model (reel providers)",
            Self::ProviderMissing => "its provider is not configured (reel config edit, or reel cancel)",
            Self::Turn => "other tasks are before it",
            Self::Unknown => "unknown",
        }
    }
}
