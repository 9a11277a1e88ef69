//! How unfinished tasks follow a change of the configured providers: each is planned anew, and keeps its provider while that is
//! configured. A task whose provider is not configured waits until it is, as a configuration may be away for a moment only.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use reel_protocol::{JsonText, TaskId, TaskState};

use super::{
    Candidate, Plan, PlanRefusal, PlanSpec, Replan, TaskTracker,
    end::{End, task_error},
    flights::Left,
    tracker::Run,
};
use crate::domain::Refused;

impl Handler<Replan> for TaskTracker {
    type Result = ();

    fn handle(&mut self, Replan(planner): Replan, ctx: &mut Self::Context) {
        self.parts.plan = Arc::clone(&planner);
        let generation = planner.generation();
        // What may have been paid claims its new key before any equal task is planned, as that one would pay again.
        let unknown: Vec<_> =
            self.live.iter().filter(|(_, task)| task.is_unknown()).map(|(id, _)| *id).collect();
        for id in unknown {
            self.plan_anew(ctx, id);
        }
        // Services without providers do not change with them.
        let concerned =
            self.live.values().filter(|task| task.plan.provider().is_some() && !task.is_unknown());
        let asked: Vec<_> = concerned
            .map(|task| Asked {
                id: task.id,
                kind: Arc::clone(&task.kind),
                params: task.plan.params.clone(),
                wanted: task.wanted.clone(),
                planned: task.planned(),
                refused_by: task.refused_by.clone(),
            })
            .collect();
        // There may be a hundred thousand, which nobody else shall wait for.
        let planning = tokio::task::spawn_blocking(move || {
            let plan = |asked: &Asked| (asked.id, planner.plan(&asked.spec()));
            asked.iter().map(plan).collect::<Vec<_>>()
        });
        ctx.spawn(planning.into_actor(self).map(move |planned, tracker, ctx| {
            // A planner that panicked has said so; the tasks stay as they were planned.
            for (id, plan) in planned.unwrap_or_default() {
                tracker.when_settled(ctx, id, move |tracker, ctx| {
                    if tracker.parts.plan.generation() == generation {
                        tracker.replan(ctx, id, plan);
                    }
                });
            }
            tracker.warn_of_missing_providers();
            tracker.dispatch(ctx);
        }));
    }
}

/// A task, with what its plan is made from.
struct Asked {
    id: TaskId,
    kind: Arc<str>,
    params: JsonText,
    wanted: Option<Arc<str>>,
    planned: Option<Arc<str>>,
    refused_by: Vec<Refused>,
}

impl Asked {
    fn spec(&self) -> PlanSpec<'_> {
        PlanSpec {
            kind: &self.kind,
            params: &self.params,
            provider: self.wanted.as_deref(),
            planned: self.planned.as_deref(),
            refused_by: &self.refused_by,
        }
    }
}

impl TaskTracker {
    /// Whether the task's plan is one of the planner in force.
    pub(super) fn has_valid_plan(&self, id: TaskId) -> bool {
        self.live.get(&id).is_none_or(|task| task.plan.generation == self.parts.plan.generation())
    }

    /// Plans a task that is about to be used with a plan of former providers.
    pub(super) fn plan_anew(&mut self, ctx: &mut Context<Self>, id: TaskId) {
        let Some(task) = self.live.get(&id) else { return };
        let planned = task.planned();
        let planned = planned.as_deref();
        let (kind, params, provider) = (&*task.kind, &task.plan.params, task.wanted.as_deref());
        let refused_by = &task.refused_by;
        let plan = self.parts.plan.plan(&PlanSpec { kind, params, provider, planned, refused_by });
        self.when_settled(ctx, id, move |tracker, ctx| tracker.replan(ctx, id, plan));
    }

    /// Takes the new plan of a task, unless an attempt of the former one is under way: then it is made anew when that has ended.
    fn replan(&mut self, ctx: &mut Context<Self>, id: TaskId, plan: Result<Plan, PlanRefusal>) {
        let is_shared =
            |run: &Run| run.leader.is_some_and(|leader| self.flights.members(leader).contains(&id));
        if self.runs.values().any(is_shared) {
            return;
        }
        let Some(task) = self.live.get_mut(&id).filter(|task| task.run.is_none()) else { return };
        let state = task.state;
        let provider = task.wanted.clone().or_else(|| task.planned());
        let plan = match (plan, provider) {
            (Ok(plan), _) => plan,
            // A person decides about it, and is told then.
            (Err(_), _) if state == TaskState::Held => return,
            (Err(refusal), Some(provider)) if refusal.is_for_want_of_its_provider() => {
                Plan::without_provider(task.plan.params.clone(), provider, self.parts.plan.generation())
            }
            (Err(refusal), _) => {
                let hint = refusal.hint.unwrap_or_default();
                return self.finish(id, End::failed(task_error(refusal.code, refusal.message, &hint, true)));
            }
        };
        match &plan.missing {
            Some(provider) => drop(self.missing.insert(id, Arc::clone(provider))),
            None => drop(self.missing.remove(&id)),
        }
        let mut plan = plan;
        // It may have left a provider while it was planned.
        let is_open = |candidate: &Candidate| {
            !task.refused_by.iter().any(|refused| *refused.provider == *candidate.provider)
        };
        if plan.candidates.iter().any(is_open) {
            plan.candidates.retain(is_open);
        }
        let former = task.key();
        task.plan = plan;
        let is_same = task.key() == former;
        self.ready.remove(id);
        // What is still the same stays with those that it is equal to, and in its place among them.
        if !is_same
            && let Left::Promoted(next) =
                self.flights.leave(id, |member| !self.live.get(&member).is_some_and(|task| task.is_unknown()))
        {
            self.enqueue(next);
        }
        match state {
            TaskState::Queued => self.enter_queue(ctx, id),
            TaskState::Held if self.is_unknown(id) => self.keep_key(id),
            _ => {}
        }
    }

    /// Tells in the log which tasks wait for a provider that is not configured.
    pub(super) fn warn_of_missing_providers(&self) {
        for (provider, tasks) in self.missing_providers() {
            tracing::warn!(provider, tasks, "tasks wait for a provider that is not configured");
        }
    }

    /// A task that may have been paid keeps what it asked for to itself, whatever that is called now.
    fn keep_key(&mut self, id: TaskId) {
        if let Some(key) = self.live.get(&id).and_then(|task| task.key()) {
            self.flights.join(key, id);
        }
    }
}
