//! Decides what a new plan changes for an unfinished task. Pure.

use reel_protocol::{TaskError, TaskState};

use crate::tasks::{Candidate, Plan, PlanRefusal, end::task_error, live::LiveTask};

/// What a new plan changes for a task.
#[derive(Debug)]
pub(super) enum Change {
    /// The task keeps its plan and its key.
    Keep,
    /// The task is held with this error until a person decides. It keeps its key.
    Hold(TaskError),
    /// The task fails with this error.
    Fail(TaskError),
    /// The task gets this plan.
    Set(Plan),
}

/// Decides what a new plan, or the refusal to make one, changes for a task. `generation` is that of the planner.
pub(super) fn change(task: &LiveTask, plan: Result<Plan, PlanRefusal>, generation: u64) -> Change {
    // The task is in an attempt, or what follows from the attempt is not committed yet. It may have been paid, so it keeps its key. Entering the
    // queue plans it again.
    if task.run.is_some() || task.state == TaskState::Running {
        return Change::Keep;
    }
    // Equal tasks must not pay the provider that holds the job of this one when that provider is back.
    let made_elsewhere = plan.as_ref().ok().and_then(|plan| task.made_elsewhere(plan));
    if task.state == TaskState::Queued
        && let Some(error) = made_elsewhere
    {
        return Change::Hold(error);
    }
    let provider = task.requested_provider.clone().or_else(|| task.planned());
    match (plan, provider) {
        // The provider that may have been paid is not configured. The task keeps its key, so that no equal task pays that provider again when it is
        // back.
        (Ok(plan), Some(paid)) if task.is_unknown() && plan.provider() != Some(&paid) => Change::Keep,
        (Ok(plan), _) => Change::Set(without_refusing(plan, task)),
        // A person decides about the task, and sees the refusal then.
        (Err(_), _) if task.state == TaskState::Held => Change::Keep,
        (Err(refusal), Some(provider)) if refusal.is_for_want_of_its_provider() => {
            Change::Set(Plan::without_provider(task.plan.params.clone(), provider, generation))
        }
        (Err(refusal), _) => {
            let hint = refusal.hint.unwrap_or_default();
            Change::Fail(task_error(refusal.code, refusal.message, &hint, true))
        }
    }
}

/// Removes the providers that refused the task from a plan, unless all of them did. The task may have left one while it was being planned.
fn without_refusing(mut plan: Plan, task: &LiveTask) -> Plan {
    let is_open = |candidate: &Candidate| {
        !task.refused_by.iter().any(|refused| *refused.provider == *candidate.provider)
    };
    if plan.candidates.iter().any(is_open) {
        plan.candidates.retain(is_open);
    }
    plan
}

#[cfg(test)]
mod tests;
