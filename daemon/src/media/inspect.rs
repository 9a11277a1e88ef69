//! What a file is, as far as this room reads it: one look at its beginning, and one pass through it.

use std::io;

use super::{
    adts,
    condition::Condition,
    flac,
    format::{Format, HEAD_BYTES},
    matroska, mp3, mp4, ogg,
    source::{BUFFER_BYTES, ReadSeek, Source, Step, Stop},
    text, wav,
};
use crate::domain::Facts;

/// Most memory that an inspection holds, whatever the file says: its buffers, the largest unit of each format (a page and the headers of an
/// Ogg stream, a frame), the list of tracks of a film, and a decoder with its tables. A caller reserves it beforehand.
pub const MEMORY_BYTES: u64 =
    (4 * BUFFER_BYTES + ogg::MOST_PACKET_BYTES * 2 + text::MOST_JSON_BYTES * 2 + 512 * 1024) as u64;

/// Bounds of the work on one file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Most seconds of sound that are decoded. Frames behind them are counted, and the file is called unchecked.
    pub decoded_s: f64,
}

impl Default for Limits {
    /// Three hours, a minute of processor time or so: more than any service speaks in one call.
    fn default() -> Self {
        Self { decoded_s: 3.0 * 3600.0 }
    }
}

/// What a file is.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// What the part says that was read.
    pub facts: Facts,
    /// Whether all of it is there and good.
    pub condition: Condition,
}

/// Why nothing can be said about a file.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The system refused to read it.
    #[error("the file could not be read")]
    Read(#[source] io::Error),
}

/// Looks at a file from its first byte to its last one. Blocks.
pub fn inspect(file: &mut dyn ReadSeek, limits: Limits) -> Result<Inspection, InspectError> {
    let mut source = Source::new(file).map_err(InspectError::Read)?;
    if source.len() == 0 {
        return Err(InspectError::Empty);
    }
    let format = match format(&mut source) {
        Ok(format) => format,
        Err(Stop::Io(error)) => return Err(InspectError::Read(error)),
        Err(Stop::Ended | Stop::Broken(_)) => {
            let condition = Condition::Cut("it ends within a tag before its sound".to_owned());
            return Ok(Inspection { facts: first_facts(Format::Mp3), condition });
        }
    };
    let mut facts = first_facts(format);
    let condition = match read(format, &mut source, &mut facts, limits) {
        Ok(condition) => condition,
        Err(Stop::Ended) => Condition::Cut("it ends before its format says so".to_owned()),
        Err(Stop::Broken(reason)) => Condition::Damaged(reason),
        Err(Stop::Io(error)) => return Err(InspectError::Read(error)),
    };
    Ok(Inspection { facts, condition })
}

/// The format; the source stands at the first byte that belongs to it, behind tags that can stand in front of several formats.
fn format(source: &mut Source<'_>) -> Step<Format> {
    let format = Format::of(&source.peek(HEAD_BYTES)?);
    if format != Format::Mp3 {
        return Ok(format);
    }
    while let Some(bytes) = mp3::tag_bytes(source)? {
        source.skip(bytes)?;
    }
    Ok(match Format::of(&source.peek(HEAD_BYTES)?) {
        tagged @ (Format::Flac | Format::Adts) => tagged,
        _ => Format::Mp3,
    })
}

/// What the format alone says.
fn first_facts(format: Format) -> Facts {
    let (media_type, extension) = match format {
        Format::Picture(picture) => (picture.name, picture.extension),
        Format::Wav => ("audio/wav", "wav"),
        Format::Mp3 => ("audio/mpeg", "mp3"),
        Format::Adts => ("audio/aac", "aac"),
        Format::Flac => ("audio/flac", "flac"),
        Format::Ogg => ("audio/ogg", "ogg"),
        Format::Mp4 => ("video/mp4", "mp4"),
        Format::Matroska => ("video/matroska", "mkv"),
        Format::Text => ("text/plain", "txt"),
        Format::Unknown => ("application/octet-stream", "bin"),
    };
    Facts::new(media_type, extension)
}

fn read(
    format: Format,
    source: &mut Source<'_>,
    facts: &mut Facts,
    Limits { decoded_s }: Limits,
) -> Step<Condition> {
    match format {
        Format::Wav => wav::read(source, facts),
        Format::Mp3 => mp3::read(source, facts, decoded_s),
        Format::Adts => adts::read(source, facts, decoded_s),
        Format::Flac => flac::read(source, facts),
        Format::Ogg => ogg::read(source, facts),
        Format::Mp4 => mp4::read(source, facts),
        Format::Matroska => matroska::read(source, facts),
        Format::Text => text::read(source, facts),
        Format::Picture(_) => {
            Ok(Condition::Unchecked("it is a picture, whose pixels this room does not decode".to_owned()))
        }
        Format::Unknown => Ok(Condition::Unchecked("its format is unknown".to_owned())),
    }
}
