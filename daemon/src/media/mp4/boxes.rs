//! Heads of boxes, and the fields with which several kinds of boxes begin (ISO/IEC 14496-12, 4.2 and 8.2.2).

use super::super::source::{Source, Step, Stop};

/// The head of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BoxHead {
    /// The box type: four characters.
    pub(super) name: [u8; 4],
    /// The position after its last byte.
    pub(super) end: u64,
}

/// Reads the head of the box that begins here, inside a box that ends at `outer_end`.
pub(super) fn read_head(source: &mut Source<'_>, outer_end: u64) -> Step<BoxHead> {
    let start = source.position();
    let size = u64::from(source.u32_be()?);
    let name = source.array()?;
    let size = match size {
        // The box extends to the end of the file.
        0 => source.len() - start,
        1 => source.u64_be()?,
        size => size,
    };
    let end = start.saturating_add(size);
    if end < source.position() {
        return Err(Stop::Broken(format!("the size of the part at its byte {start} is wrong")));
    }
    if end > source.len() {
        return Err(Stop::Ended);
    }
    if end > outer_end {
        return Err(Stop::Broken(format!("the part at its byte {start} is larger than what holds it")));
    }
    Ok(BoxHead { name, end })
}

/// Reads the version and the flags with which many boxes begin.
pub(super) fn read_version(source: &mut Source<'_>) -> Step<(u8, u32)> {
    let [version, a, b, c] = source.array()?;
    Ok((version, u32::from_be_bytes([0, a, b, c])))
}

/// Reads the ticks per second of a movie (`mvhd`) or a track (`mdhd`). Two times precede them, whose width depends on the version.
pub(super) fn read_timescale(source: &mut Source<'_>) -> Step<u32> {
    let (version, _) = read_version(source)?;
    source.skip(if version == 1 { 16 } else { 8 })?;
    source.u32_be()
}

/// Reads a number: 64 bits in version 1 of a box, and 32 bits in version 0.
pub(super) fn read_wide(source: &mut Source<'_>, version: u8) -> Step<u64> {
    if version == 1 { source.u64_be() } else { source.u32_be().map(u64::from) }
}
