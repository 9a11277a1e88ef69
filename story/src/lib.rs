//! What turns a story into a video and needs no model, file, clock or task: pure functions and values.
//!
//! `split` makes scenes and shots of a text, without losing a character. `speaking_time` estimates how long a text takes to be spoken.
//! Nothing here knows the daemon, its client or its protocol.

mod blocks;
mod characters;
mod cut;
mod heading;
mod sentences;
mod source;
mod speaking_time;
mod split;

pub use self::{
    source::{MAX_BYTES, StoryError, decode},
    speaking_time::speaking_time,
    split::{LEAST_S, SplitScene, SplitShot, SplitStory, split, split_bytes},
};
