//! The steps of the assembly of a film, carried out with `ffmpeg`.
//!
//! Frames of pictures are drawn here (`frames`, with the smooth camera of `reel-story`) and go to the encoder through a named pipe (`pipe`); no
//! path, text or number of a request ever stands in a filter. `clip` makes clips of frames, `sound` the one track of a film, and `join` puts both
//! together without encoding a frame again. All clips are made by the same settings (`encoder`), as otherwise they could not be joined.

mod clip;
mod clip_file;
mod encoder;
mod frames;
mod join;
mod pipe;
mod sound;
mod tools;
mod watch;

pub(super) use self::tools::FilmTools;

/// Grows when the same params make another file: it is part of the cache keys.
pub(super) const VERSION: &str = "3";
/// The program that encodes.
pub(super) const FFMPEG: &str = "ffmpeg";
/// How it is installed.
pub(super) const INSTALL: &str = "apt install ffmpeg, or brew install ffmpeg";
