//! What the driver tells the machine.

use std::{sync::Arc, time::Duration};

use reel_protocol::{BatchId, Digest, TaskError, TaskId, TaskSpec};

use super::{Outcome, Write};
use crate::{
    cache::Made,
    domain::{Cost, Piece, RemoteJob, StepOf},
    store::{Recovered, StoreError},
    tasks::{Again, Caller, Decision, Lost, Plan, PlanRefusal, PlanTasks, SetTaskLimits, TaskRefusal},
};

/// The driver's number for a request that it will answer. Each is used once, and a later request has a larger number.
pub type RequestId = u64;

/// The machine's number for one attempt at one or more equal tasks.
pub type RunId = u64;

/// Something that happened. The driver hands events in one at a time, and commits in the order in which the journal made them.
#[derive(Debug)]
pub enum Event {
    /// A client submits tasks; the answer leaves when they are committed.
    Submit {
        /// The request to answer.
        request: RequestId,
        /// The tasks, planned and looked up.
        intake: Box<Intake>,
    },
    /// A client submits one task and waits until it is settled.
    Call {
        /// The request to answer.
        request: RequestId,
        /// The task, planned and looked up.
        intake: Box<Intake>,
        /// How long the client waits at the most; `None` without end.
        timeout: Option<Duration>,
    },
    /// A client waits for tasks that exist: those that are not unfinished are over.
    Wait {
        /// The request to answer.
        request: RequestId,
        /// What the client waits for.
        on: WaitOn,
        /// Whether the first task that is settled ends the wait, and not the last.
        is_any: bool,
        /// How long the client waits at the most; `None` without end.
        timeout: Option<Duration>,
    },
    /// What a request names does not exist.
    NotFound {
        /// The request to answer.
        request: RequestId,
        /// What is missing.
        refusal: TaskRefusal,
    },
    /// Whoever sent this request does not wait any more.
    Gone(RequestId),
    /// Somebody decides about a task.
    Decide {
        /// The request to answer.
        request: RequestId,
        /// The task that the decision is about, finished or not.
        id: TaskId,
        /// What was decided.
        decision: Decision,
    },
    /// Somebody removes a finished task from the history.
    Remove {
        /// The request to answer.
        request: RequestId,
        /// The task to be removed; refused where it is unfinished.
        id: TaskId,
    },
    /// The cache asks the history to let the oldest finished tasks go.
    MakeRoom {
        /// The request to answer.
        request: RequestId,
        /// How many bytes of artifacts must be named by no task any more.
        bytes: u64,
    },
    /// The queue is paused, or goes on.
    Pause(bool),
    /// The configuration has other limits.
    Limits(SetTaskLimits),
    /// The providers have changed: unfinished tasks are planned anew.
    Replan(Arc<dyn PlanTasks>),
    /// The plans that [`Effect::Plan`](super::Effect::Plan) asked for.
    Planned {
        /// The planner that made them.
        generation: u64,
        /// Each task's plan, or why there is none.
        plans: Vec<(TaskId, Result<Plan, PlanRefusal>)>,
    },
    /// An attempt that is about to fail has cost this: its task has that cost, with what it costs further.
    Charged {
        /// The number of the attempt.
        run: RunId,
        /// What the provider reports.
        cost: Cost,
    },
    /// Accept no more tasks, and end those that run.
    Drain {
        /// The request to answer.
        request: RequestId,
        /// How long running tasks may take.
        limit: Duration,
        /// How long those may take that may have been paid, and whose answers would be lost.
        paid: Duration,
    },
    /// An attempt says how far it is.
    Progress {
        /// The number of the attempt that reports.
        run: RunId,
        /// From 0 to 1.
        fraction: f64,
        /// What it does now.
        message: String,
    },
    /// An attempt shows a piece of its result.
    Showed {
        /// The number of the attempt that shows it.
        run: RunId,
        /// The piece.
        piece: Piece,
    },
    /// An attempt says what its provider holds for it, or with `None` that it holds nothing any more.
    RememberJob {
        /// The request to answer, after the commit.
        request: RequestId,
        /// The number of the attempt whose provider holds something.
        run: RunId,
        /// What the provider holds.
        job: Option<RemoteJob>,
    },
    /// What the cache has for an attempt that is about to begin.
    LookedUp {
        /// The number of the attempt that asked for the look-up.
        run: RunId,
        /// The result, if there is one.
        found: Option<Arc<Made>>,
    },
    /// An attempt is over.
    Ended {
        /// The number of the attempt that ended.
        run: RunId,
        /// How it ended.
        end: AttemptEnd,
    },
    /// A write was committed, or refused.
    Committed {
        /// The write of [`Effect::Commit`](super::Effect::Commit).
        write: Arc<Write>,
        /// What came of it.
        outcome: Result<Outcome, StoreError>,
    },
    /// The row that [`Effect::Load`](super::Effect::Load) asked for.
    Loaded {
        /// The request to answer.
        request: RequestId,
        /// The task whose row was read.
        id: TaskId,
        /// What was decided about it.
        decision: Decision,
        /// The task as the journal has it, `None` if it does not.
        row: Result<Option<Box<Recovered>>, StoreError>,
    },
    /// The outputs that [`Effect::Resolve`](super::Effect::Resolve) asked for.
    Resolved {
        /// The task whose params refer to them.
        id: TaskId,
        /// The digest of each, in their order; `None` where the task that is referred to has no such output.
        outputs: Result<Vec<Option<Digest>>, StoreError>,
    },
    /// The time of [`Effect::WakeAt`](super::Effect::WakeAt) has come, or the surroundings changed: a permit came back, memory is free again.
    Tick,
}

/// How a task would run, and what the cache has of it.
pub type PlannedTask = (Plan, Option<Arc<Made>>);

/// A request for tasks, with how each would run and what the cache has of it.
#[derive(Debug)]
pub struct Intake {
    /// Who asks.
    pub caller: Caller,
    /// Makes the request safe to send again.
    pub request_id: Option<String>,
    /// The digest of all that is asked for, which tells a repeat from another request with the same id.
    pub fingerprint: [u8; 32],
    /// The batch that the tasks are appended to.
    pub batch: Option<BatchId>,
    /// Whether the tasks are a batch, be it a new one.
    pub is_batch: bool,
    /// The label of a new batch.
    pub name: Option<String>,
    /// The tasks as the client asked for them.
    pub specs: Vec<TaskSpec>,
    /// For each task how it would run and what the cache has of it, or why the request cannot be accepted.
    pub planned: Result<Vec<PlannedTask>, TaskRefusal>,
    /// What the disk has left; `None` where the system does not say.
    pub disk_free_bytes: Option<u64>,
    /// The workflow that the task is a step of.
    pub step: Option<StepOf>,
}

impl Intake {
    /// A request for one task, which is still to be planned.
    pub fn single(caller: Caller, spec: TaskSpec) -> Self {
        Self { is_batch: false, ..Self::batch(caller, vec![spec]) }
    }

    /// A request for a new batch, which is still to be planned.
    pub fn batch(caller: Caller, specs: Vec<TaskSpec>) -> Self {
        Self {
            caller,
            request_id: None,
            fingerprint: [0; 32],
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

/// What a client waits for.
#[derive(Debug, Clone)]
pub enum WaitOn {
    /// These tasks.
    Tasks(Vec<TaskId>),
    /// All tasks of a batch that exists.
    Batch {
        /// The number of the batch.
        batch: BatchId,
        /// Whether a task of it is settled already. It matters only to a wait for any.
        has_settled: bool,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum AttemptEnd {
    /// It is done, and has nothing to show.
    Done,
    /// It made results, whose rows the driver holds until [`Write::Results`] writes them.
    Made {
        /// The results, without their rows.
        made: Arc<Made>,
        /// What they cost, where that is known.
        cost: Option<Cost>,
        /// What follows if the rows cannot be written.
        lost: Lost,
    },
    /// It failed, and this may follow.
    Failed(TaskError, Again),
    /// It stopped because it was told to.
    Stopped,
}
