//! The messages to the task tracker, and the answers to them.

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

/// The sender of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The program's name, from `hello` or from its process.
    pub client: Arc<str>,
    /// The number of its connection.
    pub connection: u64,
}

/// Accepts one task. The answer is sent after its row is committed.
#[derive(Debug, Message)]
#[rtype(result = "Result<SubmitResult, TaskRefusal>")]
pub struct SubmitTask {
    /// The sender. Tasks are scheduled fairly between client names.
    pub caller: Caller,
    /// The task as the client sent it, not planned yet.
    pub spec: TaskSpec,
    /// The workflow that the task is a step of. None for a task that a client submits.
    pub step: Option<StepOf>,
}

/// Returns how a task would run, and its cached result if there is one. Nothing is accepted.
#[derive(Debug, Message)]
#[rtype(result = "Result<Trial, TaskRefusal>")]
pub struct TryTask {
    /// The task that would be submitted.
    pub spec: TaskSpec,
}

/// How a task would run.
#[derive(Debug)]
pub struct Trial {
    /// How the task would run if it were submitted now.
    pub plan: Plan,
    /// Its cached result. None if the cache has none, or if the task does not read the cache.
    pub cached: Option<Arc<Made>>,
}

/// Accepts several tasks as a batch, all or none.
#[derive(Debug, Message)]
#[rtype(result = "Result<SubmitBatchResult, TaskRefusal>")]
pub struct SubmitBatch {
    /// The client that sends the request.
    pub caller: Caller,
    /// Identifies the request, so that it can be repeated: a repeat returns the tasks that were accepted the first time.
    pub request_id: Option<String>,
    /// The label of a new batch.
    pub name: Option<String>,
    /// The batch to append to. None for a new batch.
    pub batch: Option<BatchId>,
    /// The tasks in the order of the request, not planned yet.
    pub specs: Vec<TaskSpec>,
}

/// Resolves when the sender half is dropped, because the client has gone and its wait should end. An actor is not told of that by itself.
pub type ClientGone = oneshot::Receiver<()>;

/// Accepts one task and answers when it is settled, which is when it is finished or held. At the timeout it answers with the task in its current
/// state.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskView, TaskRefusal>")]
pub struct CallService {
    /// The client that sends the request.
    pub caller: Caller,
    /// The task as the client sent it, not planned yet.
    pub spec: TaskSpec,
    /// Longest wait. None for no limit.
    pub timeout: Option<Duration>,
    /// Resolves when the client has gone.
    pub gone: ClientGone,
}

/// Returns one task.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskView, TaskRefusal>")]
pub struct GetTask(pub TaskId);

/// Returns a page of tasks.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskListResult, TaskRefusal>")]
pub struct ListTasks(pub store::Filter);

/// The tasks that a wait is for.
#[derive(Debug, Clone)]
pub enum WaitFor {
    /// The tasks with these ids.
    Tasks(Vec<TaskId>),
    /// All tasks of a batch.
    Batch(BatchId),
}

/// Answers when the tasks are settled (finished or held), or at the timeout.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskWaitResult, TaskRefusal>")]
pub struct WaitTasks {
    /// The tasks to wait for.
    pub what: WaitFor,
    /// Whether the wait ends with the first settled task. Otherwise it ends with the last.
    pub is_any: bool,
    /// Longest wait. None for no limit.
    pub timeout: Option<Duration>,
    /// Resolves when the client has gone.
    pub gone: ClientGone,
}

/// A decision of a person or a program about one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Cancel the task.
    Cancel,
    /// Queue a failed or cancelled task again.
    Retry,
    /// Hold a task that does not run, until it is released.
    Hold,
    /// Put a held task back into the queue.
    Release,
    /// Change its priority in the queue.
    SetPriority(i8),
}

/// Carries out a decision, and returns the task as it is after the commit.
#[derive(Debug, Message)]
#[rtype(result = "Result<TaskView, TaskRefusal>")]
pub struct DecideTask {
    /// The task's id.
    pub id: TaskId,
    /// What is to become of the task.
    pub decision: Decision,
}

/// Removes a finished task from the history.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), TaskRefusal>")]
pub struct RemoveTask(pub TaskId);

/// Pauses the queue, so that no task starts, or resumes it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PauseQueue(pub bool);

/// Returns how many tasks there are.
#[derive(Debug, Message)]
#[rtype(result = "TaskCounts")]
pub struct GetTaskCounts;

/// Numbers of tasks, and the state of the queue.
#[derive(Debug, Clone, Default)]
pub struct TaskCounts {
    /// Number of tasks in each state. Every state has an entry.
    pub by_state: std::collections::BTreeMap<String, u64>,
    /// Number of them that are steps of workflows. Every state has an entry.
    pub steps_by_state: std::collections::BTreeMap<String, u64>,
    /// Whether the queue is paused.
    pub is_paused: bool,
    /// The reason why no queued task starts, whichever it is. None if tasks can start.
    pub wait_reason: Option<WaitReason>,
    /// Whether there is no attempt, no ready or delayed task, and no request that is being accepted.
    pub is_idle: bool,
    /// Providers that are not configured, each with the number of waiting or queued tasks that need it.
    pub missing_providers: std::collections::BTreeMap<String, u64>,
}

/// Replaces the limits.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SetTaskLimits {
    /// Most tasks that run at once.
    pub max_concurrent: usize,
    /// Most finished tasks that are kept in the history.
    pub history: u64,
    /// Most unfinished tasks.
    pub queue_limit: u64,
    /// Most attempts of a task that does not set `max_attempts`.
    pub default_attempts: u32,
}

/// Stops accepting tasks, gives running tasks time to end, queues the others again, and waits until everything is journaled.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Drained")]
pub struct Drain {
    /// Time that running tasks get.
    pub limit: Duration,
    /// Time that tasks get that may have been paid. Their answers would be lost otherwise.
    pub paid: Duration,
}

impl Drain {
    /// Returns a drain with the same time for all tasks.
    pub const fn within(limit: Duration) -> Self {
        Self { limit, paid: limit }
    }
}

/// The result of a drain.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drained {
    /// Number of attempts that ended by themselves.
    pub ended: usize,
    /// Number of attempts that were stopped, and whose tasks were queued again.
    pub requeued: usize,
    /// Number of attempts that did not stop. Their tasks are held if they may have been paid. The next start of the daemon decides about the others.
    pub abandoned: usize,
}

/// Replaces the planner because the providers have changed. All unfinished tasks are planned again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Replan(pub Arc<dyn PlanTasks>);
