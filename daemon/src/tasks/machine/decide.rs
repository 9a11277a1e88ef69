//! Carries out what people and programs decide about tasks: cancel, retry, hold, release, change the priority, remove.

use reel_protocol::{HoldReason, TaskId, TaskState};

use super::{
    AfterTransition, Answer, Effect, Machine, Outcome, RequestId, Surroundings, Todo, Write, restart::revived,
};
use crate::{
    store::{Recovered, StoreError},
    tasks::{
        Decision, Plan, PlanSpec, TaskRefusal,
        end::End,
        live::{Counted, held_bytes},
    },
};

/// Returns why a decision is not allowed in this state of the task. None if it is allowed.
const fn rule_against(decision: Decision, state: TaskState) -> Option<&'static str> {
    match (decision, state) {
        (Decision::Hold, TaskState::Running) => Some("it runs already; cancel it, or let it end"),
        (Decision::Release, TaskState::Waiting | TaskState::Queued | TaskState::Running) => {
            Some("only a held task can be released")
        }
        (Decision::Retry, TaskState::Held) => Some("release it instead"),
        (Decision::Retry, TaskState::Waiting | TaskState::Queued | TaskState::Running) => {
            Some("only a failed or cancelled task can be retried")
        }
        (Decision::Retry, TaskState::Succeeded) => Some("submit it again with cache fresh for a new result"),
        (Decision::Cancel, TaskState::Succeeded | TaskState::Failed) => Some("there is nothing to cancel"),
        (Decision::Hold | Decision::Release | Decision::SetPriority(_), state) if state.is_finished() => {
            Some("only an unfinished task can be held, released or moved in the queue")
        }
        _ => None,
    }
}

impl<S: Surroundings> Machine<S> {
    pub(super) fn decide(&mut self, request: RequestId, id: TaskId, decision: Decision) {
        let Some(state) = self.live.get(&id).map(|task| task.state) else {
            return self.decide_finished(request, id, decision);
        };
        if let Some(rule) = rule_against(decision, state) {
            return self.refuse(request, TaskRefusal::IllegalState { id, state, rule });
        }
        let then = AfterTransition::Decided(request);
        match decision {
            Decision::Cancel => {
                let error = self.what_is_given_up(id);
                self.finish(id, End::cancelled(error));
                self.when_settled(id, Todo::Show { request });
            }
            Decision::Hold if state == TaskState::Held => self.answer(request, Answer::Task(id)),
            Decision::Hold => self.transition_then(id, then, |transition| {
                transition.state = TaskState::Held;
                transition.hold_reason = Some(HoldReason::User);
            }),
            Decision::Release | Decision::Retry => {
                if self.is_unknown(id) {
                    self.allow_asking_again(id);
                }
                let state = self.state_to_queue(id);
                self.transition_then(id, then, |transition| {
                    transition.state = state;
                    transition.hold_reason = None;
                    transition.not_before = None;
                    transition.deaths = 0;
                    transition.attempts_left = transition.attempts_left.max(1);
                });
            }
            Decision::SetPriority(priority) => {
                self.transition_then(id, then, |transition| transition.priority = priority);
            }
        }
    }

    /// Returns the state in which a task continues. It waits if its dependencies are open or its params refer to outputs, and is queued otherwise.
    fn state_to_queue(&self, id: TaskId) -> TaskState {
        let is_incomplete = self.live.get(&id).is_some_and(|task| !task.plan.references.is_empty());
        if is_incomplete || self.dependencies.is_waiting(id) { TaskState::Waiting } else { TaskState::Queued }
    }

    /// Removes a finished task from the history.
    pub(super) fn remove(&mut self, request: RequestId, id: TaskId) {
        if let Some(task) = self.live.get(&id) {
            let rule = "only a finished task can be removed; cancel it first";
            return self.refuse(request, TaskRefusal::IllegalState { id, state: task.state, rule });
        }
        self.commit(Write::Remove { request, id });
    }

    pub(super) fn removal_written(
        &mut self,
        request: RequestId,
        id: TaskId,
        outcome: Result<Outcome, StoreError>,
    ) {
        match outcome {
            Ok(Outcome::Removed(Some(row))) if row.task.state.is_finished() => {
                let counted = Counted { batch: None, is_step: row.task.step.is_some() };
                self.count(counted, Some(row.task.state), None);
                let task = revived(&row, Plan::default(), self.now);
                self.tell("removed", &task, None, None);
                self.answer(request, Answer::Removed);
            }
            // The task was retried in the meantime.
            Ok(Outcome::Removed(Some(row))) => {
                let rule = "only a finished task can be removed";
                self.refuse(request, TaskRefusal::IllegalState { id, state: row.task.state, rule });
            }
            Ok(_) => self.refuse(request, TaskRefusal::NoTask(id)),
            Err(error) => self.refuse(request, error),
        }
    }

    /// Handles a decision about a task that is not live: it is finished, or does not exist.
    pub(super) fn decide_finished(&mut self, request: RequestId, id: TaskId, decision: Decision) {
        self.effects.push(Effect::Load { request, id, decision });
    }

    pub(super) fn loaded(
        &mut self,
        request: RequestId,
        id: TaskId,
        decision: Decision,
        row: Result<Option<Box<Recovered>>, StoreError>,
    ) {
        let row = match row {
            Err(error) => return self.refuse(request, error),
            Ok(None) => return self.refuse(request, TaskRefusal::NoTask(id)),
            Ok(Some(row)) => row,
        };
        // The task may have been retried while its row was read.
        if self.live.contains_key(&id) {
            return self.when_settled(id, Todo::Decide { request, decision });
        }
        let state = row.task.state;
        match rule_against(decision, state) {
            Some(rule) => self.refuse(request, TaskRefusal::IllegalState { id, state, rule }),
            None if decision == Decision::Retry => {
                if let Err(refusal) = self.retry(request, *row) {
                    self.refuse(request, refusal);
                }
            }
            // The task is cancelled already, as requested.
            None => self.answer(request, Answer::Task(id)),
        }
    }

    fn retry(&mut self, request: RequestId, mut row: Recovered) -> Result<(), TaskRefusal> {
        let (id, state) = (row.task.id, row.task.state);
        if self.is_stopping {
            return Err(TaskRefusal::Stopping);
        }
        let Ok(open) = std::mem::replace(&mut row.open, Ok(Vec::new())) else {
            let rule = "a task that it waits for did not succeed; retry that one first";
            return Err(TaskRefusal::IllegalState { id, state, rule });
        };
        let plan = self.planner.plan(&PlanSpec { refused_by: &[], ..row.plan_spec() })?;
        // A dependency that ended since the row was read may have failed, so the row is read again.
        if open.iter().any(|needed| !self.live.contains_key(needed)) {
            self.decide_finished(request, id, Decision::Retry);
            return Ok(());
        }
        let bytes = held_bytes(&row.task, open.len());
        self.around.reserve(bytes).map_err(TaskRefusal::OverMemory)?;
        let mut task = revived(&row, plan, self.now);
        task.deadline = None;
        task.refused_by.clear();
        task.is_retried = true;
        task.held_bytes = bytes;
        self.note_step(&task);
        self.live.insert(id, Box::new(task));
        self.allow_asking_again(id);
        self.dependencies.add(id, open);
        let (state, attempts_left) = (self.state_to_queue(id), self.limits.default_attempts);
        self.transition_then(id, AfterTransition::Retried(request), |transition| {
            transition.is_retry = true;
            transition.state = state;
            transition.not_before = None;
            transition.deaths = 0;
            transition.attempts_left = attempts_left;
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::state::is_legal;

    #[test]
    fn decisions_that_pass_lead_along_the_table() {
        for state in TaskState::ALL {
            for (decision, to) in [
                (Decision::Cancel, TaskState::Cancelled),
                (Decision::Hold, TaskState::Held),
                (Decision::Retry, TaskState::Queued),
            ] {
                let is_allowed = rule_against(decision, state).is_none();
                assert!(!is_allowed || state == to || is_legal(state, to), "{decision:?} {state:?}");
            }
            assert_eq!(rule_against(Decision::Release, state).is_none(), state == TaskState::Held);
        }
    }
}
