//! Fake rooms with fixed answers, for the tests of sessions.

use std::{cell::RefCell, rc::Rc, time::Duration};

use actix::prelude::*;
use reel_protocol::{
    BatchId, Digest, JsonText, Progress, TaskId, TaskState, TaskView, Timestamp,
    endpoint::Locations,
    methods::{
        ArtifactReadResult, CacheClearResult, CacheStatsResult, CacheVerifyResult, ConfigInForce,
        MemoryStatusResult, MemoryTrimResult, ProviderCheckResult, ProviderInfo, ProviderModelsResult,
        ProviderVoicesResult, SubmitBatchResult, SubmitResult, TaskListResult, TaskWaitResult,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Recipients, Router, RouterParts};
use crate::{
    cache::{
        CacheError, ClearCache, FindArtifact, FindInput, GetCacheStats, KeepMade, LookUp, ReadArtifact,
        RemoveArtifacts, Spools, VerifyCache,
    },
    control::{self, ControlRequest},
    domain::Plan,
    events::EventHub,
    memory::{Budget, GetMemoryStatus, TrimMemory},
    notices::Notices,
    provider::{CheckProvider, GetProviders, ListModels, ListVoices, PreviewRequests},
    service::ServiceStats,
    store::{self, Dropped},
    tasks::{
        CallService, DecideTask, GetTask, GetTaskCounts, KeptPause, ListTasks, PauseQueue, RemoveTask,
        SubmitBatch, SubmitTask, TaskCounts, TaskRefusal, Trial, TryTask, WaitFor, WaitTasks,
    },
    thumbnails::{ThumbnailParts, Thumbnails},
    uploads::Uploads,
};

/// The messages that the fake rooms received, in order.
pub(super) type Asked = Rc<RefCell<Vec<String>>>;

/// All rooms in one actor. Task ids up to 1,000 exist. A wait for task 999 never ends; other waits end after their timeout, or at once if they have
/// none.
pub(super) struct Rooms {
    asked: Asked,
}

impl Actor for Rooms {
    type Context = Context<Self>;
}

/// A router over the fake rooms, with the parts that tests inspect.
pub(super) struct Fake {
    pub(super) router: Router,
    pub(super) asked: Asked,
    pub(super) events: EventHub,
    pub(super) budget: Budget,
    pub(super) control: mpsc::Receiver<ControlRequest>,
    pub(super) rooms: Addr<Rooms>,
}

/// Stops the fake rooms.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct EndRooms;

impl Fake {
    pub(super) fn new() -> Self {
        let asked = Asked::default();
        let rooms = Rooms { asked: Rc::clone(&asked) }.start();
        let (control, requests) = control::channel();
        let events = EventHub::default();
        let budget = Budget::new(64 * 1024 * 1024);
        let locations = Locations {
            home: "/h".into(),
            socket: "/h/s".into(),
            is_socket_given: false,
            config: "/h/c".into(),
        };
        let router = Router::new(RouterParts {
            recipients: recipients(&rooms),
            events: events.clone(),
            budget: budget.clone(),
            control,
            kept_pause: KeptPause::of_home(&locations.home),
            locations,
            instance: "i".into(),
            version: "0",
            started: Instant::now(),
            is_auto_started: false,
            config_in_force: watch::channel(ConfigInForce::default()).1,
            notices: Notices::default(),
            services: ServiceStats::default(),
            uploads: uploads(&rooms, &budget),
            thumbnails: thumbnails(&rooms, &budget),
        });
        Self { router, asked, events, budget, control: requests, rooms }
    }
}

/// Returns uploads, whose files the fake rooms refuse to keep.
fn uploads(rooms: &Addr<Rooms>, budget: &Budget) -> Uploads {
    let home = tempfile::tempdir().unwrap();
    let store = store::open(&home.path().join("reel.db")).unwrap().store;
    Uploads::new(Spools::new(home.path().to_owned()), budget.clone(), rooms.clone().recipient(), store)
}

/// Returns thumbnails of pictures, of which the fake rooms have none.
fn thumbnails(rooms: &Addr<Rooms>, budget: &Budget) -> Thumbnails {
    let home = tempfile::tempdir().unwrap();
    Thumbnails::new(ThumbnailParts {
        find_input: rooms.clone().recipient(),
        look_up: rooms.clone().recipient(),
        keep: rooms.clone().recipient(),
        store: store::open(&home.path().join("reel.db")).unwrap().store,
        budget: budget.clone(),
    })
}

fn recipients(rooms: &Addr<Rooms>) -> Recipients {
    Recipients {
        submit_task: rooms.clone().into(),
        submit_batch: rooms.clone().into(),
        call_service: rooms.clone().into(),
        get_task: rooms.clone().into(),
        list_tasks: rooms.clone().into(),
        wait_tasks: rooms.clone().into(),
        decide_task: rooms.clone().into(),
        remove_task: rooms.clone().into(),
        pause_queue: rooms.clone().into(),
        get_task_counts: rooms.clone().into(),
        read_artifact: rooms.clone().into(),
        find_artifact: rooms.clone().into(),
        remove_artifacts: rooms.clone().into(),
        get_cache_stats: rooms.clone().into(),
        clear_cache: rooms.clone().into(),
        verify_cache: rooms.clone().into(),
        get_memory_status: rooms.clone().into(),
        trim_memory: rooms.clone().into(),
        get_providers: rooms.clone().into(),
        check_provider: rooms.clone().into(),
        list_models: rooms.clone().into(),
        list_voices: rooms.clone().into(),
        preview_requests: rooms.clone().into(),
        try_task: rooms.clone().into(),
    }
}

fn view(id: TaskId) -> Result<TaskView, TaskRefusal> {
    if id.0 > 1_000 {
        return Err(TaskRefusal::NoTask(id));
    }
    let created_at = Timestamp::from_unix_ms(0);
    Ok(TaskView {
        id,
        rev: 1,
        kind: "debug.noop".into(),
        name: None,
        state: TaskState::Queued,
        hold_reason: None,
        wait_reason: None,
        priority: 0,
        client: "c".into(),
        batch: None,
        after: vec![],
        parent: None,
        step: None,
        request_id: None,
        progress: Progress::default(),
        provider: None,
        model: None,
        attempts: 0,
        source: None,
        created_at,
        started_at: None,
        finished_at: None,
        not_before: None,
        params: JsonText::empty_object(),
        outputs: vec![],
        error: None,
        cost: None,
        notes: vec![],
        metadata: None,
    })
}

macro_rules! answers {
    ($($message:ident: |$rooms:ident, $pattern:pat_param| $answer:expr;)+) => {
        $(impl Handler<$message> for Rooms {
            type Result = MessageResult<$message>;
            fn handle(&mut self, message: $message, _: &mut Self::Context) -> Self::Result {
                self.asked.borrow_mut().push(format!("{message:?}"));
                let ($rooms, $pattern) = (self, message);
                let _ = $rooms;
                MessageResult($answer)
            }
        })+
    };
}

answers! {
    SubmitTask: |_rooms, _| Ok(SubmitResult { id: TaskId(1), state: TaskState::Queued });
    SubmitBatch: |_rooms, SubmitBatch { specs, .. }| Ok(SubmitBatchResult {
        batch: BatchId(1),
        ids: (1..=specs.len() as u64).map(TaskId).collect(),
    });
    GetTask: |_rooms, GetTask(id)| view(id);
    ListTasks: |_rooms, _| Ok(TaskListResult { tasks: vec![], next_cursor: None });
    DecideTask: |_rooms, DecideTask { id, .. }| view(id);
    RemoveTask: |_rooms, _| Ok(());
    PauseQueue: |_rooms, _| ();
    GetTaskCounts: |_rooms, _| TaskCounts::default();
    KeepMade: |_rooms, _| Err(CacheError::OverMemory);
    FindInput: |_rooms, FindInput(digest)| Err(CacheError::NotFound(digest));
    LookUp: |_rooms, _| Vec::new();
    RemoveArtifacts: |_rooms, _| Ok(Dropped::default());
    FindArtifact: |_rooms, FindArtifact(digest)| Err(CacheError::NotFound(digest));
    GetCacheStats: |_rooms, _| CacheStatsResult::default();
    ClearCache: |_rooms, _| Ok(CacheClearResult::default());
    VerifyCache: |_rooms, _| Ok(CacheVerifyResult::default());
    GetProviders: |_rooms, _| vec![provider()];
    ListModels: |_rooms, ListModels(name)| {
        (name == "draft").then(|| Ok(ProviderModelsResult { models: Vec::new(), is_listed: false }))
    };
    ListVoices: |_rooms, _| Some(Ok(ProviderVoicesResult { providers: Vec::new() }));
    PreviewRequests: |_rooms, _| Vec::new();
    TryTask: |_rooms, _| Ok(Trial { plan: Plan::default(), cached: None });
    CheckProvider: |_rooms, CheckProvider(name)| (name == "draft").then(|| ProviderCheckResult {
        is_usable: true,
        detail: "embedded".to_owned(),
        code: None,
    });
}

/// Returns as many bytes as were requested.
impl Handler<ReadArtifact> for Rooms {
    type Result = MessageResult<ReadArtifact>;

    fn handle(&mut self, message: ReadArtifact, _: &mut Self::Context) -> Self::Result {
        self.asked.borrow_mut().push("ReadArtifact".into());
        let data = vec![b'x'; message.length as usize].into();
        let _: Digest = message.digest;
        MessageResult(Ok(ArtifactReadResult {
            data,
            size_bytes: message.length,
            media_type: "image/png".into(),
            raw_bytes: None,
        }))
    }
}

impl Handler<CallService> for Rooms {
    type Result = ResponseFuture<Result<TaskView, TaskRefusal>>;

    /// Never accepts a call of the service `hangs`.
    fn handle(&mut self, message: CallService, _: &mut Self::Context) -> Self::Result {
        self.asked.borrow_mut().push("CallService".into());
        Box::pin(async move {
            if message.spec.kind.starts_with("hangs.") {
                std::future::pending::<()>().await;
            }
            view(TaskId(1))
        })
    }
}

impl Handler<WaitTasks> for Rooms {
    type Result = ResponseFuture<Result<TaskWaitResult, TaskRefusal>>;

    fn handle(&mut self, message: WaitTasks, _: &mut Self::Context) -> Self::Result {
        self.asked.borrow_mut().push("WaitTasks".into());
        Box::pin(async move {
            if matches!(&message.what, WaitFor::Tasks(ids) if ids.contains(&TaskId(999))) {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(message.timeout.unwrap_or(Duration::ZERO)).await;
            Ok(TaskWaitResult { tasks: vec![], timed_out: true, omitted: vec![] })
        })
    }
}

impl Handler<GetMemoryStatus> for Rooms {
    type Result = MessageResult<GetMemoryStatus>;

    fn handle(&mut self, _: GetMemoryStatus, _: &mut Self::Context) -> Self::Result {
        MessageResult(MemoryStatusResult {
            level: reel_protocol::methods::MemoryLevel::Normal,
            limit_bytes: 0,
            high_bytes: 0,
            low_bytes: 0,
            critical_bytes: 0,
            resident_bytes: 0,
            peak_resident_bytes: 0,
            system_available_bytes: 0,
            system_total_bytes: 0,
            reserved_bytes: 0,
            reservations: vec![],
            refusals: 0,
            reclaimers: vec![],
            limit: None,
            group: None,
            cause: None,
            children_bytes: 0,
            level_since: None,
            last_trim: None,
        })
    }
}

impl Handler<TrimMemory> for Rooms {
    type Result = MessageResult<TrimMemory>;

    fn handle(&mut self, _: TrimMemory, _: &mut Self::Context) -> Self::Result {
        MessageResult(MemoryTrimResult {
            before_bytes: 0,
            after_bytes: 0,
            freed_bytes: 0,
            elapsed_ms: 0,
            reclaimers: vec![],
        })
    }
}

impl Handler<EndRooms> for Rooms {
    type Result = ();

    fn handle(&mut self, _: EndRooms, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

fn provider() -> ProviderInfo {
    ProviderInfo {
        models: std::collections::BTreeMap::new(),
        is_embedded: true,
        default_for: Vec::new(),
        name: "draft".into(),
        kind: "draft".into(),
        services: vec!["image".into()],
        model: None,
        billing: "free".into(),
        max_concurrent: 2,
        running: 1,
        requests_per_minute: None,
        address: None,
        wait_reason: None,
        waits_until: None,
        machine: None,
        condition: None,
    }
}
