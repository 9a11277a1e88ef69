//! Tests of the tracker with a real journal and fake peers.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::{Actor, Addr, Context, Handler, Message, ResponseFuture};
use reel_protocol::{
    CacheMode, HoldReason, Source, TaskError, TaskId, TaskSpec, TaskState, TaskView, methods::MemoryLevel,
};
use tokio::sync::{Semaphore, watch};

use super::{
    Again, Caller, Candidate, DecideTask, Decision, Drain, GetTask, GetTaskCounts, Plan, PlanRefusal,
    PlanSpec, PlanTasks, RunEnd, SetTaskLimits, SubmitTask, TaskRefusal, TaskTracker, TrackerParts, WaitFor,
    WaitTasks,
};
use crate::{
    cache::{
        Body, CacheParts, CountCoalesced, ImageCache, KeepMade, LookUp, Made, NewArtifact, SetCacheLimits,
    },
    domain::Facts,
    events::EventHub,
    memory::Budget,
    provider::{GateLimits, Permits},
    store::{self, Store},
};

mod again;
mod racing;
mod results;
mod services;
mod storm;

const LIMITS: SetTaskLimits =
    SetTaskLimits { max_concurrent: 2, history: 100, queue_limit: 50, default_attempts: 2 };

/// Handles the messages that the tracker sends to the cache, with a real cache in a temporary directory.
struct Peers {
    cache: Addr<ImageCache>,
    home: tempfile::TempDir,
}

impl Peers {
    fn new(store: &Store) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (budget, events) = (Budget::new(1 << 30), EventHub::default());
        let limits = SetCacheLimits { memory_bytes: 0, max_item_bytes: 0, disk_bytes: 1 << 30 };
        let (store, artifacts) = (store.clone(), home.path().to_owned());
        let cache = ImageCache::new(CacheParts { store, artifacts, budget, events, limits });
        Self { cache: cache.start(), home }
    }
}

impl Actor for Peers {
    type Context = Context<Self>;
}

/// A planner that accepts every request.
#[derive(Debug)]
struct AnyPlan {
    is_paid: bool,
}

impl PlanTasks for AnyPlan {
    fn generation(&self) -> u64 {
        0
    }

    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal> {
        let key = *blake3::hash(spec.params.as_str().as_bytes()).as_bytes();
        let candidate = Candidate {
            price: None,
            provider: "fake".into(),
            model: None,
            key,
            is_paid: self.is_paid,
            is_alternative: true,
        };
        let candidates = if spec.kind.starts_with("image.") { vec![candidate] } else { Vec::new() };
        Ok(Plan { params: spec.params.clone(), candidates, ..Plan::default() })
    }
}

impl Handler<LookUp> for Peers {
    type Result = ResponseFuture<Vec<Option<Arc<Made>>>>;

    fn handle(&mut self, look_up: LookUp, _: &mut Self::Context) -> Self::Result {
        let found = self.cache.send(look_up);
        Box::pin(async move { found.await.unwrap() })
    }
}

impl Handler<CountCoalesced> for Peers {
    type Result = ();

    fn handle(&mut self, _: CountCoalesced, _: &mut Self::Context) {}
}

fn failure(retryable: bool) -> TaskError {
    TaskError {
        code: "test".into(),
        message: "as asked".into(),
        hint: None,
        retryable,
        provider_status: None,
    }
}

fn picture(key: Option<[u8; 32]>) -> KeepMade {
    let picture = NewArtifact {
        body: Body::Held(b"a picture".to_vec()),
        reservation: None,
        facts: Facts::new("image/png", "png").with_pixels(4, 3),
    };
    KeepMade {
        key,
        provider: "fake".into(),
        model: None,
        artifacts: vec![picture],
        notes: Vec::new(),
        make_room: None,
    }
}

struct Bench {
    tracker: Addr<TaskTracker>,
    artifacts: PathBuf,
    gate: Arc<Semaphore>,
    runs: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new(store: &Store, is_paid: bool) -> Self {
        let (gate, runs) = (Arc::new(Semaphore::new(0)), Arc::default());
        let peers = Peers::new(store);
        let artifacts = peers.home.path().to_owned();
        let running = services::FakeServices {
            gate: Arc::clone(&gate),
            runs: Arc::clone(&runs),
            cache: peers.cache.clone(),
        };
        let peers = peers.start();
        let parts = TrackerParts {
            recovery: None,
            store: store.clone(),
            artifacts: Arc::from(&*artifacts),
            plan: Arc::new(AnyPlan { is_paid }),
            run: Arc::new(running),
            look_up: peers.clone().recipient(),
            coalesced: peers.recipient(),
            permits: Permits::new(
                [("fake".into(), GateLimits { max_concurrent: 1, requests_per_minute: None })],
                EventHub::default(),
            ),
            budget: Budget::new(1 << 30),
            level: watch::channel(MemoryLevel::Normal).1,
            events: EventHub::default(),
            limits: LIMITS,
            is_paused: false,
        };
        let tracker = TaskTracker::new(parts);
        let tracker = tracker.start();
        Self { tracker, artifacts, gate, runs }
    }

    async fn ask<M>(&self, message: M) -> M::Result
    where
        M: Message + Send + 'static,
        M::Result: Send,
        TaskTracker: Handler<M>,
    {
        self.tracker.send(message).await.unwrap()
    }

    async fn submit(&self, spec: TaskSpec) -> Result<TaskId, TaskRefusal> {
        let caller = Caller { client: "test".into(), connection: 1 };
        self.ask(SubmitTask { caller, spec, step: None }).await.map(|taken| taken.id)
    }

    async fn wait(&self, id: TaskId) -> TaskView {
        let (_here, gone) = tokio::sync::oneshot::channel();
        let timeout = Some(Duration::from_secs(20));
        let wait = WaitTasks { what: WaitFor::Tasks(vec![id]), is_any: false, timeout, gone };
        let mut waited = self.ask(wait).await.unwrap();
        assert!(!waited.timed_out, "{waited:?}");
        waited.tasks.remove(0)
    }

    async fn until(&self, id: TaskId, state: TaskState) {
        while self.ask(GetTask(id)).await.unwrap().state != state {
            tokio::task::yield_now().await;
        }
    }
}

fn spec(kind: &str) -> TaskSpec {
    TaskSpec { kind: kind.into(), ..TaskSpec::default() }
}

fn journal() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = store::open(&home.path().join("reel.db")).unwrap().store;
    (home, store)
}

#[actix::test]
async fn a_task_runs_and_its_waiter_sees_the_end() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let id = bench.submit(spec("test.noop")).await.unwrap();
    bench.gate.add_permits(1);
    let task = bench.wait(id).await;
    assert_eq!((task.state, task.attempts, task.progress.fraction), (TaskState::Succeeded, 1, 1.0));
}

#[actix::test]
async fn equal_requests_share_one_run_and_outlive_their_leader() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let leader = bench.submit(spec("image.generate")).await.unwrap();
    let follower = bench.submit(spec("image.generate")).await.unwrap();
    let last = bench.submit(spec("image.generate")).await.unwrap();
    bench.until(leader, TaskState::Running).await;
    let cancelled = bench.ask(DecideTask { id: leader, decision: Decision::Cancel }).await.unwrap();
    assert_eq!(cancelled.state, TaskState::Cancelled);
    bench.gate.add_permits(1);
    assert_eq!(bench.wait(follower).await.source, Some(Source::Made));
    assert_eq!(bench.wait(last).await.source, Some(Source::Shared));
    assert_eq!(bench.runs.lock().unwrap().len(), 1);
}

#[actix::test]
async fn a_request_that_shall_be_fresh_shares_nothing() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    bench.gate.add_permits(2);
    for _ in 0..2 {
        let id = bench.submit(TaskSpec { cache: CacheMode::Fresh, ..spec("image.generate") }).await.unwrap();
        assert_eq!(bench.wait(id).await.source, Some(Source::Made));
    }
}

#[actix::test]
async fn a_failed_dependency_fails_the_whole_chain_and_a_success_frees_it() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let first = bench.submit(spec("test.fail")).await.unwrap();
    let second = bench.submit(TaskSpec { after: vec![first], ..spec("test.noop") }).await.unwrap();
    let third = bench.submit(TaskSpec { after: vec![second], ..spec("test.noop") }).await.unwrap();
    assert_eq!(bench.ask(GetTask(third)).await.unwrap().state, TaskState::Waiting);
    bench.gate.add_permits(1);
    let failed = bench.wait(third).await;
    assert_eq!(failed.error.unwrap().code, "dependency_failed");
    let late = bench.submit(TaskSpec { after: vec![first], ..spec("test.noop") }).await.unwrap();
    assert_eq!(bench.wait(late).await.state, TaskState::Failed);
    assert!(matches!(
        bench.submit(TaskSpec { after: vec![TaskId(9_999)], ..spec("test.noop") }).await,
        Err(TaskRefusal::NoDependency { id: TaskId(9_999), .. })
    ));
}

#[actix::test]
async fn cancelling_stops_a_run_and_frees_its_slot() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    for _ in 0..5 {
        let id = bench.submit(spec("test.noop")).await.unwrap();
        bench.until(id, TaskState::Running).await;
        bench.ask(DecideTask { id, decision: Decision::Cancel }).await.unwrap();
        assert_eq!(bench.wait(id).await.state, TaskState::Cancelled);
    }
    let counts = bench.ask(GetTaskCounts).await;
    assert_eq!((counts.by_state["cancelled"], counts.by_state["running"]), (5, 0));
}

#[actix::test]
async fn a_full_queue_refuses_with_its_numbers_and_a_request_id_answers_again() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let named = TaskSpec { request_id: Some("a".into()), ..spec("test.noop") };
    let id = bench.submit(named.clone()).await.unwrap();
    assert_eq!(bench.submit(named.clone()).await.unwrap(), id);
    let other = TaskSpec { priority: 3, ..named };
    assert!(matches!(bench.submit(other).await, Err(TaskRefusal::RequestIdConflict(name)) if name == "a"));
    for _ in 0..LIMITS.queue_limit - 1 {
        bench.submit(spec("test.noop")).await.unwrap();
    }
    let refused = bench.submit(spec("test.noop")).await;
    assert!(
        matches!(refused, Err(TaskRefusal::QueueFull { unfinished: 50, asked: 1, limit: 50 })),
        "{refused:?}"
    );
}

#[actix::test]
async fn hold_release_retry_and_priority_do_as_they_say() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let busy =
        [bench.submit(spec("test.noop")).await.unwrap(), bench.submit(spec("test.noop")).await.unwrap()];
    let id = bench.submit(spec("test.fail")).await.unwrap();
    let decide = |decision| bench.ask(DecideTask { id, decision });
    let held = decide(Decision::Hold).await.unwrap();
    assert_eq!((held.state, held.hold_reason), (TaskState::Held, Some(HoldReason::User)));
    assert_eq!(bench.wait(id).await.state, TaskState::Held);
    assert_eq!(decide(Decision::SetPriority(9)).await.unwrap().priority, 9);
    assert_eq!(decide(Decision::Release).await.unwrap().state, TaskState::Queued);
    bench.gate.add_permits(3);
    for id in busy {
        bench.wait(id).await;
    }
    assert_eq!(bench.wait(id).await.state, TaskState::Failed);
    assert!(!decide(Decision::Retry).await.unwrap().state.is_finished());
    bench.gate.add_permits(1);
    assert_eq!(bench.wait(id).await.attempts, 2);
    assert!(matches!(decide(Decision::Hold).await, Err(TaskRefusal::IllegalState { .. })));
}

#[actix::test]
async fn a_drain_queues_what_runs_again_and_the_next_tracker_takes_it_up() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let id = bench.submit(spec("test.noop")).await.unwrap();
    bench.until(id, TaskState::Running).await;
    let drained = bench.ask(Drain::within(Duration::ZERO)).await;
    assert_eq!(drained.requeued, 1);
    assert!(matches!(bench.submit(spec("test.noop")).await, Err(TaskRefusal::Stopping)));
    let next = Bench::new(&store, false);
    next.gate.add_permits(1);
    assert_eq!(next.wait(id).await.state, TaskState::Succeeded);
    assert_eq!(
        next.submit(spec("test.noop")).await.unwrap(),
        TaskId(id.0 + 1),
        "an orderly end leaves no gap in the ids"
    );
}

#[actix::test]
async fn after_a_death_free_work_goes_on_twice_is_suspect_and_paid_work_is_held() {
    for (is_paid, kind, expected) in [
        (false, "image.generate", [None, Some(HoldReason::CrashSuspect)]),
        (true, "image.generate", [Some(HoldReason::OutcomeUnknown), Some(HoldReason::OutcomeUnknown)]),
    ] {
        let (_home, store) = journal();
        let bench = Bench::new(&store, is_paid);
        let id = bench.submit(spec(kind)).await.unwrap();
        bench.until(id, TaskState::Running).await;
        for hold in expected {
            // A tracker that is never drained leaves the journal as a death of the daemon does.
            let next = Bench::new(&store, is_paid);
            match hold {
                None => {
                    while next.ask(GetTask(id)).await.unwrap().attempts < 2 {
                        tokio::task::yield_now().await;
                    }
                }
                Some(_) => assert_eq!(next.wait(id).await.hold_reason, hold, "{kind}"),
            }
        }
    }
}
