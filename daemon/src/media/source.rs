//! A bounded reader of an untrusted file. It tracks its position, knows the file's length, and distinguishes a read beyond the end from a read that
//! the system failed. Every format reader is built on it.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Size of the read buffer, in bytes.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// A file that can be read from any position.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek + ?Sized> ReadSeek for T {}

/// The reason why a format reader stopped before it was done.
#[derive(Debug)]
pub(super) enum Stop {
    /// The format requires more bytes, but the file ends.
    Ended,
    /// The bytes violate the format. The text completes the sentence "the file is damaged: …".
    Broken(String),
    /// The system failed to read.
    Io(io::Error),
}

/// The result of a reading step.
pub(super) type Step<T> = Result<T, Stop>;

/// A file that is read from its first byte.
pub(super) struct Source<'a> {
    reader: BufReader<&'a mut dyn ReadSeek>,
    len: u64,
    position: u64,
}

impl<'a> Source<'a> {
    /// Starts at the first byte of the file, whatever the position of `reader` is.
    pub(super) fn new(reader: &'a mut dyn ReadSeek) -> io::Result<Self> {
        let len = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        Ok(Self { reader: BufReader::with_capacity(BUFFER_BYTES, reader), len, position: 0 })
    }

    /// Returns the length of the whole file, in bytes.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Returns the position of the next byte.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Returns the number of bytes from here to the end of the file.
    pub(super) const fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.position)
    }

    /// Fills the buffer, or stops with [`Stop::Ended`].
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Step<()> {
        // Check first, because a read that fails midway would leave the position undefined.
        if buffer.len() as u64 > self.remaining() {
            return Err(Stop::Ended);
        }
        self.reader.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Stop::Ended,
            _ => Stop::Io(error),
        })?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    /// Reads the next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the next byte.
    pub(super) fn u8(&mut self) -> Step<u8> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// Reads two bytes as a big-endian number.
    pub(super) fn u16_be(&mut self) -> Step<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Reads four bytes as a big-endian number.
    pub(super) fn u32_be(&mut self) -> Step<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Reads eight bytes as a big-endian number.
    pub(super) fn u64_be(&mut self) -> Step<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Reads two bytes as a little-endian number.
    pub(super) fn u16_le(&mut self) -> Step<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Reads four bytes as a little-endian number.
    pub(super) fn u32_le(&mut self) -> Step<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Returns the next `most` bytes without moving past them, or fewer at the end of the file.
    pub(super) fn peek(&mut self, most: usize) -> Step<Vec<u8>> {
        let mut bytes = vec![0; most.min(self.remaining().try_into().unwrap_or(usize::MAX))];
        let start = self.position;
        self.fill(&mut bytes)?;
        self.seek(start)?;
        Ok(bytes)
    }

    /// Returns the buffered bytes, at least one. Empty at the end of the file. [`Source::consume`] moves past them.
    pub(super) fn piece(&mut self) -> Step<&[u8]> {
        self.reader.fill_buf().map_err(Stop::Io)
    }

    /// Moves past bytes of the last [`Source::piece`].
    pub(super) fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.position += bytes as u64;
    }

    /// Skips bytes without reading them. Stops with [`Stop::Ended`] if the file has fewer.
    pub(super) fn skip(&mut self, bytes: u64) -> Step<()> {
        let target = self.position.checked_add(bytes).ok_or(Stop::Ended)?;
        self.seek(target)
    }

    /// Moves to a position of the file. Stops with [`Stop::Ended`] if it is beyond the end.
    pub(super) fn seek(&mut self, position: u64) -> Step<()> {
        if position > self.len {
            return Err(Stop::Ended);
        }
        // A file is never longer than the largest `i64`.
        let distance = position as i64 - self.position as i64;
        self.reader.seek_relative(distance).map_err(Stop::Io)?;
        self.position = position;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn reading_past_the_end_is_told_from_a_refused_read() {
        let mut file = Cursor::new(vec![1, 2, 3, 4, 5]);
        let mut source = Source::new(&mut file).unwrap();
        assert_eq!(source.u16_be().unwrap(), 0x0102);
        assert_eq!((source.position(), source.remaining(), source.len()), (2, 3, 5));
        assert_eq!(source.peek(10).unwrap(), [3, 4, 5]);
        assert!(matches!(source.u32_be(), Err(Stop::Ended)));
        source.seek(0).unwrap();
        source.skip(5).unwrap();
        assert_eq!(source.remaining(), 0);
        assert!(matches!(source.skip(1), Err(Stop::Ended)));
        assert!(matches!(source.skip(u64::MAX), Err(Stop::Ended)));
        source.seek(4).unwrap();
        assert_eq!(source.u8().unwrap(), 5);
    }
}
