//! The table `artifacts`: the files that tasks and cache entries name.

use std::path::{Path, PathBuf};

use reel_protocol::{Digest, Output, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{StoreError, entries::drop_entries_of, inputs::UNNAMED};

/// The row of an artifact. It describes the bytes, not their origin.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactRow {
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// The media type, such as `image/png`.
    pub media_type: String,
    /// The extension of the file's name, such as `png`.
    pub extension: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// The width in pixels; None if it has none or it is not known.
    pub width: Option<u32>,
    /// The height in pixels; None if it has none or it is not known.
    pub height: Option<u32>,
    /// The duration in seconds; None if it has none or it is not known.
    pub duration_s: Option<f64>,
}

impl ArtifactRow {
    /// Returns the path of the file in the directory `artifacts`. There is one subdirectory for each first byte of a digest, so that none gets too
    /// large for tools that list it.
    pub fn path(&self, artifacts: &Path) -> PathBuf {
        let name = self.digest.to_string();
        artifacts.join(name.get(..2).unwrap_or_default()).join(format!("{name}.{}", self.extension))
    }

    /// Returns the row of an output. The extension is that of the output's path.
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

    /// Returns the output of a task that names this artifact. `text` is None, because the text is in the file.
    pub fn output(&self, artifacts: &Path) -> Output {
        Output {
            digest: self.digest,
            media_type: self.media_type.clone(),
            size_bytes: self.size_bytes,
            width: self.width,
            height: self.height,
            duration_s: self.duration_s,
            path: self.path(artifacts).to_string_lossy().into_owned(),
            text: None,
        }
    }
}

/// Returns the artifact with this digest, if there is one.
pub fn artifact(connection: &Connection, digest: Digest) -> Result<Option<ArtifactRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, media_type, extension, size_bytes, width, height, duration_s FROM artifacts WHERE digest = ?",
    )?;
    Ok(statement.query_row([digest.as_bytes()], artifact_row).optional()?)
}

pub(super) fn artifact_row(row: &Row<'_>) -> rusqlite::Result<ArtifactRow> {
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

/// Inserts the row of an artifact, or only updates the time of use if it exists. The caller has synced the artifact's file and its name.
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

/// Updates when artifacts were used. The artifact that was used last is evicted last.
pub fn touch(connection: &Connection, uses: &[(Digest, Timestamp)]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("UPDATE artifacts SET used_ms = ? WHERE digest = ?")?;
    for (digest, used) in uses {
        statement.execute(params![used.unix_ms(), digest.as_bytes()])?;
    }
    Ok(())
}

/// The numbers of rows and bytes that were dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The number of artifacts that were dropped.
    pub artifacts: u64,
    /// The number of cache entries that were dropped with them.
    pub entries: u64,
    /// Size of the dropped artifacts, in bytes.
    pub bytes: u64,
}

impl Dropped {
    /// Adds the numbers of `other`.
    pub const fn add(&mut self, other: Self) {
        self.artifacts += other.artifacts;
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// Drops an artifact that is missing or damaged, and every cache entry that names it.
pub fn drop_artifact(connection: &Connection, digest: Digest) -> Result<Dropped, StoreError> {
    drop_where(connection, digest, "DELETE FROM artifacts WHERE digest = ? RETURNING size_bytes")
}

/// Drops an artifact and every cache entry that names it, unless a task or a pin keeps the artifact at `now`.
pub fn drop_unpinned(connection: &Connection, digest: Digest, now: Timestamp) -> Result<Dropped, StoreError> {
    let sql = format!("DELETE FROM artifacts WHERE {UNNAMED} AND digest = ?2 RETURNING size_bytes");
    let bytes = connection
        .prepare_cached(&sql)?
        .query_row(params![now.unix_ms(), digest.as_bytes()], |row| row.get(0))
        .optional()?;
    dropped(connection, digest, bytes)
}

fn drop_where(connection: &Connection, digest: Digest, sql: &str) -> Result<Dropped, StoreError> {
    let bytes =
        connection.prepare_cached(sql)?.query_row([digest.as_bytes()], |row| row.get(0)).optional()?;
    dropped(connection, digest, bytes)
}

/// Drops the cache entries of an artifact whose row was deleted. `bytes` is its size, or None if there was no row.
fn dropped(connection: &Connection, digest: Digest, bytes: Option<u64>) -> Result<Dropped, StoreError> {
    let Some(bytes) = bytes else { return Ok(Dropped::default()) };
    let entries = drop_entries_of(connection, digest)?;
    Ok(Dropped { artifacts: 1, entries, bytes })
}

/// Returns a page of the artifacts that no task and no pin keeps, least recently used first.
pub fn evictable(
    connection: &Connection,
    now: Timestamp,
    skip: u32,
    limit: u32,
) -> Result<Vec<ArtifactRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT digest, media_type, extension, size_bytes, width, height, duration_s FROM artifacts \
         WHERE {UNNAMED} ORDER BY used_ms, digest LIMIT ?2 OFFSET ?3",
    ))?;
    let rows = statement.query_map(params![now.unix_ms(), limit, skip], artifact_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns a page of all artifacts in the order of their digests, after the digest `after`.
pub fn artifacts_after(
    connection: &Connection,
    after: Option<Digest>,
    limit: u32,
) -> Result<Vec<ArtifactRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, media_type, extension, size_bytes, width, height, duration_s FROM artifacts \
         WHERE digest > ? ORDER BY digest LIMIT ?",
    )?;
    // Every digest is greater than the empty one.
    let after = after.map_or_else(Vec::new, |digest| digest.as_bytes().to_vec());
    Ok(statement.query_map(params![after, limit], artifact_row)?.collect::<Result<_, _>>()?)
}

/// Counts the cache entries, the artifacts, and the bytes of the artifacts.
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
