//! How many tasks there are of each state, and in which batches some are unfinished.

use std::collections::BTreeMap;

use actix::{Handler, MessageResult};
use reel_protocol::{BatchId, TaskState};

use super::{
    TaskTracker,
    messages::{GetTaskCounts, TaskCounts},
};

impl Handler<GetTaskCounts> for TaskTracker {
    type Result = MessageResult<GetTaskCounts>;

    fn handle(&mut self, _: GetTaskCounts, _: &mut Self::Context) -> Self::Result {
        // Calls that the cache answered and whose rows are not committed yet.
        let hits = (self.hits.len() + self.hits_on_their_way) as u64;
        let count = |state: TaskState| {
            let hits = if state == TaskState::Succeeded { hits } else { 0 };
            (state.name().to_owned(), self.counts.get(&state).copied().unwrap_or(0) + hits)
        };
        MessageResult(TaskCounts {
            by_state: TaskState::ALL.into_iter().map(count).collect(),
            is_paused: self.is_paused,
            wait_reason: self.gate().reason(),
            is_idle: self.runs.is_empty()
                && self.ready.is_empty()
                && self.delayed.is_empty()
                && self.accepting + self.admitting == 0,
            missing_providers: self.missing_providers(),
        })
    }
}

impl TaskTracker {
    /// How many tasks wait for each provider that is not configured.
    pub(super) fn missing_providers(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (id, provider) in &self.missing {
            let state = self.live.get(id).map(|task| task.state);
            if matches!(state, Some(TaskState::Waiting | TaskState::Queued)) {
                *counts.entry(provider.to_string()).or_default() += 1;
            }
        }
        counts
    }

    /// Keeps the counts by state, and the open batches, in step with a transition.
    pub(super) fn count(&mut self, batch: Option<BatchId>, from: Option<TaskState>, to: Option<TaskState>) {
        if let Some(from) = from
            && let Some(count) = self.counts.get_mut(&from)
        {
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *self.counts.entry(to).or_default() += 1;
        }
        let is_open = |state: Option<TaskState>| state.is_some_and(|state| !state.is_finished());
        let Some(batch) = batch else { return };
        match (is_open(from), is_open(to)) {
            (false, true) => *self.open_batches.entry(batch).or_default() += 1,
            (true, false) => {
                if let Some(open) = self.open_batches.get_mut(&batch) {
                    *open = open.saturating_sub(1);
                    if *open == 0 {
                        self.open_batches.remove(&batch);
                        self.unprunable = 0;
                    }
                }
            }
            _ => {}
        }
    }

    /// Finished tasks in the history.
    pub(super) fn finished(&self) -> u64 {
        self.counts.iter().filter(|(state, _)| state.is_finished()).map(|(_, count)| count).sum()
    }
}
