//! Accepts tasks: all tasks of a request or none, and a repeated request only once.

use std::collections::{HashMap, hash_map::Entry};

use reel_protocol::{BatchId, CacheMode, Digest, JsonText, Source, TaskId, TaskNote, TaskState, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    StoreError,
    columns::{cache_number, notes_text, source_name, state_at, to_json},
    inputs::{BadInput, bad_input, insert_inputs},
    origin::save_ids,
    transitions::insert_outputs,
};
use crate::domain::{Fingerprint, Inputs, StepOf};

/// A task that is being accepted.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// The task's id.
    pub id: TaskId,
    /// The service and method, as `service.method`.
    pub kind: String,
    /// The caller's label.
    pub name: Option<String>,
    /// `queued`, `waiting` or, for a cache hit, `succeeded`. A `queued` task becomes `waiting` if a dependency is unfinished.
    pub state: TaskState,
    /// The priority, from -100 to 100.
    pub priority: i8,
    /// The dependencies: tasks that must succeed first.
    pub after: Vec<TaskId>,
    /// Whether its params refer to outputs of its dependencies. It then waits until those are read, even if all dependencies have succeeded.
    pub is_incomplete: bool,
    /// The provider that the caller requested.
    pub wanted_provider: Option<String>,
    /// The provider for which the task is planned, or the one that made the cached result.
    pub provider: Option<String>,
    /// The model of that provider.
    pub model: Option<String>,
    /// The params, with defaults applied.
    pub params: JsonText,
    /// An arbitrary object of the caller.
    pub metadata: Option<JsonText>,
    /// How the task uses the cache.
    pub cache: CacheMode,
    /// Attempts that the task may make.
    pub attempts_left: u32,
    /// The time at which the task fails if it is not finished.
    pub deadline: Option<Timestamp>,
    /// The artifacts from which the task starts.
    pub inputs: Inputs,
    /// The digests of a cached result, in order.
    pub outputs: Vec<Digest>,
    /// Notes for the user about that result.
    pub notes: Vec<TaskNote>,
    /// The workflow of which the task is a step, and the step's name.
    pub step: Option<StepOf>,
}

/// A submit: its client, its time, and what makes a repeat of it safe.
#[derive(Debug, Clone)]
pub struct Request {
    /// The client's name.
    pub client: String,
    /// The id with which the client can repeat the request. Unique per client name.
    pub request_id: Option<String>,
    /// Digest of the request, which detects another request with the same id.
    pub fingerprint: Fingerprint,
    /// The batch of the tasks.
    pub batch: Option<BatchId>,
    /// Whether this request creates the batch.
    pub is_new_batch: bool,
    /// The batch's label.
    pub batch_name: Option<String>,
    /// The time of the submit.
    pub at: Timestamp,
    /// The next id after a restart must not be below this.
    pub ids_below: u64,
}

/// The outcome of a submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// The tasks are accepted. For each task: its unfinished dependencies, or a dependency that failed.
    New(Vec<Result<Vec<TaskId>, TaskId>>),
    /// The same request was accepted before.
    Before {
        /// The batch of the request.
        batch: Option<BatchId>,
        /// The id of its first task. The others have the ids after it.
        first: TaskId,
        /// The number of its tasks.
        tasks: u64,
    },
    /// The request id was used for another request.
    Conflict,
    /// A dependency does not exist. The number is the position of its dependant in the request, from 0.
    NoDependency(usize, TaskId),
    /// A task cannot start from an artifact. The number is the position of the task in the request, from 0.
    BadInput(usize, BadInput),
}

/// Accepts all tasks of a request, or none. Returns the outcome of the first submit if the request is a repeat.
pub fn insert(connection: &Connection, request: &Request, tasks: &[NewTask]) -> Result<Accepted, StoreError> {
    if let Some(request_id) = &request.request_id
        && let Some(before) = find_request(connection, &request.client, request_id, &request.fingerprint)?
    {
        return Ok(before);
    }
    let mut open = Vec::with_capacity(tasks.len());
    let mut states = KnownStates::default();
    for (index, task) in tasks.iter().enumerate() {
        match states.open_of(connection, task.after.clone())? {
            Ok(dependencies) => open.push(dependencies),
            Err(missing) => return Ok(Accepted::NoDependency(index, missing)),
        }
        // A cache hit is finished, so it needs no inputs.
        if task.state != TaskState::Succeeded
            && let Some(bad) = bad_input(connection, &task.inputs)?
        {
            return Ok(Accepted::BadInput(index, bad));
        }
    }
    if let (true, Some(batch)) = (request.is_new_batch, request.batch) {
        let mut statement = connection
            .prepare_cached("INSERT INTO batches (id, name, client, created_ms) VALUES (?, ?, ?, ?)")?;
        statement.execute(params![batch.0, request.batch_name, request.client, request.at.unix_ms()])?;
    }
    for (task, dependencies) in tasks.iter().zip(&open) {
        insert_one(connection, request, task, dependencies)?;
    }
    if let (Some(request_id), Some(first)) = (&request.request_id, tasks.first()) {
        let mut statement = connection.prepare_cached(
            "INSERT INTO requests (client, request_id, fingerprint, batch, first_task, tasks) VALUES (?, ?, ?, ?, ?, ?)",
        )?;
        let batch = request.batch.map(|batch| batch.0);
        statement.execute(params![
            request.client,
            request_id,
            request.fingerprint.meaning,
            batch,
            first.id.0,
            tasks.len() as u64
        ])?;
    }
    save_ids(connection, request.ids_below)?;
    Ok(Accepted::New(open))
}

/// Inserts one task that is finished. The caller saves the reserved ids.
pub fn insert_finished(connection: &Connection, request: &Request, task: &NewTask) -> Result<(), StoreError> {
    insert_one(connection, request, task, &Ok(Vec::new()))
}

/// Returns the outcome of a request that was sent before, or [`Accepted::Conflict`] if `asked` is another fingerprint; None if the id is new.
pub fn find_request(
    connection: &Connection,
    client: &str,
    request_id: &str,
    asked: &Fingerprint,
) -> Result<Option<Accepted>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, batch, first_task, tasks FROM requests WHERE client = ? AND request_id = ?",
    )?;
    let found = statement.query_row(params![client, request_id], |row| {
        let before = Accepted::Before {
            batch: row.get::<_, Option<u64>>(1)?.map(BatchId),
            first: TaskId(row.get(2)?),
            tasks: row.get(3)?,
        };
        Ok((row.get::<_, [u8; 32]>(0)?, before))
    });
    Ok(found
        .optional()?
        .map(|(fingerprint, before)| if asked.is(&fingerprint) { before } else { Accepted::Conflict }))
}

/// The unfinished dependencies of a task, or the one that did not succeed.
pub type Dependencies = Result<Vec<TaskId>, TaskId>;

/// The states of dependencies. Each state is read once, as a thousand tasks may name the same thousand.
#[derive(Debug, Default)]
pub(super) struct KnownStates(HashMap<TaskId, Option<TaskState>>);

impl KnownStates {
    /// Reads the states of all tasks.
    pub(super) fn of_all(connection: &Connection) -> Result<Self, StoreError> {
        let mut statement = connection.prepare("SELECT id, state FROM tasks")?;
        let rows = statement.query_map([], |row| Ok((TaskId(row.get(0)?), Some(state_at(row, 1)?))))?;
        Ok(Self(rows.collect::<Result<_, _>>()?))
    }

    /// Reads the states of these tasks.
    pub(super) fn read(connection: &Connection, ids: &[TaskId]) -> Result<Self, StoreError> {
        let state = |id: &TaskId| Ok((*id, state_of(connection, *id)?));
        Ok(Self(ids.iter().map(state).collect::<Result<_, StoreError>>()?))
    }

    /// Returns whether the task was in the journal when the states were read.
    pub(super) fn exists(&self, id: TaskId) -> bool {
        self.0.get(&id).is_some_and(Option::is_some)
    }

    /// Returns which of the needed tasks are unfinished. The outer error is one that does not exist, the inner one is one that did not succeed.
    pub(super) fn open_of(
        &mut self,
        connection: &Connection,
        mut needed: Vec<TaskId>,
    ) -> Result<Result<Dependencies, TaskId>, StoreError> {
        for id in &needed {
            if let Entry::Vacant(unknown) = self.0.entry(*id) {
                unknown.insert(state_of(connection, *id)?);
            }
        }
        let state = |id: &TaskId| self.0.get(id).copied().flatten();
        if let Some(missing) = needed.iter().find(|id| state(id).is_none()) {
            return Ok(Err(*missing));
        }
        let has_failed = |id: &&TaskId| {
            state(id).is_some_and(|state| state.is_finished() && state != TaskState::Succeeded)
        };
        if let Some(failed) = needed.iter().find(has_failed) {
            return Ok(Ok(Err(*failed)));
        }
        needed.retain(|id| state(id).is_some_and(|state| !state.is_finished()));
        Ok(Ok(Ok(needed)))
    }
}

/// Returns the state of a task; None if it does not exist.
fn state_of(connection: &Connection, id: TaskId) -> Result<Option<TaskState>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT state FROM tasks WHERE id = ?")?;
    Ok(statement.query_row([id.0], |row| state_at(row, 0)).optional()?)
}

fn insert_one(
    connection: &Connection,
    request: &Request,
    task: &NewTask,
    open: &Dependencies,
) -> Result<(), StoreError> {
    let has_open = task.is_incomplete || !matches!(open, Ok(unfinished) if unfinished.is_empty());
    let is_waiting = task.state == TaskState::Queued && has_open;
    let state = if is_waiting { TaskState::Waiting } else { task.state };
    let is_done = state == TaskState::Succeeded;
    // A step whose workflow was cancelled meanwhile is given up, as its steps of before are.
    let mut statement = connection.prepare_cached(
        "INSERT INTO tasks (id, rev, kind, name, state, priority, client, batch, request_id, after, wanted_provider, provider, model, \
         params, metadata, cache_mode, attempts_left, created_ms, finished_ms, deadline_ms, source, notes, parent, step, ended) \
         VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
         coalesce((SELECT finished_ms FROM tasks WHERE id = ?22 AND state = 'cancelled'), ?19), ?20, ?21, ?22, ?23, \
         CASE WHEN ?4 = 'succeeded' THEN (SELECT coalesce(max(ended), 0) + 1 FROM tasks WHERE ended IS NOT NULL) END)",
    )?;
    statement.execute(params![
        task.id.0,
        task.kind,
        task.name,
        state.name(),
        task.priority,
        request.client,
        request.batch.map(|batch| batch.0),
        request.request_id,
        to_json(&task.after)?,
        task.wanted_provider,
        task.provider,
        task.model,
        task.params.as_str(),
        task.metadata.as_ref().map(JsonText::as_str),
        cache_number(task.cache),
        task.attempts_left,
        request.at.unix_ms(),
        is_done.then(|| request.at.unix_ms()),
        task.deadline.map(Timestamp::unix_ms),
        is_done.then_some(source_name(Source::Cache)),
        if is_done { notes_text(&task.notes)? } else { None },
        task.step.as_ref().map(|step| step.parent.0),
        task.step.as_ref().map(|step| &*step.name),
    ])?;
    insert_inputs(connection, task.id, &task.inputs)?;
    insert_outputs(connection, task.id, &task.outputs)
}

/// Returns whether the batch exists.
pub fn batch_exists(connection: &Connection, batch: BatchId) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM batches WHERE id = ?")?.exists([batch.0])?)
}
