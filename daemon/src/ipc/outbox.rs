//! Lines that wait to be written to one peer, bounded by the session, which takes no requests while too many bytes wait.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::call::Answer;
use crate::memory::Reservation;

/// Answers that wait for a peer which does not read; two of the largest artifact reads. Beyond it no request is taken.
pub(super) const FULL_BYTES: usize = 8 * 1024 * 1024;
/// Events are taken while less than this waits, so that a slow reader's events pile up where they are counted and dropped.
const EVENT_BYTES: usize = 256 * 1024;
/// Short lines share a chunk up to this size: one write call then carries many answers.
const CHUNK_BYTES: usize = 64 * 1024;

/// The queue.
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are written.
    written_bytes: usize,
    waiting_bytes: usize,
    /// When the peer last took something, or when the queue was last empty.
    moved_at: Instant,
}

struct Chunk {
    bytes: Vec<u8>,
    /// The chunk's share of the memory budget; given back once it is written.
    reservation: Option<Reservation>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { chunks: VecDeque::new(), written_bytes: 0, waiting_bytes: 0, moved_at: Instant::now() }
    }

    /// Appends an answer; one without a line (of a notification) adds nothing.
    pub(super) fn push(&mut self, answer: Answer) {
        let Answer { line, reservation, .. } = answer;
        if line.is_empty() {
            return;
        }
        if self.chunks.is_empty() {
            self.moved_at = Instant::now();
        }
        self.waiting_bytes += line.len();
        let shares =
            |chunk: &&mut Chunk| chunk.reservation.is_none() && chunk.bytes.len() + line.len() <= CHUNK_BYTES;
        match self.chunks.back_mut().filter(shares) {
            Some(chunk) if reservation.is_none() => chunk.bytes.extend_from_slice(&line),
            _ => self.chunks.push_back(Chunk { bytes: line, reservation }),
        }
    }

    /// What to write next; empty if nothing waits.
    pub(super) fn front(&self) -> &[u8] {
        self.chunks.front().and_then(|chunk| chunk.bytes.get(self.written_bytes..)).unwrap_or_default()
    }

    /// The peer took so many bytes of [`Outbox::front`].
    pub(super) fn advance(&mut self, bytes: usize) {
        self.moved_at = Instant::now();
        self.written_bytes += bytes;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        if self.chunks.front().is_some_and(|chunk| chunk.bytes.len() <= self.written_bytes) {
            self.chunks.pop_front();
            self.written_bytes = 0;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub(super) fn has_room_for_events(&self) -> bool {
        self.waiting_bytes < EVENT_BYTES
    }

    /// When the peer last took something, while something waits.
    pub(super) fn stands_since(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.moved_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Budget, Holder};

    #[test]
    fn short_lines_share_a_chunk_and_partial_writes_lose_nothing() {
        let mut outbox = Outbox::new();
        let mut expected = Vec::new();
        for length in [10, 20, CHUNK_BYTES, 0, 30, 40] {
            let line = vec![b'a' + (length % 26) as u8; length];
            expected.extend_from_slice(&line);
            outbox.push(Answer::line(line));
        }
        assert_eq!(outbox.chunks.len(), 3);
        assert_eq!(outbox.waiting_bytes(), expected.len());
        let mut seen = Vec::new();
        while !outbox.is_empty() {
            let part = outbox.front().len().min(7_001);
            seen.extend_from_slice(&outbox.front()[..part]);
            outbox.advance(part);
        }
        assert!(seen == expected);
        assert_eq!((outbox.waiting_bytes(), outbox.stands_since()), (0, None));
    }

    #[test]
    fn a_reservation_lives_until_its_line_is_written() {
        let budget = Budget::new(100);
        let mut outbox = Outbox::new();
        let reservation = budget.reserve(Holder::Response, 60).ok();
        outbox.push(Answer { reservation, ..Answer::line(vec![b'x'; 60]) });
        outbox.push(Answer::line(vec![b'y'; 10]));
        outbox.advance(59);
        assert_eq!(budget.reserved_bytes(), 60);
        outbox.advance(1);
        assert_eq!((budget.reserved_bytes(), outbox.front()), (0, &[b'y'; 10][..]));
    }
}
