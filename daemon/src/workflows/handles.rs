//! The parts of the daemon that a workflow uses: the task tracker, which it asks like a client; the store, for the facts of a project's own media;
//! and the cache, for the files that the workflow makes itself.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use actix::Recipient;
use reel_protocol::{
    ChatParams, Digest, ErrorCode, Output, StepState, TaskError, TaskId, TaskSpec, TaskState, TaskView,
};
use tokio::sync::oneshot;

use super::step::{Step, StepEnd};
use crate::{
    cache::KeepMade,
    domain::StepOf,
    memory::Budget,
    store::{self, Store},
    tasks::{Caller, DecideTask, Decision, SubmitTask, TaskRefusal, Trial, TryTask, WaitFor, WaitTasks},
};

/// The first and the longest backoff before a request is sent again that was refused for lack of room. The backoff doubles each time.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Handles to other parts of the daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handles {
    /// Submits a task.
    pub submit: Recipient<SubmitTask>,
    /// Waits for tasks.
    pub wait: Recipient<WaitTasks>,
    /// Changes a task, such as to retry it.
    pub decide: Recipient<DecideTask>,
    /// Plans a task without submitting it.
    pub try_task: Recipient<TryTask>,
    /// Stores files as artifacts.
    pub keep: Recipient<KeepMade>,
    /// The journal, from which the facts of artifacts are read.
    pub store: Store,
    /// The directory of the artifacts.
    pub artifacts: Arc<Path>,
    /// The memory budget, whose limit bounds the size of a film's frames.
    pub budget: Budget,
}

/// The workflow cannot go on: the daemon stops, or the workflow's own task is over. If the daemon stops, the next start continues the workflow.
#[derive(Debug)]
pub(super) struct CannotContinue;

impl Handles {
    /// Carries a step out: submits it, waits until it is settled, and returns how it ended. If the step failed or was cancelled in an earlier attempt
    /// of the workflow, it is retried only if a person retries the workflow (`is_retry`). A restart of the daemon retries nothing, because a failed
    /// call may have been charged, and a cancelled one was given up by a person.
    pub(super) async fn carry_out(
        &self,
        caller: Caller,
        (parent, is_retry): (TaskId, bool),
        step: Step,
    ) -> Result<(String, StepEnd), CannotContinue> {
        let Step { name, mut spec } = step;
        spec.request_id = Some(request_id(parent, &name, &spec));
        let step = StepOf { parent, name: name.as_str().into() };
        let accepted = self.submit(&caller, &spec, &step).await?;
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok((name, StepEnd::refused(error_of(&refusal)))),
        };
        if is_retry && matches!(accepted.state, TaskState::Failed | TaskState::Cancelled) {
            self.retry(accepted.id).await?;
        }
        Ok((name, self.settled(accepted.id).await?))
    }

    /// Retries a step. The request is repeated while the memory budget is full. Another refusal leaves the step as it ended.
    async fn retry(&self, id: TaskId) -> Result<(), CannotContinue> {
        let mut backoff = Backoff::new();
        loop {
            let retry = DecideTask { id, decision: Decision::Retry };
            match self.decide.send(retry).await.map_err(|_| CannotContinue)? {
                Err(TaskRefusal::Stopping) => return Err(CannotContinue),
                Err(TaskRefusal::OverMemory(_)) => backoff.wait().await,
                _ => return Ok(()),
            }
        }
    }

    /// Waits until a task is settled, and returns how it ended as a step. The wait is repeated if the memory budget refuses it.
    async fn settled(&self, id: TaskId) -> Result<StepEnd, CannotContinue> {
        let mut backoff = Backoff::new();
        loop {
            let (_stays, gone) = oneshot::channel();
            let what = WaitFor::Tasks(vec![id]);
            let waited = self.wait.send(WaitTasks { what, is_any: false, timeout: None, gone });
            match waited.await.map_err(|_| CannotContinue)? {
                Ok(mut waited) => return waited.tasks.pop().map(end_of).ok_or(CannotContinue),
                Err(TaskRefusal::Stopping) => return Err(CannotContinue),
                Err(TaskRefusal::OverMemory(_)) => backoff.wait().await,
                Err(refusal) => return Ok(StepEnd::refused(error_of(&refusal))),
            }
        }
    }

    /// Submits a task. The submit is repeated while the queue or the memory budget is full.
    async fn submit(
        &self,
        caller: &Caller,
        spec: &TaskSpec,
        step: &StepOf,
    ) -> Result<Result<reel_protocol::methods::SubmitResult, TaskRefusal>, CannotContinue> {
        let mut backoff = Backoff::new();
        loop {
            let message = SubmitTask { caller: caller.clone(), spec: spec.clone(), step: Some(step.clone()) };
            match self.submit.send(message).await.map_err(|_| CannotContinue)? {
                Err(TaskRefusal::Stopping) => return Err(CannotContinue),
                Err(TaskRefusal::NoTask(id)) if id == step.parent => return Err(CannotContinue),
                // A full disk is an error at once, because a person has to make room, and a task that silently waits would not say so.
                Err(TaskRefusal::QueueFull { .. } | TaskRefusal::OverMemory(_)) => backoff.wait().await,
                answer => return Ok(answer),
            }
        }
    }

    /// Plans a task without submitting it. The inner error is the refusal of the plan.
    pub(super) async fn trial(&self, spec: TaskSpec) -> Result<Result<Trial, TaskRefusal>, CannotContinue> {
        self.try_task.send(TryTask { spec }).await.map_err(|_| CannotContinue)
    }

    /// Reads the facts of these artifacts. Those that the store does not have are left out.
    pub(super) async fn artifacts(
        &self,
        digests: Vec<Digest>,
    ) -> Result<BTreeMap<Digest, Output>, store::StoreError> {
        let artifacts = Arc::clone(&self.artifacts);
        self.store
            .read(move |connection| {
                let mut found = BTreeMap::new();
                for digest in digests {
                    if let Some(row) = store::artifact(connection, digest)? {
                        found.insert(digest, row.output(&artifacts));
                    }
                }
                Ok(found)
            })
            .await
    }
}

/// The waits before a request is sent again. Each is twice as long as the one before, up to the longest.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(RETRY_WAITS.0)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(RETRY_WAITS.1);
    }
}

/// Returns the request id of a step. It is the same for the same step of the same workflow, and another one if the spec of the step differs.
fn request_id(parent: TaskId, name: &str, spec: &TaskSpec) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(spec.kind.as_bytes());
    hasher.update(spec.params.as_str().as_bytes());
    hasher.update(spec.provider.as_deref().unwrap_or_default().as_bytes());
    hasher.update(&[spec.cache as u8]);
    let hash = hasher.finalize().to_hex();
    format!("step of {parent}: {name} {}", hash.get(..16).unwrap_or_default())
}

/// Converts a settled task to the end of a step.
fn end_of(view: TaskView) -> StepEnd {
    let state = match view.state {
        TaskState::Succeeded if view.source == Some(reel_protocol::Source::Cache) => StepState::Cached,
        TaskState::Succeeded => StepState::Made,
        TaskState::Held => StepState::Held,
        _ => StepState::Failed,
    };
    let ran = view.started_at.zip(view.finished_at);
    let seconds = ran.map_or(0.0, |(from, to)| to.since(from).as_secs_f64());
    let is_whole = matches!(state, StepState::Cached | StepState::Made);
    let error = view.error.or_else(|| (!is_whole).then(|| cancelled(view.state)));
    // A text that does not fit its schema may still be read.
    let is_misfit = error.as_ref().is_some_and(|error| error.code == ChatParams::SCHEMA_MISMATCH);
    StepEnd {
        task: Some(view.id),
        state,
        output: view.outputs.into_iter().next().filter(|_| is_whole || is_misfit),
        provider: view.provider,
        error: error.filter(|_| !is_whole),
        cost: view.cost,
        seconds,
    }
}

fn cancelled(state: TaskState) -> TaskError {
    TaskError {
        code: ErrorCode::Cancelled.name().to_owned(),
        message: format!("the task is {}", state.name()),
        hint: None,
        retryable: true,
        provider_status: None,
    }
}

/// Converts a refusal to the error of a step.
pub(super) fn error_of(refusal: &TaskRefusal) -> TaskError {
    let (code, hint) = match refusal {
        TaskRefusal::Plan(plan) => (plan.code, plan.hint.clone()),
        TaskRefusal::BadInput { .. } => (ErrorCode::InvalidParams, None),
        TaskRefusal::StorageFull { .. } => {
            (ErrorCode::StorageFull, Some("free some room on the disk, then make it again".to_owned()))
        }
        TaskRefusal::RequestIdConflict(_) => (ErrorCode::RequestIdConflict, None),
        _ => (ErrorCode::StorageFailed, Some("reel daemon logs shows the cause".to_owned())),
    };
    let retryable = matches!(code, ErrorCode::StorageFailed | ErrorCode::StorageFull);
    TaskError {
        code: code.name().to_owned(),
        message: refusal.to_string(),
        hint,
        retryable,
        provider_status: None,
    }
}
