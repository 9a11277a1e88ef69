//! How the tracker takes up the journal's unfinished tasks when it starts, and how it stops.

use std::{sync::Arc, time::Duration};

use actix::{
    ActorFutureExt, AsyncContext, Context, ContextFutureSpawner, Handler, ResponseFuture, WrapFuture,
};
use reel_protocol::{TaskId, TaskState, Timestamp};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Plan, PlanRefusal, PlanSpec, PlanTasks, TaskTracker,
    crash::{AfterCrash, OpenAttempt, after_crash},
    finish::{End, task_error},
    live::{LiveTask, OVERHEAD_BYTES, live_task},
    messages::{Drain, Drained},
    ready::Lane,
};
use crate::{
    memory::Holder,
    store::{self, Recovered, Recovery, StoreError},
};

impl Recovered {
    /// How the services are asked about it.
    pub(super) fn plan_spec(&self) -> PlanSpec {
        PlanSpec {
            kind: self.task.kind.clone(),
            params: self.task.params.clone(),
            provider: self.task.wanted_provider.clone(),
        }
    }
}

/// A live task as the journal kept it.
pub(super) fn revived(row: &Recovered, plan: Plan) -> LiveTask {
    let lane = row.batch.map_or(Lane::Connection(0), |batch| Lane::Batch(batch.0));
    let mut task = live_task(&row.task, plan, Arc::from(row.client.as_str()), row.batch, lane);
    task.rev = row.rev;
    task.hold_reason = row.hold_reason;
    task.attempts = row.attempts;
    task.deaths = row.deaths;
    task.not_before = row.not_before;
    task
}

impl TaskTracker {
    /// Reads the journal before anything else is handled.
    pub(super) fn recover(&mut self, ctx: &mut Context<Self>) {
        let read = self.parts.store.read(store::recover);
        let plan = self.parts.plan.clone();
        let recovered = async move {
            let recovery = read.await?;
            let mut plans = Vec::with_capacity(recovery.unfinished.len());
            for row in &recovery.unfinished {
                // One by one: a plan that does not hold any more fails its own task, not the start.
                plans.push(
                    plan.send(PlanTasks { specs: vec![row.plan_spec()] })
                        .await
                        .map_err(|_| StoreError::Closed)?,
                );
            }
            Ok((recovery, plans))
        };
        recovered
            .into_actor(self)
            .map(|recovered: Result<_, StoreError>, tracker, ctx| match recovered {
                Ok((recovery, plans)) => tracker.take_up(ctx, recovery, plans),
                Err(error) => {
                    // Going on without the tasks that were accepted would lose them; the next start tries again.
                    tracing::error!(error = %error, "the journal cannot be read");
                    actix::System::current().stop_with_code(74);
                }
            })
            .wait(ctx);
    }

    fn take_up(
        &mut self,
        ctx: &mut Context<Self>,
        recovery: Recovery,
        plans: Vec<Result<Vec<Plan>, PlanRefusal>>,
    ) {
        self.next_id = recovery.ids_below;
        self.ids_on_disk = recovery.ids_below;
        self.counts = recovery.counts.into_iter().collect();
        let mut rows: Vec<_> = recovery.unfinished.into_iter().zip(plans).collect();
        // Whoever was running leads its flight again.
        rows.sort_by_key(|(row, _)| (row.task.state != TaskState::Running, row.task.id));
        if !rows.is_empty() {
            tracing::info!(tasks = rows.len(), "taking up unfinished tasks");
        }
        for (row, plan) in rows {
            self.take_up_one(ctx, &row, plan);
        }
        self.prune();
        // Behind the steps above in the journal's order.
        self.journal(
            |_| Ok(()),
            |tracker, ctx, _| {
                tracker.is_taking_up = false;
                tracker.dispatch(ctx);
            },
        );
    }

    fn take_up_one(
        &mut self,
        ctx: &mut Context<Self>,
        row: &Recovered,
        plan: Result<Vec<Plan>, PlanRefusal>,
    ) {
        let id = row.task.id;
        let (plan, refusal) = match plan.map(|plans| plans.into_iter().next().unwrap_or_default()) {
            Ok(plan) => (plan, None),
            Err(refusal) => (Plan::default(), Some(refusal)),
        };
        let mut task = revived(row, plan);
        let bytes = row.task.params.as_str().len() as u64 + OVERHEAD_BYTES;
        // Accepted is accepted: what no longer fits the budget is kept all the same.
        task.reservation = self.parts.budget.reserve(Holder::Request, bytes).ok();
        if let Some(batch) = row.batch {
            *self.open_batches.entry(batch).or_default() += 1;
        }
        if let Some(deadline) = task.deadline {
            self.deadlines.insert((deadline, id));
            Self::wake_at(ctx, deadline);
        }
        let state = task.state;
        self.live.insert(id, task);
        if let Some(refusal) = refusal {
            let hint = refusal.hint.unwrap_or_default();
            return self.finish(id, End::failed(task_error(refusal.code, refusal.message, &hint, true)));
        }
        match (state, &row.open) {
            (TaskState::Waiting, Err(failed)) => self.fail_dependant(ctx, id, *failed),
            (TaskState::Waiting, Ok(open)) if !open.is_empty() => {
                self.dependencies.add(id, open.iter().copied());
            }
            (TaskState::Waiting, Ok(_)) => self.step(id, |step| step.state = TaskState::Queued),
            (TaskState::Queued, _) => self.take_up_queued(ctx, id, row.not_before),
            (TaskState::Running, _) => self.take_up_running(row),
            (TaskState::Held, Ok(open)) => self.dependencies.add(id, open.iter().copied()),
            _ => {}
        }
        if state == TaskState::Held
            && row.hold_reason == Some(reel_protocol::HoldReason::OutcomeUnknown)
            && let Some(key) = self.live.get(&id).and_then(LiveTask::key)
        {
            self.flights.join(key, id);
        }
    }

    fn take_up_queued(&mut self, ctx: &mut Context<Self>, id: TaskId, not_before: Option<Timestamp>) {
        if let Some(until) = not_before.filter(|until| *until > Timestamp::now()) {
            self.delay(ctx, id, Instant::now() + until.since(Timestamp::now()));
        }
        self.enter_queue(id);
    }

    fn take_up_running(&mut self, row: &Recovered) {
        let id = row.task.id;
        let Some(task) = self.live.get(&id) else { return };
        let used = row.task.provider.as_deref();
        let candidate = task.plan.candidates.iter().find(|candidate| Some(&*candidate.provider) == used);
        let attempt = OpenAttempt {
            // A provider that is no longer configured may have been a paid one.
            is_paid: candidate.map_or(used.is_some(), |candidate| candidate.is_paid),
            has_remote_id: row.remote_id.is_some(),
            deaths: row.deaths + 1,
        };
        let after = after_crash(attempt);
        tracing::warn!(task = id.0, ?after, "was running when the daemon died");
        self.step(id, move |step| {
            step.deaths = attempt.deaths;
            // The attempt was cut by us, not by its own failing.
            step.attempts_left += 1;
            step.attempt_outcome = Some("daemon_died".to_owned());
            match after {
                AfterCrash::Queue | AfterCrash::PollOn => step.state = TaskState::Queued,
                AfterCrash::Hold(reason) => {
                    step.state = TaskState::Held;
                    step.hold_reason = Some(reason);
                }
            }
        });
    }

    /// Ends a drain once nothing runs.
    pub(super) fn finish_drain(&mut self, ctx: &mut Context<Self>) {
        if let Some((_, drained)) = &mut self.drained {
            drained.ended += 1;
        }
        if self.runs.is_empty()
            && let Some((reply, drained)) = self.drained.take()
        {
            let ids = self.next_id;
            // The last write: everything that was sent to the journal before is on disk when it is answered.
            self.journal(
                move |connection| store::save_ids(connection, ids),
                move |_, _, outcome| {
                    if let Err(error) = outcome {
                        tracing::error!(error = %error, "the journal could not be closed in order");
                    }
                    let _ = reply.send(drained);
                },
            );
        }
        let _ = ctx;
    }

    fn stop_runs(&mut self) {
        let running = self.runs.len();
        if let Some((_, drained)) = &mut self.drained {
            drained.requeued += running;
            drained.ended = drained.ended.saturating_sub(running);
        }
        for run in self.runs.values() {
            // It fails only for a run that is just ending by itself.
            let _ = run.cancel.send(true);
        }
    }
}

impl Handler<Drain> for TaskTracker {
    type Result = ResponseFuture<Drained>;

    fn handle(&mut self, Drain { limit }: Drain, ctx: &mut Self::Context) -> Self::Result {
        /// How long a run may take to notice that it shall stop; one that does not is taken up by the crash rule.
        const STOP: Duration = Duration::from_secs(5);
        let (reply, drained) = oneshot::channel();
        self.is_stopping = true;
        self.drained = Some((reply, Drained::default()));
        if self.runs.is_empty() {
            self.finish_drain(ctx);
        } else {
            tracing::info!(running = self.runs.len(), limit_s = limit.as_secs(), "waiting for running tasks");
            ctx.run_later(limit, |tracker, _| tracker.stop_runs());
        }
        Box::pin(async move {
            tokio::time::timeout(limit + STOP, drained).await.ok().and_then(Result::ok).unwrap_or_default()
        })
    }
}
