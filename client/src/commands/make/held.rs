//! Cancels steps that are held only because an earlier equal request is held. So the user decides about one task, and not about another one for each
//! run.

use reel_client::Session;
use reel_protocol::{
    HoldReason, StepReport, StepState, StoryReport, TaskId,
    methods::{TaskCancel, TaskGet, TaskIdParams},
};

use super::stale::stages;

/// Cancels held steps that never sent a request, which costs nothing. Returns their ids.
pub async fn give_up_followers(session: &Session, report: &StoryReport) -> Vec<TaskId> {
    let of_shots = report.shots.iter().flat_map(|shot| stages(shot).map(|(_, _, step)| step));
    let held: Vec<TaskId> = of_shots.chain(&report.steps).filter_map(held_task).collect();
    let mut followers = Vec::new();
    for id in held {
        // If the request fails, the task stays held and is reported as held.
        let Ok(task) = session.call::<TaskGet>(&TaskIdParams { id }).await else { continue };
        if task.attempts == 0 && task.hold_reason == Some(HoldReason::OutcomeUnknown) {
            followers.push(id);
            // A task that was released or cancelled meanwhile cannot be cancelled, and does not need to be.
            let _ = session.client().call::<TaskCancel>(&TaskIdParams { id }).await;
        }
    }
    followers
}

fn held_task(step: &StepReport) -> Option<TaskId> {
    step.task.filter(|_| step.state == StepState::Held)
}
