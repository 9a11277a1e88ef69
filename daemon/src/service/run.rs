//! What the tracker hands the services to run: one attempt of a task, and how it ended.

use std::{fmt, sync::Arc};

use actix::Recipient;
use futures_util::future::LocalBoxFuture;
use reel_protocol::{CacheMode, JsonText, TaskError, TaskId};

use crate::{
    cache::{Kept, MakeRoom},
    domain::{Again, CancelSignal, Candidate, Cost, JobSink, ProgressSink, RemoteJob},
    provider::Permit,
    store::StoreError,
};

/// Runs attempts. The tracker holds an object of this trait, so that a test can replace the services.
pub trait RunTasks: fmt::Debug + Send + Sync {
    /// Runs an attempt to its end.
    fn run(&self, task: RunTask) -> LocalBoxFuture<'static, RunEnd>;
}

/// One attempt of a task.
#[derive(Debug)]
pub struct RunTask {
    /// The number of the task.
    pub task: TaskId,
    /// The client that submitted it.
    pub client: Arc<str>,
    /// The priority of the task.
    pub priority: i8,
    /// Whether somebody has retried the task since its last attempt.
    pub is_retry: bool,
    /// The service and method, such as `image.generate`.
    pub kind: Arc<str>,
    /// The params as the planner completed them.
    pub params: JsonText,
    /// The provider that is asked in this attempt. None if the service needs none.
    pub provider: Option<Candidate>,
    /// What that provider holds for an earlier attempt. It is asked for before anything new.
    pub job: Option<Arc<RemoteJob>>,
    /// The permit of the provider. It is released when the call is really over.
    pub permit: Option<Permit>,
    /// How the task uses the cache.
    pub cache: CacheMode,
    /// Signals that the attempt shall stop.
    pub cancel: CancelSignal,
    /// Receives the progress of the attempt.
    pub progress: ProgressSink,
    /// Journals what the provider holds for the attempt.
    pub jobs: JobSink,
    /// Asked to drop the oldest finished tasks if the artifacts of the history fill the disk tier.
    pub make_room: Recipient<MakeRoom>,
}

/// Returns the task's error, and what may follow, if its results could not be journaled.
pub type JournalFailure = fn(StoreError) -> (TaskError, Again);

/// How an attempt at a task ended.
#[derive(Debug)]
pub enum RunEnd {
    /// The attempt succeeded. The task has no result.
    Done,
    /// The attempt made results. Their rows are to be written in one transaction with the ends of the tasks that share them.
    Made {
        /// The results, with the rows that name their files.
        kept: Box<Kept>,
        /// What the results cost. None if that is not known.
        cost: Option<Cost>,
        /// Called if the rows cannot be written.
        on_journal_failure: JournalFailure,
    },
    /// The attempt failed with this error. The second value says what may follow.
    Failed(TaskError, Again),
    /// The attempt failed, but the provider says that the call has cost this much.
    FailedAtCost(TaskError, Again, Cost),
    /// The attempt stopped because it was told to.
    Stopped,
}

impl RunEnd {
    /// A failure after which another attempt may follow if the error is retryable.
    pub fn failed(error: TaskError) -> Self {
        let again = if error.retryable { Again::Later(None) } else { Again::Never };
        Self::Failed(error, again)
    }
}
