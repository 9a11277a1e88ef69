//! Waits for tasks. They take memory from the budget. The end of a wait never affects the tasks.

use std::time::Duration;

use reel_protocol::{BatchId, TaskId};

use super::{Answer, Machine, RequestId, Shown, Surroundings, WaitOn};
use crate::tasks::{
    TaskRefusal,
    waiters::{EndedWait, Waiters},
};

impl<S: Surroundings> Machine<S> {
    pub(super) fn wait(&mut self, request: RequestId, on: WaitOn, is_any: bool, timeout: Option<Duration>) {
        let bytes = match &on {
            WaitOn::Tasks(ids) => Waiters::bytes(ids.len()),
            WaitOn::Batch { .. } => Waiters::bytes(0),
        };
        if self.is_over(&on, is_any) {
            let shown = match on {
                WaitOn::Tasks(ids) => Shown::Tasks(ids),
                WaitOn::Batch { batch, .. } => Shown::Batch(batch),
            };
            return self.answer(request, Answer::Waited { shown, timed_out: false });
        }
        match self.around.reserve(bytes) {
            Ok(()) => self.begin_wait(request, on, is_any, timeout, bytes),
            Err(over) => self.refuse(request, TaskRefusal::OverMemory(over)),
        }
    }

    /// Waits for the task of a call. The task was accepted, so the wait is not refused, even if the memory budget has no room for it: it is small.
    pub(super) fn wait_for_call(&mut self, request: RequestId, id: TaskId, timeout: Option<Duration>) {
        let on = WaitOn::Tasks(vec![id]);
        if self.is_over(&on, false) {
            let shown = Shown::Tasks(vec![id]);
            return self.answer(request, Answer::Waited { shown, timed_out: false });
        }
        let bytes = Waiters::bytes(1);
        let held = self.around.reserve(bytes).map_or(0, |()| bytes);
        self.begin_wait(request, on, false, timeout, held);
    }

    fn begin_wait(
        &mut self,
        request: RequestId,
        on: WaitOn,
        is_any: bool,
        timeout: Option<Duration>,
        bytes: u64,
    ) {
        match on {
            WaitOn::Tasks(ids) => {
                let live = &self.live;
                let is_open = |id| live.get(&id).is_some_and(|task| !task.state.is_settled());
                self.waiters.add_tasks(request, ids, is_any, bytes, is_open);
            }
            WaitOn::Batch { batch, .. } => self.waiters.add_batch(request, batch, is_any, bytes),
        }
        if let Some(timeout) = timeout {
            self.timers.add_wait(self.now.moment + timeout, request);
        }
    }

    /// Whether a wait would end at once.
    fn is_over(&self, on: &WaitOn, is_any: bool) -> bool {
        match on {
            WaitOn::Tasks(ids) => {
                let is_open = |id: &TaskId| self.live.get(id).is_some_and(|task| !task.state.is_settled());
                let mut open = ids.iter().map(is_open);
                if is_any { open.any(|is_open| !is_open) } else { !open.any(|is_open| is_open) }
            }
            WaitOn::Batch { batch, has_settled } => self.unsettled(*batch) == 0 || (is_any && *has_settled),
        }
    }

    /// Returns the number of tasks of the batch that are neither finished nor held.
    fn unsettled(&self, batch: BatchId) -> u64 {
        self.batches.get(&batch).map_or(0, |batch| batch.unsettled)
    }

    /// Answers the waits that end because a task is finished or held.
    pub(super) fn end_waits_for(&mut self, id: TaskId, batch: Option<BatchId>) {
        let unsettled = batch.map_or(0, |batch| self.unsettled(batch));
        for ended in self.waiters.settle(id, batch, unsettled) {
            self.answer_wait(ended, false);
        }
    }

    /// Ends a wait because a task of its batch was settled before. A wait that has ended meanwhile is ignored.
    pub(super) fn end_settled_wait(&mut self, request: RequestId) {
        if let Some(ended) = self.waiters.remove(request) {
            self.answer_wait(ended, false);
        }
    }

    /// Ends a wait because its timeout has passed, or its client has gone.
    pub(super) fn end_wait(&mut self, request: RequestId) {
        if let Some(ended) = self.waiters.remove(request) {
            self.answer_wait(ended, true);
        }
    }

    /// Called when the client of a request has gone. Its wait ends. Tasks that it submitted continue.
    pub(super) fn stop_waiting_for_answer(&mut self, request: RequestId) {
        self.end_wait(request);
        self.forget_caller(request);
    }

    fn answer_wait(&mut self, ended: EndedWait, timed_out: bool) {
        let EndedWait { request, shown, bytes } = ended;
        self.around.give_back(bytes);
        self.timers.remove_wait(request);
        self.answer(request, Answer::Waited { shown, timed_out });
    }
}
