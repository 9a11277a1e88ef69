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
/// This reads a task, which is repeatable:
///
/// ```
/// use reel_client::{Session, protocol::{TaskId, methods::{TaskGet, TaskIdParams}}};
///
/// async fn read(session: &Session) {
///     session.call::<TaskGet>(&TaskIdParams { id: TaskId(7) }).await.ok();
/// }
/// ```
///
/// The same with a release does not compile, as the session might send it twice:
///
/// ```compile_fail,E0277
/// use reel_client::{Session, protocol::{TaskId, methods::{TaskRelease, TaskIdParams}}};
///
/// async fn release(session: &Session) {
///     session.call::<TaskRelease>(&TaskIdParams { id: TaskId(7) }).await.ok();
/// }
/// ```
///
/// On the connection itself it is sent once:
///
/// ```
/// use reel_client::{Session, protocol::{TaskId, methods::{TaskRelease, TaskIdParams}}};
///
/// async fn release(session: &Session) {
///     session.client().call::<TaskRelease>(&TaskIdParams { id: TaskId(7) }).await.ok();
/// }
/// ```
///
/// Nor does a submit that may have no `request_id`, or a mark for a method of somebody else:
///
/// ```compile_fail,E0277
/// use reel_client::{Session, protocol::{TaskSpec, methods::TaskSubmit}};
///
/// async fn submit(session: &Session) {
///     session.call::<TaskSubmit>(&TaskSpec::default()).await.ok();
/// }
/// ```
///
/// ```compile_fail,E0117
/// impl reel_client::Repeatable for reel_client::protocol::methods::TaskRetry {}
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
