//! The task tracker: the actor that feeds the task machine and carries out what it wants done.
//!
//! It promises that an acknowledged task is on disk, that every request gets an answer, and that commits reach the machine in the order in
//! which the journal made them. It decides nothing itself: sessions ask it, and it passes events to the [`Machine`]; what follows goes to the
//! journal, the cache, the services, and whoever waits for an answer.

mod desk;
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
    disk::FreeRoom,
    events::EventHub,
    memory::PressureChanged,
    provider::Permits,
    store::{Recovery, Store},
};

pub use self::journal::apply;
use self::{
    desk::Desk,
    journal::Committed,
    requests::Requests,
    sinks::{job_sink, progress_sink},
};

/// Requests and reports that may stand before the tracker; sessions bound their own requests far below.
const MAILBOX: usize = 4_096;
/// Most reads of tasks to be shown at once, each of which may be a page.
const READERS: usize = 4;

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

/// What comes back to the tracker from what it had done elsewhere.
enum Returned {
    /// An event as it is.
    Event(Box<Event>),
    /// A write was committed or refused.
    Committed(Box<Committed>),
    /// An attempt is over.
    Ended(RunId, RunEnd),
    /// Whoever sent a request does not wait any more.
    Gone(RequestId),
}

/// The actor.
pub struct TaskTracker {
    parts: TrackerParts,
    pub(super) machine: Machine<Desk>,
    requests: Requests,
    /// How each attempt is told to stop.
    stops: HashMap<RunId, watch::Sender<bool>>,
    /// Results whose rows are on their way into the journal.
    kept: HashMap<RunId, Kept>,
    returns: mpsc::UnboundedSender<Returned>,
    /// Taken when the actor starts.
    returned: Option<mpsc::UnboundedReceiver<Returned>>,
    /// Turns of those who read tasks to show them.
    read_turns: Arc<Semaphore>,
    /// What the disk has left.
    free_room: FreeRoom,
    /// The machine's moments count from here.
    origin: Instant,
    wake: Option<SpawnHandle>,
}

impl TaskTracker {
    /// A tracker without tasks; it reads the journal when it starts.
    pub fn new(parts: TrackerParts) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded by what the tracker has asked for: writes in the journal's queue, and one return for each attempt and read"
        )]
        let (returns, returned) = mpsc::unbounded_channel();
        let origin = Instant::now();
        let desk = Desk::new(&parts, origin);
        let machine = Machine::new(desk, parts.limits, Arc::clone(&parts.plan), now(origin));
        Self {
            parts,
            machine,
            requests: Requests::default(),
            stops: HashMap::new(),
            kept: HashMap::new(),
            returns,
            returned: Some(returned),
            read_turns: Arc::new(Semaphore::new(READERS)),
            free_room: FreeRoom::default(),
            origin,
            wake: None,
        }
    }

    /// Tells the machine what happened, and carries out what follows.
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

    /// Has what becomes of `work` come back to the machine.
    fn when_done(&self, work: impl Future<Output = Event> + 'static) {
        let returns = self.returns.clone();
        // It fails only once the tracker has stopped.
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
            // It fails only once the tracker has stopped; the crash rule decides then.
            drop(returns.send(Returned::Ended(run, end)));
        });
    }

    /// An attempt is over. What it made is kept until its rows are in the journal.
    fn ended(&mut self, ctx: &mut Context<Self>, run: RunId, end: RunEnd) {
        self.stops.remove(&run);
        let end = match end {
            RunEnd::Done => AttemptEnd::Done,
            RunEnd::Made { kept, cost, lost } => {
                let made = Arc::new(kept.made.clone());
                self.kept.insert(run, *kept);
                AttemptEnd::Made { made, cost, lost }
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

    /// A write came back from the journal. The cache follows before the machine: what is asked of it from now on finds the results.
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

/// Both clocks, as the machine reads them.
fn now(origin: Instant) -> Now {
    Now { moment: moment(origin, Instant::now()), wall: Timestamp::now() }
}

/// An instant as the machine tells it.
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

/// An attempt is over at its provider, though its run may still keep what it made: the next one may ask.
struct PermitGivenBack;

impl StreamHandler<PermitGivenBack> for TaskTracker {
    fn handle(&mut self, _: PermitGivenBack, ctx: &mut Self::Context) {
        self.feed(ctx, Event::Tick);
    }
}

impl StreamHandler<Returned> for TaskTracker {
    fn handle(&mut self, returned: Returned, ctx: &mut Self::Context) {
        match returned {
            Returned::Event(event) => self.feed(ctx, *event),
            Returned::Committed(committed) => self.committed(ctx, *committed),
            Returned::Ended(run, end) => self.ended(ctx, run, end),
            Returned::Gone(request) => self.gone(ctx, request),
        }
    }
}

impl Handler<PressureChanged> for TaskTracker {
    type Result = ();

    fn handle(&mut self, _: PressureChanged, ctx: &mut Self::Context) {
        self.feed(ctx, Event::Tick);
    }
}
