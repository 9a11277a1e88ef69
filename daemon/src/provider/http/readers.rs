//! Threads for small answers: no more than there are processors, each of which takes the next answer when it is done with one.
//!
//! To read a small answer takes less time than to wake a thread for it. Ten that come at once would each wake one, and all of them and the
//! rooms would wait for each other's turns on few processors.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::oneshot;

/// Most at once, on whatever machine.
const MOST: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The threads; a clone has the same ones. They are lent by the runtime while there is something to read.
#[derive(Clone)]
pub struct Readers(Arc<Shared>);

struct Shared {
    most: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// Threads that take from it.
    threads: usize,
}

impl Default for Readers {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from).min(MOST))
    }
}

impl Readers {
    fn new(most: usize) -> Self {
        Self(Arc::new(Shared { most, queue: Mutex::default() }))
    }

    /// Reads on one of the threads, and answers what came of it; None where it panicked.
    pub async fn read<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, outcome) = oneshot::channel();
        // Nobody waits for it where the call was given up.
        let is_first = self.0.put(Box::new(move || drop(done.send(read()))));
        if is_first {
            let shared = Arc::clone(&self.0);
            drop(tokio::task::spawn_blocking(move || shared.work()));
        }
        outcome.await.ok()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it needs another thread.
    fn put(&self, job: Job) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(job);
        let is_first = queue.threads < self.most;
        queue.threads += usize::from(is_first);
        is_first
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // What panics is said by the hook of panics, and ends nobody else's reading.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next one; without one, the thread is no longer counted.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        let job = queue.waiting.pop_front();
        queue.threads -= usize::from(job.is_none());
        job
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readers")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn so_many_read_at_once_and_all_are_read() {
        let readers = Readers::new(2);
        // Nobody passes it alone.
        let (both, now, most) =
            (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let read = |number: usize| {
            let (readers, both, now, most) =
                (readers.clone(), Arc::clone(&both), Arc::clone(&now), Arc::clone(&most));
            async move {
                let read = move || {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    both.wait();
                    now.fetch_sub(1, SeqCst);
                    number
                };
                readers.read(read).await
            }
        };
        let numbers = join_all((0..100).map(read)).await;
        assert!(numbers.into_iter().eq((0..100).map(Some)));
        assert_eq!(most.load(SeqCst), 2);
        assert_eq!(readers.0.queue().threads, 0);
    }

    #[tokio::test]
    async fn one_that_panics_fails_alone() {
        let readers = Readers::new(1);
        let (bad, good) =
            tokio::join!(readers.read(|| panic!("as a broken picture might")), readers.read(|| 7));
        assert_eq!((bad, good), (None::<()>, Some(7)));
    }
}
