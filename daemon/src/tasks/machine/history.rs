//! Counts tasks, and prunes finished ones from the history: when there are too many, and when their artifacts take the space that new ones need.

use reel_protocol::{BatchId, TaskState};

use super::{Answer, Keep, Machine, Outcome, RequestId, Surroundings, Write};
use crate::{
    chain::chain,
    store::StoreError,
    tasks::{
        TaskCounts,
        live::{Counted, LiveTask},
    },
};

/// Most finished tasks that are dropped in one commit. It is small, so that other writes do not wait long for that commit.
const PRUNE_GROUP: u32 = 256;

/// A batch with unfinished tasks.
#[derive(Debug, Default)]
pub(super) struct OpenBatch {
    /// Number of tasks that are not finished.
    pub unfinished: u64,
    /// Number of tasks that are neither finished nor held. A wait for the batch ends when it is 0.
    pub unsettled: u64,
}

impl<S: Surroundings> Machine<S> {
    /// Returns how many tasks there are, and why none starts.
    pub fn counts(&self) -> TaskCounts {
        let of = |state: TaskState, is_step: bool| self.counts.get(&(state, is_step)).copied().unwrap_or(0);
        let all = |state: TaskState| {
            let hits = if state == TaskState::Succeeded { self.hits } else { 0 };
            (state.name().to_owned(), of(state, false) + of(state, true) + hits)
        };
        let steps = |state: TaskState| (state.name().to_owned(), of(state, true));
        TaskCounts {
            by_state: TaskState::ALL.into_iter().map(all).collect(),
            steps_by_state: TaskState::ALL.into_iter().map(steps).collect(),
            is_paused: self.is_paused,
            wait_reason: self.start_conditions().reason(),
            is_idle: self.runs.is_empty()
                && self.ready.is_empty()
                && !self.timers.has_delayed()
                && self.arriving.is_empty(),
            missing_providers: self.missing_providers(),
        }
    }

    /// Whether an unfinished task that is not held runs at this provider or waits for it.
    pub fn is_wanted(&self, provider: &str) -> bool {
        let wants = |task: &LiveTask| {
            task.state != TaskState::Held && task.planned().is_some_and(|planned| *planned == *provider)
        };
        self.live.values().any(|task| wants(task))
    }

    /// Whether there are cache hits that were answered and whose rows are not committed.
    pub fn has_unwritten_hits(&self) -> bool {
        self.hits > 0
    }

    /// Updates the counts by state and the open batches with a transition. `from` is None for a new task, and `to` is None for a removed one.
    pub(super) fn count(&mut self, counted: Counted, from: Option<TaskState>, to: Option<TaskState>) {
        let Counted { batch, is_step } = counted;
        if let Some(count) = from.and_then(|from| self.counts.get_mut(&(from, is_step))) {
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *self.counts.entry((to, is_step)).or_default() += 1;
        }
        let Some(batch) = batch else { return };
        let entry = self.batches.entry(batch).or_default();
        for (state, is_added) in [(to, true), (from, false)] {
            let Some(state) = state else { continue };
            let step = |count: &mut u64, counts: bool| {
                *count = match (counts, is_added) {
                    (false, _) => *count,
                    (true, true) => *count + 1,
                    (true, false) => count.saturating_sub(1),
                };
            };
            step(&mut entry.unfinished, !state.is_finished());
            step(&mut entry.unsettled, !state.is_settled());
        }
        if entry.unfinished == 0 {
            self.batches.remove(&batch);
            self.unprunable = 0;
        }
    }

    /// Counts a task of an earlier daemon in its batch. The counts by state come from the journal.
    pub(super) fn count_recovered(&mut self, batch: Option<BatchId>, state: TaskState) {
        if let Some(batch) = batch {
            let entry = self.batches.entry(batch).or_default();
            entry.unfinished += 1;
            entry.unsettled += u64::from(!state.is_settled());
        }
    }

    /// Returns the number of finished tasks in the history.
    fn finished_count(&self) -> u64 {
        self.counts.iter().filter(|((state, _), _)| state.is_finished()).map(|(_, count)| count).sum()
    }

    /// Drops the oldest finished tasks if there are more than the history may hold.
    pub(super) fn prune(&mut self) {
        let finished = self.finished_count();
        let excess = finished.saturating_sub(self.limits.history);
        // A large history is pruned in groups, so that not every finished task causes a delete.
        let slack = u64::from(PRUNE_GROUP).min(self.limits.history / 16);
        if self.is_pruning || excess <= slack || finished <= self.unprunable {
            return;
        }
        self.is_pruning = true;
        let limit = u32::try_from(excess).unwrap_or(PRUNE_GROUP).min(PRUNE_GROUP);
        self.commit(Write::Prune { limit, keep: self.keep() });
    }

    pub(super) fn prune_written(&mut self, limit: u32, outcome: Result<Outcome, StoreError>) {
        self.is_pruning = false;
        let (dropped, _) = self.pruned(outcome);
        if dropped < limit as usize {
            // The rest must stay. It is not searched again for each task that ends.
            self.unprunable = self.finished_count() + u64::from(PRUNE_GROUP);
        }
    }

    pub(super) fn make_room(&mut self, request: RequestId, bytes: u64) {
        self.commit(Write::PruneFor { request, bytes, limit: PRUNE_GROUP, keep: self.keep() });
    }

    pub(super) fn room_made(&mut self, request: RequestId, outcome: Result<Outcome, StoreError>) {
        let (tasks, unpinned_bytes) = self.pruned(outcome);
        tracing::info!(tasks, unpinned_bytes, "the history gave way to new artifacts");
        self.answer(request, Answer::Unpinned(unpinned_bytes));
    }

    /// Returns what must stay regardless of its age: tasks of batches with unfinished tasks, and tasks that a request waits for.
    fn keep(&self) -> Keep {
        Keep {
            batches: self.batches.keys().copied().chain(self.waiters.shown_batches()).collect(),
            tasks: self.waiters.shown_tasks().collect(),
        }
    }

    /// Handles a commit that dropped tasks. Returns their number, and the bytes of artifacts that may be removed from the disk.
    fn pruned(&mut self, outcome: Result<Outcome, StoreError>) -> (usize, u64) {
        match outcome {
            Ok(Outcome::Pruned(pruned)) => {
                for dropped in &pruned.tasks {
                    let counted = Counted { batch: None, is_step: dropped.is_step };
                    self.count(counted, Some(dropped.state), None);
                }
                (pruned.tasks.len(), pruned.unpinned_bytes)
            }
            Ok(_) => (0, 0),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the history could not be pruned");
                (0, 0)
            }
        }
    }
}
