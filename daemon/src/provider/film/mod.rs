//! Runs `ffmpeg` for the steps that assemble a film.
//!
//! The daemon draws the frames of pictures (`frames`, with the smooth camera of `reel-story`) and sends them to the encoder through a named pipe
//! (`pipe`). Filters contain numbers and fixed file names, but never a path or a text of a request. `clip` makes clips of frames, `burn` draws text into
//! them, `sound` makes the
//! one sound track of a film, and `join` joins both without encoding a frame again. All clips are encoded with the same settings (`encoder`), as
//! otherwise they could not be joined.

mod burn;
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

/// A part of the cache keys. Increase it when the same params make another file.
pub(super) const VERSION: &str = "4";
/// The name of the program, which is looked up on the `PATH`.
pub(super) const FFMPEG: &str = "ffmpeg";
/// How the program is installed.
pub(super) const INSTALL: &str = "apt install ffmpeg, or brew install ffmpeg";
