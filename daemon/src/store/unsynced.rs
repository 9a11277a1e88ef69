//! The bytes of small files that the disk may not have yet: they are in the commit that names the files.

use reel_protocol::Digest;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    StoreError,
    artifacts::{ArtifactRow, artifact},
};

/// A file whose bytes are here.
#[derive(Debug)]
pub struct Unsynced {
    /// Of this row; no other has it while this one is there.
    pub number: i64,
    /// What it shall be; None where that is not in the store any more.
    pub artifact: Option<ArtifactRow>,
    /// All of them.
    pub bytes: Vec<u8>,
}

/// Holds the bytes of a file that was written and not synced. Answers the row's number.
pub fn insert_unsynced(connection: &Connection, digest: Digest, bytes: &[u8]) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("INSERT INTO unsynced (digest, bytes) VALUES (?, ?)")?;
    Ok(statement.insert(params![digest.as_bytes(), bytes])?)
}

/// The files are synced.
pub fn delete_unsynced(connection: &Connection, numbers: &[i64]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM unsynced WHERE number = ?")?;
    for number in numbers {
        statement.execute([number])?;
    }
    Ok(())
}

/// The bytes of a file, if they are here.
pub fn unsynced_bytes(connection: &Connection, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
    // A few dozen rows at most, whose bytes stand on other pages.
    let mut statement = connection.prepare_cached("SELECT bytes FROM unsynced WHERE digest = ?")?;
    Ok(statement.query_row([digest.as_bytes()], |row| row.get(0)).optional()?)
}

/// Those that a former daemon left, the oldest first, from behind `after`.
pub fn next_unsynced(connection: &Connection, after: i64) -> Result<Option<Unsynced>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, digest, bytes FROM unsynced WHERE number > ? ORDER BY number LIMIT 1",
    )?;
    let row = statement.query_row([after], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((number, digest, bytes)) = row else { return Ok(None) };
    let artifact = artifact(connection, Digest::from_bytes(digest))?;
    Ok(Some(Unsynced { number, artifact, bytes }))
}
