//! Tracks which tasks wait for which other tasks. Pure.
//!
//! There may be tens of millions of edges, so an edge is one number of eight bytes: the entry of a waiting task in the list of the task that it
//! needs. When a task stops waiting, its entries become stale. Stale entries are skipped, and removed once they outnumber the others.

use std::collections::HashMap;

use reel_protocol::TaskId;

/// Most memory that an edge takes, in bytes: an entry of 8 bytes in a list that grew by doubling.
pub const EDGE_BYTES: u64 = 16;

/// Number of stale entries that are always tolerated, because removing fewer saves nothing.
const FEW_STALE: u64 = 4_096;

/// Identifies one period of waiting of a task. A task that waits again gets another number, so that its old entries stay stale.
type Waiting = u64;

#[derive(Debug)]
struct Open {
    task: TaskId,
    /// Number of tasks that it needs and that have not succeeded.
    needs: u64,
}

/// The open dependencies of all waiting tasks.
#[derive(Debug, Default)]
pub struct Dependencies {
    open: HashMap<Waiting, Open>,
    by_task: HashMap<TaskId, Waiting>,
    dependants: HashMap<TaskId, Vec<Waiting>>,
    next: Waiting,
    /// Number of entries of tasks that still wait. `stale_edges` counts the entries of tasks that stopped waiting.
    live_edges: u64,
    stale_edges: u64,
}

impl Dependencies {
    /// Makes `task` wait until all of `needs` have succeeded. This replaces what it waited for before.
    pub fn add(&mut self, task: TaskId, mut needs: Vec<TaskId>) {
        self.forget(task);
        needs.sort_unstable();
        needs.dedup();
        if needs.is_empty() {
            return;
        }
        self.next += 1;
        for needed in &needs {
            self.dependants.entry(*needed).or_default().push(self.next);
        }
        let needs = needs.len() as u64;
        self.live_edges += needs;
        self.open.insert(self.next, Open { task, needs });
        self.by_task.insert(task, self.next);
    }

    /// Whether the task waits for other tasks.
    pub fn is_waiting(&self, task: TaskId) -> bool {
        self.by_task.contains_key(&task)
    }

    /// Records that `needed` succeeded. Returns the tasks that wait for nothing else, in the order of their ids.
    pub fn succeed(&mut self, needed: TaskId) -> Vec<TaskId> {
        let mut ready = Vec::new();
        for waiting in self.dependants.remove(&needed).unwrap_or_default() {
            let Some(open) = self.open.get_mut(&waiting) else {
                self.stale_edges -= 1;
                continue;
            };
            self.live_edges -= 1;
            open.needs -= 1;
            if open.needs == 0 {
                let task = open.task;
                self.open.remove(&waiting);
                self.by_task.remove(&task);
                ready.push(task);
            }
        }
        ready.sort_unstable();
        ready
    }

    /// Records that `needed` will not succeed. Returns the tasks that waited for it, in the order of their ids, and makes them wait for nothing.
    pub fn fail(&mut self, needed: TaskId) -> Vec<TaskId> {
        let listed = self.dependants.remove(&needed).unwrap_or_default();
        let mut failed: Vec<_> =
            listed.iter().filter_map(|waiting| Some(self.open.get(waiting)?.task)).collect();
        self.live_edges -= failed.len() as u64;
        self.stale_edges -= (listed.len() - failed.len()) as u64;
        for waiting in listed {
            if let Some(open) = self.open.get_mut(&waiting) {
                open.needs -= 1;
            }
        }
        for task in &failed {
            self.forget(*task);
        }
        failed.sort_unstable();
        failed
    }

    /// Makes the task wait for nothing, whatever happens to the tasks that it needed.
    pub fn forget(&mut self, task: TaskId) {
        let Some(open) = self.by_task.remove(&task).and_then(|waiting| self.open.remove(&waiting)) else {
            return;
        };
        self.live_edges -= open.needs;
        self.stale_edges += open.needs;
        if self.stale_edges > self.live_edges + FEW_STALE {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let open = &self.open;
        self.dependants.retain(|_, listed| {
            listed.retain(|waiting| open.contains_key(waiting));
            listed.shrink_to_fit();
            !listed.is_empty()
        });
        self.stale_edges = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn ids(ids: &[u64]) -> Vec<TaskId> {
        ids.iter().copied().map(TaskId).collect()
    }

    #[test]
    fn a_task_is_ready_when_its_last_need_succeeded() {
        let mut dependencies = Dependencies::default();
        dependencies.add(TaskId(3), ids(&[1, 2, 2]));
        dependencies.add(TaskId(4), ids(&[1]));
        assert_eq!(dependencies.succeed(TaskId(1)), [TaskId(4)]);
        assert!(dependencies.is_waiting(TaskId(3)));
        assert_eq!(dependencies.succeed(TaskId(2)), [TaskId(3)]);
        assert!(dependencies.open.is_empty() && dependencies.dependants.is_empty());
    }

    #[test]
    fn a_failure_names_all_that_waited() {
        let mut dependencies = Dependencies::default();
        dependencies.add(TaskId(3), ids(&[1, 2]));
        dependencies.add(TaskId(4), ids(&[1]));
        assert_eq!(dependencies.fail(TaskId(1)), ids(&[3, 4]));
        assert!(dependencies.succeed(TaskId(2)).is_empty());
        assert!(dependencies.open.is_empty() && dependencies.by_task.is_empty());
    }

    #[test]
    fn tasks_that_come_and_go_behind_one_that_stays_leave_no_entries() {
        let mut dependencies = Dependencies::default();
        for task in 0..100_000 {
            dependencies.add(TaskId(task), ids(&[900_000, 900_001]));
            dependencies.forget(TaskId(task));
        }
        let entries: usize = dependencies.dependants.values().map(Vec::len).sum();
        assert!(entries as u64 <= FEW_STALE + 2, "{entries}");
    }

    #[test]
    fn ten_million_edges_take_eight_bytes_each_and_are_gone_through_at_once() {
        let mut dependencies = Dependencies::default();
        for task in 0..10_000 {
            dependencies.add(TaskId(10_000 + task), (0..1_000).map(TaskId).collect());
        }
        let held: usize = dependencies.dependants.values().map(Vec::capacity).sum();
        assert!(held * size_of::<Waiting>() <= 10_000_000 * EDGE_BYTES as usize + 64_000, "{held}");
        let freed: usize = (0..1_000).map(|needed| dependencies.succeed(TaskId(needed)).len()).sum();
        assert_eq!(freed, 10_000);
        assert_eq!((dependencies.live_edges, dependencies.stale_edges), (0, 0));
    }

    proptest! {
        #[test]
        fn a_simple_account_agrees(
            steps in prop::collection::vec((0..4_u8, 0..6_u64, prop::collection::vec(10..16_u64, 0..5)), 0..60)
        ) {
            let mut dependencies = Dependencies::default();
            let mut account: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
            for (step, task, needs) in steps {
                let needed = 10 + task;
                let waiters = |account: &BTreeMap<u64, BTreeSet<u64>>| -> Vec<u64> {
                    account.iter().filter(|(_, needs)| needs.contains(&needed)).map(|(task, _)| *task).collect()
                };
                match step {
                    0 | 1 => {
                        dependencies.add(TaskId(task), ids(&needs));
                        account.remove(&task);
                        if !needs.is_empty() {
                            account.insert(task, needs.into_iter().collect());
                        }
                    }
                    2 => {
                        dependencies.forget(TaskId(task));
                        account.remove(&task);
                    }
                    _ if needs.len() > 2 => {
                        let failed = waiters(&account);
                        prop_assert_eq!(dependencies.fail(TaskId(needed)), ids(&failed));
                        for task in failed {
                            account.remove(&task);
                        }
                    }
                    _ => {
                        let mut ready = Vec::new();
                        for task in waiters(&account) {
                            let open = account.get_mut(&task).unwrap();
                            open.remove(&needed);
                            if open.is_empty() {
                                account.remove(&task);
                                ready.push(task);
                            }
                        }
                        prop_assert_eq!(dependencies.succeed(TaskId(needed)), ids(&ready));
                    }
                }
                let edges: usize = account.values().map(BTreeSet::len).sum();
                prop_assert_eq!(dependencies.live_edges, edges as u64);
                let entries: usize = dependencies.dependants.values().map(Vec::len).sum();
                prop_assert_eq!(dependencies.live_edges + dependencies.stale_edges, entries as u64);
            }
        }
    }
}
