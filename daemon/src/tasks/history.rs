//! How the tracker lets finished tasks go: by their number, and when their artifacts hold the room that new ones need.

use actix::{Handler, ResponseFuture};
use reel_protocol::{BatchId, TaskId};
use tokio::sync::oneshot;

use super::{MakeRoom, TaskTracker};
use crate::{
    chain::chain,
    store::{self, Pruned, StoreError},
};

/// Finished tasks dropped in one commit: few enough that other writes do not wait for it.
const PRUNE_GROUP: u32 = 256;

impl TaskTracker {
    /// Drops the oldest finished tasks while there are more than the history may hold.
    pub(super) fn prune(&mut self) {
        let finished = self.finished();
        let excess = finished.saturating_sub(self.parts.limits.history);
        // By whole groups where the history is large, so that not every finished task brings a delete with it.
        let slack = u64::from(PRUNE_GROUP).min(self.parts.limits.history / 16);
        if self.is_pruning || excess <= slack || finished <= self.unprunable {
            return;
        }
        self.is_pruning = true;
        let limit = u32::try_from(excess).unwrap_or(PRUNE_GROUP).min(PRUNE_GROUP);
        let keep = self.keep();
        self.journal(
            move |connection| store::prune(connection, limit, &keep),
            move |tracker, _, pruned| {
                tracker.is_pruning = false;
                let dropped = pruned.as_ref().map_or(0, |pruned| pruned.tasks.len());
                tracker.pruned(pruned);
                if dropped < limit as usize {
                    // The rest must stay: it is not looked through again for each task that ends.
                    tracker.unprunable = tracker.finished() + u64::from(PRUNE_GROUP);
                }
                tracker.prune();
            },
        );
    }

    /// What must stay whatever its age: tasks of a batch that is not done, and tasks that somebody waits for.
    fn keep(&self) -> impl Fn(TaskId, Option<BatchId>) -> bool + Send + 'static {
        let open: std::collections::HashSet<_> = self.open_batches.keys().copied().collect();
        let awaited = self.waiters.awaited();
        move |id, batch| batch.is_some_and(|batch| open.contains(&batch)) || awaited.contains(&id)
    }

    /// Follows a commit that dropped tasks; answers the bytes that may leave the disk now.
    fn pruned(&mut self, pruned: Result<Pruned, StoreError>) -> u64 {
        match pruned {
            Ok(pruned) => {
                for (_, state) in pruned.tasks {
                    self.count(None, Some(state), None);
                }
                pruned.unpinned_bytes
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "the history could not be pruned");
                0
            }
        }
    }
}

impl Handler<MakeRoom> for TaskTracker {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, MakeRoom { bytes }: MakeRoom, _: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let keep = self.keep();
        self.journal(
            move |connection| store::prune_pinning(connection, bytes, PRUNE_GROUP, &keep),
            move |tracker, _, pruned| {
                let tasks = pruned.as_ref().map_or(0, |pruned| pruned.tasks.len());
                let unpinned_bytes = tracker.pruned(pruned);
                tracing::info!(tasks, unpinned_bytes, "the history gave way to new artifacts");
                // A cache that gave up meanwhile finds the room the next time.
                let _ = reply.send(unpinned_bytes);
            },
        );
        Box::pin(async move { answer.await.unwrap_or(0) })
    }
}
