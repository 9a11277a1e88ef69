//! How long an answer is waited for. The clock is asked last: what lies in the socket already is read before a wait is called too long.
//!
//! A process that was stopped (SIGSTOP, a frozen container, a paused virtual machine) sees its timers pass at the moment at which it goes
//! on, before it has read what arrived meanwhile. So a wait that ran out is given a moment more in which the runtime reads its sockets, and
//! the time for which the process stood still does not count towards the deadline of the whole exchange.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

/// How long a wait goes on after it ran out: reading what has arrived takes less than a millisecond, on a busy machine some more.
const GRACE: Duration = Duration::from_millis(250);
/// A timer that is noticed so much too late was not delayed by other work: the process stood still.
const STOOD_STILL: Duration = Duration::from_millis(500);

/// The deadline of one exchange.
#[derive(Debug)]
pub struct Patience {
    deadline: Instant,
}

/// Which limit a wait ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The time of this one wait is over.
    Wait,
    /// That of the whole exchange.
    Exchange,
}

impl Patience {
    /// The patience for an exchange that begins now and may take `total`.
    pub fn new(total: Duration) -> Self {
        Self { deadline: Instant::now() + total }
    }

    /// Waits for the next part of the exchange, at most for `limit` and not past the exchange's deadline.
    pub async fn wait<T>(&mut self, limit: Duration, next: impl Future<Output = T>) -> Result<T, Late> {
        let mut next = pin!(next);
        let begun = Instant::now();
        let until = self.deadline.min(begun + limit);
        let late = if until == self.deadline { Late::Exchange } else { Late::Wait };
        if let Ok(came) = timeout_at(until, &mut next).await {
            return Ok(came);
        }
        // A deadline that had passed before this wait began has had its moment more.
        if until <= begun {
            return Err(late);
        }
        let passed = until.elapsed();
        if passed >= STOOD_STILL {
            self.deadline = (self.deadline + passed).max(Instant::now() + limit);
        }
        timeout(GRACE, next).await.map_err(|_| late)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_own_limit_or_at_that_of_the_exchange() {
        let mut patience = Patience::new(10 * SECOND);
        assert_eq!(patience.wait(SECOND, async { 7 }).await, Ok(7));
        assert_eq!(patience.wait(SECOND, pending::<()>()).await, Err(Late::Wait));
        assert_eq!(patience.wait(60 * SECOND, pending::<()>()).await, Err(Late::Exchange));
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrived_while_the_process_stood_still_is_read_and_so_is_its_rest() {
        let mut patience = Patience::new(5 * SECOND);
        // The process stands still for a minute; the socket is read only after the timers were looked at.
        let head = async {
            advance(60 * SECOND).await;
            sleep(GRACE / 2).await;
        };
        assert_eq!(patience.wait(3 * SECOND, head).await, Ok(()));
        assert_eq!(patience.wait(3 * SECOND, sleep(2 * SECOND)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_for_ever_ends_soon_after_the_deadline() {
        let mut patience = Patience::new(5 * SECOND);
        let begun = Instant::now();
        while patience.wait(SECOND, sleep(GRACE / 2)).await.is_ok() {}
        assert!(begun.elapsed() < 6 * SECOND, "{:?}", begun.elapsed());
    }
}
