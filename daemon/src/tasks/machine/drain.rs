//! Stops the machine. Running tasks get time to end, the others go back to the queue, and calls that may have been paid get more time.

use std::time::Duration;

use reel_protocol::TaskId;

use super::{
    Answer, AttemptEnd, Machine, RequestId, Surroundings, Todo, Write, attempt::Run, restart::why_held,
    timers::Timer,
};
use crate::{chain::chain, domain::RemoteJob, store::StoreError, tasks::Drained};

/// Time that an attempt gets to stop after it was told to. The crash rule decides about the task of one that does not stop.
pub const STOP: Duration = Duration::from_secs(5);

/// Most repetitions of the last write. A task rarely has more than one deferred transition.
const CLOSING_ROUNDS: u32 = 8;

/// A drain in progress.
#[derive(Debug)]
pub(super) struct Draining {
    request: RequestId,
    drained: Drained,
}

fn id_list(ids: &[TaskId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl<S: Surroundings> Machine<S> {
    pub(super) fn drain(&mut self, request: RequestId, limit: Duration, paid: Duration) {
        self.is_stopping = true;
        // A second drain request ends the first one early, and continues with its numbers.
        let former = self.draining.take();
        let drained = former.as_ref().map(|former| former.drained).unwrap_or_default();
        if let Some(former) = former {
            self.answer(former.request, Answer::Drained(former.drained));
        }
        self.draining = Some(Draining { request, drained });
        self.leave_submitted_jobs();
        if !self.runs.is_empty() {
            tracing::info!(running = self.runs.len(), limit_s = limit.as_secs(), "waiting for running tasks");
            self.timers.add(self.now.moment + limit, Timer::StopRuns(paid.saturating_sub(limit)));
        }
    }

    /// Counts an attempt that ended by itself or was stopped.
    pub(super) fn count_ended(&mut self, is_stopped: bool) {
        if let Some(Draining { drained, .. }) = &mut self.draining {
            drained.requeued += usize::from(is_stopped);
            drained.ended += usize::from(!is_stopped);
        }
    }

    /// Ends a drain once there are no attempts.
    pub(super) fn finish_drain(&mut self) {
        if self.runs.is_empty()
            && let Some(Draining { request, drained }) = self.draining.take()
        {
            self.close_journal(request, drained, CLOSING_ROUNDS);
        }
    }

    /// Sends the last write. When it is answered, all earlier writes to the journal are on disk.
    fn close_journal(&mut self, request: RequestId, drained: Drained, rounds: u32) {
        self.commit(Write::Close { next_id: self.ids.next(), request, drained, rounds });
    }

    /// Handles the outcome of the last write. If transitions are pending, because earlier commits led to further writes, the last write is repeated
    /// after them.
    pub(super) fn closed_journal(
        &mut self,
        request: RequestId,
        drained: Drained,
        rounds: u32,
        outcome: Result<(), StoreError>,
    ) {
        if rounds > 0 && self.live.values().any(|task| task.is_committing) {
            return self.close_journal(request, drained, rounds - 1);
        }
        if let Err(error) = outcome {
            tracing::error!(error = chain(&error), "the journal could not be closed in order");
        }
        self.answer(request, Answer::Drained(drained));
    }

    /// Stops the attempts under way, except those that are submitting a job: told to stop, they would have the service cancel the job, but the next
    /// start can continue with it.
    pub(super) fn stop_runs(&mut self, longer: Duration) {
        let submits = |run: &Run| run.job.as_ref().is_some_and(|job| !job.is_at_provider());
        let told = self.runs.iter().filter(|(_, run)| !submits(run)).map(|(number, _)| *number);
        for run in told.collect::<Vec<_>>() {
            self.stop_run(run);
        }
        self.timers.add(self.now.moment + STOP, Timer::AwaitPaid(longer));
    }

    /// Gives attempts that may have been paid `longer` time to end, because their answers would be lost and a person would have to decide.
    ///
    /// Attempts that only poll and fetch are ended, because the next start continues with their jobs.
    pub(super) fn await_paid(&mut self, longer: Duration) {
        self.leave_runs(Run::is_at_provider);
        let paid = self.runs.values().filter(|run| run.is_paid).count();
        if paid == 0 || longer.is_zero() || self.draining.is_none() {
            return self.abandon_runs();
        }
        tracing::info!(paid, limit_s = longer.as_secs(), "waiting for answers that may have been paid");
        self.timers.add(self.now.moment + longer, Timer::Abandon);
    }

    /// During a drain, ends the attempts that have submitted a job, and those of workflows. They take minutes, and the next start continues with
    /// them. No job is cancelled.
    pub(super) fn leave_submitted_jobs(&mut self) {
        if self.draining.is_some() {
            let is_submitted = |run: &Run| matches!(run.job.as_deref(), Some(RemoteJob::Submitted { .. }));
            self.leave_runs(|run| run.is_workflow || is_submitted(run));
        }
    }

    /// Ends attempts that the next start continues. Their tasks are queued again.
    fn leave_runs(&mut self, is_left: impl Fn(&Run) -> bool) {
        let is_left = |run: &Run| is_left(run) && run.leader.is_some() && !run.is_committing_results();
        let left: Vec<_> =
            self.runs.iter().filter(|(_, run)| is_left(run)).map(|(number, _)| *number).collect();
        for run in left {
            self.ended(run, AttemptEnd::Stopped);
        }
    }

    /// Gives up the attempts that did not stop. Tasks that may have been paid are held, and the next start applies the crash rule to the others.
    pub(super) fn abandon_runs(&mut self) {
        let Some(Draining { request, mut drained }) = self.draining.take() else { return };
        drained.abandoned = self.runs.len();
        let leaders: Vec<_> = self.runs.values().filter_map(|run| run.leader).collect();
        let is_unanswered = |run: &&Run| run.is_paid && run.holds_slot();
        let unanswered = self.runs.values().filter(is_unanswered).filter_map(|run| run.leader);
        let held: Vec<_> = unanswered.collect();
        if !self.runs.is_empty() {
            tracing::warn!(
                running = self.runs.len(),
                tasks = id_list(&leaders),
                held = id_list(&held),
                "tasks did not stop; those that may have been paid are held, and the next start decides about the others"
            );
        }
        for id in held {
            let provider = self.live.get(&id).and_then(|task| task.plan.provider());
            let error = why_held("was stopped", provider.map(|provider| &**provider));
            self.when_settled(id, Todo::HoldUnknown(error));
        }
        self.close_journal(request, drained, CLOSING_ROUNDS);
    }
}
