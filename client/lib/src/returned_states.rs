//! Remembers which state of each followed task was returned last, so that each change is returned once and none after a later one. Pure.

use std::collections::{HashMap, HashSet};

use reel_protocol::{Progress, TaskId, TaskState, TaskView};

/// The last returned state of each task.
#[derive(Debug, Default)]
pub(crate) struct ReturnedStates {
    tasks: HashMap<TaskId, LastState>,
    /// Number of tasks in the map that are neither finished nor held.
    pub(crate) open: usize,
    /// Whether tasks that do not run are kept too. If the set of followed tasks is unbounded, keeping them would grow without limit.
    pub(crate) keeps_all: bool,
}

#[derive(Debug, Clone)]
struct LastState {
    rev: u64,
    state: TaskState,
    progress: Progress,
}

impl ReturnedStates {
    /// Starts with no states. `keeps_all` says whether tasks that do not run are kept too.
    pub(crate) fn new(keeps_all: bool) -> Self {
        Self { keeps_all, ..Self::default() }
    }

    /// Records a task's state. False if this state or a later one was recorded before. Progress has no revision of its own; within a revision of the
    /// task it only grows.
    pub(crate) fn take(&mut self, id: TaskId, rev: u64, state: TaskState, progress: &Progress) -> bool {
        let known = self.tasks.get(&id);
        let is_news = known.is_none_or(|known| {
            let is_further = progress.fraction > known.progress.fraction
                || (progress.fraction >= known.progress.fraction
                    && progress.message != known.progress.message);
            rev > known.rev || (rev == known.rev && is_further)
        });
        if is_news {
            self.remove(id);
            self.open += usize::from(!state.is_settled());
            self.tasks.insert(id, LastState { rev, state, progress: progress.clone() });
        }
        is_news
    }

    /// Records tasks that were accepted and whose state is not known yet.
    pub(crate) fn expect(&mut self, ids: impl IntoIterator<Item = TaskId>) {
        for id in ids {
            self.take(id, 0, TaskState::Queued, &Progress::default());
        }
    }

    /// Forgets the task. Returns whether it was recorded.
    pub(crate) fn remove(&mut self, id: TaskId) -> bool {
        let known = self.tasks.remove(&id);
        self.open -= usize::from(known.as_ref().is_some_and(|known| !known.state.is_settled()));
        known.is_some()
    }

    /// Forgets the task unless it runs, if the set of followed tasks is unbounded.
    pub(crate) fn forget_unless_running(&mut self, id: TaskId) {
        if !self.keeps_all && self.tasks.get(&id).is_some_and(|known| known.state != TaskState::Running) {
            self.remove(id);
        }
    }

    /// Forgets tasks that an earlier gap left in the map: no event of the earlier subscription can arrive any more.
    pub(crate) fn forget_ended(&mut self) {
        if !self.keeps_all {
            self.tasks.retain(|_, known| known.state == TaskState::Running);
            self.open = self.tasks.len();
        }
    }

    /// Returns the tasks that are neither finished nor held, except for those in `found`.
    pub(crate) fn open_except(&self, found: &[TaskView]) -> Vec<TaskId> {
        let found: HashSet<TaskId> = found.iter().map(|task| task.id).collect();
        let open = self.tasks.iter().filter(|(id, known)| !known.state.is_settled() && !found.contains(id));
        open.map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(fraction: f64, message: &str) -> Progress {
        Progress { fraction, message: message.to_owned() }
    }

    #[test]
    fn each_change_is_news_once_and_none_after_a_later_one() {
        use TaskState::{Queued, Running, Succeeded};
        let mut returned = ReturnedStates { keeps_all: true, ..ReturnedStates::default() };
        for (rev, state, fraction, message, is_news, open) in [
            (1, Queued, 0.0, "", true, 1),
            (2, Running, 0.0, "", true, 1),
            (1, Queued, 0.0, "", false, 1),
            (2, Running, 0.5, "water", true, 1),
            (2, Running, 0.5, "water", false, 1),
            (2, Running, 0.4, "sky", false, 1),
            (2, Running, 0.5, "boats", true, 1),
            (3, Queued, 0.0, "", true, 1),
            (2, Running, 0.9, "late", false, 1),
            (4, Succeeded, 1.0, "", true, 0),
            (4, Succeeded, 1.0, "", false, 0),
        ] {
            let found = returned.take(TaskId(7), rev, state, &progress(fraction, message));
            assert_eq!((found, returned.open), (is_news, open), "{rev} {state:?} {fraction} {message}");
        }
        assert!(returned.remove(TaskId(7)) && !returned.remove(TaskId(7)));
    }

    #[test]
    fn what_is_expected_is_open_until_it_is_told() {
        let mut returned = ReturnedStates { keeps_all: true, ..ReturnedStates::default() };
        returned.expect([TaskId(7), TaskId(8)]);
        assert_eq!((returned.open, returned.open_except(&[]).len()), (2, 2));
        assert!(returned.take(TaskId(7), 1, TaskState::Succeeded, &progress(1.0, "")));
        assert!(returned.remove(TaskId(8)) && returned.open == 0);
    }

    #[test]
    fn a_view_of_everything_remembers_only_what_runs() {
        let mut returned = ReturnedStates::default();
        for (id, state) in [(1, TaskState::Queued), (2, TaskState::Running), (3, TaskState::Failed)] {
            assert!(returned.take(TaskId(id), 1, state, &progress(0.0, "")));
            returned.forget_unless_running(TaskId(id));
        }
        assert_eq!((returned.tasks.len(), returned.open, returned.open_except(&[])), (1, 1, vec![TaskId(2)]));
        // A state that was read after a gap is kept until the next gap, because the task's last event may still arrive and must not count as a
        // change.
        assert!(returned.take(TaskId(2), 2, TaskState::Succeeded, &progress(1.0, "")));
        assert!(!returned.take(TaskId(2), 2, TaskState::Succeeded, &progress(1.0, "")));
        returned.forget_ended();
        assert_eq!((returned.tasks.len(), returned.open), (0, 0));
    }
}
