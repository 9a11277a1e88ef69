//! A track of an MP4: what its tables say about its samples, in the index and in fragments.

use super::{
    super::source::{Source, Step, Stop},
    boxes::{BoxHead, read_timescale, read_version, read_wide},
};

/// The kind of a track's media.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Video,
    Sound,
    /// Subtitles, time codes and others.
    #[default]
    Other,
}

/// The properties of samples in fragments, used if a run does not give them.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) track_id: u32,
    duration: u32,
    bytes: u32,
}

/// One entry of the edit list.
#[derive(Debug, Clone, Copy)]
struct Edit {
    /// Length in ticks of the movie. 0 means to the end of the track.
    length: u64,
    /// Start in ticks of the track. None for an empty edit, which plays nothing.
    start: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) id: u32,
    pub(super) kind: Kind,
    pub(super) defaults: Defaults,
    pub(super) samples: u64,
    pub(super) sample_bytes: u64,
    pub(super) pixels: Option<(u16, u16)>,
    pub(super) sample_rate: Option<u32>,
    pub(super) channels: Option<u16>,
    /// Ticks per second of the track.
    timescale: u32,
    /// Sum of the durations of all samples, in ticks.
    ticks: u64,
    /// The offset from decoding to display of the first sample, in ticks. It is positive if frames refer to later ones, because all are then
    /// displayed later.
    shown_late: u64,
    edits: Vec<Edit>,
    fragment: Defaults,
}

/// Bytes of a sample description that are searched for the box of the codec.
const MOST_CODEC_BYTES: u64 = 512;
/// Most entries of an edit list that are read: a pause and the part after it.
const MOST_EDITS: u32 = 2;

impl Track {
    /// Reads a box of the track. Boxes without information about samples are ignored.
    pub(super) fn read(&mut self, source: &mut Source<'_>, head: BoxHead) -> Step<()> {
        match &head.name {
            b"tkhd" => {
                let (version, _) = read_version(source)?;
                source.skip(if version == 1 { 16 } else { 8 })?;
                self.id = source.u32_be()?;
            }
            b"mdhd" => self.timescale = read_timescale(source)?,
            b"hdlr" => {
                source.skip(8)?;
                self.kind = match &source.array()? {
                    b"vide" => Kind::Video,
                    b"soun" => Kind::Sound,
                    // In QuickTime, a second handler, that of the data itself, follows the handler of the track.
                    _ => self.kind,
                };
            }
            b"stsd" => self.read_description(source, head.end)?,
            b"stts" => self.read_durations(source, head.end)?,
            b"stsz" => self.read_sizes(source, head.end)?,
            b"ctts" => self.read_first_offset(source)?,
            b"elst" => self.read_edits(source)?,
            _ => {}
        }
        Ok(())
    }

    /// Reads the first sample description: its size, its name, 8 bytes, and then fields that depend on the kind of the track.
    fn read_description(&mut self, source: &mut Source<'_>, end: u64) -> Step<()> {
        source.skip(8 + 8 + 8)?;
        match self.kind {
            Kind::Video => {
                source.skip(16)?;
                self.pixels = Some((source.u16_be()?, source.u16_be()?));
            }
            Kind::Sound => {
                source.skip(8)?;
                self.channels = Some(source.u16_be()?);
                source.skip(6)?;
                let rate = u32::from(source.u16_be()?);
                // Rates beyond 16 bits are only in the codec's own box. In that case the ticks of an audio track are its samples.
                self.sample_rate = Some(if rate == 0 { self.timescale } else { rate });
                // Many programs always write two channels here, and the true number into the codec's own box.
                let rest =
                    source.peek(end.saturating_sub(source.position()).min(MOST_CODEC_BYTES) as usize)?;
                self.channels = aac_channels(&rest).or(self.channels);
            }
            Kind::Other => {}
        }
        Ok(())
    }

    /// Reads the number of entries of a table. Fails if they would not fit into the box with `entry_bytes` each.
    fn entries(source: &mut Source<'_>, end: u64, entry_bytes: u64) -> Step<u64> {
        let entries = u64::from(source.u32_be()?);
        if entries * entry_bytes > end.saturating_sub(source.position()) {
            return Err(Stop::Broken("a table of its index is longer than its part".to_owned()));
        }
        Ok(entries)
    }

    fn read_durations(&mut self, source: &mut Source<'_>, end: u64) -> Step<()> {
        read_version(source)?;
        for _ in 0..Self::entries(source, end, 8)? {
            let (samples, ticks) = (u64::from(source.u32_be()?), u64::from(source.u32_be()?));
            self.samples = self.samples.saturating_add(samples);
            self.ticks = self.ticks.saturating_add(samples.saturating_mul(ticks));
        }
        Ok(())
    }

    fn read_sizes(&mut self, source: &mut Source<'_>, end: u64) -> Step<()> {
        read_version(source)?;
        let each = source.u32_be()?;
        if each > 0 {
            let samples = source.u32_be()?;
            self.sample_bytes = self.sample_bytes.saturating_add(u64::from(samples) * u64::from(each));
            return Ok(());
        }
        for _ in 0..Self::entries(source, end, 4)? {
            self.sample_bytes = self.sample_bytes.saturating_add(u64::from(source.u32_be()?));
        }
        Ok(())
    }

    fn read_first_offset(&mut self, source: &mut Source<'_>) -> Step<()> {
        read_version(source)?;
        if source.u32_be()? > 0 {
            source.skip(4)?;
            // The offset is signed in the newer version of the table. A value above half of the range is a negative offset.
            let offset = source.u32_be()?;
            self.shown_late = u64::from(if offset > u32::MAX / 2 { 0 } else { offset });
        }
        Ok(())
    }

    fn read_edits(&mut self, source: &mut Source<'_>) -> Step<()> {
        let (version, _) = read_version(source)?;
        let entries = source.u32_be()?;
        for _ in 0..entries.min(MOST_EDITS) {
            let length = read_wide(source, version)?;
            let start = read_wide(source, version)?;
            let nothing = if version == 1 { u64::MAX } else { u64::from(u32::MAX) };
            self.edits.push(Edit { length, start: (start != nothing).then_some(start) });
            source.skip(4)?;
        }
        // The movie is edited from many pieces, so only the sum of its samples is used.
        if entries > MOST_EDITS {
            self.edits.clear();
        }
        Ok(())
    }

    /// Returns how long the track plays, in seconds from the beginning of the movie. None without samples.
    pub(super) fn seconds(&self, movie_timescale: u32) -> Option<f64> {
        let all = self.ticks as f64 / f64::from(self.timescale);
        let movie = |ticks: u64| ticks as f64 / f64::from(movie_timescale);
        let mut seconds = if self.edits.iter().any(|edit| edit.start.is_some()) { 0.0 } else { all };
        for edit in &self.edits {
            seconds += match edit.start {
                None => movie(edit.length),
                Some(start) => {
                    let skipped = start.saturating_sub(self.shown_late) as f64 / f64::from(self.timescale);
                    let there = (all - skipped).max(0.0);
                    if edit.length == 0 { there } else { there.min(movie(edit.length)) }
                }
            };
        }
        (self.samples > 0 && seconds.is_finite()).then_some(seconds)
    }
}

impl Defaults {
    /// Reads `trex`: the defaults for the samples of a track's fragments.
    pub(super) fn of_movie(source: &mut Source<'_>) -> Step<Self> {
        read_version(source)?;
        let track_id = source.u32_be()?;
        source.skip(4)?;
        Ok(Self { track_id, duration: source.u32_be()?, bytes: source.u32_be()? })
    }
}

/// Returns the track of the fragment whose `tfhd` begins here, without reading past it.
pub(super) fn fragment_track(source: &mut Source<'_>) -> Step<u32> {
    let start = source.position();
    read_version(source)?;
    let id = source.u32_be()?;
    source.seek(start)?;
    Ok(id)
}

impl Track {
    /// Reads `tfhd`: the defaults for the samples of this fragment.
    pub(super) fn begin_fragment(&mut self, source: &mut Source<'_>) -> Step<()> {
        let (_, flags) = read_version(source)?;
        source.skip(4)?;
        self.fragment = self.defaults;
        for (flag, bytes) in [(0x01, 8), (0x02, 4)] {
            source.skip(if flags & flag == 0 { 0 } else { bytes })?;
        }
        if flags & 0x08 != 0 {
            self.fragment.duration = source.u32_be()?;
        }
        if flags & 0x10 != 0 {
            self.fragment.bytes = source.u32_be()?;
        }
        Ok(())
    }

    /// Reads `trun`: the samples of a run.
    pub(super) fn read_run(&mut self, source: &mut Source<'_>, end: u64) -> Step<()> {
        let (_, flags) = read_version(source)?;
        let has = |flag: u32| flags & flag != 0;
        let columns = [0x100, 0x200, 0x400, 0x800];
        let entry_bytes = columns.iter().filter(|flag| has(**flag)).count() as u64 * 4;
        let entries = Self::entries(source, end, entry_bytes)?;
        self.samples = self.samples.saturating_add(entries);
        for (flag, bytes) in [(0x01, 4), (0x04, 4)] {
            source.skip(if has(flag) { bytes } else { 0 })?;
        }
        let (mut ticks, mut bytes) =
            (u64::from(self.fragment.duration) * entries, u64::from(self.fragment.bytes) * entries);
        if has(0x100) {
            ticks = 0;
        }
        if has(0x200) {
            bytes = 0;
        }
        // Without columns there is nothing to read, whatever the number of entries.
        for _ in 0..if entry_bytes > 0 { entries } else { 0 } {
            for flag in columns.into_iter().filter(|flag| has(*flag)) {
                let value = u64::from(source.u32_be()?);
                match flag {
                    0x100 => ticks = ticks.saturating_add(value),
                    0x200 => bytes = bytes.saturating_add(value),
                    _ => {}
                }
            }
        }
        self.ticks = self.ticks.saturating_add(ticks);
        self.sample_bytes = self.sample_bytes.saturating_add(bytes);
        Ok(())
    }
}

/// Returns the channels of AAC from the box `esds`. Its descriptors are nested, and the innermost one is the configuration of the decoder (ISO/IEC
/// 14496-1, 7.2.6, and 14496-3, 1.6.2).
fn aac_channels(description: &[u8]) -> Option<u16> {
    let at = description.windows(4).position(|window| window == b"esds")?;
    let mut rest = description.get(at + 8..)?;
    // Before the nested descriptor, that of the stream has three bytes, and that of the decoder thirteen.
    for (tag, fixed_bytes) in [(3, 3), (4, 13), (5, 0)] {
        let (&found, behind) = rest.split_first()?;
        // Each byte of the length has seven bits.
        let length_bytes = behind.iter().take(4).take_while(|byte| **byte & 0x80 != 0).count() + 1;
        rest = behind.get(length_bytes + fixed_bytes..).filter(|_| found == tag)?;
    }
    let &[first, second] = rest.first_chunk()?;
    let has_own_rate = (first & 7) << 1 | second >> 7 == 15;
    match second >> 3 & 0x0f {
        channels @ 1..=6 if !has_own_rate => Some(u16::from(channels)),
        7 if !has_own_rate => Some(8),
        _ => None,
    }
}
