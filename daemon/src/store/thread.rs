//! The two threads: jobs in, answers out after the commit.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    task::{Context, Poll},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    StoreError,
    room::{CALM, Room},
};

/// Writes or reads that may wait. Every connection may have 256 requests in flight, so this is hundreds of busy clients.
const QUEUE: usize = 65_536;

/// Most writes of one commit: past this the commit's fixed cost no longer shows, and the first of the group would wait longer.
const GROUP: usize = 512;

type Settle = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Runs on the connection, or is refused without one; either way what it gives back must be settled.
type WriteJob = Box<dyn FnOnce(Option<&Connection>) -> Written + Send>;
type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

struct Written {
    settle: Settle,
    failure: Option<StoreError>,
}

/// The journal's handle; cheap to clone.
#[derive(Clone)]
pub struct Store {
    writes: SyncSender<WriteJob>,
    reads: SyncSender<ReadJob>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    pub(super) fn start(writer: Connection, reader: Connection, room: Room) -> Result<Self, StoreError> {
        let (writes, jobs_to_write) = sync_channel(QUEUE);
        let (reads, jobs_to_read) = sync_channel::<ReadJob>(QUEUE);
        spawn("store-writer", move || write_loop(&writer, &jobs_to_write, room))?;
        spawn("store-reader", move || {
            for job in jobs_to_read {
                job(&reader);
            }
        })?;
        Ok(Self { writes, reads })
    }

    /// Queues a write now; `then` runs on the writer's thread after the commit that holds it, in the order of the writes.
    pub fn write_then<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let job: WriteJob = Box::new(move |connection| match connection.map(write) {
            Some(Ok(value)) => {
                let settle = move |committed: Result<(), StoreError>| then(committed.map(|()| value));
                Written { settle: Box::new(settle), failure: None }
            }
            failed => {
                let error = failed.and_then(Result::err).unwrap_or(StoreError::Closed);
                let failure = Some(error.clone());
                let settle = move |outcome: Result<(), StoreError>| then(Err(outcome.err().unwrap_or(error)));
                Written { settle: Box::new(settle), failure }
            }
        });
        match self.writes.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => (job(None).settle)(Err(StoreError::Busy)),
            Err(TrySendError::Disconnected(job)) => (job(None).settle)(Err(StoreError::Closed)),
        }
    }

    /// Queues a write now; the answer comes after the commit that holds it.
    pub fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let (tx, rx) = oneshot::channel();
        self.write_then(write, move |outcome| drop(tx.send(outcome)));
        Reply(rx)
    }

    /// Queues a read now. It sees every write whose answer was given before.
    pub fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let (tx, rx) = oneshot::channel();
        // A job that is refused drops its sender, which the reply reports.
        let _ = self.reads.try_send(Box::new(move |connection| drop(tx.send(read(connection)))));
        Reply(rx)
    }
}

/// The answer to come. What was asked is done even if nobody awaits it.
#[derive(Debug)]
#[must_use = "an answer that nobody reads hides a failure"]
pub struct Reply<T>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|received| received.unwrap_or(Err(StoreError::Busy)))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: name.into(), source: std::sync::Arc::new(source) };
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(failed)
}

fn write_loop(connection: &Connection, jobs: &Receiver<WriteJob>, mut room: Room) {
    while let Some(first) = next(jobs, &mut room) {
        let mut settles = Vec::new();
        let outcome = commit_group(connection, first, jobs, &mut settles);
        if let Err(error) = &outcome {
            tracing::error!(error = %error, writes = settles.len(), "a commit failed");
            // A commit that failed for want of room leaves its transaction open.
            let _ = connection.execute_batch("ROLLBACK");
            if matches!(error, StoreError::Full(_)) {
                // Its pages go into the database, which has room for most of them; the next writes begin the WAL anew.
                let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
            }
        }
        for settle in settles {
            settle(outcome.clone());
        }
    }
    let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}

/// The next job; while none comes, room is made for the log.
fn next(jobs: &Receiver<WriteJob>, room: &mut Room) -> Option<WriteJob> {
    let mut calm = CALM;
    while room.is_wanted() {
        match jobs.recv_timeout(calm) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => room.extend(),
        }
        calm = Duration::ZERO;
    }
    jobs.recv().ok()
}

fn commit_group(
    connection: &Connection,
    first: WriteJob,
    jobs: &Receiver<WriteJob>,
    settles: &mut Vec<Settle>,
) -> Result<(), StoreError> {
    let mut begun = execute(connection, "BEGIN IMMEDIATE");
    // The first one needs no savepoint, which costs as much as a small write: if it fails, there is nothing else to keep.
    let written = first(begun.is_ok().then_some(connection));
    if begun.is_ok() && written.failure.is_some() {
        // Where the disk was full, it is rolled back already.
        let undone = if connection.is_autocommit() { Ok(()) } else { execute(connection, "ROLLBACK") };
        begun = undone.and_then(|()| execute(connection, "BEGIN IMMEDIATE"));
    }
    settles.push(written.settle);
    while settles.len() < GROUP
        && let Ok(job) = jobs.try_recv()
    {
        if begun.is_err() {
            settles.push(job(None).settle);
            continue;
        }
        let (settle, failure) = run_in_savepoint(connection, job);
        settles.push(settle);
        if connection.is_autocommit() {
            // A full disk rolls back all of them, and what came now would be committed by itself.
            begun = Err(failure.unwrap_or(StoreError::Closed));
        }
    }
    begun.and_then(|()| execute(connection, "COMMIT"))
}

/// The answer to give after the commit, and why the job failed if it did.
fn run_in_savepoint(connection: &Connection, job: WriteJob) -> (Settle, Option<StoreError>) {
    let fail = |settle: Settle, error: StoreError| -> (Settle, Option<StoreError>) {
        let failure = Some(error.clone());
        (Box::new(move |outcome| settle(outcome.and(Err(error)))), failure)
    };
    if let Err(error) = execute(connection, "SAVEPOINT job") {
        return fail(job(None).settle, error);
    }
    let Written { settle, failure } = job(Some(connection));
    let undone = if failure.is_none() { Ok(()) } else { execute(connection, "ROLLBACK TO job") };
    match undone.and_then(|()| execute(connection, "RELEASE job")) {
        Ok(()) => (settle, failure),
        Err(error) => fail(settle, failure.unwrap_or(error)),
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        let writer = Connection::open_in_memory().unwrap();
        writer.execute_batch("CREATE TABLE t (value INTEGER UNIQUE)").unwrap();
        let room = Room::new(std::path::Path::new(""), 0);
        Store::start(writer, Connection::open_in_memory().unwrap(), room).unwrap()
    }

    fn insert(connection: &Connection, value: i64) -> Result<(), StoreError> {
        connection.execute("INSERT INTO t VALUES (?)", [value]).map(drop).map_err(StoreError::from)
    }

    #[tokio::test]
    async fn a_write_that_fails_does_so_alone_and_leaves_nothing() {
        let store = store();
        let first = store.write(|connection| insert(connection, 1));
        let bad = store.write(|connection| insert(connection, 2).and(insert(connection, 1)));
        let last = store.write(|connection| insert(connection, 3));
        assert!(first.await.is_ok());
        assert!(bad.await.is_err());
        assert!(last.await.is_ok());
        let sum = store.write(|connection| {
            Ok(connection.query_row("SELECT sum(value) FROM t", [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(sum.await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_first_write_that_fails_takes_nothing_with_it() {
        let store = store();
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        // The writer stands until all are queued, so that the bad one begins their group.
        let gate = store.write(move |_| {
            let _ = rx.recv();
            Ok(())
        });
        let bad = store.write(|connection| insert(connection, 1).and(insert(connection, 1)));
        let good = store.write(|connection| insert(connection, 1));
        drop(tx);
        assert!(gate.await.is_ok() && bad.await.is_err() && good.await.is_ok());
        let alone = store.write(|connection| insert(connection, 1));
        assert!(alone.await.is_err());
        assert!(store.write(|connection| insert(connection, 2)).await.is_ok());
    }

    #[tokio::test]
    async fn what_a_full_database_takes_is_what_it_says_it_took() {
        let home = tempfile::tempdir().unwrap();
        let writer = Connection::open(home.path().join("reel.db")).unwrap();
        writer.execute_batch("PRAGMA cache_size = 1; CREATE TABLE t (value)").unwrap();
        writer.pragma_update(None, "max_page_count", 20).unwrap();
        let store =
            Store::start(writer, Connection::open_in_memory().unwrap(), Room::new(home.path(), 0)).unwrap();
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        let gate = store.write(move |_| {
            let _ = rx.recv();
            Ok(())
        });
        let insert = |bytes: usize| {
            store.write(move |connection| {
                let sql = "INSERT INTO t VALUES (zeroblob(?))";
                connection.execute(sql, [bytes]).map(drop).map_err(StoreError::from)
            })
        };
        let inserts: Vec<_> = [10, 10, 400_000, 10, 10].into_iter().map(insert).collect();
        drop(tx);
        let _ = gate.await;
        let mut taken = 0;
        for insert in inserts {
            taken += i64::from(insert.await.is_ok());
        }
        let rows = store.write(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(rows.await.unwrap(), taken);
    }

    #[test]
    fn answers_leave_in_the_order_of_the_writes() {
        let store = store();
        let (tx, rx) = std::sync::mpsc::channel();
        for value in 0..2_000 {
            let tx = tx.clone();
            store.write_then(move |connection| insert(connection, value), move |_| tx.send(value).unwrap());
        }
        drop(tx);
        assert!(rx.iter().eq(0..2_000));
    }
}
