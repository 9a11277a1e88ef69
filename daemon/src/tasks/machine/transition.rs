//! Makes every transition of a task except the begin of an attempt and the end: it is planned, journaled, and then applied in memory.

use std::sync::Arc;

use reel_protocol::{HoldReason, TaskId, TaskState};

use super::{
    AfterTransition, Answer, Effect, Machine, Surroundings, Write, attempt::JOURNAL_PAUSE, timers::Timer,
};
use crate::{
    chain::chain,
    store::{StoreError, Transition},
    tasks::{Decision, TaskRefusal, live::LONGEST_DELAY, state::is_legal},
};

impl<S: Surroundings> Machine<S> {
    /// Changes a task with a transition that must not be lost. If the journal refuses the transition, it is retried.
    pub(super) fn transition(&mut self, id: TaskId, change: impl FnOnce(&mut Transition)) {
        self.transition_then(id, AfterTransition::Required, change);
    }

    /// Changes a task with a transition, after whose commit `then` follows. An illegal transition is not written; a decision that leads to one is refused.
    pub(super) fn transition_then(
        &mut self,
        id: TaskId,
        then: AfterTransition,
        change: impl FnOnce(&mut Transition),
    ) {
        let Some(task) = self.live.get_mut(&id) else { return };
        let mut transition = Transition {
            id,
            rev: task.rev + 1,
            at: self.now.wall,
            is_retry: false,
            state: task.state,
            hold_reason: task.hold_reason,
            not_before: task.not_before,
            priority: task.priority,
            attempts_left: task.attempts_left,
            deaths: task.deaths,
            left_provider: None,
            attempt_outcome: None,
            error: None,
            resolved: None,
        };
        change(&mut transition);
        if transition.state != task.state && !is_legal(task.state, transition.state) {
            let (from, to) = (task.state.name(), transition.state.name());
            tracing::error!(task = id.0, from, to, "an illegal transition was asked for");
            if let AfterTransition::Decided(request) | AfterTransition::Retried(request) = then {
                let rule = "its state does not allow it";
                self.refuse(request, TaskRefusal::IllegalState { id, state: transition.state, rule });
            }
            return;
        }
        task.is_committing = true;
        // The task must not start while its transition is pending. `settle_commit` queues it again.
        self.ready.remove(id);
        self.commit(Write::Transition { transition, then });
    }

    pub(super) fn transition_written(
        &mut self,
        write: &Arc<Write>,
        transition: &Transition,
        then: AfterTransition,
        outcome: Result<(), StoreError>,
    ) {
        match (then, outcome) {
            (AfterTransition::Required, Ok(())) => self.apply_transition(transition),
            (AfterTransition::Decided(request) | AfterTransition::Retried(request), Ok(())) => {
                self.apply_transition(transition);
                self.answer(request, Answer::Task(transition.id));
            }
            (AfterTransition::Required, Err(error)) => {
                tracing::error!(
                    task = transition.id.0,
                    error = chain(&error),
                    "a transition of a task could not be journaled; trying again"
                );
                self.timers.add(self.now.moment + JOURNAL_PAUSE, Timer::Write(Arc::clone(write)));
            }
            (AfterTransition::Decided(request), Err(error)) => {
                self.settle_commit(transition.id);
                self.refuse(request, error_of(transition.id, error));
            }
            (AfterTransition::Retried(request), Err(error)) => {
                let deferred = self.take_back_retry(transition.id);
                match error {
                    // The task has left the history, or was retried and has ended since its row was read. The row is read again.
                    StoreError::NoTask(_) => self.decide_finished(request, transition.id, Decision::Retry),
                    error => self.refuse(request, error),
                }
                for todo in deferred {
                    self.perform(transition.id, todo);
                }
            }
        }
    }

    /// Removes a finished task from the live tasks, because its retry was refused. Returns the deferred decisions, which apply to a finished task.
    fn take_back_retry(&mut self, id: TaskId) -> Vec<super::Todo> {
        self.dependencies.forget(id);
        let task = self.live.remove(&id);
        if let Some(task) = &task {
            self.forget_step(task);
        }
        self.around.give_back(task.as_ref().map_or(0, |task| task.held_bytes));
        task.map(|task| task.deferred).unwrap_or_default()
    }

    fn apply_transition(&mut self, transition: &Transition) {
        let id = transition.id;
        let Some(task) = self.live.get_mut(&id) else { return };
        let from = std::mem::replace(&mut task.state, transition.state);
        task.rev = transition.rev;
        if transition.state != TaskState::Running {
            task.progress = reel_protocol::Progress::default();
        }
        let was_held = std::mem::replace(&mut task.hold_reason, transition.hold_reason);
        task.not_before = transition.not_before;
        task.priority = transition.priority;
        task.attempts_left = transition.attempts_left;
        task.deaths = transition.deaths;
        let (counted, event) = (task.counted(), Box::new(task.event(None, transition.error.clone())));
        self.count(counted, Some(from), Some(transition.state));
        self.effects.push(Effect::Tell { event: "changed", task: event });
        self.leave_provider(transition);
        match transition.state {
            TaskState::Queued => {
                if was_held == Some(HoldReason::OutcomeUnknown) {
                    self.lead_again(id);
                }
                self.queue_again(transition);
            }
            TaskState::Held => self.held(id, counted.batch),
            // Its dependencies have succeeded, and its params must be completed.
            TaskState::Waiting if !self.dependencies.is_waiting(id) => self.resolve_references(id),
            _ => {}
        }
        self.settle_commit(id);
    }

    fn held(&mut self, id: TaskId, batch: Option<reel_protocol::BatchId>) {
        self.end_delay(id);
        if self.is_unknown(id) {
            // The task stays in its flight: equal tasks are held with it instead of paying.
            self.hold_followers(id);
        } else {
            let task = self.live.get_mut(&id);
            let (run, job) = task.map(|task| (task.run.take(), task.job.clone())).unwrap_or_default();
            self.pass_job_on(id, job.as_ref());
            self.leave_flight(id, run);
        }
        self.end_waits_for(id, batch);
    }

    fn queue_again(&mut self, transition: &Transition) {
        match transition.not_before {
            Some(until) if until > self.now.wall => {
                let wait = until.since(self.now.wall).min(LONGEST_DELAY);
                self.delay(transition.id, self.now.moment + wait);
            }
            _ => {
                self.enter_queue(transition.id);
                // A follower may have raised the priority of its leader, and that priority may fall again.
                if let Some(leader) = self.flights.members(transition.id).first().copied() {
                    self.enqueue(leader);
                }
            }
        }
    }
}

fn error_of(id: TaskId, error: StoreError) -> TaskRefusal {
    match error {
        StoreError::NoTask(_) => TaskRefusal::NoTask(id),
        error => error.into(),
    }
}
