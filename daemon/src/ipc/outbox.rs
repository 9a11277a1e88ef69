//! Messages that wait to be written to one peer. The session bounds them: it takes no requests while too many bytes of answers wait, and no
//! events while some bytes of events do. What waits is reserved in the memory budget.

use std::{collections::VecDeque, ops::Deref};

use reel_protocol::binary::Message;
use tokio::time::Instant;

use super::call::Answer;
use crate::memory::{Budget, Holder, Reservation};

/// Answers that wait for a peer which does not read; two of the largest artifact reads. Beyond it no request is taken.
pub(super) const FULL_BYTES: usize = 8 * 1024 * 1024;
/// Events are taken while less than this waits, so that a slow reader's events pile up where they are counted and dropped.
const EVENT_BYTES: usize = 64 * 1024;
/// Bytes of answers that one peer may leave unread without a reservation: all that most readers ever have waiting.
const UNRESERVED_ANSWER_BYTES: usize = 16 * 1024;
/// The same of events. One always fits.
const UNRESERVED_EVENT_BYTES: usize = 2 * 1024;
/// What a request counts for until its answer is there. Where memory is short, a peer may thus still have a few unanswered.
const UNANSWERED_BYTES: usize = 4 * 1024;
/// Reservations grow by at least so much, so that not every message asks the budget.
const STEP_BYTES: usize = 8 * 1024;
/// Short messages share a chunk up to this size: one write call then carries many answers.
const CHUNK_BYTES: usize = 64 * 1024;

/// The queue.
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are written.
    written_bytes: usize,
    waiting_bytes: usize,
    answers: Unread,
    events: Unread,
    /// When it was first asked about, since the peer last took something or something came into the empty queue: most of what comes leaves
    /// at once, and nobody asks.
    stands_since: Option<Instant>,
}

struct Chunk {
    bytes: Content,
    counted: Counted,
}

/// How a chunk is counted.
#[derive(Debug)]
enum Counted {
    /// By its own reservation, which is given back once the chunk is written.
    Alone(#[expect(dead_code, reason = "held until it is dropped")] Reservation),
    /// Among the answers that came without one.
    Answers,
    /// Among the events.
    Events,
}

/// Bytes that wait and have no reservation of their own.
struct Unread {
    budget: Budget,
    holder: Holder,
    unreserved_bytes: usize,
    bytes: usize,
    reservation: Option<Reservation>,
}

impl Unread {
    fn new(budget: &Budget, holder: Holder, unreserved_bytes: usize) -> Self {
        Self { budget: budget.clone(), holder, unreserved_bytes, bytes: 0, reservation: None }
    }

    fn reserved_bytes(&self) -> usize {
        self.reservation.as_ref().map_or(0, |reservation| reservation.bytes() as usize)
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        let missing_bytes = self.bytes.saturating_sub(self.unreserved_bytes + self.reserved_bytes());
        if missing_bytes > 0 {
            let more_bytes = missing_bytes.max(STEP_BYTES) as u64;
            // A refusal shows in `is_over`.
            match &mut self.reservation {
                Some(reservation) => drop(reservation.grow(more_bytes)),
                None => self.reservation = self.budget.reserve(self.holder, more_bytes).ok(),
            }
        }
    }

    fn remove(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        let spare_bytes = self.reserved_bytes().saturating_sub(self.bytes);
        match &mut self.reservation {
            Some(_) if self.bytes <= self.unreserved_bytes => self.reservation = None,
            Some(reservation) if spare_bytes > 4 * STEP_BYTES => {
                reservation.shrink((spare_bytes - STEP_BYTES) as u64);
            }
            _ => {}
        }
    }

    /// More waits than is reserved: nothing may be added until some of it is written.
    fn is_over(&self) -> bool {
        self.bytes > self.unreserved_bytes + self.reserved_bytes()
    }
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
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            chunks: VecDeque::new(),
            written_bytes: 0,
            waiting_bytes: 0,
            answers: Unread::new(budget, Holder::Response, UNRESERVED_ANSWER_BYTES),
            events: Unread::new(budget, Holder::Subscription, UNRESERVED_EVENT_BYTES),
            stands_since: None,
        }
    }

    /// Appends an answer; an empty one (of a notification) adds nothing.
    pub(super) fn push(&mut self, answer: Answer) {
        let Answer { message, reservation, .. } = answer;
        self.push_message(message, reservation.map_or(Counted::Answers, Counted::Alone));
    }

    /// Counts a request whose answer comes later.
    pub(super) fn expect_answer(&mut self) {
        self.answers.add(UNANSWERED_BYTES);
    }

    /// The answer to such a request is there.
    pub(super) fn push_expected(&mut self, answer: Answer) {
        self.answers.remove(UNANSWERED_BYTES);
        self.push(answer);
    }

    /// Appends an event.
    pub(super) fn push_event(&mut self, bytes: Vec<u8>) {
        self.push_message(Message { bytes, block: None }, Counted::Events);
    }

    fn push_message(&mut self, message: Message, counted: Counted) {
        if message.is_empty() {
            return;
        }
        if self.chunks.is_empty() {
            self.stands_since = None;
        }
        self.waiting_bytes += message.len();
        let Message { mut bytes, block } = message;
        let Some((at, block)) = block else { return self.append(bytes, counted) };
        let after = bytes.split_off(at.min(bytes.len()));
        self.append(bytes, Counted::Answers);
        // A block without a reservation belongs to the memory tier of the cache, which has reserved it.
        self.chunks.push_back(Chunk { bytes: Content::Block(block), counted });
        self.append(after, Counted::Answers);
    }

    fn append(&mut self, bytes: Vec<u8>, counted: Counted) {
        if bytes.is_empty() {
            return;
        }
        self.count(&counted, |unread| unread.add(bytes.len()));
        match self.chunks.back_mut() {
            Some(Chunk { bytes: Content::Own(before), counted: before_counted })
                if is_one_kind(before_counted, &counted) && before.len() + bytes.len() <= CHUNK_BYTES =>
            {
                before.extend_from_slice(&bytes);
            }
            _ => self.chunks.push_back(Chunk { bytes: Content::Own(bytes), counted }),
        }
    }

    fn count(&mut self, counted: &Counted, change: impl FnOnce(&mut Unread)) {
        match counted {
            Counted::Alone(_) => {}
            Counted::Answers => change(&mut self.answers),
            Counted::Events => change(&mut self.events),
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
        if let Some(chunk) = self.chunks.pop_front_if(|chunk| chunk.bytes.len() <= self.written_bytes) {
            self.written_bytes = 0;
            if let Content::Own(bytes) = chunk.bytes {
                self.count(&chunk.counted, |unread| unread.remove(bytes.len()));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether answers of so many bytes more may come.
    pub(super) fn has_room_for_answers(&self, expected_bytes: usize) -> bool {
        self.waiting_bytes + expected_bytes < FULL_BYTES && !self.answers.is_over()
    }

    /// Whether one more event may come.
    pub(super) fn has_room_for_events(&self) -> bool {
        self.waiting_bytes < EVENT_BYTES && !self.events.is_over()
    }

    /// Since when the peer takes nothing, while something waits; counted from the first question about it.
    pub(super) fn stands_since(&mut self) -> Option<Instant> {
        (!self.is_empty()).then(|| *self.stands_since.get_or_insert_with(Instant::now))
    }
}

fn is_one_kind(left: &Counted, right: &Counted) -> bool {
    matches!((left, right), (Counted::Answers, Counted::Answers) | (Counted::Events, Counted::Events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_share_a_chunk_and_partial_writes_lose_nothing() {
        let mut outbox = Outbox::new(&Budget::new(u64::MAX));
        let mut expected = Vec::new();
        for length in [10, 20, CHUNK_BYTES, 0, 30, 40] {
            let line = vec![b'a' + (length % 26) as u8; length];
            expected.extend_from_slice(&line);
            outbox.push(Answer::bytes(line));
        }
        assert_eq!(outbox.chunks.len(), 3);
        assert_eq!(outbox.waiting_bytes, expected.len());
        let mut seen = Vec::new();
        while !outbox.is_empty() {
            let part = outbox.front().len().min(7_001);
            seen.extend_from_slice(&outbox.front()[..part]);
            outbox.advance(part);
        }
        assert!(seen == expected);
        assert_eq!((outbox.waiting_bytes, outbox.stands_since()), (0, None));
    }

    #[test]
    fn a_block_leaves_between_the_bytes_around_it_and_is_never_copied() {
        let block = bytes::Bytes::from(vec![b'b'; 100]);
        let message = Message { bytes: b"headtail".to_vec(), block: Some((4, block.clone())) };
        let mut outbox = Outbox::new(&Budget::new(u64::MAX));
        outbox.push(Answer::bytes(b"before ".to_vec()));
        outbox.push(Answer { message, ..Answer::bytes(Vec::new()) });
        outbox.push(Answer::bytes(b" after".to_vec()));
        assert_eq!(outbox.waiting_bytes, 121);
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
        let budget = Budget::new(1600);
        let mut outbox = Outbox::new(&budget);
        let reservation = budget.reserve(Holder::Response, 60).ok();
        outbox.push(Answer { reservation, ..Answer::bytes(vec![b'x'; 60]) });
        outbox.push(Answer::bytes(vec![b'y'; 10]));
        outbox.advance(59);
        assert_eq!(budget.reserved_bytes(), 60);
        outbox.advance(1);
        assert_eq!((budget.reserved_bytes(), outbox.front()), (0, &[b'y'; 10][..]));
    }

    #[test]
    fn unread_bytes_are_reserved_and_where_that_fails_no_more_are_taken() {
        let budget = Budget::new(16 << 20);
        let mut outbox = Outbox::new(&budget);
        outbox.push(Answer::bytes(vec![b'x'; 1_000]));
        outbox.push_event(vec![b'y'; 1_000]);
        assert_eq!(budget.reserved_bytes(), 0);
        for _ in 0..100 {
            outbox.push(Answer::bytes(vec![b'x'; 1_000]));
        }
        assert!(budget.reserved_bytes() as usize + UNRESERVED_ANSWER_BYTES >= 101_000);
        assert!(!outbox.has_room_for_events() && outbox.has_room_for_answers(0));
        assert!(!outbox.has_room_for_answers(FULL_BYTES));
        budget.set_limit(0);
        outbox.push(Answer::bytes(vec![b'x'; 50_000]));
        assert!(!outbox.has_room_for_answers(0));
        while !outbox.is_empty() {
            outbox.advance(outbox.front().len());
        }
        assert_eq!(budget.reserved_bytes(), 0);
        assert!(outbox.has_room_for_answers(0) && outbox.has_room_for_events());
        outbox.push_event(vec![b'y'; UNRESERVED_EVENT_BYTES + 1]);
        assert!(!outbox.has_room_for_events() && outbox.has_room_for_answers(0));
    }
}
