//! Ogg (RFC 3533): pages with a checksum each, which carry the packets of Opus (RFC 7845) or Vorbis. The duration counts the samples of the packets
//! in the file, without those that the stream declares as not to be played.

mod page;
mod vorbis;

use self::{
    page::{Packet, Page},
    vorbis::Blocks,
};
use super::{
    condition::Condition,
    opus,
    source::{Source, Step, Stop},
};
use crate::domain::Facts;

/// Largest packet that is kept whole, in bytes: the third header of Vorbis, whose tables take some KiB. Of larger packets only the beginning is kept.
pub(super) const MOST_PACKET_BYTES: usize = 256 * 1024;

/// The codec of a stream, with the state for counting its samples.
enum Codec {
    Opus { pre_skip: u64 },
    Vorbis { headers_left: u8, blocks: Blocks },
}

/// One logical stream of the file. A file may consist of several streams, one after the other.
struct Stream {
    serial: u32,
    codec: Codec,
    sample_rate: u32,
    /// The number of comment packets that are still expected.
    comments_left: u8,
    /// The samples of the packets so far.
    samples: u64,
    /// The position of the first page with audio, less the samples up to its end. It is positive if the beginning was cut.
    offset: Option<i64>,
    /// The position of the last page: the number of its last sample.
    last_position: i64,
    has_ended: bool,
    partial: Packet,
}

/// What was found in the file.
#[derive(Default)]
struct Found {
    /// The duration of the streams before the current one, in seconds.
    seconds: f64,
    bad_pages: u64,
    missing_pages: u64,
    other: bool,
}

/// Reads an Ogg file from its first byte and fills in `facts`.
pub(super) fn read(source: &mut Source<'_>, facts: &mut Facts) -> Step<Condition> {
    let mut found = Found::default();
    let mut stream: Option<Stream> = None;
    let end = pages(source, facts, &mut found, &mut stream);
    let has_ended = stream.as_ref().is_none_or(|stream| stream.has_ended && stream.partial.is_empty());
    let is_known = stream.is_some();
    found.seconds += stream.map_or(0.0, |stream| stream.seconds());
    if is_known {
        facts.duration_s = Some(found.seconds);
    }
    match end {
        Err(Stop::Ended) => return Ok(Condition::Cut("it ends within a page".to_owned())),
        Err(stop) => return Err(stop),
        Ok(()) => {}
    }
    Ok(if found.bad_pages > 0 {
        Condition::Damaged(format!("the checksums of {} of its pages are wrong", found.bad_pages))
    } else if !is_known {
        Condition::Unchecked("the codec of its stream is not read here".to_owned())
    } else if found.missing_pages > 0 {
        Condition::Damaged(format!("{} of its pages are missing", found.missing_pages))
    } else if !has_ended {
        // Some encoders mark no page as the last, and a transfer rarely breaks between two pages. Reporting a cut file would refuse good ones.
        Condition::Unchecked("no page of it is marked as its last one, so it may be cut".to_owned())
    } else if found.other {
        Condition::Unchecked("it has other streams, which are not read here".to_owned())
    } else {
        Condition::Whole
    })
}

fn pages(
    source: &mut Source<'_>,
    facts: &mut Facts,
    found: &mut Found,
    stream: &mut Option<Stream>,
) -> Step<()> {
    let mut page = Page::default();
    let mut next_sequence = 0_u32;
    while source.remaining() > 0 {
        page.read(source)?;
        if !page.is_intact {
            // The fields of this page may be wrong.
            found.bad_pages += 1;
            next_sequence = next_sequence.wrapping_add(1);
            continue;
        }
        if page.is_first() && stream.as_ref().is_none_or(|stream| stream.has_ended) {
            match Stream::begin(&page, facts)? {
                Some(begun) => {
                    let former = stream.replace(begun);
                    found.seconds += former.map_or(0.0, |former| former.seconds());
                    next_sequence = page.sequence;
                }
                None => found.other = true,
            }
        }
        let Some(stream) = stream.as_mut().filter(|stream| stream.serial == page.serial) else {
            found.other = true;
            continue;
        };
        found.missing_pages += u64::from(page.sequence.saturating_sub(next_sequence));
        next_sequence = page.sequence.wrapping_add(1);
        stream.take(&page)?;
    }
    Ok(())
}

impl Stream {
    /// Begins the stream of this page. None if its codec is not supported here.
    fn begin(page: &Page, facts: &mut Facts) -> Step<Option<Self>> {
        let head = &page.body;
        let (codec, sample_rate, channels, comments_left) = if let Some(head) = head.strip_prefix(b"OpusHead")
        {
            let (&[_version, channels], Some(&pre_skip)) = (
                head.first_chunk().ok_or_else(short_header)?,
                head.get(2..).and_then(|rest| rest.first_chunk()),
            ) else {
                return Err(short_header());
            };
            let pre_skip = u64::from(u16::from_le_bytes(pre_skip));
            // Opus always counts 48,000 samples per second, whatever was encoded.
            (Codec::Opus { pre_skip }, opus::RATE, channels, 1)
        } else if head.starts_with(b"\x01vorbis") {
            let identification = vorbis::Identification::of(head).ok_or_else(short_header)?;
            (
                Codec::Vorbis { headers_left: 2, blocks: identification.blocks },
                identification.sample_rate,
                identification.channels,
                0,
            )
        } else {
            return Ok(None);
        };
        facts.extension = if matches!(codec, Codec::Opus { .. }) { "opus" } else { "ogg" }.into();
        facts.sample_rate = Some(sample_rate);
        facts.channels = Some(u32::from(channels));
        Ok(Some(Self {
            serial: page.serial,
            codec,
            sample_rate,
            comments_left,
            samples: 0,
            offset: None,
            last_position: 0,
            has_ended: false,
            partial: Packet::default(),
        }))
    }

    /// Counts the packets that end in this page.
    fn take(&mut self, page: &Page) -> Step<()> {
        let before = self.samples;
        if !page.is_first() {
            let mut partial = std::mem::take(&mut self.partial);
            if !page.is_continued() {
                partial.clear();
            }
            for segment in page.segments() {
                partial.push(segment.bytes);
                if segment.ends_packet {
                    self.packet(partial.bytes())?;
                    partial.clear();
                }
            }
            self.partial = partial;
        }
        // A page in which no packet ends has no position.
        if page.position >= 0 && self.samples > before {
            let is_last = page.is_last() && self.offset.is_none();
            self.offset.get_or_insert(if is_last { 0 } else { page.position - self.samples as i64 });
            self.last_position = page.position;
        }
        self.has_ended |= page.is_last();
        Ok(())
    }

    fn packet(&mut self, packet: &[u8]) -> Step<()> {
        if self.comments_left > 0 {
            self.comments_left -= 1;
            return Ok(());
        }
        match &mut self.codec {
            Codec::Opus { .. } => {
                self.samples += opus::samples(packet)
                    .ok_or_else(|| Stop::Broken("it has a packet that is no Opus".to_owned()))?;
            }
            Codec::Vorbis { headers_left: 0, blocks } => {
                self.samples += blocks.samples(packet).unwrap_or(0);
            }
            Codec::Vorbis { headers_left, blocks } => {
                *headers_left -= 1;
                if *headers_left == 0 {
                    blocks
                        .read_modes(packet)
                        .ok_or_else(|| Stop::Broken("its Vorbis headers are damaged".to_owned()))?;
                }
            }
        }
        Ok(())
    }

    /// Returns how long the stream plays, in seconds.
    fn seconds(&self) -> f64 {
        // The last page may declare that its last samples are not played. A negative offset means that the beginning is not played.
        let end = self.last_position - self.offset.unwrap_or(0).max(0);
        let played = if self.has_ended && end > 0 { self.samples.min(end as u64) } else { self.samples };
        let skipped = match self.codec {
            Codec::Opus { pre_skip } => pre_skip,
            Codec::Vorbis { .. } => 0,
        };
        played.saturating_sub(skipped) as f64 / f64::from(self.sample_rate)
    }
}

fn short_header() -> Stop {
    Stop::Broken("the header of its stream is damaged".to_owned())
}
