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

/// Announced ones are no longer waited for once so long was waited and none came: one that takes its time would hold up every commit until then.
const IN_VAIN: Duration = Duration::from_millis(5);

/// A queue that holds at most `limit` beside those that the receiver took.
pub fn bounded<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue {
        waiting: VecDeque::new(),
        announced: 0,
        round: 0,
        in_vain: Duration::ZERO,
        is_awaited: false,
        is_closed: false,
    };
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
    /// How many said in this round that something comes soon.
    announced: usize,
    /// Grows when those who said so are no longer waited for.
    round: u64,
    /// How long was waited for them, and nothing came.
    in_vain: Duration,
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

    /// Waited for so long, and nothing came.
    fn wait_was_in_vain(&mut self, time: Duration) {
        self.in_vain += time;
        if self.in_vain >= IN_VAIN {
            (self.announced, self.round, self.in_vain) = (0, self.round + 1, Duration::ZERO);
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

    /// Something comes soon, until [`Sender::retract`] is told in which round that was said.
    pub fn announce(&self) -> u64 {
        let mut queue = self.0.lock();
        queue.announced += 1;
        queue.round
    }

    /// What was announced in that round has come, or never will.
    pub fn retract(&self, round: u64) {
        let mut queue = self.0.lock();
        if queue.round != round {
            return;
        }
        queue.announced -= 1;
        if queue.announced > 0 {
            return;
        }
        queue.in_vain = Duration::ZERO;
        let is_awaited = std::mem::take(&mut queue.is_awaited);
        drop(queue);
        if is_awaited {
            self.0.came.notify_one();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Receiver<T> {
    /// The next one, if one is there.
    #[cfg(test)]
    pub fn try_next(&mut self) -> Option<T> {
        if self.taken.is_empty() {
            self.shared.lock().give_all(&mut self.taken);
        }
        self.taken.pop_front()
    }

    /// The next one, if one is there or announced; waits for that, at most until it is due, which is only asked then, and not for those for which
    /// former calls have waited long enough.
    pub fn next_announced(&mut self, mut due: impl FnMut() -> Instant) -> Option<T> {
        if let Some(item) = self.taken.pop_front() {
            return Some(item);
        }
        let mut queue = self.shared.lock();
        let mut begun = None;
        loop {
            queue.give_all(&mut self.taken);
            if let Some(item) = self.taken.pop_front() {
                return Some(item);
            }
            if queue.announced == 0 || queue.is_closed {
                return None;
            }
            let (due, now) = (due(), Instant::now());
            let left = due.saturating_duration_since(now);
            if left.is_zero() {
                queue.wait_was_in_vain(now - begun.unwrap_or(now));
                return None;
            }
            begun.get_or_insert(now);
            queue = self.shared.wait(queue, left);
        }
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
    fn what_is_announced_is_waited_for_and_nothing_else() {
        let (sender, mut receiver) = bounded(10);
        let late = Instant::now() + Duration::from_mins(1);
        assert_eq!(receiver.next_announced(|| late), None, "nothing is announced");
        let first = sender.announce();
        assert_eq!(receiver.next_announced(Instant::now), None, "it is due");
        sender.try_send(1).unwrap();
        assert_eq!(receiver.next_announced(Instant::now), Some(1));
        let second = sender.announce();
        let sending = thread::spawn(move || {
            sender.try_send(2).unwrap();
            sender.retract(first);
            thread::yield_now();
            // The last one says that nothing comes after all.
            sender.retract(second);
            sender
        });
        assert_eq!(receiver.next_announced(|| late), Some(2));
        assert_eq!(receiver.next_announced(|| late), None);
        drop(sending.join().unwrap());
    }

    #[test]
    fn what_does_not_come_holds_up_a_few_and_not_all() {
        let (sender, mut receiver) = bounded(10);
        let wait = Duration::from_millis(2);
        let slow = sender.announce();
        let begun = Instant::now();
        let mut took_turns = 0;
        // As a writer that commits something else meanwhile.
        for item in 0..1_000 {
            sender.try_send(item).unwrap();
            assert_eq!(receiver.next_announced(Instant::now), Some(item));
            let turn = Instant::now();
            assert_eq!(receiver.next_announced(|| turn + wait), None);
            took_turns += u32::from(turn.elapsed() >= wait);
        }
        assert!(took_turns <= 10, "{took_turns} waited, {:?}", begun.elapsed());
        // Who speaks later is waited for, whether or not the slow one comes.
        let quick = sender.announce();
        sender.retract(slow);
        assert_eq!(receiver.shared.lock().announced, 1);
        sender.retract(quick);
        assert_eq!(receiver.next_announced(|| begun + Duration::from_mins(1)), None);
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
