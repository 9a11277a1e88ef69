//! Timeouts for the parts of a response. Bytes that are already in the socket are read before a wait counts as timed out.
//!
//! When a process continues after a stop (SIGSTOP, a frozen container, a paused virtual machine), its timers expire at once, before it has
//! read what arrived meanwhile. So a wait that has timed out gets a grace period in which the runtime reads its sockets, and the time for
//! which the process was stopped does not count towards the deadline of the whole exchange.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

/// Grace period after a wait has timed out. Reading what has arrived takes less than a millisecond, and a little longer on a busy machine.
const GRACE: Duration = Duration::from_millis(250);
/// If a timer fires this much too late, it was not delayed by other work: the process was stopped.
const STOOD_STILL: Duration = Duration::from_millis(500);

/// The deadline of one exchange.
#[derive(Debug)]
pub struct Patience {
    deadline: Instant,
}

/// Which limit a wait exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The wait exceeded its own limit.
    Wait,
    /// The wait reached the deadline of the whole exchange.
    Exchange,
}

impl Patience {
    /// The deadline of an exchange that begins now and may take `total`.
    pub fn new(total: Duration) -> Self {
        Self { deadline: Instant::now() + total }
    }

    /// Waits for the next part of the exchange, at most for `limit` and not past the exchange's deadline, plus the grace period.
    pub async fn wait<T>(&mut self, limit: Duration, next: impl Future<Output = T>) -> Result<T, Late> {
        let mut next = pin!(next);
        let begun = Instant::now();
        let until = self.deadline.min(begun + limit);
        let late = if until == self.deadline { Late::Exchange } else { Late::Wait };
        if let Ok(came) = timeout_at(until, &mut next).await {
            return Ok(came);
        }
        // If the deadline had passed before this wait began, an earlier wait has had the grace period.
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
        // The process is stopped for a minute. Its socket is read only after its timers have fired.
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
