//! What the task tracker is asked, what it answers, and what it asks of others.

use std::{sync::Arc, time::Duration};

use actix::{Message, Recipient};
use reel_protocol::{
    BatchId, CacheMode, ErrorCode, JsonText, TaskError, TaskId, TaskSpec, TaskView, WaitReason,
    methods::{SubmitBatchResult, SubmitResult, TaskListResult, TaskWaitResult},
};
use tokio::sync::{oneshot, watch};

use crate::{
    cache::Kept,
    provider::{Permit, RemoteJob, Target},
    store::{self, Refused, StoreError},
    tasks::{Again, JobSink, TaskRefusal},
};

/// Who sends a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The program's name, by `hello` or by its process.
    pub client: Arc<str>,
    /// Its connection's number.
    pub connection: u64,
}

/// Accept one task.
#[derive(Debug, Message)]
#[rtype(result = "Result<SubmitResult, TaskRefusal>")]
pub struct SubmitTask {
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub spec: TaskSpec,
}

/// Accept many, all or none.
#[derive(Debug, Message)]
#[rtype(result = "Result<SubmitBatchResult, TaskRefusal>")]
pub struct SubmitBatch {
    /// Who asks.
    pub caller: Caller,
    /// Makes it safe to send again.
    pub request_id: Option<String>,
    /// The batch's label.
    pub name: Option<String>,
    /// The batch to append to.
    pub batch: Option<BatchId>,
    /// What.
    pub specs: Vec<TaskSpec>,
}

/// Ends once its other end is dropped: whoever asked has gone, and a wait would last for nobody. An actor is not told of that by itself.
pub type Gone = oneshot::Receiver<()>;

/// Accept one task and answer when it is settled, or as it stands at the timeout.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskView, TaskRefusal>")]
pub struct CallService {
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub spec: TaskSpec,
    /// No timeout if None.
    pub timeout: Option<Duration>,
    /// Whether anybody still waits for the answer.
    pub gone: Gone,
}

/// Answer one task.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskView, TaskRefusal>")]
pub struct GetTask(pub TaskId);

/// Answer a page of tasks.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskListResult, TaskRefusal>")]
pub struct ListTasks(pub store::Filter);

/// What to wait for.
#[derive(Debug, Clone)]
pub enum WaitFor {
    /// These.
    Tasks(Vec<TaskId>),
    /// All of a batch.
    Batch(BatchId),
}

/// Answer when the tasks are settled, or at the timeout.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskWaitResult, TaskRefusal>")]
pub struct WaitTasks {
    /// Which.
    pub what: WaitFor,
    /// Until one is settled, not all.
    pub is_any: bool,
    /// No timeout if None.
    pub timeout: Option<Duration>,
    /// Whether anybody still waits for the answer.
    pub gone: Gone,
}

/// What a person or a program decides about one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Give it up.
    Cancel,
    /// Queue it again after it failed or was cancelled.
    Retry,
    /// Make it stand still.
    Hold,
    /// Let it go on.
    Release,
    /// Move it in the queue.
    SetPriority(i8),
}

/// Carry out a decision; answers the task after it.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskView, TaskRefusal>")]
pub struct DecideTask {
    /// Which.
    pub id: TaskId,
    /// What.
    pub decision: Decision,
}

/// Drop a finished task from the history.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), TaskRefusal>")]
pub struct RemoveTask(pub TaskId);

/// Drop the oldest finished tasks until so many bytes of artifacts are named by no task any more; answers how many bytes that are, 0 if
/// none can be.
#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub struct MakeRoom {
    /// Wanted.
    pub bytes: u64,
}

/// Start no new task, or start them again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PauseQueue(pub bool);

/// Answer how many tasks there are.
#[derive(Debug, Message)]
#[rtype(result = "TaskCounts")]
pub struct GetTaskCounts;

/// How many tasks there are.
#[derive(Debug, Clone, Default)]
pub struct TaskCounts {
    /// By state; every state is there.
    pub by_state: std::collections::BTreeMap<String, u64>,
    /// Whether the queue is paused.
    pub is_paused: bool,
    /// Why no queued task starts, whatever it is.
    pub wait_reason: Option<WaitReason>,
    /// Whether nothing runs and nothing could start.
    pub is_idle: bool,
    /// Providers that are not configured any more, and how many waiting or queued tasks need each.
    pub missing_providers: std::collections::BTreeMap<String, u64>,
}

/// Take new limits.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SetTaskLimits {
    /// Tasks that run at once.
    pub max_concurrent: usize,
    /// Finished tasks that are kept.
    pub history: u64,
    /// Unfinished tasks that are accepted.
    pub queue_limit: u64,
    /// Attempts of a task that names none.
    pub default_attempts: u32,
}

/// Accept no more, let running tasks end within `limit`, queue the rest again, journal.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Drained")]
pub struct Drain {
    /// How long running tasks may take.
    pub limit: Duration,
    /// How long those may take that may have been paid, and whose answers would be lost.
    pub paid: Duration,
}

impl Drain {
    /// All may take that long, and no more.
    pub const fn within(limit: Duration) -> Self {
        Self { limit, paid: limit }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drained {
    /// Tasks that ended by themselves.
    pub ended: usize,
    /// Tasks that were stopped and queued again.
    pub requeued: usize,
    /// Tasks that did not stop: held if they may have been paid, otherwise the next start decides about them.
    pub abandoned: usize,
}

/// How far a run is; may be lost when too many come at once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReportProgress {
    /// The number of the run that reports.
    pub run: u64,
    /// 0 to 1.
    pub fraction: f64,
    /// What it does now.
    pub message: String,
}

/// Where a run reports how far it is.
#[derive(Debug, Clone)]
pub struct ProgressSink {
    /// The tracker.
    pub recipient: Recipient<ReportProgress>,
    /// The number of the run that reports.
    pub run: u64,
}

impl ProgressSink {
    /// Reports; a report that finds the mailbox full is dropped, as the next one says more.
    pub fn report(&self, fraction: f64, message: impl Into<String>) {
        let _ = self.recipient.try_send(ReportProgress { run: self.run, fraction, message: message.into() });
    }
}

/// Whether a run shall stop; true means stop. Waits on it, or asks it between steps.
pub type CancelSignal = watch::Receiver<bool>;

/// Checks specs and says how they would run, before anything is accepted. Pure, and called from any thread.
pub trait PlanTasks: std::fmt::Debug + Send + Sync {
    /// Another number for each change of the providers: a plan of an earlier one is made anew before it is used.
    fn generation(&self) -> u64;

    /// The plan of one; a refusal's index is the caller's to set.
    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal>;
}

/// Plan every unfinished task anew with another planner, and what comes from now on: the providers have changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Replan(pub Arc<dyn PlanTasks>);

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct PlanSpec<'a> {
    /// `service.method`.
    pub kind: &'a str,
    /// As the caller sent them, or as the journal kept them.
    pub params: &'a JsonText,
    /// The provider that the caller named.
    pub provider: Option<&'a str>,
    /// The provider that the task was planned for before: the first choice while it is configured, as another one may cost something.
    pub planned: Option<&'a str>,
    /// Providers that refused the task; they are not chosen again unless the caller named one, or no other is left.
    pub refused_by: &'a [Refused],
}

/// How a task would run.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// With defaults applied.
    pub params: JsonText,
    /// Providers that can do it, in the order of selection; empty for services that need none.
    pub candidates: Vec<Candidate>,
    /// Of the planner that made it; 0 for what is no plan yet.
    pub generation: u64,
    /// The provider that the task needs and that is not configured: the task waits until it is planned anew.
    pub missing: Option<Arc<str>>,
}

impl Plan {
    /// The plan of a task whose provider is not configured.
    pub fn without_provider(params: JsonText, provider: Arc<str>, generation: u64) -> Self {
        Self { params, candidates: Vec::new(), generation, missing: Some(provider) }
    }

    /// The provider that it is for, configured or not; None for services that need none.
    pub fn provider(&self) -> Option<&Arc<str>> {
        self.candidates.first().map(|first| &first.provider).or(self.missing.as_ref())
    }

    /// What its result is cached under, in the order of selection.
    pub fn keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.candidates.iter().map(|candidate| &candidate.key)
    }
}

/// One provider that can do a task.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The instance's name.
    pub provider: Arc<str>,
    /// Its model.
    pub model: Option<Arc<str>>,
    /// What the result is cached under.
    pub key: [u8; 32],
    /// Whether asking twice may pay twice.
    pub is_paid: bool,
    /// Whether it may be asked where another one fails: the model that the request names, if any, is its own.
    pub is_alternative: bool,
}

impl Candidate {
    /// What its gate is asked for.
    pub fn target(&self) -> Target {
        Target { provider: Arc::clone(&self.provider), model: self.model.clone() }
    }
}

/// Why a spec is not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct PlanRefusal {
    /// Which spec of the request, from 0.
    pub index: usize,
    /// The stable code.
    pub code: ErrorCode,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl PlanRefusal {
    /// Whether the task holds, and only its provider is not configured: a task that was accepted waits for it then.
    pub const fn is_for_want_of_its_provider(&self) -> bool {
        matches!(self.code, ErrorCode::UnknownProvider | ErrorCode::NoProvider)
    }
}

/// Runs one attempt: asked of the services; the answer is the attempt's end.
#[derive(Debug, Message)]
#[rtype(result = "RunEnd")]
pub struct RunTask {
    /// `service.method`.
    pub kind: Arc<str>,
    /// As planned.
    pub params: JsonText,
    /// The provider to use.
    pub provider: Option<Candidate>,
    /// What that provider holds of an earlier attempt, to be asked for first.
    pub job: Option<Arc<RemoteJob>>,
    /// The provider's permit; given back when the call is really over.
    pub permit: Option<Permit>,
    /// How it uses the cache.
    pub cache: CacheMode,
    /// Whether to stop.
    pub cancel: CancelSignal,
    /// Where to report.
    pub progress: ProgressSink,
    /// Where to say what the provider holds.
    pub jobs: JobSink,
    /// Makes the history give way where its artifacts fill the disk tier.
    pub make_room: Recipient<MakeRoom>,
}

/// What a task's error is, and what follows, where its results could not be journaled.
pub type Lost = fn(StoreError) -> (TaskError, Again);

/// How an attempt ended.
#[derive(Debug)]
pub enum RunEnd {
    /// It is done, and has nothing to show.
    Done,
    /// It made these. Their rows are to be written with what they mean for the tasks.
    Made {
        /// The results.
        kept: Box<Kept>,
        /// What the provider says that they cost, in millionths of a US dollar.
        cost_microusd: Option<u64>,
        /// What follows if the rows cannot be written.
        lost: Lost,
    },
    /// It failed, and this may follow.
    Failed(TaskError, Again),
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
