//! Cuts a byte stream into frames. A frame is the length of its body as a little-endian u32, and then the body. There are no sockets here.

use crate::limits::{LARGE_LINE_BYTES, LINE_BYTES};

/// Size of a frame's length, in bytes.
pub const LENGTH_BYTES: usize = 4;

/// Smallest body, in bytes, that is returned with the buffer that it was read into. Smaller ones are copied out of it.
const OWNED_FROM_BYTES: usize = 64 * 1024;

/// Cuts a byte stream into frames. It holds at most [`LARGE_LINE_BYTES`] and the bytes of one read.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// Index in the buffer of the first frame that was not returned yet.
    start: usize,
    /// Bytes of a skipped frame that are still to be dropped.
    skipped_bytes: u64,
    has_ended: bool,
}

/// The next item of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The body of one frame.
    Whole(&'a [u8]),
    /// A frame is longer than [`LARGE_LINE_BYTES`]. This is returned once, and the bytes of the frame are dropped.
    TooLong,
    /// The stream ended inside a frame. This is returned once.
    Cut,
}

/// The next item of a stream, for a reader that keeps the body.
#[derive(Debug, PartialEq, Eq)]
pub enum OwnedFrame {
    /// The body of one frame.
    Whole(bytes::Bytes),
    /// A frame is longer than [`LARGE_LINE_BYTES`]. This is returned once, and the bytes of the frame are dropped.
    TooLong,
    /// The stream ended inside a frame. This is returned once.
    Cut,
}

/// The next item of a stream, with the indices of its body in the buffer.
enum Next {
    Whole { start: usize, end: usize },
    TooLong,
    Cut,
}

impl FrameDecoder {
    /// Returns a decoder for a stream whose first bytes were read already.
    pub fn with_bytes(buffer: Vec<u8>) -> Self {
        Self { buffer, ..Self::default() }
    }

    /// Returns the buffer to which the reader appends what it has read.
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
            // One large frame must not hold its memory for the rest of a long connection.
            if self.buffer.capacity() > LINE_BYTES && self.buffer.len() < LINE_BYTES / 2 {
                self.buffer.shrink_to(LINE_BYTES / 2);
            }
        }
        &mut self.buffer
    }

    /// Returns the size of the buffer in bytes, for the memory budget.
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Returns how many bytes of the current frame are missing; 0 if its length is not known yet or is too large.
    pub fn missing_bytes(&self) -> usize {
        let held = self.buffer.len().saturating_sub(self.start);
        self.length()
            .filter(|length| *length <= LARGE_LINE_BYTES)
            .map_or(0, |length| (LENGTH_BYTES + length).saturating_sub(held))
    }

    /// Returns the next complete frame. None until more bytes are read.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        Some(match self.next()? {
            Next::Whole { start, end } => Frame::Whole(self.buffer.get(start..end)?),
            Next::TooLong => Frame::TooLong,
            Next::Cut => Frame::Cut,
        })
    }

    /// Returns the next complete frame for a reader that keeps it. A large body is returned with its buffer, without a copy.
    pub fn next_owned(&mut self) -> Option<OwnedFrame> {
        Some(match self.next()? {
            Next::Whole { start, end } if end - start >= OWNED_FROM_BYTES => {
                let rest = self.buffer.split_off(end);
                self.start = 0;
                OwnedFrame::Whole(
                    bytes::Bytes::from(std::mem::replace(&mut self.buffer, rest)).slice(start..end),
                )
            }
            Next::Whole { start, end } => {
                OwnedFrame::Whole(bytes::Bytes::copy_from_slice(self.buffer.get(start..end)?))
            }
            Next::TooLong => OwnedFrame::TooLong,
            Next::Cut => OwnedFrame::Cut,
        })
    }

    /// Skips the current frame, for a reader that cannot hold more of it. Its bytes are dropped, those that are still to be read included.
    pub fn skip_frame(&mut self) {
        if let Some(length) = self.length() {
            let held = self.buffer.len() - self.start;
            self.skipped_bytes = ((LENGTH_BYTES + length) as u64).saturating_sub(held as u64);
            self.start = 0;
            self.buffer = Vec::new();
        }
    }

    /// Marks the end of the stream. A frame that is not complete is then returned as [`Frame::Cut`].
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    fn next(&mut self) -> Option<Next> {
        self.skip();
        if self.buffer.len() == self.start {
            return None;
        }
        if let Some(length) = self.length() {
            if length > LARGE_LINE_BYTES {
                self.skipped_bytes = (LENGTH_BYTES + length) as u64;
                self.skip();
                return Some(Next::TooLong);
            }
            let (start, end) = (self.start + LENGTH_BYTES, self.start + LENGTH_BYTES + length);
            if end <= self.buffer.len() {
                self.start = end;
                return Some(Next::Whole { start, end });
            }
        }
        if std::mem::take(&mut self.has_ended) {
            self.start = self.buffer.len();
            return Some(Next::Cut);
        }
        None
    }

    /// Returns the length of the frame at `start`. None until it was read.
    fn length(&self) -> Option<usize> {
        let bytes = self.buffer.get(self.start..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    }

    fn skip(&mut self) {
        let held = self.buffer.len() - self.start;
        let count = usize::try_from(self.skipped_bytes).map_or(held, |skipped| skipped.min(held));
        self.start += count;
        self.skipped_bytes -= count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_le_bytes(), body].concat()
    }

    /// Returns the items of a stream that comes in these chunks, after checking that borrowed and owned ones are the same.
    fn frames(chunks: &[&[u8]]) -> Vec<String> {
        let (mut decoder, mut owner) = (FrameDecoder::default(), FrameDecoder::default());
        let mut seen = Vec::new();
        let mut drain = |decoder: &mut FrameDecoder, owner: &mut FrameDecoder| {
            while let Some(frame) = decoder.next_frame() {
                let owned = owner.next_owned().unwrap();
                seen.push(match (frame, owned) {
                    (Frame::Whole(bytes), OwnedFrame::Whole(owned)) => {
                        assert!(bytes == owned);
                        if bytes.len() > 99 { format!("{} bytes", bytes.len()) } else { format!("{bytes:?}") }
                    }
                    (Frame::TooLong, OwnedFrame::TooLong) => "TOO LONG".to_owned(),
                    (Frame::Cut, OwnedFrame::Cut) => "CUT".to_owned(),
                    other => panic!("{other:?}"),
                });
            }
            assert_eq!(owner.next_owned(), None);
        };
        for chunk in chunks {
            decoder.buffer_mut().extend_from_slice(chunk);
            owner.buffer_mut().extend_from_slice(chunk);
            drain(&mut decoder, &mut owner);
        }
        decoder.end();
        owner.end();
        drain(&mut decoder, &mut owner);
        seen
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let large = vec![7; OWNED_FROM_BYTES];
        let stream = [frame(b""), frame(&[1, 2]), frame(&large), frame(&[3])].concat();
        let expected = ["[]", "[1, 2]", "65536 bytes", "[3]"];
        assert_eq!(frames(&[&stream]), expected);
        assert_eq!(frames(&stream.chunks(3).collect::<Vec<_>>()), expected);
        assert_eq!(frames(&[&stream[..stream.len() - 1]]), ["[]", "[1, 2]", "65536 bytes", "CUT"]);
        assert_eq!(frames(&[&[1, 0]]), ["CUT"]);
    }

    #[test]
    fn a_frame_past_the_limit_is_said_once_and_the_next_one_still_comes() {
        let long = frame(&vec![9; LARGE_LINE_BYTES + 1]);
        for size in [long.len(), 1_000_000, 5] {
            let chunks: Vec<&[u8]> =
                long.chunks(size).take(4_000_000).chain([&[1, 0, 0, 0, 5][..]]).collect();
            assert_eq!(frames(&chunks), ["TOO LONG", "[5]"], "in chunks of {size}");
        }
        let largest = frame(&vec![9; LARGE_LINE_BYTES]);
        assert_eq!(frames(&[&largest]), ["16777216 bytes"]);
    }

    #[test]
    fn a_huge_length_asks_for_no_memory() {
        let mut decoder = FrameDecoder::default();
        decoder.buffer_mut().extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.missing_bytes(), 0);
        assert_eq!(decoder.next_frame(), Some(Frame::TooLong));
        decoder.buffer_mut().extend_from_slice(&[1; 1000]);
        assert_eq!(decoder.next_frame(), None);
        assert!(decoder.held_bytes() < 4096);
    }

    #[test]
    fn what_is_missing_is_known_and_a_skipped_frame_holds_no_memory() {
        let mut decoder = FrameDecoder::with_bytes(frame(&[1; 100]));
        assert!(matches!(decoder.next_frame(), Some(Frame::Whole(_))));
        decoder.buffer_mut().extend_from_slice(&frame(&[1; 100])[..40]);
        assert_eq!(decoder.next_frame(), None);
        assert_eq!(decoder.missing_bytes(), 64);
        decoder.skip_frame();
        assert_eq!(decoder.held_bytes(), 0);
        decoder.buffer_mut().extend_from_slice(&[1; 64]);
        decoder.buffer_mut().extend_from_slice(&frame(&[2]));
        assert_eq!(decoder.next_frame(), Some(Frame::Whole(&[2])));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_cuts_give_the_same_frames(bytes: Vec<u8>, cut in 1..20_usize) {
            // The lengths are short, so that frames end within the bytes.
            let mut stream = bytes;
            for place in stream.chunks_mut(9) {
                place.iter_mut().take(4).skip(1).for_each(|byte| *byte = 0);
            }
            let cuts: Vec<&[u8]> = stream.chunks(cut).collect();
            proptest::prop_assert_eq!(frames(&cuts), frames(&[&stream]));
        }
    }
}
