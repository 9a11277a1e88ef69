//! The task tracker is the actor that feeds events to the task machine and carries out its effects.
//!
//! An acknowledged task is on disk, every request gets an answer, and commits reach the machine in the order in which the journal made them. The
//! actor decides nothing itself. Sessions send it messages, which it passes to the [`Machine`] as events. It passes the effects to the journal, the
//! cache, the services, and the requests that wait for an answer.

mod daemon_surroundings;
mod intake;
mod journal;
mod requests;
mod restart;
mod show;
mod sinks;
mod trial;

use std::{collections::HashMap, path::Path, sync::Arc};

use actix::{Actor, AsyncContext, Context, Handler, Recipient, SpawnHandle, StreamHandler};
use futures_util::stream::unfold;
use reel_protocol::{Timestamp, methods::MemoryLevel};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use super::{
    PlanTasks, RunEnd, RunTask, RunTasks, SetTaskLimits,
    machine::{Attempt, AttemptEnd, Effect, Event, Machine, Moment, Now, RequestId, RunId, Write},
};
use crate::{
    budget::Budget,
    cache::{CountCoalesced, Kept, LookUp},
    chain::chain,
    disk::FreeSpaceCache,
    events::EventHub,
    memory::PressureChanged,
    provider::{IsWanted, Permits},
    store::{Recovery, Store},
};

pub use self::journal::apply;
use self::{
    daemon_surroundings::DaemonSurroundings,
    journal::Committed,
    requests::Requests,
    sinks::{job_sink, progress_sink},
};

/// Capacity of the mailbox, in messages. Sessions limit their own requests to far fewer.
const MAILBOX: usize = 4_096;
/// Most concurrent reads of tasks that are to be shown. Each may be a page.
const READERS: usize = 4;

/// The parts of the daemon that the tracker uses.
#[derive(Debug, Clone)]
pub struct TrackerParts {
    /// The journal, in which every transition is committed.
    pub store: Store,
    /// The content of the journal, if it was read when the journal was opened. If None, the tracker reads it.
    pub recovery: Option<Recovery>,
    /// The directory that contains the artifacts. Output paths begin with it.
    pub artifacts: Arc<Path>,
    /// Plans how tasks would run.
    pub plan: Arc<dyn PlanTasks>,
    /// Runs the attempts of tasks, each as a future of its own.
    pub run: Arc<dyn RunTasks>,
    /// Looks results up in the cache.
    pub look_up: Recipient<LookUp>,
    /// Counts coalesced requests in the cache's statistics.
    pub coalesced: Recipient<CountCoalesced>,
    /// The providers' permits.
    pub permits: Permits,
    /// The memory budget.
    pub budget: Budget,
    /// The memory pressure.
    pub level: watch::Receiver<MemoryLevel>,
    /// Sends events to subscribers.
    pub events: EventHub,
    /// The limits from the configuration.
    pub limits: SetTaskLimits,
    /// Whether the queue was paused before the daemon started, and not resumed.
    pub is_paused: bool,
}

/// A result that returns to the tracker from work that it started elsewhere.
enum Returned {
    /// An event for the machine.
    Event(Box<Event>),
    /// A write was committed or refused.
    Committed(Box<Committed>),
    /// An attempt has ended.
    Ended(RunId, RunEnd),
    /// The client that sent this request has gone.
    Gone(RequestId),
}

/// The actor, see the module documentation.
pub struct TaskTracker {
    parts: TrackerParts,
    pub(super) machine: Machine<DaemonSurroundings>,
    requests: Requests,
    /// Tells each running attempt to stop.
    stops: HashMap<RunId, watch::Sender<bool>>,
    /// Results whose rows are being committed.
    kept: HashMap<RunId, Kept>,
    returns: mpsc::UnboundedSender<Returned>,
    /// The receiver of `returns`, until the actor starts and takes it.
    returned: Option<mpsc::UnboundedReceiver<Returned>>,
    /// Permits to read tasks that are to be shown, [`READERS`] in number.
    read_turns: Arc<Semaphore>,
    /// Measures the free space of the disk.
    free_room: FreeSpaceCache,
    /// The zero of the machine's moments.
    origin: Instant,
    wake: Option<SpawnHandle>,
}

impl TaskTracker {
    /// Returns a tracker without tasks. It reads the journal when it starts.
    pub fn new(parts: TrackerParts) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded by what the tracker has asked for: writes in the journal's queue, and one return for each attempt and read"
        )]
        let (returns, returned) = mpsc::unbounded_channel();
        let origin = Instant::now();
        let surroundings = DaemonSurroundings::new(&parts, origin);
        let machine = Machine::new(surroundings, parts.limits, Arc::clone(&parts.plan), now(origin));
        Self {
            parts,
            machine,
            requests: Requests::default(),
            stops: HashMap::new(),
            kept: HashMap::new(),
            returns,
            returned: Some(returned),
            read_turns: Arc::new(Semaphore::new(READERS)),
            free_room: FreeSpaceCache::default(),
            origin,
            wake: None,
        }
    }

    /// Passes an event to the machine, and carries out the effects.
    fn feed(&mut self, ctx: &mut Context<Self>, event: Event) {
        let effects = self.machine.handle(event, now(self.origin));
        self.carry_out(ctx, effects);
    }

    fn carry_out(&mut self, ctx: &mut Context<Self>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Commit(write) => self.commit(write),
                Effect::LookUp { run, keys } => self.look_up(run, keys),
                Effect::Start(attempt) => self.start_attempt(ctx, *attempt),
                Effect::Stop(run) => {
                    if let Some(stop) = self.stops.get(&run) {
                        stop.send_replace(true);
                    }
                }
                Effect::Load { request, id, decision } => self.load(request, id, decision),
                Effect::Resolve { id, references } => self.read_outputs(id, references),
                Effect::Plan { planner, asked } => self.plan_anew(planner, asked),
                Effect::Answer { request, answer } => self.answer(ctx, request, answer),
                Effect::Tell { event, task } => self.parts.events.task(event, || *task),
                Effect::TellPartial(partial) => self.parts.events.partial(*partial),
                Effect::CountCoalesced => {
                    if let Err(error) = self.parts.coalesced.try_send(CountCoalesced(1)) {
                        tracing::debug!(%error, "a coalesced request was not counted");
                    }
                }
                Effect::WakeAt(due) => self.wake_at(ctx, due),
            }
        }
    }

    /// Spawns `work`, and feeds its event to the machine when it is done.
    fn when_done(&self, work: impl Future<Output = Event> + 'static) {
        let returns = self.returns.clone();
        // The send fails only once the tracker has stopped.
        actix::spawn(async move { drop(returns.send(Returned::Event(Box::new(work.await)))) });
    }

    fn look_up(&self, run: RunId, keys: Vec<crate::cache::Key>) {
        let found = self.parts.look_up.send(LookUp { requests: vec![keys], is_counted: false });
        self.when_done(async move {
            let found = found.await.unwrap_or_default().into_iter().next().flatten();
            Event::LookedUp { run, found }
        });
    }

    fn start_attempt(&mut self, ctx: &mut Context<Self>, attempt: Attempt) {
        let Attempt { run, task, client, priority, is_retry, kind, params, provider, job, cache } = attempt;
        let (stop, cancel) = watch::channel(false);
        self.stops.insert(run, stop);
        let running = self.parts.run.run(RunTask {
            task,
            client,
            priority,
            is_retry,
            kind,
            params,
            provider,
            job,
            permit: self.machine.around.take_permit(run),
            cache,
            cancel,
            progress: progress_sink(ctx.address().recipient(), ctx.address().recipient(), run),
            jobs: job_sink(ctx.address().recipient(), run),
            make_room: ctx.address().recipient(),
        });
        let returns = self.returns.clone();
        actix::spawn(async move {
            let end = running.await;
            // The send fails only once the tracker has stopped. The crash rule decides then.
            drop(returns.send(Returned::Ended(run, end)));
        });
    }

    /// Handles the end of an attempt. Its results are kept until their rows are committed.
    fn ended(&mut self, ctx: &mut Context<Self>, run: RunId, end: RunEnd) {
        self.stops.remove(&run);
        let end = match end {
            RunEnd::Done => AttemptEnd::Done,
            RunEnd::Made { kept, cost, on_journal_failure } => {
                let made = Arc::new(kept.made.clone());
                self.kept.insert(run, *kept);
                AttemptEnd::Made { made, cost, on_journal_failure }
            }
            RunEnd::Failed(error, again) => AttemptEnd::Failed(error, again),
            RunEnd::FailedAtCost(error, again, cost) => {
                self.feed(ctx, Event::Charged { run, cost });
                AttemptEnd::Failed(error, again)
            }
            RunEnd::Stopped => AttemptEnd::Stopped,
        };
        self.feed(ctx, Event::Ended { run, end });
    }

    /// Handles a write that was committed or refused. The cache is told before the machine, so that look-ups that the machine causes find the
    /// results.
    fn committed(&mut self, ctx: &mut Context<Self>, committed: Committed) {
        let Committed { write, outcome } = committed;
        if let Write::Results { run, .. } = &*write
            && let Some(kept) = self.kept.remove(run)
        {
            match &outcome {
                Ok(_) => {}
                Err(error) => tracing::error!(error = chain(error), "what was made could not be journaled"),
            }
            let outcome = outcome.map(|(outcome, written)| {
                if let Some(written) = written {
                    kept.settle(written);
                }
                outcome
            });
            return self.feed(ctx, Event::Committed { write, outcome });
        }
        let outcome = outcome.map(|(outcome, _)| outcome);
        self.feed(ctx, Event::Committed { write, outcome });
    }

    fn wake_at(&mut self, ctx: &mut Context<Self>, due: Option<Moment>) {
        if let Some(wake) = self.wake.take() {
            ctx.cancel_future(wake);
        }
        let now = now(self.origin).moment;
        self.wake =
            due.map(|due| ctx.run_later(now.until(due), |tracker, ctx| tracker.feed(ctx, Event::Tick)));
    }
}

/// Returns both clocks in the form that the machine uses.
fn now(origin: Instant) -> Now {
    Now { moment: moment(origin, Instant::now()), wall: Timestamp::now() }
}

/// Converts an instant to a moment of the machine.
fn moment(origin: Instant, at: Instant) -> Moment {
    Moment::after_origin(at.saturating_duration_since(origin))
}

impl Actor for TaskTracker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if let Some(returned) = self.returned.take() {
            ctx.add_stream(unfold(returned, |mut returned| async move {
                Some((returned.recv().await?, returned))
            }));
        }
        let permits = self.parts.permits.clone();
        ctx.add_stream(unfold(permits, |permits| async move {
            permits.given_back().await;
            Some((PermitGivenBack, permits))
        }));
        self.recover(ctx);
    }
}

/// A provider's permit was given back, so another attempt may begin. The run of the former attempt may still be storing its results.
struct PermitGivenBack;

impl StreamHandler<PermitGivenBack> for TaskTracker {
    fn handle(&mut self, _: PermitGivenBack, ctx: &mut Self::Context) {
        self.feed(ctx, Event::Tick);
    }
}

impl StreamHandler<Returned> for TaskTracker {
    fn handle(&mut self, returned: Returned, ctx: &mut Self::Context) {
        match returned {
            // The client has gone while its tasks were looked for. Nobody would read the answer or end the wait.
            Returned::Event(event) if self.is_abandoned(&event) => {}
            Returned::Event(event) => self.feed(ctx, *event),
            Returned::Committed(committed) => self.committed(ctx, *committed),
            Returned::Ended(run, end) => self.ended(ctx, run, end),
            Returned::Gone(request) => self.gone(ctx, request),
        }
    }
}

impl Handler<IsWanted> for TaskTracker {
    type Result = bool;

    fn handle(&mut self, IsWanted(provider): IsWanted, _: &mut Self::Context) -> bool {
        self.machine.is_wanted(&provider)
    }
}

impl Handler<PressureChanged> for TaskTracker {
    type Result = ();

    fn handle(&mut self, _: PressureChanged, ctx: &mut Self::Context) {
        self.feed(ctx, Event::Tick);
    }
}
