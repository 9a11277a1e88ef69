//! The task tracker: owns every unfinished task, decides what runs, and tells who waits.
//!
//! It promises that an acknowledged task is on disk, that its own memory and its events follow the disk and never run ahead of it, and that
//! every waiter gets an outcome. Sessions ask it; it asks the services to run, the cache for what is there, and the journal for everything
//! that changes. Each change goes to the journal with what follows from it, and comes back in the order of the commits.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix::{Actor, AsyncContext, Context, Handler, Recipient, SpawnHandle, StreamHandler};
use reel_protocol::{BatchId, TaskId, TaskState, methods::MemoryLevel};
use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::Instant,
};

use super::{
    PlanTasks, ReportProgress, RunTasks, SetTaskLimits,
    dependencies::Dependencies,
    flights::{Flights, Key},
    hits::Hit,
    ids::Ids,
    inbox::Inbox,
    journal::Applied,
    live::LiveTask,
    messages::{Drained, PauseQueue},
    ready::Ready,
    waiters::Waiters,
};
use crate::{
    cache::{CountCoalesced, LookUp, Shelves},
    disk::FreeRoom,
    domain::{RemoteJob, Target},
    events::EventHub,
    memory::{Budget, PressureChanged},
    provider::Permits,
    store::{Recovery, Store},
};

/// Requests and reports that may stand before the tracker; sessions bound their own requests far below.
const MAILBOX: usize = 4_096;
/// Most reads of tasks to be shown at once, each of which may be a page.
const READERS: usize = 4;

/// How long the journal is left alone after it refused what must not be lost.
pub(super) const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// What the tracker works with.
#[derive(Debug, Clone)]
pub struct TrackerParts {
    /// The journal.
    pub store: Store,
    /// What was read of it when it was opened; None has the tracker read it.
    pub recovery: Option<Recovery>,
    /// The directory that output paths are given in.
    pub artifacts: Arc<Path>,
    /// Says how tasks would run.
    pub plan: Arc<dyn PlanTasks>,
    /// Runs attempts.
    pub run: Arc<dyn RunTasks>,
    /// What the cache has in memory.
    pub shelves: Shelves,
    /// Says what the cache has.
    pub look_up: Recipient<LookUp>,
    /// Counts coalesced requests.
    pub coalesced: Recipient<CountCoalesced>,
    /// The providers' permits.
    pub permits: Permits,
    /// The memory budget.
    pub budget: Budget,
    /// How tight memory is.
    pub level: watch::Receiver<MemoryLevel>,
    /// Who listens.
    pub events: EventHub,
    /// From the configuration.
    pub limits: SetTaskLimits,
}

/// An attempt under way; it holds a slot.
pub(super) struct Run {
    /// Whom it works for; None once the task was given up and nobody shares it.
    pub leader: Option<TaskId>,
    /// Tells it to stop.
    pub cancel: watch::Sender<bool>,
    /// What makes others equal to it; None where its result is not shared.
    pub key: Option<Key>,
    /// Whether it goes on though it was told to stop, as it may have been paid.
    pub is_paid: bool,
    /// Whether it only waits for the rows of its results: it holds no slot any more.
    pub is_over: bool,
    /// What the provider holds for it. From then on it only fetches, and holds no slot any more.
    pub job: Option<Arc<RemoteJob>>,
}

/// The actor.
pub struct TaskTracker {
    pub(super) parts: TrackerParts,
    /// Boxed: the table of a large batch is emptied and kept, and shall be mere pointers then.
    pub(super) live: HashMap<TaskId, Box<LiveTask>>,
    pub(super) ready: Ready,
    /// Providers that are out of order and whose ready tasks were told to leave.
    pub(super) down: HashSet<Target>,
    /// Ready tasks whose provider may be out of order.
    pub(super) leaving: Vec<TaskId>,
    pub(super) flights: Flights,
    pub(super) dependencies: Dependencies,
    pub(super) waiters: Waiters,
    /// Turns of those who read tasks to show them.
    pub(super) read_turns: Arc<Semaphore>,
    pub(super) runs: HashMap<u64, Run>,
    pub(super) next_run: u64,
    /// Results that were made: what the cache did not have before the last one may be there now.
    pub(super) results: u64,
    /// Queued tasks whose time has not come.
    pub(super) delayed: BTreeSet<(Instant, TaskId)>,
    pub(super) deadlines: BTreeSet<(Instant, TaskId)>,
    /// When the next of both comes due: one timer for all, since an actor looks at each of its timers whenever it does anything.
    timer: Option<(Instant, SpawnHandle)>,
    /// Unfinished tasks whose provider is not configured, and that provider.
    pub(super) missing: BTreeMap<TaskId, Arc<str>>,
    pub(super) counts: BTreeMap<TaskState, u64>,
    /// Unfinished tasks of each batch that has any.
    pub(super) open_batches: HashMap<BatchId, u64>,
    /// Tasks that are on their way into the journal.
    pub(super) accepting: u64,
    /// Requests whose tasks are on disk and not all in their queues yet.
    pub(super) admitting: u64,
    pub(super) ids: Ids,
    pub(super) is_paused: bool,
    pub(super) is_stopping: bool,
    pub(super) is_pruning: bool,
    /// Answers from the cache whose rows wait for others to share their commit.
    pub(super) hits: Vec<Hit>,
    /// How many of such rows the journal is writing.
    pub(super) hits_on_their_way: usize,
    /// So many finished tasks may stand before it is looked again which may go.
    pub(super) unprunable: u64,
    /// What the disk has left.
    pub(super) free_room: FreeRoom,
    pub(super) drained: Option<(oneshot::Sender<Drained>, Drained)>,
    pub(super) inbox: Inbox,
}

impl TaskTracker {
    /// A tracker without tasks; it reads the journal when it starts.
    pub fn new(parts: TrackerParts) -> Self {
        Self {
            parts,
            live: HashMap::new(),
            ready: Ready::default(),
            down: HashSet::new(),
            leaving: Vec::new(),
            flights: Flights::default(),
            dependencies: Dependencies::default(),
            waiters: Waiters::default(),
            read_turns: Arc::new(Semaphore::new(READERS)),
            runs: HashMap::new(),
            next_run: 0,
            results: 0,
            delayed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            timer: None,
            missing: BTreeMap::new(),
            counts: BTreeMap::new(),
            open_batches: HashMap::new(),
            accepting: 0,
            admitting: 0,
            ids: Ids::default(),
            is_paused: false,
            is_stopping: false,
            is_pruning: false,
            hits: Vec::new(),
            hits_on_their_way: 0,
            unprunable: 0,
            free_room: FreeRoom::default(),
            drained: None,
            inbox: Inbox::default(),
        }
    }

    /// Runs `decide` as soon as no transition of the task is on its way to disk: now, if there is none.
    pub(super) fn when_settled(
        &mut self,
        ctx: &mut Context<Self>,
        id: TaskId,
        decide: impl FnOnce(&mut Self, &mut Context<Self>) + Send + 'static,
    ) {
        match self.live.get_mut(&id) {
            Some(task) if task.is_committing => task.deferred.push(Box::new(decide)),
            _ => decide(self, ctx),
        }
    }

    /// The task's transition is on disk: what waited for it is decided now.
    pub(super) fn settle_commit(&mut self, ctx: &mut Context<Self>, id: TaskId) {
        let Some(task) = self.live.get_mut(&id) else { return };
        task.is_committing = false;
        let mut deferred = std::mem::take(&mut task.deferred).into_iter();
        while let Some(decide) = deferred.next() {
            decide(self, ctx);
            if let Some(task) = self.live.get_mut(&id)
                && task.is_committing
            {
                let later = std::mem::take(&mut task.deferred);
                task.deferred = deferred.chain(later).collect();
                return;
            }
        }
        // What was being decided stood in no queue; what is still to be done goes back.
        self.enqueue(id);
    }

    /// Wakes the tracker when `due` comes, if nothing wakes it earlier.
    pub(super) fn wake_at(&mut self, ctx: &mut Context<Self>, due: Instant) {
        if let Some((earlier, timer)) = self.timer {
            if earlier <= due {
                return;
            }
            ctx.cancel_future(timer);
        }
        let timer = ctx.run_later(due.saturating_duration_since(Instant::now()), Self::wake);
        self.timer = Some((due, timer));
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        let now = Instant::now();
        while let Some((due, id)) = self.deadlines.first().copied().filter(|(due, _)| *due <= now) {
            self.deadlines.remove(&(due, id));
            self.when_settled(ctx, id, move |tracker, _| tracker.pass_deadline(id));
        }
        while let Some((_, id)) = self.delayed.first().copied().filter(|(due, _)| *due <= now) {
            self.end_delay(id);
            self.enter_queue(ctx, id);
        }
        let next = [self.deadlines.first(), self.delayed.first()].into_iter().flatten().map(|(due, _)| *due);
        if let Some(due) = next.min() {
            self.wake_at(ctx, due);
        }
        self.dispatch(ctx);
    }
}

impl Actor for TaskTracker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.add_stream(self.inbox.clone());
        let permits = self.parts.permits.clone();
        ctx.add_stream(futures_util::stream::unfold(permits, |permits| async move {
            permits.given_back().await;
            Some((PermitGivenBack, permits))
        }));
        self.recover(ctx);
    }
}

/// An attempt is over at its provider, though its run may still keep what it made: the next one may ask.
struct PermitGivenBack;

impl StreamHandler<PermitGivenBack> for TaskTracker {
    fn handle(&mut self, _: PermitGivenBack, ctx: &mut Self::Context) {
        self.dispatch(ctx);
    }
}

impl StreamHandler<Applied> for TaskTracker {
    fn handle(&mut self, applied: Applied, ctx: &mut Self::Context) {
        applied.apply(self, ctx);
    }
}

impl Handler<PauseQueue> for TaskTracker {
    type Result = ();

    fn handle(&mut self, PauseQueue(is_paused): PauseQueue, ctx: &mut Self::Context) {
        self.is_paused = is_paused;
        self.dispatch(ctx);
    }
}

impl Handler<SetTaskLimits> for TaskTracker {
    type Result = ();

    fn handle(&mut self, limits: SetTaskLimits, ctx: &mut Self::Context) {
        self.parts.limits = limits;
        self.unprunable = 0;
        self.prune();
        self.dispatch(ctx);
    }
}

impl Handler<PressureChanged> for TaskTracker {
    type Result = ();

    fn handle(&mut self, _: PressureChanged, ctx: &mut Self::Context) {
        self.dispatch(ctx);
    }
}

impl Handler<ReportProgress> for TaskTracker {
    type Result = ();

    fn handle(&mut self, report: ReportProgress, ctx: &mut Self::Context) {
        self.progress(ctx, &report);
    }
}
