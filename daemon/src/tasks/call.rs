//! How the tracker answers `service.call`: what the cache has at once, everything else when it is settled.

use std::{sync::Arc, time::Duration};

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use reel_protocol::{CacheMode, Progress, Source, TaskSpec, TaskState, TaskView, methods::TaskWaitResult};
use tokio::sync::oneshot;

use super::{
    CallService, Gone, Plan, TaskRefusal, TaskTracker, WaitFor,
    intake::{Intake, Planned},
    promise::{Keeper, Promise, promise},
    submit::Reply,
};
use crate::{
    cache::Made,
    store::{self, NewTask},
};

/// How long delivered answers wait for each other on their way to disk: a commit for each would cost more than the answers.
const HITS_TOGETHER: Duration = Duration::from_millis(5);

/// An answer from the cache that was delivered.
#[derive(Debug)]
pub(super) struct Hit {
    request: store::Request,
    rows: Vec<NewTask>,
}

impl Handler<CallService> for TaskTracker {
    type Result = Promise<Result<TaskView, TaskRefusal>>;

    fn handle(&mut self, msg: CallService, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = promise();
        let CallService { caller, spec, timeout, gone } = msg;
        let again = self.find_again(&spec);
        let intake = Intake::single(caller, spec);
        if let Some((plan, made)) = again {
            self.call_from_cache(ctx, intake, plan, &made, reply);
            return answer;
        }
        self.plan_then(ctx, intake, move |tracker, ctx, intake, planned| {
            tracker.call(ctx, intake, planned, (timeout, gone), reply);
        });
        answer
    }
}

impl TaskTracker {
    /// Whether an answer may go before its row: not without an id that is reserved, and not where the row would not follow.
    const fn may_answer_first(&self) -> bool {
        self.next_id < self.ids_on_disk && !self.is_stopping
    }

    /// The plan and the result of what was answered from the cache before, if both are known without asking anybody.
    fn find_again(&mut self, spec: &TaskSpec) -> Option<(Plan, Arc<Made>)> {
        if spec.cache != CacheMode::Use || !self.may_answer_first() {
            return None;
        }
        let plan = self.plans.get(spec, self.parts.plan.generation())?;
        let made = self.parts.shelves.look_now(plan.keys())?;
        Some((plan.clone(), made))
    }

    /// Answers a call. What the cache has is delivered before its row is on disk: nothing remains to be done, so nothing can be lost.
    fn call(
        &mut self,
        ctx: &mut Context<Self>,
        intake: Intake,
        planned: Planned,
        (timeout, gone): (Option<Duration>, Gone),
        reply: Keeper<Result<TaskView, TaskRefusal>>,
    ) {
        if let Ok(plans) = &planned
            && let ([(plan, Some(made))], [spec]) = (&**plans, &*intake.specs)
            && self.may_answer_first()
        {
            let (plan, made) = (plan.clone(), Arc::clone(made));
            self.plans.put(spec, &plan);
            return self.call_from_cache(ctx, intake, plan, &made, reply);
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

    fn call_from_cache(
        &mut self,
        ctx: &mut Context<Self>,
        intake: Intake,
        plan: Plan,
        made: &Arc<Made>,
        reply: Keeper<Result<TaskView, TaskRefusal>>,
    ) {
        let (request, rows) = match self.prepare(intake, vec![(plan, Some(Arc::clone(made)))]) {
            Ok((request, rows, _)) => (request, rows),
            Err(refusal) => return reply.keep(Err(refusal)),
        };
        if let Some(row) = rows.first() {
            reply.keep(Ok(view_of_hit(row, &request, made)));
        }
        if self.hits.is_empty() {
            ctx.run_later(HITS_TOGETHER, |tracker, _| tracker.journal_hits());
        }
        self.hits.push(Hit { request, rows });
    }

    /// Sends the rows of delivered answers to the journal, all in one write.
    pub(super) fn journal_hits(&mut self) {
        let hits = std::mem::take(&mut self.hits);
        let Some(ids_below) = hits.iter().map(|hit| hit.request.ids_below).max() else { return };
        let count = hits.len();
        self.hits_on_their_way += count;
        let write = |hits: &Vec<Hit>, connection: &rusqlite::Connection| {
            hits.iter().try_for_each(|hit| store::insert(connection, &hit.request, &hit.rows).map(drop))
        };
        let then = move |tracker: &mut Self,
                         _: &mut Context<Self>,
                         hits: Vec<Hit>,
                         outcome: Result<(), _>| {
            tracker.hits_on_their_way -= count;
            match outcome {
                Ok(()) => {
                    tracker.ids_on_disk = tracker.ids_on_disk.max(ids_below);
                    for Hit { request, rows } in &hits {
                        for row in rows {
                            tracker.took_from_cache(request, row);
                        }
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

fn view_of_hit(row: &NewTask, request: &store::Request, made: &Made) -> TaskView {
    TaskView {
        id: row.id,
        rev: 1,
        kind: row.kind.clone(),
        name: row.name.clone(),
        state: TaskState::Succeeded,
        hold_reason: None,
        wait_reason: None,
        priority: row.priority,
        client: request.client.clone(),
        batch: request.batch,
        after: row.after.clone(),
        progress: Progress { fraction: 1.0, message: String::new() },
        provider: Some(made.provider.clone()),
        model: made.model.clone(),
        attempts: 0,
        source: Some(Source::Cache),
        created_at: request.at,
        started_at: None,
        finished_at: Some(request.at),
        not_before: None,
        params: row.params.clone(),
        outputs: made.outputs.clone(),
        error: None,
        cost: None,
        metadata: row.metadata.clone(),
    }
}
