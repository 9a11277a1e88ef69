//! Puts queued tasks into the ready queues: on their own, or as followers of an equal task.

use std::collections::BTreeMap;

use reel_protocol::{TaskId, TaskState};

use super::{Effect, Machine, Surroundings, Todo, attempt::Run, outcome::shares_unknown};
use crate::tasks::{flights::Departure, live::LiveTask, ready::QueuePosition};

impl<S: Surroundings> Machine<S> {
    /// Puts a queued task into the ready queues if it leads its flight. Otherwise it becomes a follower, and may raise the priority of its leader. A
    /// task that is equal to one that may have been paid is held too.
    pub(super) fn enter_queue(&mut self, id: TaskId) {
        if !self.has_valid_plan(id) {
            return self.plan_anew(id);
        }
        let Some(task) = self.live.get(&id) else { return };
        if let Some(error) = task.made_elsewhere(&task.plan) {
            return self.when_settled(id, Todo::HoldUnknown(error));
        }
        let (was_own, priority) = (self.flights.leads_or_alone(id), task.priority);
        let leader = match task.key() {
            Some(key) => self.flights.join(key, id),
            None => id,
        };
        if was_own && leader != id {
            self.effects.push(Effect::CountCoalesced);
        }
        if leader != id && self.is_unknown(leader) {
            return self.when_settled(id, Todo::HoldUnknown(shares_unknown(leader)));
        }
        if leader == id && self.adopt_run(id) {
            return;
        }
        // A leader with sufficient priority is not queued again, because that goes through its whole flight, which may have thousands of members.
        if leader == id || self.ready.priority(leader).is_none_or(|stands| stands < priority) {
            self.enqueue(leader);
        }
    }

    /// Takes over a paid call that was given up and is still in flight, because a second call for the same would pay twice. Returns whether there was
    /// one.
    fn adopt_run(&mut self, id: TaskId) -> bool {
        let Some(task) = self.live.get(&id).filter(|task| task.run.is_none()) else { return false };
        let Some(key) = task.key() else { return false };
        let is_orphan = |run: &Run| run.leader.is_none() && run.is_paid && run.key == Some(key);
        let Some(run) = self.runs.iter().find(|(_, run)| is_orphan(run)).map(|(number, _)| *number) else {
            return false;
        };
        self.promote(id, Some(run));
        true
    }

    /// Puts a task into the ready queues, if it may start and leads its flight. A task with a pending transition may not start:
    /// [`Self::settle_commit`] queues it.
    pub(super) fn enqueue(&mut self, id: TaskId) {
        let Some(task) = self.live.get(&id) else { return };
        let may_start = task.state == TaskState::Queued
            && task.run.is_none()
            && !task.is_committing
            && task.delayed_until.is_none()
            && task.plan.missing.is_none();
        if !may_start || !self.flights.leads_or_alone(id) {
            return;
        }
        let members = self.flights.members(id);
        let priority =
            members.iter().filter_map(|member| self.live.get(member)).map(|task| task.priority).max();
        let target = task.target();
        if target.as_ref().is_some_and(|target| self.down.contains(target)) {
            self.leaving.push(id);
        }
        let position = QueuePosition {
            target,
            priority: priority.unwrap_or(task.priority),
            client: task.client.clone(),
            lane: task.lane,
        };
        self.ready.insert(id, position);
    }

    /// Removes a task from its flight. The next leader also takes over the attempt. If there is none, the attempt is told to stop.
    pub(super) fn leave_flight(&mut self, id: TaskId, run: Option<super::RunId>) {
        // A task whose outcome is unknown becomes the leader only if all members are such tasks.
        match self.flights.leave(id, |member| !is_unknown(&self.live, member)) {
            Departure::Promoted(next) => self.promote(next, run),
            Departure::Unchanged | Departure::Ended => {
                let Some((number, under_way)) = run.and_then(|run| Some((run, self.runs.get_mut(&run)?)))
                else {
                    return;
                };
                if under_way.leader == Some(id) {
                    under_way.leader = None;
                    self.stop_run(number);
                }
            }
        }
    }

    /// Makes a task the leader in place of one that was given up. It takes over the attempt if there is one, and is queued otherwise.
    pub(super) fn promote(&mut self, id: TaskId, run: Option<super::RunId>) {
        let Some(under_way) = run.and_then(|run| self.runs.get_mut(&run)) else {
            return self.enqueue(id);
        };
        under_way.leader = Some(id);
        if let Some(task) = self.live.get_mut(&id) {
            task.run = run;
            task.job.clone_from(&under_way.job);
        }
        self.when_settled(id, Todo::BeginShared);
    }

    /// Whether it is unknown whether the task's results were made, and paid for.
    pub(super) fn is_unknown(&self, id: TaskId) -> bool {
        is_unknown(&self.live, id)
    }

    /// Makes a released task the leader of its flight again, unless another member has been released before. It was held because its outcome was
    /// unknown.
    pub(super) fn lead_again(&mut self, id: TaskId) {
        if self.flights.members(id).first().is_some_and(|leader| self.is_unknown(*leader)) {
            self.flights.lead(id);
        }
    }
}

pub(super) fn is_unknown(live: &BTreeMap<TaskId, Box<LiveTask>>, id: TaskId) -> bool {
    live.get(&id).is_some_and(|task| task.is_unknown())
}
