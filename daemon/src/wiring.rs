//! Starts the rooms in the order of their dependencies. This is the only file that knows which actor handles which message.

use std::{path::Path, sync::Arc};

use actix::{Actor, Addr, Recipient};
use reel_protocol::{
    endpoint::Locations,
    methods::{ConfigInForce, MemoryLevel},
};
use tokio::{sync::watch, time::Instant};

use crate::{
    cache::{CacheParts, ImageCache, SetCacheLimits, Spools},
    config::{CacheConfig, Config, TasksConfig},
    control::Control,
    domain::{ProviderProfile, RemoteJob},
    events::EventHub,
    ipc::{Recipients, Router, RouterParts},
    memory::{Budget, MemoryParts, MemorySupervisor, PressureChanged, SetMemoryLimits, sample::Sampler},
    notices::Notices,
    provider::{
        GateLimits, Instance, InstanceFactory, Keeper, Machines, Permits, ProviderGateway, SetInstances,
    },
    service::{Planner, ServiceParts, ServiceStats, Services},
    store::{Recovery, Store},
    tasks::{Drain, GetTaskCounts, KeptPause, Replan, SetTaskLimits, TaskTracker, TrackerParts},
    thumbnails::{ThumbnailParts, Thumbnails},
    uploads::Uploads,
    workflows::{Handles, Workflows},
};

/// The values from which the rooms are started.
#[derive(Debug)]
pub struct RoomParts {
    /// The paths of the home, the socket and the configuration.
    pub locations: Locations,
    /// The configuration that was read at the start.
    pub config: Config,
    /// The open journal.
    pub store: Store,
    /// The content of the journal that is restored.
    pub recovery: Recovery,
    /// The notices for `daemon.status`.
    pub notices: Notices,
    /// The handle for requests to `main`.
    pub control: Control,
    /// Whether a client started the daemon.
    pub is_auto_started: bool,
    /// The state of the configuration file that `daemon.status` shows.
    pub config_in_force: watch::Receiver<ConfigInForce>,
}

/// The running rooms, with the recipients that `main` needs.
#[derive(Clone)]
pub struct Rooms {
    /// Handles the requests of the sessions.
    pub router: Router,
    /// Drains the tasks of the tracker.
    pub drain: Recipient<Drain>,
    /// Returns the counts of tasks, and whether there is work.
    pub counts: Recipient<GetTaskCounts>,
    /// Changes the limits of the tracker.
    pub task_limits: Recipient<SetTaskLimits>,
    /// Changes the limits of the memory supervisor.
    pub memory_limits: Recipient<SetMemoryLimits>,
    /// Changes the limits of the cache.
    pub cache_limits: Recipient<SetCacheLimits>,
    /// Replaces the providers.
    pub providers: ProviderRooms,
    /// The hub through which `main` publishes events too.
    pub events: EventHub,
}

/// The rooms that use the providers.
#[derive(Clone)]
pub struct ProviderRooms {
    factory: InstanceFactory,
    permits: Permits,
    instances: Recipient<SetInstances>,
    services: ServiceStats,
    replan: Recipient<Replan>,
}

impl ProviderRooms {
    /// Whether reel has started a server that it will stop.
    pub fn will_stop_a_server(&self) -> bool {
        self.factory.will_stop_a_server()
    }

    /// Replaces the instances by those of another configuration. Attempts in flight end with the former instances.
    pub async fn configure(&self, config: &Config) {
        let instances = self.factory.build(config);
        self.permits.configure(limits(&instances));
        let planner = Arc::new(Planner::new(profiles(&instances)));
        self.services.set_providers(profiles(&instances));
        // Both messages are sent in one turn, so that neither room works for long with instances that the other has dropped.
        let told = (self.instances.send(SetInstances(instances)), self.replan.send(Replan(planner)));
        // If a room is gone, the process is ending, and a failure needs no report.
        let _ = (told.0.await, told.1.await);
    }
}

fn profiles(instances: &[Instance]) -> Vec<ProviderProfile> {
    instances.iter().map(|instance| instance.profile.clone()).collect()
}

fn limits(instances: &[Instance]) -> impl Iterator<Item = (Arc<str>, GateLimits)> {
    instances.iter().map(|instance| (instance.profile.name.as_str().into(), instance.limits))
}

/// Returns the limits of the tracker from a configuration.
pub const fn task_limits(config: &TasksConfig) -> SetTaskLimits {
    SetTaskLimits {
        max_concurrent: config.max_concurrent as usize,
        history: config.history,
        queue_limit: config.queue_limit,
        default_attempts: config.default_attempts,
    }
}

/// Returns the limits of the cache from a configuration.
pub const fn cache_limits(config: &CacheConfig) -> SetCacheLimits {
    const MIB: u64 = 1024 * 1024;
    SetCacheLimits {
        memory_bytes: config.memory_mb * MIB,
        max_item_bytes: config.max_item_mb * MIB,
        disk_bytes: config.disk_mb * MIB,
    }
}

fn services(gateway: &Addr<ProviderGateway>, cache: &Addr<ImageCache>, stats: &ServiceStats) -> Services {
    Services::new(ServiceParts {
        generate: gateway.clone().recipient(),
        keep: cache.clone().recipient(),
        find_input: cache.clone().recipient(),
        find_room: cache.clone().recipient(),
        stats: stats.clone(),
    })
}

fn start_memory(
    config: &Config,
    budget: &Budget,
    level: watch::Sender<MemoryLevel>,
    listeners: Vec<Recipient<PressureChanged>>,
    cache: &Addr<ImageCache>,
    events: &EventHub,
) -> anyhow::Result<Addr<MemorySupervisor>> {
    let supervisor = MemorySupervisor::new(MemoryParts {
        config: config.memory.clone(),
        budget: budget.clone(),
        source: Box::new(Sampler::new()?),
        reclaimers: vec![("cache", cache.clone().recipient())],
        listeners,
        level,
        events: events.clone(),
    });
    Ok(supervisor.start())
}

fn workflow_handles(
    tracker: &Addr<TaskTracker>,
    cache: &Addr<ImageCache>,
    store: &Store,
    artifacts: &Arc<Path>,
    budget: &Budget,
) -> Handles {
    Handles {
        submit: tracker.clone().recipient(),
        wait: tracker.clone().recipient(),
        decide: tracker.clone().recipient(),
        try_task: tracker.clone().recipient(),
        keep: cache.clone().recipient(),
        store: store.clone(),
        artifacts: Arc::clone(artifacts),
        budget: budget.clone(),
    }
}

fn uploads(artifacts: &Path, budget: &Budget, cache: &Addr<ImageCache>, store: Store) -> Uploads {
    Uploads::new(Spools::new(artifacts.to_owned()), budget.clone(), cache.clone().recipient(), store)
}

fn thumbnails(cache: &Addr<ImageCache>, store: Store, budget: &Budget) -> Thumbnails {
    Thumbnails::new(ThumbnailParts {
        find_input: cache.clone().recipient(),
        look_up: cache.clone().recipient(),
        keep: cache.clone().recipient(),
        store,
        budget: budget.clone(),
    })
}

/// Starts all rooms on this thread's arbiter.
pub fn start(parts: RoomParts) -> anyhow::Result<Rooms> {
    let RoomParts { locations, config, store, recovery, notices, control, is_auto_started, config_in_force } =
        parts;
    let budget = Budget::new(config.memory.limit_mb * 1024 * 1024);
    let events = EventHub::new(budget.clone());
    let (level, levels) = watch::channel(MemoryLevel::Normal);
    let artifacts: Arc<Path> = Arc::from(locations.home.join("artifacts"));

    let parts = CacheParts {
        store: store.clone(),
        artifacts: artifacts.to_path_buf(),
        budget: budget.clone(),
        events: events.clone(),
        limits: cache_limits(&config.cache),
    };
    let cache = ImageCache::new(parts).start();

    let (machines, kept_pause) = (Machines::of_home(&locations.home), KeptPause::of_home(&locations.home));
    let factory = InstanceFactory::new(&budget, &locations.home, machines.clone());
    let journaled = recovery.unfinished.iter().filter_map(|task| task.remote_id.as_ref());
    factory.remember_jobs(journaled.filter_map(|id| RemoteJob::decode(&id.0)));
    let instances = factory.build(&config);
    let (permits, profiles) = (Permits::new(limits(&instances), events.clone()), profiles(&instances));
    let gateway = ProviderGateway::new(instances, permits.clone(), machines.clone()).start();
    let stats = ServiceStats::of(profiles.clone());

    let workflows = Workflows::new(Arc::new(services(&gateway, &cache, &stats)));
    let tracker = TaskTracker::new(TrackerParts {
        store: store.clone(),
        recovery: Some(recovery),
        artifacts: Arc::clone(&artifacts),
        plan: Arc::new(Planner::new(profiles)),
        run: Arc::new(workflows.clone()),
        look_up: cache.clone().recipient(),
        coalesced: cache.clone().recipient(),
        permits: permits.clone(),
        budget: budget.clone(),
        level: levels,
        events: events.clone(),
        limits: task_limits(&config.tasks),
        is_paused: kept_pause.is_set(),
    })
    .start();
    let keeper = Keeper::new(machines, permits.clone(), tracker.clone().recipient(), &locations.home);
    actix::spawn(keeper.run());
    workflows.connect(workflow_handles(&tracker, &cache, &store, &artifacts, &budget));
    let listeners = vec![tracker.clone().recipient(), gateway.clone().recipient()];
    let memory = start_memory(&config, &budget, level, listeners, &cache, &events)?;
    let providers = ProviderRooms {
        factory,
        permits,
        services: stats.clone(),
        instances: gateway.clone().recipient(),
        replan: tracker.clone().recipient(),
    };
    let actors = Actors { tracker, cache, gateway, memory };
    let router = Router::new(RouterParts {
        thumbnails: thumbnails(&actors.cache, store.clone(), &budget),
        uploads: uploads(&artifacts, &budget, &actors.cache, store),
        recipients: recipients(&actors),
        events: events.clone(),
        budget,
        control,
        kept_pause,
        instance: instance_name().into(),
        locations,
        version: env!("CARGO_PKG_VERSION"),
        started: Instant::now(),
        is_auto_started,
        config_in_force,
        notices,
        services: stats,
    });
    Ok(actors.into_rooms(router, providers, events))
}

struct Actors {
    tracker: Addr<TaskTracker>,
    cache: Addr<ImageCache>,
    gateway: Addr<ProviderGateway>,
    memory: Addr<MemorySupervisor>,
}

impl Actors {
    fn into_rooms(self, router: Router, providers: ProviderRooms, events: EventHub) -> Rooms {
        let Self { tracker, cache, memory, .. } = self;
        Rooms {
            router,
            drain: tracker.clone().recipient(),
            counts: tracker.clone().recipient(),
            task_limits: tracker.recipient(),
            memory_limits: memory.recipient(),
            cache_limits: cache.recipient(),
            providers,
            events,
        }
    }
}

fn recipients(actors: &Actors) -> Recipients {
    let Actors { tracker, cache, gateway, memory } = actors;
    Recipients {
        submit_task: tracker.clone().recipient(),
        submit_batch: tracker.clone().recipient(),
        call_service: tracker.clone().recipient(),
        get_task: tracker.clone().recipient(),
        list_tasks: tracker.clone().recipient(),
        wait_tasks: tracker.clone().recipient(),
        decide_task: tracker.clone().recipient(),
        remove_task: tracker.clone().recipient(),
        pause_queue: tracker.clone().recipient(),
        get_task_counts: tracker.clone().recipient(),
        read_artifact: cache.clone().recipient(),
        find_artifact: cache.clone().recipient(),
        remove_artifacts: cache.clone().recipient(),
        get_cache_stats: cache.clone().recipient(),
        clear_cache: cache.clone().recipient(),
        verify_cache: cache.clone().recipient(),
        get_providers: gateway.clone().recipient(),
        check_provider: gateway.clone().recipient(),
        list_models: gateway.clone().recipient(),
        list_voices: gateway.clone().recipient(),
        preview_requests: gateway.clone().recipient(),
        try_task: tracker.clone().recipient(),
        get_memory_status: memory.clone().recipient(),
        trim_memory: memory.clone().recipient(),
    }
}

/// Returns a name that differs at each start: a process id may be reused, but not at the same time.
fn instance_name() -> String {
    format!("{}-{:x}", std::process::id(), reel_protocol::Timestamp::now().unix_ms())
}
