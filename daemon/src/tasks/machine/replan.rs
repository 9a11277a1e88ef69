//! Adapts unfinished tasks to a change of the configured providers. Each task is planned again, and keeps its provider while that is configured. A
//! task whose provider is not configured waits until it is, because it may be missing only for a moment.

mod change;

use std::{collections::BTreeMap, sync::Arc};

use reel_protocol::{TaskId, TaskState};

use self::change::{Change, change};
use super::{Effect, Machine, Surroundings, Todo, Unplanned, attempt::Run, queue::is_unknown};
use crate::tasks::{Plan, PlanRefusal, PlanTasks, end::End, flights::Departure, live::LiveTask};

impl LiveTask {
    fn unplanned(&self) -> Unplanned {
        Unplanned {
            id: self.id,
            kind: Arc::clone(&self.kind),
            params: self.plan.params.clone(),
            requested_provider: self.requested_provider.clone(),
            planned: self.planned(),
            refused_by: self.refused_by.clone(),
        }
    }
}

impl<S: Surroundings> Machine<S> {
    /// Replaces the planner, and requests new plans for all unfinished tasks.
    pub(super) fn replan_all(&mut self, planner: Arc<dyn PlanTasks>) {
        self.planner = Arc::clone(&planner);
        // Tasks that may have been paid get their new keys first. Otherwise an equal task would be planned before them, and pay again.
        let unknown: Vec<_> =
            self.live.values().filter(|task| task.is_unknown()).map(|task| task.id).collect();
        for id in unknown {
            self.plan_anew(id);
        }
        // Services without providers do not depend on the configuration of providers.
        let concerned =
            self.live.values().filter(|task| task.plan.provider().is_some() && !task.is_unknown());
        let asked = concerned.map(|task| task.unplanned()).collect();
        self.effects.push(Effect::Plan { planner, asked });
    }

    pub(super) fn planned(&mut self, generation: u64, plans: Vec<(TaskId, Result<Plan, PlanRefusal>)>) {
        for (id, plan) in plans {
            self.when_settled(id, Todo::Replan { generation, plan: Box::new(plan) });
        }
        self.warn_of_missing_providers();
    }

    /// Whether the task's plan was made by the current planner.
    pub(super) fn has_valid_plan(&self, id: TaskId) -> bool {
        self.live.get(&id).is_none_or(|task| task.plan.generation == self.planner.generation())
    }

    /// Plans a task again at once, because it is about to be used with a plan of an earlier planner.
    pub(super) fn plan_anew(&mut self, id: TaskId) {
        let Some(task) = self.live.get(&id) else { return };
        let plan = Box::new(self.planner.plan(&task.unplanned().spec()));
        self.when_settled(id, Todo::Replan { generation: self.planner.generation(), plan });
    }

    /// Applies a new plan, or the refusal to make one, to a task, unless an attempt of its flight is under way. In that case the task is planned again
    /// after the attempt.
    pub(super) fn replan(&mut self, id: TaskId, plan: Result<Plan, PlanRefusal>) {
        let is_shared =
            |run: &Run| run.leader.is_some_and(|leader| self.flights.members(leader).contains(&id));
        if self.runs.values().any(is_shared) {
            return;
        }
        let Some(task) = self.live.get(&id) else { return };
        match change(task, plan, self.planner.generation()) {
            Change::Keep => {}
            Change::Hold(error) => {
                // No attempt may begin before the hold is committed.
                self.ready.remove(id);
                self.when_settled(id, Todo::HoldUnknown(error));
            }
            Change::Fail(error) => self.finish(id, End::failed(error)),
            Change::Set(plan) => self.set_plan(id, plan),
        }
    }

    /// Sets the plan of a task. If its key changes, it leaves its flight; otherwise it keeps its position there.
    fn set_plan(&mut self, id: TaskId, plan: Plan) {
        let Some(task) = self.live.get_mut(&id) else { return };
        match &plan.missing {
            Some(provider) => drop(self.missing.insert(id, Arc::clone(provider))),
            None => drop(self.missing.remove(&id)),
        }
        let former = task.key();
        task.plan = plan;
        let (state, has_new_key) = (task.state, task.key() != former);
        self.ready.remove(id);
        if has_new_key
            && let Departure::Promoted(next) =
                self.flights.leave(id, |member| !is_unknown(&self.live, member))
        {
            self.enqueue(next);
        }
        match state {
            TaskState::Queued => self.enter_queue(id),
            TaskState::Held if self.is_unknown(id) => self.keep_key(id),
            _ => {}
        }
    }

    /// Returns how many waiting or queued tasks need each provider that is not configured.
    pub(super) fn missing_providers(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (id, provider) in &self.missing {
            let state = self.live.get(id).map(|task| task.state);
            if matches!(state, Some(TaskState::Waiting | TaskState::Queued)) {
                *counts.entry(provider.to_string()).or_default() += 1;
            }
        }
        counts
    }

    /// Logs how many tasks wait for each provider that is not configured.
    pub(super) fn warn_of_missing_providers(&self) {
        for (provider, tasks) in self.missing_providers() {
            tracing::warn!(provider, tasks, "tasks wait for a provider that is not configured");
        }
    }

    /// Adds a task that may have been paid to the flight of its key, so that no equal task pays again. A task whose paid provider is not configured has
    /// no key: the key of its plan is that of another provider, and nobody can ask the paid one.
    pub(super) fn keep_key(&mut self, id: TaskId) {
        let Some(task) = self.live.get(&id) else { return };
        let is_planned_there = task.planned().as_ref() == task.plan.provider();
        if let Some(key) = task.key().filter(|_| is_planned_there) {
            self.flights.join(key, id);
        }
    }
}
