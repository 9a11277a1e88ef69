//! The events that the driver passes to the machine.

use std::{sync::Arc, time::Duration};

use reel_protocol::{BatchId, Digest, TaskError, TaskId, TaskSpec};

use super::{Outcome, Write};
use crate::{
    cache::Made,
    domain::{Cost, Fingerprint, Piece, RemoteJob, StepOf},
    store::{Recovered, StoreError},
    tasks::{
        Again, Caller, Decision, JournalFailure, Plan, PlanRefusal, PlanTasks, SetTaskLimits, TaskRefusal,
    },
};

/// The driver's number of a request that it will answer. Numbers are never reused, and a later request has a larger one.
pub type RequestId = u64;

/// The machine's number of an attempt. One attempt works for one or more equal tasks.
pub type RunId = u64;

/// Something that happened. The driver passes one event at a time, and passes commits in the order in which the journal made them.
#[derive(Debug)]
pub enum Event {
    /// A client submits tasks. It is answered after they are committed.
    Submit {
        /// The request to answer.
        request: RequestId,
        /// The tasks, planned and looked up in the cache.
        intake: Box<Intake>,
    },
    /// A client submits one task and waits until it is settled, which is when it is finished or held.
    Call {
        /// The request to answer.
        request: RequestId,
        /// The task, planned and looked up in the cache.
        intake: Box<Intake>,
        /// Longest wait of the client. `None` for no limit.
        timeout: Option<Duration>,
    },
    /// A client waits for tasks that exist. Those that are not in memory are finished.
    Wait {
        /// The request to answer.
        request: RequestId,
        /// The tasks that the client waits for.
        on: WaitOn,
        /// Whether the wait ends with the first settled task. Otherwise it ends with the last.
        is_any: bool,
        /// Longest wait of the client. `None` for no limit.
        timeout: Option<Duration>,
    },
    /// A task or batch that a request names does not exist.
    NotFound {
        /// The request to answer.
        request: RequestId,
        /// The refusal that names it.
        refusal: TaskRefusal,
    },
    /// A task of the batch that this wait is for had been settled when the wait began.
    HadSettled(RequestId),
    /// The client that sent this request has gone.
    Gone(RequestId),
    /// A person or a program decides about a task.
    Decide {
        /// The request to answer.
        request: RequestId,
        /// The task, finished or not.
        id: TaskId,
        /// What is to become of the task.
        decision: Decision,
    },
    /// A person or a program removes a finished task from the history.
    Remove {
        /// The request to answer.
        request: RequestId,
        /// The task to remove. An unfinished one is refused.
        id: TaskId,
    },
    /// The cache asks the history to drop the oldest finished tasks.
    MakeRoom {
        /// The request to answer.
        request: RequestId,
        /// Size of the artifacts that no task may name any more afterwards, in bytes.
        bytes: u64,
    },
    /// The queue is paused, or resumed.
    Pause(bool),
    /// The configuration has new limits.
    Limits(SetTaskLimits),
    /// The providers have changed, so unfinished tasks are planned again with this planner.
    Replan(Arc<dyn PlanTasks>),
    /// The plans that [`Effect::Plan`](super::Effect::Plan) requested.
    Planned {
        /// The generation of the planner that made them.
        generation: u64,
        /// The plan of each task, or why there is none.
        plans: Vec<(TaskId, Result<Plan, PlanRefusal>)>,
    },
    /// An attempt that is about to fail was charged for. Its task keeps the cost, and later costs are added to it.
    Charged {
        /// The number of the attempt, unique in this process.
        run: RunId,
        /// The cost that the provider reports.
        cost: Cost,
    },
    /// The daemon stops: no more tasks are accepted, and running ones must end.
    Drain {
        /// The request to answer.
        request: RequestId,
        /// Time that running tasks get.
        limit: Duration,
        /// Time that tasks get that may have been paid. Their answers would be lost otherwise.
        paid: Duration,
    },
    /// An attempt reports its progress.
    Progress {
        /// The number of the attempt, unique in this process.
        run: RunId,
        /// From 0 to 1.
        fraction: f64,
        /// What the attempt is doing, for people.
        message: String,
    },
    /// An attempt reports a piece of its result.
    Showed {
        /// The number of the attempt, unique in this process.
        run: RunId,
        /// The piece of a text, or the preview of a picture.
        piece: Piece,
    },
    /// An attempt reports the remote job that its provider holds for it, or with `None` that it holds none any more.
    RememberJob {
        /// The request to answer, after the commit.
        request: RequestId,
        /// The number of the attempt, unique in this process.
        run: RunId,
        /// The remote job.
        job: Option<RemoteJob>,
    },
    /// The answer of the cache for an attempt that is about to begin.
    LookedUp {
        /// The number of the attempt, unique in this process.
        run: RunId,
        /// The cached result. `None` for a miss.
        found: Option<Arc<Made>>,
    },
    /// An attempt has ended.
    Ended {
        /// The number of the attempt, unique in this process.
        run: RunId,
        /// How it ended.
        end: AttemptEnd,
    },
    /// A write was committed, or refused.
    Committed {
        /// The write of [`Effect::Commit`](super::Effect::Commit).
        write: Arc<Write>,
        /// The outcome, or why the write failed.
        outcome: Result<Outcome, StoreError>,
    },
    /// The row that [`Effect::Load`](super::Effect::Load) asked for.
    Loaded {
        /// The request to answer.
        request: RequestId,
        /// The id of the task that the event concerns.
        id: TaskId,
        /// The decision that is to be made about it.
        decision: Decision,
        /// The task's row. `None` if there is no such task.
        row: Result<Option<Box<Recovered>>, StoreError>,
    },
    /// The outputs that [`Effect::Resolve`](super::Effect::Resolve) asked for.
    Resolved {
        /// The task whose params refer to the outputs.
        id: TaskId,
        /// The digest of each output, in the order of the references. `None` if the task that is referred to has no such output.
        outputs: Result<Vec<Option<Digest>>, StoreError>,
    },
    /// The time of [`Effect::WakeAt`](super::Effect::WakeAt) has come, or the surroundings changed: a permit was given back, or the memory pressure
    /// changed.
    Tick,
}

/// The plan of a task, and its cached result.
pub type PlannedTask = (Plan, Option<Arc<Made>>);

/// A request for tasks, with the plan and the cached result of each task.
#[derive(Debug)]
pub struct Intake {
    /// The sender of the request.
    pub caller: Caller,
    /// Identifies the request, so that it can be repeated: a repeat returns the tasks that were accepted the first time.
    pub request_id: Option<String>,
    /// A digest of the whole request. It tells a repeat from another request with the same id.
    pub fingerprint: Fingerprint,
    /// The batch that the tasks are appended to. `None` for a new batch or for a single task.
    pub batch: Option<BatchId>,
    /// Whether the tasks belong to a batch, new or existing.
    pub is_batch: bool,
    /// The label of a new batch.
    pub name: Option<String>,
    /// The tasks as the client submitted them.
    pub specs: Vec<TaskSpec>,
    /// The plan and the cached result of each task, or why the request cannot be accepted.
    pub planned: Result<Vec<PlannedTask>, TaskRefusal>,
    /// Free space on the disk, in bytes. `None` if the system does not report it.
    pub disk_free_bytes: Option<u64>,
    /// The workflow that the task is a step of.
    pub step: Option<StepOf>,
}

impl Intake {
    /// Returns a request for one task, which is not planned yet.
    pub fn single(caller: Caller, spec: TaskSpec) -> Self {
        Self { is_batch: false, ..Self::batch(caller, vec![spec]) }
    }

    /// Returns a request for a new batch, which is not planned yet.
    pub fn batch(caller: Caller, specs: Vec<TaskSpec>) -> Self {
        Self {
            caller,
            request_id: None,
            fingerprint: Fingerprint::NONE,
            batch: None,
            is_batch: true,
            name: None,
            specs,
            planned: Ok(Vec::new()),
            disk_free_bytes: None,
            step: None,
        }
    }
}

/// The tasks that a client waits for.
#[derive(Debug, Clone)]
pub enum WaitOn {
    /// The tasks with these ids.
    Tasks(Vec<TaskId>),
    /// All tasks of a batch that exists.
    Batch {
        /// The id of the batch that is waited for.
        batch: BatchId,
        /// Whether a task of it is settled already. Only a wait for any task needs this.
        has_settled: bool,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum AttemptEnd {
    /// It succeeded, and has no results.
    Done,
    /// It made results. The driver holds their rows until [`Write::Results`] writes them.
    Made {
        /// The results, without their rows.
        made: Arc<Made>,
        /// Their cost. `None` if it is unknown.
        cost: Option<Cost>,
        /// Returns what follows if the rows cannot be written.
        on_journal_failure: JournalFailure,
    },
    /// It failed. The second field says what may follow.
    Failed(TaskError, Again),
    /// It stopped because it was told to.
    Stopped,
}
