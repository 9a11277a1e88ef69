//! Moves a task to another provider: when its provider refuses it for the provider's own reasons, or is out of order.
//!
//! Only a task that named no provider moves. It goes to the next candidate of its plan that has the model that it names, if any. It never leaves a
//! provider that may have been paid for it, or that holds results for it or an equal task. It never moves to a draft, because drafts are not
//! candidates beside real providers.

use std::collections::BTreeSet;

use reel_protocol::{TaskError, TaskId, TaskNote, TaskState};

use super::{Machine, Surroundings, Todo, queue::is_unknown};
use crate::{
    domain::{Refused, Target},
    store::Transition,
    tasks::{again::is_of_the_provider, end::End, flights::Departure, live::LiveTask},
};

impl LiveTask {
    /// Returns the indexes in its plan of the other providers that may be asked for it.
    fn others(&self) -> impl Iterator<Item = usize> {
        let is_bound =
            self.requested_provider.is_some() || self.job.as_ref().is_some_and(|job| !job.may_ask_again());
        let candidates = self.plan.candidates.iter().enumerate().skip(1);
        candidates.filter(move |(_, other)| other.is_alternative && !is_bound).map(|(place, _)| place)
    }

    /// Returns the note for a task that this provider made. It names the providers that would have come first, with the reason why each was not used.
    pub(super) fn other_provider_note(&self, made_by: &str) -> Option<TaskNote> {
        let mut left: Vec<&Refused> = Vec::new();
        for refused in self.refused_by.iter().chain(&self.passed_over) {
            if refused.provider != made_by && left.iter().all(|other| other.provider != refused.provider) {
                left.push(refused);
            }
        }
        let told = |refused: &&Refused| {
            let Refused { provider, reason } = refused;
            format!("{provider} was not used: {}", without_name(provider, reason))
        };
        let told: Vec<_> = left.iter().map(told).collect();
        let message = format!("{}; {made_by} made it", told.join("; "));
        (!told.is_empty()).then(|| TaskNote::new(TaskNote::OTHER_PROVIDER, message))
    }

    /// Returns the error of the last provider, preceded by the reasons of the providers that refused the task before.
    pub(super) fn after_refusals(&self, last: &str, error: TaskError) -> TaskError {
        if self.refused_by.is_empty() {
            return error;
        }
        let refused = self.refused_by.iter().map(|refused| named(&refused.provider, &refused.reason));
        let told: Vec<_> = refused.chain([named(last, &error.message)]).collect();
        TaskError { message: told.join("; then "), ..error }
    }
}

/// Returns a provider's message without the provider's name in front.
fn without_name<'a>(provider: &str, message: &'a str) -> &'a str {
    message.strip_prefix(provider).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message)
}

/// Returns a provider's message with the provider's name in front, once.
fn named(provider: &str, message: &str) -> String {
    let is_named = message.strip_prefix(provider).is_some_and(|rest| rest.starts_with([' ', ':']));
    if is_named { message.to_owned() } else { format!("{provider}: {message}") }
}

impl<S: Surroundings> Machine<S> {
    /// Whether the task's provider is out of order, and another provider that may be asked is not.
    pub(super) fn has_better(&self, task: &LiveTask) -> bool {
        task.target().is_some_and(|target| self.around.is_down(&target)) && self.better_place(task).is_some()
    }

    /// Returns the index of the first other provider in the task's plan that may be asked and is not out of order.
    fn better_place(&self, task: &LiveTask) -> Option<usize> {
        let is_up = |place: &usize| {
            let candidate = task.plan.candidates.get(*place);
            candidate.is_some_and(|candidate| !self.around.is_down(&candidate.target()))
        };
        task.others().find(is_up)
    }

    /// Handles a failure of a task at its provider. The task moves to the next provider, or fails.
    pub(super) fn fail_here(&mut self, id: TaskId, error: TaskError) {
        let task = self.live.get(&id);
        let may_go_on = task.is_some_and(|task| task.others().next().is_some());
        let Some((task, from)) = task.and_then(|task| Some((task, task.plan.provider()?.to_string()))) else {
            return self.conclude(id, End::failed(error));
        };
        if !may_go_on || !is_of_the_provider(&error.code) {
            let error = task.after_refusals(&from, error);
            return self.conclude(id, End::failed(error));
        }
        tracing::warn!(task = id.0, provider = from, code = error.code, "another provider is asked");
        self.when_settled(id, Todo::LeaveProvider { from, error });
    }

    pub(super) fn leave_provider_now(&mut self, id: TaskId, from: String, error: TaskError) {
        let state = self.live.get(&id).map(|task| task.state);
        if matches!(state, Some(TaskState::Running | TaskState::Queued)) {
            self.transition(id, move |transition| {
                transition.state = TaskState::Queued;
                transition.not_before = None;
                transition.left_provider = Some(from);
                transition.attempt_outcome = Some(error.code.clone());
                transition.error = Some(error);
                transition.attempts_left = transition.attempts_left.max(1);
            });
        }
    }

    /// Applies a committed transition in which the task leaves a provider.
    pub(super) fn leave_provider(&mut self, transition: &Transition) {
        let (id, Some(from)) = (transition.id, &transition.left_provider) else { return };
        let Some(task) = self.live.get_mut(&id) else { return };
        if task.plan.candidates.iter().any(|candidate| *candidate.provider != **from) {
            task.plan.candidates.retain(|candidate| *candidate.provider != **from);
        }
        // The next provider is the first that has the model.
        let next = task.plan.candidates.iter().position(|candidate| candidate.is_alternative);
        task.plan.candidates.drain(..next.unwrap_or(0));
        let reason = transition.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
        task.refused_by.push(Refused { provider: from.clone(), reason });
        self.leave_flight_for_another_key(&BTreeSet::from([id]));
    }

    /// Moves ready tasks whose provider is out of order to another provider. [`Self::enqueue`] adds tasks that are queued for such a provider later.
    pub(super) fn leave_providers_out_of_order(&mut self) {
        let is_down = |target: &&Target| self.around.is_down(target);
        let down: BTreeSet<_> = self.ready.targets().filter(is_down).cloned().collect();
        for target in down.difference(&self.down) {
            self.leaving.extend(self.ready.waiting_for(target));
        }
        self.down = down;
        for id in std::mem::take(&mut self.leaving) {
            self.leave_provider_out_of_order(id);
        }
    }

    /// Moves the task together with all members of its flight that may move. If the provider holds results for one of them, none moves: these results
    /// are fetched first, because another provider would be paid for the same.
    fn leave_provider_out_of_order(&mut self, id: TaskId) {
        if !self.ready.contains(id) || !self.has_valid_plan(id) || self.known_job(id).is_some() {
            return;
        }
        let mut movers = BTreeSet::new();
        for member in self.flights.members(id) {
            let Some(task) = self.live.get(&member).filter(|task| !task.is_committing) else { continue };
            let place = self.better_place(task).filter(|_| self.has_better(task));
            if let Some(place) = place.filter(|_| task.state == TaskState::Queued && task.run.is_none())
                && let Some(task) = self.live.get_mut(&member)
            {
                let reason = "it failed several times in a row, or could not be reached".to_owned();
                if let Some(left) = task.plan.provider().map(ToString::to_string)
                    && task.passed_over.iter().all(|refused| refused.provider != left)
                {
                    task.passed_over.push(Refused { provider: left, reason });
                }
                let better = task.plan.candidates.remove(place);
                task.plan.candidates.insert(0, better);
                movers.insert(member);
            }
        }
        self.leave_flight_for_another_key(&movers);
        let mut movers: Vec<_> = movers.into_iter().collect();
        movers.sort_unstable();
        for mover in movers {
            self.enter_queue(mover);
        }
    }

    /// Removes tasks from the flight of their former key. If a leader was removed, the new leader of the rest is queued.
    fn leave_flight_for_another_key(&mut self, movers: &BTreeSet<TaskId>) {
        let mut next = None;
        for mover in movers {
            self.ready.remove(*mover);
            let may_lead = |member: TaskId| !movers.contains(&member) && !is_unknown(&self.live, member);
            if let Departure::Promoted(leader) = self.flights.leave(*mover, may_lead) {
                next = Some(leader);
            }
        }
        if let Some(next) = next.filter(|next| !movers.contains(next)) {
            self.enqueue(next);
        }
    }
}
