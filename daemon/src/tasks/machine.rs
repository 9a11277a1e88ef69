//! The task machine makes every decision about tasks, as a function from an event and the time to effects.
//!
//! It keeps all unfinished tasks in memory. It has no thread, channel, clock, file or random number, and iterates over tables in a fixed order, so
//! that the same events always have the same effects. Its driver passes in one [`Event`] after another and carries out the [`Effect`]s. The driver is
//! the [`TaskTracker`](super::TaskTracker) in the daemon, and a simulator in tests.
//!
//! The state of the machine, its answers and its events follow the journal: a write is an effect, and what follows from it is done once the write
//! returns as [`Event::Committed`]. The driver must pass commits in the order in which the journal made them.
//!
//! A task has at most one transition that is not committed. Decisions about the task are deferred as [`Todo`]s until that transition is settled.

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
mod steps;
mod surroundings;
mod time;
mod timers;
mod todo;
mod transition;
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
    effect::{
        AcceptedTasks, AfterTransition, Answer, Attempt, Effect, Keep, Outcome, Shown, Submission, Unplanned,
        Write,
    },
    event::{AttemptEnd, Event, Intake, PlannedTask, RequestId, RunId, WaitOn},
    restart::Restart,
    surroundings::{Closed, Surroundings},
    time::{Moment, Now},
    todo::{Requeue, Todo},
};

/// The task machine, described in the module documentation.
pub struct Machine<S> {
    pub(super) around: S,
    limits: SetTaskLimits,
    planner: Arc<dyn PlanTasks>,
    /// Boxed, so that a table that was once large keeps only small pointers.
    live: BTreeMap<TaskId, Box<LiveTask>>,
    ready: Ready,
    /// Targets that are out of order, and whose ready tasks have been put into `leaving`.
    down: BTreeSet<Target>,
    /// Ready tasks that should go to another provider, as their own may be out of order.
    leaving: Vec<TaskId>,
    flights: Flights,
    dependencies: Dependencies,
    waiters: Waiters,
    runs: BTreeMap<RunId, Run>,
    next_run: RunId,
    timers: Timers,
    /// The unfinished steps of each workflow.
    steps: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// Unfinished tasks whose provider is not configured, with the provider's name.
    missing: BTreeMap<TaskId, Arc<str>>,
    counts: BTreeMap<(TaskState, bool), u64>,
    batches: BTreeMap<BatchId, OpenBatch>,
    /// Requests whose tasks are being committed, by submission number.
    arriving: BTreeMap<u64, Arriving>,
    next_arrival: u64,
    /// Number of cache hits that were answered before their rows were committed, and whose rows are not committed yet.
    hits: u64,
    ids: Ids,
    is_paused: bool,
    is_stopping: bool,
    is_pruning: bool,
    /// Up to this number of finished tasks, the history is not pruned: the last attempt found too few tasks that may be dropped.
    unprunable: u64,
    draining: Option<Draining>,
    /// The time of the current event. `effects` collects what the event causes.
    now: Now,
    effects: Vec<Effect>,
}

impl<S> fmt::Debug for Machine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let census = self.census();
        f.debug_struct("Machine").field("now", &self.now).field("census", &census).finish_non_exhaustive()
    }
}

/// Sizes of the machine's tables. All are zero once every task has ended and no request waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Number of unfinished tasks.
    pub live: usize,
    /// Number of tasks in the ready queues.
    pub ready: usize,
    /// Number of attempts under way.
    pub runs: usize,
    /// Number of delays and deadlines. A task that has both counts twice.
    pub timed: usize,
    /// Number of batches with unfinished tasks.
    pub open_batches: usize,
    /// Number of requests that wait for tasks.
    pub waits: usize,
}

impl<S: Surroundings> Machine<S> {
    /// Returns a machine without tasks. [`Machine::restore`] adds those of an earlier daemon.
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

    /// Handles an event. Returns the effects, which must be carried out in their order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = now;
        match event {
            Event::Submit { request, intake } => self.submit(request, *intake),
            Event::Call { request, intake, timeout } => self.call(request, *intake, timeout),
            Event::Wait { request, on, is_any, timeout } => self.wait(request, on, is_any, timeout),
            Event::NotFound { request, refusal } => self.refuse(request, refusal),
            Event::HadSettled(request) => self.end_settled_wait(request),
            Event::Gone(request) => self.stop_waiting_for_answer(request),
            Event::Decide { request, id, decision } => {
                self.when_settled(id, Todo::Decide { request, decision });
            }
            // A finished task that is being retried must not be removed, so this waits until the retry is committed or refused.
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

    /// Does what follows from any event: fires due timers, starts tasks, prunes the history, and ends a drain. Returns all effects.
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
            Write::Transition { transition, then } => {
                self.transition_written(write, transition, *then, outcome.map(drop));
            }
            Write::Finish(finish) => self.finish_written(write, finish, outcome.map(drop)),
            Write::Results { run, made, maker, cost, on_journal_failure, ends } => match outcome {
                Ok(_) => self.results_written(*run, made, (*maker, *cost), ends),
                Err(error) => self.results_refused(*run, ends, on_journal_failure(error)),
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

    /// Whether the task is unfinished.
    pub fn is_live(&self, id: TaskId) -> bool {
        self.live.contains_key(&id)
    }
}

impl<S> Machine<S> {
    /// Returns the sizes of the machine's tables.
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

    /// Checks what must hold after every event, and returns an error that says what does not. The tables of steps and of missing providers name only
    /// live tasks. No live task is finished, unless it is being retried. The leader of an attempt names that attempt. Unfinished tasks of batches are
    /// counted correctly.
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
