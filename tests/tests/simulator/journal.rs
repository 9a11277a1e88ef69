//! The journal of a simulated daemon: a real SQLite database in memory with the daemon's schema. What survives a crash is therefore exactly what was
//! committed.

use std::collections::BTreeMap;

use reel_protocol::{Digest, HoldReason, TaskId, TaskState};
use reeld::{
    domain::Reference,
    store::{self, Recovery, StoreError, Transition},
    tasks::{
        apply,
        machine::{Outcome, Write},
    },
};
use rusqlite::{Connection, OptionalExtension, Row};

/// A task's row in the journal.
#[derive(Debug, Clone)]
pub struct TaskRow {
    pub id: TaskId,
    pub state: TaskState,
    pub rev: u64,
    pub is_unknown: bool,
    pub priority: i8,
    pub kind: String,
    pub params: String,
    pub provider: Option<String>,
    pub wanted: Option<String>,
    pub uses_cache: bool,
    pub after: Vec<TaskId>,
    pub has_not_before: bool,
    pub client: String,
    pub parent: Option<TaskId>,
    /// Whether it left the provider of its row for another one.
    pub has_left: bool,
}

/// The journal of a simulated daemon. It survives the death of the machine.
pub struct Journal(Connection);

/// The SQL statements that create an empty journal, as the daemon's own migrations make it.
pub struct Schema(Vec<String>);

impl Schema {
    /// Creates a journal in a temporary directory and reads its schema.
    pub fn read() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reel.db");
        drop(store::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        let mut statement =
            connection.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").unwrap();
        let statements = statement.query_map([], |row| row.get(0)).unwrap();
        Self(statements.map(Result::unwrap).collect())
    }
}

const COLUMNS: &str = "id, state, rev, hold_reason, priority, kind, params, provider, wanted_provider, cache_mode, after, not_before_ms, client, parent, \
    EXISTS (SELECT 1 FROM attempts WHERE attempts.task = tasks.id AND attempts.provider = tasks.provider AND outcome GLOB 'left:*')";

impl Journal {
    /// Creates an empty journal.
    pub fn new(schema: &Schema) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.set_prepared_statement_cache_capacity(64);
        for statement in &schema.0 {
            connection.execute_batch(statement).unwrap();
        }
        Self(connection)
    }

    /// Returns what a start of the daemon reads.
    pub fn recover(&self) -> Recovery {
        store::recover(&self.0).unwrap()
    }

    /// Commits the transitions of a restart, all or none.
    pub fn commit_transitions(&self, transitions: &[Transition]) {
        self.0.execute_batch("BEGIN").unwrap();
        for transition in transitions {
            store::record_transition(&self.0, transition).unwrap();
        }
        self.0.execute_batch("COMMIT").unwrap();
    }

    /// Makes a write within the open transaction. If it fails, it leaves nothing behind.
    pub fn write(&self, write: &Write) -> Result<Outcome, StoreError> {
        self.0.execute_batch("SAVEPOINT one").unwrap();
        let outcome = apply(&self.0, write);
        let end = if outcome.is_ok() { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
        self.0.execute_batch(end).unwrap();
        outcome
    }

    /// Begins a transaction.
    pub fn begin(&self) {
        self.0.execute_batch("BEGIN").unwrap();
    }

    /// Commits the transaction.
    pub fn commit(&self) {
        self.0.execute_batch("COMMIT").unwrap();
    }

    /// Reads a task with everything that a machine needs of it.
    pub fn load(&self, id: TaskId) -> Result<Option<Box<store::Recovered>>, StoreError> {
        store::load(&self.0, id).map(|row| row.map(Box::new))
    }

    /// Returns the digests of the outputs to which params refer; None where there is no such output.
    pub fn outputs(&self, references: &[Reference]) -> Result<Vec<Option<Digest>>, StoreError> {
        let output = |reference: &Reference| {
            Ok(store::output_digests(&self.0, reference.task)?.get(reference.index).copied())
        };
        references.iter().map(output).collect()
    }

    /// Returns the row of a task.
    pub fn task(&self, id: TaskId) -> Option<TaskRow> {
        let mut statement =
            self.0.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?")).unwrap();
        statement.query_row([id.0], task_row).optional().unwrap()
    }

    /// Returns the tasks that have not ended.
    pub fn unfinished(&self) -> Vec<TaskRow> {
        self.tasks("state IN ('waiting', 'queued', 'running', 'held')")
    }

    /// Returns the tasks for which an SQL condition holds.
    pub fn tasks(&self, condition: &str) -> Vec<TaskRow> {
        let sql = format!("SELECT {COLUMNS} FROM tasks WHERE {condition} ORDER BY id");
        let mut statement = self.0.prepare_cached(&sql).unwrap();
        let rows = statement.query_map([], task_row).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Returns whether a batch exists.
    pub fn has_batch(&self, batch: reel_protocol::BatchId) -> bool {
        store::batch_exists(&self.0, batch).unwrap()
    }

    /// Returns the number of tasks in each state. States without tasks are left out.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut statement =
            self.0.prepare_cached("SELECT state, count(*) FROM tasks GROUP BY state").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    let state: String = row.get(1)?;
    let hold: Option<String> = row.get(3)?;
    let after: String = row.get(10)?;
    let ids: Vec<u64> = serde_json::from_str(&after).unwrap();
    let cache_mode: i64 = row.get(9)?;
    Ok(TaskRow {
        id: TaskId(row.get(0)?),
        state: *TaskState::ALL.iter().find(|known| known.name() == state).unwrap(),
        rev: row.get(2)?,
        is_unknown: hold.as_deref() == Some(HoldReason::OutcomeUnknown.name()),
        priority: row.get(4)?,
        kind: row.get(5)?,
        params: row.get(6)?,
        provider: row.get(7)?,
        wanted: row.get(8)?,
        uses_cache: cache_mode == 0,
        after: ids.into_iter().map(TaskId).collect(),
        has_not_before: row.get::<_, Option<u64>>(11)?.is_some(),
        client: row.get(12)?,
        parent: row.get::<_, Option<u64>>(13)?.map(TaskId),
        has_left: row.get(14)?,
    })
}
