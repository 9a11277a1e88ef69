//! How the tracker ends tasks and takes any other step: the journal first, then memory, events, waiters and whoever depends on it.

use actix::{AsyncContext, Context};
use reel_protocol::{ErrorCode, HoldReason, TaskId, TaskState, TaskView, Timestamp};
use tokio::time::Instant;

use super::{
    TaskTracker,
    end::{End, RowsWritten, task_error},
    flights::Left,
    live::LONGEST_DELAY,
    slack::let_go,
    state::is_legal,
    tracker::JOURNAL_PAUSE,
};
use crate::{
    chain::chain,
    store::{self, Finish, Step, StoreError},
};

impl TaskTracker {
    /// Ends a task whose transitions are all on disk.
    pub(super) fn finish(&mut self, id: TaskId, end: End) {
        let Some(task) = self.live.get_mut(&id) else { return };
        if !is_legal(task.state, end.state) {
            tracing::error!(
                task = id.0,
                from = task.state.name(),
                to = end.state.name(),
                "an illegal transition was asked for"
            );
            return;
        }
        task.is_committing = true;
        let mut notes = end.notes;
        notes.extend(end.provider.as_deref().and_then(|made_by| task.other_provider_note(made_by)));
        let finish = Finish {
            id,
            rev: task.rev + 1,
            at: Timestamp::now(),
            state: end.state,
            source: end.source,
            provider: end.provider,
            model: end.model,
            outputs: end.outputs,
            notes,
            cost_microusd: end.cost_microusd,
            error: end.error,
        };
        self.ready.remove(id);
        self.end_delay(id);
        self.journal_finish(finish, end.rows);
    }

    fn journal_finish(&mut self, finish: Finish, rows: Option<RowsWritten>) {
        let gathered = self.waiters.gathers(finish.id).then(|| self.parts.artifacts.clone());
        self.journal_rows_of(
            (finish, rows),
            move |(finish, rows), connection| {
                if rows.as_ref().is_some_and(|rows| !rows.get()) {
                    return Err(StoreError::NoRows);
                }
                store::finish(connection, finish)?;
                // Here, where its rows are at hand: who waits need not wait for another thread to read them. Without it they are read then.
                let view = gathered.as_ref().map(|artifacts| store::view(connection, artifacts, finish.id));
                Ok(view.and_then(Result::ok).flatten())
            },
            |_, _| {},
            move |tracker, ctx, (finish, rows), outcome| match outcome {
                Ok(view) => tracker.finished_on_disk(ctx, finish, view.as_ref()),
                // It is not over: what it is instead was decided when the rows failed, and waits for this.
                Err(_) if rows.as_ref().is_some_and(|rows| !rows.get()) => {
                    tracker.settle_commit(ctx, finish.id);
                    tracker.dispatch(ctx);
                }
                Err(error) => {
                    tracing::error!(
                        task = finish.id.0,
                        error = chain(&error),
                        "the end of a task could not be journaled; trying again"
                    );
                    ctx.run_later(JOURNAL_PAUSE, move |tracker, _| tracker.journal_finish(finish, rows));
                }
            },
        );
    }

    fn finished_on_disk(&mut self, ctx: &mut Context<Self>, finish: Finish, view: Option<&TaskView>) {
        let id = finish.id;
        let Some(mut task) = self.live.remove(&id) else { return };
        let_go(&mut self.live);
        let from = std::mem::replace(&mut task.state, finish.state);
        task.rev = finish.rev;
        task.hold_reason = None;
        if finish.state == TaskState::Succeeded {
            task.progress.fraction = 1.0;
            task.progress.message.clear();
        }
        self.count(task.batch, Some(from), Some(finish.state));
        if let Some(deadline) = task.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.dependencies.forget(id);
        self.missing.remove(&id);
        if finish.state != TaskState::Succeeded {
            self.pass_job_on(id, task.job.as_ref());
        }
        self.leave_flight(ctx, id, task.run);
        self.parts.events.task("changed", || task.event(finish.source, finish.error));
        self.waiters.settle(id, view);
        if finish.state == TaskState::Succeeded {
            for dependant in self.dependencies.succeed(id) {
                self.when_settled(ctx, dependant, move |tracker, _| tracker.stop_waiting(dependant));
            }
        } else {
            for dependant in self.dependencies.fail(id) {
                self.fail_dependant(ctx, dependant, id);
            }
        }
        for decide in task.deferred {
            decide(self, ctx);
        }
        self.prune();
        self.dispatch(ctx);
    }

    /// Takes a task out of its flight; whoever leads next also takes over the run.
    pub(super) fn leave_flight(&mut self, ctx: &mut Context<Self>, id: TaskId, run: Option<u64>) {
        // One that is held leads only where all are.
        let left =
            self.flights.leave(id, |member| !self.live.get(&member).is_some_and(|task| task.is_unknown()));
        match left {
            Left::Promoted(next) => self.promote(ctx, next, run),
            Left::Unchanged | Left::Ended => {
                if let Some(run) = run.and_then(|run| self.runs.get_mut(&run))
                    && run.leader == Some(id)
                {
                    run.leader = None;
                    // It fails only when the run is just ending by itself.
                    let _ = run.cancel.send(true);
                }
            }
        }
    }

    fn stop_waiting(&mut self, id: TaskId) {
        if self.live.get(&id).is_some_and(|task| task.state == TaskState::Waiting) {
            self.step(id, |step| step.state = TaskState::Queued);
        }
    }

    pub(super) fn fail_dependant(&mut self, ctx: &mut Context<Self>, id: TaskId, failed: TaskId) {
        self.when_settled(ctx, id, move |tracker, _| {
            let message = format!("task {failed}, which it waited for, did not succeed");
            let hint = format!("reel show {failed} says why; reel retry {failed}, then reel retry {id}");
            tracker.finish(id, End::failed(task_error(ErrorCode::DependencyFailed, message, &hint, true)));
        });
    }

    pub(super) fn pass_deadline(&mut self, id: TaskId) {
        // It may have been paid: it does not end before a person has decided, and its key is not free for another payment.
        if self.is_unknown(id) {
            return;
        }
        let error = task_error(
            ErrorCode::DeadlineExceeded,
            "its deadline passed before it was done".to_owned(),
            "submit it with a later deadline_s, or a higher priority",
            true,
        );
        self.finish(id, End::failed(error));
    }

    /// Takes a step that must not be lost: tried again until the journal takes it.
    pub(super) fn step(&mut self, id: TaskId, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.plan_step(id, change) {
            self.journal_step(step);
        }
    }

    fn journal_step(&mut self, step: Step) {
        self.journal_rows_of(
            step,
            |step, connection| store::step(connection, step),
            |_, _| {},
            move |tracker, ctx, step, outcome| match outcome {
                Ok(()) => tracker.stepped(ctx, &step),
                Err(error) => {
                    tracing::error!(
                        task = step.id.0,
                        error = chain(&error),
                        "a step of a task could not be journaled; trying again"
                    );
                    ctx.run_later(JOURNAL_PAUSE, move |tracker, _| tracker.journal_step(step));
                }
            },
        );
    }

    /// Takes a step that somebody asked for: `then` is told if the journal refuses it. A finished task that was to be queued again is not live
    /// any more then, and what was decided about it meanwhile is decided about a finished one.
    pub(super) fn step_or_refuse(
        &mut self,
        id: TaskId,
        change: impl FnOnce(&mut Step),
        then: impl FnOnce(&mut Self, &mut Context<Self>, Result<(), StoreError>) + Send + 'static,
    ) {
        let Some(step) = self.plan_step(id, change) else { return };
        self.journal_rows_of(
            step,
            |step, connection| store::step(connection, step),
            |_, _| {},
            move |tracker, ctx, step, outcome| {
                let is_over = tracker.live.get(&id).is_some_and(|task| task.state.is_finished());
                let mut deferred = Vec::new();
                match &outcome {
                    Ok(()) => tracker.stepped(ctx, &step),
                    Err(_) if is_over => {
                        tracker.dependencies.forget(id);
                        deferred = tracker.live.remove(&id).map(|task| task.deferred).unwrap_or_default();
                    }
                    Err(_) => tracker.settle_commit(ctx, id),
                }
                then(tracker, ctx, outcome);
                for decide in deferred {
                    decide(tracker, ctx);
                }
                tracker.dispatch(ctx);
            },
        );
    }

    fn plan_step(&mut self, id: TaskId, change: impl FnOnce(&mut Step)) -> Option<Step> {
        let task = self.live.get_mut(&id)?;
        let mut step = Step {
            id,
            rev: task.rev + 1,
            at: Timestamp::now(),
            is_retry: false,
            state: task.state,
            hold_reason: task.hold_reason,
            not_before: task.not_before,
            priority: task.priority,
            attempts_left: task.attempts_left,
            deaths: task.deaths,
            left_provider: None,
            attempt_outcome: None,
            error: None,
        };
        change(&mut step);
        if step.state != task.state && !is_legal(task.state, step.state) {
            tracing::error!(
                task = id.0,
                from = task.state.name(),
                to = step.state.name(),
                "an illegal transition was asked for"
            );
            return None;
        }
        task.is_committing = true;
        // It must not start while it is decided about; it comes back when this is settled.
        self.ready.remove(id);
        Some(step)
    }

    fn stepped(&mut self, ctx: &mut Context<Self>, step: &Step) {
        let id = step.id;
        let Some(task) = self.live.get_mut(&id) else { return };
        let from = std::mem::replace(&mut task.state, step.state);
        task.rev = step.rev;
        if step.state != TaskState::Running {
            task.progress = reel_protocol::Progress::default();
        }
        let was_held = std::mem::replace(&mut task.hold_reason, step.hold_reason);
        task.not_before = step.not_before;
        task.priority = step.priority;
        task.attempts_left = step.attempts_left;
        task.deaths = step.deaths;
        let (batch, event) = (task.batch, task.event(None, step.error.clone()));
        self.count(batch, Some(from), Some(step.state));
        self.parts.events.task("changed", || event);
        self.leave_provider(step);
        match step.state {
            TaskState::Queued => {
                if was_held == Some(HoldReason::OutcomeUnknown) {
                    self.lead_again(id);
                }
                self.queue_again(ctx, step);
            }
            TaskState::Held => {
                self.end_delay(id);
                if step.hold_reason == Some(HoldReason::OutcomeUnknown) {
                    self.hold_followers(ctx, id);
                }
                // A paid request whose answer was lost keeps its place: equal requests join it rather than paying.
                if step.hold_reason != Some(HoldReason::OutcomeUnknown) {
                    let task = self.live.get_mut(&id);
                    let (run, job) = task.map(|task| (task.run.take(), task.job.clone())).unwrap_or_default();
                    self.pass_job_on(id, job.as_ref());
                    self.leave_flight(ctx, id, run);
                }
                self.waiters.settle(id, None);
            }
            _ => {}
        }
        self.settle_commit(ctx, id);
        self.dispatch(ctx);
    }

    fn queue_again(&mut self, ctx: &mut Context<Self>, step: &Step) {
        match step.not_before {
            Some(until) if until > Timestamp::now() => {
                self.delay(ctx, step.id, Instant::now() + until.since(Timestamp::now()).min(LONGEST_DELAY));
            }
            _ => {
                self.enter_queue(ctx, step.id);
                // A leader that a follower had lifted may sink again.
                if let Some(leader) = self.flights.members(step.id).first().copied() {
                    self.enqueue(leader);
                }
            }
        }
    }
}
