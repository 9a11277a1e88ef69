//! Finds out what keeps a workflow, such as a film: the steps that failed, and the steps that wait, each with its reason.

use reel_client::{Client, ClientError};
use reel_protocol::{
    TaskId, TaskState, TaskView, Timestamp,
    methods::{DaemonStatusResult, TaskList, TaskListParams},
};

use crate::why::{self, Why, may_last};

/// Most steps that are read in each state.
const MAX_POLLED_STEPS: u32 = 100;

/// Whether tasks of this kind have steps.
pub fn has_steps(kind: &str) -> bool {
    matches!(kind, "story.make" | "story.storyboard" | "video.assemble")
}

/// What keeps a workflow.
#[derive(Debug, Default)]
pub struct Obstacles {
    /// The steps that failed, in the order in which they were accepted.
    pub failed: Vec<FailedStep>,
    /// The steps that wait for something that may last, in the same order. Steps with the same reason are one.
    pub waiting: Vec<WaitingStep>,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    /// The task of the step.
    pub id: TaskId,
    /// The name of the step.
    pub step: String,
    /// What went wrong.
    pub message: String,
    /// What the user can do next.
    pub hint: Option<String>,
    /// Whether the provider refused the key or the quota. Such a failure is not mended by other steps.
    pub is_refusal: bool,
}

/// A step that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingStep {
    /// The line to print: the name of the step, when it is tried next, and why it waits.
    pub line: String,
    /// The cause alone, by which repeats are recognised.
    pub cause: String,
}

/// Asks the daemon for the steps of a workflow.
pub async fn obstacles(
    client: &Client,
    workflow: TaskId,
    status: Option<&DaemonStatusResult>,
) -> Result<Obstacles, ClientError> {
    let failed = list(client, workflow, TaskState::Failed).await?;
    let queued = list(client, workflow, TaskState::Queued).await?;
    Ok(of_steps(&failed, &queued, status, Timestamp::now()))
}

async fn list(client: &Client, workflow: TaskId, state: TaskState) -> Result<Vec<TaskView>, ClientError> {
    let wanted = TaskListParams {
        state: Some(state),
        parent: Some(workflow),
        limit: Some(MAX_POLLED_STEPS),
        ..TaskListParams::default()
    };
    Ok(client.call::<TaskList>(&wanted).await?.tasks)
}

/// Sorts out the steps, which are given newest first.
fn of_steps(
    failed: &[TaskView],
    queued: &[TaskView],
    status: Option<&DaemonStatusResult>,
    now: Timestamp,
) -> Obstacles {
    let name = |step: &TaskView| step.step.clone().unwrap_or_else(|| format!("task {}", step.id));
    let mut obstacles = Obstacles::default();
    for step in failed.iter().rev() {
        // A step that was not begun because another one failed says nothing new.
        let Some(error) = step.error.as_ref().filter(|error| error.code != "dependency_failed") else {
            continue;
        };
        let (message, hint) = (error.message.clone(), error.hint.clone());
        let is_refusal = why::is_refusal(&error.code);
        obstacles.failed.push(FailedStep { id: step.id, step: name(step), message, hint, is_refusal });
    }
    for step in queued.iter().rev().filter(|step| step.wait_reason.is_some_and(may_last)) {
        let Some(why) = Why::of(step, status, now) else { continue };
        if obstacles.waiting.iter().all(|known| known.cause != why.words) {
            obstacles.waiting.push(WaitingStep { line: why.line(&name(step)), cause: why.words });
        }
    }
    obstacles
}

#[cfg(test)]
mod tests {
    use reel_protocol::WaitReason;

    use super::*;

    const STEP: &str = r#"{"id":7,"rev":3,"kind":"image.generate","name":null,"state":"queued","hold_reason":null,"wait_reason":null,"priority":0,"client":"reel","batch":null,"after":[],"parent":1,"step":"picture/a1","progress":{"fraction":0.0,"message":""},"provider":"studio","model":null,"attempts":1,"source":null,"created_at":"2026-11-23T20:00:00.000Z","started_at":null,"finished_at":null,"not_before":"2026-11-23T20:00:12.000Z","params":{"prompt":"a"},"outputs":[],"error":{"code":"provider_unavailable","message":"studio cannot be reached: refused","hint":"h","retryable":true,"provider_status":null},"cost":null,"metadata":null}"#;

    fn step(name: &str, state: TaskState, wait_reason: Option<WaitReason>) -> TaskView {
        TaskView { step: Some(name.to_owned()), state, wait_reason, ..serde_json::from_str(STEP).unwrap() }
    }

    #[test]
    fn a_failed_step_is_named_beside_those_that_wait_and_equal_reasons_are_one() {
        let unreachable = Some(WaitReason::ProviderUnreachable);
        let mut refused = step("voice/a1", TaskState::Failed, None);
        refused.error.as_mut().unwrap().message = "teller: the key is wrong".to_owned();
        let mut after_it = step("render/a1", TaskState::Failed, None);
        after_it.error.as_mut().unwrap().code = "dependency_failed".to_owned();
        let queued = [
            step("picture/a3", TaskState::Queued, Some(WaitReason::Turn)),
            step("picture/a2", TaskState::Queued, unreachable),
            step("picture/a1", TaskState::Queued, unreachable),
        ];
        let now = queued[0].created_at;
        let found = of_steps(&[after_it, refused], &queued, None, now);
        let failed: Vec<_> =
            found.failed.iter().map(|one| (one.step.as_str(), one.message.as_str())).collect();
        assert_eq!(failed, [("voice/a1", "teller: the key is wrong")]);
        let waiting: Vec<_> = found.waiting.iter().map(|one| one.line.as_str()).collect();
        assert_eq!(waiting, ["picture/a1 waits, next try in 12 s: studio cannot be reached: refused"]);
    }
}
