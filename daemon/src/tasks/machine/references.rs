//! Completes the params of a task that refers to outputs of other tasks. When these tasks have succeeded, the digests of the outputs replace the
//! references. Only then is it known what the task asks for, so only then does it have a cache key and candidates.

use reel_protocol::{Digest, ErrorCode, TaskId, TaskState};

use super::{Effect, Machine, Surroundings, Todo};
use crate::{
    chain::chain,
    domain::{PlanSpec, resolve},
    store::StoreError,
    tasks::{
        Plan,
        end::{End, task_error},
    },
};

impl<S: Surroundings> Machine<S> {
    /// Requests the outputs that a waiting task refers to. All tasks that it refers to have succeeded.
    pub(super) fn resolve_references(&mut self, id: TaskId) {
        let Some(task) = self.live.get(&id).filter(|task| task.state == TaskState::Waiting) else { return };
        let references = task.plan.references.clone();
        self.effects.push(Effect::Resolve { id, references });
    }

    /// Handles the outputs that a task refers to, in the order of its references. An output is `None` if the task does not have it.
    pub(super) fn resolved(&mut self, id: TaskId, outputs: Result<Vec<Option<Digest>>, StoreError>) {
        let Some(task) = self.live.get(&id).filter(|task| task.state == TaskState::Waiting) else { return };
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(error) => {
                let message = format!("the outputs that it starts from could not be read: {}", chain(&error));
                let hint = format!("reel daemon logs shows the cause; then reel retry {id}");
                let error = task_error(ErrorCode::StorageFailed, message, &hint, true);
                return self.when_settled(id, Todo::Conclude(Box::new(End::failed(error))));
            }
        };
        let missing = task.plan.references.iter().zip(&outputs).find(|(_, output)| output.is_none());
        if let Some((reference, _)) = missing {
            let message =
                format!("task {} has no output {}, from which it starts", reference.task, reference.index);
            let hint =
                format!("reel show {} shows its outputs; submit it anew with another one", reference.task);
            let error = task_error(ErrorCode::DependencyFailed, message, &hint, false);
            return self.when_settled(id, Todo::Conclude(Box::new(End::failed(error))));
        }
        let Some(params) = resolve(&task.plan.params, outputs.into_iter().flatten()) else { return };
        let spec = PlanSpec {
            kind: &task.kind,
            params: &params,
            provider: task.requested_provider.as_deref(),
            planned: None,
            refused_by: &task.refused_by,
        };
        match self.planner.plan(&spec) {
            Ok(plan) => self.when_settled(id, Todo::Resolve(Box::new(plan))),
            Err(refusal) => {
                let hint = refusal.hint.unwrap_or_default();
                let error = task_error(refusal.code, refusal.message, &hint, true);
                self.when_settled(id, Todo::Conclude(Box::new(End::failed(error))));
            }
        }
    }

    /// Sets the plan that was made with the completed params. The params are journaled with the transition that ends the waiting.
    pub(super) fn resolve_now(&mut self, id: TaskId, plan: Plan) {
        let Some(task) = self.live.get_mut(&id) else { return };
        if task.state != TaskState::Waiting || task.plan.references.is_empty() {
            return;
        }
        let resolved = (plan.params.clone(), plan.inputs.clone());
        task.plan = plan;
        self.transition(id, |transition| {
            transition.state = TaskState::Queued;
            transition.resolved = Some(resolved);
        });
    }
}
