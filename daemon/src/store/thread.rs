//! The two threads of the journal. The writer thread runs queued writes and answers each after its commit. The reader thread runs queries.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, mpsc},
    task::{Context, Poll},
    thread,
    time::Duration,
};

use rusqlite::{Connection, config::DbConfig};
use tokio::sync::{oneshot, watch};

use super::{
    StoreError,
    group::{self, Write},
    upkeep::{Upkeep, fold},
};

type WriteQueue = mpsc::Sender<Box<dyn Write>>;
type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// The handle of the journal. Cheap to clone.
///
/// Its queues are not bounded themselves. Writes and reads are queued only for requests in flight, which each connection limits, and for tasks, each
/// of which has at most one uncommitted transition.
#[derive(Clone)]
pub struct Store {
    /// None once the journal is closed.
    writes: Arc<Mutex<Option<WriteQueue>>>,
    reads: mpsc::Sender<ReadJob>,
    lost: watch::Receiver<Option<StoreError>>,
    /// Disconnects when the writer thread has ended.
    writer_ended: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    pub(super) fn start(writer: Connection, reader: Connection, upkeep: Upkeep) -> Result<Self, StoreError> {
        let (writes, queued_writes) = mpsc::channel();
        let (reads, queued_reads) = mpsc::channel::<ReadJob>();
        let lost = upkeep.lost();
        let (alive, writer_ended) = mpsc::channel();
        spawn("store-writer", move || {
            write_loop(&writer, &queued_writes, upkeep);
            drop(writer);
            drop(alive);
        })?;
        spawn("store-reader", move || queued_reads.into_iter().for_each(|read| read(&reader)))?;
        let writes = Arc::new(Mutex::new(Some(writes)));
        Ok(Self { writes, reads, lost, writer_ended: Arc::new(Mutex::new(writer_ended)) })
    }

    /// Returns why the journal is lost; None while it is not. It is lost once one of its files was deleted, moved, replaced or cut. From then on
    /// every write fails with that reason.
    pub fn lost(&self) -> Option<StoreError> {
        self.lost.borrow().clone()
    }

    /// Completes once [`Store::lost`] returns a reason.
    pub async fn is_lost(&self) {
        if self.lost.clone().wait_for(Option::is_some).await.is_err() {
            // The writer thread has ended, so nothing checks the files.
            std::future::pending::<()>().await;
        }
    }

    /// Refuses further writes. Waits at most `limit` until the queued writes are committed and the log is written back into the database.
    pub fn close(&self, limit: Duration) {
        drop(self.writes.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.writer_ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("the journal's log is not folded back, as its disk is slow");
        }
    }

    fn send(&self, write: Box<dyn Write>) {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match &*writes {
            Some(queue) => queue.send(write).err().map(|mpsc::SendError(write)| write),
            None => Some(write),
        };
        drop(writes);
        if let Some(write) = refused {
            write.settle(Err(StoreError::Closed));
        }
    }

    /// Queues a write without waiting. `then` runs on the writer thread after the commit, in the order of the writes.
    pub fn write_then<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        self.send(Box::new(ClosureWrite { write: Some(write), value: None, then }));
    }

    /// Queues a write without waiting. The reply completes after the commit.
    pub fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let (tx, rx) = oneshot::channel();
        self.write_then(write, move |outcome| drop(tx.send(outcome)));
        Reply(rx)
    }

    /// Queues a read without waiting. It sees every write that was answered before it was queued.
    pub fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let (tx, rx) = oneshot::channel();
        // If the queue is closed, the sender is dropped, and the reply becomes [`StoreError::Closed`].
        let _ = self.reads.send(Box::new(move |connection| drop(tx.send(read(connection)))));
        Reply(rx)
    }
}

/// The reply to a queued write or read. The work is done even if nobody awaits the reply.
#[derive(Debug)]
#[must_use = "an answer that nobody reads hides a failure"]
pub struct Reply<T>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|received| received.unwrap_or(Err(StoreError::Closed)))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: name.into(), source: Arc::new(source) };
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(failed)
}

/// A write made of two closures. `then` is called on the writer thread.
struct ClosureWrite<W, T, F> {
    /// None once it has run.
    write: Option<W>,
    value: Option<T>,
    then: F,
}

impl<W, T, F> Write for ClosureWrite<W, T, F>
where
    W: FnOnce(&Connection) -> Result<T, StoreError> + Send,
    T: Send,
    F: FnOnce(Result<T, StoreError>) + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let write = self.write.take().ok_or(StoreError::Closed)?;
        self.value = Some(write(connection)?);
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { value, then, .. } = *self;
        then(outcome.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

fn write_loop(connection: &Connection, queue: &mpsc::Receiver<Box<dyn Write>>, mut upkeep: Upkeep) {
    while let Some(first) = upkeep.next(connection, queue) {
        group::write(connection, first, queue, &mut upkeep.files);
        upkeep.check(connection);
    }
    // A log that was cut must not be written into the database. On a full disk this checkpoint fails, and the next start reads the log.
    if upkeep.files.check(connection).is_ok() {
        let _ = fold(connection);
    } else {
        let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::Files;

    fn store() -> Store {
        let writer = Connection::open_in_memory().unwrap();
        writer.execute_batch("CREATE TABLE t (value INTEGER UNIQUE)").unwrap();
        Store::start(writer, Connection::open_in_memory().unwrap(), Upkeep::new(Files::default())).unwrap()
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
        // The writer waits in this write until all are queued, so that the failing write is the first of their group.
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
        let upkeep = Upkeep::new(Files::default());
        let store = Store::start(writer, Connection::open_in_memory().unwrap(), upkeep).unwrap();
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

    /// Creates a database whose log has one commit of two pages, and then cuts off the second page.
    fn cut_commit(path: &std::path::Path) -> (Connection, Files, Vec<u8>) {
        const LOG_HEADER_AND_FRAME_BYTES: u64 = 32 + 24 + 4_096;
        let writer = Connection::open(path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE a (value); CREATE TABLE b (value)")
            .unwrap();
        fold(&writer).unwrap();
        writer.execute_batch("BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT").unwrap();
        let files = Files::of(path);
        let log = std::fs::File::options().write(true).open(path.with_extension("db-wal")).unwrap();
        log.set_len(LOG_HEADER_AND_FRAME_BYTES).unwrap();
        (writer, files, std::fs::read(path).unwrap())
    }

    #[test]
    fn half_a_commit_of_a_log_that_was_cut_is_not_written_into_the_database() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("folded.db");
        let (writer, _, before) = cut_commit(&path);
        assert!(fold(&writer).is_err());
        assert!(std::fs::read(&path).unwrap() != before, "folding does no harm, so nothing is tested here");

        let path = home.path().join("closed.db");
        let (writer, files, before) = cut_commit(&path);
        let store = Store::start(writer, Connection::open(&path).unwrap(), Upkeep::new(files)).unwrap();
        store.close(Duration::from_mins(1));
        drop(store);
        assert!(std::fs::read(&path).unwrap() == before);
    }
}
