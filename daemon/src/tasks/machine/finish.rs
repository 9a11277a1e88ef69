//! Ends tasks. The end is committed first. Then memory, events, waits and dependent tasks follow.

use std::sync::Arc;

use reel_protocol::{ErrorCode, TaskId, TaskState};

use super::{Machine, Surroundings, Todo, Write, attempt::JOURNAL_PAUSE, timers::Timer};
use crate::{
    chain::chain,
    domain::Cost,
    store::{Finish, StoreError},
    tasks::{
        end::{End, task_error},
        state::is_legal,
    },
};

impl<S: Surroundings> Machine<S> {
    /// Ends a task that has no pending transition.
    pub(super) fn finish(&mut self, id: TaskId, end: End) {
        if let Some(finish) = self.plan_finish(id, end) {
            self.commit(Write::Finish(finish));
        }
    }

    /// Returns the row of a task's end, and removes the task from the queues. None if the transition would be illegal.
    pub(super) fn plan_finish(&mut self, id: TaskId, end: End) -> Option<Finish> {
        let task = self.live.get_mut(&id)?;
        if !is_legal(task.state, end.state) {
            let (from, to) = (task.state.name(), end.state.name());
            tracing::error!(task = id.0, from, to, "an illegal transition was asked for");
            return None;
        }
        task.is_committing = true;
        let mut notes = end.notes;
        notes.extend(end.provider.as_deref().and_then(|made_by| task.other_provider_note(made_by)));
        let finish = Finish {
            id,
            rev: task.rev + 1,
            at: self.now.wall,
            state: end.state,
            source: end.source,
            provider: end.provider,
            model: end.model,
            outputs: end.outputs,
            notes,
            cost: Cost::sum(task.charged, end.cost),
            error: end.error,
            gives_up_steps: task.plan.is_workflow && end.state == TaskState::Cancelled,
        };
        self.ready.remove(id);
        self.end_delay(id);
        Some(finish)
    }

    pub(super) fn finish_written(
        &mut self,
        write: &Arc<Write>,
        finish: &Finish,
        outcome: Result<(), StoreError>,
    ) {
        match outcome {
            Ok(()) => self.finished(finish),
            Err(error) => {
                tracing::error!(
                    task = finish.id.0,
                    error = chain(&error),
                    "the end of a task could not be journaled; trying again"
                );
                self.timers.add(self.now.moment + JOURNAL_PAUSE, Timer::Write(Arc::clone(write)));
            }
        }
    }

    /// Handles the committed end of a task.
    pub(super) fn finished(&mut self, finish: &Finish) {
        let id = finish.id;
        let Some(mut task) = self.live.remove(&id) else { return };
        self.forget_step(&task);
        self.around.give_back(task.held_bytes);
        let from = std::mem::replace(&mut task.state, finish.state);
        task.rev = finish.rev;
        task.hold_reason = None;
        let is_success = finish.state == TaskState::Succeeded;
        if is_success {
            task.progress.fraction = 1.0;
            task.progress.message.clear();
        }
        self.count(task.counted(), Some(from), Some(finish.state));
        if let Some(deadline) = task.deadline {
            self.timers.remove_deadline(deadline, id);
        }
        if finish.state == TaskState::Cancelled {
            self.cancel_steps(id);
        }
        self.dependencies.forget(id);
        self.missing.remove(&id);
        if !is_success {
            self.pass_job_on(id, task.job.as_ref());
        }
        self.leave_flight(id, task.run);
        self.tell("changed", &task, finish.source, finish.error.clone());
        self.end_waits_for(id, task.batch);
        if is_success {
            for dependant in self.dependencies.succeed(id) {
                self.when_settled(dependant, Todo::StopWaiting);
            }
        } else {
            for dependant in self.dependencies.fail(id) {
                self.when_settled(dependant, Todo::FailAfter(id));
            }
        }
        for todo in task.deferred {
            self.perform(id, todo);
        }
    }

    pub(super) fn stop_waiting(&mut self, id: TaskId) {
        let Some(task) = self.live.get(&id).filter(|task| task.state == TaskState::Waiting) else { return };
        if task.plan.references.is_empty() {
            self.transition(id, |transition| transition.state = TaskState::Queued);
        } else {
            self.resolve_references(id);
        }
    }

    pub(super) fn fail_after(&mut self, id: TaskId, failed: TaskId) {
        let message = format!("task {failed}, which it waited for, did not succeed");
        let hint = format!("reel show {failed} says why; reel retry {failed}, then reel retry {id}");
        self.finish(id, End::failed(task_error(ErrorCode::DependencyFailed, message, &hint, false)));
    }

    pub(super) fn pass_deadline(&mut self, id: TaskId) {
        // The task may have been paid. It must not end before a person has decided, as an equal task could then pay again.
        if self.is_unknown(id) {
            return;
        }
        let error = task_error(
            ErrorCode::DeadlineExceeded,
            "its deadline passed before it was done".to_owned(),
            "submit it with a later deadline_s, or a higher priority",
            true,
        );
        self.finish(id, End::failed(error));
    }
}
