//! The send queue of one connection. The session bounds it: it accepts no requests while too many bytes of responses wait, and takes no events while
//! [`EVENT_BYTES`] wait. The waiting bytes are reserved in the memory budget.

use std::{collections::VecDeque, ops::Deref};

use reel_protocol::binary::Message;
use tokio::time::Instant;

use super::call::Answer;
use crate::memory::{Budget, Holder, Reservation};

/// The most bytes that may wait for a peer that does not read: two of the largest artifact reads. When they are reached, no request is accepted.
pub(super) const FULL_BYTES: usize = 8 * 1024 * 1024;
/// Events are taken only while fewer bytes than this wait. So the events of a slow reader stay in the hub, where they are counted and dropped.
const EVENT_BYTES: usize = 64 * 1024;
/// Bytes of responses that may wait for one peer without a reservation. Most readers never have more waiting.
const UNRESERVED_ANSWER_BYTES: usize = 16 * 1024;
/// The same for events. An event is always accepted when none waits.
const UNRESERVED_EVENT_BYTES: usize = 2 * 1024;
/// Bytes that an in-flight request counts for until its response is ready. So even when memory is short, a peer may have a few requests in flight.
const UNANSWERED_BYTES: usize = 4 * 1024;
/// The least growth of a reservation, in bytes, so that not every message asks the budget.
const STEP_BYTES: usize = 8 * 1024;
/// Largest chunk into which short messages are combined, in bytes. One write call then sends many responses.
const CHUNK_BYTES: usize = 64 * 1024;

/// The send queue.
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// The bytes of the first chunk that have been written.
    written_bytes: usize,
    waiting_bytes: usize,
    answers: Unread,
    events: Unread,
    /// When the session first asked how long the peer has not read. It is reset when the peer takes bytes, and when a message enters the empty queue.
    /// Most messages leave at once, so nobody asks.
    stands_since: Option<Instant>,
}

struct Chunk {
    bytes: Content,
    counted: Counted,
}

/// How the bytes of a chunk are counted.
#[derive(Debug)]
enum Counted {
    /// By a reservation of its own, which is dropped once the chunk is written.
    Alone(#[expect(dead_code, reason = "held until it is dropped")] Reservation),
    /// Among the responses without a reservation of their own.
    Answers,
    /// Among the events.
    Events,
}

/// The bytes of waiting messages without a reservation of their own.
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
            // If the budget refuses, `is_over` is true.
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

    /// Whether more bytes wait than are reserved. No messages may be added until some are written.
    fn is_over(&self) -> bool {
        self.bytes > self.unreserved_bytes + self.reserved_bytes()
    }
}

enum Content {
    /// Bytes that the outbox owns. More may be appended.
    Own(Vec<u8>),
    /// A picture of the cache, which is written without a copy.
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

    /// Appends a response. An empty one, of a notification, adds nothing.
    pub(super) fn push(&mut self, answer: Answer) {
        let Answer { message, reservation, .. } = answer;
        self.push_message(message, reservation.map_or(Counted::Answers, Counted::Alone));
    }

    /// Counts a request whose response follows later.
    pub(super) fn expect_answer(&mut self) {
        self.answers.add(UNANSWERED_BYTES);
    }

    /// Appends the response of a request that [`Outbox::expect_answer`] counted.
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

    /// Returns the bytes to write next. Empty if nothing waits.
    pub(super) fn front(&self) -> &[u8] {
        self.chunks.front().and_then(|chunk| chunk.bytes.get(self.written_bytes..)).unwrap_or_default()
    }

    /// Records that this many bytes of [`Outbox::front`] were written.
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

    /// Whether the queue has room for responses of this many more bytes.
    pub(super) fn has_room_for_answers(&self, expected_bytes: usize) -> bool {
        self.waiting_bytes + expected_bytes < FULL_BYTES && !self.answers.is_over()
    }

    /// Whether the queue has room for one more event.
    pub(super) fn has_room_for_events(&self) -> bool {
        self.waiting_bytes < EVENT_BYTES && !self.events.is_over()
    }

    /// Returns since when the peer has taken nothing although something waits. The time counts from the first call of this function.
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
