//! The task machine: every decision about tasks, as a function from an event and the time to effects.
//!
//! It holds all unfinished tasks, and nothing that acts: no thread, channel, clock, file or random number; where it goes through
//! a table, the table is in order, so that the same events always have the same effects. Its driver (the
//! [`TaskTracker`](super::TaskTracker) in the daemon, a simulator in tests) hands in one [`Event`] after another and carries out the
//! [`Effect`]s. The machine's state, its answers and the events that it tells follow the journal: a write is an effect, and what follows from
//! it waits until the write comes back as [`Event::Committed`]. The driver hands commits in in the order in which the journal made them.
//!
//! A task has at most one transition on its way to disk. What is decided about the task meanwhile waits as a [`Todo`] until it is settled.

mod accept;
mod attempt;
mod decide;
mod dispatch;
mod drain;
mod effect;
mod event;
mod fallback;
mod finish;
mod history;
mod hits;
mod jobs;
mod outcome;
mod progress;
mod queue;
mod references;
mod replan;
mod restart;
mod step;
mod steps;
mod surroundings;
mod time;
mod timers;
mod todo;
mod view;
mod wait;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use reel_protocol::{BatchId, TaskId, TaskState};

use super::{
    PlanTasks, SetTaskLimits, TaskRefusal, dependencies::Dependencies, flights::Flights, ids::Ids,
    live::LiveTask, ready::Ready, waiters::Waiters,
};
use crate::domain::Target;

use self::{accept::Arriving, attempt::Run, drain::Draining, history::OpenBatch, timers::Timers};
pub use self::{
    drain::STOP,
    effect::{AfterStep, Answer, Attempt, Effect, Keep, Outcome, Shown, Submission, Taken, Unplanned, Write},
    event::{AttemptEnd, Event, Intake, PlannedTask, RequestId, RunId, WaitOn},
    restart::Restart,
    surroundings::{Closed, Surroundings},
    time::{Moment, Now},
    todo::{Requeue, Todo},
};

/// The machine; see the module.
pub struct Machine<S> {
    pub(super) around: S,
    limits: SetTaskLimits,
    planner: Arc<dyn PlanTasks>,
    /// Boxed, so that a table that was large once is small pointers then.
    live: BTreeMap<TaskId, Box<LiveTask>>,
    ready: Ready,
    /// Providers that are out of order and whose ready tasks were told to leave.
    down: BTreeSet<Target>,
    /// Ready tasks whose provider may be out of order.
    leaving: Vec<TaskId>,
    flights: Flights,
    dependencies: Dependencies,
    waiters: Waiters,
    runs: BTreeMap<RunId, Run>,
    next_run: RunId,
    timers: Timers,
    /// Unfinished steps, by their workflow.
    steps: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// Unfinished tasks whose provider is not configured, and that provider.
    missing: BTreeMap<TaskId, Arc<str>>,
    counts: BTreeMap<TaskState, u64>,
    batches: BTreeMap<BatchId, OpenBatch>,
    /// Requests whose tasks are on their way into the journal.
    arriving: BTreeMap<u64, Arriving>,
    next_arrival: u64,
    /// Calls that the cache answered and whose rows are on their way into the journal.
    hits: u64,
    ids: Ids,
    is_paused: bool,
    is_stopping: bool,
    is_pruning: bool,
    /// So many finished tasks may stand before it is looked again which may go.
    unprunable: u64,
    draining: Option<Draining>,
    /// The time of the event that is being handled, and what is to be done after it.
    now: Now,
    effects: Vec<Effect>,
}

impl<S> fmt::Debug for Machine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let census = self.census();
        f.debug_struct("Machine").field("now", &self.now).field("census", &census).finish_non_exhaustive()
    }
}

/// What the machine holds: all zeros once every task has ended and nobody waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Unfinished tasks.
    pub live: usize,
    /// Tasks that could start, were it their turn.
    pub ready: usize,
    /// Attempts under way.
    pub runs: usize,
    /// Tasks that wait for a time, and tasks with a deadline.
    pub timed: usize,
    /// Batches with unfinished tasks.
    pub open_batches: usize,
    /// Requests that wait for tasks.
    pub waits: usize,
}

impl<S: Surroundings> Machine<S> {
    /// A machine without tasks. [`Machine::take_up`] gives it those of an earlier daemon.
    pub fn new(around: S, limits: SetTaskLimits, planner: Arc<dyn PlanTasks>, now: Now) -> Self {
        Self {
            around,
            limits,
            planner,
            live: BTreeMap::new(),
            ready: Ready::default(),
            down: BTreeSet::new(),
            leaving: Vec::new(),
            flights: Flights::default(),
            dependencies: Dependencies::default(),
            waiters: Waiters::default(),
            runs: BTreeMap::new(),
            next_run: 0,
            timers: Timers::default(),
            steps: BTreeMap::new(),
            missing: BTreeMap::new(),
            counts: BTreeMap::new(),
            batches: BTreeMap::new(),
            arriving: BTreeMap::new(),
            next_arrival: 0,
            hits: 0,
            ids: Ids::default(),
            is_paused: false,
            is_stopping: false,
            is_pruning: false,
            unprunable: 0,
            draining: None,
            now,
            effects: Vec::new(),
        }
    }

    /// Handles an event; the effects are to be carried out in their order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = now;
        match event {
            Event::Submit { request, intake } => self.submit(request, *intake),
            Event::Call { request, intake, timeout } => self.call(request, *intake, timeout),
            Event::Wait { request, on, is_any, timeout } => self.wait(request, on, is_any, timeout),
            Event::NotFound { request, refusal } => self.refuse(request, refusal),
            Event::Gone(request) => self.stop_waiting_for_answer(request),
            Event::Decide { request, id, decision } => {
                self.when_settled(id, Todo::Decide { request, decision });
            }
            // A task that is being queued again is still over, and not to be removed any more.
            Event::Remove { request, id } => self.when_settled(id, Todo::Remove { request }),
            Event::MakeRoom { request, bytes } => self.make_room(request, bytes),
            Event::Pause(is_paused) => self.is_paused = is_paused,
            Event::Limits(limits) => {
                self.limits = limits;
                self.unprunable = 0;
            }
            Event::Replan(planner) => self.replan_all(planner),
            Event::Planned { generation, plans } => self.planned(generation, plans),
            Event::Drain { request, limit, paid } => self.drain(request, limit, paid),
            Event::Progress { run, fraction, message } => self.progress(run, fraction, &message),
            Event::Showed { run, piece } => self.showed(run, &piece),
            Event::RememberJob { request, run, job } => self.remember(request, run, job),
            Event::LookedUp { run, found } => self.looked_up(run, found.as_deref()),
            Event::Charged { run, cost } => self.charged(run, cost),
            Event::Ended { run, end } => self.ended(run, end),
            Event::Committed { write, outcome } => self.committed(&write, outcome),
            Event::Resolved { id, outputs } => self.resolved(id, outputs),
            Event::Loaded { request, id, decision, row } => self.loaded(request, id, decision, row),
            Event::Tick => {}
        }
        self.finish_turn()
    }

    /// What follows from any event: timers that are due, tasks that may start, history that may go.
    fn finish_turn(&mut self) -> Vec<Effect> {
        self.run_timers();
        let gates_open = self.dispatch();
        self.prune();
        self.finish_drain();
        self.arm_timer(gates_open);
        std::mem::take(&mut self.effects)
    }

    fn committed(&mut self, write: &Arc<Write>, outcome: Result<Outcome, crate::store::StoreError>) {
        match &**write {
            Write::Accept(submission) => self.submission_written(submission, outcome),
            Write::Hit { request, row } => self.hit_written(request, row, outcome.map(drop)),
            Write::FindRequest { request, refusal, .. } => self.request_found(*request, refusal, &outcome),
            Write::Start { start, run } => self.start_written(start, *run, outcome.map(drop)),
            Write::Step { step, then } => self.step_written(write, step, *then, outcome.map(drop)),
            Write::Finish(finish) => self.finish_written(write, finish, outcome.map(drop)),
            Write::Results { run, made, maker, cost, lost, ends } => match outcome {
                Ok(_) => self.results_written(*run, made, (*maker, *cost), ends),
                Err(error) => self.results_refused(*run, ends, lost(error)),
            },
            Write::Remember { request, .. } => {
                self.answer(*request, Answer::Remembered(outcome.map(drop)));
                self.leave_submitted_jobs();
            }
            Write::Remove { request, id } => self.removal_written(*request, *id, outcome),
            Write::Prune { limit, .. } => self.prune_written(*limit, outcome),
            Write::PruneFor { request, .. } => self.room_made(*request, outcome),
            Write::Close { request, drained, rounds, .. } => {
                self.closed_journal(*request, *drained, *rounds, outcome.map(drop));
            }
        }
    }

    fn commit(&mut self, write: Write) {
        self.effects.push(Effect::Commit(Arc::new(write)));
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        self.effects.push(Effect::Answer { request, answer });
    }

    fn refuse(&mut self, request: RequestId, refusal: impl Into<TaskRefusal>) {
        self.answer(request, Answer::Refused(refusal.into()));
    }

    /// Whether a task is unfinished.
    pub fn is_live(&self, id: TaskId) -> bool {
        self.live.contains_key(&id)
    }
}

impl<S> Machine<S> {
    /// What the machine holds now.
    pub fn census(&self) -> Census {
        Census {
            live: self.live.len(),
            ready: self.ready.len(),
            runs: self.runs.len(),
            timed: self.timers.tasks(),
            open_batches: self.batches.len(),
            waits: self.waiters.len(),
        }
    }

    /// The deadlines and delays of no task are counted twice, and no task is in a table without being live: holds after every event.
    pub fn assert_consistent(&self) -> Result<(), String> {
        let is_live = |id: &TaskId| self.live.contains_key(id);
        if let Some(id) = self.steps.values().flatten().find(|id| !is_live(id)) {
            return Err(format!("task {id} is counted as an unfinished step and is not live"));
        }
        if let Some(id) = self.missing.keys().find(|id| !is_live(id)) {
            return Err(format!("task {id} waits for a provider and is not live"));
        }
        if let Some(task) = self.live.values().find(|task| task.state.is_finished() && !task.is_committing) {
            return Err(format!("task {} is over and live", task.id));
        }
        for (number, run) in &self.runs {
            let leader = run.leader.and_then(|id| self.live.get(&id));
            if run.leader.is_some() && leader.and_then(|task| task.run) != Some(*number) {
                return Err(format!("attempt {number} works for a task that does not know of it"));
            }
        }
        let open = self.live.values().filter(|task| task.batch.is_some() && !task.state.is_finished());
        let counted: u64 = self.batches.values().map(|batch| batch.unfinished).sum();
        if open.count() as u64 != counted {
            return Err(format!("{counted} tasks of batches are counted"));
        }
        Ok(())
    }
}
