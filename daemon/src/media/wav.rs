//! WAV: audio samples in a RIFF container (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0"; the extensible form in
//! "Multiple Channel Audio Data and WAVE Files"). The duration counts the samples in the file.

use super::{
    condition::Condition,
    source::{Source, Step, Stop},
};
use crate::domain::Facts;

/// Most chunks before the samples. Programs write fewer than ten.
const MOST_CHUNKS: usize = 1_000;
/// Smallest declared size, in bytes, that may mean an unknown size. Programs that write to a pipe declare 0, or nearly 2 or 4 GiB. No response of a
/// service is as large.
const UNKNOWN_BYTES: u32 = 0x7fff_0000;

/// The fields of the chunk `fmt `.
struct Layout {
    sample_rate: u32,
    channels: u16,
    /// Bytes of one sample of all channels. None if samples have no fixed size, as in compressed audio.
    frame_bytes: Option<u64>,
    tag: u16,
}

/// Reads a WAV from its first byte and fills in `facts`.
pub(super) fn read(source: &mut Source<'_>, facts: &mut Facts) -> Step<Condition> {
    // `RIFF`, its length, and `WAVE`, which the format detection has checked.
    source.skip(12)?;
    let mut layout = None;
    for _ in 0..MOST_CHUNKS {
        let name: [u8; 4] = source.array()?;
        let size = source.u32_le()?;
        match (&name, layout.take()) {
            (b"fmt ", _) => layout = Some(read_layout(source, size)?),
            (b"data", Some(layout)) => return Ok(count(source, facts, &layout, size)),
            (b"data", None) => {
                return Err(Stop::Broken(
                    "its samples come before the description of their format".to_owned(),
                ));
            }
            (_, kept) => {
                layout = kept;
                skip_chunk(source, size)?;
            }
        }
    }
    Err(Stop::Broken(format!("it has more than {MOST_CHUNKS} parts before its samples")))
}

/// Skips a chunk. Chunks begin at even positions.
fn skip_chunk(source: &mut Source<'_>, size: u32) -> Step<()> {
    source.skip(u64::from(size) + u64::from(size % 2))
}

fn read_layout(source: &mut Source<'_>, size: u32) -> Step<Layout> {
    if size < 16 {
        return Err(Stop::Broken("the description of its format is too short".to_owned()));
    }
    let mut tag = source.u16_le()?;
    let channels = source.u16_le()?;
    let sample_rate = source.u32_le()?;
    source.skip(4)?;
    let frame_bytes = source.u16_le()?;
    let bits = source.u16_le()?;
    let mut read = 16;
    // The extensible form has the real tag in the first two bytes of its sub-format.
    if tag == 0xfffe && size >= 26 {
        source.skip(8)?;
        tag = source.u16_le()?;
        read += 10;
    }
    skip_chunk(source, size - read)?;
    // These codecs have a fixed number of bits per sample: integers, floating point, A-law and µ-law.
    let is_fixed = matches!(tag, 1 | 3 | 6 | 7);
    let expected = u32::from(channels) * u32::from(bits).div_ceil(8);
    if sample_rate == 0 || channels == 0 || (is_fixed && u32::from(frame_bytes) != expected) {
        return Err(Stop::Broken("the description of its format contradicts itself".to_owned()));
    }
    let frame_bytes = (is_fixed && frame_bytes > 0).then_some(u64::from(frame_bytes));
    Ok(Layout { sample_rate, channels, frame_bytes, tag })
}

/// Counts the samples in the file.
fn count(source: &Source<'_>, facts: &mut Facts, layout: &Layout, declared: u32) -> Condition {
    facts.sample_rate = Some(layout.sample_rate);
    facts.channels = Some(u32::from(layout.channels));
    let there = source.remaining();
    let is_unknown = declared == 0 || (declared >= UNKNOWN_BYTES && u64::from(declared) > there);
    let bytes = if is_unknown { there } else { there.min(u64::from(declared)) };
    let Some(frame_bytes) = layout.frame_bytes else {
        return Condition::Unchecked(format!(
            "samples of the codec {:#06x} are not decoded here",
            layout.tag
        ));
    };
    facts.duration_s = Some((bytes / frame_bytes) as f64 / f64::from(layout.sample_rate));
    if !is_unknown && there < u64::from(declared) {
        let declared = u64::from(declared) / frame_bytes;
        return Condition::Cut(format!("it has {} of {declared} samples", bytes / frame_bytes));
    }
    if is_unknown && bytes % frame_bytes != 0 {
        return Condition::Cut("it ends within a sample".to_owned());
    }
    Condition::Whole
}
