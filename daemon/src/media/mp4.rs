//! MP4, M4A and QuickTime (ISO/IEC 14496-12): nested boxes. The duration is the sum of the durations that the tables give for the samples in the
//! file, in one index (`moov`) or in fragments (`moof`), within the edit list. The samples themselves are not decoded.

mod boxes;
mod track;

use self::{
    boxes::{BoxHead, read_head},
    track::{Kind, Track},
};
use super::{
    condition::Condition,
    source::{Source, Step, Stop},
};
use crate::domain::{Facts, Pixels};

/// Most tracks of a file.
const MOST_TRACKS: usize = 64;
/// Deepest nesting of boxes. The deepest box that is read here is at the seventh level.
const MOST_DEPTH: usize = 8;

/// The boxes that were read so far.
#[derive(Default)]
struct Movie {
    brand: [u8; 4],
    has_index: bool,
    /// Ticks per second of the whole movie, the unit of the edit lists.
    timescale: u32,
    tracks: Vec<Track>,
    /// The track to which the current fragment belongs.
    fragment_of: Option<usize>,
    /// Bytes of sample data (`mdat`) in the file.
    media_bytes: u64,
}

/// Reads an MP4 from its first byte and fills in `facts`.
pub(super) fn read(source: &mut Source<'_>, facts: &mut Facts) -> Step<Condition> {
    let mut movie = Movie::default();
    let end = source.len();
    let result = movie.boxes(source, end, 0);
    movie.describe(facts);
    match result {
        Ok(()) => {}
        Err(Stop::Ended) => return Ok(Condition::Cut("it ends within a part of it".to_owned())),
        Err(stop) => return Err(stop),
    }
    let named: u64 = movie.tracks.iter().fold(0, |sum, track| sum.saturating_add(track.sample_bytes));
    Ok(if !movie.has_index {
        Condition::Cut("its index is missing".to_owned())
    } else if named > movie.media_bytes {
        Condition::Cut(format!("it has {} of the {named} bytes that its index names", movie.media_bytes))
    } else if movie.tracks.iter().all(|track| track.samples == 0) {
        Condition::Cut("it has nothing to play".to_owned())
    } else {
        Condition::Whole
    })
}

impl Movie {
    /// Reads the boxes up to `end`.
    fn boxes(&mut self, source: &mut Source<'_>, end: u64, depth: usize) -> Step<()> {
        if depth > MOST_DEPTH {
            return Err(Stop::Broken("its parts are nested too deeply".to_owned()));
        }
        // Fewer bytes than the head of a box are padding.
        while end.saturating_sub(source.position()) >= 8 {
            let head = read_head(source, end)?;
            self.one(source, head, depth)?;
            source.seek(head.end)?;
        }
        Ok(())
    }

    fn one(&mut self, source: &mut Source<'_>, head: BoxHead, depth: usize) -> Step<()> {
        match &head.name {
            b"ftyp" => self.brand = source.array()?,
            b"mdat" if depth == 0 => self.media_bytes += head.end - source.position(),
            b"mvhd" => self.timescale = boxes::read_timescale(source)?,
            b"trak" => {
                if self.tracks.len() == MOST_TRACKS {
                    return Err(Stop::Broken(format!("it has more than {MOST_TRACKS} tracks")));
                }
                self.tracks.push(Track::default());
                self.boxes(source, head.end, depth + 1)?;
            }
            b"moov" | b"moof" | b"mdia" | b"minf" | b"stbl" | b"edts" | b"mvex" | b"traf" => {
                self.has_index |= &head.name == b"moov";
                self.boxes(source, head.end, depth + 1)?;
            }
            b"trex" => {
                let defaults = track::Defaults::of_movie(source)?;
                if let Some(track) = self.tracks.iter_mut().find(|track| track.id == defaults.track_id) {
                    track.defaults = defaults;
                }
            }
            b"tfhd" => {
                let id = track::fragment_track(source)?;
                self.fragment_of = self.tracks.iter().position(|track| track.id == id);
                if let Some(track) = self.fragment_of.and_then(|index| self.tracks.get_mut(index)) {
                    track.begin_fragment(source)?;
                }
            }
            b"trun" => {
                if let Some(track) = self.fragment_of.and_then(|index| self.tracks.get_mut(index)) {
                    track.read_run(source, head.end)?;
                }
            }
            _ => {
                if let Some(track) = self.tracks.last_mut() {
                    track.read(source, head)?;
                }
            }
        }
        Ok(())
    }

    /// Fills in the facts that were read, which also works for a file that is cut.
    fn describe(&self, facts: &mut Facts) {
        let film = self.tracks.iter().find(|track| track.kind == Kind::Video);
        let sound = self.tracks.iter().find(|track| track.kind == Kind::Sound);
        let (media_type, extension) = match (&self.brand, film.is_some(), sound.is_some()) {
            (b"qt  ", true, _) => ("video/quicktime", "mov"),
            (_, false, true) => ("audio/mp4", "m4a"),
            _ => ("video/mp4", "mp4"),
        };
        *facts = Facts::new(media_type, extension);
        facts.pixels = film
            .and_then(|track| track.pixels)
            .map(|(width, height)| Pixels { width: u32::from(width), height: u32::from(height) });
        facts.sample_rate = sound.and_then(|track| track.sample_rate);
        facts.channels = sound.and_then(|track| track.channels).map(u32::from);
        let seconds = self.tracks.iter().filter(|track| track.kind != Kind::Other);
        let seconds = seconds.filter_map(|track| track.seconds(self.timescale));
        facts.duration_s = seconds.reduce(f64::max);
    }
}
