//! What the task tracker is asked, what it answers, and what it asks of others.

use std::{sync::Arc, time::Duration};

use actix::Message;
use reel_protocol::{
    BatchId, TaskId, TaskSpec, TaskView, WaitReason,
    methods::{SubmitBatchResult, SubmitResult, TaskListResult, TaskWaitResult},
};
use tokio::sync::oneshot;

use crate::{
    cache::Made,
    domain::{Plan, PlanTasks, StepOf},
    store,
    tasks::TaskRefusal,
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
    /// What is asked for.
    pub spec: TaskSpec,
    /// The workflow that the task is a step of; none for what a client submits.
    pub step: Option<StepOf>,
}

/// Say how a task would run, and whether the cache has its result. Nothing is accepted.
#[derive(Debug, Message)]
#[rtype(result = "Result<Trial, TaskRefusal>")]
pub struct TryTask {
    /// What would be submitted.
    pub spec: TaskSpec,
}

/// How a task would run.
#[derive(Debug)]
pub struct Trial {
    /// Its plan.
    pub plan: Plan,
    /// What the cache has for it.
    pub cached: Option<Arc<Made>>,
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

/// Plan every unfinished task anew with another planner, and what comes from now on: the providers have changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Replan(pub Arc<dyn PlanTasks>);
