//! Decisions about a task that are deferred until its pending transition is committed or refused.

use reel_protocol::{TaskError, TaskId, Timestamp};

use super::{Machine, RequestId, RunId, Surroundings};
use crate::tasks::{Decision, Plan, PlanRefusal, end::End};

/// A decision about one task. It is carried out once the task has no pending transition.
#[derive(Debug)]
pub enum Todo {
    /// Carry out a decision of a person or a program.
    Decide {
        /// The request to answer.
        request: RequestId,
        /// What is to become of the task.
        decision: Decision,
    },
    /// Remove the task from the history.
    Remove {
        /// The request to answer.
        request: RequestId,
    },
    /// Answer a request with the task as it is after the transition.
    Show {
        /// The request to answer.
        request: RequestId,
    },
    /// End the task because its deadline has passed.
    PassDeadline,
    /// Queue the task because everything that it waited for has succeeded.
    StopWaiting,
    /// Fail the task because the task with this id, which it waited for, did not succeed.
    FailAfter(TaskId),
    /// End the task.
    Conclude(Box<End>),
    /// Hold the task because it is unknown whether its results were made.
    HoldUnknown(TaskError),
    /// Cancel the task because its workflow was cancelled.
    GiveUp,
    /// Put the task back into the queue.
    Requeue(Requeue),
    /// Move the task to another provider.
    LeaveProvider {
        /// The provider that it leaves.
        from: String,
        /// The error of that provider.
        error: TaskError,
    },
    /// Journal that the task runs, because it has taken over an attempt that is under way.
    BeginShared,
    /// Journal the remote job that a provider holds for the attempt of the task.
    Remember {
        /// The request to answer.
        request: RequestId,
        /// The number of the attempt, unique in this process.
        run: RunId,
    },
    /// Queue the task with this plan, in which the outputs that its params refer to are filled in.
    Resolve(Box<Plan>),
    /// Set a new plan.
    Replan {
        /// The generation of the planner that made it. The plan is ignored if another planner is current by then.
        generation: u64,
        /// The plan, or why there is none.
        plan: Box<Result<Plan, PlanRefusal>>,
    },
}

/// How a task goes back from its attempt to the queue.
#[derive(Debug, Clone)]
pub struct Requeue {
    /// When its next attempt may begin. `None` for at once.
    pub not_before: Option<Timestamp>,
    /// Whether the attempt counts against the attempts that the task may make.
    pub is_counted: bool,
    /// Why the attempt failed. `None` if the daemon stopped it.
    pub error: Option<TaskError>,
    /// Whether the request was never sent.
    pub is_unreached: bool,
}

impl Requeue {
    /// Returns the values for an attempt that the daemon stopped.
    pub(super) const fn stopped() -> Self {
        Self { not_before: None, is_counted: false, error: None, is_unreached: false }
    }
}

impl<S: Surroundings> Machine<S> {
    /// Performs a decision at once, or after the pending transition of the task if there is one.
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

    /// Performs the deferred decisions of a task, because its pending transition was committed or refused.
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
        // While a transition is pending, the task is in no queue. If it is still queued, it enters one again.
        self.enqueue(id);
    }
}
