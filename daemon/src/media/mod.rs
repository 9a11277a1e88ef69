//! What a file is that came from a service: its media type by its content, its duration, its size in pixels, and whether all of it came.
//!
//! The bytes may be anything. Every reader of this room goes through a file once, holds at most [`MEMORY_BYTES`] and never panics; what
//! the file says of itself is compared with the bytes that are there. Pictures are recognised here and decoded elsewhere.
//! The room also writes the WAV files that stand in for speech.

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
