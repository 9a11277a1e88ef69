//! Runs the attempts of workflows, and passes those of all other tasks to the services.

use std::sync::{Arc, OnceLock};

use futures_util::future::LocalBoxFuture;
use reel_protocol::{CacheMode, ErrorCode, TaskError};
use tokio::sync::Semaphore;

use super::{
    assemble::Assembly,
    budget::WorkflowBudget,
    driver::drive,
    handles::{CannotContinue, Handles, error_of},
    step::{File, Outcome, Workflow},
    story::{Story, StoryError},
    storyboard::StoryboardWork,
};
use crate::{
    cache::{Body, KeepMade, NewArtifact},
    domain::{Again, Facts},
    service::{
        RunEnd, RunTask, RunTasks, STORY_MAKE, STORY_STORYBOARD, StorySpec, StoryboardSpec, Timeline,
        VIDEO_ASSEMBLE,
    },
    tasks::TaskRefusal,
};

/// The most workflows that are driven at once. Others wait, because each workflow keeps the ends of its steps in memory.
const AT_ONCE: usize = 8;

/// Runs workflows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Workflows {
    services: Arc<dyn RunTasks>,
    handles: Arc<OnceLock<Handles>>,
    turns: Arc<Semaphore>,
}

impl Workflows {
    /// Returns a runner that passes other tasks to these services. It needs handles, which [`Self::connect`] sets once the task tracker has started.
    pub fn new(services: Arc<dyn RunTasks>) -> Self {
        Self { services, handles: Arc::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Sets the handles.
    pub fn connect(&self, handles: Handles) {
        // It cannot be set already, because this is called once, at the start.
        let _ = self.handles.set(handles);
    }
}

/// The kinds of tasks that are workflows.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Assembly,
    Storyboard,
    Story,
}

impl Kind {
    /// Returns the workflow for a kind of task; None if the task is carried out by a service.
    fn of(kind: &str) -> Option<Self> {
        match kind {
            VIDEO_ASSEMBLE => Some(Self::Assembly),
            STORY_STORYBOARD => Some(Self::Storyboard),
            STORY_MAKE => Some(Self::Story),
            _ => None,
        }
    }
}

impl RunTasks for Workflows {
    fn run(&self, task: RunTask) -> LocalBoxFuture<'static, RunEnd> {
        let Some(kind) = Kind::of(&task.kind) else { return self.services.run(task) };
        let (handles, turns) = (self.handles.get().cloned(), Arc::clone(&self.turns));
        let run = actix::spawn(async move {
            let Some(handles) = handles else { return RunEnd::Stopped };
            let mut cancel = task.cancel.clone();
            tokio::select! { biased;
                // The task machine also cancels the steps of the workflow.
                _ = cancel.wait_for(|is_told| *is_told) => RunEnd::Stopped,
                end = carry_out(&handles, &turns, kind, &task) => end.unwrap_or(RunEnd::Stopped),
            }
        });
        Box::pin(async move {
            run.await.unwrap_or_else(|error| {
                let message = format!("the workflow was lost: {error}");
                RunEnd::failed(task_error(
                    ErrorCode::Internal.name(),
                    message,
                    "reel daemon logs shows the cause",
                    true,
                ))
            })
        })
    }
}

async fn carry_out(
    handles: &Handles,
    turns: &Semaphore,
    kind: Kind,
    task: &RunTask,
) -> Result<RunEnd, CannotContinue> {
    // This cannot fail, because the semaphore is never closed.
    let _turn = turns.acquire().await.map_err(|_| CannotContinue)?;
    match kind {
        Kind::Assembly => assemble(handles, task).await,
        Kind::Storyboard => make_storyboard(handles, task).await,
        Kind::Story => make_story(handles, task).await,
    }
}

async fn assemble(handles: &Handles, task: &RunTask) -> Result<RunEnd, CannotContinue> {
    let timeline = match Timeline::accepted(&task.params) {
        Ok(timeline) => timeline,
        Err(message) => return Ok(not_held(&message)),
    };
    let assembly = match Assembly::begin(handles, timeline).await {
        Ok(assembly) => assembly,
        Err(error) => return Ok(RunEnd::failed(error)),
    };
    let ends = drive(&assembly, handles, task, None).await?;
    keep(handles, task, assembly.outcome(&ends)).await
}

fn not_held(message: &str) -> RunEnd {
    let message = format!("the params were accepted and do not hold: {message}");
    RunEnd::failed(task_error(ErrorCode::Internal.name(), message, "reel daemon logs shows the cause", false))
}

async fn make_story(handles: &Handles, task: &RunTask) -> Result<RunEnd, CannotContinue> {
    let spec = match StorySpec::accepted(&task.params) {
        Ok(spec) => spec,
        Err(message) => return Ok(not_held(&message)),
    };
    let budget = spec.params.budget_usd.map(WorkflowBudget::new);
    let story = match Story::begin(handles, spec).await? {
        Ok(story) => story,
        Err(StoryError(error)) => return Ok(RunEnd::failed(error)),
    };
    let ends = drive(&story, handles, task, budget).await?;
    keep(handles, task, story.outcome(&ends)).await
}

async fn make_storyboard(handles: &Handles, task: &RunTask) -> Result<RunEnd, CannotContinue> {
    let spec = match StoryboardSpec::accepted(&task.params) {
        Ok(spec) => spec,
        Err(message) => return Ok(not_held(&message)),
    };
    // If nobody answers chats, or the provider that was named is unknown, this is the error. The rules would hide it.
    if let Err(refusal @ TaskRefusal::Plan(_)) = handles.trial(StoryboardWork::plain_chat(&spec)).await? {
        return Ok(RunEnd::failed(error_of(&refusal)));
    }
    let budget = spec.params.budget_usd.map(WorkflowBudget::new);
    let work = StoryboardWork::new(spec);
    let ends = drive(&work, handles, task, budget).await?;
    keep(handles, task, work.outcome(&ends)).await
}

/// Stores the files that the workflow makes itself. The results of its steps come before them in the outputs.
async fn keep(handles: &Handles, task: &RunTask, outcome: Outcome) -> Result<RunEnd, CannotContinue> {
    let Outcome { outputs, files, flaw } = outcome;
    let artifact = |File { media_type, extension, bytes }: File| NewArtifact {
        body: Body::Held(bytes),
        reservation: None,
        facts: Facts::new(media_type, extension),
    };
    let message = KeepMade {
        key: None,
        provider: "reel".to_owned(),
        model: None,
        artifacts: files.into_iter().map(artifact).collect(),
        notes: Vec::new(),
        make_room: Some(task.make_room.clone()),
    };
    Ok(match handles.keep.send(message).await.map_err(|_| CannotContinue)? {
        Ok(mut kept) => {
            kept.made.outputs.splice(0..0, outputs);
            kept.made.flaw = flaw;
            RunEnd::Made { kept: Box::new(kept), cost: None, on_journal_failure: not_journaled }
        }
        Err(error) => {
            let message = format!("the results could not be kept: {error}");
            let error =
                task_error(ErrorCode::StorageFailed.name(), message, "free some room on the disk", true);
            RunEnd::Failed(error, Again::Later(None))
        }
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of `Lost`")]
fn not_journaled(error: crate::store::StoreError) -> (TaskError, Again) {
    let message = format!("the results could not be journaled: {error}");
    (
        task_error(ErrorCode::StorageFailed.name(), message, "reel daemon logs shows the cause", true),
        Again::Later(None),
    )
}

/// Returns an error without a provider's status.
pub(super) fn task_error(code: &str, message: String, hint: &str, retryable: bool) -> TaskError {
    TaskError {
        code: code.to_owned(),
        message,
        hint: Some(hint.to_owned()),
        retryable,
        provider_status: None,
    }
}

/// Returns the cache mode of a step. A step that is made again bypasses the cache.
pub(super) const fn cache_mode(is_redone: bool) -> CacheMode {
    if is_redone { CacheMode::Fresh } else { CacheMode::Use }
}
