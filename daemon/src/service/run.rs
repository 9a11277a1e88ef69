//! One attempt of a task, as the tracker asks the services for it, and how it ended.

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

/// Runs attempts. The tracker holds one, and so a test can put another in its place.
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
    /// The provider that is asked in this attempt.
    pub provider: Option<Candidate>,
    /// What that provider holds of an earlier attempt, to be asked for first.
    pub job: Option<Arc<RemoteJob>>,
    /// The provider's permit; given back when the call is really over.
    pub permit: Option<Permit>,
    /// How it uses the cache.
    pub cache: CacheMode,
    /// Says when the attempt shall stop.
    pub cancel: CancelSignal,
    /// Where the attempt reports how far it is.
    pub progress: ProgressSink,
    /// Where to say what the provider holds.
    pub jobs: JobSink,
    /// Makes the history give way where its artifacts fill the disk tier.
    pub make_room: Recipient<MakeRoom>,
}

/// What a task's error is, and what follows, where its results could not be journaled.
pub type Lost = fn(StoreError) -> (TaskError, Again);

/// How an attempt at a task ended.
#[derive(Debug)]
pub enum RunEnd {
    /// It is done, and has nothing to show.
    Done,
    /// It made these. Their rows are to be written with what they mean for the tasks.
    Made {
        /// The results, with the rows that name their files.
        kept: Box<Kept>,
        /// What they cost, where that is known.
        cost: Option<Cost>,
        /// What follows if the rows cannot be written.
        lost: Lost,
    },
    /// It failed, and this may follow.
    Failed(TaskError, Again),
    /// The same, and the provider says that the call has cost this all the same.
    FailedAtCost(TaskError, Again, Cost),
    /// It stopped because it was told to.
    Stopped,
}

impl RunEnd {
    /// A failure that another attempt may mend if its error says so.
    pub fn failed(error: TaskError) -> Self {
        let again = if error.retryable { Again::Later(None) } else { Again::Never };
        Self::Failed(error, again)
    }
}
