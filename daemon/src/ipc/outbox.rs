//! Messages that wait to be written to one peer, bounded by the session, which takes no requests while too many bytes wait.

use std::{collections::VecDeque, ops::Deref};

use reel_protocol::binary::Message;
use tokio::time::Instant;

use super::call::Answer;
use crate::memory::Reservation;

/// Answers that wait for a peer which does not read; two of the largest artifact reads. Beyond it no request is taken.
pub(super) const FULL_BYTES: usize = 8 * 1024 * 1024;
/// Events are taken while less than this waits, so that a slow reader's events pile up where they are counted and dropped.
const EVENT_BYTES: usize = 256 * 1024;
/// Short messages share a chunk up to this size: one write call then carries many answers.
const CHUNK_BYTES: usize = 64 * 1024;

/// The queue.
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are written.
    written_bytes: usize,
    waiting_bytes: usize,
    /// When it was first asked about, since the peer last took something or something came into the empty queue: most of what comes leaves
    /// at once, and nobody asks.
    stands_since: Option<Instant>,
}

struct Chunk {
    bytes: Content,
    /// The chunk's share of the memory budget; given back once it is written.
    reservation: Option<Reservation>,
}

enum Content {
    /// Ours: what comes next may be appended.
    Own(Vec<u8>),
    /// A picture of the cache, which leaves as it stands there.
    Block(bytes::Bytes),
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Block(bytes) => bytes,
        }
    }
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { chunks: VecDeque::new(), written_bytes: 0, waiting_bytes: 0, stands_since: None }
    }

    /// Appends an answer; an empty one (of a notification) adds nothing.
    pub(super) fn push(&mut self, answer: Answer) {
        let Answer { message, reservation, .. } = answer;
        if message.is_empty() {
            return;
        }
        if self.chunks.is_empty() {
            self.stands_since = None;
        }
        self.waiting_bytes += message.len();
        let Message { mut bytes, block } = message;
        let Some((at, block)) = block else { return self.append(bytes, reservation) };
        let after = bytes.split_off(at.min(bytes.len()));
        self.append(bytes, None);
        self.chunks.push_back(Chunk { bytes: Content::Block(block), reservation });
        self.append(after, None);
    }

    fn append(&mut self, bytes: Vec<u8>, reservation: Option<Reservation>) {
        if bytes.is_empty() {
            return;
        }
        match self.chunks.back_mut() {
            Some(Chunk { bytes: Content::Own(before), reservation: None })
                if reservation.is_none() && before.len() + bytes.len() <= CHUNK_BYTES =>
            {
                before.extend_from_slice(&bytes);
            }
            _ => self.chunks.push_back(Chunk { bytes: Content::Own(bytes), reservation }),
        }
    }

    /// What to write next; empty if nothing waits.
    pub(super) fn front(&self) -> &[u8] {
        self.chunks.front().and_then(|chunk| chunk.bytes.get(self.written_bytes..)).unwrap_or_default()
    }

    /// The peer took so many bytes of [`Outbox::front`].
    pub(super) fn advance(&mut self, bytes: usize) {
        self.stands_since = None;
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

    /// Since when the peer takes nothing, while something waits; counted from the first question about it.
    pub(super) fn stands_since(&mut self) -> Option<Instant> {
        (!self.is_empty()).then(|| *self.stands_since.get_or_insert_with(Instant::now))
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
            outbox.push(Answer::bytes(line));
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
    fn a_block_leaves_between_the_bytes_around_it_and_is_never_copied() {
        let block = bytes::Bytes::from(vec![b'b'; 100]);
        let message = Message { bytes: b"headtail".to_vec(), block: Some((4, block.clone())) };
        let mut outbox = Outbox::new();
        outbox.push(Answer::bytes(b"before ".to_vec()));
        outbox.push(Answer { message, ..Answer::bytes(Vec::new()) });
        outbox.push(Answer::bytes(b" after".to_vec()));
        assert_eq!(outbox.waiting_bytes(), 121);
        assert_eq!(outbox.front(), b"before head");
        outbox.advance(11);
        assert_eq!((outbox.front().as_ptr(), outbox.front().len()), (block.as_ptr(), 100));
        outbox.advance(60);
        assert_eq!(outbox.front(), [b'b'; 40]);
        outbox.advance(40);
        assert_eq!(outbox.front(), b"tail after");
        outbox.advance(10);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_reservation_lives_until_its_line_is_written() {
        let budget = Budget::new(100);
        let mut outbox = Outbox::new();
        let reservation = budget.reserve(Holder::Response, 60).ok();
        outbox.push(Answer { reservation, ..Answer::bytes(vec![b'x'; 60]) });
        outbox.push(Answer::bytes(vec![b'y'; 10]));
        outbox.advance(59);
        assert_eq!(budget.reserved_bytes(), 60);
        outbox.advance(1);
        assert_eq!((budget.reserved_bytes(), outbox.front()), (0, &[b'y'; 10][..]));
    }
}
