//! Who waits for which tasks. Pure but for the channel that ends a wait.

use std::collections::{HashMap, HashSet};

use reel_protocol::TaskId;
use tokio::sync::oneshot;

#[derive(Debug)]
struct Waiter {
    /// Settled or not: the answer shows all of them, so none may leave the history before.
    all: Vec<TaskId>,
    open: HashSet<TaskId>,
    is_any: bool,
    done: oneshot::Sender<()>,
}

/// All waits.
#[derive(Debug, Default)]
pub struct Waiters {
    open: HashMap<u64, Waiter>,
    by_task: HashMap<TaskId, HashSet<u64>>,
    next: u64,
}

impl Waiters {
    /// Waits until all of `open`, or any of them, are settled; `all` are shown in the answer. The number is for
    /// [`Waiters::forget`].
    pub fn add(
        &mut self,
        all: Vec<TaskId>,
        open: HashSet<TaskId>,
        is_any: bool,
    ) -> (u64, oneshot::Receiver<()>) {
        let (done, told) = oneshot::channel();
        self.next += 1;
        for task in &open {
            self.by_task.entry(*task).or_default().insert(self.next);
        }
        self.open.insert(self.next, Waiter { all, open, is_any, done });
        (self.next, told)
    }

    /// Nobody waits any more: the time was up, or the client left.
    pub fn forget(&mut self, number: u64) {
        self.remove(number);
    }

    /// A task is over or held.
    pub fn settle(&mut self, task: TaskId) {
        for number in self.by_task.remove(&task).unwrap_or_default() {
            let Some(waiter) = self.open.get_mut(&number) else { continue };
            waiter.open.remove(&task);
            if waiter.is_any || waiter.open.is_empty() {
                self.end(number);
            }
        }
    }

    /// The tasks that somebody still waits for.
    pub fn awaited(&self) -> HashSet<TaskId> {
        self.open.values().flat_map(|waiter| waiter.all.iter().copied()).collect()
    }

    fn end(&mut self, number: u64) {
        if let Some(waiter) = self.remove(number) {
            // Nobody listens where the client went away: that ends the wait as well.
            let _ = waiter.done.send(());
        }
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.open.remove(&number)?;
        for task in &waiter.open {
            if let Some(numbers) = self.by_task.get_mut(task) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_task.remove(task);
                }
            }
        }
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(ids: &[u64]) -> HashSet<TaskId> {
        ids.iter().copied().map(TaskId).collect()
    }

    #[test]
    fn all_waits_for_the_last_and_any_for_the_first() {
        let mut waiters = Waiters::default();
        let (_, mut all) = waiters.add(vec![TaskId(1), TaskId(2)], tasks(&[1, 2]), false);
        let (_, mut any) = waiters.add(vec![], tasks(&[1, 2]), true);
        waiters.settle(TaskId(1));
        assert!(all.try_recv().is_err());
        assert!(any.try_recv().is_ok());
        assert_eq!(waiters.awaited(), tasks(&[1, 2]));
        waiters.settle(TaskId(2));
        assert!(all.try_recv().is_ok());
        assert!(waiters.open.is_empty() && waiters.by_task.is_empty());
    }

    #[test]
    fn a_forgotten_wait_leaves_nothing() {
        let mut waiters = Waiters::default();
        let (number, _) = waiters.add(vec![TaskId(1)], tasks(&[1, 2]), false);
        waiters.forget(number);
        assert!(waiters.open.is_empty() && waiters.by_task.is_empty());
    }
}
