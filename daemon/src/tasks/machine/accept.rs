//! Accepts tasks. A request is refused at once with numbers, or its tasks become live after their rows are committed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use reel_protocol::{BatchId, Source, TaskError, TaskId, TaskSpec, TaskState, Timestamp};

use super::{
    AcceptedTasks, Answer, Effect, Intake, Machine, Outcome, PlannedTask, RequestId, Submission,
    Surroundings, Todo, Write,
};
use crate::{
    cache::Made,
    disk,
    store::{self, Accepted, Dependencies, NewTask, StoreError},
    tasks::{
        Plan, TaskRefusal,
        live::{LiveTask, held_bytes, live_task},
        ready::Lane,
    },
};

/// The tasks of a request whose rows are being committed.
#[derive(Debug)]
pub(super) struct Arriving {
    reply: AcceptReply,
    /// The tasks that have no cached result, as they will be live.
    tasks: Vec<LiveTask>,
    /// Number of all tasks of the request, cached ones included.
    pub count: u64,
}

/// The request that is answered when the tasks are accepted.
#[derive(Debug, Clone, Copy)]
enum AcceptReply {
    /// A submit, which is answered after the commit.
    Submit(RequestId),
    /// A call, which is answered when its task is settled, or after the timeout.
    Call(RequestId, Option<Duration>),
}

impl AcceptReply {
    const fn request(self) -> RequestId {
        match self {
            Self::Submit(request) | Self::Call(request, _) => request,
        }
    }
}

impl<S: Surroundings> Machine<S> {
    pub(super) fn submit(&mut self, request: RequestId, intake: Intake) {
        self.accept(AcceptReply::Submit(request), intake);
    }

    pub(super) fn call(&mut self, request: RequestId, intake: Intake, timeout: Option<Duration>) {
        match self.answer_from_cache(&intake) {
            Some(view) => self.answer(request, Answer::Hit(Box::new(view))),
            None => self.accept(AcceptReply::Call(request, timeout), intake),
        }
    }

    fn accept(&mut self, reply: AcceptReply, mut intake: Intake) {
        let asked = intake.specs.len() as u64;
        let planned = std::mem::replace(&mut intake.planned, Ok(Vec::new()));
        let prepared = planned.and_then(|planned| {
            self.check_room(asked, intake.disk_free_bytes)?;
            self.check_workflow(intake.step.as_ref())?;
            self.prepare(&intake, planned)
        });
        match prepared {
            Ok((request, rows, tasks)) => {
                self.next_arrival += 1;
                let number = self.next_arrival;
                self.arriving.insert(number, Arriving { reply, tasks, count: asked });
                self.commit(Write::Accept(Submission { number, request, rows }));
            }
            Err(refusal) => self.refuse_or_repeat(reply.request(), intake, refusal),
        }
    }

    /// Sets the timeout of a call to zero, because its client has gone before the task was accepted.
    pub(super) fn forget_caller(&mut self, gone: RequestId) {
        for arriving in self.arriving.values_mut() {
            if let AcceptReply::Call(request, timeout) = &mut arriving.reply
                && *request == gone
            {
                *timeout = Some(Duration::ZERO);
            }
        }
    }

    fn check_room(&self, asked: u64, disk_free_bytes: Option<u64>) -> Result<(), TaskRefusal> {
        let arriving: u64 = self.arriving.values().map(|arriving| arriving.count).sum();
        let unfinished = self.live.len() as u64 + arriving;
        let limit = self.limits.queue_limit;
        if self.is_stopping {
            return Err(TaskRefusal::Stopping);
        }
        if unfinished + asked > limit {
            return Err(TaskRefusal::QueueFull { unfinished, asked, limit });
        }
        match disk_free_bytes {
            Some(available_bytes) if available_bytes < disk::ACCEPT_BYTES => {
                Err(TaskRefusal::StorageFull { available_bytes, needed_bytes: disk::ACCEPT_BYTES })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a request, unless it was accepted before: a repeat is answered like the first time, even if it could not be accepted again.
    fn refuse_or_repeat(&mut self, request: RequestId, intake: Intake, refusal: TaskRefusal) {
        let Some(request_id) = intake.request_id else { return self.refuse(request, refusal) };
        let client = intake.caller.client.to_string();
        let fingerprint = intake.fingerprint;
        self.commit(Write::FindRequest { request, client, request_id, fingerprint, refusal });
    }

    /// Returns the rows and the live tasks of a request. This assigns their ids and reserves their memory.
    fn prepare(
        &mut self,
        intake: &Intake,
        planned: Vec<PlannedTask>,
    ) -> Result<(store::Request, Vec<NewTask>, Vec<LiveTask>), TaskRefusal> {
        let terms = (self.now.wall, self.limits.default_attempts);
        let specs = intake.specs.iter().zip(&planned);
        // The ids are assigned once the request can no longer be refused here.
        let mut rows: Vec<_> = specs
            .map(|(spec, (plan, found))| NewTask {
                step: intake.step.clone(),
                ..new_task(TaskId(0), spec, plan, found.as_deref(), terms)
            })
            .collect();
        let open = rows.iter().filter(|row| !is_hit(row));
        self.around
            .reserve(open.map(|row| held_bytes(row, row.after.len())).sum())
            .map_err(TaskRefusal::OverMemory)?;

        let is_new_batch = intake.is_batch && intake.batch.is_none();
        let batch = if is_new_batch { Some(BatchId(self.ids.take(1))) } else { intake.batch };
        let lane = batch.map_or(Lane::Connection(intake.caller.connection), |batch| Lane::Batch(batch.0));
        let first = self.ids.take(rows.len() as u64);
        let mut tasks = Vec::with_capacity(rows.len());
        for ((row, (plan, _)), id) in rows.iter_mut().zip(planned).zip(first..) {
            row.id = TaskId(id);
            if !is_hit(row) {
                let mut task = live_task(row, plan, Arc::clone(&intake.caller.client), batch, lane, self.now);
                task.held_bytes = held_bytes(row, row.after.len());
                tasks.push(task);
            }
        }
        let request = store::Request {
            client: intake.caller.client.to_string(),
            fingerprint: intake.fingerprint,
            request_id: intake.request_id.clone(),
            batch,
            is_new_batch,
            batch_name: intake.name.clone(),
            at: self.now.wall,
            ids_below: self.ids.to_reserve(),
        };
        Ok((request, rows, tasks))
    }

    pub(super) fn submission_written(
        &mut self,
        submission: &Submission,
        outcome: Result<Outcome, StoreError>,
    ) {
        let Some(arriving) = self.arriving.remove(&submission.number) else { return };
        let (request, reply) = (&submission.request, arriving.reply);
        let refusal = match outcome {
            Ok(Outcome::Accepted(Accepted::New(open))) => {
                return self.take_in(submission, arriving, open);
            }
            Ok(Outcome::Accepted(Accepted::Before { batch, first, tasks })) => {
                self.give_back(&arriving);
                return self.answer_before(reply.request(), batch, first, tasks);
            }
            Ok(Outcome::Accepted(Accepted::Conflict)) => {
                TaskRefusal::RequestIdConflict(request.request_id.clone().unwrap_or_default())
            }
            Ok(Outcome::Accepted(Accepted::NoDependency(index, id))) => {
                TaskRefusal::NoDependency { index, id }
            }
            Ok(Outcome::Accepted(Accepted::BadInput(index, input))) => TaskRefusal::BadInput { index, input },
            Ok(Outcome::NoBatch(batch)) => TaskRefusal::NoBatch(batch),
            Ok(_) => TaskRefusal::Store(StoreError::Closed),
            Err(error) => TaskRefusal::Store(error),
        };
        self.give_back(&arriving);
        self.refuse(reply.request(), refusal);
    }

    fn give_back(&mut self, arriving: &Arriving) {
        self.around.give_back(arriving.tasks.iter().map(|task| task.held_bytes).sum());
    }

    /// Makes the tasks of a request live. All are live before the first one is queued, so that nobody sees a part of a batch.
    fn take_in(&mut self, submission: &Submission, arriving: Arriving, open: Vec<Dependencies>) {
        let Submission { request, rows, .. } = submission;
        self.ids.reserved(request.ids_below);
        let mut tasks = arriving.tasks.into_iter();
        let mut open_tasks = Vec::with_capacity(tasks.len());
        for (row, open) in rows.iter().zip(open) {
            if is_hit(row) {
                self.take_hit(request, row);
            } else if let Some(task) = tasks.next() {
                open_tasks.push((task.id, open.as_ref().err().copied()));
                self.take_live(task, open);
            }
        }
        // A wait for any task of the batch ends with a task that came from the cache.
        for row in rows.iter().filter(|row| is_hit(row)) {
            self.end_waits_for(row.id, request.batch);
        }
        for (id, failed) in open_tasks {
            match failed {
                // Its workflow ended while its row was being committed.
                _ if self.is_orphan(id) => self.when_settled(id, Todo::GiveUp),
                Some(failed) => self.when_settled(id, Todo::FailAfter(failed)),
                None if self.live.get(&id).is_some_and(|task| task.state == TaskState::Queued) => {
                    self.enter_queue(id);
                }
                None if !self.dependencies.is_waiting(id) => self.when_settled(id, Todo::StopWaiting),
                None => {}
            }
        }
        let Some(first) = rows.first() else { return };
        match arriving.reply {
            AcceptReply::Submit(answered) => {
                let state = self.live.get(&first.id).map_or(first.state, |task| task.state);
                let count = rows.len() as u64;
                let taken =
                    AcceptedTasks { batch: request.batch, first: first.id, count, state: Some(state) };
                self.answer(answered, Answer::Accepted(taken));
            }
            AcceptReply::Call(answered, timeout) => {
                self.wait_for_call(answered, first.id, timeout);
            }
        }
    }

    fn take_live(&mut self, mut task: LiveTask, open: Dependencies) {
        let id = task.id;
        // Its params are complete once the outputs that they refer to have been read.
        let is_waiting = !task.plan.references.is_empty() || !matches!(&open, Ok(open) if open.is_empty());
        task.state = if is_waiting { TaskState::Waiting } else { TaskState::Queued };
        self.count(task.counted(), None, Some(task.state));
        if let Some(deadline) = task.deadline {
            self.timers.add_deadline(deadline, id);
        }
        self.tell("accepted", &task, None, None);
        self.note_step(&task);
        self.live.insert(id, Box::new(task));
        self.dependencies.add(id, open.unwrap_or_default());
    }

    pub(super) fn request_found(
        &mut self,
        request: RequestId,
        refusal: &TaskRefusal,
        outcome: &Result<Outcome, StoreError>,
    ) {
        match outcome {
            Ok(Outcome::Found(Some(Accepted::Before { batch, first, tasks }))) => {
                self.answer_before(request, *batch, *first, *tasks);
            }
            _ => self.refuse(request, refusal.clone()),
        }
    }

    /// Answers a repeated request with the ids of the first time, and the current state of the first task.
    fn answer_before(&mut self, request: RequestId, batch: Option<BatchId>, first: TaskId, count: u64) {
        let state = self.live.get(&first).map(|task| task.state);
        self.answer(request, Answer::Accepted(AcceptedTasks { batch, first, count, state }));
    }

    /// Sends an event about a task to all subscribers.
    pub(super) fn tell(
        &mut self,
        event: &'static str,
        task: &LiveTask,
        source: Option<Source>,
        error: Option<TaskError>,
    ) {
        self.effects.push(Effect::Tell { event, task: Box::new(task.event(source, error)) });
    }
}

/// Returns the row of one task. A task with a cached result is finished, unless it waits for other tasks.
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
    let outputs = found.into_iter().flat_map(|made| &made.outputs).map(|output| output.digest);
    // A cache hit with dependencies still waits for them, because the client asked for that order.
    let is_over = found.is_some() && spec.after.is_empty();
    let mut after = spec.after.clone();
    let referred = plan.references.iter().map(|reference| reference.task);
    after.extend(referred.collect::<BTreeSet<_>>().into_iter().filter(|task| !spec.after.contains(task)));
    NewTask {
        id,
        kind: spec.kind.clone(),
        name: spec.name.clone(),
        state: if is_over { TaskState::Succeeded } else { TaskState::Queued },
        priority: spec.priority,
        after,
        is_incomplete: !plan.references.is_empty(),
        wanted_provider: spec.provider.clone(),
        provider: found.map_or_else(planned_provider, |made| Some(made.provider.clone())),
        model: found.map_or_else(planned_model, |made| made.model.clone()),
        params: plan.params.clone(),
        metadata: spec.metadata.clone(),
        cache: spec.cache,
        attempts_left: spec.max_attempts.unwrap_or(default_attempts),
        deadline: deadline.map(Timestamp::from_unix_ms),
        inputs: plan.inputs.clone(),
        outputs: outputs.collect(),
        notes: found.map(|made| made.notes.clone()).unwrap_or_default(),
        step: None,
    }
}

fn is_hit(row: &NewTask) -> bool {
    row.state == TaskState::Succeeded
}
