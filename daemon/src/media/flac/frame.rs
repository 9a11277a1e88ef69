//! FLAC frames (RFC 9639, section 9). A frame does not contain its size. It ends where its checksum is right, and there the next frame begins or the
//! file ends.

use super::super::source::{Source, Step, Stop};

/// Longest header of a frame, in bytes.
const MOST_HEADER_BYTES: usize = 16;
/// Most frames without a right checksum. For each of them, bytes up to the size of the largest possible frame are read.
const MOST_BAD_FRAMES: u32 = 32;
/// Most bytes outside of frames. A file with more is hardly a FLAC.
const MOST_SKIPPED_BYTES: u64 = 1024 * 1024;

/// The fields of a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Samples of one channel.
    pub(super) samples: u64,
    pub(super) channels: u8,
    bytes: usize,
}

/// What was found at a position of the file.
pub(super) enum Found {
    /// A frame whose checksum is right.
    Frame(Header),
    /// One byte at which no good frame begins.
    SkippedByte,
}

/// Reads the frames of a file.
pub(super) struct Frames {
    most_bytes: usize,
    /// The number of headers that no right checksum follows.
    bad: u32,
    skipped_bytes: u64,
    ends_within: bool,
}

impl Header {
    /// Parses a header whose own checksum is right. None if the bytes are not a header.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[sync, low, sizes, layout], rest) = bytes.split_first_chunk()?;
        if sync != 0xff || low & 0xfe != 0xf8 || layout & 1 != 0 {
            return None;
        }
        // The number of the frame is coded like a character in UTF-8.
        let number_bytes = match rest.first()?.leading_ones() {
            0 => 1,
            ones @ 2..=7 => ones as usize,
            _ => return None,
        };
        let rest = rest.get(number_bytes..)?;
        let (samples, size_bytes) = match sizes >> 4 {
            0 => return None,
            1 => (192, 0),
            code @ 2..=5 => (576 << (code - 2), 0),
            6 => (u64::from(*rest.first()?) + 1, 1),
            7 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)) + 1, 2),
            code => (256 << (code - 8), 0),
        };
        let rate_bytes = match sizes & 0x0f {
            12 => 1,
            13 | 14 => 2,
            15 => return None,
            _ => 0,
        };
        let channels = match layout >> 4 {
            code @ 0..=7 => code + 1,
            8..=10 => 2,
            _ => return None,
        };
        let length = 4 + number_bytes + size_bytes + rate_bytes;
        let (head, checksum) = (bytes.get(..length)?, *bytes.get(length)?);
        (crc8(head) == checksum).then_some(Self { samples, channels, bytes: length + 1 })
    }
}

impl Frames {
    /// Creates a reader of frames that have at most this many bytes.
    pub(super) const fn new(most_bytes: usize) -> Self {
        Self { most_bytes, bad: 0, skipped_bytes: 0, ends_within: false }
    }

    /// Returns whether the file ends within a frame.
    pub(super) const fn ends_within(&self) -> bool {
        self.ends_within
    }

    /// Reads the next frame or byte. None at the end of the file.
    pub(super) fn next(&mut self, source: &mut Source<'_>) -> Step<Option<Found>> {
        let start = source.position();
        let head = source.peek(MOST_HEADER_BYTES)?;
        if head.is_empty() {
            return Ok(None);
        }
        if let Some(header) = Header::parse(&head) {
            if self.goes_to_its_end(source, header)? {
                return Ok(Some(Found::Frame(header)));
            }
            if source.remaining() == 0 {
                self.ends_within = true;
                return Ok(None);
            }
            self.bad += 1;
        }
        source.seek(start)?;
        // The file ends within a header.
        if head.len() < MOST_HEADER_BYTES && head.starts_with(b"\xff") {
            self.ends_within = true;
        }
        self.skipped_bytes += 1;
        if self.bad > MOST_BAD_FRAMES || self.skipped_bytes > MOST_SKIPPED_BYTES {
            return Err(Stop::Broken("most of its frames are damaged".to_owned()));
        }
        source.skip(1)?;
        Ok(Some(Found::SkippedByte))
    }

    /// Reads to the end of the frame that begins here. Returns whether the frame has an end.
    fn goes_to_its_end(&self, source: &mut Source<'_>, header: Header) -> Step<bool> {
        let mut crc = 0;
        let mut read = 0;
        loop {
            let piece = source.piece()?;
            if piece.is_empty() {
                return Ok(crc == 0 && read > header.bytes);
            }
            let mut used = 0;
            let mut may_end = false;
            for byte in piece {
                crc = crc16(crc, *byte);
                used += 1;
                read += 1;
                // The checksum over data together with its checksum is zero.
                may_end = crc == 0 && read > header.bytes + 2;
                if may_end || read > self.most_bytes {
                    break;
                }
            }
            source.consume(used);
            if may_end && Header::parse(&source.peek(MOST_HEADER_BYTES)?).is_some() {
                return Ok(true);
            }
            if read > self.most_bytes {
                return Ok(false);
            }
        }
    }
}

/// Computes the checksum of a header, with the polynomial `0x07`.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| (crc << 1) ^ if crc & 0x80 == 0 { 0 } else { 7 })
    })
}

/// The checksums of single bytes, with the polynomial `0x8005`.
static CRC16: std::sync::LazyLock<[u16; 256]> = std::sync::LazyLock::new(|| {
    std::array::from_fn(|byte| {
        (0..8).fold((byte as u16) << 8, |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x8005 })
    })
});

fn crc16(crc: u16, byte: u8) -> u16 {
    let index = (crc >> 8) as u8 ^ byte;
    (crc << 8) ^ CRC16.get(usize::from(index)).copied().unwrap_or_default()
}
