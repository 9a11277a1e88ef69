//! An unfinished task as the machine keeps it in memory.

use std::{sync::Arc, time::Duration};

use reel_protocol::{
    BatchId, CacheMode, HoldReason, Progress, Source, TaskError, TaskId, TaskState, Timestamp,
    methods::TaskEvent,
};

use super::{
    Candidate, Plan,
    dependencies::EDGE_BYTES,
    flights::Key,
    machine::{Moment, Now, RunId, Todo},
    ready::Lane,
};
use crate::{
    domain::{Cost, Refused, RemoteJob, StepOf, Target},
    store::NewTask,
};

/// Memory of a live task in bytes, without its params and dependencies: its struct, and its entries in queues and tables.
const OVERHEAD_BYTES: u64 = 1_024;

/// Returns the bytes to reserve in the memory budget for a live task that waits for `needed` other tasks.
pub fn held_bytes(row: &NewTask, needed: usize) -> u64 {
    row.params.as_str().len() as u64 + OVERHEAD_BYTES + EDGE_BYTES * needed as u64
}

/// What decides where a task is counted besides its state.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// The batch; None for a task that belongs to none, or whose batch no longer counts it.
    pub batch: Option<BatchId>,
    /// Whether the task is a step of a workflow.
    pub is_step: bool,
}

/// An unfinished task. The fields without a comment are those of its row.
#[derive(Debug)]
pub struct LiveTask {
    pub id: TaskId,
    /// The revision of the row on disk.
    pub rev: u64,
    /// The state in the row on disk.
    pub state: TaskState,
    pub hold_reason: Option<HoldReason>,
    pub kind: Arc<str>,
    pub name: Option<Arc<str>>,
    pub client: Arc<str>,
    pub batch: Option<BatchId>,
    /// The workflow that this task is a step of.
    pub step: Option<StepOf>,
    pub lane: Lane,
    pub priority: i8,
    pub cache: CacheMode,
    /// The provider that the caller named, if any.
    pub requested_provider: Option<Arc<str>>,
    pub plan: Plan,
    /// Number of attempts that have begun.
    pub attempts: u32,
    /// Number of those attempts whose request was never sent. They say nothing about the task, so they do not count as failures.
    pub unreached: u32,
    pub attempts_left: u32,
    /// How often the daemon died while the task was running.
    pub deaths: u32,
    pub not_before: Option<Timestamp>,
    /// When the delay of the task ends; its key among the delayed tasks in the machine's timers.
    pub delayed_until: Option<Moment>,
    pub deadline: Option<Moment>,
    pub progress: Progress,
    /// When its last progress event was sent.
    pub last_progress_event: Option<Moment>,
    /// Whether a timer will send another progress event.
    pub has_progress_timer: bool,
    /// The remote job that the provider holds for it, if any. The next attempt asks for its results first.
    pub job: Option<Arc<RemoteJob>>,
    /// Providers that refused the task, which went to another one, and that were not asked since.
    pub refused_by: Vec<Refused>,
    /// Providers that the task left because they were out of order. It may return to them. Only in memory.
    pub passed_over: Vec<Refused>,
    /// The provider of the last attempt.
    pub last_provider: Option<Arc<str>>,
    /// The cost of its failed attempts. Only in memory.
    pub charged: Option<Cost>,
    /// Whether somebody retried the task, and no attempt has begun since then. Only in memory.
    pub is_retried: bool,
    /// The attempt that works for it.
    pub run: Option<RunId>,
    /// Whether a transition is queued for the journal. Until it is committed or refused, all decisions about the task are deferred.
    pub is_committing: bool,
    /// The decisions that were deferred, in their order.
    pub deferred: Vec<Todo>,
    /// Bytes reserved for it in the memory budget. It is 0 for a task of an earlier daemon for which the budget had no room.
    pub held_bytes: u64,
}

impl LiveTask {
    /// Whether it is held because it is unknown whether the provider made, and charged for, its results.
    pub fn is_unknown(&self) -> bool {
        self.hold_reason == Some(HoldReason::OutcomeUnknown)
    }

    /// Whether the provider of its next attempt may charge for it.
    pub fn is_paid(&self) -> bool {
        self.plan.candidates.first().is_some_and(|first| first.is_paid)
    }

    /// Returns the provider and model of its next attempt. None for services that need no provider.
    pub fn target(&self) -> Option<Target> {
        self.plan.candidates.first().map(Candidate::target)
    }

    /// Returns the provider that it stays with while that is configured: the provider that has made its results or may have been paid for them, or
    /// else the one of its plan.
    pub fn planned(&self) -> Option<Arc<str>> {
        let of_job = self.job.as_ref().map(|job| Arc::from(job.provider()));
        let maybe_paid = self.last_provider.clone().filter(|_| self.is_unknown());
        of_job.or(maybe_paid).or_else(|| self.plan.provider().cloned())
    }

    /// Returns the key by which it is equal to other tasks. None if it does not read the cache: only tasks that do share an attempt.
    pub fn key(&self) -> Option<Key> {
        let first = self.plan.candidates.first().filter(|_| self.cache == CacheMode::Use);
        first.map(|candidate| candidate.key)
    }

    /// Returns its cache keys in the order in which providers are selected. Empty if it does not read the cache.
    pub fn keys(&self) -> Vec<Key> {
        if self.cache == CacheMode::Use { self.plan.keys().copied().collect() } else { Vec::new() }
    }

    /// Returns what decides where the task is counted besides its state.
    pub fn counted(&self) -> Counted {
        Counted { batch: self.batch, is_step: self.step.is_some() }
    }

    /// Returns the event payload for the task in its current state.
    pub fn event(&self, source: Option<Source>, error: Option<TaskError>) -> TaskEvent {
        TaskEvent {
            id: self.id,
            rev: self.rev,
            kind: self.kind.to_string(),
            name: self.name.as_deref().map(str::to_owned),
            client: self.client.to_string(),
            batch: self.batch,
            parent: self.step.as_ref().map(|step| step.parent),
            step: self.step.as_ref().map(|step| step.name.to_string()),
            state: self.state,
            hold_reason: self.hold_reason,
            progress: self.progress.clone(),
            source,
            error,
        }
    }
}

/// Builds a live task from a row that was accepted just before.
pub(super) fn live_task(
    row: &NewTask,
    plan: Plan,
    client: Arc<str>,
    batch: Option<BatchId>,
    lane: Lane,
    now: Now,
) -> LiveTask {
    LiveTask {
        id: row.id,
        rev: 1,
        state: row.state,
        hold_reason: None,
        kind: Arc::from(row.kind.as_str()),
        name: row.name.as_deref().map(Arc::from),
        client,
        batch,
        step: row.step.clone(),
        lane,
        priority: row.priority,
        cache: row.cache,
        requested_provider: row.wanted_provider.as_deref().map(Arc::from),
        plan,
        attempts: 0,
        unreached: 0,
        attempts_left: row.attempts_left,
        deaths: 0,
        not_before: None,
        delayed_until: None,
        deadline: row.deadline.map(|deadline| now.moment + deadline.since(now.wall)),
        progress: Progress::default(),
        last_progress_event: None,
        has_progress_timer: false,
        job: None,
        refused_by: Vec::new(),
        passed_over: Vec::new(),
        last_provider: None,
        charged: None,
        is_retried: false,
        run: None,
        is_committing: false,
        deferred: Vec::new(),
        held_bytes: 0,
    }
}

/// Longest wait of a task for its next attempt: the hour that a provider may ask for at most, and one minute.
pub const LONGEST_DELAY: Duration = Duration::from_mins(61);

/// Returns how much is left of a span that the journal recorded from `since` to `until`. Both times were taken from the clock of the daemon that
/// wrote them. If the clock was set back since then, the result is at most the whole span. If it was set forward, the span ends early, because that
/// cannot be told from a night in which the daemon did not run.
pub fn span_left(until: Timestamp, since: Timestamp, now: Timestamp) -> Duration {
    until.since(now).min(until.since(since))
}

/// Returns the wait before a retry. It doubles from one second up to five minutes. `spread` adds up to a quarter, so that retries do not coincide.
pub fn backoff(attempts: u32, spread: u64) -> Duration {
    let base = 1_000_u64.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(300_000);
    Duration::from_millis(base + spread % (base / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_makes_no_span_longer() {
        let at = |seconds: u64| Timestamp::from_unix_ms(1_000_000_000_000 + seconds * 1_000);
        let year = 31_536_000;
        for (until, since, now, left) in [
            (at(year + 20), at(year), at(year + 5), 15),
            (at(year + 20), at(year), at(0), 20),
            (at(20), at(0), at(year), 0),
            (at(0), at(20), at(0), 0),
        ] {
            assert_eq!(span_left(until, since, now).as_secs(), left);
        }
    }

    #[test]
    fn backoff_doubles_to_five_minutes_and_spreads_by_a_quarter() {
        assert_eq!(backoff(1, 0).as_millis(), 1_000);
        assert_eq!(backoff(3, 0).as_millis(), 4_000);
        assert_eq!(backoff(40, 0).as_millis(), 300_000);
        assert!((1_000..1_250).contains(&backoff(1, u64::MAX).as_millis()));
    }
}
