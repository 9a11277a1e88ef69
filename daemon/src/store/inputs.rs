//! The tables `inputs` and `pins`: artifacts that must stay although no task has made them, because a task starts from them or soon may.

use reel_protocol::{Digest, TaskId, Timestamp};
use rusqlite::{Connection, params};

use super::{StoreError, artifact};
use crate::domain::Inputs;

/// SQL condition for a row of `artifacts` that no output, pin or unfinished task keeps. Its parameter is the current time, in milliseconds.
pub(super) const UNNAMED: &str = "NOT EXISTS (SELECT 1 FROM outputs WHERE outputs.digest = artifacts.digest) \
     AND NOT EXISTS (SELECT 1 FROM pins WHERE pins.digest = artifacts.digest AND pins.until_ms > ?1) \
     AND NOT EXISTS (SELECT 1 FROM inputs JOIN tasks ON tasks.id = inputs.task \
         WHERE inputs.digest = artifacts.digest AND tasks.ended IS NULL)";

/// SQL condition for a row of `outputs` whose artifact no pin and no unfinished task keeps. Its parameter is the current time, in milliseconds.
pub(super) const UNHELD_OUTPUT: &str = "NOT EXISTS (SELECT 1 FROM pins WHERE pins.digest = outputs.digest AND pins.until_ms > ?1) \
     AND NOT EXISTS (SELECT 1 FROM inputs JOIN tasks AS user ON user.id = inputs.task \
         WHERE inputs.digest = outputs.digest AND user.ended IS NULL)";

/// Largest side of a picture from which a task may start, in pixels. No decoder here takes a larger one.
const MAX_SIDE: u32 = 16_384;

/// Why a task cannot start from an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadInput {
    /// It is not in the store.
    Missing(Digest),
    /// It is no picture. The second field is its media type.
    NoPicture(Digest, String),
    /// It is larger than any decoder here takes. The numbers are its width and height in pixels.
    TooLarge(Digest, u32, u32),
    /// It is a mask whose size differs from that of its picture.
    OtherSize {
        /// Width and height of the mask.
        mask: (u32, u32),
        /// Width and height of the picture.
        picture: (u32, u32),
    },
}

/// Returns the first problem for which no task can start from these artifacts; None if there is none.
pub(super) fn bad_input(connection: &Connection, inputs: &Inputs) -> Result<Option<BadInput>, StoreError> {
    let mut sizes = Vec::new();
    for digest in &inputs.files {
        if artifact(connection, *digest)?.is_none() {
            return Ok(Some(BadInput::Missing(*digest)));
        }
    }
    for digest in inputs.must_be_pictures() {
        let Some(row) = artifact(connection, digest)? else { return Ok(Some(BadInput::Missing(digest))) };
        if !row.media_type.starts_with("image/") {
            return Ok(Some(BadInput::NoPicture(digest, row.media_type)));
        }
        let size = row.width.zip(row.height);
        if let Some((width, height)) = size.filter(|(width, height)| *width.max(height) > MAX_SIDE) {
            return Ok(Some(BadInput::TooLarge(digest, width, height)));
        }
        sizes.push(size);
    }
    // The size of a format that nothing here decodes is not known. The provider then decides.
    let (first, last) = (sizes.first().copied().flatten(), sizes.last().copied().flatten());
    if let (Some(_), Some(picture), Some(mask)) = (inputs.mask, first, last)
        && mask != picture
    {
        return Ok(Some(BadInput::OtherSize { mask, picture }));
    }
    Ok(None)
}

/// Records the artifacts from which a task starts. They stay in the store until the task has ended.
pub(super) fn insert_inputs(
    connection: &Connection,
    task: TaskId,
    inputs: &Inputs,
) -> Result<(), StoreError> {
    for digest in inputs.iter() {
        let mut statement =
            connection.prepare_cached("INSERT OR IGNORE INTO inputs (task, digest) VALUES (?, ?)")?;
        statement.execute(params![task.0, digest.as_bytes()])?;
    }
    Ok(())
}

/// Pins an artifact until `until`, and deletes expired pins.
pub fn pin(
    connection: &Connection,
    digest: Digest,
    now: Timestamp,
    until: Timestamp,
) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM pins WHERE until_ms <= ?")?.execute([now.unix_ms()])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO pins (digest, until_ms) VALUES (?, ?) \
         ON CONFLICT DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)",
    )?;
    statement.execute(params![digest.as_bytes(), until.unix_ms()])?;
    Ok(())
}
