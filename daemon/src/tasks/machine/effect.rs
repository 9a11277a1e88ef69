//! What the machine wants done: by the journal, the cache, the services, and whoever is answered.

use std::{collections::HashSet, sync::Arc};

use reel_protocol::{
    BatchId, CacheMode, JsonText, TaskId, TaskState, TaskView,
    methods::{PartialEvent, TaskEvent},
};

use super::{Moment, RequestId, RunId};
use crate::{
    cache::{Key, Made},
    domain::{Cost, Reference, Refused, RemoteJob},
    store::{self, Accepted, Finish, NewTask, Pruned, Recovered, RemoteId, Start, Step, StoreError},
    tasks::{Candidate, Drained, Lost, PlanSpec, PlanTasks, TaskRefusal},
};

/// Something to be done. The driver carries effects out in their order.
#[derive(Debug)]
pub enum Effect {
    /// Commit this, and hand it back as [`Event::Committed`](super::Event::Committed).
    Commit(Arc<Write>),
    /// Look these keys up in the cache, in their order; answer with [`Event::LookedUp`](super::Event::LookedUp).
    LookUp {
        /// The attempt that is about to begin.
        run: RunId,
        /// What the result would be cached under.
        keys: Vec<Key>,
    },
    /// Begin this attempt: its row is committed. Answer with [`Event::Ended`](super::Event::Ended).
    Start(Box<Attempt>),
    /// Tell an attempt that was started to stop.
    Stop(RunId),
    /// Read the row of a task that is not live; answer with [`Event::Loaded`](super::Event::Loaded).
    Load {
        /// The request that waits for it.
        request: RequestId,
        /// The finished task that somebody decided about.
        id: TaskId,
        /// What was decided about the task.
        decision: crate::tasks::Decision,
    },
    /// Read the outputs that a task's params refer to; answer with [`Event::Resolved`](super::Event::Resolved).
    Resolve {
        /// The waiting task.
        id: TaskId,
        /// The outputs, in the order in which the params refer to them.
        references: Vec<Reference>,
    },
    /// Plan these tasks; answer with [`Event::Planned`](super::Event::Planned). There may be a hundred thousand of them.
    Plan {
        /// The planner in force.
        planner: Arc<dyn PlanTasks>,
        /// The unfinished tasks whose plans a former planner made.
        asked: Vec<Unplanned>,
    },
    /// Answer a request.
    Answer {
        /// The number under which the driver keeps who asked.
        request: RequestId,
        /// What that client is told; its rows are committed.
        answer: Answer,
    },
    /// Tell whoever listens what happened to a task.
    Tell {
        /// The event's name.
        event: &'static str,
        /// The task as it stands after the commit that the event follows.
        task: Box<TaskEvent>,
    },
    /// Tell whoever wants to know a piece of the text that a task is writing.
    TellPartial(Box<PartialEvent>),
    /// Count a request that joined an equal one under way.
    CountCoalesced,
    /// Send a [`Event::Tick`](super::Event::Tick) then, rather than at the time that was asked for before; never for `None`.
    WakeAt(Option<Moment>),
}

/// An attempt that begins.
#[derive(Debug)]
pub struct Attempt {
    /// Its number. The permit that the surroundings keep under it is the attempt's own from now on.
    pub run: RunId,
    /// The task that it works for.
    pub task: TaskId,
    /// The client of that task.
    pub client: Arc<str>,
    /// The priority of that task.
    pub priority: i8,
    /// Whether somebody has retried the task since its last attempt.
    pub is_retry: bool,
    /// The service and method, such as `image.generate`.
    pub kind: Arc<str>,
    /// With defaults applied.
    pub params: JsonText,
    /// The provider to ask; `None` for services that need none.
    pub provider: Option<Candidate>,
    /// What that provider holds of an earlier attempt, which is to be asked for first.
    pub job: Option<Arc<RemoteJob>>,
    /// How it uses the cache.
    pub cache: CacheMode,
}

/// A task that is to be planned.
#[derive(Debug, Clone)]
pub struct Unplanned {
    /// The number of the unfinished task.
    pub id: TaskId,
    /// The service and method, such as `image.generate`.
    pub kind: Arc<str>,
    /// As the journal keeps them.
    pub params: JsonText,
    /// The provider that the caller named.
    pub wanted: Option<Arc<str>>,
    /// The provider that the task was planned for before.
    pub planned: Option<Arc<str>>,
    /// Providers that refused the task.
    pub refused_by: Vec<Refused>,
}

impl Unplanned {
    /// How the planner is asked about it.
    pub fn spec(&self) -> PlanSpec<'_> {
        PlanSpec {
            kind: &self.kind,
            params: &self.params,
            provider: self.wanted.as_deref(),
            planned: self.planned.as_deref(),
            refused_by: &self.refused_by,
        }
    }
}

/// One write to the journal: all of it is committed, or nothing.
#[derive(Debug)]
pub enum Write {
    /// Accept tasks, unless the request was accepted before.
    Accept(Submission),
    /// Keep a call that the cache has answered already.
    Hit {
        /// Who called, and the ids that are to be reserved on disk.
        request: store::Request,
        /// The task, which is over.
        row: Box<NewTask>,
    },
    /// Find the tasks of a request that cannot be accepted now, in case it was accepted before.
    FindRequest {
        /// The request to answer.
        request: RequestId,
        /// The client's name.
        client: String,
        /// The id that the client gave.
        request_id: String,
        /// The digest of what is asked for.
        fingerprint: [u8; 32],
        /// The answer if it was not.
        refusal: TaskRefusal,
    },
    /// An attempt begins.
    Start {
        /// The attempt's row, with the revision that the task has after it.
        start: Start,
        /// The attempt that begins now; `None` where the task shares one that is under way.
        run: Option<RunId>,
    },
    /// A task takes a step.
    Step {
        /// The task's new state, with the revision that it has after it.
        step: Step,
        /// What follows.
        then: AfterStep,
    },
    /// A task ends.
    Finish(Finish),
    /// The rows of an attempt's results, which the driver holds, and the ends of the tasks that share them.
    Results {
        /// The number of the attempt that made the results.
        run: RunId,
        /// The results, whose own rows the driver holds.
        made: Arc<Made>,
        /// The task that had them made, and has the cost.
        maker: Option<TaskId>,
        /// What they cost.
        cost: Option<Cost>,
        /// What follows if this write fails.
        lost: Lost,
        /// The ends of all tasks that share the results.
        ends: Vec<Finish>,
    },
    /// What a provider holds for an attempt.
    Remember {
        /// The request to answer.
        request: RequestId,
        /// The task that the attempt works for.
        id: TaskId,
        /// The attempt's number among those of the task.
        number: u32,
        /// What the provider holds; `None` once it holds nothing.
        remote_id: Option<RemoteId>,
    },
    /// Drop a finished task from the history.
    Remove {
        /// The request to answer.
        request: RequestId,
        /// The finished task that leaves the history.
        id: TaskId,
    },
    /// Drop the oldest finished tasks.
    Prune {
        /// At most so many.
        limit: u32,
        /// What must stay.
        keep: Keep,
    },
    /// Drop the oldest finished tasks until so many bytes of artifacts are named by none.
    PruneFor {
        /// The request to answer.
        request: RequestId,
        /// How many bytes.
        bytes: u64,
        /// At most so many tasks.
        limit: u32,
        /// What must stay.
        keep: Keep,
    },
    /// The last write of a drain: all that was sent before it is on disk when it is.
    Close {
        /// The first id that was not given out.
        next_id: u64,
        /// The request to answer.
        request: RequestId,
        /// How the drain ended.
        drained: Drained,
        /// How often this may be repeated, as what was committed lets more be decided.
        rounds: u32,
    },
}

/// Tasks on their way into the journal.
#[derive(Debug)]
pub struct Submission {
    /// The machine's number for it.
    pub number: u64,
    /// Who asks, and what makes it safe to send again.
    pub request: store::Request,
    /// The rows of the tasks, with ids that nobody has seen yet.
    pub rows: Vec<NewTask>,
}

/// What follows from a step of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStep {
    /// Nobody asked for it, and it must not be lost: it is tried until the journal takes it.
    Required,
    /// Somebody decided it, and is answered.
    Decided(RequestId),
    /// Somebody queued a finished task again, and is answered.
    Retried(RequestId),
}

/// Tasks that stay in the history whatever their age.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Those of batches that are not done, or that somebody waits for.
    pub batches: HashSet<BatchId>,
    /// Those that somebody waits for.
    pub tasks: HashSet<TaskId>,
}

impl Keep {
    /// Whether a task of this batch stays.
    pub fn holds(&self, id: TaskId, batch: Option<BatchId>) -> bool {
        batch.is_some_and(|batch| self.batches.contains(&batch)) || self.tasks.contains(&id)
    }
}

/// What came of a write that was committed.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing more is to be said.
    Done,
    /// Of [`Write::Accept`]: what became of the tasks.
    Accepted(Accepted),
    /// Of [`Write::Accept`]: the batch to append to does not exist.
    NoBatch(BatchId),
    /// Of [`Write::FindRequest`]: what became of it, if it was sent before.
    Found(Option<Accepted>),
    /// Of [`Write::Remove`]: the task as it stood, if there was one.
    Removed(Option<Box<Recovered>>),
    /// Of [`Write::Prune`] and [`Write::PruneFor`].
    Pruned(Pruned),
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// It is refused, with the reason.
    Refused(TaskRefusal),
    /// Tasks were accepted, now or when the same request came before.
    Taken(Taken),
    /// The task as the journal shows it now.
    Task(TaskId),
    /// A call that the cache answers.
    Hit(Box<TaskView>),
    /// A wait is over: these tasks as the journal shows them now.
    Waited {
        /// The tasks that the answer lists.
        shown: Shown,
        /// Whether the time was up, or nobody waits any more.
        timed_out: bool,
    },
    /// The task was removed.
    Removed,
    /// So many bytes of artifacts are named by no task any more.
    Unpinned(u64),
    /// Whether it is on disk what a provider holds.
    Remembered(Result<(), StoreError>),
    /// Nothing runs any more.
    Drained(Drained),
}

/// The tasks that the answer to a wait shows.
#[derive(Debug, Clone)]
pub enum Shown {
    /// These, in this order.
    Tasks(Vec<TaskId>),
    /// The first ones of a batch.
    Batch(BatchId),
}

/// Tasks that were accepted.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Their batch.
    pub batch: Option<BatchId>,
    /// The first one; the others follow.
    pub first: TaskId,
    /// How many there are.
    pub count: u64,
    /// Where the first one stands; `None` where the journal is to be asked.
    pub state: Option<TaskState>,
}

impl Taken {
    /// Their ids, in the order of the request.
    pub fn ids(&self) -> impl Iterator<Item = TaskId> + use<> {
        (self.first.0..self.first.0 + self.count).map(TaskId)
    }
}
