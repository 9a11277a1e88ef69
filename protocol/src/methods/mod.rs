//! The methods that are served, each with the type of its params and of its result.

mod artifact;
mod cache;
mod daemon;
mod event;
mod memory;
mod service;
mod tasks;

use serde::{Serialize, de::DeserializeOwned};

pub use self::{artifact::*, cache::*, daemon::*, event::*, memory::*, service::*, tasks::*};
use crate::{
    Bytes, TaskView,
    binary::{self, BinaryError},
};

/// Ties a method's name to its types, so that both sides are checked by the compiler.
pub trait Method {
    /// The name on the wire.
    const NAME: &'static str;
    /// What is sent.
    type Params: Serialize + DeserializeOwned;
    /// What is answered.
    type Result: Serialize + DeserializeOwned;

    /// The large block in a result that a frame carries without a copy of it.
    fn block(_: &Self::Result) -> Option<&Bytes> {
        None
    }

    /// Reads a result in bincode; it may keep a part of `bytes` rather than copy it.
    fn read(bytes: &bytes::Bytes) -> Result<Self::Result, BinaryError> {
        binary::decode(bytes)
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident = $name:literal: $params:ty => $result:ty $({ $($own:item)+ })?;)+) => {
        $($(#[$doc])* #[derive(Debug)] pub enum $method {}
        impl Method for $method {
            const NAME: &'static str = $name;
            type Params = $params;
            type Result = $result;
            $($($own)+)?
        })+

        /// The names of all methods that this version serves: the capabilities of `hello`.
        pub const METHODS: &[&str] = &[$($name,)+];

        /// Reads an example's params and result as the method's types and writes them again.
        #[cfg(test)]
        pub(crate) fn rewrite(method: &str, params: &str, result: &str) -> (String, String) {
            match method {
                $($name => (
                    serde_json::to_string(&serde_json::from_str::<$params>(params).unwrap()).unwrap(),
                    serde_json::to_string(&serde_json::from_str::<$result>(result).unwrap()).unwrap(),
                ),)+
                _ => panic!("no method {method}"),
            }
        }

        /// The frames of an example's params and result, both read back.
        #[cfg(test)]
        pub(crate) fn frames(method: &str, id: u64, params: &str, result: &str) -> (Vec<u8>, Vec<u8>) {
            match method {
                $($name => frames_of::<$method>(id, params, result),)+
                _ => panic!("no method {method}"),
            }
        }
    };
}

methods! {
    /// Says who is there; optional, and best sent first: the client's name is what fairness counts by.
    Hello = "hello": HelloParams => HelloResult;
    /// How the daemon is, in well under a millisecond.
    DaemonStatus = "daemon.status": Empty => DaemonStatusResult;
    /// Stops accepting, lets running tasks end within the drain time, journals, exits.
    DaemonShutdown = "daemon.shutdown": ShutdownParams => Empty;
    /// Reads the configuration file again; a bad one leaves the old in force.
    DaemonReload = "daemon.reload": Empty => ReloadResult;
    /// Changes what is logged until the next start.
    DaemonLogLevel = "daemon.log_level": LogLevelParams => Empty;
    /// Accepts one task; answered once it is on disk.
    TaskSubmit = "task.submit": crate::TaskSpec => SubmitResult;
    /// Accepts many, all or none; answered once they are on disk.
    TaskSubmitBatch = "task.submit_batch": SubmitBatchParams => SubmitBatchResult;
    /// One task.
    TaskGet = "task.get": TaskIdParams => TaskView;
    /// Many, newest first.
    TaskList = "task.list": TaskListParams => TaskListResult;
    /// Answers when the tasks are settled (over, or held), or at the timeout; never ends the work.
    TaskWait = "task.wait": TaskWaitParams => TaskWaitResult;
    /// Gives it up; a running one stops at its next step.
    TaskCancel = "task.cancel": TaskIdParams => TaskView;
    /// Queues a failed or cancelled one again, with all its attempts.
    TaskRetry = "task.retry": TaskIdParams => TaskView;
    /// Makes one that has not begun stand still.
    TaskHold = "task.hold": TaskIdParams => TaskView;
    /// Lets a held one go on; after `outcome_unknown` that may pay again, unless its results are known and can be fetched.
    TaskRelease = "task.release": TaskIdParams => TaskView;
    /// Moves it forward or back in the queue.
    TaskSetPriority = "task.set_priority": SetPriorityParams => TaskView;
    /// Drops a finished one from the history; its pictures stay cached until they are evicted.
    TaskRemove = "task.remove": TaskIdParams => Empty;
    /// Starts no new task until `queue.resume`.
    QueuePause = "queue.pause": Empty => Empty;
    /// Ends `queue.pause`.
    QueueResume = "queue.resume": Empty => Empty;
    /// A part of an artifact's bytes.
    ArtifactRead = "artifact.read": ArtifactReadParams => ArtifactReadResult {
        fn block(result: &ArtifactReadResult) -> Option<&Bytes> {
            Some(&result.data)
        }

        fn read(bytes: &bytes::Bytes) -> Result<ArtifactReadResult, BinaryError> {
            ArtifactReadResult::within(bytes)
        }
    };
    /// Takes a file of this machine into the store, for tasks to start from; it stays for a day at least.
    ArtifactPut = "artifact.put": ArtifactPutParams => ArtifactPutResult;
    /// Removes artifacts that neither a task nor a pin names.
    ArtifactRemove = "artifact.remove": ArtifactRemoveParams => ArtifactRemoveResult;
    /// The file that holds an artifact.
    ArtifactPath = "artifact.path": ArtifactPathParams => ArtifactPathResult;
    /// A small PNG of a picture, which the cache keeps.
    ArtifactThumbnail = "artifact.thumbnail": ArtifactThumbnailParams => ArtifactPathResult;
    /// Submits one task and waits for it; at the timeout it answers the task as it then is, and the work goes on.
    ServiceCall = "service.call": ServiceCallParams => TaskView;
    /// Each service with its methods, styles and counts.
    ServiceStatus = "service.status": Empty => ServiceStatusResult;
    /// Each provider that tasks may use.
    ProviderList = "provider.list": Empty => ProviderListResult;
    /// Whether a provider is usable; never costs anything.
    ProviderCheck = "provider.check": ProviderCheckParams => ProviderCheckResult;
    /// The models that requests to a provider may name; never costs anything.
    ProviderModels = "provider.models": ProviderModelsParams => ProviderModelsResult;
    /// The voices that requests to a provider may name; never costs anything.
    ProviderVoices = "provider.voices": ProviderVoicesParams => ProviderVoicesResult;
    /// What a request would do and cost, without asking anybody.
    ProviderDryRun = "provider.dry_run": DryRunParams => DryRunResult;
    /// What the cache holds and how it did.
    CacheStats = "cache.stats": Empty => CacheStatsResult;
    /// Drops entries; what a task in the history names stays.
    CacheClear = "cache.clear": CacheClearParams => CacheClearResult;
    /// Reads every artifact back and drops what is damaged or missing.
    CacheVerify = "cache.verify": Empty => CacheVerifyResult;
    /// Who holds how much.
    MemoryStatus = "memory.status": Empty => MemoryStatusResult;
    /// Frees what can be freed without touching a task.
    MemoryTrim = "memory.trim": Empty => MemoryTrimResult;
    /// Starts events on this connection.
    EventsSubscribe = "events.subscribe": SubscribeParams => SubscribeResult;
    /// Ends them.
    EventsUnsubscribe = "events.unsubscribe": UnsubscribeParams => Empty;
}

/// No params, or no result: `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct Empty {}

#[cfg(test)]
fn frames_of<M: Method>(id: u64, params: &str, result: &str) -> (Vec<u8>, Vec<u8>) {
    let typed: M::Params = serde_json::from_str(params).unwrap();
    let asked = binary::request(Some(id), M::NAME, &typed).unwrap();
    let request = binary::Request::parse(&asked[crate::frame::LENGTH_BYTES..]).unwrap();
    assert_eq!((request.id, request.method), (Some(id), M::NAME));
    let again: M::Params = binary::decode(request.params).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), params);
    let typed: M::Result = serde_json::from_str(result).unwrap();
    let answered = binary::result(id, &typed, M::block(&typed)).unwrap().to_vec();
    let body = bytes::Bytes::copy_from_slice(&answered[crate::frame::LENGTH_BYTES..]);
    let Ok(binary::Incoming::Result { id: answered_id, result: bytes }) = binary::Incoming::parse(&body)
    else {
        panic!("{}: no result", M::NAME)
    };
    assert_eq!(answered_id, id);
    assert_eq!(serde_json::to_string(&M::read(&bytes).unwrap()).unwrap(), result);
    (asked, answered)
}
