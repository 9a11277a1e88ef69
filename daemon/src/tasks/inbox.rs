//! What follows from commits, on its way from the journal's thread to the tracker.
//!
//! Unlike a channel it leaves it to the sender when the tracker is woken: to wake another thread takes longer than what a commit has for it, and
//! a commit has many at a time.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use futures_util::{Stream, task::AtomicWaker};
use tokio::task::coop;

use super::journal::Applied;

/// The inbox; a clone is the same one. As a stream, it never ends.
#[derive(Clone, Default)]
pub(super) struct Inbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<VecDeque<Applied>>,
    reader: AtomicWaker,
}

impl Inbox {
    /// Puts it in; whoever waits for it must be woken then.
    pub fn put(&self, applied: Applied) -> Option<Waker> {
        self.waiting().push_back(applied);
        self.0.reader.take()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Applied>> {
        // Nothing under this lock can panic half-way.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Inbox {
    type Item = Applied;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Applied>> {
        // As a channel of tokio does: after so many, the others of the rooms' thread have their turn.
        let turn = ready!(coop::poll_proceed(cx));
        let mut next = self.waiting().pop_front();
        if next.is_none() {
            self.0.reader.register(cx.waker());
            // Put in before that, it woke nobody.
            next = self.waiting().pop_front();
        }
        match next {
            Some(applied) => {
                turn.made_progress();
                Poll::Ready(Some(applied))
            }
            None => Poll::Pending,
        }
    }
}
