//! Reads tasks back as the tracker needs them: all unfinished ones at the start, one that is asked for again.

use reel_protocol::{BatchId, HoldReason, TaskId, TaskState, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Dependencies, NewTask, RemoteId, StoreError,
    accept::KnownStates,
    columns::{cache_mode, hold_at, json_at, state_at},
    origin::ids_below,
};
use crate::domain::{Inputs, Refused, StepOf};

/// A task that was not finished when the daemon ended.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// As it was accepted, but for `state`, which is where it stood, and `after`, of which `open` has what is left.
    pub task: NewTask,
    /// Its revision.
    pub rev: u64,
    /// Why it was held.
    pub hold_reason: Option<HoldReason>,
    /// Who asked.
    pub client: String,
    /// Its batch.
    pub batch: Option<BatchId>,
    /// Attempts begun.
    pub attempts: u32,
    /// Those of them that ended as [`UNREACHED`](super::UNREACHED).
    pub unreached: u32,
    /// Daemon deaths that it was running at.
    pub deaths: u32,
    /// When it was accepted.
    pub created: Timestamp,
    /// When its next attempt may begin.
    pub not_before: Option<Timestamp>,
    /// When its last attempt ended, which decided about the next one.
    pub attempt_ended: Option<Timestamp>,
    /// What the provider holds for its last attempt, whether that is still open or not.
    pub remote_id: Option<RemoteId>,
    /// Providers that it left for another one since it was accepted or retried.
    pub refused_by: Vec<Refused>,
    /// Its dependencies that are not finished, or the one that did not succeed.
    pub open: Dependencies,
    /// Whether it is a step of a workflow that was cancelled: the daemon died before it could give the step up.
    pub is_given_up: bool,
}

/// What a start reads.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// In the order of their ids.
    pub unfinished: Vec<Recovered>,
    /// How many tasks stand in each state.
    pub counts: Vec<(TaskState, u64)>,
    /// The next id must not be below this.
    pub ids_below: u64,
    /// Providers and when they were asked, oldest first; no further back than any limit looks.
    pub asked: Vec<(String, Timestamp)>,
}

/// How far back: `requests_per_minute` is the only limit over time, and a minute is told by clocks that differ.
const ASKED_MS: u64 = 2 * 60 * 1_000;

/// More than are allowed in a minute anywhere.
const MOST_ASKED: u32 = 100_000;

const RECOVERED_COLUMNS: &str = "id, kind, name, state, priority, after, wanted_provider, provider, model, params, metadata, cache_mode, \
     attempts_left, deadline_ms, rev, hold_reason, client, batch, attempts, deaths, not_before_ms, \
     (SELECT remote_id FROM attempts WHERE attempts.task = tasks.id AND attempts.number = tasks.attempts), \
     (SELECT json_group_array(json_array(provider, substr(outcome, 6))) FROM attempts WHERE attempts.task = tasks.id AND outcome GLOB 'left:*'), \
     created_ms, \
     (SELECT ended_ms FROM attempts WHERE attempts.task = tasks.id AND attempts.number = tasks.attempts), \
     (SELECT count(*) FROM attempts WHERE attempts.task = tasks.id AND outcome = 'unreached'), parent, step, \
     EXISTS (SELECT 1 FROM tasks AS workflow WHERE workflow.id = tasks.parent AND workflow.state = 'cancelled')";

/// Reads what a start must know.
pub fn recover(connection: &Connection) -> Result<Recovery, StoreError> {
    let mut statement = connection.prepare(&format!(
        "SELECT {RECOVERED_COLUMNS} FROM tasks WHERE state IN ('waiting', 'queued', 'running', 'held') ORDER BY id"
    ))?;
    let mut unfinished = statement.query_map([], recovered)?.collect::<Result<Vec<_>, _>>()?;
    if unfinished.iter().any(|row| !row.task.after.is_empty()) {
        let mut states = KnownStates::of_all(connection)?;
        for row in &mut unfinished {
            find_open(connection, row, &mut states)?;
        }
    }
    let mut statement = connection.prepare("SELECT state, count(*) FROM tasks GROUP BY state")?;
    let counts = statement
        .query_map([], |row| Ok((state_at(row, 0)?, row.get(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Recovery { unfinished, counts, ids_below: ids_below(connection)?, asked: asked(connection)? })
}

fn asked(connection: &Connection) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let since = Timestamp::now().unix_ms().saturating_sub(ASKED_MS);
    let mut statement = connection.prepare(
        "SELECT provider, started_ms FROM attempts WHERE provider IS NOT NULL AND started_ms > ? ORDER BY started_ms LIMIT ?",
    )?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, Timestamp::from_unix_ms(row.get(1)?)));
    Ok(statement.query_map([since, MOST_ASKED.into()], row)?.collect::<Result<Vec<_>, _>>()?)
}

/// One task with all that the tracker needs to take it up again; None if it does not exist.
pub fn load(connection: &Connection, id: TaskId) -> Result<Option<Recovered>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {RECOVERED_COLUMNS} FROM tasks WHERE id = ?"))?;
    let mut found = statement.query_row([id.0], recovered).optional()?;
    if let Some(row) = &mut found {
        let mut states = KnownStates::read(connection, &row.task.after)?;
        find_open(connection, row, &mut states)?;
    }
    Ok(found)
}

/// Finds which of a task's dependencies are open. One that has left the history was finished; only a success lets anything leave it before its
/// dependants.
fn find_open(
    connection: &Connection,
    row: &mut Recovered,
    states: &mut KnownStates,
) -> Result<(), StoreError> {
    let mut needed = std::mem::take(&mut row.task.after);
    needed.retain(|id| states.exists(*id));
    row.open = states.open_of(connection, needed)?.unwrap_or_else(|_| Ok(Vec::new()));
    Ok(())
}

/// Each provider with what follows the mark in the outcome of its attempt: the error's code and message, or the code alone in a journal of an
/// earlier version.
fn refused_at(row: &Row<'_>, index: usize) -> rusqlite::Result<Vec<Refused>> {
    let left: Vec<(String, String)> = json_at(row, index)?.unwrap_or_default();
    let refused = |(provider, outcome): (String, String)| {
        let reason = outcome.split_once(": ").map_or(&*outcome, |(_, message)| message).to_owned();
        Refused { provider, reason }
    };
    Ok(left.into_iter().map(refused).collect())
}

fn step_at(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<StepOf>> {
    let parent = row.get::<_, Option<u64>>(index)?.map(TaskId);
    let name = row.get::<_, Option<String>>(index + 1)?;
    Ok(parent.zip(name).map(|(parent, name)| StepOf { parent, name: name.into() }))
}

fn recovered(row: &Row<'_>) -> rusqlite::Result<Recovered> {
    let time = |index| row.get::<_, Option<u64>>(index).map(|ms| ms.map(Timestamp::from_unix_ms));
    let task = NewTask {
        id: TaskId(row.get(0)?),
        kind: row.get(1)?,
        name: row.get(2)?,
        state: state_at(row, 3)?,
        priority: row.get(4)?,
        after: json_at(row, 5)?.unwrap_or_default(),
        wanted_provider: row.get(6)?,
        provider: row.get(7)?,
        model: row.get(8)?,
        params: json_at(row, 9)?.unwrap_or_default(),
        metadata: json_at(row, 10)?,
        cache: cache_mode(row.get(11)?),
        attempts_left: row.get(12)?,
        deadline: time(13)?,
        is_incomplete: false,
        inputs: Inputs::default(),
        outputs: Vec::new(),
        notes: Vec::new(),
        step: step_at(row, 26)?,
    };
    Ok(Recovered {
        task,
        rev: row.get(14)?,
        hold_reason: hold_at(row, 15)?,
        client: row.get(16)?,
        batch: row.get::<_, Option<u64>>(17)?.map(BatchId),
        attempts: row.get(18)?,
        unreached: row.get(25)?,
        is_given_up: row.get(28)?,
        deaths: row.get(19)?,
        created: Timestamp::from_unix_ms(row.get(23)?),
        not_before: time(20)?,
        attempt_ended: time(24)?,
        remote_id: row.get::<_, Option<String>>(21)?.map(RemoteId),
        refused_by: refused_at(row, 22)?,
        open: Ok(Vec::new()),
    })
}
