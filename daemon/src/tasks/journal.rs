//! How the tracker changes the journal and asks it: what follows from a commit comes back into the tracker, in the order of the commits.

use std::task::Waker;

use actix::Context;
use rusqlite::Connection;

use super::{TaskTracker, inbox::Inbox};
use crate::store::{StoreError, Write};

/// What follows from a commit; runs in the tracker, in the order of the commits.
pub(super) type Applied = Box<dyn Apply>;

pub(super) trait Apply: Send {
    fn apply(self: Box<Self>, tracker: &mut TaskTracker, ctx: &mut Context<TaskTracker>);
}

/// A change on its way to the journal and back, with all that it is about: it leaves the tracker and returns to it as one block of memory.
struct Change<R, T, W, N, F> {
    rows: R,
    write: W,
    note: N,
    then: F,
    outcome: Result<T, StoreError>,
    /// Until it lies there itself: one that held its inbox would keep it, and all that lies in it, once the tracker has stopped.
    inbox: Option<Inbox>,
}

impl<R, T, W, N, F> Write for Change<R, T, W, N, F>
where
    R: Send + 'static,
    T: Send + 'static,
    W: FnMut(&R, &Connection) -> Result<T, StoreError> + Send + 'static,
    N: FnMut(&mut R, &Result<T, StoreError>) + Send + 'static,
    F: FnOnce(&mut TaskTracker, &mut Context<TaskTracker>, R, Result<T, StoreError>) + Send + 'static,
{
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.outcome = Ok((self.write)(&self.rows, connection)?);
        Ok(())
    }

    fn settle(mut self: Box<Self>, outcome: Result<(), StoreError>) -> Option<Waker> {
        if let Err(error) = outcome {
            self.outcome = Err(error);
        }
        let Self { rows, note, outcome, .. } = &mut *self;
        note(rows, outcome);
        // Nobody takes it out once the tracker has stopped; what was committed is read at the next start.
        self.inbox.take()?.put(self)
    }
}

impl<R, T, W, N, F> Apply for Change<R, T, W, N, F>
where
    R: Send,
    T: Send,
    W: Send,
    N: Send,
    F: FnOnce(&mut TaskTracker, &mut Context<TaskTracker>, R, Result<T, StoreError>) + Send,
{
    fn apply(self: Box<Self>, tracker: &mut TaskTracker, ctx: &mut Context<TaskTracker>) {
        let Self { rows, then, outcome, .. } = *self;
        then(tracker, ctx, rows, outcome);
    }
}

impl TaskTracker {
    /// Sends a change to the journal; `then` runs here after its commit, or with the reason why there is none.
    pub(super) fn journal<T: Send + 'static>(
        &mut self,
        mut write: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Result<T, StoreError>) + Send + 'static,
    ) {
        let write = move |(): &(), connection: &Connection| write(connection);
        self.journal_rows_of(
            (),
            write,
            |(), _| {},
            move |tracker, ctx, (), outcome| then(tracker, ctx, outcome),
        );
    }

    /// [`TaskTracker::journal`] of rows that come back; `note` hears of the commit on the journal's thread, before anything that is sent later
    /// is written.
    pub(super) fn journal_rows_of<R: Send + 'static, T: Send + 'static>(
        &mut self,
        rows: R,
        write: impl FnMut(&R, &Connection) -> Result<T, StoreError> + Send + 'static,
        note: impl FnMut(&mut R, &Result<T, StoreError>) + Send + 'static,
        then: impl FnOnce(&mut Self, &mut Context<Self>, R, Result<T, StoreError>) + Send + 'static,
    ) {
        // What was answered before this change stands before it in the journal too.
        self.journal_hits();
        self.send(rows, write, note, then);
    }

    /// [`TaskTracker::journal_rows_of`] without looking at the hits.
    pub(super) fn send<R: Send + 'static, T: Send + 'static>(
        &self,
        rows: R,
        write: impl FnMut(&R, &Connection) -> Result<T, StoreError> + Send + 'static,
        note: impl FnMut(&mut R, &Result<T, StoreError>) + Send + 'static,
        then: impl FnOnce(&mut Self, &mut Context<Self>, R, Result<T, StoreError>) + Send + 'static,
    ) {
        let inbox = Some(self.inbox.clone());
        self.parts.store.send(Box::new(Change {
            rows,
            write,
            note,
            then,
            outcome: Err(StoreError::Closed),
            inbox,
        }));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_committed_for_a_tracker_that_has_stopped_is_let_go() {
        let (inbox, held) = (Inbox::default(), Arc::new(()));
        let change = |inbox: &Inbox| {
            Box::new(Change {
                rows: Arc::clone(&held),
                write: |_: &Arc<()>, _: &Connection| Ok(()),
                note: |_: &mut Arc<()>, _: &Result<(), StoreError>| {},
                then: |_: &mut TaskTracker, _: &mut Context<TaskTracker>, _: Arc<()>, _| {},
                outcome: Err(StoreError::Closed),
                inbox: Some(inbox.clone()),
            })
        };
        let (before, after) = (change(&inbox), change(&inbox));
        let _ = before.settle(Ok(()));
        drop(inbox);
        let _ = after.settle(Ok(()));
        assert_eq!(Arc::strong_count(&held), 1, "nobody is left to take it out");
    }
}
