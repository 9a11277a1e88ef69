//! Inspects files of services: their media type by content, duration, size in pixels, and whether the file is complete.
//!
//! The bytes may be anything. Every reader of this module goes through a file once, uses at most [`MEMORY_BYTES`] and never panics. What a file
//! declares is compared with the bytes that exist. Pictures are detected here and decoded elsewhere. The module also writes WAV files with silence in
//! place of speech.

mod adts;
mod condition;
mod decode;
mod flac;
mod format;
mod inspect;
mod matroska;
mod mp3;
mod mp4;
mod ogg;
mod opus;
pub mod picture_type;
mod source;
mod text;
mod wav;
mod wav_encoder;

pub use self::{
    condition::Condition,
    format::{Format, HEAD_BYTES},
    inspect::{InspectError, Inspection, Limits, MEMORY_BYTES, inspect},
    source::ReadSeek,
    wav_encoder::{HEADER_BYTES, MOST_SAMPLES, WavError, write_silence, write_wav},
};

#[cfg(test)]
mod tests;
