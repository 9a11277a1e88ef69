//! Decides which fault the next call has.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
};

use super::fault::Fault;

/// The faults of future calls.
#[derive(Debug, Default)]
pub(super) struct Script(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    by_prompt: HashMap<String, Fault>,
    queue: VecDeque<Fault>,
    otherwise: Option<Fault>,
}

impl Script {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap()
    }

    pub(super) fn append(&self, faults: impl IntoIterator<Item = Fault>) {
        self.plan().queue.extend(faults);
    }

    #[track_caller]
    pub(super) fn set_for(&self, prompt: &str, fault: Fault) {
        let is_possible = fault != Fault::ResetBeforeRequest;
        assert!(is_possible, "before a request is read, its prompt is not known: use script or always");
        self.plan().by_prompt.insert(prompt.to_owned(), fault);
    }

    pub(super) fn set_otherwise(&self, fault: Fault) {
        self.plan().otherwise = Some(fault);
    }

    pub(super) fn clear(&self) {
        *self.plan() = Plan::default();
    }

    pub(super) fn left(&self) -> usize {
        self.plan().queue.len()
    }

    /// Returns the fault of a call: that of its prompt, otherwise the next of the queue, otherwise the default.
    pub(super) fn next(&self, prompt: &str) -> Fault {
        let mut plan = self.plan();
        if let Some(fault) = plan.by_prompt.get(prompt) {
            return fault.clone();
        }
        plan.queue.pop_front().or_else(|| plan.otherwise.clone()).unwrap_or(Fault::Good)
    }

    /// Returns whether the connection shall be reset before the next request is read. The prompt is not known then.
    pub(super) fn take_reset(&self) -> bool {
        let mut plan = self.plan();
        match plan.queue.front() {
            Some(Fault::ResetBeforeRequest) => plan.queue.pop_front().is_some(),
            Some(_) => false,
            None => plan.otherwise == Some(Fault::ResetBeforeRequest),
        }
    }
}
