//! How many tasks there are, and how finished ones leave: by their number, and when their artifacts hold the room that new ones need.

use reel_protocol::{BatchId, TaskState};

use super::{Answer, Keep, Machine, Outcome, RequestId, Surroundings, Write};
use crate::{chain::chain, store::StoreError, tasks::TaskCounts};

/// Finished tasks dropped in one commit: few enough that other writes do not wait for it.
const PRUNE_GROUP: u32 = 256;

/// A batch with unfinished tasks.
#[derive(Debug, Default)]
pub(super) struct OpenBatch {
    /// Tasks that are not over.
    pub unfinished: u64,
    /// Those of them that are not held either: a wait for the batch ends when there are none.
    pub unsettled: u64,
}

impl<S: Surroundings> Machine<S> {
    /// How many tasks there are, and why none starts.
    pub fn counts(&self) -> TaskCounts {
        let count = |state: TaskState| {
            let hits = if state == TaskState::Succeeded { self.hits } else { 0 };
            (state.name().to_owned(), self.counts.get(&state).copied().unwrap_or(0) + hits)
        };
        TaskCounts {
            by_state: TaskState::ALL.into_iter().map(count).collect(),
            is_paused: self.is_paused,
            wait_reason: self.gate().reason(),
            is_idle: self.runs.is_empty()
                && self.ready.is_empty()
                && !self.timers.has_delayed()
                && self.arriving.is_empty(),
            missing_providers: self.missing_providers(),
        }
    }

    /// Whether calls that the cache answered are still on their way into the journal.
    pub fn has_unwritten_hits(&self) -> bool {
        self.hits > 0
    }

    /// Keeps the counts by state, and the open batches, in step with a transition.
    pub(super) fn count(&mut self, batch: Option<BatchId>, from: Option<TaskState>, to: Option<TaskState>) {
        if let Some(count) = from.and_then(|from| self.counts.get_mut(&from)) {
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *self.counts.entry(to).or_default() += 1;
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

    /// Counts a task of an earlier daemon with its batch; the journal has counted its state.
    pub(super) fn count_recovered(&mut self, batch: Option<BatchId>, state: TaskState) {
        if let Some(batch) = batch {
            let entry = self.batches.entry(batch).or_default();
            entry.unfinished += 1;
            entry.unsettled += u64::from(!state.is_settled());
        }
    }

    /// Finished tasks in the history.
    fn finished_count(&self) -> u64 {
        self.counts.iter().filter(|(state, _)| state.is_finished()).map(|(_, count)| count).sum()
    }

    /// Drops the oldest finished tasks while there are more than the history may hold.
    pub(super) fn prune(&mut self) {
        let finished = self.finished_count();
        let excess = finished.saturating_sub(self.limits.history);
        // By whole groups where the history is large, so that not every finished task brings a delete with it.
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
            // The rest must stay: it is not looked through again for each task that ends.
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

    /// What must stay whatever its age: tasks of a batch that is not done, and tasks that somebody waits for.
    fn keep(&self) -> Keep {
        Keep {
            batches: self.batches.keys().copied().chain(self.waiters.shown_batches()).collect(),
            tasks: self.waiters.shown_tasks().collect(),
        }
    }

    /// Follows a commit that dropped tasks: how many, and the bytes that may leave the disk now.
    fn pruned(&mut self, outcome: Result<Outcome, StoreError>) -> (usize, u64) {
        match outcome {
            Ok(Outcome::Pruned(pruned)) => {
                for (_, state) in &pruned.tasks {
                    self.count(None, Some(*state), None);
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
