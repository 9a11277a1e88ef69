//! The receive buffer of one connection. It splits the stream into messages, and reserves its memory in the budget.

use std::io;

use reel_protocol::{
    frame::{Frame, FrameDecoder},
    limits::LARGE_LINE_BYTES,
    line::{Line, LineDecoder},
    preface::{self, Opening, PREFACE_BYTES, SCHEMA},
};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::memory::{Budget, Holder, OverBudget, Reservation};

/// The buffer size of a quiet connection, in bytes. A thousand such connections use 8 MiB. Larger buffers are reserved in the memory budget.
const SMALL_BYTES: usize = 8 * 1024;
/// The buffer size of a busy connection and the most bytes of one read, so that a fast sender does not delay other connections.
const READ_BYTES: usize = 64 * 1024;
/// The least free room in the buffer, in bytes. With less, a read would cost more than it is worth.
const LEAST_ROOM_BYTES: usize = 2 * 1024;

/// The receive buffer.
#[derive(Default)]
pub(super) struct Inbox {
    stream: Stream,
    reservation: Option<Reservation>,
    /// Whether the last read filled all free room, so that more bytes are probably waiting.
    is_busy: bool,
}

/// How the bytes are split into messages.
enum Stream {
    /// The first bytes, until they show whether the client speaks lines or frames.
    Opening(Vec<u8>),
    Lines(LineDecoder),
    Frames(FrameDecoder),
}

/// The next item of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A preface, with the schema of the client's types. Frames follow if it is this daemon's schema, else lines.
    Preface { schema: u32 },
    /// A whole line or frame.
    Message(&'a [u8]),
    /// The beginning of a message that is longer than any limit. Its bytes are dropped.
    TooLong,
    /// The stream ended inside a frame.
    Cut,
}

impl Default for Stream {
    fn default() -> Self {
        Self::Opening(Vec::new())
    }
}

impl Stream {
    fn buffer_mut(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Opening(bytes) => bytes,
            Self::Lines(lines) => lines.buffer_mut(),
            Self::Frames(frames) => frames.buffer_mut(),
        }
    }

    /// Decides between lines and frames by the first bytes. Returns the schema if they were a preface, which is removed.
    fn open(&mut self) -> Option<u32> {
        let Self::Opening(bytes) = self else { return None };
        match preface::opening(bytes) {
            Opening::Undecided => None,
            Opening::Lines => {
                *self = Self::Lines(LineDecoder::with_bytes(std::mem::take(bytes)));
                None
            }
            Opening::Preface { schema } => {
                bytes.drain(..PREFACE_BYTES);
                let rest = std::mem::take(bytes);
                *self = if schema == SCHEMA {
                    Self::Frames(FrameDecoder::with_bytes(rest))
                } else {
                    Self::Lines(LineDecoder::with_bytes(rest))
                };
                Some(schema)
            }
        }
    }

    /// Drops the message that has begun, and the rest of it when it arrives.
    fn skip(&mut self) {
        match self {
            // A preface is much shorter than anything that the memory budget refuses.
            Self::Opening(_) => {}
            Self::Lines(lines) => lines.skip_line(),
            Self::Frames(frames) => frames.skip_frame(),
        }
    }

    /// Records that no more bytes will arrive.
    fn end(&mut self) {
        match self {
            // An incomplete preface is treated as a line that is not valid.
            Self::Opening(bytes) => {
                bytes.push(b'\n');
                *self = Self::Lines(LineDecoder::with_bytes(std::mem::take(bytes)));
            }
            // The last line of a stream may lack its newline.
            Self::Lines(lines) => lines.buffer_mut().push(b'\n'),
            Self::Frames(frames) => frames.end(),
        }
    }
}

impl Inbox {
    /// Returns the next whole message, if there is one.
    pub(super) fn next(&mut self) -> Option<Next<'_>> {
        if let Some(schema) = self.stream.open() {
            return Some(Next::Preface { schema });
        }
        Some(match &mut self.stream {
            Stream::Opening(_) => return None,
            Stream::Lines(lines) => match lines.next_line()? {
                Line::Text(text) => Next::Message(text),
                Line::TooLong => Next::TooLong,
            },
            Stream::Frames(frames) => match frames.next_frame()? {
                Frame::Whole(body) => Next::Message(body),
                Frame::TooLong => Next::TooLong,
                Frame::Cut => Next::Cut,
            },
        })
    }

    /// Makes room in the buffer for a read. If the memory budget refuses, the message that has begun is dropped, so that the connection can go on
    /// with the next one.
    ///
    /// Must be called only when no whole message is left. All bytes in the buffer then belong to one message.
    pub(super) fn make_room(&mut self, budget: &Budget) -> Result<(), OverBudget> {
        let buffer = self.stream.buffer_mut();
        let (length, capacity) = (buffer.len(), buffer.capacity());
        if length == 0 && capacity > SMALL_BYTES && !self.is_busy {
            *buffer = Vec::new();
            self.reservation = None;
        } else if capacity - length >= LEAST_ROOM_BYTES {
            return Ok(());
        }
        // The capacity doubles, so that a message of 16 MiB is not copied for each read. The length that a frame announces is not reserved in
        // advance.
        let wanted =
            |least| (length * 2).clamp(least, LARGE_LINE_BYTES + READ_BYTES).max(length + LEAST_ROOM_BYTES);
        let mut capacity = wanted(if self.is_busy { READ_BYTES } else { SMALL_BYTES });
        let mut reserved = self.reserve(budget, capacity);
        if reserved.is_err() && wanted(SMALL_BYTES) < capacity {
            // A busy connection can go on with the smaller buffer.
            capacity = wanted(SMALL_BYTES);
            reserved = self.reserve(budget, capacity);
        }
        if let Err(refusal) = reserved {
            self.stream.skip();
            self.reservation = None;
            self.stream.buffer_mut().reserve_exact(SMALL_BYTES);
            return Err(refusal);
        }
        self.stream.buffer_mut().reserve_exact(capacity - length);
        Ok(())
    }

    /// Reads once. Returns 0 at the end of the stream. The future is cancel-safe.
    pub(super) async fn read_from(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let buffer = self.stream.buffer_mut();
        let room = (buffer.capacity() - buffer.len()).min(READ_BYTES);
        let count = stream.take(READ_BYTES as u64).read_buf(buffer).await?;
        self.is_busy = count == room;
        if count == 0 {
            self.stream.end();
        }
        Ok(count)
    }

    fn reserve(&mut self, budget: &Budget, capacity: usize) -> Result<(), OverBudget> {
        let beyond = capacity.saturating_sub(SMALL_BYTES) as u64;
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

    const CUT: usize = usize::MAX - 1;
    const PREFACE: usize = 1 << 32;

    /// Reads all of `input` and returns what was seen: the lengths of messages, and None for refusals of the budget.
    async fn read_all(inbox: &mut Inbox, budget: &Budget, mut input: &[u8]) -> Vec<Option<usize>> {
        let mut seen = Vec::new();
        let mut has_ended = false;
        loop {
            while let Some(next) = inbox.next() {
                match next {
                    Next::Message(message) => seen.push(Some(message.len())),
                    Next::TooLong => seen.push(Some(usize::MAX)),
                    Next::Cut => seen.push(Some(CUT)),
                    Next::Preface { schema } => seen.push(Some(PREFACE + schema as usize)),
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
        assert!(inbox.stream.buffer_mut().capacity() <= READ_BYTES);
    }

    #[tokio::test]
    async fn a_line_that_the_budget_refuses_is_dropped_and_the_next_one_still_comes() {
        let budget = Budget::new(700_000);
        let mut inbox = Inbox::default();
        let seen = read_all(&mut inbox, &budget, &lines(&[3, 2_000_000, 5, 100_000])).await;
        assert_eq!(seen, [Some(3), None, Some(5), Some(100_000)]);
    }

    #[tokio::test]
    async fn the_last_line_needs_no_newline() {
        let mut inbox = Inbox::default();
        assert_eq!(read_all(&mut inbox, &Budget::new(0), b"ab\nabc").await, [Some(2), Some(3)]);
        assert!(inbox.next().is_none());
    }

    fn frames(lengths: &[usize]) -> Vec<u8> {
        let frame = |length: &usize| [&(*length as u32).to_le_bytes()[..], &vec![b'x'; *length]].concat();
        lengths.iter().flat_map(frame).collect()
    }

    #[tokio::test]
    async fn a_preface_of_our_schema_opens_frames_and_another_one_lines() {
        let budget = Budget::new(64 * 1024 * 1024);
        let ours =
            [&preface::preface(SCHEMA)[..], &frames(&[3, 0, 9_000_000, LARGE_LINE_BYTES + 9, 7])].concat();
        let seen = read_all(&mut Inbox::default(), &budget, &ours).await;
        let whole = [3, 0, 9_000_000, usize::MAX, 7].map(Some);
        assert_eq!(seen[0], Some(PREFACE + SCHEMA as usize));
        assert_eq!(seen[1..], whole);
        let seen = read_all(&mut Inbox::default(), &budget, &ours[..ours.len() - 1]).await;
        assert_eq!(seen.last(), Some(&Some(CUT)));
        let other = [&preface::preface(SCHEMA + 5)[..], b"{}\n1"].concat();
        let seen = read_all(&mut Inbox::default(), &budget, &other).await;
        assert_eq!(seen, [Some(PREFACE + SCHEMA as usize + 5), Some(2), Some(1)]);
        for (half, length) in [(&b"REELB"[..], 5), (b"REELBIN1\x01\0", 10), (b"REELBIN1", 8)] {
            assert_eq!(read_all(&mut Inbox::default(), &budget, half).await, [Some(length)]);
        }
    }

    #[tokio::test]
    async fn a_frame_that_the_budget_refuses_is_dropped_and_the_next_one_still_comes() {
        let budget = Budget::new(700_000);
        let input = [&preface::preface(SCHEMA)[..], &frames(&[3, 2_000_000, 5, 100_000])].concat();
        let seen = read_all(&mut Inbox::default(), &budget, &input).await;
        assert_eq!(seen[1..], [Some(3), None, Some(5), Some(100_000)]);
    }
}
