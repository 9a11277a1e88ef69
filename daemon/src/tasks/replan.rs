//! How unfinished tasks follow a change of the configured providers: each is planned anew, and keeps its
//! provider while that is there.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use reel_protocol::{JsonText, TaskId, TaskState};

use super::{
    Plan, PlanRefusal, PlanSpec, Replan, TaskTracker,
    finish::{End, task_error},
    flights::Left,
};

impl Handler<Replan> for TaskTracker {
    type Result = ();

    fn handle(&mut self, Replan(planner): Replan, ctx: &mut Self::Context) {
        self.parts.plan = Arc::clone(&planner);
        // Services without providers do not change with them.
        let concerned = self.live.values().filter(|task| !task.plan.candidates.is_empty());
        let asked: Vec<_> = concerned
            .map(|task| {
                let planned = task.plan.candidates.first().map(|first| Arc::clone(&first.provider));
                (task.id, Arc::clone(&task.kind), task.plan.params.clone(), task.wanted.clone(), planned)
            })
            .collect();
        // There may be a hundred thousand, which nobody else shall wait for.
        let planning = tokio::task::spawn_blocking(move || {
            let plan = |(id, kind, params, wanted, planned): &Asked| {
                let (provider, planned) = (wanted.as_deref(), planned.as_deref());
                (*id, planner.plan(&PlanSpec { kind, params, provider, planned }))
            };
            asked.iter().map(plan).collect::<Vec<_>>()
        });
        ctx.spawn(planning.into_actor(self).map(|planned, tracker, ctx| {
            // A planner that panicked has said so; the tasks stay as they were planned.
            for (id, plan) in planned.unwrap_or_default() {
                tracker.when_settled(ctx, id, move |tracker, ctx| tracker.replan(ctx, id, plan));
            }
            tracker.dispatch(ctx);
        }));
    }
}

/// A task, with what its plan is made from.
type Asked = (TaskId, Arc<str>, JsonText, Option<Arc<str>>, Option<Arc<str>>);

impl TaskTracker {
    /// Takes the new plan of a task, unless an attempt of the former one is under way.
    fn replan(&mut self, ctx: &mut Context<Self>, id: TaskId, plan: Result<Plan, PlanRefusal>) {
        let Some(task) = self.live.get_mut(&id).filter(|task| task.run.is_none()) else { return };
        if self
            .runs
            .values()
            .any(|run| run.leader.is_some_and(|leader| self.flights.members(leader).contains(&id)))
        {
            return;
        }
        let state = task.state;
        let plan = match plan {
            Ok(plan) => plan,
            // A person decides about it, and is told then.
            Err(_) if state == TaskState::Held => return,
            Err(refusal) => {
                let hint = refusal.hint.unwrap_or_default();
                return self.finish(id, End::failed(task_error(refusal.code, refusal.message, &hint, true)));
            }
        };
        let is_in_flight = self.flights.is_in(id);
        task.plan = plan;
        self.ready.remove(id);
        if let Left::Promoted(next) = self.flights.leave(id) {
            self.enqueue(next);
        }
        match state {
            TaskState::Queued => self.enter_queue(ctx, id),
            _ if is_in_flight => self.rejoin(id),
            _ => {}
        }
    }

    /// A held task keeps what it asked for to itself, whatever that is called now.
    fn rejoin(&mut self, id: TaskId) {
        if let Some(key) = self.live.get(&id).and_then(super::live::LiveTask::key) {
            self.flights.join(key, id);
        }
    }
}
