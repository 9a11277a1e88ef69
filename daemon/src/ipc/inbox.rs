//! What was read from one peer and is not yet cut into lines, with its share of the memory budget.

use std::io;

use reel_protocol::{
    limits::LARGE_LINE_BYTES,
    line::{Line, LineDecoder},
};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::memory::{Budget, Holder, OverBudget, Reservation};

/// The buffer of a quiet connection: a thousand of them hold 8 MiB.
const SMALL_BYTES: usize = 8 * 1024;
/// The buffer of a busy one, and the most that one read takes, so that a fast sender does not hold up the others. Larger buffers stand in
/// the budget.
const READ_BYTES: usize = 64 * 1024;
/// With less room a read would cost more than it brings.
const LEAST_ROOM_BYTES: usize = 2 * 1024;

/// The buffer.
#[derive(Default)]
pub(super) struct Inbox {
    decoder: LineDecoder,
    reservation: Option<Reservation>,
    /// The last read filled what room there was: more is on its way.
    is_busy: bool,
}

impl Inbox {
    /// The next whole line.
    pub(super) fn next_line(&mut self) -> Option<Line<'_>> {
        self.decoder.next_line()
    }

    /// Makes room for a read; a refusal drops the line that has begun, so that the connection can go on behind it.
    ///
    /// To be called when no whole line is left: all that is held then belongs to one line.
    pub(super) fn make_room(&mut self, budget: &Budget) -> Result<(), OverBudget> {
        let buffer = self.decoder.buffer_mut();
        let (length, capacity) = (buffer.len(), buffer.capacity());
        if length == 0 && capacity > SMALL_BYTES && !self.is_busy {
            *buffer = Vec::new();
            self.reservation = None;
        } else if capacity - length >= LEAST_ROOM_BYTES {
            return Ok(());
        }
        let least = if self.is_busy { READ_BYTES } else { SMALL_BYTES };
        // Doubled, so that a line of 16 MiB is not copied for each read of it.
        let wanted = (length * 2).clamp(least, LARGE_LINE_BYTES + READ_BYTES).max(length + LEAST_ROOM_BYTES);
        if let Err(refusal) = self.reserve(budget, wanted) {
            self.decoder.skip_line();
            self.reservation = None;
            self.decoder.buffer_mut().reserve_exact(SMALL_BYTES);
            return Err(refusal);
        }
        self.decoder.buffer_mut().reserve_exact(wanted - length);
        Ok(())
    }

    /// Reads once; 0 bytes are the end of the stream. May be dropped while it waits: nothing is lost.
    pub(super) async fn read_from(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let buffer = self.decoder.buffer_mut();
        let room = (buffer.capacity() - buffer.len()).min(READ_BYTES);
        let count = stream.take(READ_BYTES as u64).read_buf(buffer).await?;
        self.is_busy = count == room;
        if count == 0 {
            // The last line of a stream need not end with a newline.
            self.decoder.buffer_mut().push(b'\n');
        }
        Ok(count)
    }

    fn reserve(&mut self, budget: &Budget, capacity: usize) -> Result<(), OverBudget> {
        let beyond = capacity.saturating_sub(READ_BYTES) as u64;
        match &mut self.reservation {
            Some(reservation) => reservation.grow(beyond.saturating_sub(reservation.bytes())),
            None if beyond > 0 => {
                self.reservation = Some(budget.reserve(Holder::Request, beyond)?);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all of `input` and gives what was seen: lines by their length, refusals as None.
    async fn read_all(inbox: &mut Inbox, budget: &Budget, mut input: &[u8]) -> Vec<Option<usize>> {
        let mut seen = Vec::new();
        let mut has_ended = false;
        loop {
            while let Some(line) = inbox.next_line() {
                match line {
                    Line::Text(text) => seen.push(Some(text.len())),
                    Line::TooLong => seen.push(Some(usize::MAX)),
                }
            }
            if has_ended {
                return seen;
            }
            if inbox.make_room(budget).is_err() {
                seen.push(None);
            }
            has_ended = inbox.read_from(&mut input).await.unwrap() == 0;
        }
    }

    fn lines(lengths: &[usize]) -> Vec<u8> {
        lengths.iter().flat_map(|length| [vec![b'x'; *length], vec![b'\n']].concat()).collect()
    }

    #[tokio::test]
    async fn a_large_line_stands_in_the_budget_and_gives_it_back() {
        let budget = Budget::new(64 * 1024 * 1024);
        let mut inbox = Inbox::default();
        let seen = read_all(&mut inbox, &budget, &lines(&[3, 9_000_000, 5, LARGE_LINE_BYTES + 9, 7])).await;
        assert_eq!(seen, [Some(3), Some(9_000_000), Some(5), Some(usize::MAX), Some(7)]);
        assert!(budget.usage().iter().any(|usage| usage.peak_bytes > 9_000_000));
        inbox.make_room(&budget).unwrap();
        inbox.is_busy = false;
        inbox.make_room(&budget).unwrap();
        assert_eq!(budget.reserved_bytes(), 0);
        assert!(inbox.decoder.held_bytes() <= READ_BYTES);
    }

    #[tokio::test]
    async fn a_line_that_the_budget_refuses_is_dropped_and_the_next_one_still_comes() {
        let budget = Budget::new(200_000);
        let mut inbox = Inbox::default();
        let seen = read_all(&mut inbox, &budget, &lines(&[3, 2_000_000, 5, 100_000])).await;
        assert_eq!(seen, [Some(3), None, Some(5), Some(100_000)]);
    }

    #[tokio::test]
    async fn the_last_line_needs_no_newline() {
        let mut inbox = Inbox::default();
        assert_eq!(read_all(&mut inbox, &Budget::new(0), b"ab\nabc").await, [Some(2), Some(3)]);
        assert!(inbox.next_line().is_none());
    }
}
