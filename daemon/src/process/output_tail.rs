//! Keeps the last bytes of a program's output, however long the output is. Pure.

/// The last bytes of a stream.
#[derive(Debug)]
pub(super) struct OutputTail {
    most_bytes: usize,
    bytes: Vec<u8>,
}

impl OutputTail {
    /// Creates an empty tail that keeps at most `most_bytes`.
    pub(super) const fn new(most_bytes: usize) -> Self {
        Self { most_bytes, bytes: Vec::new() }
    }

    /// Appends a piece of the stream, and drops the oldest bytes beyond the limit.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let piece = piece.get(piece.len().saturating_sub(self.most_bytes)..).unwrap_or_default();
        let excess = (self.bytes.len() + piece.len()).saturating_sub(self.most_bytes);
        self.bytes.drain(..excess.min(self.bytes.len()));
        self.bytes.extend_from_slice(piece);
    }

    /// Takes the kept bytes.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_whatever_the_size_of_the_pieces() {
        for (pieces, expected) in [
            (&["abc"][..], "abc"),
            (&["abcdefgh"], "efgh"),
            (&["ab", "cd", "e"], "bcde"),
            (&["abcd", "", "efghijk"], "hijk"),
            (&[], ""),
        ] {
            let mut tail = OutputTail::new(4);
            for piece in pieces {
                tail.push(piece.as_bytes());
            }
            assert_eq!(tail.take(), expected.as_bytes(), "{pieces:?}");
        }
        let mut nothing = OutputTail::new(0);
        nothing.push(b"abc");
        assert!(nothing.take().is_empty());
    }
}
