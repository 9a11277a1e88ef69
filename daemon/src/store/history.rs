//! Drops finished tasks from the history in the order in which they ended, with all rows that belong to them.

use reel_protocol::{BatchId, TaskId, TaskState, Timestamp};
use rusqlite::Connection;

use super::{StoreError, columns::state_at, inputs::UNHELD_OUTPUT};

/// Most rows that a prune reads. A large batch that must stay may have ended before the tasks that can be dropped.
const LOOKED_AT: u32 = 20_000;

/// Tasks that were dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The dropped tasks.
    pub tasks: Vec<PrunedTask>,
    /// Size of the artifacts that no remaining task has as output, in bytes.
    pub unpinned_bytes: u64,
}

/// A task that was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrunedTask {
    /// The task.
    pub id: TaskId,
    /// Its final state.
    pub state: TaskState,
    /// Whether it was a step of a workflow.
    pub is_step: bool,
}

/// A step stays as long as its workflow is unfinished, because the workflow looks for its steps after a restart.
const OLDEST: &str = "SELECT id, state, batch, parent IS NOT NULL FROM tasks WHERE ended IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM tasks AS workflow WHERE workflow.id = tasks.parent AND workflow.ended IS NULL)";

/// Drops at most `limit` finished tasks, in the order in which they ended. `keep` returns whether a task must stay.
pub fn prune(
    connection: &Connection,
    limit: u32,
    keep: impl Fn(TaskId, Option<BatchId>) -> bool,
) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    for dropped in oldest(connection, &oldest_of(""), limit, keep)? {
        forget(connection, dropped.id)?;
        pruned.tasks.push(dropped);
    }
    Ok(pruned)
}

/// Drops at most `limit` of the oldest finished tasks with outputs, until `bytes` of artifacts are free: no remaining task has them as output, no pin
/// and no unfinished task keeps them. A task whose outputs would all be kept by others than the history stays.
pub fn prune_pinning(
    connection: &Connection,
    bytes: u64,
    limit: u32,
    keep: impl Fn(TaskId, Option<BatchId>) -> bool,
) -> Result<Pruned, StoreError> {
    let mut pruned = Pruned::default();
    let now_ms = Timestamp::now().unix_ms();
    for dropped in oldest(connection, &oldest_pinning(), limit, keep)? {
        if pruned.unpinned_bytes >= bytes {
            break;
        }
        let mut alone = connection.prepare_cached(&format!(
            "SELECT coalesce(sum(size_bytes), 0) FROM artifacts WHERE digest IN \
                 (SELECT digest FROM outputs WHERE task = ?2 AND {UNHELD_OUTPUT}) \
             AND NOT EXISTS (SELECT 1 FROM outputs WHERE outputs.digest = artifacts.digest AND task <> ?2)",
        ))?;
        pruned.unpinned_bytes += alone.query_row([now_ms, dropped.id.0], |row| row.get::<_, u64>(0))?;
        forget(connection, dropped.id)?;
        pruned.tasks.push(dropped);
    }
    Ok(pruned)
}

/// Returns the statement that reads finished tasks in the order in which they ended. Its parameters are the current time, in milliseconds, and the
/// most rows.
fn oldest_of(condition: &str) -> String {
    format!("{OLDEST} {condition} ORDER BY ended LIMIT ?2")
}

/// The same for tasks with an output that nobody but the history keeps.
fn oldest_pinning() -> String {
    oldest_of(&format!(
        "AND +state = 'succeeded' AND EXISTS (SELECT 1 FROM outputs WHERE outputs.task = tasks.id AND {UNHELD_OUTPUT})"
    ))
}

fn oldest(
    connection: &Connection,
    sql: &str,
    limit: u32,
    keep: impl Fn(TaskId, Option<BatchId>) -> bool,
) -> Result<Vec<PrunedTask>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([Timestamp::now().unix_ms(), LOOKED_AT.into()])?;
    let mut found = Vec::new();
    while found.len() < limit as usize
        && let Some(row) = rows.next()?
    {
        let (id, batch) = (TaskId(row.get(0)?), row.get::<_, Option<u64>>(2)?.map(BatchId));
        if !keep(id, batch) {
            found.push(PrunedTask { id, state: state_at(row, 1)?, is_step: row.get(3)? });
        }
    }
    Ok(found)
}

/// The statements that drop a task. A request is dropped with its last task, so that a repeat of it can still be answered for the others.
const FORGET: [&str; 6] = [
    "DELETE FROM requests WHERE (client, request_id) = (SELECT client, request_id FROM tasks WHERE id = ?1) AND NOT EXISTS \
         (SELECT 1 FROM tasks WHERE id BETWEEN first_task AND first_task + requests.tasks - 1 AND id <> ?1)",
    "DELETE FROM batches WHERE id = (SELECT batch FROM tasks WHERE id = ?1) AND NOT EXISTS \
         (SELECT 1 FROM tasks WHERE batch = batches.id AND id <> ?1)",
    "DELETE FROM outputs WHERE task = ?1",
    "DELETE FROM inputs WHERE task = ?1",
    "DELETE FROM attempts WHERE task = ?1",
    "DELETE FROM tasks WHERE id = ?1",
];

/// Drops one task with its attempts and outputs. Its request and batch are dropped too if it was their last task. Its artifacts are unpinned, not
/// deleted.
pub fn forget(connection: &Connection, id: TaskId) -> Result<(), StoreError> {
    for sql in FORGET {
        connection.prepare_cached(sql)?.execute([id.0])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::params_from_iter;

    use super::*;

    #[test]
    fn nothing_that_leaves_the_history_is_found_by_a_scan() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.db");
        drop(crate::store::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        for sql in [oldest_of(""), oldest_pinning()].into_iter().chain(FORGET.map(str::to_owned)) {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let params = vec![1; plan.parameter_count()];
            let lines = plan.query_map(params_from_iter(params), |row| row.get::<_, String>(3)).unwrap();
            let lines = lines.map(Result::unwrap).collect::<Vec<_>>().join("\n");
            assert!(!lines.contains("TEMP B-TREE"), "{sql}: {lines}");
            let scans = lines.lines().filter(|line| line.starts_with("SCAN")).collect::<Vec<_>>();
            assert!(scans.iter().all(|line| line.contains("tasks_by_end")), "{sql}: {lines}");
        }
    }

    fn finished(connection: &Connection, id: u64, batch: Option<u64>, finished_ms: u64, size_bytes: u64) {
        let sql = "INSERT INTO tasks (id, rev, kind, state, priority, client, batch, after, params, cache_mode, attempts_left, \
                   created_ms, finished_ms, ended) VALUES (?1, 1, 'a.b', 'succeeded', 0, 'c', ?2, '[]', '{}', 0, 1, 1, ?3, ?3)";
        connection.execute(sql, rusqlite::params![id, batch, finished_ms]).unwrap();
        if size_bytes > 0 {
            let digest = vec![u8::try_from(id).unwrap(); 32];
            let sql = "INSERT INTO artifacts (digest, media_type, extension, size_bytes, used_ms) VALUES (?, 'a/b', 'b', ?, 1)";
            connection.execute(sql, rusqlite::params![digest, size_bytes]).unwrap();
            let sql = "INSERT INTO outputs (task, position, digest) VALUES (?, 0, ?)";
            connection.execute(sql, rusqlite::params![id, digest]).unwrap();
        }
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing_about_who_leaves_first() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.db");
        drop(crate::store::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        for id in 1..=3 {
            finished(&connection, id, None, id, 0);
            connection
                .execute("UPDATE tasks SET finished_ms = NULL, ended = NULL, state = 'running'", [])
                .unwrap();
        }
        for (id, at_ms) in [(2, 9_000), (3, 8_000), (1, 10)] {
            let finish = super::super::Finish {
                id: TaskId(id),
                rev: 2,
                at: reel_protocol::Timestamp::from_unix_ms(at_ms),
                state: TaskState::Succeeded,
                source: None,
                provider: None,
                model: None,
                outputs: Vec::new(),
                error: None,
                notes: Vec::new(),
                cost: None,
                gives_up_steps: false,
            };
            super::super::finish(&connection, &finish).unwrap();
        }
        let gone: Vec<_> =
            (0..3).map(|_| prune(&connection, 1, |_, _| false).unwrap().tasks[0].id.0).collect();
        assert_eq!(gone, [2, 3, 1]);
    }

    #[test]
    fn what_ended_first_leaves_first_and_what_must_stay_hides_nothing_behind_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.db");
        drop(crate::store::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        for (id, batch, finished_ms, size_bytes) in [
            (1, None, 90, 5),
            (2, Some(7), 10, 5),
            (3, Some(7), 11, 5),
            (4, None, 20, 0),
            (5, None, 30, 5),
            (6, None, 40, 5),
        ] {
            finished(&connection, id, batch, finished_ms, size_bytes);
        }
        let keep = |_, batch: Option<BatchId>| batch.is_some();
        let ids = |pruned: &Pruned| pruned.tasks.iter().map(|dropped| dropped.id.0).collect::<Vec<_>>();
        assert_eq!(
            ids(&prune(&connection, 1, keep).unwrap()),
            [4],
            "not the oldest number, and not the open batch"
        );
        // A pin keeps the artifact of the oldest task, so dropping that task would make no room.
        let pin = "INSERT INTO pins (digest, until_ms) SELECT digest, 9e15 FROM outputs WHERE task = 5";
        connection.execute(pin, []).unwrap();
        let pruned = prune_pinning(&connection, 4, 9, keep).unwrap();
        assert_eq!((ids(&pruned), pruned.unpinned_bytes), (vec![6], 5));
        connection.execute("DELETE FROM pins", []).unwrap();
        let pruned = prune_pinning(&connection, 4, 9, keep).unwrap();
        assert_eq!((ids(&pruned), pruned.unpinned_bytes), (vec![5], 5));
        assert_eq!(ids(&prune(&connection, 9, keep).unwrap()), [1]);
        assert_eq!(prune_pinning(&connection, 4, 9, keep).unwrap(), Pruned::default());
    }
}
