//! Reads about tasks: one, many by id, a page by filter.

use std::path::Path;

use reel_protocol::{BatchId, Digest, Output, Progress, Source, TaskId, TaskState, TaskView, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::{
    StoreError, artifacts,
    columns::{hold_at, json_at, state_at},
};

const COLUMNS: &str = "id, rev, kind, name, state, hold_reason, priority, client, batch, after, coalesce(provider, wanted_provider), \
     model, attempts, source, created_ms, started_ms, finished_ms, not_before_ms, params, error, metadata";

/// Which tasks a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// Only those of this batch.
    pub batch: Option<BatchId>,
    /// Only those with this name.
    pub name: Option<String>,
    /// Only those of this client.
    pub client: Option<String>,
    /// Only those with a smaller id: where the page before ended.
    pub before: Option<TaskId>,
    /// At most this many.
    pub limit: u32,
}

/// One task; None if it does not exist. `artifacts` is the directory that output paths are given in.
pub fn view(connection: &Connection, artifacts: &Path, id: TaskId) -> Result<Option<TaskView>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?"))?;
    let found = statement.query_row([id.0], task_view).optional()?;
    found.map(|task| with_outputs(connection, artifacts, task)).transpose()
}

/// Many tasks in the order asked; the first id that does not exist is the error.
pub fn views(
    connection: &Connection,
    artifacts: &Path,
    ids: &[TaskId],
) -> Result<Result<Vec<TaskView>, TaskId>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        match view(connection, artifacts, *id)? {
            Some(task) => found.push(task),
            None => return Ok(Err(*id)),
        }
    }
    Ok(Ok(found))
}

/// A page of tasks, newest first.
pub fn list(connection: &Connection, artifacts: &Path, filter: &Filter) -> Result<Vec<TaskView>, StoreError> {
    let (sql, values) = list_sql(filter);
    let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(values.as_slice(), task_view)?.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(|task| with_outputs(connection, artifacts, task)).collect()
}

/// How `SQLite` would find a page: for the tests that keep lists off full scans.
pub fn list_plan(connection: &Connection, filter: &Filter) -> Result<String, StoreError> {
    let (sql, values) = list_sql(filter);
    let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let lines = statement
        .query_map(values.as_slice(), |row| row.get::<_, String>(3))?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(lines.join("\n"))
}

fn list_sql(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut conditions = vec!["id < ?"];
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(filter.before.map_or(i64::MAX, |id| id.0 as i64))];
    let mut add = |condition: &'static str, value: Box<dyn ToSql>| {
        conditions.push(condition);
        values.push(value);
    };
    // A unary plus keeps a condition from choosing the index: the most selective one given chooses, batch before name before client.
    let mut is_indexed = false;
    let mut pick = |indexed: &'static str, plain: &'static str| {
        if std::mem::replace(&mut is_indexed, true) { plain } else { indexed }
    };
    if let Some(batch) = filter.batch {
        add(pick("batch = ?", "+batch = ?"), Box::new(batch.0));
    }
    if let Some(name) = &filter.name {
        add(pick("name = ?", "+name = ?"), Box::new(name.clone()));
    }
    if let Some(state) = filter.state {
        add(pick("state = ?", "+state = ?"), Box::new(state.name()));
    }
    if let Some(client) = &filter.client {
        add(pick("client = ?", "+client = ?"), Box::new(client.clone()));
    }
    values.push(Box::new(filter.limit));
    (
        format!("SELECT {COLUMNS} FROM tasks WHERE {} ORDER BY id DESC LIMIT ?", conditions.join(" AND ")),
        values,
    )
}

/// The ids and states of these tasks; those that do not exist are left out.
pub fn find_states(connection: &Connection, ids: &[TaskId]) -> Result<Vec<(TaskId, TaskState)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT state FROM tasks WHERE id = ?")?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(state) = statement.query_row([id.0], |row| state_at(row, 0)).optional()? {
            found.push((*id, state));
        }
    }
    Ok(found)
}

/// The ids and states of a batch's tasks in the order of their ids; None if the batch does not exist.
pub fn batch_states(
    connection: &Connection,
    batch: BatchId,
) -> Result<Option<Vec<(TaskId, TaskState)>>, StoreError> {
    if !super::batch_exists(connection, batch)? {
        return Ok(None);
    }
    let mut statement =
        connection.prepare_cached("SELECT id, state FROM tasks WHERE batch = ? ORDER BY id")?;
    let rows = statement.query_map(params![batch.0], |row| Ok((TaskId(row.get(0)?), state_at(row, 1)?)))?;
    Ok(Some(rows.collect::<Result<_, _>>()?))
}

fn task_view(row: &Row<'_>) -> rusqlite::Result<TaskView> {
    let time = |index| row.get::<_, Option<u64>>(index).map(|ms| ms.map(Timestamp::from_unix_ms));
    let state = state_at(row, 4)?;
    let fraction = if state == TaskState::Succeeded { 1.0 } else { 0.0 };
    Ok(TaskView {
        id: TaskId(row.get(0)?),
        rev: row.get(1)?,
        kind: row.get(2)?,
        name: row.get(3)?,
        state,
        hold_reason: hold_at(row, 5)?,
        wait_reason: None,
        priority: row.get(6)?,
        client: row.get(7)?,
        batch: row.get::<_, Option<u64>>(8)?.map(BatchId),
        after: json_at(row, 9)?.unwrap_or_default(),
        progress: Progress { fraction, message: String::new() },
        provider: row.get(10)?,
        model: row.get(11)?,
        attempts: row.get(12)?,
        source: row.get::<_, Option<String>>(13)?.map(|name| source(&name)),
        created_at: Timestamp::from_unix_ms(row.get(14)?),
        started_at: time(15)?,
        finished_at: time(16)?,
        not_before: time(17)?,
        params: json_at(row, 18)?.unwrap_or_default(),
        outputs: Vec::new(),
        error: json_at(row, 19)?,
        cost: None,
        metadata: json_at(row, 20)?,
    })
}

fn source(name: &str) -> Source {
    match name {
        "made" => Source::Made,
        "cache" => Source::Cache,
        _ => Source::Shared,
    }
}

fn with_outputs(
    connection: &Connection,
    artifacts: &Path,
    mut task: TaskView,
) -> Result<TaskView, StoreError> {
    if task.state != TaskState::Succeeded {
        return Ok(task);
    }
    let mut statement =
        connection.prepare_cached("SELECT digest FROM outputs WHERE task = ? ORDER BY position")?;
    let digests =
        statement.query_map([task.id.0], |row| row.get::<_, [u8; 32]>(0))?.collect::<Result<Vec<_>, _>>()?;
    for digest in digests {
        if let Some(row) = artifacts::artifact(connection, Digest::from_bytes(digest))? {
            task.outputs.push(output(artifacts, &row));
        }
    }
    Ok(task)
}

fn output(artifacts: &Path, row: &artifacts::ArtifactRow) -> Output {
    row.output(artifacts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_query_walks_an_index_and_sorts_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema.sql")).unwrap();
        for mask in 0..32_u32 {
            let filter = Filter {
                state: (mask & 1 > 0).then_some(TaskState::Queued),
                batch: (mask & 2 > 0).then_some(BatchId(1)),
                name: (mask & 4 > 0).then(|| "a".into()),
                client: (mask & 8 > 0).then(|| "b".into()),
                before: (mask & 16 > 0).then_some(TaskId(9)),
                limit: 10,
            };
            let plan = list_plan(&connection, &filter).unwrap();
            assert!(plan.starts_with("SEARCH tasks USING"), "{filter:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{filter:?}: {plan}");
        }
    }
}
