//! What people and programs decide about tasks: cancel, retry, hold, release, priority, remove.

use actix::{ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use reel_protocol::{HoldReason, TaskId, TaskState, TaskView};
use tokio::sync::oneshot;

use super::{
    DecideTask, Decision, Plan, PlanSpec, RemoveTask, TaskRefusal, TaskTracker, end::End,
    live::OVERHEAD_BYTES, recover::revived,
};
use crate::{
    memory::Holder,
    store::{self, Recovered, StoreError},
};

type Reply = oneshot::Sender<Result<TaskView, TaskRefusal>>;

impl Handler<DecideTask> for TaskTracker {
    type Result = ResponseFuture<Result<TaskView, TaskRefusal>>;

    fn handle(&mut self, DecideTask { id, decision }: DecideTask, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        self.when_settled(ctx, id, move |tracker, ctx| tracker.decide(ctx, id, decision, reply));
        Box::pin(async move { answer.await.unwrap_or(Err(TaskRefusal::Stopping)) })
    }
}

impl Handler<RemoveTask> for TaskTracker {
    type Result = ResponseFuture<Result<(), TaskRefusal>>;

    fn handle(&mut self, RemoveTask(id): RemoveTask, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        self.waiters.forget_views();
        // One that is being queued again is still over, and not to be removed any more.
        self.when_settled(ctx, id, move |tracker, _| tracker.remove(id, reply));
        Box::pin(async move { answer.await.unwrap_or(Err(TaskRefusal::Stopping)) })
    }
}

/// Why a decision does not fit where the task stands; None if it does.
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
        (Decision::Retry, TaskState::Succeeded) => {
            Some("it succeeded; submit it again with cache fresh for a new result")
        }
        (Decision::Cancel, TaskState::Succeeded | TaskState::Failed) => Some("it is over"),
        (Decision::Hold | Decision::Release | Decision::SetPriority(_), state) if state.is_finished() => {
            Some("it is over")
        }
        _ => None,
    }
}

impl TaskTracker {
    fn decide(&mut self, ctx: &mut Context<Self>, id: TaskId, decision: Decision, reply: Reply) {
        let Some(state) = self.live.get(&id).map(|task| task.state) else {
            return self.decide_finished(ctx, id, decision, reply);
        };
        if let Some(rule) = rule_against(decision, state) {
            return drop(reply.send(Err(TaskRefusal::IllegalState { id, state, rule })));
        }
        let answered =
            move |tracker: &mut Self, ctx: &mut Context<Self>, outcome: Result<(), StoreError>| match outcome
            {
                Ok(()) => tracker.reply_view(ctx, id, reply),
                Err(StoreError::NoTask(_)) => drop(reply.send(Err(TaskRefusal::NoTask(id)))),
                Err(error) => drop(reply.send(Err(error.into()))),
            };
        let is_waiting = self.dependencies.is_waiting(id);
        match decision {
            Decision::Cancel => {
                let error = self.what_is_given_up(id);
                self.finish(id, End::cancelled(error));
                self.when_settled(ctx, id, move |tracker, ctx| answered(tracker, ctx, Ok(())));
            }
            Decision::Hold if state == TaskState::Held => answered(self, ctx, Ok(())),
            Decision::Hold => {
                let hold = |step: &mut store::Step| {
                    step.state = TaskState::Held;
                    step.hold_reason = Some(HoldReason::User);
                };
                self.step_or_refuse(id, hold, answered);
            }
            Decision::Release | Decision::Retry => {
                if self.is_unknown(id) {
                    self.allow_asking_again(id);
                }
                let release = move |step: &mut store::Step| {
                    step.state = if is_waiting { TaskState::Waiting } else { TaskState::Queued };
                    step.hold_reason = None;
                    step.not_before = None;
                    step.deaths = 0;
                    step.attempts_left = step.attempts_left.max(1);
                };
                self.step_or_refuse(id, release, answered);
            }
            Decision::SetPriority(priority) => {
                self.step_or_refuse(id, move |step| step.priority = priority, answered);
            }
        }
    }

    /// Drops a finished task from the history.
    fn remove(&mut self, id: TaskId, reply: oneshot::Sender<Result<(), TaskRefusal>>) {
        if let Some(task) = self.live.get(&id) {
            let rule = "only a finished task can be removed; cancel it first";
            return drop(reply.send(Err(TaskRefusal::IllegalState { id, state: task.state, rule })));
        }
        let write = move |connection: &rusqlite::Connection| {
            let task = store::load(connection, id)?;
            if task.as_ref().is_some_and(|task| task.task.state.is_finished()) {
                store::forget(connection, id)?;
            }
            Ok(task)
        };
        self.journal(write, move |tracker, _, outcome| {
            let removed = match outcome {
                Ok(Some(row)) if row.task.state.is_finished() => {
                    tracker.count(None, Some(row.task.state), None);
                    let event = || revived(&row, Plan::default()).event(None, None);
                    tracker.parts.events.task("removed", event);
                    Ok(())
                }
                // It was queued again meanwhile.
                Ok(Some(row)) => {
                    let rule = "only a finished task can be removed";
                    Err(TaskRefusal::IllegalState { id, state: row.task.state, rule })
                }
                Ok(None) => Err(TaskRefusal::NoTask(id)),
                Err(error) => Err(error.into()),
            };
            let _ = reply.send(removed);
        });
    }

    /// A decision about a task that is not live: over, or never there.
    fn decide_finished(&mut self, ctx: &mut Context<Self>, id: TaskId, decision: Decision, reply: Reply) {
        let read = self.read(move |connection| store::load(connection, id));
        ctx.spawn(read.into_actor(self).map(move |found, tracker, ctx| {
            let task = match found {
                Err(error) => return drop(reply.send(Err(error.into()))),
                Ok(None) => return drop(reply.send(Err(TaskRefusal::NoTask(id)))),
                Ok(Some(task)) => task,
            };
            // It may have come back to life while it was read.
            if tracker.live.contains_key(&id) {
                return tracker
                    .when_settled(ctx, id, move |tracker, ctx| tracker.decide(ctx, id, decision, reply));
            }
            let state = task.task.state;
            match rule_against(decision, state) {
                Some(rule) => drop(reply.send(Err(TaskRefusal::IllegalState { id, state, rule }))),
                None if decision == Decision::Retry => tracker.retry(ctx, &task, reply),
                // Cancelled already: what was asked holds.
                None => tracker.reply_view(ctx, id, reply),
            }
        }));
    }

    fn retry(&mut self, ctx: &mut Context<Self>, row: &Recovered, reply: Reply) {
        let id = row.task.id;
        if self.is_stopping {
            return drop(reply.send(Err(TaskRefusal::Stopping)));
        }
        self.waiters.forget_views();
        let state = row.task.state;
        let Ok(open) = row.open.clone() else {
            let rule = "a task that it waits for did not succeed; retry that one first";
            return drop(reply.send(Err(TaskRefusal::IllegalState { id, state, rule })));
        };
        let plan = match self.parts.plan.plan(&PlanSpec { refused_by: &[], ..row.plan_spec() }) {
            Ok(plan) => plan,
            Err(refusal) => return drop(reply.send(Err(refusal.into()))),
        };
        if self.live.contains_key(&id) {
            let rule = "it was retried already";
            return drop(reply.send(Err(TaskRefusal::IllegalState { id, state: TaskState::Queued, rule })));
        }
        // One that ended since the row was read may have failed: what it ended as is read anew.
        if open.iter().any(|needed| !self.live.contains_key(needed)) {
            return self.decide_finished(ctx, id, Decision::Retry, reply);
        }
        let mut task = revived(row, plan);
        task.deadline = None;
        task.refused_by.clear();
        let bytes = row.task.params.as_str().len() as u64 + OVERHEAD_BYTES;
        let Ok(reservation) = self.parts.budget.reserve(Holder::Request, bytes) else {
            return drop(reply.send(Err(TaskRefusal::OverMemory { asked_bytes: bytes })));
        };
        task.reservation = Some(reservation);
        let attempts_left = self.parts.limits.default_attempts;
        let is_waiting = !open.is_empty();
        self.live.insert(id, Box::new(task));
        self.allow_asking_again(id);
        self.dependencies.add(id, open);
        let again = move |step: &mut store::Step| {
            step.is_retry = true;
            step.state = if is_waiting { TaskState::Waiting } else { TaskState::Queued };
            step.not_before = None;
            step.deaths = 0;
            step.attempts_left = attempts_left;
        };
        self.step_or_refuse(id, again, move |tracker, ctx, outcome| match outcome {
            Ok(()) => tracker.reply_view(ctx, id, reply),
            // It left the history, or was retried and ended again since its row was read: that is read anew.
            Err(StoreError::NoTask(_)) => tracker.decide_finished(ctx, id, Decision::Retry, reply),
            Err(error) => drop(reply.send(Err(error.into()))),
        });
        self.dispatch(ctx);
    }

    /// Answers a task as it now is.
    fn reply_view(&mut self, ctx: &mut Context<Self>, id: TaskId, reply: Reply) {
        let view = self.view(id);
        ctx.spawn(view.map(move |view, _, _| drop(reply.send(view))));
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
