//! Applies the end of an attempt to all tasks that share it: they succeed, fail, wait for another attempt, or are held until a person decides.

use std::{sync::Arc, time::Duration};

use reel_protocol::{ErrorCode, HoldReason, Source, TaskError, TaskId, TaskState, Timestamp};

use super::{
    AttemptEnd, Machine, Requeue, RunId, Surroundings, Todo, Write, attempt::Phase, jobs::hint_to_release,
};
use crate::{
    cache::Made,
    domain::Cost,
    store::{Finish, UNREACHED},
    tasks::{
        Again, JournalFailure,
        again::{Failed, Next, is_of_the_provider, next},
        end::{End, task_error},
        live::LiveTask,
    },
};

impl<S: Surroundings> Machine<S> {
    /// Handles the end of an attempt. Its slot becomes free, and its outcome applies to all tasks that share it.
    pub(super) fn ended(&mut self, run: RunId, end: AttemptEnd) {
        if let AttemptEnd::Made { made, cost, on_journal_failure } = end {
            return self.made(run, made, cost, on_journal_failure);
        }
        let (leader, members) = self.take_run(run);
        self.count_ended(leader.is_some() && matches!(end, AttemptEnd::Stopped));
        match end {
            AttemptEnd::Done => members.into_iter().for_each(|member| self.conclude(member, End::done())),
            AttemptEnd::Failed(error, again) => self.attempt_failed(leader, members, error, again),
            AttemptEnd::Stopped => {
                if let Some(leader) = leader {
                    self.when_settled(leader, Todo::Requeue(Requeue::stopped()));
                }
            }
            AttemptEnd::Made { .. } => {}
        }
    }

    /// Adds the cost of an attempt that is about to fail to its task. It is only in memory, so it is lost if the daemon dies before the task ends.
    pub(super) fn charged(&mut self, run: RunId, cost: Cost) {
        let leader = self.runs.get(&run).and_then(|run| run.leader);
        if let Some(task) = leader.and_then(|leader| self.live.get_mut(&leader)) {
            task.charged = Cost::sum(task.charged, Some(cost));
        }
    }

    /// Removes an attempt. Returns its leader, and all tasks that share it.
    fn take_run(&mut self, run: RunId) -> (Option<TaskId>, Vec<TaskId>) {
        let leader = self.runs.remove(&run).and_then(|run| run.leader);
        if let Some(task) = leader.and_then(|leader| self.live.get_mut(&leader)) {
            task.run = None;
        }
        (leader, self.members_of(leader))
    }

    fn members_of(&self, leader: Option<TaskId>) -> Vec<TaskId> {
        leader.map(|leader| self.flights.members(leader)).unwrap_or_default()
    }

    /// Journals the rows of results together with the ends of all tasks that share them.
    ///
    /// The attempt remains until the rows are committed, without a slot. So tasks that join its flight or take it over in the meantime get its
    /// results too, and nobody asks for the same.
    fn made(&mut self, run: RunId, made: Arc<Made>, cost: Option<Cost>, on_journal_failure: JournalFailure) {
        let leader = self.runs.get_mut(&run).and_then(|run| {
            run.phase = Phase::CommittingResults;
            run.leader
        });
        let members = self.members_of(leader);
        let maker = members.first().copied();
        let mut ends = Vec::with_capacity(members.len());
        for member in members {
            // A member with a pending transition is ended after the rows are committed.
            if self.live.get(&member).is_some_and(|task| !task.is_committing) {
                let end = end_of(member, &made, (maker, cost));
                ends.extend(self.plan_finish(member, end));
            }
        }
        self.commit(Write::Results { run, made, maker, cost, on_journal_failure, ends });
        self.count_ended(false);
    }

    /// Handles the commit of an attempt's results and of the ends of the tasks that shared it when it ended. Tasks that joined since then are ended
    /// too.
    pub(super) fn results_written(
        &mut self,
        run: RunId,
        made: &Arc<Made>,
        (maker, cost): (Option<TaskId>, Option<Cost>),
        ends: &[Finish],
    ) {
        let (_, members) = self.take_run(run);
        let joined: Vec<_> =
            members.into_iter().filter(|member| ends.iter().all(|end| end.id != *member)).collect();
        let maker = maker.or_else(|| joined.first().copied());
        for member in joined {
            self.conclude(member, end_of(member, made, (maker, cost)));
        }
        for end in ends {
            self.finished(end);
        }
    }

    /// Handles the refusal of the rows of an attempt's results. No end that names them was written either.
    pub(super) fn results_refused(
        &mut self,
        run: RunId,
        ends: &[Finish],
        (error, again): (TaskError, Again),
    ) {
        let (leader, members) = self.take_run(run);
        self.attempt_failed(leader, members, error, again);
        for end in ends {
            self.settle_commit(end.id);
        }
    }

    /// Handles a failed attempt. `leader` is `None` if its task was given up, so that nothing follows.
    fn attempt_failed(
        &mut self,
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
        let has_paid_results = task.is_paid() && task.job.is_some();
        match next(self.failed(leader, task, &error, again, has_paid_results)) {
            Next::Fail => self.fail_members(leader, members, &error),
            Next::Hold => self.hold_members(leader, members, error),
            Next::Wait { wait, is_counted } => {
                let until = Timestamp::from_unix_ms(self.now.wall.unix_ms() + wait.as_millis() as u64);
                let is_unreached = again == Again::WhenReached;
                // A key that another provider has refused must not hide behind the wait for this one.
                let error = match task.plan.provider() {
                    Some(provider) => task.after_refusals(provider, error),
                    None => error,
                };
                let requeue =
                    Requeue { not_before: Some(until), is_counted, error: Some(error), is_unreached };
                self.requeue_leader(leader, requeue);
            }
        }
    }

    /// Fails the tasks that shared a failed attempt. A task that may have been paid by an earlier attempt stays held, unless it led this one.
    fn fail_members(&mut self, leader: TaskId, members: Vec<TaskId>, error: &TaskError) {
        for member in members {
            if member == leader || !self.is_unknown(member) {
                self.fail_here(member, error.clone());
            }
        }
    }

    /// Holds the tasks that shared an attempt whose outcome is unknown. If a provider has paid results of it, the leader's error tells how to get them.
    fn hold_members(&mut self, leader: TaskId, members: Vec<TaskId>, mut error: TaskError) {
        let paid_job =
            self.live.get(&leader).filter(|task| task.is_paid()).and_then(|task| task.job.as_deref());
        if let Some(job) = paid_job {
            error.hint = Some(hint_to_release(leader, job));
        }
        for member in members {
            let error = if member == leader { error.clone() } else { shares_unknown(leader) };
            self.when_settled(member, Todo::HoldUnknown(error));
        }
    }

    /// Queues the leader of a failed attempt for another one. The tasks that shared the attempt follow it.
    fn requeue_leader(&mut self, leader: TaskId, requeue: Requeue) {
        // Results that cost nothing and could not be fetched are made again.
        if let Some(task) = self.live.get_mut(&leader).filter(|task| !task.is_paid()) {
            task.job = None;
        }
        self.when_settled(leader, Todo::Requeue(requeue));
    }

    fn failed(
        &self,
        leader: TaskId,
        task: &LiveTask,
        error: &TaskError,
        again: Again,
        has_paid_results: bool,
    ) -> Failed {
        Failed {
            again,
            has_paid_results,
            attempts: task.attempts.saturating_sub(task.unreached),
            attempts_left: task.attempts_left,
            opens_in: self.opens_in(task),
            has_better: is_of_the_provider(&error.code)
                && self.known_job(leader).is_none()
                && self.has_better(task),
            spread: leader.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32,
        }
    }

    /// Returns the time until the task's provider may be tried again. None if it can be tried at once, or if its gate gives no time.
    fn opens_in(&self, task: &LiveTask) -> Option<Duration> {
        let until = self.around.why_not(&task.target()?)?.until?;
        Some(self.now.moment.until(until))
    }

    /// Holds a task because it is unknown whether its results were made. A person decides.
    pub(super) fn hold_now(&mut self, id: TaskId, error: TaskError) {
        let state = self.live.get(&id).map(|task| task.state);
        if matches!(state, Some(TaskState::Running | TaskState::Queued)) {
            self.transition(id, move |transition| {
                transition.state = TaskState::Held;
                transition.hold_reason = Some(HoldReason::OutcomeUnknown);
                transition.not_before = None;
                transition.attempt_outcome = Some(error.code.clone());
                transition.error = Some(error);
            });
        }
    }

    /// Holds the tasks that joined a leader while its own hold was being committed.
    pub(super) fn hold_followers(&mut self, leader: TaskId) {
        let members = self.flights.members(leader);
        if members.first() == Some(&leader) {
            for member in members.into_iter().filter(|member| *member != leader) {
                self.when_settled(member, Todo::HoldUnknown(shares_unknown(leader)));
            }
        }
    }

    pub(super) fn requeue_now(&mut self, id: TaskId, again: Requeue) {
        let Requeue { not_before, is_counted, error, is_unreached } = again;
        let Some(task) = self.live.get_mut(&id) else { return };
        task.unreached += u32::from(is_unreached);
        match task.state {
            TaskState::Running => self.transition(id, move |transition| {
                transition.state = TaskState::Queued;
                transition.not_before = not_before;
                transition.attempt_outcome = Some(match &error {
                    Some(_) if is_unreached => UNREACHED.to_owned(),
                    Some(error) => error.code.clone(),
                    None => "stopped".to_owned(),
                });
                transition.error = error;
                transition.attempts_left += u32::from(!is_counted);
            }),
            // The task had taken over an attempt, and its own row of the attempt was not committed.
            TaskState::Queued => match not_before {
                Some(until) => self.delay(id, self.now.moment + until.since(self.now.wall)),
                None => self.enqueue(id),
            },
            _ => {}
        }
    }
}

/// Returns the end of a task with results. Among the tasks that share them, only the maker gets the cost.
fn end_of(member: TaskId, made: &Made, (maker, cost): (Option<TaskId>, Option<Cost>)) -> End {
    let is_maker = maker == Some(member);
    let source = if is_maker { Source::Made } else { Source::Shared };
    End::made(source, made).with_cost(cost.filter(|_| is_maker))
}

/// Returns the error of a task that is held because it is equal to one whose outcome is unknown.
pub(super) fn shares_unknown(leader: TaskId) -> TaskError {
    task_error(
        ErrorCode::AnswerLost,
        format!("task {leader} asked for the same, and nobody knows whether it was made and paid"),
        &format!("reel show {leader} says why, and what reel release does; reel cancel cancels the task"),
        true,
    )
}
