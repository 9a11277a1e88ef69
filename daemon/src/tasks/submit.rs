//! How the tracker accepts tasks that were planned and looked up: journal, and only then take them in.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use reel_protocol::{
    BatchId, Source, TaskId, TaskSpec, TaskState, Timestamp,
    methods::{SubmitBatchResult, SubmitResult},
};
use tokio::sync::oneshot;

use super::{
    Plan, SubmitBatch, SubmitTask, TaskRefusal, TaskTracker,
    eager::{Eager, Intaken},
    intake::{Intake, Planned},
    live::{LiveTask, OVERHEAD_BYTES, live_task},
    promise::{Keeper, Promise, promise},
    ready::Lane,
};
use crate::{
    cache::Made,
    disk,
    memory::Holder,
    store::{self, Accepted, NewTask, Start, StoreError},
};

/// Rows of a request that the tracker's own thread lets go of.
const FEW: usize = 32;

/// What was accepted.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub batch: Option<BatchId>,
    pub ids: Vec<TaskId>,
    pub state: TaskState,
}

/// Who is told what was accepted.
pub(super) enum Reply {
    Task(Keeper<Result<SubmitResult, TaskRefusal>>),
    Batch(Keeper<Result<SubmitBatchResult, TaskRefusal>>),
    Call(oneshot::Sender<Result<Taken, TaskRefusal>>),
}

impl Reply {
    /// A client that went away has its tasks all the same: they were accepted.
    fn send(self, taken: Result<Taken, TaskRefusal>) {
        match self {
            Self::Task(reply) => reply.keep(taken.and_then(|Taken { ids, state, .. }| {
                let id = ids.first().copied().ok_or(TaskRefusal::Stopping)?;
                Ok(SubmitResult { id, state })
            })),
            Self::Batch(reply) => reply.keep(taken.and_then(|Taken { batch, ids, .. }| {
                let batch = batch.ok_or(TaskRefusal::Stopping)?;
                Ok(SubmitBatchResult { batch, ids })
            })),
            Self::Call(reply) => drop(reply.send(taken)),
        }
    }
}

impl Handler<SubmitTask> for TaskTracker {
    type Result = Promise<Result<SubmitResult, TaskRefusal>>;

    fn handle(
        &mut self,
        SubmitTask { caller, mut spec }: SubmitTask,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let (reply, answer) = promise();
        let request_id = spec.request_id.take();
        let intake = Intake { request_id, ..Intake::single(caller, spec) };
        self.take_in(ctx, intake, Reply::Task(reply));
        answer
    }
}

impl Handler<SubmitBatch> for TaskTracker {
    type Result = Promise<Result<SubmitBatchResult, TaskRefusal>>;

    fn handle(&mut self, msg: SubmitBatch, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = promise();
        let SubmitBatch { caller, request_id, name, batch, specs } = msg;
        let fingerprint = [0; 32];
        let intake =
            Intake { caller, request_id, fingerprint, batch, is_batch: true, name, specs, results: 0 };
        self.take_in(ctx, intake, Reply::Batch(reply));
        answer
    }
}

impl TaskTracker {
    fn take_in(&mut self, ctx: &mut Context<Self>, intake: Intake, reply: Reply) {
        self.plan_then(ctx, intake, move |tracker, ctx, intake, planned| {
            tracker.accept(ctx, intake, planned, reply);
        });
    }

    fn refusal(&mut self, asked: u64) -> Option<TaskRefusal> {
        let unfinished = self.live.len() as u64 + self.accepting;
        let limit = self.parts.limits.queue_limit;
        if self.is_stopping {
            return Some(TaskRefusal::Stopping);
        }
        if unfinished + asked > limit {
            return Some(TaskRefusal::QueueFull { unfinished, asked, limit });
        }
        let available_bytes = self.free_room.available_bytes(&self.parts.artifacts)?;
        let needed_bytes = disk::ACCEPT_BYTES;
        (available_bytes < needed_bytes).then_some(TaskRefusal::StorageFull { available_bytes, needed_bytes })
    }

    pub(super) fn accept(&mut self, ctx: &mut Context<Self>, intake: Intake, planned: Planned, reply: Reply) {
        let again =
            intake.request_id.clone().map(|id| (intake.caller.client.to_string(), id, intake.fingerprint));
        let intaken = Intaken::of(&intake);
        let taken = planned.and_then(|planned| {
            let asked = intake.specs.len() as u64;
            self.refusal(asked).map_or(Ok(()), Err)?;
            self.prepare(intake, planned)
        });
        let (request, rows, mut tasks) = match taken {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse(again, refusal, reply),
        };
        let eager = self.start_eagerly(&intaken, &mut tasks);
        let starts: Vec<_> = eager.iter().map(|eager| eager.start.clone()).collect();
        self.accepting += rows.len() as u64;
        let count = rows.len() as u64;
        let state = rows.first().map_or(TaskState::Queued, |row| row.state);
        let taken = Taken { batch: request.batch, ids: rows.iter().map(|row| row.id).collect(), state };
        let then =
            move |tracker: &mut Self, ctx: &mut Context<Self>, Submission { request, rows, .. }, outcome| {
                tracker.accepting -= count;
                let (eager, refused) = match &outcome {
                    Ok(Ok(Accepted::New(_))) => (eager, Vec::new()),
                    _ => (Vec::new(), eager),
                };
                tracker.take_back(ctx, refused);
                match outcome {
                    Err(error) => reply.send(Err(StoreError::into(error))),
                    Ok(Err(refusal)) => reply.send(Err(refusal)),
                    Ok(Ok(accepted)) => {
                        tracker.accepted(ctx, &request, accepted, &rows, (taken, tasks, eager), reply);
                    }
                }
            };
        let submission = Submission { request, rows, starts };
        self.journal_rows_of(submission, Submission::write, |submission, _| submission.let_go(), then);
        self.dispatch(ctx);
    }

    /// A request that was accepted before is answered again, whatever speaks against accepting it now.
    fn refuse(&mut self, again: Option<(String, String, [u8; 32])>, refusal: TaskRefusal, reply: Reply) {
        let Some((client, request_id, fingerprint)) = again else { return reply.send(Err(refusal)) };
        self.journal(
            move |connection| store::find_request(connection, &client, &request_id, &fingerprint),
            move |tracker, ctx, found| match found {
                Ok(Some(Accepted::Before { batch, first, tasks })) => {
                    let ids = (first.0..first.0 + tasks).map(TaskId).collect();
                    tracker.answer_before(ctx, batch, ids, reply);
                }
                _ => reply.send(Err(refusal)),
            },
        );
    }

    /// The rows and the live tasks of a request, with ids and memory.
    fn prepare(
        &mut self,
        intake: Intake,
        planned: Vec<(Plan, Option<Arc<Made>>)>,
    ) -> Result<(store::Request, Vec<NewTask>, Vec<LiveTask>), TaskRefusal> {
        let at = Timestamp::now();
        let is_new_batch = intake.is_batch && intake.batch.is_none();
        let batch = if is_new_batch { Some(BatchId(self.ids.take(1))) } else { intake.batch };
        let lane = batch.map_or(Lane::Connection(intake.caller.connection), |batch| Lane::Batch(batch.0));
        let first = self.ids.take(planned.len() as u64);
        let default_attempts = self.parts.limits.default_attempts;
        let mut rows = Vec::with_capacity(planned.len());
        let mut tasks = Vec::with_capacity(planned.len());
        for ((spec, (plan, found)), id) in intake.specs.iter().zip(planned).zip(first..) {
            let row = new_task(TaskId(id), spec, &plan, found.as_deref(), (at, default_attempts));
            if row.state != TaskState::Succeeded {
                let mut task = live_task(&row, plan, Arc::clone(&intake.caller.client), batch, lane);
                let asked_bytes = row.params.as_str().len() as u64 + OVERHEAD_BYTES;
                let reserved = self.parts.budget.reserve(Holder::Request, asked_bytes);
                task.reservation = Some(reserved.map_err(|_| TaskRefusal::OverMemory { asked_bytes })?);
                tasks.push(task);
            }
            rows.push(row);
        }
        let request = store::Request {
            client: intake.caller.client.to_string(),
            fingerprint: intake.fingerprint,
            request_id: intake.request_id,
            batch,
            is_new_batch,
            batch_name: intake.name,
            at,
            ids_below: self.ids.to_reserve(),
        };
        Ok((request, rows, tasks))
    }

    fn accepted(
        &mut self,
        ctx: &mut Context<Self>,
        request: &store::Request,
        accepted: Accepted,
        rows: &[NewTask],
        (taken, tasks, eager): (Taken, Vec<LiveTask>, Vec<Eager>),
        reply: Reply,
    ) {
        let refusal = match accepted {
            Accepted::New(open) => {
                // Only what was taken in has written them.
                self.ids.reserved(request.ids_below);
                for row in rows.iter().filter(|row| is_hit(row)) {
                    self.took_from_cache(request.batch, || (request.clone(), row.clone()));
                }
                let tasks = tasks.into_iter().zip(open).collect();
                return self.admit(ctx, tasks, move |tracker, ctx, first| {
                    let is_single = taken.ids.len() == 1;
                    let state = first.filter(|_| is_single).unwrap_or(taken.state);
                    reply.send(Ok(Taken { state, ..taken }));
                    tracker.started_eagerly(ctx, eager);
                    tracker.prune();
                    tracker.dispatch(ctx);
                });
            }
            Accepted::Before { batch, first, tasks } => {
                let ids: Vec<_> = (first.0..first.0 + tasks).map(TaskId).collect();
                return self.answer_before(ctx, batch, ids, reply);
            }
            Accepted::Conflict => {
                TaskRefusal::RequestIdConflict(request.request_id.clone().unwrap_or_default())
            }
            Accepted::NoDependency(index, id) => TaskRefusal::NoDependency { index, id },
        };
        reply.send(Err(refusal));
        self.dispatch(ctx);
    }

    /// A repeated request: the same ids, and where the first one stands now.
    fn answer_before(
        &mut self,
        ctx: &mut Context<Self>,
        batch: Option<BatchId>,
        ids: Vec<TaskId>,
        reply: Reply,
    ) {
        let live = ids.first().and_then(|id| self.live.get(id)).map(|task| task.state);
        let first: Vec<_> = ids.iter().take(1).copied().collect();
        let read = self.read(move |connection| store::find_states(connection, &first));
        ctx.spawn(read.into_actor(self).map(move |states, _, _| {
            let state =
                live.or_else(|| states.ok()?.first().map(|(_, state)| *state)).unwrap_or(TaskState::Queued);
            reply.send(Ok(Taken { batch, ids, state }));
        }));
    }

    /// A task of which the cache had the result is on disk; `rows` gives what was written, for those who listen.
    pub(super) fn took_from_cache(
        &mut self,
        batch: Option<BatchId>,
        rows: impl FnOnce() -> (store::Request, NewTask),
    ) {
        self.count(batch, None, Some(TaskState::Succeeded));
        self.parts.events.task("accepted", || {
            let (request, row) = rows();
            let client = Arc::from(request.client.as_str());
            let mut task = live_task(&row, Plan::default(), client, batch, Lane::Connection(0));
            task.progress.fraction = 1.0;
            task.event(Some(Source::Cache), None)
        });
    }
}

/// The row of one task; a task of which something was found is done where it waits for nothing.
pub(super) fn new_task(
    id: TaskId,
    spec: &TaskSpec,
    plan: &Plan,
    found: Option<&Made>,
    (at, default_attempts): (Timestamp, u32),
) -> NewTask {
    let planned = plan.candidates.first();
    let planned_provider = || planned.map(|candidate| candidate.provider.to_string());
    let planned_model = || planned.and_then(|candidate| candidate.model.as_deref()).map(str::to_owned);
    let deadline = spec.deadline_s.map(|seconds| at.unix_ms() + seconds.0.as_millis() as u64);
    NewTask {
        id,
        kind: spec.kind.clone(),
        name: spec.name.clone(),
        // A cache hit with dependencies still waits for them: the order was asked for.
        state: if found.is_some() && spec.after.is_empty() {
            TaskState::Succeeded
        } else {
            TaskState::Queued
        },
        priority: spec.priority,
        after: spec.after.clone(),
        wanted_provider: spec.provider.clone(),
        provider: found.map_or_else(planned_provider, |made| Some(made.provider.clone())),
        model: found.map_or_else(planned_model, |made| made.model.clone()),
        params: plan.params.clone(),
        metadata: spec.metadata.clone(),
        cache: spec.cache,
        attempts_left: spec.max_attempts.unwrap_or(default_attempts),
        deadline: deadline.map(Timestamp::from_unix_ms),
        outputs: found
            .map(|made| made.outputs.iter().map(|output| output.digest).collect())
            .unwrap_or_default(),
        notes: found.map(|made| made.notes.clone()).unwrap_or_default(),
    }
}

/// What a request writes.
struct Submission {
    request: store::Request,
    rows: Vec<NewTask>,
    /// Attempts that begin with it.
    starts: Vec<Start>,
}

impl Submission {
    /// What became of the tasks that the cache did not have.
    fn write(&self, connection: &rusqlite::Connection) -> Result<Result<Accepted, TaskRefusal>, StoreError> {
        let Self { request, rows, starts } = self;
        if let Some(batch) = request.batch.filter(|_| !request.is_new_batch)
            && !store::batch_exists(connection, batch)?
        {
            return Ok(Err(TaskRefusal::NoBatch(batch)));
        }
        let mut accepted = store::insert(connection, request, rows)?;
        if let Accepted::New(open) = &mut accepted {
            for start in starts {
                store::start(connection, start)?;
            }
            let mut rows = rows.iter();
            open.retain(|_| !rows.next().is_some_and(is_hit));
        }
        Ok(Ok(accepted))
    }

    /// Lets go of what nobody asks for any more, on the journal's thread: the rows of a large batch are much to go through, and nobody waits
    /// for that one. Those of few go back where they came from.
    fn let_go(&mut self) {
        if self.rows.len() > FEW {
            self.rows.retain(is_hit);
        }
    }
}

fn is_hit(row: &NewTask) -> bool {
    row.state == TaskState::Succeeded
}
