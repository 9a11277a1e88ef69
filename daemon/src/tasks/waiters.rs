//! Tracks which requests wait for which tasks. Pure.
//!
//! A wait for ids is a list of ids and a counter. A wait for a batch is one entry at the batch, whose unsettled tasks are counted anyway. So a client
//! that waits a thousand times for a batch of a hundred thousand tasks costs a thousand entries.

use std::collections::{BTreeSet, HashMap};

use reel_protocol::{BatchId, TaskId};

use super::machine::{RequestId, Shown};

/// Memory of a wait in bytes, without its ids.
pub const WAIT_BYTES: u64 = 256;
/// Most memory of each id of a wait, in bytes. The id is stored once in the wait, and once at its task in a list that grew by doubling.
pub const WAITED_ID_BYTES: u64 = 32;

#[derive(Debug)]
struct Wait {
    shown: Shown,
    /// Number of tasks that are not settled. It is 0 for a wait for a batch, whose unsettled tasks are counted elsewhere.
    open: usize,
    is_any: bool,
    bytes: u64,
}

/// The waits for one task.
#[derive(Debug, Default)]
struct Watched {
    /// Waits that end when this task is settled, and some that have ended already.
    waits: Vec<RequestId>,
    /// Number of waits whose answer shows this task, settled or not. Tasks with such a wait may not leave the history.
    shown_by: usize,
}

/// All waits, each identified by the request that it answers.
#[derive(Debug, Default)]
pub struct Waiters {
    waits: HashMap<RequestId, Wait>,
    by_task: HashMap<TaskId, Watched>,
    by_batch: HashMap<BatchId, BTreeSet<RequestId>>,
}

/// A wait that has ended.
#[derive(Debug)]
pub struct EndedWait {
    /// The request to answer.
    pub request: RequestId,
    /// The tasks that the answer shows.
    pub shown: Shown,
    /// The bytes of memory that were reserved for it.
    pub bytes: u64,
}

impl Waiters {
    /// Returns the memory that a wait for `ids` ids takes, in bytes.
    pub const fn bytes(ids: usize) -> u64 {
        WAIT_BYTES + WAITED_ID_BYTES * ids as u64
    }

    /// Adds a wait for those of `ids` for which `is_open` returns true. It ends when all of them are settled, or with `is_any` when one of them is.
    pub fn add_tasks(
        &mut self,
        request: RequestId,
        ids: Vec<TaskId>,
        is_any: bool,
        bytes: u64,
        is_open: impl Fn(TaskId) -> bool,
    ) {
        let mut open = 0;
        for id in &ids {
            let watched = self.by_task.entry(*id).or_default();
            watched.shown_by += 1;
            // An id that the request names twice is counted once.
            if is_open(*id) && watched.waits.last() != Some(&request) {
                watched.waits.push(request);
                open += 1;
            }
        }
        self.waits.insert(request, Wait { shown: Shown::Tasks(ids), open, is_any, bytes });
    }

    /// Adds a wait for a batch. It ends when all of its tasks are settled, or with `is_any` when one of them is.
    pub fn add_batch(&mut self, request: RequestId, batch: BatchId, is_any: bool, bytes: u64) {
        self.by_batch.entry(batch).or_default().insert(request);
        self.waits.insert(request, Wait { shown: Shown::Batch(batch), open: 0, is_any, bytes });
    }

    /// Records that a task is settled. Returns the waits that end with it. `unsettled` is the number of tasks of its batch that are not settled.
    pub fn settle(&mut self, task: TaskId, batch: Option<BatchId>, unsettled: u64) -> Vec<EndedWait> {
        let mut over = Vec::new();
        let waits = self.by_task.get_mut(&task).map(|watched| std::mem::take(&mut watched.waits));
        for request in waits.unwrap_or_default() {
            let Some(wait) = self.waits.get_mut(&request) else { continue };
            wait.open -= 1;
            if wait.is_any || wait.open == 0 {
                over.push(request);
            }
        }
        if let Some(waits) = batch.and_then(|batch| self.by_batch.get(&batch)) {
            let is_over = |request: &RequestId| {
                unsettled == 0 || self.waits.get(request).is_some_and(|wait| wait.is_any)
            };
            over.extend(waits.iter().copied().filter(is_over));
        }
        over.sort_unstable();
        over.into_iter().filter_map(|request| self.remove(request)).collect()
    }

    /// Ends a wait early, because its timeout has passed or its client has gone. None if there is no such wait.
    pub fn remove(&mut self, request: RequestId) -> Option<EndedWait> {
        let Wait { shown, bytes, .. } = self.waits.remove(&request)?;
        match &shown {
            Shown::Tasks(ids) => ids.iter().for_each(|id| self.forget_task(*id)),
            Shown::Batch(batch) => {
                if let Some(waits) = self.by_batch.get_mut(batch) {
                    waits.remove(&request);
                    if waits.is_empty() {
                        self.by_batch.remove(batch);
                    }
                }
            }
        }
        Some(EndedWait { request, shown, bytes })
    }

    /// Records that one wait fewer shows the task. Ended waits are removed from its list once they are the larger part.
    fn forget_task(&mut self, id: TaskId) {
        let Some(watched) = self.by_task.get_mut(&id) else { return };
        watched.shown_by -= 1;
        if watched.shown_by == 0 {
            self.by_task.remove(&id);
        } else if watched.waits.len() > 2 * watched.shown_by + 8 {
            let waits = &self.waits;
            watched.waits.retain(|request| waits.contains_key(request));
        }
    }

    /// Returns the tasks that the answer to some wait shows.
    pub fn shown_tasks(&self) -> impl Iterator<Item = TaskId> {
        self.by_task.keys().copied()
    }

    /// Returns the batches that some wait is for.
    pub fn shown_batches(&self) -> impl Iterator<Item = BatchId> {
        self.by_batch.keys().copied()
    }

    /// Returns the number of waits.
    pub fn len(&self) -> usize {
        self.waits.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: BatchId = BatchId(9);

    fn ids(ids: &[u64]) -> Vec<TaskId> {
        ids.iter().copied().map(TaskId).collect()
    }

    fn over(ended: &[EndedWait]) -> Vec<RequestId> {
        ended.iter().map(|ended| ended.request).collect()
    }

    #[test]
    fn all_waits_for_the_last_and_any_for_the_first() {
        let mut waiters = Waiters::default();
        waiters.add_tasks(1, ids(&[1, 2, 2, 3]), false, 8, |id| id != TaskId(3));
        waiters.add_tasks(2, ids(&[1, 2]), true, 8, |_| true);
        assert_eq!(over(&waiters.settle(TaskId(1), None, 0)), [2]);
        // The task was held before and is finished after: it counts as settled once.
        assert!(waiters.settle(TaskId(1), None, 0).is_empty());
        let mut shown: Vec<_> = waiters.shown_tasks().map(|id| id.0).collect();
        shown.sort_unstable();
        assert_eq!(shown, [1, 2, 3]);
        let ended = waiters.settle(TaskId(2), None, 0);
        assert_eq!(over(&ended), [1]);
        assert!(matches!(&ended[0].shown, Shown::Tasks(shown) if *shown == ids(&[1, 2, 2, 3])));
        assert!(waiters.waits.is_empty() && waiters.by_task.is_empty());
    }

    #[test]
    fn a_batch_is_waited_for_until_none_of_it_is_unsettled() {
        let mut waiters = Waiters::default();
        waiters.add_batch(1, BATCH, false, 8);
        waiters.add_batch(2, BATCH, true, 8);
        assert_eq!(over(&waiters.settle(TaskId(1), Some(BATCH), 1)), [2]);
        assert!(waiters.settle(TaskId(5), None, 0).is_empty());
        assert_eq!(waiters.shown_batches().collect::<Vec<_>>(), [BATCH]);
        assert_eq!(over(&waiters.settle(TaskId(2), Some(BATCH), 0)), [1]);
        assert!(waiters.waits.is_empty() && waiters.by_batch.is_empty());
    }

    #[test]
    fn waits_that_come_and_go_beside_one_that_stays_leave_nothing() {
        let mut waiters = Waiters::default();
        waiters.add_tasks(0, ids(&[1]), false, 8, |_| true);
        for request in 1..10_000 {
            waiters.add_tasks(request, ids(&[1, 2]), false, 8, |_| true);
            assert_eq!(waiters.remove(request).map(|ended| ended.bytes), Some(8));
        }
        assert!(waiters.by_task[&TaskId(1)].waits.len() < 16);
        assert!(!waiters.by_task.contains_key(&TaskId(2)));
        assert_eq!(over(&waiters.settle(TaskId(1), None, 0)), [0]);
        assert_eq!((waiters.len(), waiters.by_task.len()), (0, 0));
    }
}
