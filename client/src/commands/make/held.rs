//! Steps that are held because an earlier request for the same is: they are given up, so that a person decides about one task and not about
//! another one for each run.

use reel_client::Session;
use reel_protocol::{
    HoldReason, StepReport, StepState, StoryReport, TaskId,
    methods::{TaskCancel, TaskGet, TaskIdParams},
};

use super::stale::stages;

/// Cancels the held steps that never asked anybody, which costs nothing, and returns them.
pub async fn give_up_followers(session: &Session, report: &StoryReport) -> Vec<TaskId> {
    let of_shots = report.shots.iter().flat_map(|shot| stages(shot).map(|(_, _, step)| step));
    let held: Vec<TaskId> = of_shots.chain(&report.steps).filter_map(held_task).collect();
    let mut followers = Vec::new();
    for id in held {
        // Where this cannot be found out, the task stays held, and is named as it is.
        let Ok(task) = session.call::<TaskGet>(&TaskIdParams { id }).await else { continue };
        if task.attempts == 0 && task.hold_reason == Some(HoldReason::OutcomeUnknown) {
            followers.push(id);
            // One that somebody decided about meanwhile cannot be cancelled, which is as good.
            let _ = session.client().call::<TaskCancel>(&TaskIdParams { id }).await;
        }
    }
    followers
}

fn held_task(step: &StepReport) -> Option<TaskId> {
    step.task.filter(|_| step.state == StepState::Held)
}
