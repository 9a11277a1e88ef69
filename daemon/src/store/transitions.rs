//! Writes the transitions of accepted tasks: the end of a task, and every other transition except the begin of an attempt.

use reel_protocol::{
    Digest, HoldReason, JsonText, Source, TaskError, TaskId, TaskNote, TaskState, Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    StoreError,
    attempts::{LEFT, end_attempt, forget_left_providers, forget_remote_ids},
    columns::{notes_text, source_name, to_json},
    inputs::insert_inputs,
};
use crate::domain::{Cost, Inputs};

/// The end of a task.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The task's id.
    pub id: TaskId,
    /// The task's revision after the transition.
    pub rev: u64,
    /// The time of the transition.
    pub at: Timestamp,
    /// `succeeded`, `failed` or `cancelled`.
    pub state: TaskState,
    /// How the task got its results.
    pub source: Option<Source>,
    /// The provider that made the results, if it is not that of the attempt.
    pub provider: Option<String>,
    /// That provider's model.
    pub model: Option<String>,
    /// The digests of the results, in their order.
    pub outputs: Vec<Digest>,
    /// Notes for the user about the results.
    pub notes: Vec<TaskNote>,
    /// The cost of the results, if it is known.
    pub cost: Option<Cost>,
    /// Why the task failed.
    pub error: Option<TaskError>,
    /// Whether the task is a workflow that was cancelled, which gives up its unfinished steps.
    pub gives_up_steps: bool,
}

/// Writes the end of a task. Its open attempt ends too.
pub fn finish(connection: &Connection, finish: &Finish) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET state = ?, rev = ?, finished_ms = ?, hold_reason = NULL, not_before_ms = NULL, source = ?, error = ?, \
         ended = (SELECT coalesce(max(ended), 0) + 1 FROM tasks WHERE ended IS NOT NULL), \
         provider = coalesce(?, provider), model = coalesce(?, model), notes = ?, cost_microusd = ?, cost_is_estimate = ? WHERE id = ?",
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
        finish.cost.map(|cost| cost.microusd),
        finish.cost.is_some_and(|cost| cost.is_estimate),
        finish.id.0,
    ])?;
    if finish.gives_up_steps {
        give_up_steps(connection, finish.id, finish.at)?;
    }
    let outcome = finish.error.as_ref().map_or(finish.state.name(), |error| error.code.as_str());
    end_attempt(connection, finish.id, finish.at, outcome)?;
    if finish.state == TaskState::Succeeded {
        // Nothing has to be fetched for this task later, so addresses that may be signed are deleted.
        forget_remote_ids(connection, finish.id)?;
    }
    insert_outputs(connection, finish.id, &finish.outputs)?;
    Ok(())
}

/// Marks the unfinished steps of a cancelled workflow by a deadline that has passed, in case the daemon dies before it has ended them. The retry of a
/// step removes the deadline.
fn give_up_steps(connection: &Connection, workflow: TaskId, at: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE tasks SET deadline_ms = ?1 WHERE parent = ?2 AND state IN ('waiting', 'queued', 'running', 'held')",
        )?
        .execute(params![at.unix_ms(), workflow.0])?;
    Ok(())
}

/// Any other transition of an unfinished task, or the retry of a finished one.
#[derive(Debug, Clone)]
pub struct Transition {
    /// The task's id.
    pub id: TaskId,
    /// The task's revision after the transition.
    pub rev: u64,
    /// The time of the transition.
    pub at: Timestamp,
    /// Whether it is a retry of a finished task. Every provider may then be tried again.
    pub is_retry: bool,
    /// The task's state after the transition.
    pub state: TaskState,
    /// Why the task is held, if it is.
    pub hold_reason: Option<HoldReason>,
    /// When the next attempt may begin; None for at once.
    pub not_before: Option<Timestamp>,
    /// The priority, from -100 to 100.
    pub priority: i8,
    /// Attempts that the task may still make.
    pub attempts_left: u32,
    /// Deaths of the daemon while the task was running.
    pub deaths: u32,
    /// The provider that the task leaves for another one. The attempt is marked, so that the task does not return to that provider after a restart.
    pub left_provider: Option<String>,
    /// How the open attempt ended; None if no attempt ends with this transition.
    pub attempt_outcome: Option<String>,
    /// Why that attempt failed.
    pub error: Option<TaskError>,
    /// The task's params with the outputs to which they referred, and the artifacts from which it starts.
    pub resolved: Option<(JsonText, Inputs)>,
}

/// Writes a transition of a task. Fails with [`StoreError::NoTask`] if the task has another revision by then, or has left the history.
///
/// A retried task loses its deadline, and so does a task that a person releases after the deadline: it was held because it may have been paid. A task
/// that stays in its state keeps its error unless the transition has one.
pub fn record_transition(connection: &Connection, transition: &Transition) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tasks SET state = ?1, rev = ?2, hold_reason = ?3, not_before_ms = ?4, priority = ?5, attempts_left = ?6, deaths = ?7, \
         finished_ms = NULL, ended = NULL, error = CASE WHEN state = ?1 THEN coalesce(?8, error) ELSE ?8 END, source = NULL, \
         deadline_ms = CASE WHEN state IN ('failed', 'cancelled') THEN NULL \
         WHEN hold_reason = 'outcome_unknown' AND ?1 <> 'held' AND deadline_ms <= ?10 THEN NULL ELSE deadline_ms END \
         WHERE id = ?9 AND rev = ?2 - 1",
    )?;
    let changed = statement.execute(params![
        transition.state.name(),
        transition.rev,
        transition.hold_reason.map(HoldReason::name),
        transition.not_before.map(Timestamp::unix_ms),
        transition.priority,
        transition.attempts_left,
        transition.deaths,
        transition.error.as_ref().map(to_json).transpose()?,
        transition.id.0,
        transition.at.unix_ms(),
    ])?;
    if changed == 0 {
        return Err(StoreError::NoTask(transition.id));
    }
    if let Some(outcome) = &transition.attempt_outcome {
        let left = transition.left_provider.as_ref().and(transition.error.as_ref());
        let marked = left.map(|error| format!("{LEFT}{outcome}: {}", error.message));
        end_attempt(connection, transition.id, transition.at, marked.as_deref().unwrap_or(outcome))?;
    }
    if let Some((params, inputs)) = &transition.resolved {
        let mut statement = connection.prepare_cached("UPDATE tasks SET params = ? WHERE id = ?")?;
        statement.execute(params![params.as_str(), transition.id.0])?;
        insert_inputs(connection, transition.id, inputs)?;
    }
    if transition.is_retry {
        forget_left_providers(connection, transition.id)?;
        // Outputs of a failed attempt are no results of later attempts.
        connection.prepare_cached("DELETE FROM outputs WHERE task = ?")?.execute([transition.id.0])?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_after_the_deadline_removes_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.db");
        drop(crate::store::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        let at = 1_800_000_000_000;
        // The deadline, the reason of the hold, and whether the deadline is left after a release.
        let table = [
            (at - 1, HoldReason::OutcomeUnknown, false),
            (at + 1, HoldReason::OutcomeUnknown, true),
            (at - 1, HoldReason::User, true),
        ];
        for (id, (deadline_ms, hold_reason, is_left)) in (1..).zip(table) {
            let sql = "INSERT INTO tasks (id, rev, kind, state, hold_reason, priority, client, after, params, cache_mode, attempts_left, \
                       created_ms, deadline_ms) VALUES (?1, 1, 'a.b', 'held', ?2, 0, 'c', '[]', '{}', 0, 1, 1, ?3)";
            connection.execute(sql, params![id, hold_reason.name(), deadline_ms]).unwrap();
            let release = Transition {
                id: TaskId(id),
                rev: 2,
                at: Timestamp::from_unix_ms(at),
                is_retry: false,
                state: TaskState::Queued,
                hold_reason: None,
                not_before: None,
                priority: 0,
                attempts_left: 1,
                deaths: 0,
                left_provider: None,
                attempt_outcome: None,
                error: None,
                resolved: None,
            };
            record_transition(&connection, &release).unwrap();
            let sql = "SELECT deadline_ms FROM tasks WHERE id = ?";
            let left: Option<u64> = connection.query_row(sql, [id], |row| row.get(0)).unwrap();
            assert_eq!(left, is_left.then_some(deadline_ms), "{deadline_ms} {hold_reason:?}");
        }
    }
}
