//! Opens the database: sets its pragmas, migrates it, and sets a damaged one aside.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{
    Recovery, Store, StoreError,
    aside::{self, with_suffix},
    files::Files,
    origin::{self, Loss},
    recover::recover,
    shape::{Shape, shape},
    unsynced,
    upkeep::Upkeep,
};

/// Each entry raises the schema by one version. `user_version` counts them. Old entries never change.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    // The history is pruned in the order in which tasks ended. The index has every column that decides about it.
    "CREATE INDEX tasks_by_end ON tasks (finished_ms, state, batch) WHERE finished_ms IS NOT NULL;",
    // The requests of the last minute count across a restart of the daemon.
    "CREATE INDEX attempts_by_start ON attempts (started_ms, provider) WHERE provider IS NOT NULL;",
    // The bytes of a small file until the file is synced. A later migration drops the table.
    "CREATE TABLE unsynced (number INTEGER PRIMARY KEY, digest BLOB NOT NULL, bytes BLOB NOT NULL) STRICT;",
    // The notes about results, as a JSON list, for the task and for later tasks that find the results in the cache; and the cost that the provider
    // reports, in millionths of a US dollar.
    "ALTER TABLE tasks ADD COLUMN notes TEXT; ALTER TABLE tasks ADD COLUMN cost_microusd INTEGER; \
     ALTER TABLE entries ADD COLUMN notes TEXT;",
    // The order in which tasks ended, independent of the clock.
    "ALTER TABLE tasks ADD COLUMN ended INTEGER;
     UPDATE tasks SET ended = ordered.place FROM
         (SELECT id, row_number() OVER (ORDER BY finished_ms, id) AS place FROM tasks WHERE finished_ms IS NOT NULL) AS ordered
         WHERE ordered.id = tasks.id;
     DROP INDEX tasks_by_end;
     CREATE INDEX tasks_by_end ON tasks (ended, state, batch) WHERE ended IS NOT NULL;",
    // Every file is synced before the row that names it. `unsynced::write_files` has written the bytes that the table held.
    "DROP TABLE unsynced;",
    // The state changes of tasks. Nothing reads them.
    "DROP TABLE events;",
    // The artifacts that tasks start from, and those that programs have uploaded and may soon name in a task.
    "CREATE TABLE inputs (task INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (task, digest)) STRICT, WITHOUT ROWID;
     CREATE INDEX inputs_by_digest ON inputs (digest);
     CREATE TABLE pins (digest BLOB PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    // Whether a cost is calculated from a price instead of reported by the provider.
    "ALTER TABLE tasks ADD COLUMN cost_is_estimate INTEGER NOT NULL DEFAULT 0;",
    // The workflow of which a task is a step, and the name of the step.
    "ALTER TABLE tasks ADD COLUMN parent INTEGER; ALTER TABLE tasks ADD COLUMN step TEXT;",
];

/// Size of the page cache, in KiB. New rows go to the right edges of their trees, a few pages each, so a larger cache gains nothing: with 4 or 16 MiB
/// as many tasks are accepted in a second, and that much more memory stays resident.
const CACHE_KIB: i64 = 1536;

/// Pages of 4 KiB in the WAL before a checkpoint. With a longer WAL each page is written back fewer times.
const CHECKPOINT_PAGES: i64 = 4_000;

/// An open journal.
#[derive(Debug)]
pub struct Opened {
    /// The opened journal, whose threads run.
    pub store: Store,
    /// The unfinished tasks and the counts, for the tracker.
    pub recovery: Recovery,
    /// The new path of a database that this start set aside, and the reason.
    pub set_aside: Option<(PathBuf, StoreError)>,
    /// Every database that this start or an earlier one set aside and that still exists.
    pub kept_aside: Vec<PathBuf>,
    /// How a former journal was lost, if one was.
    pub loss: Option<Loss>,
}

/// Opens the database at `path`, creates or migrates it as needed, and reads the state for a start. A damaged database is renamed, never overwritten.
pub fn open(path: &Path) -> Result<Opened, StoreError> {
    let mut set_aside = match aside::finish(path)? {
        Some(aside) => Some((aside, StoreError::Incomplete)),
        None => set_orphaned_log_aside(path)?,
    };
    let pair = match open_pair(path) {
        Err(error @ (StoreError::Damaged(_) | StoreError::Incomplete | StoreError::Unreadable(_))) => {
            set_aside = Some((aside::set_aside(path)?, error));
            open_pair(path)?
        }
        opened => opened?,
    };
    let Pair { writer, reader, recovery, loss } = pair;
    let store = Store::start(writer, reader, Upkeep::new(Files::of(path)))?;
    Ok(Opened { store, recovery, set_aside, kept_aside: aside::find_all(path), loss })
}

/// Sets the log aside if its database is missing or empty. `SQLite` would delete such a log with all commits that are not in the database yet.
fn set_orphaned_log_aside(path: &Path) -> Result<Option<(PathBuf, StoreError)>, StoreError> {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length(path) > 0 || length(&with_suffix(path, "-wal")) == 0 {
        return Ok(None);
    }
    Ok(Some((aside::set_aside(path)?, StoreError::Incomplete)))
}

/// The two connections of an open journal, and the state that was read through them.
struct Pair {
    writer: Connection,
    reader: Connection,
    recovery: Recovery,
    loss: Option<Loss>,
}

fn open_pair(path: &Path) -> Result<Pair, StoreError> {
    if path.exists() {
        // The check comes before any pragma: turning on the WAL already writes into the file.
        check(&Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?)?;
    }
    let mut writer = Connection::open(path)?;
    configure(&writer)?;
    migrate(&mut writer, path)?;
    let loss = origin::settle(&writer, has_traces(path))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    reader.pragma_update(None, "cache_size", -512)?;
    reader.set_prepared_statement_cache_capacity(64);
    // This runs before any work is accepted, so that a database that cannot be read is set aside first.
    let recovery = recover(&reader)?;
    Ok(Pair { writer, reader, recovery, loss })
}

/// Returns whether the home had a journal before: one was set aside, or there are artifact files.
fn has_traces(path: &Path) -> bool {
    let files = |directory: &Path| std::fs::read_dir(directory).into_iter().flatten().flatten();
    let has_artifacts = || {
        let directories = files(&path.with_file_name("artifacts"));
        directories.into_iter().any(|directory| files(&directory.path()).next().is_some())
    };
    !aside::find_all(path).is_empty() || has_artifacts()
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // The former pages of a savepoint stay in memory. A temporary file would need room on another disk, and a write could fail for lack of it.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    // Larger than the default of 16 statements, as the journal uses more.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    unsynced::write_files(connection, found, path)?;
    let transaction = connection.transaction()?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

/// Reads the columns of the tables and the root page of every tree. This is cheap at any size, and finds a truncated, overwritten or foreign file
/// before work is accepted into it.
fn check(connection: &Connection) -> Result<(), StoreError> {
    match shape(connection, MIGRATIONS)? {
        Shape::Journal => {}
        Shape::Incomplete => return Err(StoreError::Incomplete),
        Shape::Foreign => return Err(StoreError::Foreign),
    }
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")?;
    let tables = names.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    for table in tables {
        let mut rows = connection.prepare(&format!("SELECT * FROM \"{table}\" LIMIT 1"))?;
        rows.query([])?.next()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_database_is_set_aside_with_its_bytes_and_a_new_one_works() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.db");
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        let opened = open(&path).unwrap();
        assert_eq!(std::fs::read(opened.set_aside.unwrap().0).unwrap(), vec![b'x'; 8192]);
        assert!(open(&home.path().join("other.db")).unwrap().set_aside.is_none());
    }

    #[test]
    fn a_database_of_each_older_version_is_brought_to_this_one_with_what_it_holds() {
        for version in 1..MIGRATIONS.len() {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("reel.db");
            let old = Connection::open(&path).unwrap();
            MIGRATIONS[..version].iter().for_each(|migration| old.execute_batch(migration).unwrap());
            old.pragma_update(None, "user_version", version as i64).unwrap();
            old.execute("INSERT INTO meta VALUES ('kept', 7)", []).unwrap();
            drop(old);
            assert!(open(&path).unwrap().set_aside.is_none(), "{version}");
            let Pair { writer, .. } = open_pair(&path).unwrap();
            let kept: i64 =
                writer.query_row("SELECT value FROM meta WHERE key = 'kept'", [], |row| row.get(0)).unwrap();
            let schema = |connection: &Connection| -> Vec<String> {
                let mut sql = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql NOTNULL").unwrap();
                let mut sql =
                    sql.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
                sql.sort();
                sql
            };
            let Pair { writer: new, .. } = open_pair(&home.path().join("new.db")).unwrap();
            assert_eq!((kept, schema(&writer)), (7, schema(&new)), "{version}");
        }
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("reel.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(open(&path), Err(StoreError::Newer { found: 99, .. })));
        assert!(path.exists());
    }
}
