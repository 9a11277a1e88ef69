//! The table `entries`: the artifacts that the cache has for the key of a request.

use reel_protocol::{Digest, TaskNote, Timestamp};
use rusqlite::{Connection, params};

use super::{
    ArtifactRow, StoreError,
    artifacts::artifact_row,
    columns::{json_at, notes_text},
};

/// The result that the cache has for a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The artifacts, in the order of the outputs.
    pub artifacts: Vec<ArtifactRow>,
    /// The name of the provider that made them.
    pub provider: String,
    /// The model that made them, if it is known.
    pub model: Option<String>,
    /// When they were made.
    pub made: Timestamp,
    /// Notes for the user about them.
    pub notes: Vec<TaskNote>,
}

/// Replaces the entry of a key. Returns whether there was none before.
pub fn insert_entry(connection: &Connection, key: &[u8; 32], entry: &Entry) -> Result<bool, StoreError> {
    let replaced = connection.prepare_cached("DELETE FROM entries WHERE key = ?")?.execute([key])?;
    for (position, artifact) in entry.artifacts.iter().enumerate() {
        let mut statement = connection.prepare_cached(
            "INSERT INTO entries (key, position, positions, digest, provider, model, made_ms, notes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let (positions, digest) = (entry.artifacts.len() as u64, artifact.digest.as_bytes());
        let made = entry.made.unix_ms();
        statement.execute(params![
            key,
            position as u64,
            positions,
            digest,
            entry.provider,
            entry.model,
            made,
            notes_text(&entry.notes)?
        ])?;
    }
    Ok(replaced == 0)
}

/// Returns the entry of a key. An entry that has lost one of its artifacts counts as none.
pub fn entry(connection: &Connection, key: &[u8; 32]) -> Result<Option<Entry>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT a.digest, a.media_type, a.extension, a.size_bytes, a.width, a.height, a.duration_s, e.provider, e.model, e.made_ms, \
         e.positions, e.notes FROM entries e JOIN artifacts a ON a.digest = e.digest WHERE e.key = ? ORDER BY e.position",
    )?;
    let mut rows = statement.query([key])?;
    let mut found: Option<Entry> = None;
    let mut positions = 0_usize;
    while let Some(row) = rows.next()? {
        positions = row.get::<_, u32>(10)? as usize;
        let artifact = artifact_row(row)?;
        if let Some(entry) = &mut found {
            entry.artifacts.push(artifact);
        } else {
            let made = Timestamp::from_unix_ms(row.get(9)?);
            let notes = json_at(row, 11)?.unwrap_or_default();
            found = Some(Entry {
                artifacts: vec![artifact],
                provider: row.get(7)?,
                model: row.get(8)?,
                made,
                notes,
            });
        }
    }
    Ok(found.filter(|entry| entry.artifacts.len() == positions))
}

/// Drops the entries that name an artifact, with all of their rows. Returns how many entries there were.
pub(super) fn drop_entries_of(connection: &Connection, digest: Digest) -> Result<u64, StoreError> {
    let mut keys = connection.prepare_cached("SELECT DISTINCT key FROM entries WHERE digest = ?")?;
    let keys = keys.query_map([digest.as_bytes()], |row| row.get(0))?;
    let keys = keys.collect::<Result<Vec<[u8; 32]>, _>>()?;
    for key in &keys {
        connection.prepare_cached("DELETE FROM entries WHERE key = ?")?.execute([key])?;
    }
    Ok(keys.len() as u64)
}

/// Drops all entries and returns how many there were. Their artifacts stay.
pub fn drop_entries(connection: &Connection) -> Result<u64, StoreError> {
    let keys = connection.query_row("SELECT count(DISTINCT key) FROM entries", [], |row| row.get(0))?;
    connection.execute("DELETE FROM entries", [])?;
    Ok(keys)
}
