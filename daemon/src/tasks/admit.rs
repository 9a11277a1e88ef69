//! How accepted tasks come into the tracker's memory once they are on disk: few in one turn, many a slice a turn, as nobody else shall wait
//! for ten thousand.
//!
//! All of them are live from the first turn on, so that no list, wait or dependency ever sees a part of a batch. Until one stands in its
//! queue it counts as on its way to disk, and whatever is decided about it waits; nothing starts until the last one stands there.

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use reel_protocol::{TaskId, TaskState};
use tokio::task::yield_now;

use super::{TaskTracker, live::LiveTask};

/// Tasks that enter their queues in one turn: some microseconds each. Two in tests, so that small batches take turns too.
const ADMITTED_AT_ONCE: usize = if cfg!(test) { 2 } else { 256 };

/// An accepted task, and the dependencies that are not finished yet, or the one that failed.
pub(super) type Accepted = (LiveTask, Result<Vec<TaskId>, TaskId>);

impl TaskTracker {
    /// Takes in the tasks of one request; `then` gets where the first one stands, and runs once all are in.
    pub(super) fn admit(
        &mut self,
        ctx: &mut Context<Self>,
        tasks: Vec<Accepted>,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Option<TaskState>) + 'static,
    ) {
        self.live.reserve(tasks.len());
        let mut ids = Vec::with_capacity(tasks.len());
        let mut first = None;
        for (task, open) in tasks {
            ids.push(task.id);
            let state = self.take_live(ctx, task, open);
            first.get_or_insert(state);
        }
        self.admitting += 1;
        self.enter_queues(ctx, ids.into_iter(), move |tracker, ctx| {
            tracker.admitting -= 1;
            then(tracker, ctx, first);
        });
    }

    fn take_live(
        &mut self,
        ctx: &mut Context<Self>,
        mut task: LiveTask,
        open: Result<Vec<TaskId>, TaskId>,
    ) -> TaskState {
        let id = task.id;
        let is_waiting = !matches!(&open, Ok(open) if open.is_empty());
        let state = if is_waiting { TaskState::Waiting } else { TaskState::Queued };
        task.state = state;
        task.is_committing = true;
        self.count(task.batch, None, Some(state));
        if let Some(deadline) = task.deadline {
            self.deadlines.insert((deadline, id));
            self.wake_at(ctx, deadline);
        }
        self.parts.events.task("accepted", || task.event(None, None));
        self.live.insert(id, Box::new(task));
        match open {
            Ok(open) => self.dependencies.add(id, open),
            Err(failed) => self.fail_dependant(ctx, id, failed),
        }
        state
    }

    fn enter_queues(
        &mut self,
        ctx: &mut Context<Self>,
        mut ids: std::vec::IntoIter<TaskId>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        for id in ids.by_ref().take(ADMITTED_AT_ONCE) {
            self.settle_admission(ctx, id);
        }
        if ids.len() == 0 {
            return then(self, ctx);
        }
        let next_turn = yield_now().into_actor(self);
        ctx.spawn(next_turn.map(move |(), tracker, ctx| tracker.enter_queues(ctx, ids, then)));
    }

    fn settle_admission(&mut self, ctx: &mut Context<Self>, id: TaskId) {
        let Some(task) = self.live.get_mut(&id) else { return };
        if task.run.is_some() {
            // It leads its flight and has its slot; the begin of its attempt is on its way to disk, and what waits for that waits on.
            return;
        }
        task.is_committing = false;
        let deferred = std::mem::take(&mut task.deferred);
        if task.state == TaskState::Queued {
            self.enter_queue(ctx, id);
        }
        for decide in deferred {
            // Entering may have brought a step of its own, which it waits for then.
            self.when_settled(ctx, id, decide);
        }
    }
}
