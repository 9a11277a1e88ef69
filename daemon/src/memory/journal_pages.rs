//! The pages that the journal's two connections keep, as something that can be given back: between the pictures and the heap, as the next
//! reads and writes only find them again in the system's cache of the file.

use actix::prelude::*;
use tracing::warn;

use super::{Reclaim, os};
use crate::store::Store;

/// The actor; it owns nothing but a handle of the journal.
#[derive(Debug)]
pub struct JournalPages {
    store: Store,
}

impl JournalPages {
    /// For this journal.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Actor for JournalPages {
    type Context = Context<Self>;
}

impl Handler<Reclaim> for JournalPages {
    type Result = ResponseFuture<u64>;

    /// All or nothing: `SQLite` has no part of it. What the answer counts goes back into the heap; the heap gives it to the system.
    fn handle(&mut self, _: Reclaim, _: &mut Self::Context) -> Self::Result {
        // First of all: the threads begin as soon as they are asked.
        let before_bytes = os::journal_bytes();
        // Each on its own thread, behind what waits there. The writer's commit is empty and so costs no write.
        let written = self.store.write(|connection| Ok(connection.release_memory()?));
        let read = self.store.read(|connection| Ok(connection.release_memory()?));
        Box::pin(async move {
            for outcome in [written.await, read.await] {
                if let Err(error) = outcome {
                    warn!(%error, "the journal keeps its pages");
                }
            }
            before_bytes.saturating_sub(os::journal_bytes())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[actix::test]
    async fn what_was_read_and_written_goes_and_the_journal_works_on() {
        let home = tempfile::tempdir().unwrap();
        let store = store::open(&home.path().join("reel.db")).unwrap().store;
        let fill = store.write(|connection| {
            connection.execute_batch(
                "CREATE TABLE filler (bytes BLOB);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                 INSERT INTO filler SELECT randomblob(4000) FROM n;",
            )?;
            Ok(())
        });
        fill.await.unwrap();
        let pages = JournalPages::new(store.clone()).start();
        let freed_bytes = pages.send(Reclaim { bytes: 1 }).await.unwrap();
        // Other tests' journals share the count, but none is as large as this one.
        assert!(freed_bytes > 1_400_000, "{freed_bytes}");
        let rows = store.read(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM filler", [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(rows.await.unwrap(), 2000);
    }
}
