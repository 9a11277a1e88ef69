//! Tracks of a Matroska file and their blocks.

use super::{
    super::{
        opus,
        source::{Source, Step},
    },
    element::{Element, read_number},
};

/// The numbers of the track types (RFC 9559, 5.1.4.1.3).
const VIDEO: u64 = 1;
const SOUND: u64 = 2;

/// A track, and what was read of its blocks.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) number: u64,
    pub(super) kind: u64,
    pub(super) is_opus: bool,
    /// Duration of a frame in seconds, if the file declares it.
    pub(super) default_s: Option<f64>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) sampling_hz: f64,
    pub(super) channels: u32,
    /// The time at which the last block begins, in seconds. The next field is that of the block before.
    last_s: Option<f64>,
    before_s: Option<f64>,
    /// Duration of the last block in seconds, if it is known.
    last_duration_s: Option<f64>,
    end_s: f64,
}

impl Default for Track {
    /// The default rate and channels are those of the specification.
    fn default() -> Self {
        Self {
            number: 0,
            kind: 0,
            is_opus: false,
            default_s: None,
            width: None,
            height: None,
            sampling_hz: 8_000.0,
            channels: 1,
            last_s: None,
            before_s: None,
            last_duration_s: None,
            end_s: 0.0,
        }
    }
}

/// The header of a block.
#[derive(Debug)]
pub(super) struct BlockHead {
    pub(super) track: u64,
    /// Time relative to the cluster, in ticks.
    pub(super) ticks: i16,
    frames: u32,
    /// The first bytes of the block's frame. Empty if the block has several frames.
    first: Vec<u8>,
}

impl BlockHead {
    /// Reads the header of a block. None if it is invalid.
    pub(super) fn read(source: &mut Source<'_>, element: Element) -> Step<Option<Self>> {
        let Some((track, _)) = read_number(source)? else { return Ok(None) };
        let ticks = source.u16_be()?.cast_signed();
        let is_laced = source.u8()? & 0x06 != 0;
        let left = element.end.unwrap_or(0).saturating_sub(source.position());
        let frames = if is_laced { u32::from(source.u8()?) + 1 } else { 1 };
        let first = if is_laced { Vec::new() } else { source.peek(left.min(2) as usize)? };
        Ok(Some(Self { track, ticks, frames, first }))
    }
}

impl Track {
    /// Returns whether the track contains video.
    pub(super) const fn is_video(&self) -> bool {
        self.kind == VIDEO
    }

    /// Returns whether the track contains audio.
    pub(super) const fn is_sound(&self) -> bool {
        self.kind == SOUND
    }

    /// Returns the sample rate in Hz. For Opus, programs write the rate of the source, but the decoded rate is always the same.
    pub(super) const fn sample_rate(&self) -> u32 {
        if self.is_opus { opus::RATE } else { self.sampling_hz as u32 }
    }

    /// Adds a block that begins at this time.
    pub(super) fn add(&mut self, seconds: f64, block: &BlockHead) {
        self.finish_last();
        self.before_s = self.last_s.replace(seconds);
        let samples = if self.is_opus { opus::samples(&block.first) } else { None };
        let opus_s = samples.map(|samples| samples as f64 / f64::from(opus::RATE));
        self.last_duration_s = opus_s.or_else(|| Some(self.default_s? * f64::from(block.frames)));
    }

    /// Sets the duration of the last block.
    pub(super) fn set_last_duration(&mut self, seconds: f64) {
        self.last_duration_s = Some(seconds);
    }

    /// Updates the end with that of the last block. A block of unknown duration lasts as long as the one before.
    fn finish_last(&mut self) {
        self.end_s = self.end_s.max(self.last_end_s().unwrap_or(0.0));
    }

    fn last_end_s(&self) -> Option<f64> {
        let last = self.last_s?;
        let gap = self.before_s.map_or(0.0, |before| (last - before).max(0.0));
        Some(last + self.last_duration_s.unwrap_or(gap))
    }

    /// Returns the end of the last block in seconds. None without blocks, and for tracks that are neither video nor audio.
    pub(super) fn end_s(&self) -> Option<f64> {
        let is_played = self.is_video() || self.is_sound();
        self.last_end_s().filter(|_| is_played).map(|last| last.max(self.end_s))
    }
}
