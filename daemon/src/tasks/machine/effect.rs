//! The effects that the machine requests from its driver: writes, look-ups, attempts, answers and events.

use std::{collections::HashSet, sync::Arc};

use reel_protocol::{
    BatchId, CacheMode, JsonText, TaskId, TaskState, TaskView,
    methods::{PartialEvent, TaskEvent},
};

use super::{Moment, RequestId, RunId};
use crate::{
    cache::{Key, Made},
    domain::{Cost, Fingerprint, Reference, Refused, RemoteJob},
    store::{
        self, Accepted, EncodedRemoteJob, Finish, NewTask, Pruned, Recovered, Start, StoreError, Transition,
    },
    tasks::{Candidate, Drained, JournalFailure, PlanSpec, PlanTasks, TaskRefusal},
};

/// Something that the driver must do. Effects are carried out in their order.
#[derive(Debug)]
pub enum Effect {
    /// Commit this write, and pass it back as [`Event::Committed`](super::Event::Committed).
    Commit(Arc<Write>),
    /// Look these keys up in the cache, in their order. Report the result as [`Event::LookedUp`](super::Event::LookedUp).
    LookUp {
        /// The attempt that is about to begin.
        run: RunId,
        /// The keys under which a result may be cached.
        keys: Vec<Key>,
    },
    /// Begin this attempt, whose row is committed. Report its end as [`Event::Ended`](super::Event::Ended).
    Start(Box<Attempt>),
    /// Tell a running attempt to stop.
    Stop(RunId),
    /// Read the row of a task that is not in memory. Report it as [`Event::Loaded`](super::Event::Loaded).
    Load {
        /// The request that caused it.
        request: RequestId,
        /// The id of the task that the effect concerns.
        id: TaskId,
        /// The decision that is to be made about it.
        decision: crate::tasks::Decision,
    },
    /// Read the outputs that the params of a task refer to. Report them as [`Event::Resolved`](super::Event::Resolved).
    Resolve {
        /// The waiting task.
        id: TaskId,
        /// The references, in the order in which the params have them.
        references: Vec<Reference>,
    },
    /// Plan these tasks, of which there may be a hundred thousand. Report the plans as [`Event::Planned`](super::Event::Planned).
    Plan {
        /// The current planner.
        planner: Arc<dyn PlanTasks>,
        /// The unfinished tasks that were planned by an earlier planner.
        asked: Vec<Unplanned>,
    },
    /// Answer a request.
    Answer {
        /// The number of the request that is answered.
        request: RequestId,
        /// The answer. The rows that it depends on are committed.
        answer: Answer,
    },
    /// Send an event about a task to all subscribers.
    Tell {
        /// The name of the event.
        event: &'static str,
        /// The task as it is after the commit that the event follows.
        task: Box<TaskEvent>,
    },
    /// Send a piece of the result that a task is making to the subscribers of such events.
    TellPartial(Box<PartialEvent>),
    /// Count a task that joined an equal one in flight.
    CountCoalesced,
    /// Send an [`Event::Tick`](super::Event::Tick) at this time. It replaces the time that was requested before. `None` cancels that.
    WakeAt(Option<Moment>),
}

/// An attempt that begins.
#[derive(Debug)]
pub struct Attempt {
    /// The number of the attempt. It owns the permit that the surroundings keep under this number.
    pub run: RunId,
    /// The task that it works for. Equal tasks share its result.
    pub task: TaskId,
    /// The client of that task.
    pub client: Arc<str>,
    /// The priority of that task.
    pub priority: i8,
    /// Whether somebody has retried the task since its last attempt.
    pub is_retry: bool,
    /// The service and method, such as `image.generate`.
    pub kind: Arc<str>,
    /// The params, with defaults applied.
    pub params: JsonText,
    /// The provider and model to ask. `None` for services that need none.
    pub provider: Option<Candidate>,
    /// The remote job that the provider holds from an earlier attempt. The attempt asks for its results first.
    pub job: Option<Arc<RemoteJob>>,
    /// Whether the task reads and writes the cache.
    pub cache: CacheMode,
}

/// A task that must be planned again.
#[derive(Debug, Clone)]
pub struct Unplanned {
    /// The id of the task.
    pub id: TaskId,
    /// The service and method, such as `image.generate`.
    pub kind: Arc<str>,
    /// The params as they are in the journal.
    pub params: JsonText,
    /// The provider that the caller named, if any.
    pub requested_provider: Option<Arc<str>>,
    /// The provider that the task was planned for before, if any.
    pub planned: Option<Arc<str>>,
    /// Providers that refused the task.
    pub refused_by: Vec<Refused>,
}

impl Unplanned {
    /// Returns the request for the planner.
    pub fn spec(&self) -> PlanSpec<'_> {
        PlanSpec {
            kind: &self.kind,
            params: &self.params,
            provider: self.requested_provider.as_deref(),
            planned: self.planned.as_deref(),
            refused_by: &self.refused_by,
        }
    }
}

/// One write to the journal. It is committed as a whole or not at all.
#[derive(Debug)]
pub enum Write {
    /// Accepts tasks, unless the same request was accepted before.
    Accept(Submission),
    /// Records a call that was already answered from the cache.
    Hit {
        /// The client, and the ids that are to be reserved on disk.
        request: store::Request,
        /// The task, which is finished.
        row: Box<NewTask>,
    },
    /// Looks for the tasks of a request that cannot be accepted, in case it was accepted before.
    FindRequest {
        /// The request to answer.
        request: RequestId,
        /// The client's name.
        client: String,
        /// The request id that the client gave.
        request_id: String,
        /// The digest of the request.
        fingerprint: Fingerprint,
        /// The answer if the request was not accepted before.
        refusal: TaskRefusal,
    },
    /// Records that an attempt begins.
    Start {
        /// The row of the attempt, with the next revision of the task.
        start: Start,
        /// The attempt. `None` if the task takes over an attempt that is under way.
        run: Option<RunId>,
    },
    /// Changes the state or another column of a task.
    Transition {
        /// The new values of the task, with its next revision.
        transition: Transition,
        /// What follows after the commit.
        then: AfterTransition,
    },
    /// Records the end of a task.
    Finish(Finish),
    /// Writes the rows of an attempt's results, which the driver holds, and the ends of the tasks that share them.
    Results {
        /// The attempt that made the results.
        run: RunId,
        /// The results without their rows.
        made: Arc<Made>,
        /// The task that had them made. It gets the cost.
        maker: Option<TaskId>,
        /// The cost of the results. `None` if it is unknown.
        cost: Option<Cost>,
        /// Returns what follows if this write fails.
        on_journal_failure: JournalFailure,
        /// The ends of all tasks that share the results.
        ends: Vec<Finish>,
    },
    /// Records the remote job that a provider holds for an attempt.
    Remember {
        /// The request to answer.
        request: RequestId,
        /// The task that the attempt works for.
        id: TaskId,
        /// The number of the attempt among the attempts of the task.
        number: u32,
        /// The remote job. `None` once the provider holds none.
        remote_id: Option<EncodedRemoteJob>,
    },
    /// Removes a finished task from the history.
    Remove {
        /// The request to answer.
        request: RequestId,
        /// The id of the task that the effect concerns.
        id: TaskId,
    },
    /// Removes the oldest finished tasks from the history.
    Prune {
        /// Most tasks to remove.
        limit: u32,
        /// The tasks that must stay.
        keep: Keep,
    },
    /// Removes the oldest finished tasks until `bytes` bytes of artifacts are named by no task any more.
    PruneFor {
        /// The request to answer.
        request: RequestId,
        /// Bytes of artifacts to free.
        bytes: u64,
        /// Most tasks to remove.
        limit: u32,
        /// The tasks that must stay.
        keep: Keep,
    },
    /// The last write of a drain. Once it is committed, all earlier writes are on disk.
    Close {
        /// The first id that was not assigned.
        next_id: u64,
        /// The request to answer.
        request: RequestId,
        /// The result of the drain.
        drained: Drained,
        /// How often this write may be repeated. It is repeated while its commit leads to further writes.
        rounds: u32,
    },
}

/// Tasks that are being committed.
#[derive(Debug)]
pub struct Submission {
    /// The machine's number of the submission.
    pub number: u64,
    /// The client, and what identifies a repeat of the request.
    pub request: store::Request,
    /// The rows of the tasks. Their ids have not been shown to anybody.
    pub rows: Vec<NewTask>,
}

/// What follows from a transition of a task, once it is committed or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterTransition {
    /// No request waits for the transition, and it must not be lost. If the journal refuses it, it is retried.
    Required,
    /// The transition is a decision. Its request is answered.
    Decided(RequestId),
    /// The transition queues a finished task again. Its request is answered.
    Retried(RequestId),
}

/// Tasks that stay in the history, however old they are.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Batches that have unfinished tasks, or that a request waits for. All their tasks stay.
    pub batches: HashSet<BatchId>,
    /// Tasks that a request waits for.
    pub tasks: HashSet<TaskId>,
}

impl Keep {
    /// Whether the task stays.
    pub fn holds(&self, id: TaskId, batch: Option<BatchId>) -> bool {
        batch.is_some_and(|batch| self.batches.contains(&batch)) || self.tasks.contains(&id)
    }
}

/// The outcome of a committed write.
#[derive(Debug)]
pub enum Outcome {
    /// The write was committed, and returns no values.
    Done,
    /// Of [`Write::Accept`]: whether the tasks were accepted.
    Accepted(Accepted),
    /// Of [`Write::Accept`]: the batch to append to does not exist.
    NoBatch(BatchId),
    /// Of [`Write::FindRequest`]: the tasks of the request, if it was accepted before.
    Found(Option<Accepted>),
    /// Of [`Write::Remove`]: the task as it was, if it existed. It was removed only if it was finished.
    Removed(Option<Box<Recovered>>),
    /// Of [`Write::Prune`] and [`Write::PruneFor`]: the removed tasks.
    Pruned(Pruned),
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// The request was refused.
    Refused(TaskRefusal),
    /// Tasks were accepted, by this request or by an earlier one that it repeats.
    Accepted(AcceptedTasks),
    /// The task, as it is in the journal.
    Task(TaskId),
    /// The result of a call that the cache answered.
    Hit(Box<TaskView>),
    /// A wait has ended. The answer shows these tasks as they are in the journal.
    Waited {
        /// The tasks that the answer lists.
        shown: Shown,
        /// Whether the timeout passed, or the client has gone.
        timed_out: bool,
    },
    /// The task was removed from the history.
    Removed,
    /// Bytes of artifacts that no task names any more.
    Unpinned(u64),
    /// Whether the remote job is on disk.
    Remembered(Result<(), StoreError>),
    /// The drain has ended.
    Drained(Drained),
}

/// The tasks that the answer to a wait shows.
#[derive(Debug, Clone)]
pub enum Shown {
    /// The tasks with these ids, in this order.
    Tasks(Vec<TaskId>),
    /// The first tasks of a batch.
    Batch(BatchId),
}

/// Tasks that were accepted. Their ids are consecutive.
#[derive(Debug, Clone, Copy)]
pub struct AcceptedTasks {
    /// The batch of the tasks, if any.
    pub batch: Option<BatchId>,
    /// The id of the first task.
    pub first: TaskId,
    /// The number of tasks.
    pub count: u64,
    /// The state of the first task. `None` if it must be read from the journal.
    pub state: Option<TaskState>,
}

impl AcceptedTasks {
    /// Returns the ids of the tasks, in the order of the request.
    pub fn ids(&self) -> impl Iterator<Item = TaskId> + use<> {
        (self.first.0..self.first.0 + self.count).map(TaskId)
    }
}
