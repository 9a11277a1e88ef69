//! The project file: what a person may change between a story and its film.
//!
//! `model` has its fields, `read` reads it as TOML or JSON and says where an error is, `check` holds what types cannot say, `new_file` writes
//! it for a story, `file` and `settings` change it and keep comments and order, and `align` finds the shots again when the story was split anew.

mod align;
mod check;
mod file;
#[cfg(test)]
mod file_tests;
mod ids;
mod model;
mod new_file;
mod place;
mod read;
mod request;
mod settings;

pub use self::{
    file::{ProjectFile, Resplit, TextChange},
    model::{
        Change, Character, FrameSize, Place, Project, Scene, Shot, ShotChange, StoryFile, Subtitles, Video,
    },
    new_file::new_file,
    read::{ProjectError, read_json, read_toml},
    settings::{Setting, SettingChange},
};
