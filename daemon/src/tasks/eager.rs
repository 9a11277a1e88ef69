//! Tasks that can start at once: the begin of an attempt goes to the journal with its task's row, rather than waiting for that.
//!
//! Nothing is decided earlier than it would be: a task has its slot, its permit and its place as the leader of its flight before it is on
//! disk, and gives all of them back if it is refused there.

use actix::Context;
use tokio::sync::watch;

use super::{
    TaskTracker,
    dispatch::{Launch, start_of},
    intake::Intake,
    live::LiveTask,
    tracker::Run,
};
use crate::store::Start;

/// Tasks of a request that starts like this; of a larger one, most would have to wait anyway.
const AT_ONCE: usize = 32;

/// An attempt whose begin is journaled with its task.
pub(super) struct Eager {
    pub start: Start,
    launch: Launch,
}

impl TaskTracker {
    /// Takes slots and permits for the tasks of a request that can start at once, if nothing stands before them.
    pub(super) fn start_eagerly(&mut self, intaken: &Intaken, tasks: &mut [LiveTask]) -> Vec<Eager> {
        // Of several that are equal the first to be accepted leads; which one that is, is not known while others are on their way.
        let stands_alone = self.accepting == 0 && self.ready.is_empty() && intaken.is_free;
        // They start in their order, which is not that of their priorities.
        let is_even =
            tasks.iter().all(|task| Some(task.priority) == tasks.first().map(|first| first.priority));
        if !stands_alone || !is_even || tasks.len() > AT_ONCE || intaken.results != self.results {
            return Vec::new();
        }
        tasks.iter_mut().filter_map(|task| self.take_eagerly(task)).collect()
    }

    fn take_eagerly(&mut self, task: &mut LiveTask) -> Option<Eager> {
        let is_known = task.plan.generation == self.parts.plan.generation();
        if !is_known || !self.may_start() {
            return None;
        }
        let is_taken = |key| self.flights.is_open(&key) || self.runs.values().any(|run| run.key == Some(key));
        if task.key().is_some_and(is_taken) {
            return None;
        }
        let candidate = task.plan.candidates.first();
        let permit = match candidate {
            None => None,
            Some(candidate) => Some(self.parts.permits.try_acquire(&candidate.target())?),
        };
        self.next_run += 1;
        let (run, id) = (self.next_run, task.id);
        let (cancel, signal) = watch::channel(false);
        let is_paid = candidate.is_some_and(|candidate| candidate.is_paid);
        if let Some(key) = task.key() {
            self.flights.join(key, id);
        }
        let under_way = Run { leader: Some(id), cancel, key: task.key(), is_paid, is_over: false, job: None };
        self.runs.insert(run, under_way);
        task.run = Some(run);
        Some(Eager { start: start_of(task), launch: Launch { run, id, permit, cancel: signal } })
    }

    /// The tasks are in, and the begins of their attempts with them.
    pub(super) fn started_eagerly(&mut self, ctx: &mut Context<Self>, eager: Vec<Eager>) {
        for Eager { start, launch } in eager {
            self.started(ctx, launch, &start, Ok(()));
        }
    }

    /// The tasks were not accepted.
    pub(super) fn take_back(&mut self, ctx: &mut Context<Self>, eager: Vec<Eager>) {
        for Eager { launch: Launch { run, id, permit, .. }, .. } in eager {
            self.runs.remove(&run);
            drop(permit);
            self.leave_flight(ctx, id, None);
        }
        self.finish_drain();
    }
}

/// What an eager start must know of the request that the task came with.
pub(super) struct Intaken {
    /// Nothing must be done before it.
    is_free: bool,
    /// Results that had been made when the cache was asked.
    results: u64,
}

impl Intaken {
    /// Of a request.
    pub fn of(intake: &Intake) -> Self {
        Self { is_free: intake.specs.iter().all(|spec| spec.after.is_empty()), results: intake.results }
    }
}
