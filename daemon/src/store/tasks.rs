//! Writes about tasks: accept, start, finish, and every other step; and what a restart reads.

use reel_protocol::{
    BatchId, CacheMode, Digest, HoldReason, JsonText, Source, TaskError, TaskId, TaskState, Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;

/// Events kept for readers that come back; older ones are dropped as new ones come.
const EVENTS_KEPT: i64 = 10_000;

/// A task as it is accepted.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// Its number.
    pub id: TaskId,
    /// `service.method`.
    pub kind: String,
    /// The caller's label.
    pub name: Option<String>,
    /// `queued`, `waiting` or, from the cache, `succeeded`; `queued` becomes `waiting` where a dependency is unfinished.
    pub state: TaskState,
    /// -100 to 100.
    pub priority: i8,
    /// Tasks that must succeed first.
    pub after: Vec<TaskId>,
    /// The provider that the caller named.
    pub wanted_provider: Option<String>,
    /// The provider that made what the cache had.
    pub provider: Option<String>,
    /// That provider's model.
    pub model: Option<String>,
    /// With defaults applied.
    pub params: JsonText,
    /// The caller's own object.
    pub metadata: Option<JsonText>,
    /// How it uses the cache.
    pub cache: CacheMode,
    /// Attempts it may make.
    pub attempts_left: u32,
    /// When it fails if it is not done.
    pub deadline: Option<Timestamp>,
    /// What the cache had.
    pub outputs: Vec<Digest>,
}

/// One submit: who, when, and what makes it safe to send again.
#[derive(Debug, Clone)]
pub struct Request {
    /// The client's name.
    pub client: String,
    /// Unique per client name.
    pub request_id: Option<String>,
    /// Digest of what was asked, to tell a repeat from another request with the same id.
    pub fingerprint: [u8; 32],
    /// The batch to put the tasks into.
    pub batch: Option<BatchId>,
    /// Whether the batch is made with this request.
    pub is_new_batch: bool,
    /// The batch's label.
    pub batch_name: Option<String>,
    /// Now.
    pub at: Timestamp,
    /// The next id after a restart must not be below this.
    pub ids_below: u64,
}

/// What became of a submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// The tasks are in; for each one the dependencies that are not finished yet, or the one that failed.
    New(Vec<Result<Vec<TaskId>, TaskId>>),
    /// The same request was accepted before.
    Before {
        /// Its batch.
        batch: Option<BatchId>,
        /// Its first task's number; the others follow.
        first: TaskId,
        /// How many.
        tasks: u64,
    },
    /// The request id was used for something else.
    Conflict,
    /// A dependency of this task of the request, from 0, does not exist.
    NoDependency(usize, TaskId),
}

/// Accepts tasks, all or none.
pub fn insert(connection: &Connection, request: &Request, tasks: &[NewTask]) -> Result<Accepted, StoreError> {
    if let Some(before) = find_request(connection, request)? {
        return Ok(before);
    }
    let mut open = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.iter().enumerate() {
        match unfinished_dependencies(connection, task)? {
            Ok(dependencies) => open.push(dependencies),
            Err(missing) => return Ok(Accepted::NoDependency(index, missing)),
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
            request.fingerprint,
            batch,
            first.id.0,
            tasks.len() as u64
        ])?;
    }
    save_ids(connection, request.ids_below)?;
    Ok(Accepted::New(open))
}

fn find_request(connection: &Connection, request: &Request) -> Result<Option<Accepted>, StoreError> {
    let Some(request_id) = &request.request_id else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, batch, first_task, tasks FROM requests WHERE client = ? AND request_id = ?",
    )?;
    let found = statement.query_row(params![request.client, request_id], |row| {
        let before = Accepted::Before {
            batch: row.get::<_, Option<u64>>(1)?.map(BatchId),
            first: TaskId(row.get(2)?),
            tasks: row.get(3)?,
        };
        Ok((row.get::<_, [u8; 32]>(0)?, before))
    });
    Ok(found.optional()?.map(
        |(fingerprint, before)| if fingerprint == request.fingerprint { before } else { Accepted::Conflict },
    ))
}

/// Dependencies that are not finished, or the one that did not succeed.
pub type Dependencies = Result<Vec<TaskId>, TaskId>;

/// Outer error: one that does not exist. Inner error: one that did not succeed.
pub(super) fn unfinished_dependencies(
    connection: &Connection,
    task: &NewTask,
) -> Result<Result<Dependencies, TaskId>, StoreError> {
    let mut unfinished = Vec::new();
    let mut failed = None;
    for needed in &task.after {
        let mut statement = connection.prepare_cached("SELECT state FROM tasks WHERE id = ?")?;
        match statement.query_row([needed.0], |row| state_at(row, 0)).optional()? {
            None => return Ok(Err(*needed)),
            Some(TaskState::Succeeded) => {}
            Some(state) if state.is_finished() => failed = failed.or(Some(*needed)),
            Some(_) => unfinished.push(*needed),
        }
    }
    Ok(Ok(failed.map_or(Ok(unfinished), Err)))
}

fn insert_one(
    connection: &Connection,
    request: &Request,
    task: &NewTask,
    open: &Dependencies,
) -> Result<(), StoreError> {
    let is_waiting =
        task.state == TaskState::Queued && !matches!(open, Ok(unfinished) if unfinished.is_empty());
    let state = if is_waiting { TaskState::Waiting } else { task.state };
    let is_done = state == TaskState::Succeeded;
    let mut statement = connection.prepare_cached(
        "INSERT INTO tasks (id, rev, kind, name, state, priority, client, batch, request_id, after, wanted_provider, provider, model, \
         params, metadata, cache_mode, attempts_left, created_ms, finished_ms, deadline_ms, source) \
         VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    ])?;
    insert_outputs(connection, task.id, &task.outputs)?;
    insert_event(connection, task.id, 1, state, request.at)
}

/// Makes sure that no id below `ids_below` is given out after a restart.
pub fn save_ids(connection: &Connection, ids_below: u64) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO meta (key, value) VALUES ('ids_below', ?) ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
    )?;
    statement.execute([ids_below])?;
    Ok(())
}

/// Whether the batch exists.
pub fn batch_exists(connection: &Connection, batch: BatchId) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT 1 FROM batches WHERE id = ?")?.exists([batch.0])?)
}

/// The begin of an attempt.
#[derive(Debug, Clone)]
pub struct Start {
    /// Whose.
    pub id: TaskId,
    /// The task's revision after it.
    pub rev: u64,
    /// When.
    pub at: Timestamp,
    /// The attempt at a provider; None for services that need none.
    pub attempt: Option<AttemptStart>,
}

/// An attempt at a provider.
#[derive(Debug, Clone)]
pub struct AttemptStart {
    /// 1 for the first.
    pub number: u32,
    /// The instance.
    pub provider: String,
    /// Its model.
    pub model: Option<String>,
}

/// Journals that a task runs: must be committed before anything leaves for a provider.
pub fn start(connection: &Connection, start: &Start) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET state = 'running', rev = ?, started_ms = ?, not_before_ms = NULL, attempts = attempts + 1, \
         attempts_left = max(attempts_left - 1, 0), provider = ?, model = ? WHERE id = ?",
    )?;
    let attempt = start.attempt.as_ref();
    let (provider, model) =
        (attempt.map(|attempt| &attempt.provider), attempt.and_then(|attempt| attempt.model.as_ref()));
    statement.execute(params![start.rev, start.at.unix_ms(), provider, model, start.id.0])?;
    if let Some(attempt) = attempt {
        let mut statement = connection.prepare_cached(
            "INSERT INTO attempts (task, number, provider, started_ms) VALUES (?, ?, ?, ?)",
        )?;
        statement.execute(params![start.id.0, attempt.number, attempt.provider, start.at.unix_ms()])?;
    }
    insert_event(connection, start.id, start.rev, TaskState::Running, start.at)
}

/// The end of a task.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Whose.
    pub id: TaskId,
    /// The task's revision after it.
    pub rev: u64,
    /// When.
    pub at: Timestamp,
    /// `succeeded`, `failed` or `cancelled`.
    pub state: TaskState,
    /// Where the outputs came from.
    pub source: Option<Source>,
    /// The provider that made them, where it is not the attempt's own.
    pub provider: Option<String>,
    /// That provider's model.
    pub model: Option<String>,
    /// The results.
    pub outputs: Vec<Digest>,
    /// Why it failed.
    pub error: Option<TaskError>,
}

/// Journals that a task is over; its open attempt ends with it.
pub fn finish(connection: &Connection, finish: &Finish) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET state = ?, rev = ?, finished_ms = ?, hold_reason = NULL, not_before_ms = NULL, source = ?, error = ?, \
         provider = coalesce(?, provider), model = coalesce(?, model) WHERE id = ?",
    )?;
    statement.execute(params![
        finish.state.name(),
        finish.rev,
        finish.at.unix_ms(),
        finish.source.map(source_name),
        finish.error.as_ref().map(to_json).transpose()?,
        finish.provider,
        finish.model,
        finish.id.0,
    ])?;
    let outcome = finish.error.as_ref().map_or(finish.state.name(), |error| error.code.as_str());
    end_attempt(connection, finish.id, finish.at, outcome)?;
    insert_outputs(connection, finish.id, &finish.outputs)?;
    insert_event(connection, finish.id, finish.rev, finish.state, finish.at)
}

/// Any other change of an unfinished task, or of one that is asked for again.
#[derive(Debug, Clone)]
pub struct Step {
    /// Whose.
    pub id: TaskId,
    /// The task's revision after it.
    pub rev: u64,
    /// When.
    pub at: Timestamp,
    /// Its state after it.
    pub state: TaskState,
    /// Why it is held.
    pub hold_reason: Option<HoldReason>,
    /// When its next attempt may begin.
    pub not_before: Option<Timestamp>,
    /// -100 to 100.
    pub priority: i8,
    /// Attempts it may still make.
    pub attempts_left: u32,
    /// Daemon deaths that it was running at.
    pub deaths: u32,
    /// How its open attempt ended.
    pub attempt_outcome: Option<String>,
}

/// Journals a step.
pub fn step(connection: &Connection, step: &Step) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET state = ?, rev = ?, hold_reason = ?, not_before_ms = ?, priority = ?, attempts_left = ?, deaths = ?, \
         finished_ms = NULL, error = NULL, source = NULL WHERE id = ?",
    )?;
    statement.execute(params![
        step.state.name(),
        step.rev,
        step.hold_reason.map(HoldReason::name),
        step.not_before.map(Timestamp::unix_ms),
        step.priority,
        step.attempts_left,
        step.deaths,
        step.id.0,
    ])?;
    if let Some(outcome) = &step.attempt_outcome {
        end_attempt(connection, step.id, step.at, outcome)?;
    }
    insert_event(connection, step.id, step.rev, step.state, step.at)
}

fn end_attempt(
    connection: &Connection,
    task: TaskId,
    at: Timestamp,
    outcome: &str,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE attempts SET ended_ms = ?, outcome = ? WHERE task = ? AND ended_ms IS NULL",
    )?;
    statement.execute(params![at.unix_ms(), outcome, task.0])?;
    Ok(())
}

fn insert_outputs(connection: &Connection, task: TaskId, outputs: &[Digest]) -> Result<(), StoreError> {
    for (position, digest) in outputs.iter().enumerate() {
        let mut statement = connection
            .prepare_cached("INSERT OR REPLACE INTO outputs (task, position, digest) VALUES (?, ?, ?)")?;
        statement.execute(params![task.0, position as u64, digest.as_bytes()])?;
    }
    Ok(())
}

fn insert_event(
    connection: &Connection,
    task: TaskId,
    rev: u64,
    state: TaskState,
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("INSERT INTO events (task, rev, state, at_ms) VALUES (?, ?, ?, ?)")?;
    let seq = statement.insert(params![task.0, rev, state.name(), at.unix_ms()])?;
    if seq % 256 == 0 {
        connection.prepare_cached("DELETE FROM events WHERE seq <= ?")?.execute([seq - EVENTS_KEPT])?;
    }
    Ok(())
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unreadable(error.to_string()))
}

pub(super) fn json_at<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    index: usize,
) -> rusqlite::Result<Option<T>> {
    let Some(text) = row.get::<_, Option<String>>(index)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| unreadable(index, error))
}

pub(super) fn state_at(row: &Row<'_>, index: usize) -> rusqlite::Result<TaskState> {
    let name: String = row.get(index)?;
    TaskState::from_name(&name).ok_or_else(|| unreadable(index, StoreError::Unreadable(name)))
}

pub(super) fn hold_at(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<HoldReason>> {
    let name: Option<String> = row.get(index)?;
    Ok(name.map(|name| match name.as_str() {
        "user" => HoldReason::User,
        "crash_suspect" => HoldReason::CrashSuspect,
        "outcome_unknown" => HoldReason::OutcomeUnknown,
        _ => HoldReason::Unknown,
    }))
}

fn unreadable(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}

const fn cache_number(mode: CacheMode) -> u8 {
    match mode {
        CacheMode::Use => 0,
        CacheMode::Fresh => 1,
        CacheMode::Off => 2,
    }
}

pub(super) const fn cache_mode(number: u8) -> CacheMode {
    match number {
        1 => CacheMode::Fresh,
        2 => CacheMode::Off,
        _ => CacheMode::Use,
    }
}

pub(super) const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Made => "made",
        Source::Cache => "cache",
        Source::Shared | Source::Unknown => "shared",
    }
}
