//! The project file: the storyboard of a film, which a person may edit before the film is made.
//!
//! `model` defines its fields. `read` parses it from TOML or JSON and reports the position of an error. `check` tests what types cannot express.
//! `new_file` writes the file of a new project. `file`, `settings` and `shot_settings` change an existing file and preserve its comments and order. `own_texts`, `regroup` and
//! `align` match the shots of a file with those of a story that was split again, and `replace` puts a model's shots in place of new ones. `film_timeline` computes the timeline, `titles` says which titles a shot shows, `request`
//! what is requested from providers, and `sheets` the reference pictures of characters and places.

mod align;
mod check;
mod file;
#[cfg(test)]
mod file_tests;
mod film_timeline;
mod ids;
mod model;
mod new_file;
mod own_texts;
mod read;
mod regroup;
mod replace;
mod request;
mod resplit;
mod settings;
mod sheets;
mod shot_settings;
mod titles;

pub use self::{
    check::MOST_TITLE_CHARACTERS,
    file::{ProjectFile, Resplit, TextChange},
    model::{
        Character, FrameSize, NARRATOR, Place, Project, Scene, Shot, ShotTransition, StoryFile, Subtitles,
        VERSION, Video,
    },
    new_file::new_file,
    read::{ProjectError, check_decoded, read_json, read_toml},
    settings::{Setting, SettingChange},
    sheets::{MAX_REFERENCES, SHEET_SIDE, Subject, is_sheet_step},
    shot_settings::ShotSetting,
    titles::Opening,
};
pub(crate) use self::{
    ids::scene_id,
    new_file::{camera_of, new_shot},
};
pub use crate::timeline::Transition;
