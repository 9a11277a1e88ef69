//! Matroska and WebM (RFC 9559): EBML elements (RFC 8794). The duration is that of the blocks in the file. The duration that the file declares is
//! only used to detect whether it was cut.

mod blocks;
mod element;

use self::{
    blocks::{BlockHead, Track},
    element::{Element, read_element},
};
use super::{
    condition::Condition,
    source::{Source, Step, Stop},
};
use crate::domain::{Facts, Pixels};

/// Most tracks of a file.
const MOST_TRACKS: usize = 64;
/// Longest codec name that is read, in bytes.
const MOST_NAME_BYTES: u64 = 64;
/// How much shorter the blocks may be than the declared duration, in seconds. The last block of a track may have no duration of its own.
const TOLERANCE_S: f64 = 1.0;

/// The identifiers of the elements that are read here.
mod id {
    pub(super) const SEGMENT: u32 = 0x1853_8067;
    pub(super) const CLUSTER: u32 = 0x1f43_b675;
    pub(super) const TRACKS: u32 = 0x1654_ae6b;
    pub(super) const INFO: u32 = 0x1549_a966;
    pub(super) const EBML: u32 = 0x1a45_dfa3;
    pub(super) const DOC_TYPE: u32 = 0x4282;
    pub(super) const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
    pub(super) const DURATION: u32 = 0x4489;
    pub(super) const TRACK_ENTRY: u32 = 0xae;
    pub(super) const TRACK_NUMBER: u32 = 0xd7;
    pub(super) const TRACK_TYPE: u32 = 0x83;
    pub(super) const CODEC_ID: u32 = 0x86;
    pub(super) const DEFAULT_DURATION: u32 = 0x23_e383;
    pub(super) const VIDEO: u32 = 0xe0;
    pub(super) const PIXEL_WIDTH: u32 = 0xb0;
    pub(super) const PIXEL_HEIGHT: u32 = 0xba;
    pub(super) const AUDIO: u32 = 0xe1;
    pub(super) const SAMPLING_FREQUENCY: u32 = 0xb5;
    pub(super) const CHANNELS: u32 = 0x9f;
    pub(super) const TIMESTAMP: u32 = 0xe7;
    pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(super) const BLOCK_GROUP: u32 = 0xa0;
    pub(super) const BLOCK: u32 = 0xa1;
    pub(super) const BLOCK_DURATION: u32 = 0x9b;
}

/// The elements that were read so far.
struct Movie {
    is_webm: bool,
    /// Length of a tick, in nanoseconds.
    tick_ns: u64,
    /// The duration that the file declares, in ticks.
    announced_ticks: Option<f64>,
    tracks: Vec<Track>,
    cluster_ticks: u64,
    blocks: u64,
    /// The track of the last block of a group. A duration for that block may follow.
    grouped: Option<usize>,
}

/// Reads a Matroska file from its first byte and fills in `facts`.
pub(super) fn read(source: &mut Source<'_>, facts: &mut Facts) -> Step<Condition> {
    let mut movie = Movie {
        is_webm: false,
        tick_ns: 1_000_000,
        announced_ticks: None,
        tracks: Vec::new(),
        cluster_ticks: 0,
        blocks: 0,
        grouped: None,
    };
    let result = movie.elements(source);
    movie.describe(facts);
    match result {
        Ok(()) => {}
        Err(Stop::Ended) => return Ok(Condition::Cut("it ends within a part of it".to_owned())),
        Err(stop) => return Err(stop),
    }
    let announced = movie.announced_ticks.map_or(0.0, |ticks| ticks * movie.tick_s());
    let there = facts.duration_s.unwrap_or(0.0);
    Ok(if there + TOLERANCE_S < announced {
        Condition::Cut(format!("it has {there:.1} of {announced:.1} seconds"))
    } else if movie.blocks == 0 {
        Condition::Cut("it has nothing to play".to_owned())
    } else {
        Condition::Whole
    })
}

impl Movie {
    fn tick_s(&self) -> f64 {
        self.tick_ns as f64 / 1e9
    }

    /// Reads all elements in the order of the file. The children of an element that is read simply follow it, and other elements are skipped. So no
    /// stack is needed, and elements of unknown size, as in live streams, need no special treatment.
    fn elements(&mut self, source: &mut Source<'_>) -> Step<()> {
        while source.remaining() > 0 {
            let element = read_element(source)?;
            let is_opened = matches!(
                element.id,
                id::EBML
                    | id::SEGMENT
                    | id::CLUSTER
                    | id::TRACKS
                    | id::INFO
                    | id::TRACK_ENTRY
                    | id::VIDEO
                    | id::AUDIO
                    | id::BLOCK_GROUP
            );
            match element.end {
                Some(end) if end > source.len() => return Err(Stop::Ended),
                _ if is_opened => self.open(element.id)?,
                Some(end) => {
                    self.read(source, element)?;
                    source.seek(end)?;
                }
                None => {
                    return Err(Stop::Broken(format!("its part {:#x} has no size", element.id)));
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, id: u32) -> Step<()> {
        match id {
            id::TRACK_ENTRY if self.tracks.len() == MOST_TRACKS => {
                return Err(Stop::Broken(format!("it has more than {MOST_TRACKS} tracks")));
            }
            id::TRACK_ENTRY => self.tracks.push(Track::default()),
            id::BLOCK_GROUP => self.grouped = None,
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, source: &mut Source<'_>, element: Element) -> Step<()> {
        match element.id {
            id::DOC_TYPE => self.is_webm = element.text(source, MOST_NAME_BYTES)? == b"webm",
            id::TIMESTAMP_SCALE => self.tick_ns = element.unsigned(source)?.max(1),
            id::DURATION => self.announced_ticks = Some(element.float(source)?),
            id::TIMESTAMP => self.cluster_ticks = element.unsigned(source)?,
            id::SIMPLE_BLOCK | id::BLOCK => self.block(source, element)?,
            id::BLOCK_DURATION => {
                let seconds = element.unsigned(source)? as f64 * self.tick_s();
                if let Some(track) = self.grouped.take().and_then(|index| self.tracks.get_mut(index)) {
                    track.set_last_duration(seconds);
                }
            }
            _ => {
                if let Some(track) = self.tracks.last_mut() {
                    read_track(source, element, track)?;
                }
            }
        }
        Ok(())
    }

    fn block(&mut self, source: &mut Source<'_>, element: Element) -> Step<()> {
        let Some(block) = BlockHead::read(source, element)? else {
            return Err(Stop::Broken("a block of it is too short".to_owned()));
        };
        let ticks = self.cluster_ticks as f64 + f64::from(block.ticks);
        let seconds = ticks * self.tick_s();
        self.grouped = self.tracks.iter().position(|track| track.number == block.track);
        if let Some(track) = self.grouped.and_then(|index| self.tracks.get_mut(index)) {
            track.add(seconds, &block);
            self.blocks += 1;
        }
        Ok(())
    }

    /// Fills in the facts that were read, which also works for a file that is cut.
    fn describe(&self, facts: &mut Facts) {
        let film = self.tracks.iter().find(|track| track.is_video());
        let sound = self.tracks.iter().find(|track| track.is_sound());
        let (media_type, extension) = match (self.is_webm, film.is_none() && sound.is_some()) {
            (true, true) => ("audio/webm", "webm"),
            (true, false) => ("video/webm", "webm"),
            (false, true) => ("audio/matroska", "mka"),
            (false, false) => ("video/matroska", "mkv"),
        };
        *facts = Facts::new(media_type, extension);
        facts.pixels = film.and_then(|track| Some(Pixels { width: track.width?, height: track.height? }));
        facts.sample_rate = sound.map(Track::sample_rate);
        facts.channels = sound.map(|track| track.channels);
        facts.duration_s = self.tracks.iter().filter_map(Track::end_s).reduce(f64::max);
    }
}

fn read_track(source: &mut Source<'_>, element: Element, track: &mut Track) -> Step<()> {
    match element.id {
        id::TRACK_NUMBER => track.number = element.unsigned(source)?,
        id::TRACK_TYPE => track.kind = element.unsigned(source)?,
        id::CODEC_ID => track.is_opus = element.text(source, MOST_NAME_BYTES)? == b"A_OPUS",
        id::DEFAULT_DURATION => track.default_s = Some(element.unsigned(source)? as f64 / 1e9),
        id::PIXEL_WIDTH => track.width = element.unsigned(source)?.try_into().ok(),
        id::PIXEL_HEIGHT => track.height = element.unsigned(source)?.try_into().ok(),
        id::SAMPLING_FREQUENCY => track.sampling_hz = element.float(source)?,
        id::CHANNELS => track.channels = element.unsigned(source)?.try_into().unwrap_or(1),
        _ => {}
    }
    Ok(())
}
