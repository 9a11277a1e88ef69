//! The requests that may be sent again after their response was lost.

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

/// A request that a [`crate::Session`] may send again: it reads or waits, or has the same effect when it is carried out twice.
///
/// The compiler rejects other requests in [`crate::Session::call`]. A second `task.release` or `task.retry` may pay twice, and a second `task.cancel`
/// or `task.remove` fails because of the first. Send those once with [`crate::Client::call`]. Submits are repeatable with a `request_id`, which
/// [`crate::Session::submit`] sets.
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

/// Returns a new, unique `request_id`.
pub fn new_request_id() -> String {
    // The standard library seeds each state with randomness of the system.
    let random = RandomState::new().build_hasher().finish();
    format!("reel-{:x}-{:x}-{random:016x}", Timestamp::now().unix_ms(), process::id())
}
