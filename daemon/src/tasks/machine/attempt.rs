//! Begins an attempt once its row is committed, and lets a task take over an attempt that is under way.

use std::{sync::Arc, time::Duration};

use reel_protocol::{Progress, Source, TaskId, TaskState};

use super::{Attempt, Effect, Machine, RunId, Surroundings, Todo, Write};
use crate::{
    cache::Made,
    chain::chain,
    domain::RemoteJob,
    store::{Start, StoreError},
    tasks::{end::End, flights::Key},
};

/// The wait before a write that must not be lost is retried, after the journal refused it.
pub(super) const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// The phase of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its slot and permit are taken, and its row is not committed yet.
    Beginning,
    /// It was passed to the services.
    UnderWay,
    /// It has made results, and waits for the commit of their rows.
    CommittingResults,
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Run {
    /// The task that it works for. None if that task was given up and no equal task took the attempt over.
    pub leader: Option<TaskId>,
    /// The key by which tasks are equal to it. None if its result is not shared.
    pub key: Option<Key>,
    /// Whether the provider may charge for it. Such a call in flight continues even if it is told to stop.
    pub is_paid: bool,
    pub phase: Phase,
    /// The remote job that the provider holds for it, or may hold. Once the provider is known to have the job, the attempt only polls and fetches.
    pub job: Option<Arc<RemoteJob>>,
    /// Whether it only submits the steps of a workflow as tasks, and waits for them.
    pub is_workflow: bool,
    /// Whether it was told to stop, or will be as soon as it is started.
    is_stopped: bool,
}

impl Run {
    pub(super) const fn new(
        leader: TaskId,
        key: Option<Key>,
        is_paid: bool,
        job: Option<Arc<RemoteJob>>,
    ) -> Self {
        let (leader, phase) = (Some(leader), Phase::Beginning);
        Self { leader, key, is_paid, phase, job, is_workflow: false, is_stopped: false }
    }

    pub(super) const fn is_committing_results(&self) -> bool {
        matches!(self.phase, Phase::CommittingResults)
    }

    /// Whether the provider is known to have the job, so that the attempt only polls and fetches.
    pub(super) fn is_at_provider(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.is_at_provider())
    }

    /// Whether it takes a slot. It does not while it only polls and fetches, waits for the commit of its rows, or waits for the steps of its
    /// workflow.
    pub(super) fn holds_slot(&self) -> bool {
        !self.is_committing_results() && !self.is_at_provider() && !self.is_workflow
    }
}

impl<S: Surroundings> Machine<S> {
    /// Handles the answer of the cache for an attempt that is about to begin. A hit ends the task and its followers without an attempt.
    pub(super) fn looked_up(&mut self, run: RunId, found: Option<&Made>) {
        let Some(made) = found else { return self.journal_start(run) };
        self.around.release(run);
        let Some(id) = self.runs.remove(&run).and_then(|run| run.leader) else { return };
        if let Some(task) = self.live.get_mut(&id) {
            task.run = None;
        }
        self.settle_commit(id);
        for member in self.flights.members(id) {
            self.conclude(member, End::made(Source::Cache, made));
        }
    }

    pub(super) fn start_written(
        &mut self,
        start: &Start,
        run: Option<RunId>,
        outcome: Result<(), StoreError>,
    ) {
        match (run, outcome) {
            (Some(run), Ok(())) => self.launch(start, run),
            (Some(run), Err(error)) => self.take_back(start.id, run, &error),
            (None, Ok(())) => self.mark_running(start),
            (None, Err(error)) => {
                tracing::error!(
                    task = start.id.0,
                    error = chain(&error),
                    "a shared attempt could not be journaled"
                );
            }
        }
        self.settle_commit(start.id);
    }

    fn launch(&mut self, start: &Start, run: RunId) {
        self.mark_running(start);
        let (Some(task), Some(under_way)) = (self.live.get_mut(&start.id), self.runs.get_mut(&run)) else {
            self.runs.remove(&run);
            return self.around.release(run);
        };
        under_way.phase = Phase::UnderWay;
        let is_stopped = under_way.is_stopped;
        let attempt = Attempt {
            run,
            task: start.id,
            client: Arc::clone(&task.client),
            priority: task.priority,
            is_retry: std::mem::take(&mut task.is_retried),
            kind: Arc::clone(&task.kind),
            params: task.plan.params.clone(),
            provider: task.plan.candidates.first().cloned(),
            job: task.job.clone(),
            cache: task.cache,
        };
        self.effects.push(Effect::Start(Box::new(attempt)));
        if is_stopped {
            self.effects.push(Effect::Stop(run));
        }
    }

    fn take_back(&mut self, id: TaskId, run: RunId, error: &StoreError) {
        tracing::error!(
            task = id.0,
            error = chain(error),
            "the begin of an attempt could not be journaled; trying again"
        );
        self.runs.remove(&run);
        self.around.release(run);
        if let Some(task) = self.live.get_mut(&id) {
            task.run = None;
        }
        self.delay(id, self.now.moment + JOURNAL_PAUSE);
    }

    fn mark_running(&mut self, start: &Start) {
        let Some(task) = self.live.get_mut(&start.id) else { return };
        let from = std::mem::replace(&mut task.state, TaskState::Running);
        task.rev = start.rev;
        task.last_provider = start.provider.as_deref().map(Arc::from);
        // A refusal counts until the provider is asked again. After that, it may have been paid.
        task.refused_by.retain(|refused| Some(&*refused.provider) != start.provider.as_deref());
        task.attempts += 1;
        task.attempts_left = task.attempts_left.saturating_sub(1);
        task.not_before = None;
        task.progress = Progress::default();
        let (counted, event) = (task.counted(), Box::new(task.event(None, None)));
        self.count(counted, Some(from), Some(TaskState::Running));
        self.effects.push(Effect::Tell { event: "changed", task: event });
    }

    /// Journals the attempt of a task that has taken over a running attempt.
    pub(super) fn begin_shared(&mut self, id: TaskId) {
        let is_its_own = |task: &&mut Box<crate::tasks::live::LiveTask>| {
            task.state == TaskState::Queued && task.run.is_some()
        };
        let Some(task) = self.live.get_mut(&id).filter(is_its_own) else { return };
        task.is_committing = true;
        if let Some(start) = self.start_of(id) {
            self.commit(Write::Start { start, run: None });
        }
    }

    pub(super) fn start_of(&self, id: TaskId) -> Option<Start> {
        let task = self.live.get(&id)?;
        let candidate = task.plan.candidates.first();
        Some(Start {
            id,
            rev: task.rev + 1,
            at: self.now.wall,
            number: task.attempts + 1,
            provider: candidate.map(|candidate| candidate.provider.to_string()),
            model: candidate.and_then(|candidate| candidate.model.as_deref()).map(str::to_owned),
            remote_id: super::jobs::remote_id(task.job.as_deref()),
        })
    }

    /// Tells an attempt to stop, at once or as soon as it is started.
    pub(super) fn stop_run(&mut self, run: RunId) {
        let Some(under_way) = self.runs.get_mut(&run) else { return };
        if !std::mem::replace(&mut under_way.is_stopped, true) && under_way.phase != Phase::Beginning {
            self.effects.push(Effect::Stop(run));
        }
    }

    /// Ends a member of a flight, once its own pending transition is committed.
    pub(super) fn conclude(&mut self, id: TaskId, end: End) {
        self.when_settled(id, Todo::Conclude(Box::new(end)));
    }
}
