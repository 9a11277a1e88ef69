//! An unfinished task as the machine holds it.

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

/// What a live task takes beside its params and its dependencies: its struct, and its places in the queues and tables.
const OVERHEAD_BYTES: u64 = 1_024;

/// What is reserved in the memory budget for a live task that waits for so many others.
pub fn held_bytes(row: &NewTask, needed: usize) -> u64 {
    row.params.as_str().len() as u64 + OVERHEAD_BYTES + EDGE_BYTES * needed as u64
}

/// An unfinished task.
#[derive(Debug)]
pub struct LiveTask {
    pub id: TaskId,
    /// The revision on disk.
    pub rev: u64,
    /// The state on disk.
    pub state: TaskState,
    pub hold_reason: Option<HoldReason>,
    pub kind: Arc<str>,
    pub name: Option<Arc<str>>,
    pub client: Arc<str>,
    pub batch: Option<BatchId>,
    /// The workflow that it is a step of.
    pub step: Option<StepOf>,
    pub lane: Lane,
    pub priority: i8,
    pub cache: CacheMode,
    /// The provider that the caller named.
    pub wanted: Option<Arc<str>>,
    pub plan: Plan,
    /// Attempts that have begun.
    pub attempts: u32,
    /// Those of them whose requests never left: many of these say nothing about the provider or the task.
    pub unreached: u32,
    pub attempts_left: u32,
    /// How often the daemon died while the task was running.
    pub deaths: u32,
    pub not_before: Option<Timestamp>,
    /// Its place among the machine's delayed tasks.
    pub delayed_until: Option<Moment>,
    pub deadline: Option<Moment>,
    pub progress: Progress,
    /// When its last progress event went out.
    pub told: Option<Moment>,
    /// Whether a progress event is due later.
    pub is_telling: bool,
    /// What the provider holds for it: its next attempt asks for that first.
    pub job: Option<Arc<RemoteJob>>,
    /// Providers that it left for another one as they refused it.
    pub refused_by: Vec<Refused>,
    /// Providers that it left as they were out of order; it may come back to them. Only in memory.
    pub passed_over: Vec<Refused>,
    /// The provider of its last attempt.
    pub asked: Option<Arc<str>>,
    /// What its failed attempts have cost. Only in memory.
    pub charged: Option<Cost>,
    /// Whether somebody has retried it and no attempt began since. Only in memory.
    pub is_retried: bool,
    /// The attempt that works for it.
    pub run: Option<RunId>,
    /// A transition is on its way to disk: nothing else may be decided until it is there.
    pub is_committing: bool,
    /// What is decided then.
    pub deferred: Vec<Todo>,
    /// Its share of the memory budget; 0 only for tasks of an earlier daemon that do not fit any more.
    pub held_bytes: u64,
}

impl LiveTask {
    /// Whether nobody knows whether it was done, and paid.
    pub fn is_unknown(&self) -> bool {
        self.hold_reason == Some(HoldReason::OutcomeUnknown)
    }

    /// What its next attempt asks for; None for services that need no provider.
    pub fn target(&self) -> Option<Target> {
        self.plan.candidates.first().map(Candidate::target)
    }

    /// The provider that it stays with while that is configured: the one that has made its results or may have been paid for them, else the one
    /// of its plan.
    pub fn planned(&self) -> Option<Arc<str>> {
        let of_job = self.job.as_ref().map(|job| Arc::from(job.provider()));
        let maybe_paid = self.asked.clone().filter(|_| self.is_unknown());
        of_job.or(maybe_paid).or_else(|| self.plan.provider().cloned())
    }

    /// What makes it equal to others: only tasks that read the cache share a call.
    pub fn key(&self) -> Option<Key> {
        let first = self.plan.candidates.first().filter(|_| self.cache == CacheMode::Use);
        first.map(|candidate| candidate.key)
    }

    /// Its keys in the order of the providers' selection; none if it does not read the cache.
    pub fn keys(&self) -> Vec<Key> {
        if self.cache == CacheMode::Use { self.plan.keys().copied().collect() } else { Vec::new() }
    }

    /// The task as its events show it.
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

/// A live task as its row was accepted.
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
        wanted: row.wanted_provider.as_deref().map(Arc::from),
        plan,
        attempts: 0,
        unreached: 0,
        attempts_left: row.attempts_left,
        deaths: 0,
        not_before: None,
        delayed_until: None,
        deadline: row.deadline.map(|deadline| now.moment + deadline.since(now.wall)),
        progress: Progress::default(),
        told: None,
        is_telling: false,
        job: None,
        refused_by: Vec::new(),
        passed_over: Vec::new(),
        asked: None,
        charged: None,
        is_retried: false,
        run: None,
        is_committing: false,
        deferred: Vec::new(),
        held_bytes: 0,
    }
}

/// Longest time that a task waits for its next attempt: what a provider may ask for at the most, and a moment.
pub const LONGEST_DELAY: Duration = Duration::from_mins(61);

/// How long a span of the journal still lasts that began at `since` and ends at `until`, both by the clock of the daemon that wrote it. A clock
/// that was set back since makes it no longer than it was; one that was set forward ends it, as nobody can tell that from a night.
pub fn span_left(until: Timestamp, since: Timestamp, now: Timestamp) -> Duration {
    until.since(now).min(until.since(since))
}

/// How long a retry waits: doubling from one second to five minutes, with up to a quarter more so that many do not come back at once.
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
