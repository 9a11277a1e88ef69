//! Cuts a byte stream into JSON lines. There are no sockets here.

use crate::limits::{LARGE_LINE_BYTES, LINE_BYTES};

/// A UTF-8 byte order mark, which some editors and shells write first.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Cuts a byte stream into lines. It holds at most [`LARGE_LINE_BYTES`] and the bytes of one read.
#[derive(Debug, Default)]
pub struct LineDecoder {
    buffer: Vec<u8>,
    /// Index in the buffer of the first line that was not returned yet.
    start: usize,
    /// Bytes from `start` on that are known to contain no newline.
    scanned: usize,
    /// Whether the current line is skipped: everything up to its newline is dropped.
    is_skipping: bool,
    has_begun: bool,
}

/// The next item of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its newline and without white space around it. It is never empty.
    Text(&'a [u8]),
    /// A line is longer than [`LARGE_LINE_BYTES`]. This is returned once, and the bytes up to its newline are dropped.
    TooLong,
}

impl LineDecoder {
    /// Returns a decoder for a stream whose first bytes were read already.
    pub fn with_bytes(buffer: Vec<u8>) -> Self {
        Self { buffer, ..Self::default() }
    }

    /// Returns the buffer to which the reader appends what it has read.
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
            // One large line must not hold its memory for the rest of a long connection.
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

    /// Returns the next complete line. None until more bytes are read.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            let pending = self.buffer.get(self.start..)?;
            let unscanned = pending.get(self.scanned..)?;
            let Some(found) = memchr::memchr(b'\n', unscanned) else {
                return self.wait_for_more();
            };
            let (begin, end) = (self.start, self.start + self.scanned + found);
            self.start = end + 1;
            self.scanned = 0;
            if std::mem::take(&mut self.is_skipping) {
                continue;
            }
            let is_first = !std::mem::replace(&mut self.has_begun, true);
            let (begin, end) = trimmed(&self.buffer, begin, end, is_first);
            if end - begin > LARGE_LINE_BYTES {
                return Some(Line::TooLong);
            }
            if begin < end {
                return self.buffer.get(begin..end).map(Line::Text);
            }
        }
    }

    /// Returns the last line of a stream that ended without a newline; None if there is none.
    pub fn last_line(&mut self) -> Option<Line<'_>> {
        if self.is_skipping {
            return None;
        }
        let (begin, end) = trimmed(&self.buffer, self.start, self.buffer.len(), !self.has_begun);
        self.start = self.buffer.len();
        self.scanned = 0;
        if begin < end { self.buffer.get(begin..end).map(Line::Text) } else { None }
    }

    /// Skips the current line, for a reader that cannot hold more of it. Its bytes are dropped, those that are still to be read included.
    pub fn skip_line(&mut self) {
        self.is_skipping = true;
        self.has_begun = true;
        self.scanned = 0;
        self.buffer = Vec::new();
        self.start = 0;
    }

    fn wait_for_more(&mut self) -> Option<Line<'_>> {
        self.scanned = self.buffer.len() - self.start;
        if self.scanned <= LARGE_LINE_BYTES && !self.is_skipping {
            return None;
        }
        self.buffer.clear();
        self.buffer.shrink_to(LINE_BYTES);
        self.start = 0;
        self.scanned = 0;
        (!std::mem::replace(&mut self.is_skipping, true)).then_some(Line::TooLong)
    }
}

/// Returns the range of a line without the byte order mark of the stream and without the white space around the line.
fn trimmed(buffer: &[u8], begin: usize, end: usize, is_first: bool) -> (usize, usize) {
    let line = buffer.get(begin..end).unwrap_or_default();
    let body = if is_first { line.strip_prefix(BOM).unwrap_or(line) } else { line };
    let left = body.trim_ascii_start();
    let begin = end - left.len();
    (begin, begin + left.trim_ascii_end().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut decoder = LineDecoder::default();
        let mut seen = Vec::new();
        let mut push = |line: Line<'_>| {
            seen.push(match line {
                Line::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Line::TooLong => "TOO LONG".to_owned(),
            });
        };
        for chunk in chunks {
            decoder.buffer_mut().extend_from_slice(chunk);
            while let Some(line) = decoder.next_line() {
                push(line);
            }
        }
        if let Some(line) = decoder.last_line() {
            push(line);
        }
        seen
    }

    #[test]
    fn bom_crlf_blank_lines_and_a_missing_last_newline_are_fine() {
        assert_eq!(
            lines(&[b"\xef\xbb\xbf{}\r\n\r\n  \n", b"[1", b"]\n{\"a\":", b"2}"]),
            ["{}", "[1]", "{\"a\":2}"]
        );
    }

    #[test]
    fn a_line_past_the_limit_is_said_once_and_the_next_one_still_comes() {
        let half = vec![b'x'; LARGE_LINE_BYTES / 2 + 1];
        assert_eq!(lines(&[&half, &half, &half, b"x\n{}\n"]), ["TOO LONG", "{}"]);
        let mut whole = vec![b'x'; LARGE_LINE_BYTES + 1];
        whole.extend_from_slice(b"\n{}\n");
        assert_eq!(lines(&[&whole]), ["TOO LONG", "{}"]);
    }

    #[test]
    fn memory_of_a_large_line_is_given_back() {
        let mut decoder = LineDecoder::default();
        decoder.buffer_mut().extend_from_slice(&vec![b'x'; LARGE_LINE_BYTES]);
        decoder.buffer_mut().push(b'\n');
        assert!(matches!(decoder.next_line(), Some(Line::Text(text)) if text.len() == LARGE_LINE_BYTES));
        assert_eq!(decoder.next_line(), None);
        assert!(decoder.buffer_mut().capacity() <= LINE_BYTES);
    }

    #[test]
    fn a_skipped_line_is_dropped_to_its_end_and_holds_no_memory() {
        let mut decoder = LineDecoder::default();
        decoder.buffer_mut().extend_from_slice(b"{}\n[1,");
        assert_eq!(decoder.next_line(), Some(Line::Text(b"{}")));
        assert_eq!(decoder.next_line(), None);
        decoder.skip_line();
        assert_eq!(decoder.held_bytes(), 0);
        decoder.buffer_mut().extend_from_slice(b"2,3");
        assert_eq!(decoder.next_line(), None);
        decoder.buffer_mut().extend_from_slice(b"]\n{}\n");
        assert_eq!(decoder.next_line(), Some(Line::Text(b"{}")));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_cuts_give_the_same_lines(bytes: Vec<u8>, cut in 1..20_usize) {
            let whole = lines(&[&bytes]);
            let cuts: Vec<&[u8]> = bytes.chunks(cut).collect();
            proptest::prop_assert_eq!(lines(&cuts), whole);
        }
    }
}
