//! Adds to the view of a task what the journal does not contain: its progress, and what keeps it from starting.

use reel_protocol::{TaskState, TaskView, Timestamp, WaitReason};

use super::{Closed, Machine, Moment, Now, Surroundings};
use crate::tasks::{
    live::LiveTask,
    wait_reason::{TaskConditions, wait_reason},
};

impl<S: Surroundings> Machine<S> {
    /// Adds what the machine knows to a view that was read from the journal, if both have the same revision.
    pub fn overlay(&self, view: &mut TaskView, now: Now) {
        let Some(task) = self.live.get(&view.id).filter(|task| task.rev == view.rev) else { return };
        let closed = task.target().and_then(|target| self.around.why_not(&target));
        view.progress = task.progress.clone();
        view.wait_reason = self.wait_reason(task, closed);
        if task.state != TaskState::Queued {
            return;
        }
        if let Some(provider) = task.plan.provider() {
            view.provider = Some(provider.to_string());
            let model = task.plan.candidates.first().and_then(|first| first.model.as_deref());
            view.model = model.map(str::to_owned).or(view.model.take());
        }
        if self.flights.leads_or_alone(task.id) {
            let until = task.delayed_until.max(closed.and_then(|closed| closed.until));
            view.not_before = until.map(|until| shown(until, view.not_before, now));
        }
    }

    fn wait_reason(&self, task: &LiveTask, closed: Option<Closed>) -> Option<WaitReason> {
        let conditions = TaskConditions {
            state: task.state,
            is_follower: !self.flights.leads_or_alone(task.id),
            is_delayed: task.delayed_until.is_some(),
            is_provider_missing: task.plan.missing.is_some(),
            has_slot: self.has_slot(),
            closed,
        };
        wait_reason(self.start_conditions(), conditions)
    }
}

/// Converts a moment to wall-clock time. Returns `journaled` if the two differ by less than a second, which they do unless the clock was set.
fn shown(until: Moment, journaled: Option<Timestamp>, now: Now) -> Timestamp {
    let left = now.moment.until(until);
    let shown = Timestamp::from_unix_ms(now.wall.unix_ms() + left.as_millis() as u64);
    let is_same = |at: &Timestamp| at.unix_ms().abs_diff(shown.unix_ms()) < 1_000;
    journaled.filter(is_same).unwrap_or(shown)
}
