//! JSON lines: bytes in, lines out. No sockets here.

use crate::limits::{LARGE_LINE_BYTES, LINE_BYTES};

/// A UTF-8 byte order mark, which some editors and shells put in front.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Cuts a byte stream into lines. Holds at most [`LARGE_LINE_BYTES`] and what one read adds.
#[derive(Debug, Default)]
pub struct LineDecoder {
    buffer: Vec<u8>,
    /// Where the first line that was not yet taken begins.
    start: usize,
    /// Bytes from `start` that are known to hold no newline.
    scanned: usize,
    /// Inside a line that was too long: everything up to its newline is dropped.
    is_skipping: bool,
    has_begun: bool,
}

/// What the stream held next.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// One line without its newline; never blank.
    Text(&'a [u8]),
    /// A line longer than [`LARGE_LINE_BYTES`] began; said once, its bytes are dropped up to the newline.
    TooLong,
}

impl LineDecoder {
    /// A stream whose first bytes were read already.
    pub fn with_bytes(buffer: Vec<u8>) -> Self {
        Self { buffer, ..Self::default() }
    }

    /// Where the reader appends what it read.
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

    /// Bytes held now, for a memory budget.
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next whole line, or None until more bytes are read.
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

    /// The last line of a stream that ended without a newline.
    pub fn last_line(&mut self) -> Option<Line<'_>> {
        if self.is_skipping {
            return None;
        }
        let (begin, end) = trimmed(&self.buffer, self.start, self.buffer.len(), !self.has_begun);
        self.start = self.buffer.len();
        self.scanned = 0;
        if begin < end { self.buffer.get(begin..end).map(Line::Text) } else { None }
    }

    /// Drops the line that has begun and what is still to come of it, for a reader that cannot hold more of it.
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

/// Without the mark at the stream's begin and the white space around the line.
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
