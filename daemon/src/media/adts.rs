//! AAC in ADTS: a sequence of frames with a header each (ISO/IEC 13818-7, 6.2). The duration is that of the frames in the file.

use super::{
    condition::Condition,
    decode::Decoding,
    source::{Source, Step, Stop},
};
use crate::domain::Facts;

/// Length of a header without a checksum, in bytes.
const HEADER_BYTES: usize = 7;
/// Samples of one raw block. A frame has one to four blocks.
const BLOCK_SAMPLES: u64 = 1_024;
/// Sample rates in Hz, by the four bits of the header (ISO/IEC 14496-3, table 1.18).
pub(super) const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// The fields of a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    sample_rate: u32,
    /// The number of channels. 0 if only the frames themselves say it.
    channels: u8,
    /// Whether the profile is Low Complexity, the only one that is decoded here.
    is_low_complexity: bool,
    head_bytes: usize,
    frame_bytes: usize,
    blocks: u64,
}

impl Header {
    /// Parses a header. None if the bytes are not a header.
    fn parse(bytes: [u8; HEADER_BYTES]) -> Option<Self> {
        let [sync, version, profile, channels, length, fullness, blocks] = bytes;
        // The layer field is always 0.
        if sync != 0xff || version & 0xf6 != 0xf0 {
            return None;
        }
        let sample_rate = *RATES.get(usize::from(profile >> 2 & 0x0f))?;
        let frame_bytes =
            usize::from(channels & 3) << 11 | usize::from(length) << 3 | usize::from(fullness) >> 5;
        let header_bytes = if version & 1 == 1 { HEADER_BYTES } else { HEADER_BYTES + 2 };
        (frame_bytes > header_bytes).then_some(Self {
            sample_rate,
            channels: (profile & 1) << 2 | channels >> 6,
            is_low_complexity: profile >> 6 == 1,
            head_bytes: header_bytes,
            frame_bytes,
            blocks: u64::from(blocks & 3) + 1,
        })
    }

    /// Returns whether two frames can belong to one stream.
    const fn goes_with(self, other: Self) -> bool {
        self.sample_rate == other.sample_rate && self.channels == other.channels
    }
}

/// Returns whether a file with this beginning starts with a frame. A second frame must follow if the beginning is long enough to contain it.
pub(super) fn begins(head: &[u8]) -> bool {
    let header_at = |at: usize| Header::parse(*head.get(at..)?.first_chunk()?);
    let Some(first) = header_at(0) else { return false };
    let is_last = head.len() < first.frame_bytes + HEADER_BYTES;
    is_last || header_at(first.frame_bytes).is_some_and(|second| first.goes_with(second))
}

/// Reads all frames, starting at the first, and fills in `facts`. Decodes at most `most_decoded_s` seconds.
pub(super) fn read(source: &mut Source<'_>, facts: &mut Facts, most_decoded_s: f64) -> Step<Condition> {
    let first: [u8; HEADER_BYTES] = source.peek(HEADER_BYTES)?.try_into().map_err(|_| Stop::Ended)?;
    let first = Header::parse(first).ok_or_else(|| Stop::Broken("no AAC frame begins it".to_owned()))?;
    facts.sample_rate = Some(first.sample_rate);
    facts.channels = match first.channels {
        0 => None,
        7 => Some(8),
        channels => Some(u32::from(channels)),
    };
    let mut decoding = if first.is_low_complexity {
        Decoding::aac(first.sample_rate, first.channels, most_decoded_s * f64::from(first.sample_rate))
    } else {
        Decoding::none("AAC of this profile is not decoded here")
    };
    let mut samples = 0;
    let end = frames(source, first, &mut decoding, &mut samples);
    facts.duration_s = Some(samples as f64 / f64::from(first.sample_rate));
    match end {
        Ok(()) => Ok(decoding.condition()),
        Err(Stop::Ended) => Ok(Condition::Cut("it ends within a frame".to_owned())),
        Err(stop) => Err(stop),
    }
}

fn frames(source: &mut Source<'_>, first: Header, decoding: &mut Decoding, samples: &mut u64) -> Step<()> {
    let mut frame = Vec::new();
    while source.remaining() > 0 {
        let Ok(bytes) = <[u8; HEADER_BYTES]>::try_from(source.peek(HEADER_BYTES)?) else {
            return Err(Stop::Ended);
        };
        let Some(header) = Header::parse(bytes).filter(|header| header.goes_with(first)) else {
            let position = source.position();
            return Err(Stop::Broken(format!("no AAC frame begins at its byte {position}")));
        };
        frame.resize(header.frame_bytes, 0);
        source.fill(&mut frame)?;
        *samples += header.blocks * BLOCK_SAMPLES;
        match frame.get(header.head_bytes..) {
            Some(block) if header.blocks == 1 => decoding.frame(block, BLOCK_SAMPLES),
            _ => decoding.give_up("frames of several blocks are not decoded here"),
        }
    }
    Ok(())
}
