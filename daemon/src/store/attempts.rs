//! The table `attempts`: each attempt of a task at a provider, its outcome, and the remote job that the provider holds for it.

use reel_protocol::{TaskId, Timestamp};
use rusqlite::{Connection, params};

use super::StoreError;

/// The outcome of an attempt whose request was not sent.
pub const UNREACHED: &str = "unreached";

/// Prefix of the outcome of an attempt after which its task left for another provider. The code of the error and its message follow.
pub(super) const LEFT: &str = "left:";

/// The remote job of an attempt, in the encoding of the module that reads it. It may hold signed addresses, so `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedRemoteJob(pub String);

impl std::fmt::Debug for EncodedRemoteJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EncodedRemoteJob(***)")
    }
}

/// The begin of an attempt.
#[derive(Debug, Clone)]
pub struct Start {
    /// The task's id.
    pub id: TaskId,
    /// The task's revision after the begin.
    pub rev: u64,
    /// The time of the begin.
    pub at: Timestamp,
    /// The attempt's number, 1 for the first.
    pub number: u32,
    /// The provider's name; None for services that need no provider.
    pub provider: Option<String>,
    /// The model of the provider.
    pub model: Option<String>,
    /// The remote job of an earlier attempt. This attempt fetches it before it sends a new request.
    pub remote_id: Option<EncodedRemoteJob>,
}

/// Writes that a task is running. It must be committed before a request leaves for a provider.
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

/// Replaces the remote job of an attempt; None if the provider holds nothing any more.
pub fn set_remote_id(
    connection: &Connection,
    task: TaskId,
    number: u32,
    remote_id: Option<&EncodedRemoteJob>,
) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("UPDATE attempts SET remote_id = ? WHERE task = ? AND number = ?")?;
    statement.execute(params![remote_id.map(|id| &id.0), task.0, number])?;
    Ok(())
}

/// Removes the remote jobs of all attempts of a task.
pub(super) fn forget_remote_ids(connection: &Connection, task: TaskId) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE attempts SET remote_id = NULL WHERE task = ? AND remote_id IS NOT NULL")?;
    statement.execute([task.0])?;
    Ok(())
}

/// Ends the open attempt of a task.
pub(super) fn end_attempt(
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

/// Removes the marks of the providers that a task left, so that it may try them again.
pub(super) fn forget_left_providers(connection: &Connection, task: TaskId) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE attempts SET outcome = substr(outcome, length(?1) + 1) WHERE task = ?2 AND outcome GLOB ?1 || '*'",
    )?;
    statement.execute(params![LEFT, task.0])?;
    Ok(())
}
