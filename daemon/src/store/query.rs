//! Queries about tasks: one task, many by id, or a page by filter.

use std::path::Path;

use reel_protocol::{
    BatchId, Digest, JsonText, Progress, Source, TaskId, TaskState, TaskView, Timestamp, limits::PAGE_BYTES,
};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::{
    StoreError, artifacts,
    columns::{hold_at, json_at, state_at},
    inline_text,
};
use crate::domain::Cost;

const COLUMNS: &str = "id, rev, kind, name, state, hold_reason, priority, client, batch, after, coalesce(provider, wanted_provider), \
     model, attempts, source, created_ms, started_ms, finished_ms, not_before_ms, params, error, metadata, notes, cost_microusd, cost_is_estimate, parent, step, request_id";

/// The indexes of the columns that may be large.
const PARAMS: usize = 18;
const METADATA: usize = 20;

/// The conditions and the size of a list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks of this batch.
    pub batch: Option<BatchId>,
    /// Only tasks with this name.
    pub name: Option<String>,
    /// Only tasks of this client.
    pub client: Option<String>,
    /// Only the steps of this workflow.
    pub parent: Option<TaskId>,
    /// Whether to leave out the steps of workflows.
    pub is_without_steps: bool,
    /// Only tasks with a smaller id. It is the last id of the page before.
    pub before: Option<TaskId>,
    /// Most tasks of a page.
    pub limit: u32,
}

/// Returns one task; None if it does not exist. `artifacts` is the directory for the paths of outputs.
pub fn view(connection: &Connection, artifacts: &Path, id: TaskId) -> Result<Option<TaskView>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?"))?;
    let found = statement.query_row([id.0], task_view).optional()?;
    let mut found = found.map(|task| with_outputs(connection, artifacts, task)).transpose()?;
    if let Some(task) = &mut found {
        inline_text::add_texts(&mut task.outputs);
    }
    Ok(found)
}

/// Tasks that were requested by their ids.
#[derive(Debug, Default)]
pub struct Found {
    /// The tasks, in the order of the requested ids.
    pub tasks: Vec<TaskView>,
    /// The tasks whose params, metadata and texts were left out, because all together would have more than [`PAGE_BYTES`].
    pub omitted: Vec<TaskId>,
}

/// Returns many tasks in the order of their ids in `ids`. The inner error is the first id that does not exist.
pub fn views(
    connection: &Connection,
    artifacts: &Path,
    ids: &[TaskId],
) -> Result<Result<Found, TaskId>, StoreError> {
    let mut found = Found { tasks: Vec::with_capacity(ids.len()), omitted: Vec::new() };
    let mut room_bytes = PAGE_BYTES;
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?"))?;
    for id in ids {
        let mut rows = statement.query([id.0])?;
        let Some(row) = rows.next()? else { return Ok(Err(*id)) };
        // The first task is always complete, since one task cannot be requested in smaller pieces.
        let whole = whole_task(connection, artifacts, row, room_bytes, found.tasks.is_empty())?;
        let task = if let Some((task, bytes)) = whole {
            room_bytes = room_bytes.saturating_sub(bytes);
            task
        } else {
            found.omitted.push(*id);
            with_outputs(connection, artifacts, task_outline(row)?)?
        };
        found.tasks.push(task);
    }
    Ok(Ok(found))
}

/// Returns a page of tasks, newest first, and whether more follow. It ends at the filter's limit, or before its params, metadata and texts have more
/// than [`PAGE_BYTES`].
pub fn list(
    connection: &Connection,
    artifacts: &Path,
    filter: &Filter,
) -> Result<(Vec<TaskView>, bool), StoreError> {
    // One task more than requested shows whether there is a next page.
    let (sql, values) = list_sql(&Filter { limit: filter.limit + 1, ..filter.clone() });
    let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values.as_slice())?;
    let mut tasks = Vec::new();
    let mut room_bytes = PAGE_BYTES;
    while let Some(row) = rows.next()? {
        if tasks.len() == filter.limit as usize {
            return Ok((tasks, true));
        }
        let whole = whole_task(connection, artifacts, row, room_bytes, tasks.is_empty())?;
        let Some((task, bytes)) = whole else { return Ok((tasks, true)) };
        room_bytes = room_bytes.saturating_sub(bytes);
        tasks.push(task);
    }
    Ok((tasks, false))
}

/// Returns the query plan of `SQLite` for a page, for the tests that check that lists need no full scan.
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
    // A unary plus keeps a condition from choosing the index. The most selective condition chooses it: batch, then name, then state, then client.
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
    if let Some(parent) = filter.parent {
        // A step is accepted after its workflow, so its id is higher. That bounds the search where no other condition has an index.
        add("+parent = ?", Box::new(parent.0));
        add("id > ?", Box::new(parent.0));
    }
    if filter.is_without_steps {
        conditions.push("parent IS NULL");
    }
    values.push(Box::new(filter.limit));
    (
        format!("SELECT {COLUMNS} FROM tasks WHERE {} ORDER BY id DESC LIMIT ?", conditions.join(" AND ")),
        values,
    )
}

/// Returns the ids and states of these tasks. Tasks that do not exist are left out.
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

/// Returns the ids and states of a batch's tasks in the order of their ids; None if the batch does not exist.
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

/// Returns the first tasks of a batch, at most `limit`, in the order of their ids.
pub fn first_of_batch(
    connection: &Connection,
    batch: BatchId,
    limit: usize,
) -> Result<Vec<TaskId>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM tasks WHERE batch = ? ORDER BY id LIMIT ?")?;
    let rows = statement.query_map(params![batch.0, limit as u64], |row| row.get(0).map(TaskId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns whether a task of the batch is finished or held.
pub fn batch_has_settled(connection: &Connection, batch: BatchId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM tasks WHERE batch = ? AND state NOT IN ('waiting', 'queued', 'running') LIMIT 1";
    Ok(connection.prepare_cached(sql)?.exists([batch.0])?)
}

/// Returns the size of params and metadata, in bytes. They are not copied for it.
fn text_bytes(row: &Row<'_>) -> Result<usize, StoreError> {
    let length = |index| -> Result<usize, StoreError> {
        Ok(row.get_ref(index)?.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len))
    };
    Ok(length(PARAMS)? + length(METADATA)?)
}

fn task_view(row: &Row<'_>) -> rusqlite::Result<TaskView> {
    let task = task_outline(row)?;
    Ok(TaskView {
        params: json_at(row, PARAMS)?.unwrap_or_default(),
        metadata: json_at(row, METADATA)?,
        ..task
    })
}

/// Builds a task without its params, metadata and outputs.
fn task_outline(row: &Row<'_>) -> rusqlite::Result<TaskView> {
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
        parent: row.get::<_, Option<u64>>(24)?.map(TaskId),
        step: row.get(25)?,
        request_id: row.get(26)?,
        progress: Progress { fraction, message: String::new() },
        provider: row.get(10)?,
        model: row.get(11)?,
        attempts: row.get(12)?,
        source: row.get::<_, Option<String>>(13)?.map(|name| source(&name)),
        created_at: Timestamp::from_unix_ms(row.get(14)?),
        started_at: time(15)?,
        finished_at: time(16)?,
        not_before: time(17)?,
        params: JsonText::default(),
        outputs: Vec::new(),
        error: json_at(row, 19)?,
        cost: cost(row)?,
        notes: json_at(row, 21)?.unwrap_or_default(),
        metadata: None,
    })
}

/// Returns the cost of a task. A task whose results come from the cache or from another task has cost nothing.
fn cost(row: &Row<'_>) -> rusqlite::Result<Option<reel_protocol::Cost>> {
    let (stored, is_estimate): (Option<u64>, bool) = (row.get(22)?, row.get(23)?);
    let is_made = row.get::<_, Option<String>>(13)?.is_none_or(|name| source(&name) == Source::Made);
    let cost =
        if is_made { stored.map(|microusd| Cost { microusd, is_estimate }) } else { Some(Cost::NOTHING) };
    Ok(cost.map(Cost::shown))
}

fn source(name: &str) -> Source {
    match name {
        "made" => Source::Made,
        "cache" => Source::Cache,
        _ => Source::Shared,
    }
}

/// Returns the digests of a task's outputs, in their order.
pub fn output_digests(connection: &Connection, id: TaskId) -> Result<Vec<Digest>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT digest FROM outputs WHERE task = ? ORDER BY position")?;
    let digests = statement.query_map([id.0], |row| row.get(0).map(Digest::from_bytes))?;
    Ok(digests.collect::<Result<_, _>>()?)
}

fn with_outputs(
    connection: &Connection,
    artifacts: &Path,
    mut task: TaskView,
) -> Result<TaskView, StoreError> {
    // A task may have failed because its results are not what was requested. It then has outputs too.
    if !matches!(task.state, TaskState::Succeeded | TaskState::Failed) {
        return Ok(task);
    }
    let mut statement =
        connection.prepare_cached("SELECT digest FROM outputs WHERE task = ? ORDER BY position")?;
    let digests =
        statement.query_map([task.id.0], |row| row.get::<_, [u8; 32]>(0))?.collect::<Result<Vec<_>, _>>()?;
    for digest in digests {
        if let Some(row) = artifacts::artifact(connection, Digest::from_bytes(digest))? {
            task.outputs.push(row.output(artifacts));
        }
    }
    Ok(task)
}

/// Returns a task with its params, metadata and texts, and their size in bytes. None if they are larger than `room_bytes`, unless the task is the
/// first.
fn whole_task(
    connection: &Connection,
    artifacts: &Path,
    row: &Row<'_>,
    room_bytes: usize,
    is_first: bool,
) -> Result<Option<(TaskView, usize)>, StoreError> {
    let bytes = text_bytes(row)?;
    if bytes > room_bytes && !is_first {
        return Ok(None);
    }
    let mut task = with_outputs(connection, artifacts, task_view(row)?)?;
    inline_text::add_texts(&mut task.outputs);
    let bytes = bytes + inline_text::text_bytes(&task.outputs);
    Ok((bytes <= room_bytes || is_first).then_some((task, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open::MIGRATIONS;

    #[test]
    fn every_list_query_walks_an_index_and_sorts_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            connection.execute_batch(migration).unwrap();
        }
        for mask in 0..128_u32 {
            let filter = Filter {
                state: (mask & 1 > 0).then_some(TaskState::Queued),
                batch: (mask & 2 > 0).then_some(BatchId(1)),
                name: (mask & 4 > 0).then(|| "a".into()),
                client: (mask & 8 > 0).then(|| "b".into()),
                parent: (mask & 32 > 0).then_some(TaskId(3)),
                is_without_steps: mask & 64 > 0,
                before: (mask & 16 > 0).then_some(TaskId(9)),
                limit: 10,
            };
            let plan = list_plan(&connection, &filter).unwrap();
            assert!(plan.starts_with("SEARCH tasks USING"), "{filter:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{filter:?}: {plan}");
        }
    }
}
