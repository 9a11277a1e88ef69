//! Who waits for which tasks. Pure but for the channel that ends a wait.

use std::collections::{HashMap, HashSet};

use reel_protocol::{TaskId, TaskView};
use tokio::sync::oneshot;

/// Most tasks of a wait whose answer is gathered as they end.
const GATHERED: usize = 32;
/// Longest params and metadata of one of them.
const GATHERED_BYTES: usize = 4 * 1024;

/// How a wait ended: with the tasks as they are, in the order of the answer, where all of them were seen to end.
pub type Told = Option<Vec<TaskView>>;

#[derive(Debug)]
struct Waiter {
    /// Settled or not: the answer shows all of them, so none may leave the history before.
    all: Vec<TaskId>,
    open: HashSet<TaskId>,
    is_any: bool,
    /// Those that ended, while nothing speaks against answering with them: what is gathered here need not be read when the last one ends.
    views: Option<HashMap<TaskId, TaskView>>,
    done: oneshot::Sender<Told>,
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
    ) -> (u64, oneshot::Receiver<Told>) {
        let (done, told) = oneshot::channel();
        self.next += 1;
        for task in &open {
            self.by_task.entry(*task).or_default().insert(self.next);
        }
        let is_gathered = all.len() <= GATHERED && all.iter().all(|task| open.contains(task));
        let views = is_gathered.then(HashMap::new);
        self.open.insert(self.next, Waiter { all, open, is_any, views, done });
        (self.next, told)
    }

    /// Nobody waits any more: the time was up, or the client left.
    pub fn forget(&mut self, number: u64) {
        self.remove(number);
    }

    /// Whether somebody gathers how this task ends.
    pub fn gathers(&self, task: TaskId) -> bool {
        let numbers = self.by_task.get(&task).into_iter().flatten();
        numbers.filter_map(|number| self.open.get(number)).any(|waiter| waiter.views.is_some())
    }

    /// What was gathered may not be so any more: a task that ended is to be another or to go.
    pub fn forget_views(&mut self) {
        self.open.values_mut().for_each(|waiter| waiter.views = None);
    }

    /// A task is over, as `view` shows it if that is known, or held.
    pub fn settle(&mut self, task: TaskId, view: Option<&TaskView>) {
        let view = view.filter(|view| {
            let metadata = view.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len());
            view.params.as_str().len() + metadata <= GATHERED_BYTES
        });
        for number in self.by_task.remove(&task).unwrap_or_default() {
            let Some(waiter) = self.open.get_mut(&number) else { continue };
            waiter.open.remove(&task);
            match (&mut waiter.views, view) {
                (Some(views), Some(view)) => drop(views.insert(task, view.clone())),
                (views, _) => *views = None,
            }
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
            let Waiter { all, views, done, .. } = waiter;
            let views = views.and_then(|mut views| all.iter().map(|task| views.remove(task)).collect());
            // Nobody listens where the client went away: that ends the wait as well.
            let _ = done.send(views);
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
        waiters.settle(TaskId(1), None);
        assert!(all.try_recv().is_err());
        assert!(any.try_recv().is_ok());
        assert_eq!(waiters.awaited(), tasks(&[1, 2]));
        waiters.settle(TaskId(2), None);
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

    fn view(id: u64, params: &str) -> TaskView {
        let task = serde_json::json!({
            "id": id, "rev": 3, "kind": "debug.noop", "name": null, "state": "succeeded", "hold_reason": null, "priority": 0,
            "client": "test", "batch": null, "after": [], "progress": { "fraction": 1.0, "message": "" }, "provider": null,
            "model": null, "attempts": 1, "source": "made", "created_at": "2026-01-01T00:00:00.000Z", "started_at": null,
            "finished_at": null, "not_before": null, "params": { "text": params }, "outputs": [], "error": null, "cost": null,
            "metadata": null,
        });
        serde_json::from_value(task).unwrap()
    }

    #[test]
    fn what_was_seen_to_end_is_told_in_the_order_of_the_answer() {
        let gather = |all: &[u64], end: &dyn Fn(&mut Waiters)| {
            let mut waiters = Waiters::default();
            let all: Vec<_> = all.iter().copied().map(TaskId).collect();
            let (_, mut told) = waiters.add(all, tasks(&[1, 2]), false);
            assert_eq!(waiters.gathers(TaskId(1)), waiters.gathers(TaskId(2)));
            waiters.settle(TaskId(2), Some(&view(2, "")));
            end(&mut waiters);
            told.try_recv()
                .unwrap()
                .map(|views: Vec<_>| views.into_iter().map(|view| view.id.0).collect::<Vec<_>>())
        };
        let first = |waiters: &mut Waiters| waiters.settle(TaskId(1), Some(&view(1, "")));
        assert_eq!(gather(&[1, 2], &first), Some(vec![1, 2]));
        assert_eq!(gather(&[1, 2], &|waiters| waiters.settle(TaskId(1), None)), None, "it is held");
        let large = view(1, &"x".repeat(GATHERED_BYTES));
        assert_eq!(gather(&[1, 2], &|waiters| waiters.settle(TaskId(1), Some(&large))), None);
        assert_eq!(gather(&[1, 2, 3], &first), None, "one of them was over before");
        let changed = |waiters: &mut Waiters| {
            waiters.forget_views();
            assert!(!waiters.gathers(TaskId(1)));
            first(waiters);
        };
        assert_eq!(gather(&[1, 2], &changed), None, "the second may be another by now");
    }
}
