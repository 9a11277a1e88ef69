//! A task that can start at once: the begin of its attempt follows its row to the journal in the same turn, and as a rule into the same
//! commit, rather than waiting for it.
//!
//! Nothing is decided earlier than it would be: the task has its slot, its permit and its place as the leader of its flight before it is on
//! disk, and gives all of them back if it is refused there.

use actix::Context;
use reel_protocol::TaskId;
use tokio::sync::watch;

use super::{
    TaskTracker,
    dispatch::{Launch, start_of},
    intake::Intake,
    live::LiveTask,
    tracker::Run,
};
use crate::store::{self, Start};

/// An attempt whose begin is to be journaled right behind its task.
pub(super) struct Eager {
    start: Start,
    launch: Launch,
}

/// What an eager task has taken.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    id: TaskId,
    run: u64,
}

impl Eager {
    /// What is given back if the task is refused.
    pub const fn taken(&self) -> Taken {
        Taken { id: self.launch.id, run: self.launch.run }
    }
}

impl TaskTracker {
    /// Takes a slot and a permit for the only task of a request, if nothing stands before it and the cache had nothing new since it was
    /// looked up.
    pub(super) fn start_eagerly(&mut self, intake: &Intaken, tasks: &mut [LiveTask]) -> Option<Eager> {
        let [task] = tasks else { return None };
        let candidate = task.plan.candidates.first();
        // Of several that are equal the first to be accepted leads; which one that is, is not known while others are on their way.
        let stands_alone = self.accepting == 0 && self.ready.is_empty() && intake.is_free;
        let is_known = task.plan.generation == self.parts.plan.generation() && intake.results == self.results;
        if !stands_alone || !is_known || !self.may_start() {
            return None;
        }
        let is_taken = |key| self.flights.is_open(&key) || self.runs.values().any(|run| run.key == Some(key));
        if task.key().is_some_and(is_taken) {
            return None;
        }
        let permit = match candidate {
            None => None,
            Some(candidate) => Some(self.parts.permits.try_acquire(&candidate.provider)?),
        };
        self.next_run += 1;
        let (run, id) = (self.next_run, task.id);
        let (cancel, signal) = watch::channel(false);
        let is_paid = candidate.is_some_and(|candidate| candidate.is_paid);
        if let Some(key) = task.key() {
            self.flights.join(key, id);
        }
        self.runs.insert(run, Run { leader: Some(id), cancel, key: task.key(), is_paid });
        task.run = Some(run);
        Some(Eager { start: start_of(task), launch: Launch { run, id, permit, cancel: signal } })
    }

    /// Sends the begin of the attempt to the journal: right after its task.
    pub(super) fn journal_eagerly(&mut self, Eager { start, launch }: Eager) {
        let row = start.clone();
        self.journal(
            move |connection| store::start(connection, &row),
            move |tracker, ctx, outcome| {
                if tracker.live.contains_key(&launch.id) {
                    return tracker.started(ctx, launch, &start, outcome);
                }
                // It was refused, and the permit goes back with this.
                drop(launch);
                tracker.dispatch(ctx);
            },
        );
    }

    /// The task was not accepted.
    pub(super) fn take_back(&mut self, ctx: &mut Context<Self>, taken: Option<Taken>) {
        let Some(Taken { id, run }) = taken else { return };
        self.runs.remove(&run);
        self.leave_flight(ctx, id, None);
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
