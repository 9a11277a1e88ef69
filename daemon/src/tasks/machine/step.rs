//! Makes every transition of a task except the begin of an attempt and the end: it is planned, journaled, and then applied in memory.

use std::sync::Arc;

use reel_protocol::{HoldReason, TaskId, TaskState};

use super::{AfterStep, Answer, Effect, Machine, Surroundings, Write, attempt::JOURNAL_PAUSE, timers::Timer};
use crate::{
    chain::chain,
    store::{Step, StoreError},
    tasks::{Decision, TaskRefusal, live::LONGEST_DELAY, state::is_legal},
};

impl<S: Surroundings> Machine<S> {
    /// Changes a task with a step that must not be lost. If the journal refuses the step, it is retried.
    pub(super) fn step(&mut self, id: TaskId, change: impl FnOnce(&mut Step)) {
        self.step_then(id, AfterStep::Required, change);
    }

    /// Changes a task with a step, after whose commit `then` follows. An illegal transition is not written; a decision that leads to one is refused.
    pub(super) fn step_then(&mut self, id: TaskId, then: AfterStep, change: impl FnOnce(&mut Step)) {
        let Some(task) = self.live.get_mut(&id) else { return };
        let mut step = Step {
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
        change(&mut step);
        if step.state != task.state && !is_legal(task.state, step.state) {
            let (from, to) = (task.state.name(), step.state.name());
            tracing::error!(task = id.0, from, to, "an illegal transition was asked for");
            if let AfterStep::Decided(request) | AfterStep::Retried(request) = then {
                let rule = "its state does not allow it";
                self.refuse(request, TaskRefusal::IllegalState { id, state: step.state, rule });
            }
            return;
        }
        task.is_committing = true;
        // The task must not start while its step is pending. `settle_commit` queues it again.
        self.ready.remove(id);
        self.commit(Write::Step { step, then });
    }

    pub(super) fn step_written(
        &mut self,
        write: &Arc<Write>,
        step: &Step,
        then: AfterStep,
        outcome: Result<(), StoreError>,
    ) {
        match (then, outcome) {
            (AfterStep::Required, Ok(())) => self.stepped(step),
            (AfterStep::Decided(request) | AfterStep::Retried(request), Ok(())) => {
                self.stepped(step);
                self.answer(request, Answer::Task(step.id));
            }
            (AfterStep::Required, Err(error)) => {
                tracing::error!(
                    task = step.id.0,
                    error = chain(&error),
                    "a step of a task could not be journaled; trying again"
                );
                self.timers.add(self.now.moment + JOURNAL_PAUSE, Timer::Write(Arc::clone(write)));
            }
            (AfterStep::Decided(request), Err(error)) => {
                self.settle_commit(step.id);
                self.refuse(request, error_of(step.id, error));
            }
            (AfterStep::Retried(request), Err(error)) => {
                let deferred = self.take_back_retry(step.id);
                match error {
                    // The task has left the history, or was retried and has ended since its row was read. The row is read again.
                    StoreError::NoTask(_) => self.decide_finished(request, step.id, Decision::Retry),
                    error => self.refuse(request, error),
                }
                for todo in deferred {
                    self.perform(step.id, todo);
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

    fn stepped(&mut self, step: &Step) {
        let id = step.id;
        let Some(task) = self.live.get_mut(&id) else { return };
        let from = std::mem::replace(&mut task.state, step.state);
        task.rev = step.rev;
        if step.state != TaskState::Running {
            task.progress = reel_protocol::Progress::default();
        }
        let was_held = std::mem::replace(&mut task.hold_reason, step.hold_reason);
        task.not_before = step.not_before;
        task.priority = step.priority;
        task.attempts_left = step.attempts_left;
        task.deaths = step.deaths;
        let (batch, event) = (task.batch, Box::new(task.event(None, step.error.clone())));
        self.count(batch, Some(from), Some(step.state));
        self.effects.push(Effect::Tell { event: "changed", task: event });
        self.leave_provider(step);
        match step.state {
            TaskState::Queued => {
                if was_held == Some(HoldReason::OutcomeUnknown) {
                    self.lead_again(id);
                }
                self.queue_again(step);
            }
            TaskState::Held => self.held(id, batch),
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

    fn queue_again(&mut self, step: &Step) {
        match step.not_before {
            Some(until) if until > self.now.wall => {
                let wait = until.since(self.now.wall).min(LONGEST_DELAY);
                self.delay(step.id, self.now.moment + wait);
            }
            _ => {
                self.enter_queue(step.id);
                // A follower may have raised the priority of its leader, and that priority may fall again.
                if let Some(leader) = self.flights.members(step.id).first().copied() {
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
