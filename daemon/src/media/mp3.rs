//! MP3: MPEG audio, layer III (ISO/IEC 11172-3 and 13818-3), a sequence of frames whose headers give their size. Tags may precede and follow them.
//! The duration counts the samples of the frames in the file, without those that the encoder added at both ends and recorded in its tag (LAME tag
//! specification, revision 1).

use super::{
    condition::Condition,
    decode::Decoding,
    format::HEAD_BYTES,
    source::{Source, Step, Stop},
};
use crate::domain::Facts;

/// Length of a frame's header, in bytes.
const HEADER_BYTES: usize = 4;
/// Bit rates of MPEG 1, layer III, in kbit/s, by the four bits of the header. 0 means the free format, which nobody writes.
const KBITS_1: [u32; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
/// Bit rates of MPEG 2 and 2.5, layer III.
const KBITS_2: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
/// Most bytes outside of frames. A file with more is hardly an MP3.
const MOST_STRANGE_BYTES: u64 = 1024 * 1024;
/// Most bytes between the tags and the first frame.
const MOST_LEADING_BYTES: usize = 8 * 1024;
/// Sample rates of MPEG 1 in Hz. Those of MPEG 2 are half of them, and those of MPEG 2.5 a quarter.
const RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// The fields of a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    is_mpeg1: bool,
    sample_rate: u32,
    is_mono: bool,
    frame_bytes: usize,
}

impl Header {
    /// Parses a header. None if the bytes are not a header, or one of the free format or of another layer.
    fn parse(bytes: [u8; HEADER_BYTES]) -> Option<Self> {
        let [sync, version, rates, mode] = bytes;
        if sync != 0xff || version & 0xe0 != 0xe0 || version & 0x06 != 0x02 {
            return None;
        }
        let (is_mpeg1, divisor) = match version >> 3 & 3 {
            3 => (true, 1),
            2 => (false, 2),
            0 => (false, 4),
            _ => return None,
        };
        let sample_rate = RATES.get(usize::from(rates >> 2 & 3))? / divisor;
        let table = if is_mpeg1 { KBITS_1 } else { KBITS_2 };
        let kbits = *table.get(usize::from(rates >> 4)).filter(|kbits| **kbits > 0)?;
        let padding = u32::from(rates >> 1 & 1);
        let frame_bytes = if is_mpeg1 { 144 } else { 72 } * kbits * 1_000 / sample_rate + padding;
        Some(Self { is_mpeg1, sample_rate, is_mono: mode >> 6 == 3, frame_bytes: frame_bytes as usize })
    }

    const fn samples(self) -> u64 {
        if self.is_mpeg1 { 1_152 } else { 576 }
    }

    /// Returns whether two frames can belong to one stream. Their size, and with it the bit rate, may differ.
    const fn goes_with(self, other: Self) -> bool {
        self.is_mpeg1 == other.is_mpeg1
            && self.sample_rate == other.sample_rate
            && self.is_mono == other.is_mono
    }

    /// Returns the offset of the encoder's tag in a frame: it follows the header and the side information.
    const fn tag_offset(self) -> usize {
        HEADER_BYTES
            + match (self.is_mpeg1, self.is_mono) {
                (true, false) => 32,
                (true, true) | (false, false) => 17,
                (false, true) => 9,
            }
    }
}

/// Returns whether a file with this beginning starts with a frame. A second frame must follow if the beginning is long enough to contain it.
pub(super) fn begins(head: &[u8]) -> bool {
    let header_at = |at: usize| Header::parse(*head.get(at..)?.first_chunk()?);
    let Some(first) = header_at(0) else { return false };
    // A file of one frame has no second frame to confirm the first.
    let is_last = head.len() < first.frame_bytes + HEADER_BYTES;
    is_last || header_at(first.frame_bytes).is_some_and(|second| first.goes_with(second))
}

/// The encoder's tag in the first frame.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tag {
    /// The number of frames that follow this one.
    frames: Option<u64>,
    /// Samples that the encoder added before and after the audio.
    added_samples: u64,
}

impl Tag {
    /// Parses the tag of a frame. None if the frame has no tag. A frame with a tag has no audio.
    fn of(frame: &[u8], header: Header) -> Option<Self> {
        let tag = frame.get(header.tag_offset()..)?;
        if tag.starts_with(b"Xing") || tag.starts_with(b"Info") {
            return Some(Self::xing(tag).unwrap_or_default());
        }
        let tag = frame.get(HEADER_BYTES + 32..)?.strip_prefix(b"VBRI")?;
        let frames = u32_at(tag, 10).map(u64::from);
        Some(Self { frames, added_samples: 0 })
    }

    fn xing(tag: &[u8]) -> Option<Self> {
        let flags = u32_at(tag, 4)?;
        let mut at = 8;
        let frames = if flags & 1 == 1 { u32_at(tag, at).map(u64::from) } else { None };
        for (bit, bytes) in [(0, 4), (1, 4), (2, 100), (3, 4)] {
            at += if flags >> bit & 1 == 1 { bytes } else { 0 };
        }
        // The LAME part is the encoder's name (9 bytes), 12 bytes of other fields, and two numbers of 12 bits.
        let added = tag.get(at..).filter(|lame| lame.first().is_some_and(|byte| *byte != 0));
        let added_samples = match added.and_then(|lame| lame.get(21..24)) {
            Some(&[a, b, c]) => {
                let before = u64::from(a) << 4 | u64::from(b) >> 4;
                let behind = u64::from(b & 0x0f) << 8 | u64::from(c);
                before + behind
            }
            _ => 0,
        };
        Some(Self { frames, added_samples })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The part of the stream that was read so far.
struct Stream {
    /// The header of the first frame, with which the others must agree.
    first: Header,
    tag: Option<Tag>,
    frames: u64,
    /// The number of bytes outside of frames, other than zeros.
    strange_bytes: u64,
    /// The number of zeros between frames and after them.
    zero_bytes: u64,
    decoding: Decoding,
}

/// Reads an MP3 from its first frame and fills in `facts`. Decodes at most `most_decoded_s` seconds.
pub(super) fn read(source: &mut Source<'_>, facts: &mut Facts, most_decoded_s: f64) -> Step<Condition> {
    let head = source.peek(HEAD_BYTES)?;
    if head.len() < HEADER_BYTES {
        return Err(Stop::Ended);
    }
    // Some encoders begin with zeros, or with the rest of a frame.
    let start = (0..head.len().min(MOST_LEADING_BYTES)).find(|at| head.get(*at..).is_some_and(begins));
    let start = start.ok_or_else(|| Stop::Broken("no MP3 frame follows its tags".to_owned()))?;
    source.skip(start as u64)?;
    let first: [u8; HEADER_BYTES] = source.peek(HEADER_BYTES)?.try_into().map_err(|_| Stop::Ended)?;
    let first = Header::parse(first).ok_or(Stop::Ended)?;
    facts.sample_rate = Some(first.sample_rate);
    facts.channels = Some(if first.is_mono { 1 } else { 2 });
    let decoding = Decoding::mp3(most_decoded_s * f64::from(first.sample_rate));
    let mut stream = Stream { first, tag: None, frames: 0, strange_bytes: 0, zero_bytes: 0, decoding };
    let end = stream.frames(source);
    let samples = stream.frames * first.samples();
    let tag = stream.tag.unwrap_or_default();
    let is_all = end.is_ok() || tag.frames.is_some_and(|frames| stream.frames >= frames);
    let added = if is_all { tag.added_samples } else { 0 };
    facts.duration_s = Some(samples.saturating_sub(added) as f64 / f64::from(first.sample_rate));
    match end {
        Ok(()) => Ok(stream.condition()),
        Err(Stop::Ended) => Ok(Condition::Cut("it ends within a frame or a tag".to_owned())),
        Err(stop) => Err(stop),
    }
}

impl Stream {
    fn frames(&mut self, source: &mut Source<'_>) -> Step<()> {
        let mut frame = Vec::new();
        while source.remaining() > 0 {
            let Some(header) = self.next_header(source)? else { continue };
            frame.resize(header.frame_bytes, 0);
            source.fill(&mut frame)?;
            let is_first = self.frames == 0 && self.tag.is_none();
            self.tag = self.tag.or_else(|| Tag::of(&frame, header).filter(|_| is_first));
            if is_first && self.tag.is_some() {
                continue;
            }
            self.frames += 1;
            self.decoding.frame(&frame, header.samples());
        }
        Ok(())
    }

    /// Returns the header of the frame that begins here, without reading past it. None if something else was skipped.
    fn next_header(&mut self, source: &mut Source<'_>) -> Step<Option<Header>> {
        let next = source.peek(HEADER_BYTES)?;
        let header = next.first_chunk().copied().and_then(Header::parse);
        match header.filter(|header| header.goes_with(self.first)) {
            Some(header) => Ok(Some(header)),
            // The file ends within a header.
            None if next.len() < HEADER_BYTES && next.first() == Some(&0xff) => Err(Stop::Ended),
            None => {
                self.skip_non_frame(source)?;
                Ok(None)
            }
        }
    }

    /// Skips a tag, or one byte that belongs to no frame.
    fn skip_non_frame(&mut self, source: &mut Source<'_>) -> Step<()> {
        if let Some(bytes) = tag_bytes(source)? {
            return source.skip(bytes);
        }
        // Some files are padded with zeros.
        match source.u8()? {
            0 => self.zero_bytes += 1,
            _ => self.strange_bytes += 1,
        }
        if self.strange_bytes + self.zero_bytes > MOST_STRANGE_BYTES {
            return Err(Stop::Broken("more than 1 MiB of other bytes are between its frames".to_owned()));
        }
        Ok(())
    }

    fn condition(&self) -> Condition {
        let announced = self.tag.and_then(|tag| tag.frames).unwrap_or(0);
        if self.frames < announced {
            return Condition::Cut(format!("it has {} of {announced} frames", self.frames));
        }
        if self.strange_bytes > 0 {
            return Condition::Damaged(format!(
                "{} bytes between its frames are no part of a frame",
                self.strange_bytes
            ));
        }
        self.decoding.condition()
    }
}

/// Returns the length of the tag that begins here, before or after frames. None if no tag begins here. Sources: id3.org ("ID3 tag version 2.4.0", ID3
/// 1), "APE Tags Specification" and "Lyrics3".
pub(super) fn tag_bytes(source: &mut Source<'_>) -> Step<Option<u64>> {
    let head = source.peek(32)?;
    // The tag itself may be cut.
    let is_old_tag = head.starts_with(b"TAG") || (!head.is_empty() && b"TAG".starts_with(&head));
    if is_old_tag && source.remaining() <= 128 {
        return Ok(Some(128));
    }
    if let (true, Some(&[flags, a, b, c, d])) =
        (head.starts_with(b"ID3"), head.get(5..10).and_then(|rest| rest.first_chunk()))
    {
        // Seven bits of each byte count. A footer repeats the header.
        let size = [a, b, c, d].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
        return Ok(Some(10 + size + if flags & 0x10 == 0 { 0 } else { 10 }));
    }
    if let (true, Some(size)) =
        (head.starts_with(b"APETAGEX"), head.get(12..).and_then(|rest| rest.first_chunk()))
    {
        // The size covers the items and the footer. This header precedes them.
        return Ok(Some(32 + u64::from(u32::from_le_bytes(*size))));
    }
    // The tag's length is recorded at its end, and only an ID3 tag can follow. So it reaches to the end of the file.
    Ok(head.starts_with(b"LYRICSBEGIN").then(|| source.remaining()))
}
