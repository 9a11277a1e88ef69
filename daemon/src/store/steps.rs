//! Writes about tasks that were accepted: an attempt begins, a task ends, and every other step.

use reel_protocol::{Digest, HoldReason, Source, TaskError, TaskId, TaskNote, TaskState, Timestamp};
use rusqlite::{Connection, params};

use super::{
    StoreError,
    columns::{notes_text, source_name, to_json},
};

/// What a provider holds for an attempt, in the words of the room that reads it back. It may hold addresses with signatures, so it shows
/// itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteId(pub String);

impl std::fmt::Debug for RemoteId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RemoteId(***)")
    }
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
    /// The attempt's number, 1 for the first.
    pub number: u32,
    /// The instance; None for services that need none.
    pub provider: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// What the provider holds of an earlier attempt, which this one asks for first.
    pub remote_id: Option<RemoteId>,
}

/// Journals that a task runs: must be committed before anything leaves for a provider.
pub fn start(connection: &Connection, start: &Start) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET state = 'running', rev = ?, started_ms = ?, not_before_ms = NULL, attempts = ?, \
         attempts_left = max(attempts_left - 1, 0), provider = ?, model = ? WHERE id = ?",
    )?;
    let at = start.at.unix_ms();
    let changed =
        statement.execute(params![start.rev, at, start.number, start.provider, start.model, start.id.0])?;
    if changed == 0 {
        return Err(StoreError::NoTask(start.id));
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO attempts (task, number, provider, started_ms, remote_id) VALUES (?, ?, ?, ?, ?)",
    )?;
    let remote_id = start.remote_id.as_ref().map(|id| &id.0);
    statement.execute(params![start.id.0, start.number, start.provider, at, remote_id])?;
    Ok(())
}

/// Journals what the provider holds for an attempt, or that it holds nothing any more.
pub fn set_remote_id(
    connection: &Connection,
    task: TaskId,
    number: u32,
    remote_id: Option<&RemoteId>,
) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("UPDATE attempts SET remote_id = ? WHERE task = ? AND number = ?")?;
    statement.execute(params![remote_id.map(|id| &id.0), task.0, number])?;
    Ok(())
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
    /// What is to be said about them.
    pub notes: Vec<TaskNote>,
    /// What the provider says that they cost, in millionths of a US dollar.
    pub cost_microusd: Option<u64>,
    /// Why it failed.
    pub error: Option<TaskError>,
}

/// Journals that a task is over; its open attempt ends with it.
pub fn finish(connection: &Connection, finish: &Finish) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET state = ?, rev = ?, finished_ms = ?, hold_reason = NULL, not_before_ms = NULL, source = ?, error = ?, \
         ended = (SELECT coalesce(max(ended), 0) + 1 FROM tasks WHERE ended IS NOT NULL), \
         provider = coalesce(?, provider), model = coalesce(?, model), notes = ?, cost_microusd = ? WHERE id = ?",
    )?;
    statement.execute(params![
        finish.state.name(),
        finish.rev,
        finish.at.unix_ms(),
        finish.source.map(source_name),
        finish.error.as_ref().map(to_json).transpose()?,
        finish.provider,
        finish.model,
        notes_text(&finish.notes)?,
        finish.cost_microusd,
        finish.id.0,
    ])?;
    let outcome = finish.error.as_ref().map_or(finish.state.name(), |error| error.code.as_str());
    end_attempt(connection, finish.id, finish.at, outcome)?;
    if finish.state == TaskState::Succeeded {
        // Nothing is to be fetched any more, so addresses that may be signed are not kept.
        let mut statement = connection.prepare_cached(
            "UPDATE attempts SET remote_id = NULL WHERE task = ? AND remote_id IS NOT NULL",
        )?;
        statement.execute([finish.id.0])?;
    }
    insert_outputs(connection, finish.id, &finish.outputs)?;
    Ok(())
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
    /// Whether somebody asks for a finished task again: every provider may be asked again.
    pub is_retry: bool,
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
    /// The provider that it leaves for another one; the attempt there is marked with it, so that a restart does not go back.
    pub left_provider: Option<String>,
    /// How its open attempt ended.
    pub attempt_outcome: Option<String>,
    /// Why that one failed.
    pub error: Option<TaskError>,
}

/// Journals a step of a task as it is known: [`StoreError::NoTask`] where it went on meanwhile, or left. A task that is asked for again has no deadline any more; one that stays where it is keeps the reason why it is there.
pub fn step(connection: &Connection, step: &Step) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET state = ?1, rev = ?2, hold_reason = ?3, not_before_ms = ?4, priority = ?5, attempts_left = ?6, deaths = ?7, \
         finished_ms = NULL, ended = NULL, error = CASE WHEN state = ?1 THEN coalesce(?8, error) ELSE ?8 END, source = NULL, \
         deadline_ms = CASE WHEN state IN ('failed', 'cancelled') THEN NULL ELSE deadline_ms END WHERE id = ?9 AND rev = ?2 - 1",
    )?;
    let changed = statement.execute(params![
        step.state.name(),
        step.rev,
        step.hold_reason.map(HoldReason::name),
        step.not_before.map(Timestamp::unix_ms),
        step.priority,
        step.attempts_left,
        step.deaths,
        step.error.as_ref().map(to_json).transpose()?,
        step.id.0,
    ])?;
    if changed == 0 {
        return Err(StoreError::NoTask(step.id));
    }
    if let Some(outcome) = &step.attempt_outcome {
        let left = step.left_provider.as_ref().and(step.error.as_ref());
        let marked = left.map(|error| format!("{LEFT}{outcome}: {}", error.message));
        end_attempt(connection, step.id, step.at, marked.as_deref().unwrap_or(outcome))?;
    }
    if step.is_retry {
        forget_left_providers(connection, step.id)?;
    }
    Ok(())
}

/// The outcome of an attempt whose request never left.
pub const UNREACHED: &str = "unreached";

/// Begins the outcome of an attempt whose task left the provider; what follows is the code of the error and its message.
const LEFT: &str = "left:";

fn forget_left_providers(connection: &Connection, task: TaskId) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE attempts SET outcome = substr(outcome, length(?1) + 1) WHERE task = ?2 AND outcome GLOB ?1 || '*'",
    )?;
    statement.execute(params![LEFT, task.0])?;
    Ok(())
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

pub(super) fn insert_outputs(
    connection: &Connection,
    task: TaskId,
    outputs: &[Digest],
) -> Result<(), StoreError> {
    for (position, digest) in outputs.iter().enumerate() {
        let mut statement = connection
            .prepare_cached("INSERT OR REPLACE INTO outputs (task, position, digest) VALUES (?, ?, ?)")?;
        statement.execute(params![task.0, position as u64, digest.as_bytes()])?;
    }
    Ok(())
}
