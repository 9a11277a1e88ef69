//! A bounded queue between threads whose room is taken as it is needed: what many may fill now and then weighs nothing meanwhile.
//!
//! Senders wait for nobody, as a full queue is an answer. The receiver takes what has come all at once, so that both rarely meet.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, TrySendError},
    },
    time::{Duration, Instant},
};

/// Room for so many is kept when the queue is empty again.
const SMALL: usize = 1_024;

/// A queue that holds at most `limit` beside those that the receiver took.
pub fn bounded<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue { waiting: VecDeque::new(), is_awaited: false, is_closed: false };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), came: Condvar::new(), limit });
    (Sender(Arc::clone(&shared)), Receiver { shared, taken: VecDeque::new() })
}

/// Where one puts something in. The receiver ends when it is dropped, and what was put in before has been taken.
pub struct Sender<T>(Arc<Shared<T>>);

/// Where one takes out.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    taken: VecDeque<T>,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    came: Condvar,
    limit: usize,
}

struct Queue<T> {
    waiting: VecDeque<T>,
    /// Whether the receiver sleeps: only then must it be woken.
    is_awaited: bool,
    is_closed: bool,
}

impl<T> Queue<T> {
    /// All that came, for room without anything in it; what a burst needed of that is let go.
    fn give_all(&mut self, taken: &mut VecDeque<T>) {
        std::mem::swap(taken, &mut self.waiting);
        if self.waiting.capacity() > SMALL {
            self.waiting = VecDeque::new();
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // Nothing under this lock can panic half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, mut queue: MutexGuard<'a, Queue<T>>, time: Duration) -> MutexGuard<'a, Queue<T>> {
        queue.is_awaited = true;
        let waited = self.came.wait_timeout(queue, time);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        queue.is_awaited = false;
        queue
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.came.notify_all();
    }
}

impl<T> Sender<T> {
    /// Puts it in at once, or gives it back.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut queue = self.0.lock();
        if queue.is_closed {
            return Err(TrySendError::Disconnected(item));
        }
        if queue.waiting.len() >= self.0.limit {
            return Err(TrySendError::Full(item));
        }
        queue.waiting.push_back(item);
        let is_awaited = std::mem::take(&mut queue.is_awaited);
        drop(queue);
        if is_awaited {
            self.0.came.notify_one();
        }
        Ok(())
    }

    /// Takes nothing more; the receiver ends when what was put in before has been taken.
    pub fn close(&self) {
        self.0.close();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Receiver<T> {
    /// The next one, if one is there.
    pub fn try_next(&mut self) -> Option<T> {
        if self.taken.is_empty() {
            self.shared.lock().give_all(&mut self.taken);
        }
        self.taken.pop_front()
    }

    /// The next one; waits for it, at most until `due`.
    pub fn next(&mut self, due: Option<Instant>) -> Result<T, RecvTimeoutError> {
        if let Some(item) = self.taken.pop_front() {
            return Ok(item);
        }
        let mut queue = self.shared.lock();
        loop {
            queue.give_all(&mut self.taken);
            if let Some(item) = self.taken.pop_front() {
                return Ok(item);
            }
            if queue.is_closed {
                return Err(RecvTimeoutError::Disconnected);
            }
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(RecvTimeoutError::Timeout);
            }
            queue = self.shared.wait(queue, left.unwrap_or(Duration::MAX));
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_was_put_in_comes_out_in_order_and_then_it_ends() {
        let (sender, mut receiver) = bounded(1_000_000);
        let taking = thread::spawn(move || {
            let mut taken = Vec::new();
            loop {
                match receiver.next(None) {
                    Ok(item) => taken.push(item),
                    Err(error) => return (taken, error),
                }
                taken.extend(receiver.try_next());
            }
        });
        for item in 0..100_000 {
            sender.try_send(item).unwrap();
        }
        drop(sender);
        let (taken, error) = taking.join().unwrap();
        assert!(taken.into_iter().eq(0..100_000));
        assert_eq!(error, RecvTimeoutError::Disconnected);
    }

    #[test]
    fn a_full_queue_gives_back_and_an_empty_one_is_waited_for_no_longer_than_asked() {
        let (sender, mut receiver) = bounded(2);
        assert_eq!(receiver.next(Some(Instant::now())), Err(RecvTimeoutError::Timeout));
        assert!(sender.try_send(1).is_ok() && sender.try_send(2).is_ok());
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!((receiver.try_next(), receiver.try_next(), receiver.try_next()), (Some(1), Some(2), None));
        assert!(sender.try_send(4).is_ok());
        drop(receiver);
        assert_eq!(sender.try_send(5), Err(TrySendError::Disconnected(5)));
    }

    #[test]
    fn the_room_of_a_burst_is_let_go() {
        let (sender, mut receiver) = bounded(usize::MAX);
        for round in 0..3 {
            for item in 0..10 * SMALL {
                sender.try_send(item).unwrap();
            }
            let taken = std::iter::from_fn(|| receiver.try_next()).count();
            assert_eq!(taken, 10 * SMALL, "{round}");
        }
        sender.try_send(0).unwrap();
        assert_eq!((receiver.try_next(), receiver.try_next()), (Some(0), None));
        let kept = receiver.taken.capacity() + receiver.shared.lock().waiting.capacity();
        assert!(kept <= 2 * SMALL, "{kept}");
    }
}
