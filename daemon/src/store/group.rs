//! Writes in groups, each group in one commit.
//!
//! A group first runs without more ado: a savepoint for each write would copy every page that the writes share. Only where one of them fails,
//! which is rare, all is undone and run again, each in a savepoint of its own, so that those which fail do so alone.

use std::{sync::mpsc::Receiver, task::Waker};

use rusqlite::Connection;

use crate::chain::chain;

use super::{StoreError, files::Files, upkeep::fold};

/// Most writes of one commit: past this the commit's fixed cost no longer shows, and the first of the group would wait longer.
const GROUP: usize = 512;

/// A write on its way. It goes to the writer's thread and its answer comes back in the same block of memory: what one thread takes of the heap
/// and another gives back has both wait for each other.
pub trait Write: Send {
    /// Runs on the writer's thread inside a transaction, and again if that was undone since another write failed: it must only do what it
    /// does on the connection, and the same each time.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;

    /// Called once on the writer's thread, in the order of the writes: after the commit, or with the reason why there is none. For a write
    /// to a closed journal, at once on the thread that sends it. Answers who is to be woken when others of the commit are settled as well.
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) -> Option<Waker>;
}

/// A write that has run, and why it failed if it did.
type Run = (Box<dyn Write>, Result<(), StoreError>);

/// Commits `first` with all that come meanwhile, and answers them. All are refused where the journal's
/// files are not there any more, before the commit or after it.
pub(super) fn write(
    connection: &Connection,
    first: Box<dyn Write>,
    queue: &Receiver<Box<dyn Write>>,
    files: &mut Files,
) {
    let mut group = Vec::new();
    if let Err(lost) = files.check() {
        let waiting = first.settle(Err(lost));
        return waiting.into_iter().for_each(Waker::wake);
    }
    let ran = run(connection, first, queue, &mut group);
    let outcome = ran.and_then(|()| execute(connection, "COMMIT")).and_then(|()| files.check_and_note());
    let outcome = outcome.map_err(|error| error.with_quota(|| files.is_disk_full()));
    if outcome.is_ok() {
        files.note_ids(connection);
    }
    if let Err(error) = &outcome {
        tracing::error!(error = chain(error), writes = group.len(), "a commit failed");
        // A commit that failed for want of room leaves its transaction open.
        let _ = connection.execute_batch("ROLLBACK");
        if matches!(error, StoreError::Full(_)) {
            // Its pages go into the database, which has room for most of them; the next writes begin the WAL anew.
            let _ = fold(connection);
            files.note();
        }
    }
    let mut waiting = Vec::new();
    for (write, ran) in group {
        // What took the whole group with it is the reason for each.
        waiting.extend(write.settle(outcome.clone().and(ran)));
    }
    waiting.into_iter().for_each(Waker::wake);
}

/// Runs the writes into `group`. Fails where all of them are refused.
fn run(
    connection: &Connection,
    first: Box<dyn Write>,
    queue: &Receiver<Box<dyn Write>>,
    group: &mut Vec<Run>,
) -> Result<(), StoreError> {
    let mut outcome = execute(connection, "BEGIN IMMEDIATE");
    let mut is_careful = false;
    let mut coming = Some(first);
    while let Some(mut write) = coming {
        let ran = match (&outcome, is_careful) {
            (Err(_), _) => Ok(()),
            (Ok(()), false) => write.run(connection).and_then(|()| still_open(connection)),
            (Ok(()), true) => run_alone(connection, &mut *write).unwrap_or_else(|lost| {
                outcome = Err(lost);
                Ok(())
            }),
        };
        let must_repeat = ran.is_err() && !is_careful;
        group.push((write, ran));
        if must_repeat {
            is_careful = true;
            outcome = repeat(connection, group);
        }
        coming = if group.len() < GROUP { queue.try_recv().ok() } else { None };
    }
    outcome
}

/// A full disk ends the transaction, also where a write made nothing of the error: what follows would be committed by itself.
fn still_open(connection: &Connection) -> Result<(), StoreError> {
    if connection.is_autocommit() { Err(StoreError::Closed) } else { Ok(()) }
}

/// Undoes what the group wrote, as the last of it failed, and runs it again, each write for itself.
fn repeat(connection: &Connection, group: &mut [Run]) -> Result<(), StoreError> {
    let is_gone = connection.is_autocommit();
    if let [.., _, (_, Err(error))] = group
        && is_gone
    {
        // A full disk rolls back all of them, and what came after would be committed by itself.
        return Err(error.clone());
    }
    if !is_gone {
        execute(connection, "ROLLBACK")?;
    }
    execute(connection, "BEGIN IMMEDIATE")?;
    if let [_] = group {
        return Ok(());
    }
    for (write, ran) in group {
        *ran = run_alone(connection, &mut **write)?;
    }
    Ok(())
}

/// Runs a write so that nothing is left of it if it fails. The outer error is that of the whole group.
fn run_alone(connection: &Connection, write: &mut dyn Write) -> Result<Result<(), StoreError>, StoreError> {
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
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    };

    use super::*;

    /// What became of each, in the order of the answers.
    type Told = Arc<Mutex<Vec<(i64, bool)>>>;

    /// Ends the transaction, as a full disk does, and says nothing.
    const LOST: i64 = -1;

    struct Insert {
        values: Vec<i64>,
        runs: Arc<AtomicU32>,
        told: Told,
    }

    impl Write for Insert {
        fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
            self.runs.fetch_add(1, Relaxed);
            for value in &self.values {
                if *value == LOST {
                    connection.execute_batch("ROLLBACK")?;
                    continue;
                }
                connection.execute("INSERT INTO t VALUES (?)", [value])?;
            }
            Ok(())
        }

        fn settle(self: Box<Self>, outcome: Result<(), StoreError>) -> Option<Waker> {
            self.told.lock().unwrap().push((self.values[0], outcome.is_ok()));
            None
        }
    }

    /// Writes them as one group; the answers, the rows, and how often one ran.
    fn write_all(inserts: &[&[i64]]) -> (Vec<(i64, bool)>, Vec<i64>, u32) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (value INTEGER UNIQUE)").unwrap();
        let (sender, queue) = std::sync::mpsc::channel::<Box<dyn Write>>();
        let (runs, told) = (Arc::new(AtomicU32::new(0)), Told::default());
        for values in inserts {
            let (runs, told) = (Arc::clone(&runs), Arc::clone(&told));
            assert!(sender.send(Box::new(Insert { values: values.to_vec(), runs, told })).is_ok());
        }
        let first = queue.try_recv().unwrap();
        write(&connection, first, &queue, &mut Files::default());
        assert!(queue.try_recv().is_err() && connection.is_autocommit());
        let mut rows = connection.prepare("SELECT value FROM t ORDER BY value").unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        (Arc::try_unwrap(told).unwrap().into_inner().unwrap(), rows, runs.load(Relaxed))
    }

    #[test]
    fn a_group_without_a_failure_runs_once() {
        let (told, rows, runs) = write_all(&[&[1], &[2], &[3]]);
        assert_eq!((told, rows, runs), (vec![(1, true), (2, true), (3, true)], vec![1, 2, 3], 3));
    }

    #[test]
    fn what_fails_leaves_nothing_and_what_ran_before_it_stays() {
        let (told, rows, runs) = write_all(&[&[1], &[2], &[3, 1], &[4], &[5, 2], &[6]]);
        let expected = [(1, true), (2, true), (3, false), (4, true), (5, false), (6, true)];
        assert_eq!((&*told, rows), (&expected[..], vec![1, 2, 4, 6]));
        // The first three again, after the third had failed.
        assert_eq!(runs, 6 + 3);
    }

    #[test]
    fn a_first_one_that_fails_has_nothing_to_run_again() {
        let (told, rows, runs) = write_all(&[&[1, 1], &[1], &[2]]);
        assert_eq!((told, rows, runs), (vec![(1, false), (1, true), (2, true)], vec![1, 2], 3));
    }

    #[test]
    fn a_write_that_hides_the_end_of_the_transaction_takes_its_group_with_it() {
        let (told, rows, _) = write_all(&[&[1], &[LOST], &[3]]);
        assert_eq!((told, rows), (vec![(1, false), (LOST, false), (3, false)], Vec::new()));
        let (told, rows, _) = write_all(&[&[LOST], &[2]]);
        assert_eq!((told, rows), (vec![(LOST, false), (2, true)], vec![2]));
    }
}
