//! Reads tasks in the form that the tracker needs: all unfinished ones at a start, or one that is retried.

use reel_protocol::{BatchId, HoldReason, TaskId, TaskState, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Dependencies, EncodedRemoteJob, NewTask, StoreError,
    accept::KnownStates,
    columns::{cache_mode, hold_at, json_at, state_at},
    origin::ids_below,
};
use crate::domain::{Inputs, Refused, StepOf};

/// A task in the form that the tracker needs to run it.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The task as it was accepted, with two exceptions: `state` is its last state, and `after` is empty, as `open` has what is left of it.
    pub task: NewTask,
    /// The task's revision.
    pub rev: u64,
    /// Why the task is held, if it is.
    pub hold_reason: Option<HoldReason>,
    /// The name of the client that submitted it.
    pub client: String,
    /// The batch of the task.
    pub batch: Option<BatchId>,
    /// Number of attempts that began.
    pub attempts: u32,
    /// Number of attempts that ended as [`UNREACHED`](super::UNREACHED).
    pub unreached: u32,
    /// Deaths of the daemon while the task was running.
    pub deaths: u32,
    /// When the task was accepted.
    pub created: Timestamp,
    /// When the next attempt may begin; None for at once.
    pub not_before: Option<Timestamp>,
    /// When the last attempt ended. The wait for the next one counts from it.
    pub attempt_ended: Option<Timestamp>,
    /// The remote job of its last attempt, whether that has ended or not.
    pub remote_id: Option<EncodedRemoteJob>,
    /// Providers that the task left for another one since it was accepted or retried, and that were not asked since, with the reasons.
    pub refused_by: Vec<Refused>,
    /// Its unfinished dependencies, or the one that did not succeed.
    pub open: Dependencies,
    /// Whether it is a step of a cancelled workflow. The daemon died before it could cancel the step.
    pub is_given_up: bool,
}

/// The state that a start reads.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The unfinished tasks, in the order of their ids.
    pub unfinished: Vec<Recovered>,
    /// The number of tasks in each state.
    pub counts: Vec<(TaskState, bool, u64)>,
    /// The next id must not be below this.
    pub ids_below: u64,
    /// Providers and the times of requests to them, oldest first, within the last two minutes.
    pub recent_requests: Vec<(String, Timestamp)>,
}

/// Age of the oldest request that is read, in milliseconds. `requests_per_minute` is the only limit over time; two minutes allow for clocks that
/// differ.
const RECENT_MS: u64 = 2 * 60 * 1_000;

/// Most requests that are read. No service allows so many in a minute.
const MOST_RECENT_REQUESTS: u32 = 100_000;

const RECOVERED_COLUMNS: &str = "id, kind, name, state, priority, after, wanted_provider, provider, model, params, metadata, cache_mode, \
     attempts_left, deadline_ms, rev, hold_reason, client, batch, attempts, deaths, not_before_ms, \
     (SELECT remote_id FROM attempts WHERE attempts.task = tasks.id AND attempts.number = tasks.attempts), \
     (SELECT json_group_array(json_array(provider, substr(outcome, 6))) FROM attempts WHERE attempts.task = tasks.id AND outcome GLOB 'left:*' \
     AND NOT EXISTS (SELECT 1 FROM attempts AS later WHERE later.task = attempts.task AND later.provider = attempts.provider \
     AND later.number > attempts.number)), \
     created_ms, \
     (SELECT ended_ms FROM attempts WHERE attempts.task = tasks.id AND attempts.number = tasks.attempts), \
     (SELECT count(*) FROM attempts WHERE attempts.task = tasks.id AND outcome = 'unreached'), parent, step, \
     EXISTS (SELECT 1 FROM tasks AS workflow WHERE workflow.id = tasks.parent AND workflow.state = 'cancelled' \
     AND workflow.finished_ms >= tasks.deadline_ms)";

/// Reads the state for a start.
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
    let mut statement =
        connection.prepare("SELECT state, parent IS NOT NULL, count(*) FROM tasks GROUP BY 1, 2")?;
    let counts = statement
        .query_map([], |row| Ok((state_at(row, 0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Recovery {
        unfinished,
        counts,
        ids_below: ids_below(connection)?,
        recent_requests: recent_requests(connection)?,
    })
}

fn recent_requests(connection: &Connection) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let since = Timestamp::now().unix_ms().saturating_sub(RECENT_MS);
    let mut statement = connection.prepare(
        "SELECT provider, started_ms FROM attempts WHERE provider IS NOT NULL AND started_ms > ? ORDER BY started_ms LIMIT ?",
    )?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, Timestamp::from_unix_ms(row.get(1)?)));
    Ok(statement.query_map([since, MOST_RECENT_REQUESTS.into()], row)?.collect::<Result<Vec<_>, _>>()?)
}

/// Returns one task with all that the tracker needs to run it again; None if it does not exist.
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

/// Moves the dependencies of a task from `after` to `open`, without those that succeeded. A dependency that has left the history counts as succeeded:
/// others cannot leave it before their dependants.
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

/// Decodes each provider with the message of its error. In a journal of an earlier version, the outcome has only the code of the error.
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
        remote_id: row.get::<_, Option<String>>(21)?.map(EncodedRemoteJob),
        refused_by: refused_at(row, 22)?,
        open: Ok(Vec::new()),
    })
}
