//! The steps of workflows: which of them are unfinished, and what becomes of them where their workflow is given up.

use reel_protocol::TaskId;

use super::{Machine, Surroundings, Todo};
use crate::{
    domain::StepOf,
    tasks::{TaskRefusal, end::End, live::LiveTask},
};

impl<S: Surroundings> Machine<S> {
    /// Notes a task that became live, if it is a step.
    pub(super) fn note_step(&mut self, task: &LiveTask) {
        if let Some(step) = &task.step {
            self.steps.entry(step.parent).or_default().insert(task.id);
        }
    }

    /// Forgets a step that is not live any more.
    pub(super) fn forget_step(&mut self, task: &LiveTask) {
        let Some(step) = &task.step else { return };
        if let Some(steps) = self.steps.get_mut(&step.parent) {
            steps.remove(&task.id);
            if steps.is_empty() {
                self.steps.remove(&step.parent);
            }
        }
    }

    /// Refuses a step whose workflow is over.
    pub(super) fn check_workflow(&self, step: Option<&StepOf>) -> Result<(), TaskRefusal> {
        match step.filter(|step| !self.live.contains_key(&step.parent)) {
            Some(step) => Err(TaskRefusal::NoTask(step.parent)),
            None => Ok(()),
        }
    }

    /// Whether a task is a step whose workflow is over.
    pub(super) fn is_orphan(&self, id: TaskId) -> bool {
        let step = self.live.get(&id).and_then(|task| task.step.as_ref());
        step.is_some_and(|step| !self.live.contains_key(&step.parent))
    }

    /// Gives up the unfinished steps of a workflow that was cancelled, and those of workflows among them. A call that may have been paid goes on
    /// to its end, like that of any cancelled task.
    pub(super) fn cancel_steps(&mut self, workflow: TaskId) {
        for step in self.steps.get(&workflow).cloned().unwrap_or_default() {
            self.when_settled(step, Todo::GiveUp);
        }
    }

    /// Cancels a task on behalf of its workflow. A step of which nobody knows whether it was paid stays: a person decides about it.
    pub(super) fn give_up(&mut self, id: TaskId) {
        if self.live.contains_key(&id) && !self.is_unknown(id) {
            let error = self.what_is_given_up(id);
            self.finish(id, End::cancelled(error));
        }
    }
}
