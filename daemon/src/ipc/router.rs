//! Which room answers which method. The router holds a recipient for every message and what sessions share; it decides nothing itself.

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
        CallService, DecideTask, GetTask, GetTaskCounts, ListTasks, PauseQueue, RemoveTask, SubmitBatch,
        SubmitTask, TryTask, WaitTasks,
    },
    thumbnails::Thumbnails,
    uploads::Uploads,
};

/// What an `artifact.read` may answer: 4 MiB as base64.
const ARTIFACT_ANSWER_BYTES: usize = 6 * 1024 * 1024;
/// What a page of tasks may well answer.
const LIST_ANSWER_BYTES: usize = PAGE_BYTES;

/// Who answers which message.
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

/// What a router is made of.
pub struct RouterParts {
    /// Who answers.
    pub recipients: Recipients,
    /// What subscriptions listen to.
    pub events: EventHub,
    /// What large requests and answers are taken from.
    pub budget: Budget,
    /// What only main can do.
    pub control: Control,
    /// Where this daemon lives.
    pub locations: Locations,
    /// Differs at each start.
    pub instance: Arc<str>,
    /// The daemon's version.
    pub version: &'static str,
    /// When the daemon started.
    pub started: Instant,
    /// Whether a client started it.
    pub is_auto_started: bool,
    /// What of the configuration file is in force.
    pub config_in_force: watch::Receiver<wire::ConfigInForce>,
    /// What a person should know.
    pub notices: Notices,
    /// What the services have done.
    pub services: ServiceStats,
    /// Takes files into the store.
    pub uploads: Uploads,
    /// Makes small pictures.
    pub thumbnails: Thumbnails,
}

/// The shared part of all sessions of one thread; cheap to clone.
#[derive(Clone)]
pub struct Router(Rc<Shared>);

struct Shared {
    parts: RouterParts,
    connections: Rc<OpenConnections>,
}

impl Router {
    /// A router without connections.
    pub fn new(parts: RouterParts) -> Self {
        Self(Rc::new(Shared { parts, connections: Rc::new(OpenConnections::new()) }))
    }

    /// Takes files into the store.
    pub(super) fn uploads(&self) -> &Uploads {
        &self.0.parts.uploads
    }

    /// Makes small pictures.
    pub(super) fn thumbnails(&self) -> &Thumbnails {
        &self.0.parts.thumbnails
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.0.connections.count()
    }

    /// When a connection last came, asked or left: what an idle exit counts from, together with [`Router::open_connections`].
    pub fn last_activity(&self) -> Instant {
        self.0.connections.last_activity()
    }

    pub(super) fn note_activity(&self) {
        self.0.connections.note_activity();
    }

    /// Takes one more connection; None if there are as many as are served.
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

    /// Leads a request to its handler.
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

/// Asks a room; one that has ended is an error at once.
pub(super) async fn ask<M>(recipient: &Recipient<M>, message: M) -> Result<M::Result, RpcError>
where
    M: Message + Send,
    M::Result: Send,
{
    recipient.send(message).await.map_err(errors::mailbox)
}
