//! FLAC (RFC 9639): frames with a checksum each. Their headers contain the number of samples. The duration counts the samples of the frames whose
//! checksums are right, so nothing has to be decoded.

mod frame;

use self::frame::{Frames, Header};
use super::{
    condition::Condition,
    source::{Source, Step, Stop},
};
use crate::domain::Facts;

/// Length of the STREAMINFO block, in bytes.
const STREAM_INFO_BYTES: u64 = 34;

/// The fields of the STREAMINFO block.
#[derive(Debug, Clone, Copy)]
struct StreamInfo {
    sample_rate: u32,
    channels: u8,
    bits: u8,
    most_block_samples: u16,
    /// Samples of one channel. None if the encoder did not know the number.
    samples: Option<u64>,
}

/// Reads a FLAC file from its first byte and fills in `facts`.
pub(super) fn read(source: &mut Source<'_>, facts: &mut Facts) -> Step<Condition> {
    source.skip(4)?;
    let info = read_metadata(source)?;
    facts.sample_rate = Some(info.sample_rate);
    facts.channels = Some(u32::from(info.channels));
    let mut frames = Frames::new(info.most_frame_bytes());
    let mut samples = 0;
    let mut bad_bytes = 0;
    loop {
        match frames.next(source)? {
            Some(frame::Found::Frame(header)) if header.goes_with(&info) => samples += header.samples,
            Some(frame::Found::Frame(_) | frame::Found::SkippedByte) => bad_bytes += 1,
            None => break,
        }
    }
    facts.duration_s = Some(samples as f64 / f64::from(info.sample_rate));
    Ok(match info.samples {
        _ if frames.ends_within() => Condition::Cut("it ends within a frame".to_owned()),
        Some(announced) if samples < announced && bad_bytes == 0 => {
            Condition::Cut(format!("it has {samples} of {announced} samples"))
        }
        _ if bad_bytes > 0 => Condition::Damaged("the checksums of some of its frames are wrong".to_owned()),
        _ => Condition::Whole,
    })
}

/// Reads the metadata blocks before the first frame. All but STREAMINFO are skipped.
fn read_metadata(source: &mut Source<'_>) -> Step<StreamInfo> {
    let mut info = None;
    loop {
        let [flags, a, b, c] = source.array()?;
        let bytes = u64::from(u32::from_be_bytes([0, a, b, c]));
        let kind = flags & 0x7f;
        if kind == 0 && bytes >= STREAM_INFO_BYTES && info.is_none() {
            info = Some(read_stream_info(source)?);
            source.skip(bytes - STREAM_INFO_BYTES)?;
        } else {
            source.skip(bytes)?;
        }
        if flags & 0x80 != 0 {
            return info.ok_or_else(|| Stop::Broken("nothing describes its stream".to_owned()));
        }
    }
}

fn read_stream_info(source: &mut Source<'_>) -> Step<StreamInfo> {
    source.skip(2)?;
    let most_block_samples = source.u16_be()?;
    source.skip(6)?;
    // The 64 bits are the sample rate (20 bits), channels less one (3), bits per sample less one (5), and samples (36).
    let packed = source.u64_be()?;
    source.skip(16)?;
    let samples = packed & 0x000f_ffff_ffff;
    let info = StreamInfo {
        sample_rate: (packed >> 44) as u32,
        channels: (packed >> 41 & 7) as u8 + 1,
        bits: (packed >> 36 & 31) as u8 + 1,
        most_block_samples,
        samples: (samples > 0).then_some(samples),
    };
    if info.sample_rate == 0 || most_block_samples < 16 {
        return Err(Stop::Broken("the description of its stream is damaged".to_owned()));
    }
    Ok(info)
}

impl StreamInfo {
    /// Returns the size of the largest frame: uncompressed samples, one bit more per sample for channels that are coded as a difference, and room for
    /// headers.
    fn most_frame_bytes(&self) -> usize {
        let samples = usize::from(self.most_block_samples) * usize::from(self.channels);
        samples * (usize::from(self.bits) + 1) / 8 + 64
    }
}

impl Header {
    /// Returns whether the frame can belong to this stream.
    fn goes_with(&self, info: &StreamInfo) -> bool {
        self.samples <= u64::from(info.most_block_samples) && self.channels == info.channels
    }
}
