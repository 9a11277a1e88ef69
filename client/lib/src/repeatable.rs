//! Which requests may be sent again when their answer was lost.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    process,
};

use reel_protocol::{
    Timestamp,
    methods::{
        ArtifactPath, ArtifactPut, ArtifactRead, ArtifactRemove, ArtifactThumbnail, CacheClear, CacheStats,
        CacheVerify, DaemonLogLevel, DaemonReload, DaemonStatus, MemoryStatus, MemoryTrim, Method,
        ProviderCheck, ProviderDryRun, ProviderList, ProviderModels, ProviderVoices, QueuePause, QueueResume,
        ServiceStatus, TaskGet, TaskList, TaskSetPriority, TaskWait,
    },
};

/// A request that a [`crate::Session`] may send again: it reads, waits, or leaves the same behind when it is carried out twice.
///
/// The others are refused by the compiler. A second `task.release` or `task.retry` may pay twice, and a second `task.cancel` or
/// `task.remove` is refused because of the first; [`crate::Client::call`] sends them once. Submits are repeatable with a
/// `request_id`, which [`crate::Session::submit`] sees to.
///
/// ```compile_fail
/// use reel_client::{Session, protocol::{TaskId, methods::{TaskIdParams, TaskRelease}}};
///
/// async fn release(session: &Session) {
///     session.call::<TaskRelease>(&TaskIdParams { id: TaskId(7) }).await.ok();
/// }
/// ```
pub trait Repeatable: Method {}

macro_rules! repeatable {
    ($($method:ident),+ $(,)?) => { $(impl Repeatable for $method {})+ };
}

repeatable!(
    ArtifactPath,
    ArtifactPut,
    ArtifactRead,
    ArtifactRemove,
    ArtifactThumbnail,
    CacheClear,
    CacheStats,
    CacheVerify,
    DaemonLogLevel,
    DaemonReload,
    DaemonStatus,
    MemoryStatus,
    MemoryTrim,
    ProviderCheck,
    ProviderDryRun,
    ProviderList,
    ProviderModels,
    ProviderVoices,
    QueuePause,
    QueueResume,
    ServiceStatus,
    TaskGet,
    TaskList,
    TaskSetPriority,
    TaskWait,
);

/// Text that no other request has as its `request_id`.
pub fn new_request_id() -> String {
    // The standard library seeds each state from the system's randomness.
    let random = RandomState::new().build_hasher().finish();
    format!("reel-{:x}-{:x}-{random:016x}", Timestamp::now().unix_ms(), process::id())
}
