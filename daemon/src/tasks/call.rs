//! How the tracker answers `service.call`: what the cache has at once, everything else when it is settled.

use std::{sync::Arc, time::Duration};

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use reel_protocol::methods::TaskWaitResult;
use tokio::sync::oneshot;

use super::{
    CallService, Called, Gone, Known, TaskRefusal, TaskTracker, WaitFor,
    intake::{Intake, Planned},
    promise::{Keeper, Promise, promise},
    repeats::{Delivered, Hit},
    submit::{Reply, new_task},
};
use crate::store::{self, NewTask};

/// How long delivered answers wait for each other on their way to disk, if not many come: a commit for each would cost more than the answers.
/// Much longer than the system's tick, as a timer that is due before it has the processor's own set and reset whenever this thread sleeps
/// and wakes, which takes as long as an answer.
const HITS_TOGETHER: Duration = Duration::from_millis(100);

impl Handler<CallService> for TaskTracker {
    type Result = Promise<Result<Called, TaskRefusal>>;

    fn handle(&mut self, msg: CallService, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = promise();
        let CallService { caller, spec, known, timeout, gone } = msg;
        if let Some(known) = known
            && let Some((id, at)) = self.repeats.answer(&known, &caller.client)
        {
            reply.keep(Ok(Called { task: known.view(&caller.client, id, at), known: None }));
            return answer;
        }
        self.plan_then(ctx, Intake::single(caller, spec), move |tracker, ctx, intake, planned| {
            tracker.call(ctx, intake, planned, (timeout, gone), reply);
        });
        answer
    }
}

impl Handler<Delivered> for TaskTracker {
    type Result = ();

    fn handle(&mut self, Delivered: Delivered, ctx: &mut Self::Context) {
        if self.repeats.are_many() {
            return self.journal_hits();
        }
        self.hits_timer.get_or_insert_with(|| {
            ctx.run_later(HITS_TOGETHER, |tracker, _| {
                tracker.hits_timer = None;
                tracker.journal_hits();
            })
        });
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
        reply: Keeper<Result<Called, TaskRefusal>>,
    ) {
        if let Some(called) = self.call_from_cache(&intake, &planned) {
            return reply.keep(Ok(called));
        }
        let (taken_reply, taken) = oneshot::channel();
        self.accept(ctx, intake, planned, Reply::Call(taken_reply));
        let answered = async move { taken.await.unwrap_or(Err(TaskRefusal::Stopping)) };
        ctx.spawn(answered.into_actor(self).map(move |taken, tracker, ctx| match taken {
            Err(refusal) => reply.keep(Err(refusal)),
            Ok(taken) => {
                let waited = tracker.wait(WaitFor::Tasks(taken.ids), false, timeout, gone);
                ctx.spawn(waited.map(move |waited, _, _| {
                    let first = |waited: TaskWaitResult| {
                        let task = waited.tasks.into_iter().next().ok_or(TaskRefusal::Stopping)?;
                        Ok(Called { task, known: None })
                    };
                    reply.keep(waited.and_then(first));
                }));
            }
        }));
    }

    /// The answer to a call whose result was found, if it may go before its row.
    fn call_from_cache(&self, intake: &Intake, planned: &Planned) -> Option<Called> {
        let ([(plan, Some(made))], [spec]) = (planned.as_deref().ok()?, &*intake.specs) else { return None };
        if !self.repeats.may_answer_first() {
            return None;
        }
        let known = Known { spec: spec.clone(), plan: plan.clone(), made: Arc::clone(made) };
        let (known, client) = (Arc::new(known), &intake.caller.client);
        let (id, at) = self.repeats.deliver(&known, client);
        Some(Called { task: known.view(client, id, at), known: Some(known) })
    }

    /// Sends the rows of delivered answers to the journal, all in one write.
    pub(super) fn journal_hits(&mut self) {
        let hits = self.repeats.take_delivered();
        if hits.is_empty() {
            return;
        }
        let (count, ids_below) = (hits.len(), self.ids.to_reserve());
        let default_attempts = self.parts.limits.default_attempts;
        self.hits_on_their_way += count;
        let write = move |hits: &Vec<Hit>, connection: &rusqlite::Connection| {
            for hit in hits {
                let (request, row) = rows_of_hit(hit, ids_below, default_attempts);
                store::insert_finished(connection, &request, &row)?;
            }
            store::save_ids(connection, ids_below)
        };
        let then = move |tracker: &mut Self,
                         _: &mut Context<Self>,
                         hits: Vec<Hit>,
                         outcome: Result<(), _>| {
            tracker.hits_on_their_way -= count;
            match outcome {
                Ok(()) => {
                    tracker.ids.reserved(ids_below);
                    for hit in &hits {
                        tracker.took_from_cache(None, || rows_of_hit(hit, ids_below, default_attempts));
                    }
                    tracker.prune();
                }
                Err(error) => {
                    tracing::warn!(error = %error, count, "answers from the cache are missing in the history");
                }
            }
        };
        self.send(hits, write, |_, _| {}, then);
    }
}

fn rows_of_hit(hit: &Hit, ids_below: u64, default_attempts: u32) -> (store::Request, NewTask) {
    let Hit { known, client, id, at } = hit;
    let request = store::Request {
        client: client.to_string(),
        request_id: None,
        fingerprint: [0; 32],
        batch: None,
        is_new_batch: false,
        batch_name: None,
        at: *at,
        ids_below,
    };
    let row = new_task(*id, &known.spec, &known.plan, Some(&known.made), (*at, default_attempts));
    (request, row)
}
