//! Tests of the supervisor with fake memory, fake reclaimers, and a clock that the tests move.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use actix::prelude::*;
use reel_protocol::methods::{LimitSource, MemoryLevel, MemoryTrimResult, PressureCause, TrimReason};
use tokio::{sync::watch, time::sleep};

use super::{
    Budget, GetMemoryStatus, Holder, MemoryParts, MemorySupervisor, PressureChanged, Reclaim,
    SetMemoryLimits, TrimMemory, group::Group, levels::Sample, sample::SampleSource,
};
use crate::{config::MemoryConfig, events::EventHub};

const MIB: u64 = 1 << 20;

/// The memory, which the test and the fake reclaimers change.
#[derive(Clone, Default)]
struct FakeMemory {
    resident: Arc<AtomicU64>,
    lacking: Arc<AtomicU64>,
    samples: Arc<AtomicU64>,
    groups: Arc<Mutex<Vec<Group>>>,
}

impl FakeMemory {
    fn set(&self, mib: u64) {
        self.resident.store(mib * MIB, SeqCst);
    }

    fn set_group(&self, limit_mib: u64, used_mib: u64) {
        let used_bytes = Some(used_mib * MIB);
        let group = Group { path: "/app".into(), limit_bytes: limit_mib * MIB, used_bytes };
        *self.groups.lock().unwrap() = vec![group];
    }
}

impl SampleSource for FakeMemory {
    fn sample(&mut self) -> Sample {
        self.samples.fetch_add(1, SeqCst);
        Sample {
            resident_bytes: self.resident.load(SeqCst),
            children_bytes: 5 * MIB,
            system_available_bytes: 4000 * MIB - self.lacking.load(SeqCst) * MIB,
            system_total_bytes: 8000 * MIB,
            groups: self.groups.lock().unwrap().clone(),
        }
    }
}

/// Frees what it has after a delay, and records the requests.
struct FakeReclaimer {
    memory: FakeMemory,
    has_bytes: u64,
    delay: Duration,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Actor for FakeReclaimer {
    type Context = Context<Self>;
}

impl Handler<Reclaim> for FakeReclaimer {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, Reclaim { bytes }: Reclaim, _: &mut Self::Context) -> Self::Result {
        self.asked.lock().unwrap().push(bytes);
        let freed = bytes.min(self.has_bytes);
        self.has_bytes -= freed;
        self.memory.resident.fetch_sub(freed, SeqCst);
        let delay = self.delay;
        Box::pin(async move {
            sleep(delay).await;
            freed
        })
    }
}

#[derive(Clone, Default)]
struct FakeListener(Arc<Mutex<Vec<MemoryLevel>>>);

impl Actor for FakeListener {
    type Context = Context<Self>;
}

impl Handler<PressureChanged> for FakeListener {
    type Result = ();

    fn handle(&mut self, changed: PressureChanged, _: &mut Self::Context) {
        self.0.lock().unwrap().push(changed.level);
    }
}

struct Scene {
    memory: FakeMemory,
    supervisor: Addr<MemorySupervisor>,
    budget: Budget,
    level: watch::Receiver<MemoryLevel>,
    told: FakeListener,
    events: EventHub,
    /// The bytes that the first and the second reclaimer were asked to free.
    asked: [Arc<Mutex<Vec<u64>>>; 2],
}

impl Scene {
    /// Creates a supervisor with a limit of 1,000 MiB (low 700, high 800, critical 950), and two reclaimers with so many MiB.
    fn new(has_mib: [u64; 2], delay: Duration) -> Self {
        let memory = FakeMemory::default();
        memory.set(100);
        let told = FakeListener::default();
        let asked = [Arc::default(), Arc::default()];
        let reclaimer = |index: usize| {
            let reclaimer = FakeReclaimer {
                memory: memory.clone(),
                has_bytes: has_mib[index] * MIB,
                delay,
                asked: Arc::clone(&asked[index]),
            };
            reclaimer.start().recipient()
        };
        let (level, level_rx) = watch::channel(MemoryLevel::Normal);
        let (budget, events) = (Budget::new(0), EventHub::default());
        let parts = MemoryParts {
            config: MemoryConfig { limit_mb: 1000, ..MemoryConfig::default() },
            budget: budget.clone(),
            source: Box::new(memory.clone()),
            reclaimers: vec![("cheap", reclaimer(0)), ("dear", reclaimer(1))],
            listeners: vec![told.clone().start().recipient()],
            level,
            events: events.clone(),
        };
        let supervisor = MemorySupervisor::new(parts).start();
        Self { memory, supervisor, budget, level: level_rx, told, events, asked }
    }

    fn asked_mib(&self, index: usize) -> Vec<u64> {
        self.asked[index].lock().unwrap().iter().map(|bytes| bytes / MIB).collect()
    }

    fn level(&self) -> MemoryLevel {
        *self.level.borrow()
    }

    async fn trim(&self) -> MemoryTrimResult {
        self.supervisor.send(TrimMemory).await.unwrap()
    }
}

/// Runs the test in an actix system whose clock moves only when all tasks wait.
fn run(test: impl Future<Output = ()>) {
    System::new().block_on(async {
        tokio::time::pause();
        test.await;
    });
}

#[test]
fn at_high_the_cheapest_give_back_down_to_the_low_watermark() {
    run(async {
        let scene = Scene::new([50, 500], Duration::from_millis(10));
        scene.memory.set(850);
        sleep(Duration::from_millis(1500)).await;
        assert_eq!((scene.asked_mib(0), scene.asked_mib(1)), (vec![150], vec![100]));
        assert_eq!(scene.memory.resident.load(SeqCst), 700 * MIB);
        // It is at the low watermark and not below it, so the level is still high.
        assert_eq!(scene.level(), MemoryLevel::High);
        scene.memory.set(699);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.level(), MemoryLevel::Normal);
        assert_eq!(*scene.told.0.lock().unwrap(), [MemoryLevel::High, MemoryLevel::Normal]);
        let status = scene.supervisor.send(GetMemoryStatus).await.unwrap();
        assert_eq!((status.peak_resident_bytes, status.resident_bytes), (850 * MIB, 699 * MIB));
        assert_eq!(status.reclaimers[..2], ["cheap", "dear"]);
    });
}

#[test]
fn subscribers_are_told_of_each_level_and_of_what_was_given_back() {
    run(async {
        let scene = Scene::new([50, 500], Duration::from_millis(10));
        let (_, mut events) = scene.events.listen();
        scene.memory.set(850);
        sleep(Duration::from_millis(1500)).await;
        scene.memory.set(600);
        sleep(Duration::from_secs(1)).await;
        scene.trim().await;
        let mut told = Vec::new();
        while let Some(happening) = events.try_next() {
            let memory = happening.memory.unwrap();
            let freed_mib = memory.freed_bytes.map(|bytes| bytes / MIB);
            told.push((happening.event, memory.level, memory.resident_bytes / MIB, freed_mib));
        }
        assert_eq!(
            told,
            [
                ("pressure_changed", MemoryLevel::High, 850, None),
                ("trimmed", MemoryLevel::High, 700, Some(150)),
                ("pressure_changed", MemoryLevel::Normal, 600, None),
                ("trimmed", MemoryLevel::Normal, 200, Some(400)),
            ]
        );
    });
}

#[test]
fn reclaimers_are_asked_at_most_once_in_five_seconds() {
    run(async {
        let scene = Scene::new([0, 0], Duration::ZERO);
        scene.memory.set(900);
        sleep(Duration::from_millis(12_500)).await;
        assert_eq!(scene.asked_mib(0), [200, 200, 200]);
    });
}

#[test]
fn a_quiet_daemon_samples_once_a_poll_and_asks_for_nothing() {
    run(async {
        let scene = Scene::new([10, 10], Duration::ZERO);
        sleep(Duration::from_millis(60_500)).await;
        let samples = scene.memory.samples.load(SeqCst);
        assert!((60..=62).contains(&samples), "{samples}");
        assert!(scene.asked_mib(0).is_empty() && scene.told.0.lock().unwrap().is_empty());
    });
}

#[test]
fn a_short_system_is_critical_however_small_we_are() {
    run(async {
        let scene = Scene::new([1000, 0], Duration::ZERO);
        scene.memory.lacking.store(3600, SeqCst);
        sleep(Duration::from_millis(1500)).await;
        assert_eq!(scene.level(), MemoryLevel::Critical);
        assert_eq!(scene.asked_mib(0), [100]);
        scene.memory.lacking.store(3450, SeqCst);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.level(), MemoryLevel::Critical);
        scene.memory.lacking.store(3400, SeqCst);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.level(), MemoryLevel::Normal);
    });
}

#[test]
fn the_limit_is_that_of_a_smaller_group_as_long_as_it_has_one() {
    run(async {
        let scene = Scene::new([50, 0], Duration::ZERO);
        scene.memory.set(450);
        scene.memory.set_group(500, 450);
        sleep(Duration::from_millis(1500)).await;
        assert_eq!(scene.budget.limit_bytes(), 500 * MIB);
        let status = scene.supervisor.send(GetMemoryStatus).await.unwrap();
        let limit = status.limit.unwrap();
        assert_eq!((limit.bytes, status.limit_bytes, status.high_bytes), (500 * MIB, 500 * MIB, 400 * MIB));
        assert_eq!((limit.source, limit.detail.as_deref()), (LimitSource::Cgroup, Some("/app")));
        assert_eq!((status.level, status.cause), (MemoryLevel::High, Some(PressureCause::Resident)));
        assert_eq!(scene.asked_mib(0), [100]);
        let last = status.last_trim.unwrap();
        assert_eq!((last.reason, last.freed_bytes / MIB), (TrimReason::Pressure, 50));
        let by: Vec<_> =
            last.reclaimers.iter().map(|info| (info.name.as_str(), info.freed_bytes / MIB)).collect();
        assert_eq!(by, [("cheap", 50), ("dear", 0)]);
        assert!(status.level_since.is_some());
        scene.memory.groups.lock().unwrap().clear();
        sleep(Duration::from_secs(1)).await;
        assert_eq!((scene.budget.limit_bytes(), scene.level()), (1000 * MIB, MemoryLevel::Normal));
    });
}

#[test]
fn a_group_that_others_fill_presses_and_says_so() {
    run(async {
        let scene = Scene::new([50, 0], Duration::ZERO);
        scene.memory.set_group(4000, 3900);
        sleep(Duration::from_millis(1500)).await;
        let status = scene.supervisor.send(GetMemoryStatus).await.unwrap();
        assert_eq!((status.level, status.cause), (MemoryLevel::Critical, Some(PressureCause::Cgroup)));
        assert_eq!(status.limit.unwrap().source, LimitSource::Configured);
        assert_eq!((status.resident_bytes, status.children_bytes), (50 * MIB, 5 * MIB));
        let group = status.group.unwrap();
        assert_eq!(
            (group.path.as_str(), group.used_bytes / MIB, group.limit_bytes / MIB),
            ("/app", 3900, 4000)
        );
        assert_eq!(scene.asked_mib(0), [1100]);
        scene.memory.set_group(4000, 2700);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.level(), MemoryLevel::Normal);
    });
}

#[test]
fn a_second_trim_joins_the_first() {
    run(async {
        let scene = Scene::new([30, 20], Duration::from_millis(200));
        let (first, second) = tokio::join!(scene.trim(), scene.trim());
        assert_eq!(first, second);
        assert_eq!(
            (first.before_bytes, first.after_bytes, first.freed_bytes),
            (100 * MIB, 50 * MIB, 50 * MIB)
        );
        assert!(first.elapsed_ms >= 400, "{first:?}");
        let freed: Vec<_> = first.reclaimers.iter().take(2).map(|info| info.freed_bytes / MIB).collect();
        assert_eq!(freed, [30, 20]);
        assert_eq!(scene.asked[0].lock().unwrap().len(), 1);
        let status = scene.supervisor.send(GetMemoryStatus).await.unwrap();
        let last = status.last_trim.unwrap();
        assert_eq!(
            (last.reason, last.freed_bytes, last.reclaimers),
            (TrimReason::Asked, first.freed_bytes, first.reclaimers)
        );
        assert_eq!(status.level_since, None);
        assert_eq!(scene.trim().await.freed_bytes, 0);
        assert_eq!(scene.asked[0].lock().unwrap().len(), 2);
    });
}

#[test]
fn a_stuck_reclaimer_is_passed_over() {
    run(async {
        let scene = Scene::new([30, 20], Duration::from_hours(1));
        let trim = scene.trim().await;
        assert!(trim.elapsed_ms >= 20_000 && trim.elapsed_ms < 30_000, "{trim:?}");
        assert!(trim.reclaimers.iter().take(2).all(|info| info.freed_bytes == 0), "{trim:?}");
    });
}

#[test]
fn new_limits_hold_at_once() {
    run(async {
        let scene = Scene::new([1000, 0], Duration::ZERO);
        assert_eq!(scene.budget.limit_bytes(), 1000 * MIB);
        let held = scene.budget.reserve(Holder::Cache, 90 * MIB).unwrap();
        let config = MemoryConfig { limit_mb: 110, poll_ms: 100, ..MemoryConfig::default() };
        scene.supervisor.send(SetMemoryLimits(config)).await.unwrap();
        assert_eq!(scene.budget.limit_bytes(), 110 * MIB);
        assert!(scene.budget.reserve(Holder::Cache, 30 * MIB).is_err());
        assert_eq!(scene.level(), MemoryLevel::High);
        let status = scene.supervisor.send(GetMemoryStatus).await.unwrap();
        assert_eq!(
            (status.limit_bytes, status.reserved_bytes, status.refusals),
            (110 * MIB, held.bytes(), 1)
        );
        assert_eq!(status.reservations[0].bytes, held.bytes());
        let before = scene.memory.samples.load(SeqCst);
        sleep(Duration::from_millis(1050)).await;
        let samples = scene.memory.samples.load(SeqCst) - before;
        assert!((10..=11).contains(&samples), "the former timer still runs: {samples}");
    });
}
