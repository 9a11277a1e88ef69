//! Groups of writes. Each group is one transaction, and each write of it has its own savepoint. So a write that fails leaves nothing behind, and the
//! others are still committed.

use std::sync::mpsc::Receiver;

use rusqlite::Connection;

use crate::chain::chain;

use super::{StoreError, files::Files, upkeep::fold};

/// Most writes of one commit. With more, the fixed cost of a commit no longer matters, and the first write of the group would wait longer.
const GROUP: usize = 512;

/// A queued write: the changes that it makes, and the callback for its outcome.
pub(super) trait Write: Send {
    /// Makes the changes. Called once on the writer thread, in a savepoint of its own.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;

    /// Called once on the writer thread, in the order of the writes: after the commit, or with the error if there is none. If the journal is closed,
    /// it is called at once on the thread that sends the write.
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// A write that has run, and its result.
type Run = (Box<dyn Write>, Result<(), StoreError>);

/// Commits `first` with all writes that are queued by then, and settles them. If the journal's files are lost before or after the commit, all of them
/// fail.
pub(super) fn write(
    connection: &Connection,
    first: Box<dyn Write>,
    queue: &Receiver<Box<dyn Write>>,
    files: &mut Files,
) {
    let mut group = vec![(first, Ok(()))];
    let outcome = files.check(connection).and_then(|()| commit(connection, &mut group, queue, files));
    if outcome.is_ok() {
        files.note_ids(connection);
    }
    // If the commit failed, its error is the outcome of every write of the group.
    for (write, ran) in group {
        write.settle(outcome.clone().and(ran));
    }
}

fn commit(
    connection: &Connection,
    group: &mut Vec<Run>,
    queue: &Receiver<Box<dyn Write>>,
    files: &mut Files,
) -> Result<(), StoreError> {
    let ran = execute(connection, "BEGIN IMMEDIATE").and_then(|()| run(connection, group, queue));
    let outcome = ran.and_then(|()| execute(connection, "COMMIT")).and_then(|()| files.check_and_note());
    let outcome = outcome.map_err(|error| error.with_quota(|| files.is_disk_full()));
    if let Err(error) = &outcome {
        tracing::error!(error = chain(error), writes = group.len(), "a commit failed");
        // A commit that failed because the disk is full leaves its transaction open.
        let _ = connection.execute_batch("ROLLBACK");
        if matches!(error, StoreError::Full(_)) {
            // This writes the pages of the log into the database, which has room for most of them. Later writes reuse the log from its begin.
            let _ = fold(connection);
            files.note();
        }
    }
    outcome
}

/// Runs the last write of the group, then those that are queued. Fails if the transaction is lost, and all writes of the group with it.
fn run(
    connection: &Connection,
    group: &mut Vec<Run>,
    queue: &Receiver<Box<dyn Write>>,
) -> Result<(), StoreError> {
    while let Some((write, ran)) = group.last_mut() {
        *ran = run_in_savepoint(connection, &mut **write)?;
        let next = if group.len() < GROUP { queue.try_recv().ok() } else { None };
        let Some(next) = next else { break };
        group.push((next, Ok(())));
    }
    Ok(())
}

/// Runs a write and rolls it back if it fails. The inner result is that of the write, the outer one that of the group. A full disk rolls back the
/// whole transaction, and writes that followed would each be committed by themselves.
fn run_in_savepoint(
    connection: &Connection,
    write: &mut dyn Write,
) -> Result<Result<(), StoreError>, StoreError> {
    execute(connection, "SAVEPOINT job")?;
    let ran = write.run(connection);
    match &ran {
        Err(error) if connection.is_autocommit() => return Err(error.clone()),
        Err(_) => execute(connection, "ROLLBACK TO job")?,
        Ok(()) => {}
    }
    execute(connection, "RELEASE job")?;
    Ok(ran)
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The first value of each write and whether it succeeded, in the order of the answers.
    type Told = Arc<Mutex<Vec<(i64, bool)>>>;

    /// Stands for a write that ends the transaction, like a full disk, and returns no error.
    const LOST: i64 = -1;

    struct Insert {
        values: Vec<i64>,
        told: Told,
    }

    impl Write for Insert {
        fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
            for value in &self.values {
                if *value == LOST {
                    connection.execute_batch("ROLLBACK")?;
                    continue;
                }
                connection.execute("INSERT INTO t VALUES (?)", [value])?;
            }
            Ok(())
        }

        fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
            self.told.lock().unwrap().push((self.values[0], outcome.is_ok()));
        }
    }

    /// Writes all as one group. Returns the outcomes and the rows.
    fn write_all(inserts: &[&[i64]]) -> (Vec<(i64, bool)>, Vec<i64>) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (value INTEGER UNIQUE)").unwrap();
        let (sender, queue) = std::sync::mpsc::channel::<Box<dyn Write>>();
        let told = Told::default();
        for values in inserts {
            let insert = Insert { values: values.to_vec(), told: Arc::clone(&told) };
            assert!(sender.send(Box::new(insert)).is_ok());
        }
        let first = queue.try_recv().unwrap();
        write(&connection, first, &queue, &mut Files::default());
        assert!(connection.is_autocommit());
        let mut rows = connection.prepare("SELECT value FROM t ORDER BY value").unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        (Arc::try_unwrap(told).unwrap().into_inner().unwrap(), rows)
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_and_the_others_stay() {
        let (told, rows) = write_all(&[&[1], &[2], &[3, 1], &[4], &[5, 2], &[6]]);
        let expected = [(1, true), (2, true), (3, false), (4, true), (5, false), (6, true)];
        assert_eq!((&*told, rows), (&expected[..], vec![1, 2, 4, 6]));
        let (told, rows) = write_all(&[&[1, 1], &[1], &[2]]);
        assert_eq!((told, rows), (vec![(1, false), (1, true), (2, true)], vec![1, 2]));
    }

    #[test]
    fn a_write_that_hides_the_end_of_the_transaction_takes_its_group_with_it() {
        let (told, rows) = write_all(&[&[1], &[LOST]]);
        assert_eq!((told, rows), (vec![(1, false), (LOST, false)], Vec::new()));
    }
}
