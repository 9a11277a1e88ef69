//! How an attempt begins once its row is on disk, alone or as a share of one that is under way.

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

/// How long the journal is left alone after it refused what must not be lost.
pub(super) const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its begin is not on disk yet.
    Beginning,
    /// The services have it.
    UnderWay,
    /// It only waits for the rows of its results.
    Over,
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Run {
    /// The task that it works for; None once that was given up and nobody shares the attempt.
    pub leader: Option<TaskId>,
    /// What makes others equal to it; None where its result is not shared.
    pub key: Option<Key>,
    /// Whether it goes on though it was told to stop, as it may have been paid.
    pub is_paid: bool,
    pub phase: Phase,
    /// What the provider holds for it, or may hold. Once the provider is known to have it, the attempt only polls and fetches.
    pub job: Option<Arc<RemoteJob>>,
    /// Whether it only submits tasks, the steps of a workflow, and waits for them.
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

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether the provider is known to have what was asked for, so that the attempt only polls and fetches.
    pub(super) fn is_at_provider(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.is_at_provider())
    }

    /// An attempt that only polls and fetches, waits for its rows or for the steps of its workflow holds no slot.
    pub(super) fn holds_slot(&self) -> bool {
        !self.is_over() && !self.is_at_provider() && !self.is_workflow
    }
}

impl<S: Surroundings> Machine<S> {
    /// What the cache has for an attempt that is about to begin.
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
        task.asked = start.provider.as_deref().map(Arc::from);
        task.attempts += 1;
        task.attempts_left = task.attempts_left.saturating_sub(1);
        task.not_before = None;
        task.progress = Progress::default();
        let (batch, event) = (task.batch, Box::new(task.event(None, None)));
        self.count(batch, Some(from), Some(TaskState::Running));
        self.effects.push(Effect::Tell { event: "changed", task: event });
    }

    /// Journals that a task runs that has taken over an attempt.
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

    /// Tells an attempt to stop, as soon as it is started.
    pub(super) fn stop_run(&mut self, run: RunId) {
        let Some(under_way) = self.runs.get_mut(&run) else { return };
        if !std::mem::replace(&mut under_way.is_stopped, true) && under_way.phase != Phase::Beginning {
            self.effects.push(Effect::Stop(run));
        }
    }

    /// Brings a member of a flight to its end, once its own transition on the way is on disk.
    pub(super) fn conclude(&mut self, id: TaskId, end: End) {
        self.when_settled(id, Todo::Conclude(Box::new(end)));
    }
}
