//! Which tasks wait for which. Pure.

use std::collections::{HashMap, HashSet};

use reel_protocol::TaskId;

/// The open dependencies of all waiting tasks.
#[derive(Debug, Default)]
pub struct Dependencies {
    needs: HashMap<TaskId, HashSet<TaskId>>,
    dependants: HashMap<TaskId, HashSet<TaskId>>,
}

impl Dependencies {
    /// `task` waits until all of `needs` have succeeded.
    pub fn add(&mut self, task: TaskId, needs: impl IntoIterator<Item = TaskId>) {
        for needed in needs {
            self.needs.entry(task).or_default().insert(needed);
            self.dependants.entry(needed).or_default().insert(task);
        }
    }

    /// Whether the task still waits.
    pub fn is_waiting(&self, task: TaskId) -> bool {
        self.needs.contains_key(&task)
    }

    /// `needed` succeeded: the tasks that wait for nothing more, in the order of their ids.
    pub fn succeed(&mut self, needed: TaskId) -> Vec<TaskId> {
        let mut ready = Vec::new();
        for task in self.dependants.remove(&needed).unwrap_or_default() {
            if let Some(needs) = self.needs.get_mut(&task) {
                needs.remove(&needed);
                if needs.is_empty() {
                    self.needs.remove(&task);
                    ready.push(task);
                }
            }
        }
        ready.sort_unstable();
        ready
    }

    /// `needed` will not succeed: the tasks that waited for it, in the order of their ids.
    pub fn fail(&mut self, needed: TaskId) -> Vec<TaskId> {
        let mut failed: Vec<_> = self.dependants.remove(&needed).unwrap_or_default().into_iter().collect();
        failed.sort_unstable();
        failed
    }

    /// The task waits no more, whatever becomes of what it needed.
    pub fn forget(&mut self, task: TaskId) {
        for needed in self.needs.remove(&task).unwrap_or_default() {
            if let Some(dependants) = self.dependants.get_mut(&needed) {
                dependants.remove(&task);
                if dependants.is_empty() {
                    self.dependants.remove(&needed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_ready_when_its_last_need_succeeded() {
        let mut dependencies = Dependencies::default();
        dependencies.add(TaskId(3), [TaskId(1), TaskId(2), TaskId(2)]);
        dependencies.add(TaskId(4), [TaskId(1)]);
        assert_eq!(dependencies.succeed(TaskId(1)), [TaskId(4)]);
        assert!(dependencies.is_waiting(TaskId(3)));
        assert_eq!(dependencies.succeed(TaskId(2)), [TaskId(3)]);
        assert!(dependencies.needs.is_empty() && dependencies.dependants.is_empty());
    }

    #[test]
    fn a_failure_names_all_that_waited_and_forgetting_leaves_nothing() {
        let mut dependencies = Dependencies::default();
        dependencies.add(TaskId(3), [TaskId(1), TaskId(2)]);
        dependencies.add(TaskId(4), [TaskId(1)]);
        assert_eq!(dependencies.fail(TaskId(1)), [TaskId(3), TaskId(4)]);
        dependencies.forget(TaskId(3));
        dependencies.forget(TaskId(4));
        assert!(dependencies.needs.is_empty() && dependencies.dependants.is_empty());
    }
}
