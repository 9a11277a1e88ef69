//! How the tracker takes up the journal's unfinished tasks when it starts, and how it stops.

use std::{collections::HashSet, io::Write as _, sync::Arc, time::Duration};

use actix::{
    ActorFutureExt, AsyncContext, Context, ContextFutureSpawner, Handler, ResponseFuture, WrapFuture,
};
use reel_protocol::{ErrorCode, HoldReason, TaskError, TaskId, TaskState, Timestamp};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Plan, PlanRefusal, PlanSpec, RunEnd, TaskTracker,
    crash::{AfterCrash, OpenAttempt, after_crash},
    end::{End, task_error},
    live::{LONGEST_DELAY, LiveTask, OVERHEAD_BYTES, live_task, span_left},
    messages::{Drain, Drained},
    ready::Lane,
    tracker::Run,
};
use crate::{
    chain::chain,
    exit::Exit,
    memory::Holder,
    store::{self, NewTask, Recovered, Recovery, Step, Store, StoreError},
};

impl Recovered {
    /// How the services are asked about it.
    pub(super) fn plan_spec(&self) -> PlanSpec<'_> {
        let NewTask { kind, params, wanted_provider, provider, .. } = &self.task;
        PlanSpec {
            kind,
            params,
            provider: wanted_provider.as_deref(),
            planned: provider.as_deref(),
            refused_by: &self.refused_by,
        }
    }
}

/// How long a run may take to notice that it shall stop; one that does not is taken up by the crash rule.
const STOP: Duration = Duration::from_secs(5);

/// Rounds to the journal at the end: a task has rarely more than one transition waiting behind another.
const CLOSING_ROUNDS: u32 = 8;

type Planned = Result<Plan, PlanRefusal>;

/// What becomes of a task that was running when the daemon ended: the row as it is from now on, and the step that says so.
fn cut_short(row: &mut Recovered, plan: &Planned) -> Step {
    let used = row.task.provider.as_deref();
    let candidates = plan.iter().flat_map(|plan| &plan.candidates);
    let candidate = candidates.into_iter().find(|candidate| Some(&*candidate.provider) == used);
    row.deaths += 1;
    let after = after_crash(OpenAttempt {
        // A provider that is no longer configured may have been a paid one.
        is_paid: candidate.map_or(used.is_some(), |candidate| candidate.is_paid),
        // Whose provider is away for a moment waits for it.
        has_remote_id: row.remote_job().is_some()
            && plan.as_ref().err().is_none_or(PlanRefusal::is_for_want_of_its_provider),
        deaths: row.deaths,
    });
    tracing::warn!(task = row.task.id.0, then = after.name(), "was running when the daemon ended");
    (row.task.state, row.hold_reason) = match after {
        AfterCrash::Queue | AfterCrash::PollOn => (TaskState::Queued, None),
        AfterCrash::Hold(reason) => (TaskState::Held, Some(reason)),
    };
    let error = (row.task.state == TaskState::Held).then(|| why_held("died", used));
    row.rev += 1;
    // The attempt was cut by us, not by its own failing.
    row.task.attempts_left += 1;
    Step {
        id: row.task.id,
        rev: row.rev,
        at: Timestamp::now(),
        is_retry: false,
        state: row.task.state,
        hold_reason: row.hold_reason,
        not_before: None,
        priority: row.task.priority,
        attempts_left: row.task.attempts_left,
        deaths: row.deaths,
        left_provider: None,
        attempt_outcome: Some("daemon_died".to_owned()),
        error,
    }
}

/// `ended` is what became of the daemon: it died, or was stopped.
fn why_held(ended: &str, provider: Option<&str>) -> TaskError {
    let message = provider.map_or_else(
        || format!("the daemon {ended} while it was running"),
        |provider| format!("the daemon {ended} while {provider} was asked, so its answer is lost"),
    );
    let hint = "reel release asks again, and may pay again; reel cancel gives up";
    task_error(ErrorCode::AnswerLost, message, hint, true)
}

fn id_list(ids: &[TaskId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Journals what was running when the daemon ended, once more where the disk was full: the log was folded back by then.
async fn journal_cut(store: &Store, steps: Vec<Step>) -> Result<(), StoreError> {
    let steps = Arc::new(steps);
    let write = || {
        let steps = Arc::clone(&steps);
        store.write(move |connection| steps.iter().try_for_each(|step| store::step(connection, step)))
    };
    match write().await {
        Err(StoreError::Full(_)) => write().await,
        written => written,
    }
}

/// Ends the process, with its reason where whoever started it looks. No connection was accepted yet.
fn end(error: &StoreError) -> ! {
    let text = chain(error);
    let hint = error.hint().unwrap_or("reel daemon logs says more");
    tracing::error!(error = text, hint, "the unfinished tasks cannot be taken up");
    // Nobody is left to be told where even this fails.
    let _ = writeln!(std::io::stderr(), "reeld: the unfinished tasks cannot be taken up: {text}; {hint}");
    crate::logging::flush();
    std::process::exit(Exit::Io as i32)
}

/// A live task as the journal kept it.
pub(super) fn revived(row: &Recovered, plan: Plan) -> LiveTask {
    let lane = row.batch.map_or(Lane::Connection(0), |batch| Lane::Batch(batch.0));
    let mut task = live_task(&row.task, plan, Arc::from(row.client.as_str()), row.batch, lane);
    task.rev = row.rev;
    task.hold_reason = row.hold_reason;
    task.attempts = row.attempts;
    task.unreached = row.unreached;
    task.deaths = row.deaths;
    task.not_before = row.not_before;
    let left = |deadline| span_left(deadline, row.created, Timestamp::now());
    task.deadline = row.task.deadline.map(|deadline| Instant::now() + left(deadline));
    task.job = row.remote_job().map(Arc::new);
    task.refused_by.clone_from(&row.refused_by);
    task
}

impl TaskTracker {
    /// Reads the journal before anything else is handled, and settles what was running when the last daemon ended.
    pub(super) fn recover(&mut self, ctx: &mut Context<Self>) {
        let store = self.parts.store.clone();
        let plan = self.parts.plan.clone();
        let read_at_opening = self.parts.recovery.take();
        let recovered = async move {
            let mut recovery = match read_at_opening {
                Some(recovery) => recovery,
                None => store.read(store::recover).await?,
            };
            // Each for itself: a plan that does not hold any more fails its own task, not the start.
            let plans: Vec<Planned> =
                recovery.unfinished.iter().map(|row| plan.plan(&row.plan_spec())).collect();
            let cut = recovery
                .unfinished
                .iter_mut()
                .zip(&plans)
                .filter(|(row, _)| row.task.state == TaskState::Running);
            let steps: Vec<_> = cut.map(|(row, plan)| cut_short(row, plan)).collect();
            let cut: HashSet<_> = steps.iter().map(|step| step.id).collect();
            journal_cut(&store, steps).await?;
            Ok((recovery, plans, cut))
        };
        recovered
            .into_actor(self)
            .map(|recovered: Result<_, StoreError>, tracker, ctx| match recovered {
                Ok((recovery, plans, cut)) => tracker.take_up(ctx, recovery, plans, &cut),
                // Going on without the tasks that were accepted would lose them; the next start tries again.
                Err(error) => end(&error),
            })
            .wait(ctx);
    }

    fn take_up(
        &mut self,
        ctx: &mut Context<Self>,
        recovery: Recovery,
        plans: Vec<Planned>,
        cut: &HashSet<TaskId>,
    ) {
        self.ids.begin_at(recovery.ids_below);
        self.counts = recovery.counts.into_iter().collect();
        for (provider, at) in recovery.asked {
            if let Some(then) = Instant::now().checked_sub(Timestamp::now().since(at)) {
                self.parts.permits.remember(&provider, then);
            }
        }
        let mut rows: Vec<_> = recovery.unfinished.into_iter().zip(plans).collect();
        // Whoever was running, or may have been paid already, leads its flight again.
        let leads = |row: &Recovered| {
            cut.contains(&row.task.id) || row.hold_reason == Some(HoldReason::OutcomeUnknown)
        };
        rows.sort_by_key(|(row, _)| (!leads(row), row.task.id));
        if !rows.is_empty() {
            tracing::info!(tasks = rows.len(), "taking up unfinished tasks");
        }
        for (row, plan) in rows {
            if cut.contains(&row.task.id) {
                self.count(None, Some(TaskState::Running), Some(row.task.state));
            }
            self.take_up_one(ctx, &row, plan);
        }
        self.warn_of_missing_providers();
        self.prune();
        self.dispatch(ctx);
    }

    fn take_up_one(&mut self, ctx: &mut Context<Self>, row: &Recovered, plan: Planned) {
        let id = row.task.id;
        let (plan, refusal) = match plan {
            Ok(plan) => (plan, None),
            Err(refusal) => self.plan_of_refused(row, refusal),
        };
        if let Some(provider) = &plan.missing {
            self.missing.insert(id, Arc::clone(provider));
        }
        let mut task = revived(row, plan);
        let bytes = row.task.params.as_str().len() as u64 + OVERHEAD_BYTES;
        // Accepted is accepted: what no longer fits the budget is kept all the same.
        task.reservation = self.parts.budget.reserve(Holder::Request, bytes).ok();
        if let Some(batch) = row.batch {
            *self.open_batches.entry(batch).or_default() += 1;
        }
        if let Some(deadline) = task.deadline {
            self.deadlines.insert((deadline, id));
            self.wake_at(ctx, deadline);
        }
        let state = task.state;
        self.live.insert(id, Box::new(task));
        // A person decides about what is held, and is told by its release that it cannot be planned.
        if let Some(refusal) = refusal.filter(|_| state != TaskState::Held) {
            let hint = refusal.hint.unwrap_or_default();
            return self.finish(id, End::failed(task_error(refusal.code, refusal.message, &hint, true)));
        }
        match (state, &row.open) {
            (TaskState::Waiting | TaskState::Held, Err(failed)) => self.fail_dependant(ctx, id, *failed),
            (TaskState::Waiting, Ok(open)) if !open.is_empty() => {
                self.dependencies.add(id, open.iter().copied());
            }
            (TaskState::Waiting, Ok(_)) => self.step(id, |step| step.state = TaskState::Queued),
            (TaskState::Queued, _) => self.take_up_queued(ctx, id, row),
            (TaskState::Held, Ok(open)) => self.dependencies.add(id, open.iter().copied()),
            _ => {}
        }
        if state == TaskState::Held
            && row.hold_reason == Some(HoldReason::OutcomeUnknown)
            && let Some(key) = self.live.get(&id).and_then(|task| task.key())
        {
            self.flights.join(key, id);
        }
    }

    /// A task whose provider is not configured waits for it; any other refusal is the task's end.
    fn plan_of_refused(&self, row: &Recovered, refusal: PlanRefusal) -> (Plan, Option<PlanRefusal>) {
        let params = row.task.params.clone();
        let PlanSpec { provider, planned, .. } = row.plan_spec();
        match provider.or(planned).filter(|_| refusal.is_for_want_of_its_provider()) {
            Some(provider) => {
                (Plan::without_provider(params, provider.into(), self.parts.plan.generation()), None)
            }
            None => (Plan { params, ..Plan::default() }, Some(refusal)),
        }
    }

    fn take_up_queued(&mut self, ctx: &mut Context<Self>, id: TaskId, row: &Recovered) {
        if let Some(until) = row.not_before {
            let now = Timestamp::now();
            let left = span_left(until, row.attempt_ended.unwrap_or(now), now).min(LONGEST_DELAY);
            if !left.is_zero() {
                self.delay(ctx, id, Instant::now() + left);
            }
        }
        self.enter_queue(ctx, id);
    }

    /// Ends a drain once nothing runs.
    pub(super) fn finish_drain(&mut self) {
        if self.runs.is_empty()
            && let Some((reply, drained)) = self.drained.take()
        {
            self.close_journal(reply, drained, CLOSING_ROUNDS);
        }
    }

    /// The last write: everything that was sent to the journal before is on disk when it is answered. What that lets be decided goes to disk
    /// in another round.
    fn close_journal(&mut self, reply: oneshot::Sender<Drained>, drained: Drained, rounds: u32) {
        let ids = self.ids.next();
        self.journal(
            move |connection| store::save_ids(connection, ids),
            move |tracker, _, outcome| {
                if rounds > 0 && tracker.live.values().any(|task| task.is_committing) {
                    return tracker.close_journal(reply, drained, rounds - 1);
                }
                if let Err(error) = outcome {
                    tracing::error!(error = chain(&error), "the journal could not be closed in order");
                }
                let _ = reply.send(drained);
            },
        );
    }

    fn stop_runs(&mut self) {
        for run in self.runs.values() {
            // It fails only for a run that is just ending by itself.
            let _ = run.cancel.send(true);
        }
    }

    /// What may have been paid is not given up for a few seconds: its answer would be lost, and a person would have to decide.
    ///
    /// A run that only fetches is not waited for: the next start goes on with it.
    fn await_paid(&mut self, ctx: &mut Context<Self>, longer: Duration) {
        let fetches = |(number, run): (&u64, &Run)| {
            (run.job.is_some() && run.leader.is_some() && !run.is_over).then_some(*number)
        };
        let fetching: Vec<_> = self.runs.iter().filter_map(fetches).collect();
        for run in fetching {
            self.ended(ctx, run, RunEnd::Stopped);
        }
        let paid = self.runs.values().filter(|run| run.is_paid).count();
        if paid == 0 || longer.is_zero() || self.drained.is_none() {
            return self.abandon_runs(ctx);
        }
        tracing::info!(paid, limit_s = longer.as_secs(), "waiting for answers that may have been paid");
        ctx.run_later(longer, Self::abandon_runs);
    }

    /// The tasks of runs that did not stop and may have been paid are held; other runs are left to the crash rule.
    fn abandon_runs(&mut self, ctx: &mut Context<Self>) {
        let Some((reply, mut drained)) = self.drained.take() else { return };
        drained.abandoned = self.runs.len();
        let leaders: Vec<_> = self.runs.values().filter_map(|run| run.leader).collect();
        let is_unanswered = |run: &&Run| run.is_paid && run.job.is_none() && !run.is_over;
        let unanswered = self.runs.values().filter(is_unanswered).filter_map(|run| run.leader);
        let held: Vec<_> = unanswered.collect();
        tracing::warn!(
            running = self.runs.len(),
            tasks = id_list(&leaders),
            held = id_list(&held),
            "tasks did not stop; those that may have been paid are held, and the next start decides about the others"
        );
        for id in held {
            let provider = self.live.get(&id).and_then(|task| task.plan.provider());
            let error = why_held("was stopped", provider.map(|provider| &**provider));
            self.hold_unknown(ctx, id, error);
        }
        self.close_journal(reply, drained, CLOSING_ROUNDS);
    }
}

impl Handler<Drain> for TaskTracker {
    type Result = ResponseFuture<Drained>;

    fn handle(&mut self, Drain { limit, paid }: Drain, ctx: &mut Self::Context) -> Self::Result {
        let (reply, drained) = oneshot::channel();
        self.is_stopping = true;
        // A second one cuts the first short, and goes on with its numbers.
        let so_far = self.drained.take().map(|(_, drained)| drained).unwrap_or_default();
        self.drained = Some((reply, so_far));
        if self.runs.is_empty() {
            self.finish_drain();
        } else {
            tracing::info!(running = self.runs.len(), limit_s = limit.as_secs(), "waiting for running tasks");
            let longer = paid.saturating_sub(limit);
            ctx.run_later(limit, move |tracker, ctx| {
                tracker.stop_runs();
                ctx.run_later(STOP, move |tracker, ctx| tracker.await_paid(ctx, longer));
            });
        }
        Box::pin(async move {
            // The journal answers last of all; should its disk hang, the end must not.
            tokio::time::timeout(limit.max(paid) + 3 * STOP, drained)
                .await
                .ok()
                .and_then(Result::ok)
                .unwrap_or_default()
        })
    }
}
