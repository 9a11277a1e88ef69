//! Starts the rooms in the order of their dependencies. The one file that knows which actor answers which message.

use std::sync::Arc;

use actix::{Actor, Addr, Recipient};
use reel_protocol::{endpoint::Locations, methods::MemoryLevel};
use tokio::{sync::watch, time::Instant};

use crate::{
    cache::{CacheParts, ImageCache, SetCacheLimits},
    config::{CacheConfig, Config, TasksConfig},
    control::Control,
    events::EventHub,
    ipc::{Recipients, Router, RouterParts},
    memory::{Budget, MemoryParts, MemorySupervisor, SetMemoryLimits, sample::Sampler},
    provider::{DraftProvider, Instance, Permits, ProviderGateway, draft},
    service::{Planner, ProviderEntry, RegistryParts, ServiceRegistry},
    store::Store,
    tasks::{Drain, GetTaskCounts, SetTaskLimits, TaskTracker, TrackerParts},
};

/// What the rooms are started from.
#[derive(Debug)]
pub struct Foundation {
    /// Where everything lies.
    pub locations: Locations,
    /// As it was read at the start.
    pub config: Config,
    /// The open journal.
    pub store: Store,
    /// The doors to `main`.
    pub control: Control,
    /// Whether a client started the daemon.
    pub is_auto_started: bool,
}

/// The running rooms, as `main` needs them.
#[derive(Clone)]
pub struct Rooms {
    /// For the sessions.
    pub router: Router,
    /// Ends the tasks in order.
    pub drain: Recipient<Drain>,
    /// Says whether there is anything to do.
    pub counts: Recipient<GetTaskCounts>,
    /// Takes new limits.
    pub task_limits: Recipient<SetTaskLimits>,
    /// Takes new limits.
    pub memory_limits: Recipient<SetMemoryLimits>,
    /// Takes new limits.
    pub cache_limits: Recipient<SetCacheLimits>,
    /// Who listens.
    pub events: EventHub,
}

/// The tracker's limits of a configuration.
pub const fn task_limits(config: &TasksConfig) -> SetTaskLimits {
    SetTaskLimits {
        max_concurrent: config.max_concurrent as usize,
        history: config.history,
        queue_limit: config.queue_limit,
        default_attempts: config.default_attempts,
    }
}

/// The cache's limits of a configuration.
pub const fn cache_limits(config: &CacheConfig) -> SetCacheLimits {
    const MIB: u64 = 1024 * 1024;
    SetCacheLimits {
        memory_bytes: config.memory_mb * MIB,
        max_item_bytes: config.max_item_mb * MIB,
        disk_bytes: config.disk_mb * MIB,
    }
}

/// Starts all rooms on this thread's arbiter.
pub fn start(foundation: Foundation) -> anyhow::Result<Rooms> {
    let Foundation { locations, config, store, control, is_auto_started } = foundation;
    let events = EventHub::default();
    let budget = Budget::new(config.memory.limit_mb * 1024 * 1024);
    let (level, levels) = watch::channel(MemoryLevel::Normal);
    let artifacts: Arc<std::path::Path> = Arc::from(locations.home.join("artifacts"));

    let cache = ImageCache::new(CacheParts {
        store: store.clone(),
        artifacts: artifacts.to_path_buf(),
        budget: budget.clone(),
        events: events.clone(),
        limits: cache_limits(&config.cache),
    })
    .start();

    let Providers { gateway, permits, entries } = providers(&budget);
    let planner = Planner::new(entries.clone());
    let registry = ServiceRegistry::new(RegistryParts {
        image_providers: entries,
        generate: gateway.clone().recipient(),
        keep: cache.clone().recipient(),
    })
    .start();

    let tracker = TaskTracker::new(TrackerParts {
        store,
        artifacts,
        plan: Arc::new(planner),
        run: registry.clone().recipient(),
        look_up: cache.clone().recipient(),
        coalesced: cache.clone().recipient(),
        permits,
        budget: budget.clone(),
        level: levels,
        events: events.clone(),
        limits: task_limits(&config.tasks),
    })
    .start();

    let memory = MemorySupervisor::new(MemoryParts {
        config: config.memory,
        budget: budget.clone(),
        source: Box::new(Sampler::new()?),
        reclaimers: vec![("cache", cache.clone().recipient())],
        listeners: vec![tracker.clone().recipient()],
        level,
        events: events.clone(),
    })
    .start();

    let recipients = recipients(&tracker, &cache, &gateway, &registry, &memory);
    let router = Router::new(RouterParts {
        recipients,
        events: events.clone(),
        budget,
        control,
        instance: instance_name().into(),
        locations,
        version: env!("CARGO_PKG_VERSION"),
        started: Instant::now(),
        is_auto_started,
    });
    Ok(Rooms {
        router,
        drain: tracker.clone().recipient(),
        counts: tracker.clone().recipient(),
        task_limits: tracker.recipient(),
        memory_limits: memory.recipient(),
        cache_limits: cache.recipient(),
        events,
    })
}

struct Providers {
    gateway: Addr<ProviderGateway>,
    permits: Permits,
    entries: Vec<ProviderEntry>,
}

/// The providers in the order of selection. `draft` is the only one yet.
fn providers(budget: &Budget) -> Providers {
    let info = DraftProvider::info();
    let permits = Permits::new([(Arc::from(info.name.as_str()), info.max_concurrent)]);
    let entry = ProviderEntry {
        name: info.name.clone(),
        kind: info.kind.clone(),
        address: "embedded".to_owned(),
        model: None,
        adapter_version: draft::VERSION.to_string(),
        is_paid: false,
    };
    let draft = DraftProvider::new(budget.clone()).start();
    let instance = Instance { info, generate: draft.recipient() };
    let gateway = ProviderGateway::new(vec![instance], permits.clone()).start();
    Providers { gateway, permits, entries: vec![entry] }
}

fn recipients(
    tracker: &Addr<TaskTracker>,
    cache: &Addr<ImageCache>,
    gateway: &Addr<ProviderGateway>,
    registry: &Addr<ServiceRegistry>,
    memory: &Addr<MemorySupervisor>,
) -> Recipients {
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
        get_cache_stats: cache.clone().recipient(),
        clear_cache: cache.clone().recipient(),
        verify_cache: cache.clone().recipient(),
        get_providers: gateway.clone().recipient(),
        get_service_status: registry.clone().recipient(),
        get_memory_status: memory.clone().recipient(),
        trim_memory: memory.clone().recipient(),
    }
}

/// Differs at each start: the process id comes again, the time with it does not.
fn instance_name() -> String {
    format!("{}-{:x}", std::process::id(), reel_protocol::Timestamp::now().unix_ms())
}
