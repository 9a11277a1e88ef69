//! What waits until a task's transition is on disk, as data.

use reel_protocol::{TaskError, TaskId, Timestamp};

use super::{Machine, RequestId, RunId, Surroundings};
use crate::tasks::{Decision, Plan, PlanRefusal, end::End};

/// Something to be decided about one task, as soon as no transition of it is on its way to disk.
#[derive(Debug)]
pub enum Todo {
    /// Somebody decided about the task.
    Decide {
        /// The request to answer.
        request: RequestId,
        /// What was decided.
        decision: Decision,
    },
    /// Somebody removes the task from the history.
    Remove {
        /// The request to answer.
        request: RequestId,
    },
    /// Answer a request with the task as it is then.
    Show {
        /// The request to answer.
        request: RequestId,
    },
    /// Its deadline has passed.
    PassDeadline,
    /// All that it waited for has succeeded.
    StopWaiting,
    /// A task that it waited for did not succeed.
    FailAfter(TaskId),
    /// It ends.
    Conclude(Box<End>),
    /// It is held, as nobody knows whether it was done.
    HoldUnknown(TaskError),
    /// It is cancelled on behalf of its workflow.
    GiveUp,
    /// It goes back to the queue.
    Requeue(Requeue),
    /// It goes to another provider.
    LeaveProvider {
        /// The provider that it leaves.
        from: String,
        /// The error of the provider that the task leaves.
        error: TaskError,
    },
    /// Journal that it runs: it has taken over an attempt that is under way.
    BeginShared,
    /// Journal what a provider holds for the attempt that works for it.
    Remember {
        /// The request to answer.
        request: RequestId,
        /// The number of the attempt that the provider works for.
        run: RunId,
    },
    /// The outputs that its params refer to are known.
    Resolve(Box<Plan>),
    /// It has another plan.
    Replan {
        /// The plan is void where another planner is in force by then.
        generation: u64,
        /// The plan, or why there is none.
        plan: Box<Result<Plan, PlanRefusal>>,
    },
}

/// How a task goes back to the queue from its attempt.
#[derive(Debug, Clone)]
pub struct Requeue {
    /// When its next attempt may begin.
    pub not_before: Option<Timestamp>,
    /// Whether the attempt counts against its number.
    pub is_counted: bool,
    /// Why it failed; `None` where it was stopped by us.
    pub error: Option<TaskError>,
    /// Whether its request never left.
    pub is_unreached: bool,
}

impl Requeue {
    /// The attempt was stopped by us.
    pub(super) const fn stopped() -> Self {
        Self { not_before: None, is_counted: false, error: None, is_unreached: false }
    }
}

impl<S: Surroundings> Machine<S> {
    /// Decides as soon as no transition of the task is on its way to disk: now, if there is none.
    pub(super) fn when_settled(&mut self, id: TaskId, todo: Todo) {
        match self.live.get_mut(&id) {
            Some(task) if task.is_committing => task.deferred.push(todo),
            _ => self.perform(id, todo),
        }
    }

    pub(super) fn perform(&mut self, id: TaskId, todo: Todo) {
        match todo {
            Todo::Decide { request, decision } => self.decide(request, id, decision),
            Todo::Remove { request } => self.remove(request, id),
            Todo::Show { request } => self.answer(request, super::Answer::Task(id)),
            Todo::PassDeadline => self.pass_deadline(id),
            Todo::StopWaiting => self.stop_waiting(id),
            Todo::FailAfter(failed) => self.fail_after(id, failed),
            Todo::Conclude(end) => self.finish(id, *end),
            Todo::HoldUnknown(error) => self.hold_now(id, error),
            Todo::GiveUp => self.give_up(id),
            Todo::Requeue(again) => self.requeue_now(id, again),
            Todo::LeaveProvider { from, error } => self.leave_provider_now(id, from, error),
            Todo::BeginShared => self.begin_shared(id),
            Todo::Remember { request, run } => self.remember_now(request, run),
            Todo::Resolve(plan) => self.resolve_now(id, *plan),
            Todo::Replan { generation, plan } => {
                if generation == self.planner.generation() {
                    self.replan(id, *plan);
                }
            }
        }
    }

    /// The task's transition is on disk, or was refused: what waited for it is decided now.
    pub(super) fn settle_commit(&mut self, id: TaskId) {
        let Some(task) = self.live.get_mut(&id) else { return };
        task.is_committing = false;
        let mut deferred = std::mem::take(&mut task.deferred).into_iter();
        while let Some(todo) = deferred.next() {
            self.perform(id, todo);
            if let Some(task) = self.live.get_mut(&id)
                && task.is_committing
            {
                let later = std::mem::take(&mut task.deferred);
                task.deferred = deferred.chain(later).collect();
                return;
            }
        }
        // What was being decided stood in no queue; what is still to be done goes back.
        self.enqueue(id);
    }
}
