//! What turns a story into a video and needs no model, file, clock or task: pure functions and values.
//!
//! `split` makes scenes and shots of a text, without losing a character. `project` is the file in which a person changes them. `timeline`
//! says where each frame and sample is, `subtitles` what is shown when, and `subtitle_files` writes that as SRT and ASS. `camera` says which part
//! of a picture a frame shows, and `still` draws it. `speaking_time` estimates how long a text takes to be spoken.
//! Nothing here knows the daemon, its client or its protocol.

mod blocks;
pub mod camera;
mod characters;
mod cut;
mod heading;
mod language;
mod nearest;
pub mod project;
mod sentences;
mod source;
mod speaking_time;
mod split;
pub mod still;
mod subtitle_files;
mod subtitles;
pub mod timeline;

pub use self::{
    language::language,
    source::{MAX_BYTES, StoryError, decode},
    speaking_time::speaking_time,
    split::{LEAST_S, SplitScene, SplitShot, SplitStory, split, split_bytes},
    subtitle_files::{SubtitleStyle, ass, srt},
    subtitles::{Cue, cues},
};
