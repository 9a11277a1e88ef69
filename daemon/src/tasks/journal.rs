//! How the tracker changes the journal and asks it: what follows from a commit comes back into the tracker, in the order of the commits.

use actix::Context;
use rusqlite::Connection;

use super::TaskTracker;
use crate::store::StoreError;

impl TaskTracker {
    /// Sends a change to the journal; `then` runs here after its commit, or with the reason why there is none.
    pub(super) fn journal<T: Send + 'static>(
        &mut self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Result<T, StoreError>) + Send + 'static,
    ) {
        // What was answered before this change stands before it in the journal too.
        self.journal_hits();
        self.send(write, then);
    }

    /// [`TaskTracker::journal`] without looking at the hits.
    pub(super) fn send<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Result<T, StoreError>) + Send + 'static,
    ) {
        self.send_and_note(write, |_| {}, then);
    }

    /// [`TaskTracker::send`]; `note` hears of the commit on the journal's thread, before anything that is sent later is written.
    pub(super) fn send_and_note<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        note: impl FnOnce(&Result<T, StoreError>) + Send + 'static,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Result<T, StoreError>) + Send + 'static,
    ) {
        let applied = self.applied.clone();
        self.parts.store.write_then(write, move |outcome| {
            note(&outcome);
            // Nobody is there to be told once the tracker has stopped; what was committed is read at the next start.
            let _ = applied.send(Box::new(move |tracker, ctx| then(tracker, ctx, outcome)));
        });
    }

    /// Asks the journal; sees everything that was answered before, hits of the cache too, whose rows follow their answers.
    pub(super) fn read<T: Send + 'static, F>(
        &mut self,
        read: F,
    ) -> impl Future<Output = Result<T, StoreError>> + use<T, F>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.journal_hits();
        let store = self.parts.store.clone();
        let barrier = (self.hits_on_their_way > 0).then(|| store.write(|_| Ok(())));
        async move {
            if let Some(barrier) = barrier {
                barrier.await?;
            }
            store.read(read).await
        }
    }
}
