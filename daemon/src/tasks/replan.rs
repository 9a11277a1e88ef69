//! How unfinished tasks follow a change of the configured providers: each is planned anew, and keeps its
//! provider while that is there.

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use reel_protocol::{TaskId, TaskState};

use super::{
    Plan, PlanRefusal, PlanSpec, PlanTasks, Replan, TaskTracker,
    finish::{End, task_error},
    flights::Left,
};

impl Handler<Replan> for TaskTracker {
    type Result = ();

    fn handle(&mut self, _: Replan, ctx: &mut Self::Context) {
        let spec = |(id, task): (&TaskId, &super::live::LiveTask)| {
            // Services without providers do not change with them.
            (!task.plan.candidates.is_empty()).then(|| {
                let provider = task.wanted.as_deref().map(str::to_owned);
                let planned = task.plan.candidates.first().map(|first| first.provider.to_string());
                let (kind, params) = (task.kind.to_string(), task.plan.params.clone());
                (*id, PlanSpec { kind, params, provider, planned })
            })
        };
        let specs: Vec<_> = self.live.iter().filter_map(spec).collect();
        let plan = self.parts.plan.clone();
        let planned = async move {
            let mut planned = Vec::with_capacity(specs.len());
            for (id, spec) in specs {
                // One by one: a plan that does not hold any more fails its own task alone.
                match plan.send(PlanTasks { specs: vec![spec] }).await {
                    Ok(plans) => planned.push((id, plans)),
                    Err(_) => break,
                }
            }
            planned
        };
        ctx.spawn(planned.into_actor(self).map(|planned, tracker, ctx| {
            for (id, plan) in planned {
                tracker.when_settled(ctx, id, move |tracker, ctx| tracker.replan(ctx, id, plan));
            }
            tracker.dispatch(ctx);
        }));
    }
}

impl TaskTracker {
    /// Takes the new plan of a task, unless an attempt of the former one is under way.
    fn replan(&mut self, ctx: &mut Context<Self>, id: TaskId, plan: Result<Vec<Plan>, PlanRefusal>) {
        let Some(task) = self.live.get_mut(&id).filter(|task| task.run.is_none()) else { return };
        if self
            .runs
            .values()
            .any(|run| run.leader.is_some_and(|leader| self.flights.members(leader).contains(&id)))
        {
            return;
        }
        let state = task.state;
        let plan = match plan.map(|plans| plans.into_iter().next()) {
            Ok(Some(plan)) => plan,
            Ok(None) => return,
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
