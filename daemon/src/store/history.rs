//! What leaves the history, and how.

use reel_protocol::{BatchId, TaskId, TaskState};
use rusqlite::{Connection, params};

use super::{StoreError, columns::state_at};

/// Tasks that were dropped, by the state they had ended in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Each with its state.
    pub tasks: Vec<(TaskId, TaskState)>,
}

/// Drops at most `limit` of the oldest finished tasks; `keep` says which must stay.
pub fn prune(
    connection: &Connection,
    limit: u32,
    keep: impl Fn(TaskId, Option<BatchId>) -> bool,
) -> Result<Pruned, StoreError> {
    let mut oldest = Vec::new();
    for state in [TaskState::Succeeded, TaskState::Failed, TaskState::Cancelled] {
        let mut statement = connection
            .prepare_cached("SELECT id, state, batch FROM tasks WHERE state = ? ORDER BY id LIMIT ?")?;
        let rows = statement.query_map(params![state.name(), limit], |row| {
            Ok((TaskId(row.get(0)?), state_at(row, 1)?, row.get::<_, Option<u64>>(2)?.map(BatchId)))
        })?;
        for row in rows {
            oldest.push(row?);
        }
    }
    oldest.sort_unstable_by_key(|(id, ..)| *id);
    oldest.truncate(limit as usize);
    let mut pruned = Pruned::default();
    for (id, state, batch) in oldest {
        if !keep(id, batch) {
            forget(connection, id)?;
            pruned.tasks.push((id, state));
        }
    }
    Ok(pruned)
}

/// Drops one task and all that hangs on it; its artifacts are unpinned, not deleted.
pub fn forget(connection: &Connection, id: TaskId) -> Result<(), StoreError> {
    // The request goes with its last task, so that sending it again can still be answered for the others.
    for sql in [
        "DELETE FROM requests WHERE (client, request_id) = (SELECT client, request_id FROM tasks WHERE id = ?1) AND NOT EXISTS \
         (SELECT 1 FROM tasks WHERE id BETWEEN first_task AND first_task + requests.tasks - 1 AND id <> ?1)",
        "DELETE FROM batches WHERE id = (SELECT batch FROM tasks WHERE id = ?1) AND NOT EXISTS \
         (SELECT 1 FROM tasks WHERE batch = batches.id AND id <> ?1)",
        "DELETE FROM outputs WHERE task = ?1",
        "DELETE FROM attempts WHERE task = ?1",
        "DELETE FROM tasks WHERE id = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([id.0])?;
    }
    Ok(())
}
