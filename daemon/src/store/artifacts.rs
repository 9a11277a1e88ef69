//! Rows about artifacts and cache entries.

use std::path::{Path, PathBuf};

use reel_protocol::{Digest, Output, TaskNote, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    StoreError,
    columns::{json_at, notes_text},
};

/// An artifact: what its bytes are, not where they came from.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactRow {
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// Such as `image/png`.
    pub media_type: String,
    /// Such as `png`.
    pub extension: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Seconds.
    pub duration_s: Option<f64>,
}

impl ArtifactRow {
    /// The file in `artifacts`: one directory for each first byte, so that none grows past what tools list well.
    pub fn path(&self, artifacts: &Path) -> PathBuf {
        let name = self.digest.to_string();
        artifacts.join(name.get(..2).unwrap_or_default()).join(format!("{name}.{}", self.extension))
    }

    /// The row of an output, whose path ends in the extension.
    pub fn of(output: &Output) -> Self {
        let extension = Path::new(&output.path).extension().unwrap_or_default();
        Self {
            digest: output.digest,
            media_type: output.media_type.clone(),
            extension: extension.to_string_lossy().into_owned(),
            size_bytes: output.size_bytes,
            width: output.width,
            height: output.height,
            duration_s: output.duration_s,
        }
    }

    /// As a task shows it.
    pub fn output(&self, artifacts: &Path) -> Output {
        Output {
            digest: self.digest,
            media_type: self.media_type.clone(),
            size_bytes: self.size_bytes,
            width: self.width,
            height: self.height,
            duration_s: self.duration_s,
            path: self.path(artifacts).to_string_lossy().into_owned(),
        }
    }
}

/// What the cache has for a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// In the order of the outputs.
    pub artifacts: Vec<ArtifactRow>,
    /// The instance that made them.
    pub provider: String,
    /// Its model.
    pub model: Option<String>,
    /// When.
    pub made: Timestamp,
    /// What is to be said about them.
    pub notes: Vec<TaskNote>,
}

/// The artifact with this digest.
pub fn artifact(connection: &Connection, digest: Digest) -> Result<Option<ArtifactRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, media_type, extension, size_bytes, width, height, duration_s FROM artifacts WHERE digest = ?",
    )?;
    Ok(statement.query_row([digest.as_bytes()], artifact_row).optional()?)
}

fn artifact_row(row: &Row<'_>) -> rusqlite::Result<ArtifactRow> {
    Ok(ArtifactRow {
        digest: Digest::from_bytes(row.get(0)?),
        media_type: row.get(1)?,
        extension: row.get(2)?,
        size_bytes: row.get(3)?,
        width: row.get(4)?,
        height: row.get(5)?,
        duration_s: row.get(6)?,
    })
}

/// Inserts the row of an artifact. The caller has synced the artifact's file and its name.
pub fn insert_artifact(
    connection: &Connection,
    row: &ArtifactRow,
    used: Timestamp,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO artifacts (digest, media_type, extension, size_bytes, width, height, duration_s, used_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET used_ms = excluded.used_ms",
    )?;
    let digest = row.digest.as_bytes();
    statement.execute(params![
        digest,
        row.media_type,
        row.extension,
        row.size_bytes,
        row.width,
        row.height,
        row.duration_s,
        used.unix_ms()
    ])?;
    Ok(())
}

/// Writes when artifacts were used: the one used last is evicted last.
pub fn touch(connection: &Connection, uses: &[(Digest, Timestamp)]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("UPDATE artifacts SET used_ms = ? WHERE digest = ?")?;
    for (digest, used) in uses {
        statement.execute(params![used.unix_ms(), digest.as_bytes()])?;
    }
    Ok(())
}

/// Replaces what the cache has for a key; whether it had nothing.
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

/// What the cache has for a key; an entry that lost one of its artifacts is none.
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

/// What a dropped artifact took with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Rows of artifacts.
    pub artifacts: u64,
    /// Requests that lost their result.
    pub entries: u64,
    /// Bytes of the artifacts.
    pub bytes: u64,
}

impl Dropped {
    /// Adds another one's numbers.
    pub const fn add(&mut self, other: Self) {
        self.artifacts += other.artifacts;
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// Forgets an artifact that is missing or damaged: every entry that names it is a miss from now on.
pub fn drop_artifact(connection: &Connection, digest: Digest) -> Result<Dropped, StoreError> {
    drop_where(connection, digest, "DELETE FROM artifacts WHERE digest = ? RETURNING size_bytes")
}

/// Forgets an artifact, unless a task in the history names it by now.
pub fn drop_unpinned(connection: &Connection, digest: Digest) -> Result<Dropped, StoreError> {
    drop_where(
        connection,
        digest,
        "DELETE FROM artifacts WHERE digest = ? \
         AND NOT EXISTS (SELECT 1 FROM outputs WHERE outputs.digest = artifacts.digest) RETURNING size_bytes",
    )
}

fn drop_where(connection: &Connection, digest: Digest, sql: &str) -> Result<Dropped, StoreError> {
    let bytes =
        connection.prepare_cached(sql)?.query_row([digest.as_bytes()], |row| row.get(0)).optional()?;
    let Some(bytes) = bytes else { return Ok(Dropped::default()) };
    // All rows of an entry go with any of its artifacts: it holds only while all of them do.
    let mut lost = connection.prepare_cached("SELECT DISTINCT key FROM entries WHERE digest = ?")?;
    let lost = lost.query_map([digest.as_bytes()], |row| row.get(0))?;
    let lost = lost.collect::<Result<Vec<[u8; 32]>, _>>()?;
    for key in &lost {
        connection.prepare_cached("DELETE FROM entries WHERE key = ?")?.execute([key])?;
    }
    Ok(Dropped { artifacts: 1, entries: lost.len() as u64, bytes })
}

/// Forgets every cached request; artifacts stay. Says how many requests there were.
pub fn drop_entries(connection: &Connection) -> Result<u64, StoreError> {
    let keys = connection.query_row("SELECT count(DISTINCT key) FROM entries", [], |row| row.get(0))?;
    connection.execute("DELETE FROM entries", [])?;
    Ok(keys)
}

/// A page of the artifacts that no task in the history names, least recently used first.
pub fn evictable(connection: &Connection, skip: u32, limit: u32) -> Result<Vec<ArtifactRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, media_type, extension, size_bytes, width, height, duration_s FROM artifacts \
         WHERE NOT EXISTS (SELECT 1 FROM outputs WHERE outputs.digest = artifacts.digest) \
         ORDER BY used_ms, digest LIMIT ? OFFSET ?",
    )?;
    Ok(statement.query_map([limit, skip], artifact_row)?.collect::<Result<_, _>>()?)
}

/// A page of all artifacts in the order of their digests, from behind `after`.
pub fn artifacts_after(
    connection: &Connection,
    after: Option<Digest>,
    limit: u32,
) -> Result<Vec<ArtifactRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, media_type, extension, size_bytes, width, height, duration_s FROM artifacts \
         WHERE digest > ? ORDER BY digest LIMIT ?",
    )?;
    // Every digest is behind the empty one.
    let after = after.map_or_else(Vec::new, |digest| digest.as_bytes().to_vec());
    Ok(statement.query_map(params![after, limit], artifact_row)?.collect::<Result<_, _>>()?)
}

/// Requests that have a result, artifacts, and their bytes.
pub fn totals(connection: &Connection) -> Result<(u64, u64, u64), StoreError> {
    let entries =
        connection.query_row("SELECT count(*) FROM entries WHERE position = 0", [], |row| row.get(0))?;
    let (artifacts, bytes) =
        connection.query_row("SELECT count(*), coalesce(sum(size_bytes), 0) FROM artifacts", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok((entries, artifacts, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_tells_its_row_again() {
        let row = ArtifactRow {
            digest: Digest::from_bytes([7; 32]),
            media_type: "image/jpeg".into(),
            extension: "jpg".into(),
            size_bytes: 9,
            width: Some(4),
            height: None,
            duration_s: Some(0.5),
        };
        assert_eq!(ArtifactRow::of(&row.output(Path::new("/a.b/artifacts"))), row);
    }
}
