//! Maps each method to the room that answers it. The router holds a recipient for every message, and the values that sessions share. It decides
//! nothing itself.

use std::{rc::Rc, sync::Arc};

use actix::{Message, Recipient};
use reel_protocol::{
    RpcError,
    endpoint::Locations,
    limits::PAGE_BYTES,
    methods::{self as wire, METHODS, Method},
};
use tokio::{sync::watch, time::Instant};

use super::{
    call::{Call, Reply},
    connection::Connection,
    encoding::Request,
    errors,
    methods::{artifacts, cache, daemon, events, memory, service, tasks},
    open_connections::{OpenConnection, OpenConnections},
};
use crate::{
    cache::{ClearCache, FindArtifact, GetCacheStats, ReadArtifact, RemoveArtifacts, VerifyCache},
    control::Control,
    events::EventHub,
    memory::{Budget, GetMemoryStatus, TrimMemory},
    notices::Notices,
    provider::{CheckProvider, GetProviders, ListModels, ListVoices, PreviewRequests},
    service::ServiceStats,
    tasks::{
        CallService, DecideTask, GetTask, GetTaskCounts, KeptPause, ListTasks, PauseQueue, RemoveTask,
        SubmitBatch, SubmitTask, TryTask, WaitTasks,
    },
    thumbnails::Thumbnails,
    uploads::Uploads,
};

/// The largest response of `artifact.read`, in bytes: 4 MiB as base64.
const ARTIFACT_ANSWER_BYTES: usize = 6 * 1024 * 1024;
/// The response size that is assumed for a page of `task.list`, in bytes.
const LIST_ANSWER_BYTES: usize = PAGE_BYTES;

/// The recipient of each message.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is named after its message, which says what it asks")]
pub struct Recipients {
    pub submit_task: Recipient<SubmitTask>,
    pub submit_batch: Recipient<SubmitBatch>,
    pub call_service: Recipient<CallService>,
    pub get_task: Recipient<GetTask>,
    pub list_tasks: Recipient<ListTasks>,
    pub wait_tasks: Recipient<WaitTasks>,
    pub decide_task: Recipient<DecideTask>,
    pub remove_task: Recipient<RemoveTask>,
    pub pause_queue: Recipient<PauseQueue>,
    pub get_task_counts: Recipient<GetTaskCounts>,
    pub read_artifact: Recipient<ReadArtifact>,
    pub find_artifact: Recipient<FindArtifact>,
    pub remove_artifacts: Recipient<RemoveArtifacts>,
    pub get_cache_stats: Recipient<GetCacheStats>,
    pub clear_cache: Recipient<ClearCache>,
    pub verify_cache: Recipient<VerifyCache>,
    pub get_memory_status: Recipient<GetMemoryStatus>,
    pub trim_memory: Recipient<TrimMemory>,
    pub get_providers: Recipient<GetProviders>,
    pub check_provider: Recipient<CheckProvider>,
    pub list_models: Recipient<ListModels>,
    pub list_voices: Recipient<ListVoices>,
    pub preview_requests: Recipient<PreviewRequests>,
    pub try_task: Recipient<TryTask>,
}

/// The parts of a router.
pub struct RouterParts {
    /// The recipients of the messages to the rooms.
    pub recipients: Recipients,
    /// The hub from which subscriptions receive events.
    pub events: EventHub,
    /// The memory budget, in which large requests and responses are reserved.
    pub budget: Budget,
    /// The commands to the main task.
    pub control: Control,
    /// The file that keeps the pause of the queue.
    pub kept_pause: KeptPause,
    /// The paths of the home, the socket and the configuration file.
    pub locations: Locations,
    /// An id that differs at each start of the daemon.
    pub instance: Arc<str>,
    /// The version of the daemon.
    pub version: &'static str,
    /// The time at which the daemon started.
    pub started: Instant,
    /// Whether a client started the daemon.
    pub is_auto_started: bool,
    /// The configuration that is in force, as clients see it.
    pub config_in_force: watch::Receiver<wire::ConfigInForce>,
    /// Notices for the user.
    pub notices: Notices,
    /// The statistics of the services.
    pub services: ServiceStats,
    /// Stores files of clients.
    pub uploads: Uploads,
    /// Makes the thumbnails that clients ask for.
    pub thumbnails: Thumbnails,
}

/// The values that all sessions of one thread share. Cheap to clone.
#[derive(Clone)]
pub struct Router(Rc<Shared>);

struct Shared {
    parts: RouterParts,
    connections: Rc<OpenConnections>,
}

impl Router {
    /// Returns a router without connections.
    pub fn new(parts: RouterParts) -> Self {
        Self(Rc::new(Shared { parts, connections: Rc::new(OpenConnections::new()) }))
    }

    /// Returns the part that stores files of clients.
    pub(super) fn uploads(&self) -> &Uploads {
        &self.0.parts.uploads
    }

    /// Returns the part that makes thumbnails.
    pub(super) fn thumbnails(&self) -> &Thumbnails {
        &self.0.parts.thumbnails
    }

    /// Returns the number of open connections.
    pub fn open_connections(&self) -> usize {
        self.0.connections.count()
    }

    /// Returns when a connection was last opened, sent a request or was closed. The idle exit counts from this time if there are no
    /// [`Router::open_connections`].
    pub fn last_activity(&self) -> Instant {
        self.0.connections.last_activity()
    }

    pub(super) fn note_activity(&self) {
        self.0.connections.note_activity();
    }

    /// Opens a connection. None if the limit is reached and no connection is idle.
    pub(super) fn open(&self) -> Option<OpenConnection> {
        self.0.connections.open()
    }

    pub(super) fn parts(&self) -> &RouterParts {
        &self.0.parts
    }

    pub(super) fn recipients(&self) -> &Recipients {
        &self.0.parts.recipients
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.0.parts.budget
    }

    /// Dispatches a request to its handler.
    pub(super) fn dispatch(&self, connection: &mut Connection, request: Request<'_>) -> Reply {
        let method = request.method.clone();
        let call = Call { router: self, request };
        macro_rules! rooms {
            ($($method:ident => $handler:path $(, expecting $bytes:expr)?;)+) => {
                match &*method {
                    <wire::Hello as Method>::NAME =>
                        call.now::<wire::Hello>(|params| daemon::hello(self, connection, params)),
                    <wire::EventsSubscribe as Method>::NAME =>
                        call.now::<wire::EventsSubscribe>(|params| events::subscribe(self, connection, params)),
                    <wire::EventsUnsubscribe as Method>::NAME =>
                        call.now::<wire::EventsUnsubscribe>(|params| events::unsubscribe(connection, params)),
                    $(<wire::$method as Method>::NAME =>
                        call.later::<wire::$method, _>(&connection.caller, $handler)$(.expecting($bytes))?,)+
                    unknown => call.refuse(&errors::no_method(unknown, METHODS)),
                }
            };
        }
        rooms! {
            TaskSubmit => tasks::submit;
            ServiceCall => service::call;
            TaskSubmitBatch => tasks::submit_batch;
            TaskGet => tasks::get;
            TaskList => tasks::list, expecting LIST_ANSWER_BYTES;
            TaskWait => tasks::wait;
            TaskCancel => tasks::cancel;
            TaskRetry => tasks::retry;
            TaskHold => tasks::hold;
            TaskRelease => tasks::release;
            TaskSetPriority => tasks::set_priority;
            TaskRemove => tasks::remove;
            QueuePause => tasks::pause;
            QueueResume => tasks::resume;
            ArtifactRead => artifacts::read, expecting ARTIFACT_ANSWER_BYTES;
            ArtifactPut => artifacts::put;
            ArtifactRemove => artifacts::remove;
            ArtifactPath => artifacts::path;
            ArtifactThumbnail => artifacts::thumbnail;
            ServiceStatus => service::status;
            ProviderList => service::providers;
            ProviderCheck => service::check;
            ProviderModels => service::models;
            ProviderVoices => service::voices;
            ProviderDryRun => service::dry_run;
            CacheStats => cache::stats;
            CacheClear => cache::clear;
            CacheVerify => cache::verify;
            MemoryStatus => memory::status;
            MemoryTrim => memory::trim;
            DaemonStatus => daemon::status;
            DaemonShutdown => daemon::shutdown;
            DaemonReload => daemon::reload;
            DaemonLogLevel => daemon::log_level;
        }
    }
}

/// Asks a room. If the room has ended, this is an error at once.
pub(super) async fn ask<M>(recipient: &Recipient<M>, message: M) -> Result<M::Result, RpcError>
where
    M: Message + Send,
    M::Result: Send,
{
    recipient.send(message).await.map_err(errors::mailbox)
}
