//! Moves small pictures out of the journal, at the first start with a journal of schema 4 to 6.
//!
//! These schemas have a table `unsynced`: the commit that named a small picture also held its bytes, and the file was synced later. After a death or
//! a power loss, the file of such a picture may be missing or cut, and the journal has the only copy. So each picture is written and synced before
//! the migration drops the table. A death in between leaves the table as it is, and the next start begins again.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use reel_protocol::Digest;
use rusqlite::Connection;
use tracing::{info, warn};

use super::{StoreError, artifacts::artifact};
use crate::disk::{create_private_dir, sync_dir};

/// The schemas that have the table.
const SCHEMAS: std::ops::RangeInclusive<i64> = 4..=6;

/// Writes and syncs the file of every picture in the table, whatever the file holds now. `database` is the path of the journal, which lies
/// beside the directory `artifacts`. Pictures without a row in `artifacts` were evicted, and are left out.
pub(super) fn write_files(connection: &Connection, schema: i64, database: &Path) -> Result<(), StoreError> {
    if !SCHEMAS.contains(&schema) {
        return Ok(());
    }
    let directory = database.with_file_name("artifacts");
    let mut statement = connection.prepare("SELECT digest, bytes FROM unsynced ORDER BY number")?;
    let mut rows = statement.query([])?;
    let mut files = 0_u32;
    while let Some(row) = rows.next()? {
        let (digest, bytes) = (Digest::from_bytes(row.get(0)?), row.get::<_, Vec<u8>>(1)?);
        let Some(artifact) = artifact(connection, digest)? else { continue };
        if blake3::hash(&bytes).as_bytes() != digest.as_bytes() {
            warn!(%digest, "the journal holds other bytes than those of the picture; its file stays as it is");
            continue;
        }
        let path = artifact.path(&directory);
        write_file(&directory, &path, &bytes).map_err(|source| unwritten(path, source))?;
        files += 1;
    }
    if files > 0 {
        sync_dir(&directory).map_err(|source| unwritten(directory, source))?;
        info!(files, "wrote pictures that only the journal held to their files");
    }
    Ok(())
}

/// Replaces the file at `path`. The temporary file is in the directory that is emptied at each start.
fn write_file(artifacts: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (temporary, parent) = (artifacts.join("tmp"), path.parent().unwrap_or(artifacts));
    create_private_dir(&temporary)?;
    create_private_dir(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(&temporary)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_dir(parent)
}

fn unwritten(path: PathBuf, source: io::Error) -> StoreError {
    StoreError::Unwritten { path, source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use super::*;
    use crate::store::open::{MIGRATIONS, open};

    /// A journal of schema 6 in a home.
    struct Old {
        home: tempfile::TempDir,
        connection: Connection,
    }

    impl Old {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let connection = Connection::open(home.path().join("reel.db")).unwrap();
            MIGRATIONS[..6].iter().for_each(|migration| connection.execute_batch(migration).unwrap());
            connection.pragma_update(None, "user_version", 6).unwrap();
            Self { home, connection }
        }

        fn database(&self) -> PathBuf {
            self.home.path().join("reel.db")
        }

        /// Adds a picture with this digest to the table, and its row in `artifacts` unless it was evicted. Returns the path of its file.
        fn add(&self, digest: Digest, bytes: &[u8], is_evicted: bool) -> PathBuf {
            let sql = "INSERT INTO unsynced (digest, bytes) VALUES (?, ?)";
            self.connection.execute(sql, params![digest.as_bytes(), bytes]).unwrap();
            let row = crate::store::ArtifactRow {
                digest,
                media_type: "image/png".into(),
                extension: "png".into(),
                size_bytes: bytes.len() as u64,
                width: None,
                height: None,
                duration_s: None,
            };
            if !is_evicted {
                let used = reel_protocol::Timestamp::from_unix_ms(1);
                crate::store::insert_artifact(&self.connection, &row, used).unwrap();
            }
            row.path(&self.home.path().join("artifacts"))
        }

        fn picture(&self, text: &str) -> PathBuf {
            self.add(digest_of(text), text.as_bytes(), false)
        }

        fn schema_and_tables(&self) -> (i64, i64) {
            let connection = Connection::open(self.database()).unwrap();
            let number = |sql: &str| connection.query_row(sql, [], |row| row.get(0)).unwrap();
            (
                number("PRAGMA user_version"),
                number("SELECT count(*) FROM sqlite_schema WHERE name = 'unsynced'"),
            )
        }
    }

    fn digest_of(text: &str) -> Digest {
        Digest::from_bytes(*blake3::hash(text.as_bytes()).as_bytes())
    }

    #[test]
    fn pictures_get_their_files_before_the_table_is_dropped() {
        let old = Old::new();
        let (missing, cut) = (old.picture("missing"), old.picture("cut"));
        std::fs::create_dir_all(cut.parent().unwrap()).unwrap();
        std::fs::write(&cut, "").unwrap();
        let evicted = old.add(digest_of("evicted"), b"evicted", true);
        let other = old.add(digest_of("other"), b"not the bytes of this digest", false);
        assert!(open(&old.database()).unwrap().set_aside.is_none());
        assert_eq!(std::fs::read(&missing).unwrap(), b"missing");
        assert_eq!(std::fs::read(&cut).unwrap(), b"cut");
        assert!(!evicted.exists() && !other.exists());
        assert_eq!(old.schema_and_tables(), (MIGRATIONS.len() as i64, 0));
        let temporary = old.home.path().join("artifacts/tmp");
        assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0);
    }

    #[test]
    fn a_migration_that_failed_or_died_in_the_middle_is_repeated() {
        let old = Old::new();
        let (first, second) = (old.picture("first"), old.picture("second"));
        assert_ne!(first.parent(), second.parent());
        // A file is at the path where the directory of the second picture must be.
        let in_the_way = second.parent().unwrap();
        std::fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
        std::fs::write(in_the_way, "in the way").unwrap();
        let refused = open(&old.database());
        assert!(matches!(refused, Err(StoreError::Unwritten { .. })), "{refused:?}");
        assert_eq!(old.schema_and_tables(), (6, 1));
        assert_eq!(std::fs::read(&first).unwrap(), b"first");
        std::fs::remove_file(in_the_way).unwrap();
        // A death between the last file and the commit that drops the table, after which a file is cut.
        write_files(&old.connection, 6, &old.database()).unwrap();
        std::fs::write(&first, "").unwrap();
        assert_eq!(old.schema_and_tables(), (6, 1));
        open(&old.database()).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), b"first");
        assert_eq!(std::fs::read(&second).unwrap(), b"second");
        assert_eq!(old.schema_and_tables(), (MIGRATIONS.len() as i64, 0));
    }
}
