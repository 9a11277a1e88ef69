//! Tracks the unfinished steps of workflows, and cancels the steps of a cancelled workflow.

use reel_protocol::TaskId;

use super::{Machine, Surroundings, Todo};
use crate::{
    domain::StepOf,
    tasks::{TaskRefusal, end::End, live::LiveTask},
};

impl<S: Surroundings> Machine<S> {
    /// Records a task that became live, if it is a step.
    pub(super) fn note_step(&mut self, task: &LiveTask) {
        if let Some(step) = &task.step {
            self.steps.entry(step.parent).or_default().insert(task.id);
        }
    }

    /// Forgets a task that is not live any more, if it is a step.
    pub(super) fn forget_step(&mut self, task: &LiveTask) {
        let Some(step) = &task.step else { return };
        if let Some(steps) = self.steps.get_mut(&step.parent) {
            steps.remove(&task.id);
            if steps.is_empty() {
                self.steps.remove(&step.parent);
            }
        }
    }

    /// Refuses a step whose workflow has ended.
    pub(super) fn check_workflow(&self, step: Option<&StepOf>) -> Result<(), TaskRefusal> {
        match step.filter(|step| !self.live.contains_key(&step.parent)) {
            Some(step) => Err(TaskRefusal::NoTask(step.parent)),
            None => Ok(()),
        }
    }

    /// Whether the task is a step whose workflow has ended.
    pub(super) fn is_orphan(&self, id: TaskId) -> bool {
        let step = self.live.get(&id).and_then(|task| task.step.as_ref());
        step.is_some_and(|step| !self.live.contains_key(&step.parent))
    }

    /// Cancels the unfinished steps of a cancelled workflow. A step that is a workflow cancels its own steps in turn. A call that may have been paid
    /// continues to its end, like that of any cancelled task.
    pub(super) fn cancel_steps(&mut self, workflow: TaskId) {
        for step in self.steps.get(&workflow).cloned().unwrap_or_default() {
            self.when_settled(step, Todo::GiveUp);
        }
    }

    /// Cancels a step because its workflow was cancelled. If it is unknown whether the step was paid, it stays, and a person decides.
    pub(super) fn give_up(&mut self, id: TaskId) {
        if self.live.contains_key(&id) && !self.is_unknown(id) {
            let error = self.what_is_given_up(id);
            self.finish(id, End::cancelled(error));
        }
    }
}
