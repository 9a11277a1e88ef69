//! Records which journal this is, and which ids were given out, also in a small file beside the database. If the database is lost, ids do not begin
//! again, and the pictures of the lost journal are not taken for unreferenced files.
//!
//! The file `reel.ids` holds two numbers. The next id must not be below the first. The second is the birth of the journal that gave the ids out, in
//! milliseconds since 1970. It is written whenever the journal reserves ids, which it does in steps. It is written after the commit that reserves
//! them, because a death between the two must not make the journal look older than it is. It is written before any caller learns that they are
//! reserved.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use reel_protocol::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::StoreError;

/// First id after both a journal and its file of ids were lost. No journal has given out so many ids.
const FLOOR_WITHOUT_STAMP: u64 = 1_000_000_000;

/// How a former journal was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The database is missing or empty.
    Missing,
    /// The database is that of another journal.
    Replaced,
    /// The database is an older copy of the journal, such as one from a backup.
    Older,
}

/// The content of `reel.ids`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    ids_below: u64,
    born_ms: u64,
}

/// What the database records about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Own {
    /// Whether it was just created and has given out no id.
    is_new: bool,
    ids_below: u64,
    /// None in a database of a version that did not record it.
    born_ms: Option<u64>,
}

/// The ids and the birth with which the journal continues.
#[derive(Debug, PartialEq, Eq)]
struct Decision {
    ids_below: u64,
    born_ms: u64,
    loss: Option<Loss>,
}

/// Decides from the database and the file beside it. `has_traces` is whether anything else of an older journal exists. Pure.
fn decide(own: Own, stamp: Option<Stamp>, has_traces: bool, now_ms: u64) -> Decision {
    let stamped = stamp.map_or(0, |stamp| stamp.ids_below);
    let floor = match stamp {
        None if own.is_new && has_traces => FLOOR_WITHOUT_STAMP,
        _ => 1,
    };
    let ids_below = own.ids_below.max(stamped).max(floor);
    let loss = match (own, stamp) {
        (Own { is_new: true, .. }, stamp) if stamp.is_some() || has_traces => Some(Loss::Missing),
        (Own { is_new: false, born_ms: Some(born_ms), .. }, Some(stamp)) if born_ms != stamp.born_ms => {
            Some(Loss::Replaced)
        }
        (Own { is_new: false, .. }, _) if stamped > own.ids_below => Some(Loss::Older),
        _ => None,
    };
    // After a loss the journal counts as born now, so that older files are not taken for its own.
    let born_ms = own.born_ms.filter(|_| loss.is_none()).unwrap_or(now_ms);
    Decision { ids_below, born_ms, loss }
}

/// Brings the database and the file beside it into agreement at a start. Returns how a former journal was lost, if it was.
pub(super) fn settle(connection: &Connection, has_traces: bool) -> Result<Option<Loss>, StoreError> {
    let stamp = stamp_path(connection).and_then(|path| read(&path));
    let (ids_below, born_ms) = (ids_below(connection)?, meta(connection, "born_ms")?);
    let own = Own { is_new: born_ms.is_none() && ids_below == 1, ids_below, born_ms };
    let decision = decide(own, stamp, has_traces, Timestamp::now().unix_ms());
    let transaction = connection.unchecked_transaction()?;
    if own.born_ms != Some(decision.born_ms) {
        set_meta(connection, "born_ms", decision.born_ms)?;
    }
    if own.ids_below < decision.ids_below {
        set_meta(connection, "ids_below", decision.ids_below)?;
    }
    transaction.commit()?;
    if stamp != Some(Stamp { ids_below: decision.ids_below, born_ms: decision.born_ms }) {
        note(connection, decision.ids_below);
    }
    Ok(decision.loss)
}

/// Returns the next id: every id that was given out is below it.
pub(super) fn ids_below(connection: &Connection) -> Result<u64, StoreError> {
    Ok(connection.query_row(
        "SELECT max(coalesce((SELECT value FROM meta WHERE key = 'ids_below'), 1), coalesce((SELECT max(id) + 1 FROM tasks), 1))",
        [],
        |row| row.get(0),
    )?)
}

/// Records that no id below `ids_below` may be given out after a restart.
pub fn save_ids(connection: &Connection, ids_below: u64) -> Result<(), StoreError> {
    let former = meta(connection, "ids_below")?;
    if former != Some(ids_below) {
        set_meta(connection, "ids_below", ids_below)?;
    }
    // A daemon that stops gives unused ids back. The file must not have a higher number than the journal.
    if former.is_some_and(|former| ids_below < former) {
        note(connection, ids_below);
    }
    Ok(())
}

/// Writes the file beside the database if the commits so far reserved ids beyond `noted`. Returns the number that the file has after it.
pub(super) fn note_reserved(connection: &Connection, noted: u64) -> u64 {
    match meta(connection, "ids_below") {
        Ok(Some(reserved)) if reserved > noted => {
            note(connection, reserved);
            reserved
        }
        _ => noted,
    }
}

/// Returns when this journal was created. Older files may belong to a journal that was lost.
pub fn born(connection: &Connection) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_unix_ms(meta(connection, "born_ms")?.unwrap_or(u64::MAX)))
}

/// Writes the file beside the database. If that fails, only the journal has the ids, which is enough as long as it is not lost.
fn note(connection: &Connection, ids_below: u64) {
    let Some(path) = stamp_path(connection) else { return };
    let written = meta(connection, "born_ms").map_err(io::Error::other).and_then(|born_ms| {
        let stamp = Stamp { ids_below, born_ms: born_ms.unwrap_or_default() };
        write(&path, stamp)
    });
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "cannot note the ids beside the journal");
    }
}

fn meta(connection: &Connection, key: &str) -> Result<Option<u64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

fn set_meta(connection: &Connection, key: &str, value: u64) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    statement.execute(rusqlite::params![key, value])?;
    Ok(())
}

/// Returns the path of the file; None for a database in memory.
fn stamp_path(connection: &Connection) -> Option<PathBuf> {
    let database = connection.path().filter(|path| !path.is_empty())?;
    Some(Path::new(database).with_extension("ids"))
}

fn read(path: &Path) -> Option<Stamp> {
    let text = fs::read_to_string(path).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some(Stamp { ids_below: numbers.next()?.ok()?, born_ms: numbers.next()?.ok()? })
}

/// Writes the file in place and always with the same length, so that it needs no room on a full disk, and no crash can cut it.
fn write(path: &Path, stamp: Stamp) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.write_all(format!("{:020} {:020}\n", stamp.ids_below, stamp.born_ms).as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 9_000;

    #[test]
    fn ids_go_on_and_a_journal_is_born_when_it_begins_or_when_there_is_doubt() {
        let new = Own { is_new: true, ids_below: 1, born_ms: None };
        let own = Own { is_new: false, ids_below: 2_048, born_ms: Some(5) };
        let stamp = |ids_below, born_ms| Some(Stamp { ids_below, born_ms });
        let floor = FLOOR_WITHOUT_STAMP;
        let table = [
            // The first start in a home.
            (new, None, false, (1, NOW, None)),
            // The database is missing. Its ids are known, or it was of a version without this file.
            (new, stamp(3_072, 5), true, (3_072, NOW, Some(Loss::Missing))),
            (new, stamp(3_072, 5), false, (3_072, NOW, Some(Loss::Missing))),
            (new, None, true, (floor, NOW, Some(Loss::Missing))),
            // An ordinary start.
            (own, stamp(2_048, 5), true, (2_048, 5, None)),
            // A daemon that died after it wrote the database and before it wrote the file, and a file that was deleted.
            (own, stamp(2_000, 5), true, (2_048, 5, None)),
            (own, None, true, (2_048, 5, None)),
            // A backup of the same journal, and the journal of another home.
            (own, stamp(4_096, 5), true, (4_096, NOW, Some(Loss::Older))),
            (own, stamp(1_024, 6), true, (2_048, NOW, Some(Loss::Replaced))),
            // A journal of a version that recorded no birth.
            (Own { born_ms: None, ..own }, None, true, (2_048, NOW, None)),
        ];
        for (own, stamp, has_traces, (ids_below, born_ms, loss)) in table {
            let decision = decide(own, stamp, has_traces, NOW);
            assert_eq!(decision, Decision { ids_below, born_ms, loss }, "{own:?} {stamp:?} {has_traces}");
        }
    }

    #[test]
    fn a_death_around_the_commit_that_reserves_ids_or_gives_them_back_makes_the_journal_no_older() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.db");
        let connection = Connection::open(&path).unwrap();
        let run = |sql: &str| connection.execute_batch(sql).unwrap();
        run(&crate::store::open::MIGRATIONS.concat());
        let is_known = || assert_eq!(settle(&connection, true).unwrap(), None);
        assert_eq!(settle(&connection, false).unwrap(), None);
        run("BEGIN");
        save_ids(&connection, 4_096).unwrap();
        run("ROLLBACK");
        is_known();
        save_ids(&connection, 4_096).unwrap();
        is_known();
        save_ids(&connection, 8_192).unwrap();
        assert_eq!(note_reserved(&connection, 4_096), 8_192);
        assert_eq!(read(&home.path().join("reel.ids")).unwrap().ids_below, 8_192);
        run("BEGIN");
        save_ids(&connection, 300).unwrap();
        run("ROLLBACK");
        is_known();
        save_ids(&connection, 300).unwrap();
        is_known();
        // An older copy of the database.
        assert_eq!(note_reserved(&connection, 0), 300);
        run("UPDATE meta SET value = 200 WHERE key = 'ids_below'");
        assert_eq!(settle(&connection, true).unwrap(), Some(Loss::Older));
    }

    #[test]
    fn the_file_is_written_over_and_garbage_in_it_counts_as_none() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.ids");
        assert_eq!(read(&path), None);
        for (ids_below, born_ms) in [(u64::MAX, 7), (3, u64::MAX)] {
            let stamp = Stamp { ids_below, born_ms };
            write(&path, stamp).unwrap();
            assert_eq!(read(&path), Some(stamp));
        }
        for garbage in ["", "x", "7", "7 x", "-1 4"] {
            fs::write(&path, garbage).unwrap();
            assert_eq!(read(&path), None, "{garbage}");
        }
    }
}
