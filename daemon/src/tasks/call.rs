//! How the tracker answers `service.call`: what the cache has at once, everything else when it is settled.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use reel_protocol::{TaskView, methods::TaskWaitResult};
use tokio::sync::oneshot;

use super::{
    CallService, Gone, TaskRefusal, TaskTracker, WaitFor,
    intake::{Intake, Planned},
    promise::{Keeper, Promise, promise},
    submit::Reply,
};

impl Handler<CallService> for TaskTracker {
    type Result = Promise<Result<TaskView, TaskRefusal>>;

    fn handle(&mut self, msg: CallService, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = promise();
        let CallService { caller, spec, timeout, gone } = msg;
        self.plan_then(ctx, Intake::single(caller, spec), move |tracker, ctx, intake, planned| {
            tracker.call(ctx, intake, planned, (timeout, gone), reply);
        });
        answer
    }
}

impl TaskTracker {
    /// Answers a call. What the cache has is delivered before its row is on disk: nothing remains to be done, so nothing can be lost.
    fn call(
        &mut self,
        ctx: &mut Context<Self>,
        intake: Intake,
        planned: Planned,
        (timeout, gone): (Option<Duration>, Gone),
        reply: Keeper<Result<TaskView, TaskRefusal>>,
    ) {
        if let Some(task) = self.answer_from_cache(ctx, &intake, &planned) {
            return reply.keep(Ok(task));
        }
        let (taken_reply, taken) = oneshot::channel();
        self.accept(ctx, intake, planned, Reply::Call(taken_reply));
        let answered = async move { taken.await.unwrap_or(Err(TaskRefusal::Stopping)) };
        ctx.spawn(answered.into_actor(self).map(move |taken, tracker, ctx| match taken {
            Err(refusal) => reply.keep(Err(refusal)),
            Ok(taken) => {
                let waited = tracker.wait(WaitFor::Tasks(taken.ids), false, timeout, gone);
                ctx.spawn(waited.map(move |waited, _, _| {
                    let first =
                        |waited: TaskWaitResult| waited.tasks.into_iter().next().ok_or(TaskRefusal::Stopping);
                    reply.keep(waited.and_then(first));
                }));
            }
        }));
    }
}
