//! The methods of the daemon, each with the type of its params and of its result.

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

/// A method. The trait ties its name to its types, so that the compiler checks both sides.
pub trait Method {
    /// The name of the method on the wire.
    const NAME: &'static str;
    /// The type of the params.
    type Params: Serialize + DeserializeOwned;
    /// The type of the result.
    type Result: Serialize + DeserializeOwned;

    /// Returns the large block of bytes in a result, if it has one. A frame carries it without a copy.
    fn block(_: &Self::Result) -> Option<&Bytes> {
        None
    }

    /// Takes the bytes out of a result that follow its line in JSON lines. None if the result is all in its line.
    fn take_raw(_: &mut Self::Result) -> Option<bytes::Bytes> {
        None
    }

    /// Decodes a result from bincode. The result may share the memory of `bytes`.
    fn read(bytes: &bytes::Bytes) -> Result<Self::Result, BinaryError> {
        binary::decode(bytes)
    }
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $method:ident = $name:literal: $params:ty => $result:ty $({ $($own:item)+ })?;)+) => {
        $($(#[doc = $doc])* #[derive(Debug)] pub enum $method {}
        impl Method for $method {
            const NAME: &'static str = $name;
            type Params = $params;
            type Result = $result;
            $($($own)+)?
        })+

        /// The names of all methods of this version. `hello` answers them as capabilities.
        pub const METHODS: &[&str] = &[$($name,)+];

        /// Returns the schemas of all methods, in the order of the specification.
        #[cfg(feature = "schema")]
        pub(crate) fn schemas(generators: &mut crate::schema::Generators) -> Vec<crate::schema::MethodSchema> {
            vec![$(crate::schema::MethodSchema {
                name: $name,
                description: concat!($($doc, "\n"),*).to_owned(),
                params: generators.params::<$params>(),
                result: generators.sent::<$result>(),
            },)+]
        }

        /// Decodes an example's params and result as the method's types, and encodes them again.
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

        /// Encodes an example's params and result as frames, after checking that both decode to the same values.
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
    /// Names the client. It is optional and best sent first, because tasks are scheduled fairly between client names.
    Hello = "hello": HelloParams => HelloResult;
    /// Returns the state of the daemon, in well under a millisecond.
    DaemonStatus = "daemon.status": Empty => DaemonStatusResult;
    /// Stops accepting tasks, lets running ones end within the drain time, writes the journal, and exits. It is answered before the drain.
    DaemonShutdown = "daemon.shutdown": ShutdownParams => Empty;
    /// Reads the configuration file again. If the file is not valid, the answer is `config_invalid`, and the former configuration stays in force.
    DaemonReload = "daemon.reload": Empty => ReloadResult;
    /// Changes the log filter until the next start.
    DaemonLogLevel = "daemon.log_level": LogLevelParams => Empty;
    /// Accepts one task. It is answered once the task is on disk.
    TaskSubmit = "task.submit": crate::TaskSpec => SubmitResult;
    /// Accepts many tasks, all or none. It is answered once they are on disk.
    TaskSubmitBatch = "task.submit_batch": SubmitBatchParams => SubmitBatchResult;
    /// Returns one task.
    TaskGet = "task.get": TaskIdParams => TaskView;
    /// Returns a page of tasks, newest first.
    TaskList = "task.list": TaskListParams => TaskListResult;
    /// Answers when the tasks are settled (finished or held), or at the timeout. It never ends the work.
    TaskWait = "task.wait": TaskWaitParams => TaskWaitResult;
    /// Cancels a task; for one that succeeded or failed the answer is `illegal_state`. A running attempt stops at its next step, but for a call that
    /// may have been paid.
    TaskCancel = "task.cancel": TaskIdParams => TaskView;
    /// Queues a failed or cancelled task again, with all its attempts. In any other state the answer is `illegal_state`.
    TaskRetry = "task.retry": TaskIdParams => TaskView;
    /// Holds a waiting or queued task. In any other state but `held` the answer is `illegal_state`.
    TaskHold = "task.hold": TaskIdParams => TaskView;
    /// Queues a held task again; in any other state the answer is `illegal_state`. After `outcome_unknown` that may pay again, unless its results are
    /// known and can be fetched.
    TaskRelease = "task.release": TaskIdParams => TaskView;
    /// Changes the priority of an unfinished task. For a finished one the answer is `illegal_state`.
    TaskSetPriority = "task.set_priority": SetPriorityParams => TaskView;
    /// Removes a finished task from the history; for any other the answer is `illegal_state`. Its artifacts stay cached until they are evicted.
    TaskRemove = "task.remove": TaskIdParams => Empty;
    /// Starts no new task until `queue.resume` or the next start of the daemon. Running tasks go on.
    QueuePause = "queue.pause": Empty => Empty;
    /// Ends `queue.pause`, so that queued tasks start again.
    QueueResume = "queue.resume": Empty => Empty;
    /// Reads a part of an artifact's bytes.
    ArtifactRead = "artifact.read": ArtifactReadParams => ArtifactReadResult {
        fn block(result: &ArtifactReadResult) -> Option<&Bytes> {
            Some(&result.data)
        }

        fn take_raw(result: &mut ArtifactReadResult) -> Option<bytes::Bytes> {
            result.raw_bytes.map(|_| std::mem::take(&mut result.data).0)
        }

        fn read(bytes: &bytes::Bytes) -> Result<ArtifactReadResult, BinaryError> {
            ArtifactReadResult::within(bytes)
        }
    };
    /// Copies a file of this machine into the store, for tasks to start from. The artifact stays for a day at least.
    ArtifactPut = "artifact.put": ArtifactPutParams => ArtifactPutResult;
    /// Removes artifacts that neither a task nor a pin names.
    ArtifactRemove = "artifact.remove": ArtifactRemoveParams => ArtifactRemoveResult;
    /// Returns the path of the file that holds an artifact.
    ArtifactPath = "artifact.path": ArtifactPathParams => ArtifactPathResult;
    /// Returns the path of a small PNG of a picture. The cache keeps it like other results.
    ArtifactThumbnail = "artifact.thumbnail": ArtifactThumbnailParams => ArtifactPathResult;
    /// Submits one task and waits until it is settled. At the timeout it answers the task as it then is, and the work goes on.
    ServiceCall = "service.call": ServiceCallParams => TaskView;
    /// Returns each service with its methods, providers, styles and counts.
    ServiceStatus = "service.status": Empty => ServiceStatusResult;
    /// Lists the providers that tasks may use.
    ProviderList = "provider.list": Empty => ProviderListResult;
    /// Tests whether a provider is usable, without cost.
    ProviderCheck = "provider.check": ProviderCheckParams => ProviderCheckResult;
    /// Lists the models that requests to a provider may name, without cost.
    ProviderModels = "provider.models": ProviderModelsParams => ProviderModelsResult;
    /// Lists the voices that requests to a provider may name, without cost.
    ProviderVoices = "provider.voices": ProviderVoicesParams => ProviderVoicesResult;
    /// Returns what a request would do and what it would probably cost, without sending it.
    ProviderDryRun = "provider.dry_run": DryRunParams => DryRunResult;
    /// Returns what the cache holds, and its counts since the daemon started.
    CacheStats = "cache.stats": Empty => CacheStatsResult;
    /// Drops all cache entries, and the artifacts that nothing else names; or only the memory tier.
    CacheClear = "cache.clear": CacheClearParams => CacheClearResult;
    /// Reads every artifact back, and drops those that are damaged or missing.
    CacheVerify = "cache.verify": Empty => CacheVerifyResult;
    /// Returns how much memory is used and reserved, and for what.
    MemoryStatus = "memory.status": Empty => MemoryStatusResult;
    /// Frees memory without touching a task.
    MemoryTrim = "memory.trim": Empty => MemoryTrimResult;
    /// Begins a subscription to events on this connection.
    EventsSubscribe = "events.subscribe": SubscribeParams => SubscribeResult;
    /// Ends a subscription.
    EventsUnsubscribe = "events.unsubscribe": UnsubscribeParams => Empty;
}

/// Params or a result without fields: `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
