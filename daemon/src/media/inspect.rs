//! Inspects a file: detects its format by its beginning, and then reads it once to the end.

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

/// Most memory that an inspection uses for any file: its buffers, the largest unit of each format (a page and the headers of an Ogg stream, a frame),
/// the list of tracks of a video, and a decoder with its tables. A caller reserves it beforehand.
pub const MEMORY_BYTES: u64 =
    (4 * BUFFER_BYTES + ogg::MOST_PACKET_BYTES * 2 + text::MOST_JSON_BYTES * 2 + 512 * 1024) as u64;

/// Limits of the work on one file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Most seconds of audio that are decoded. If there are more, the rest is counted undecoded, and the file is reported as unchecked.
    pub decoded_s: f64,
}

impl Default for Limits {
    /// Three hours, which take about a minute of processor time. No service speaks for longer in one call.
    fn default() -> Self {
        Self { decoded_s: 3.0 * 3600.0 }
    }
}

/// The result of an inspection.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The facts of the part that was read.
    pub facts: Facts,
    /// Whether the file is complete and intact.
    pub condition: Condition,
}

/// The reason why a file cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The system failed to read the file.
    #[error("the file could not be read")]
    Read(#[source] io::Error),
}

/// Reads a file from its first byte to its last one, and returns its facts and condition. Blocks.
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

/// Detects the format. Leaves the source after tags that may precede several formats, at the first byte of the format itself.
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

/// Returns the facts that follow from the format alone.
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
