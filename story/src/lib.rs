//! The steps from a story to a video that need no model, file, clock or task. They are pure functions and values.
//!
//! `split` divides a text into scenes and shots without losing a character. `director` lets a language model do it, also without losing one. `project` is the file in which a person changes them. `timeline` computes
//! the frames and samples of each shot, `subtitles` what is shown when, `subtitle_style` how it looks, `title_lines` how titles fit into the frame, and `srt` and `ass` write files of it. `camera` computes which part
//! of a picture a frame shows, and `still` draws it. `speaking_time` estimates how long a text takes to be spoken. This crate does not depend on the
//! daemon, its client or its protocol.

mod ass;
mod blocks;
pub mod camera;
mod characters;
mod cut;
pub mod director;
mod heading;
mod language;
mod nearest;
pub mod project;
mod sentences;
mod source;
mod speaking_time;
mod split;
mod srt;
pub mod still;
mod subtitle_style;
mod subtitles;
pub mod timeline;
mod title_lines;

pub use self::{
    ass::{ShownTitle, ass},
    language::language,
    nearest::nearest,
    source::{MAX_BYTES, StoryError, decode},
    speaking_time::speaking_time,
    split::{LEAST_S, SplitScene, SplitShot, SplitStory, split, split_bytes},
    srt::srt,
    subtitle_style::{SubtitleOutline, SubtitlePosition, SubtitleSize, SubtitleStyle},
    subtitles::{Cue, cues},
    title_lines::{TitleLine, title_lines, wrapped},
};
