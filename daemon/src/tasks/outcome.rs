//! What a run's end means for all that share it: they are done, they fail, they wait for another attempt, or a person decides.

use std::{sync::Arc, time::Duration};

use actix::Context;
use reel_protocol::{ErrorCode, HoldReason, Source, TaskError, TaskId, TaskState, Timestamp};
use tokio::time::Instant;

use super::{
    Again, Lost, RunEnd, TaskTracker,
    again::{Failed, Next, is_of_the_provider, next},
    end::{End, RowsWritten, task_error},
    live::LiveTask,
    remote_jobs::hint_to_fetch,
};
use crate::{
    cache::{Kept, Made},
    chain::chain,
    store::{StoreError, UNREACHED},
};

/// How a task goes back to the queue from its attempt.
struct Requeue {
    not_before: Option<Timestamp>,
    /// Whether the attempt counts against its number.
    is_counted: bool,
    /// Why it failed.
    error: Option<TaskError>,
    /// Whether its request never left.
    is_unreached: bool,
}

impl Requeue {
    /// We stopped it ourselves.
    const fn stopped() -> Self {
        Self { not_before: None, is_counted: false, error: None, is_unreached: false }
    }
}

impl TaskTracker {
    /// A run is over: its slot is free, and its outcome belongs to all that share it.
    pub(super) fn ended(&mut self, ctx: &mut Context<Self>, run: u64, end: RunEnd) {
        if let RunEnd::Made { kept, cost_microusd, lost } = end {
            return self.made(ctx, run, *kept, cost_microusd, lost);
        }
        let leader = self.runs.remove(&run).and_then(|run| run.leader);
        let is_stopped = leader.is_some() && matches!(end, RunEnd::Stopped);
        let members = leader.map(|leader| self.flights.members(leader)).unwrap_or_default();
        if let Some(task) = leader.and_then(|leader| self.live.get_mut(&leader)) {
            task.run = None;
        }
        match end {
            RunEnd::Done => members.into_iter().for_each(|member| self.conclude(ctx, member, End::done())),
            // Above.
            RunEnd::Made { .. } => {}
            RunEnd::Failed(error, again) => self.attempt_failed(ctx, leader, members, error, again),
            RunEnd::Stopped => {
                if let Some(leader) = leader {
                    self.requeue(ctx, leader, Requeue::stopped());
                }
            }
        }
        if let Some((_, drained)) = &mut self.drained {
            drained.requeued += usize::from(is_stopped);
            drained.ended += usize::from(!is_stopped);
        }
        self.finish_drain();
        self.dispatch(ctx);
    }

    /// Journals the rows of results, and with them, in the same commit as a rule and never without them, the end of all that share them.
    ///
    /// The run stays until the rows are there, without a slot: whoever leads its flight by then, or has taken it over, has its results too,
    /// and nobody asks for the same meanwhile.
    fn made(
        &mut self,
        ctx: &mut Context<Self>,
        run: u64,
        kept: Kept,
        cost_microusd: Option<u64>,
        lost: Lost,
    ) {
        let leader = self.runs.get_mut(&run).and_then(|run| {
            run.is_over = true;
            run.leader
        });
        let members = leader.map(|leader| self.flights.members(leader)).unwrap_or_default();
        let (made, told) = (Arc::new(kept.made.clone()), members.clone());
        let made_now = Arc::clone(&made);
        let rows = self.journal_rows(kept, move |tracker, ctx, outcome| {
            let leader = tracker.runs.remove(&run).and_then(|run| run.leader);
            let members = leader.map(|leader| tracker.flights.members(leader)).unwrap_or_default();
            if let Some(task) = leader.and_then(|leader| tracker.live.get_mut(&leader)) {
                task.run = None;
            }
            match outcome {
                Ok(rows) => {
                    let joined: Vec<_> =
                        members.into_iter().filter(|member| !told.contains(member)).collect();
                    let maker = joined.first().copied().filter(|_| told.is_empty());
                    tracker.conclude_made(ctx, joined, (maker, cost_microusd), &made, &rows);
                }
                Err(error) => {
                    let (error, again) = lost(error);
                    tracker.attempt_failed(ctx, leader, members, error, again);
                }
            }
            tracker.finish_drain();
            tracker.dispatch(ctx);
        });
        let maker = members.first().copied();
        self.conclude_made(ctx, members, (maker, cost_microusd), &made_now, &rows);
        if let Some((_, drained)) = &mut self.drained {
            drained.ended += 1;
        }
        self.dispatch(ctx);
    }

    /// Ends tasks with results. One of them, the maker, has the cost; where another one had them made before, all share its results.
    fn conclude_made(
        &mut self,
        ctx: &mut Context<Self>,
        members: Vec<TaskId>,
        (maker, cost_microusd): (Option<TaskId>, Option<u64>),
        made: &Made,
        rows: &RowsWritten,
    ) {
        for member in members {
            let is_maker = maker == Some(member);
            let source = if is_maker { Source::Made } else { Source::Shared };
            let end = End::made(source, made).with_cost(cost_microusd.filter(|_| is_maker));
            self.conclude(ctx, member, end.with_rows(rows.clone()));
        }
    }

    /// Journals the rows of results; what is sent later can tell whether they are there.
    fn journal_rows(
        &mut self,
        kept: Kept,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Result<RowsWritten, StoreError>) + Send + 'static,
    ) -> RowsWritten {
        let rows_written = RowsWritten::default();
        let (written, noted, rows_there) = (rows_written.clone(), rows_written.clone(), rows_written.clone());
        let rows = kept.rows.clone();
        self.journal_rows_of(
            (),
            move |(), connection| {
                let outcome = rows.write(connection);
                written.set(outcome.is_ok());
                outcome
            },
            move |(), outcome| noted.set(outcome.is_ok()),
            move |tracker, ctx, (), outcome| {
                tracker.results += 1;
                let outcome = match outcome {
                    Ok(written) => {
                        kept.settle(written);
                        Ok(rows_there)
                    }
                    Err(error) => {
                        tracing::error!(error = chain(&error), "what was made could not be journaled");
                        drop(kept);
                        Err(error)
                    }
                };
                then(tracker, ctx, outcome);
            },
        );
        rows_written
    }

    fn attempt_failed(
        &mut self,
        ctx: &mut Context<Self>,
        leader: Option<TaskId>,
        members: Vec<TaskId>,
        error: TaskError,
        again: Again,
    ) {
        let Some((leader, task)) = leader.and_then(|id| Some((id, self.live.get(&id)?))) else {
            if again == Again::OutcomeUnknown {
                tracing::warn!(
                    code = error.code,
                    message = error.message,
                    "the answer to a call of a task that was given up is lost; it may have been paid"
                );
            }
            return;
        };
        let is_paid = task.plan.candidates.first().is_some_and(|first| first.is_paid);
        let has_paid_results = is_paid && task.job.is_some();
        let failed = Failed {
            again,
            has_paid_results,
            attempts: task.attempts.saturating_sub(task.unreached),
            attempts_left: task.attempts_left,
            opens_in: self.opens_in(task),
            has_better: is_of_the_provider(&error.code)
                && self.known_job(leader).is_none()
                && self.has_better(task),
            spread: leader.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32,
        };
        match next(failed) {
            Next::Fail => {
                for member in members {
                    // One that may have been paid before is no less so because another attempt failed.
                    if member == leader || !self.is_unknown(member) {
                        self.fail_here(ctx, member, error.clone());
                    }
                }
            }
            Next::Hold => {
                let hint = has_paid_results.then(|| hint_to_fetch(leader));
                let error = TaskError { hint: hint.or(error.hint), ..error };
                for member in members {
                    let error = if member == leader { error.clone() } else { shares_unknown(leader) };
                    self.hold_unknown(ctx, member, error);
                }
            }
            Next::Wait { wait, is_counted } => {
                let until = Timestamp::from_unix_ms(Timestamp::now().unix_ms() + wait.as_millis() as u64);
                // Results that cost nothing and could not be fetched for so long are made anew.
                if !is_paid && let Some(task) = self.live.get_mut(&leader) {
                    task.job = None;
                }
                self.requeue(
                    ctx,
                    leader,
                    Requeue {
                        not_before: Some(until),
                        is_counted,
                        error: Some(error),
                        is_unreached: again == Again::WhenReached,
                    },
                );
            }
        }
    }

    /// Until the task's provider is tried again, if it is left alone now.
    fn opens_in(&self, task: &LiveTask) -> Option<Duration> {
        let until = self.parts.permits.shut(&task.target()?)?.until()?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Holds a task of which nobody knows whether it was done: a person decides.
    pub(super) fn hold_unknown(&mut self, ctx: &mut Context<Self>, id: TaskId, error: TaskError) {
        self.when_settled(ctx, id, move |tracker, _| {
            let state = tracker.live.get(&id).map(|task| task.state);
            if matches!(state, Some(TaskState::Running | TaskState::Queued)) {
                tracker.step(id, move |step| {
                    step.state = TaskState::Held;
                    step.hold_reason = Some(HoldReason::OutcomeUnknown);
                    step.not_before = None;
                    step.attempt_outcome = Some(error.code.clone());
                    step.error = Some(error);
                });
            }
        });
    }

    /// Holds those that joined a task while it was on its way to being held.
    pub(super) fn hold_followers(&mut self, ctx: &mut Context<Self>, leader: TaskId) {
        let members = self.flights.members(leader);
        if members.first() == Some(&leader) {
            for member in members.into_iter().filter(|member| *member != leader) {
                self.hold_unknown(ctx, member, shares_unknown(leader));
            }
        }
    }

    /// Whether nobody knows whether a task was done.
    pub(super) fn is_unknown(&self, id: TaskId) -> bool {
        self.live.get(&id).is_some_and(|task| task.is_unknown())
    }

    /// Somebody released a task that was held as its outcome is unknown: it leads again, unless another one has been released before.
    pub(super) fn lead_again(&mut self, id: TaskId) {
        if self.flights.members(id).first().is_some_and(|leader| self.is_unknown(*leader)) {
            self.flights.lead(id);
        }
    }

    /// Brings a member of a flight to its end, once its own transition on the way is on disk.
    pub(super) fn conclude(&mut self, ctx: &mut Context<Self>, id: TaskId, end: End) {
        self.when_settled(ctx, id, move |tracker, _| tracker.finish(id, end));
    }

    fn requeue(&mut self, ctx: &mut Context<Self>, id: TaskId, again: Requeue) {
        self.when_settled(ctx, id, move |tracker, ctx| {
            let Requeue { not_before, is_counted, error, is_unreached } = again;
            if let Some(task) = tracker.live.get_mut(&id) {
                task.unreached += u32::from(is_unreached);
            }
            match tracker.live.get(&id).map(|task| task.state) {
                Some(TaskState::Running) => tracker.step(id, move |step| {
                    step.state = TaskState::Queued;
                    step.not_before = not_before;
                    step.attempt_outcome = Some(match &error {
                        Some(_) if is_unreached => UNREACHED.to_owned(),
                        Some(error) => error.code.clone(),
                        None => "stopped".to_owned(),
                    });
                    step.error = error;
                    step.attempts_left += u32::from(!is_counted);
                }),
                // It had taken over a run whose begin never got to disk for it.
                Some(TaskState::Queued) => match not_before {
                    Some(until) => tracker.delay(ctx, id, Instant::now() + until.since(Timestamp::now())),
                    None => tracker.enqueue(id),
                },
                _ => {}
            }
        });
    }
}

/// Why a task is held that asked for the same as one whose outcome nobody knows.
pub(super) fn shares_unknown(leader: TaskId) -> TaskError {
    task_error(
        ErrorCode::AnswerLost,
        format!("task {leader} asked for the same, and nobody knows whether it was made and paid"),
        &format!("reel show {leader} says why, and what reel release does; reel cancel gives up"),
        true,
    )
}
